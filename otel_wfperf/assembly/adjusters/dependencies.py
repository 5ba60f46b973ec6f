"""Adjuster: links within a run, which say what a step waited for."""

from typing import ClassVar, Final

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind

_STEPS: Final = (OperationKind.PHASE, OperationKind.AGENT)


class Dependencies:
    """Turn the links of a phase or agent into the names of the steps that it depends on.

    Agent Framework links the span of an executor to each message that it was given, and those are within the
    executors that sent them. Only links of the step's own span count: those of a message further down show what woke
    an agent, not all that it waited for. What the emitter declared itself stays.
    """

    name: ClassVar[str] = "dependencies"

    def adjust(self, trace: Trace) -> None:
        """Name the steps on the way to what is linked to."""
        linking = [node for node in trace.nodes if node.operation.links and node.kind in _STEPS]
        if not linking:
            return
        by_id = {(node.operation.trace_id, node.span_id): node for node in trace.nodes}
        for node in linking:
            if node.depends_on is None:
                linked = [by_id.get((link.trace_id, link.span_id)) for link in node.operation.links]
                around = set(_upwards(node))
                names = (_step_beside(each, around) for each in linked if each is not None)
                node.depends_on = tuple(dict.fromkeys(name for name in names if name is not None)) or None


def _upwards(node: Node | None) -> list[Node]:
    """List a node and all that is above it."""
    chain: list[Node] = []
    while node is not None:
        chain.append(node)
        node = node.parent
    return chain


def _step_beside(linked: Node, around: set[Node]) -> str | None:
    """Name the outermost step that holds a node but not the one that links to it."""
    beside = [node for node in _upwards(linked) if node not in around and node.kind in _STEPS]
    return beside[-1].operation.name if beside else None
