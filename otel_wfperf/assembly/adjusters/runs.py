"""Adjuster: which of the unnamed runs are workflows."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Node, Trace
from otel_wfperf.model import OperationKind

_ORCHESTRATED = (OperationKind.AGENT, OperationKind.PHASE, OperationKind.WORKFLOW)


class Runs:
    """Settle what only the surroundings of a span tell.

    * A run that names no workflow (a chain of OpenInference) is one only when no agent, phase or workflow is above it;
      within one it is a link of it.
    * An agent span that names no agent, with agents or phases below it, is the run of them all: that is how
      openinference-instrumentation-openai-agents 2.6.0 writes its trace.

    Changes no span's times and is not noted: it completes the reading of the dialect.
    """

    name: ClassVar[str] = "runs"

    def adjust(self, trace: Trace) -> None:
        """Decide top-down, so that what is above is settled."""
        within: set[Node] = set()
        holds = _holders(trace)
        for node in trace.top_down():
            inside = node.parent is not None and (node.parent in within or node.parent.kind in _ORCHESTRATED)
            if inside:
                within.add(node)
            if node.kind is OperationKind.WORKFLOW and node.operation.workflow is None and inside:
                node.kind = OperationKind.OTHER
            if node.kind is OperationKind.AGENT and node.agent is None and not inside and node in holds:
                node.kind = OperationKind.WORKFLOW


def _holders(trace: Trace) -> set[Node]:
    """Collect the nodes that have an agent or a phase below them."""
    holds: set[Node] = set()
    for node in trace.bottom_up():
        if node.parent is not None and (node in holds or node.kind in (OperationKind.AGENT, OperationKind.PHASE)):
            holds.add(node.parent)
    return holds
