"""Adjuster: messages between agents, and other spans that are nobody's work."""

from typing import ClassVar, Final

from otel_wfperf.assembly.trace import Node, Trace, counted
from otel_wfperf.model import Operation, OperationKind, SpanKind

_MESSAGES: Final = (SpanKind.PRODUCER, SpanKind.CONSUMER)
_PASSED_ON: Final = (OperationKind.OTHER, OperationKind.HANDOFF)


class Hops:
    """Take the spans of messages between agents out, and hang what they led to on what is above them.

    Frameworks that pass messages (AutoGen, Agent Framework) write a span for each step of a message's way, with the
    agent that it wakes below. The agent is not a part of the message, and runs beside the agents that others wake.
    A hop that failed stays, because nothing else may tell of the failure; so does the user's own queue. What a dialect
    knows to repeat another span (``Operation.repeats``) goes in the same way, failed or not.
    """

    name: ClassVar[str] = "hops"

    def adjust(self, trace: Trace) -> None:
        """Lift the children of hops, parents before children, so that chains of hops vanish."""
        if not any(node.operation.span_kind in _MESSAGES or node.operation.repeats for node in trace.nodes):
            return
        gone: list[Node] = []
        for node in trace.top_down():
            for hop in [child for child in node.children if _is_hop(child)]:
                gone += _lifted(node, hop)
        if gone:
            taken = set(gone)
            trace.nodes = [node for node in trace.nodes if node not in taken]
            trace.note(self.name, gone, f"took out {counted(len(gone), 'span')} of messages and repetitions")


def is_message(operation: Operation) -> bool:
    """Tell whether a span is a step of a message between agents, and not of the user's own queue."""
    is_step = operation.span_kind in _MESSAGES and operation.kind in _PASSED_ON
    return is_step and not operation.outside


def _is_hop(node: Node) -> bool:
    return node.operation.repeats or (is_message(node.operation) and node.operation.error is None)


def _lifted(parent: Node, hop: Node) -> list[Node]:
    """Hang all that is below a chain of hops on a parent; return the hops."""
    gone: list[Node] = []
    stack = [hop]
    parent.children.remove(hop)
    while stack:
        node = stack.pop()
        gone.append(node)
        for child in node.children:
            if _is_hop(child):
                stack.append(child)
            else:
                child.parent = None
                parent.adopt(child)
        node.children = []
    return gone
