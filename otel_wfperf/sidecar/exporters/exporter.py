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
        detail: What the library or the back end said, for a person.
    """

    reason: str
    after_s: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The back end will never take it.

    Attributes:
        reason: Status, of low cardinality.
        detail: What the back end said, for a person.
    """

    reason: str
    detail: str = ""


Outcome = Accepted | Retry | Rejected

# Chosen: a line in the log of the sidecar; back ends have answered with whole web pages.
_MAX_DETAIL_CHARACTERS = 300


def shortened(detail: str) -> str:
    """Make one line of what a back end said, without what would disturb a terminal."""
    line = " ".join(detail.split())
    return "".join(each for each in line if each.isprintable())[:_MAX_DETAIL_CHARACTERS]


class Exporter(Protocol):
    """Speaks one OTLP transport to one back end; never raises for what the back end does."""

    async def send(self, signal: Signal, data: bytes) -> Outcome:
        """Try once to hand over an OTLP protobuf request."""

    async def close(self) -> None:
        """Close the connections."""
