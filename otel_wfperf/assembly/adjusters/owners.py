"""Adjuster: whose work an operation is."""

from typing import ClassVar

from otel_wfperf.assembly.trace import Trace
from otel_wfperf.model import OperationKind


class Owners:
    """Give every operation the agent and the phase that it is nearest to.

    An agent is its own owner; a phase belongs to the phase round it. A workflow within an agent or a phase belongs
    to it too.
    """

    name: ClassVar[str] = "owners"

    def adjust(self, trace: Trace) -> None:
        """Hand the names down."""
        for node in trace.in_order():
            if node.kind is OperationKind.AGENT:
                node.agent = node.operation.name
            parent = node.parent
            if parent is not None:
                node.agent = node.agent or parent.agent
                node.phase = parent.operation.name if parent.kind is OperationKind.PHASE else parent.phase
