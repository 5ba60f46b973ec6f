"""Adjuster: which tool calls one model response asked for, and which runs are attempts of one task."""

from collections.abc import Iterator
from typing import ClassVar, Final

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind

# Source: langgraph 1.2 and langchain 1.x name the node that runs what the model asked for "tools". Chosen: the others,
# as graphs made by hand name it.
_TOOL_NODES: Final = frozenset({"action", "call_tools", "execute_tools", "tool", "tool_node", "toolnode", "tools"})


class Turns:
    """Bind tool calls to the model call before them.

    A tool belongs to the turn of the model call under the same parent that ended last before the tool started,
    unless that call's finish reason says that it asked for none. Where a node or span of its own runs the tools, that
    is the last model call in the sibling that ended last before it started. A turn that the emitter wrote stays.
    """

    name: ClassVar[str] = "turns"

    def adjust(self, trace: Trace) -> None:
        """Walk each list of siblings by time; nodes first, because binding takes the turns off the model calls."""
        for parent in trace.in_order():
            for node in parent.children:
                if _runs_tools(node):
                    self._bind_node(node, parent)
        for parent in trace.in_order():
            calls = [node for node in parent.children if node.kind is OperationKind.LLM]
            if calls:
                self._bind(parent, sorted(calls, key=lambda node: (node.end_ns, node.span_id)))

    def _bind_node(self, node: Node, parent: Node) -> None:
        earlier = [each for each in parent.children if each.end_ns <= node.start_ns and not _runs_tools(each)]
        if not earlier:
            return
        asking = max(earlier, key=lambda each: (each.end_ns, each.span_id))
        calls = [each for each in (asking, *_below(asking)) if each.kind is OperationKind.LLM]
        turn = max(calls, key=lambda call: (call.end_ns, call.span_id)).turn if calls else None
        for tool in node.children:
            tool.turn = tool.turn or turn

    def _bind(self, parent: Node, calls: list[Node]) -> None:
        before = 0
        for tool in parent.children_in_order():
            if tool.kind is OperationKind.TOOL:
                while before < len(calls) and calls[before].end_ns <= tool.start_ns:
                    before += 1
                if before and tool.turn is None:
                    tool.turn = calls[before - 1].turn
        for call in calls:
            call.turn = None


def _runs_tools(node: Node) -> bool:
    """Tell whether a node, or a span that is not about agents, does nothing but run tools."""
    named = node.kind is OperationKind.OTHER or node.operation.name.lower() in _TOOL_NODES
    return named and bool(node.children) and all(child.kind is OperationKind.TOOL for child in node.children)


def _below(node: Node) -> Iterator[Node]:
    stack = list(node.children)
    while stack:
        inner = stack.pop()
        yield inner
        stack.extend(inner.children)


class Attempts:
    """Number the attempts of a scheduled task, where the emitter identifies the task."""

    name: ClassVar[str] = "attempts"

    def adjust(self, trace: Trace) -> None:
        """Count siblings of equal task in order of start."""
        for parent in trace.in_order():
            seen: dict[str, int] = {}
            for node in parent.children_in_order():
                self._number(node, seen)

    def _number(self, node: Node, seen: dict[str, int]) -> None:
        task = node.operation.task
        if task is not None:
            seen[task] = seen.get(task, 0) + 1
            if node.attempt is None:
                node.attempt = seen[task]
