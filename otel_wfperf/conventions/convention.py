"""What every dialect offers."""

from typing import ClassVar, Protocol

from otel_wfperf.model import Operation, Span


class Convention(Protocol):
    """One emitter family's way of writing workflows, phases, agents, tools and model calls in attributes.

    Implementations are pure and survive every attribute value: one of the wrong type counts as absent.
    """

    name: ClassVar[str]

    def recognises(self, span: Span) -> bool:
        """Tell whether the span is written in this dialect."""

    def operation(self, span: Span) -> Operation:
        """Say what a recognised span means."""
