"""Adjuster: which tool calls one model response asked for, and which runs are attempts of one task."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind


class Turns:
    """Bind tool calls to the model call before them.

    A tool belongs to the turn of the model call under the same parent that ended last before the tool started,
    unless that call's finish reason says that it asked for none. A turn that the emitter wrote stays.
    """

    name: ClassVar[str] = "turns"

    def adjust(self, trace: Trace) -> None:
        """Walk each list of siblings by time."""
        for parent in trace.top_down():
            calls = [node for node in parent.children if node.kind is OperationKind.LLM]
            if calls:
                self._bind(parent, sorted(calls, key=lambda node: (node.end_ns, node.span_id)))

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


class Attempts:
    """Number the attempts of a scheduled task, where the emitter identifies the task."""

    name: ClassVar[str] = "attempts"

    def adjust(self, trace: Trace) -> None:
        """Count siblings of equal task in order of start."""
        for parent in trace.top_down():
            seen: dict[str, int] = {}
            for node in parent.children_in_order():
                self._number(node, seen)

    def _number(self, node: Node, seen: dict[str, int]) -> None:
        task = node.operation.task
        if task is not None:
            seen[task] = seen.get(task, 0) + 1
            if node.attempt is None:
                node.attempt = seen[task]
