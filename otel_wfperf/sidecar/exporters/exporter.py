"""What an exporter is: one try to hand one request to one back end."""

from dataclasses import dataclass
from typing import Protocol

from otel_wfperf.log import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The back end has it.

    Attributes:
        rejected_items: What it left out (count). Source: OTLP specification, a partial success is never sent again.
    """

    rejected_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The back end may take it later.

    Attributes:
        reason: Status or kind of failure, of low cardinality.
        after_s: How long the back end asked to wait (seconds); None when it did not say.
    """

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The back end will never take it.

    Attributes:
        reason: Status, of low cardinality.
    """

    reason: str


Outcome = Accepted | Retry | Rejected


class Exporter(Protocol):
    """Speaks one OTLP transport to one back end; never raises for what the back end does."""

    async def send(self, signal: Signal, data: bytes) -> Outcome:
        """Try once to hand over an OTLP protobuf request."""

    async def close(self) -> None:
        """Close the connections."""
