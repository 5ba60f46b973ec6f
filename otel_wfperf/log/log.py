"""What a log is: requests in the order of their arrival, durable, with a cursor for each consumer."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Signal(StrEnum):
    """What a request carries, in OpenTelemetry's words."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request as it was received.

    Attributes:
        offset: Position in the log; grows, starts at 1.
        signal: What it carries.
        data: The OTLP protobuf request.
        items: Spans, data points or log records in it (count).
        received_ns: When it was appended (nanoseconds since the Unix epoch).
    """

    offset: int
    signal: Signal
    data: bytes
    items: int
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What a trim dropped although a consumer had not passed it yet.

    Attributes:
        items: Spans, data points and log records lost (count), by consumer.
    """

    items: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStatus:
    """How a log is now, for those who watch over it.

    Attributes:
        records: Requests that are kept (count).
        oldest_age_s: Age of the oldest of them (seconds); 0 when there is none.
        lag_records: How far each consumer is behind the newest record (count).
        damaged_records: Records left out since the start because they were damaged (count), by reason: ``checksum``
            (its data), ``unreadable`` (the file around it), ``missing`` (gone without a trace), ``unknown``
            (a number that nothing tells, counted as one).
        refused_appends: Appends refused since the start (count), by reason.
    """

    records: int
    oldest_age_s: float
    lag_records: Mapping[str, int]
    damaged_records: Mapping[str, int]
    refused_appends: Mapping[str, int]


class Log(Protocol):
    """Keeps requests until every consumer has passed them.

    Consumers read by offset and commit how far they are done; what all have passed is trimmed. A consumer that
    crashes reads again from its last commit, so each record is delivered at least once.
    """

    @property
    def log_id(self) -> str:
        """Identity of this log; offsets of another log mean nothing here."""

    @property
    def end(self) -> int:
        """Offset of the newest durable record that can be read; 0 when there has been none."""

    @property
    def size_bytes(self) -> int:
        """Size of the data that is kept (bytes)."""

    @property
    def max_size_bytes(self) -> int:
        """Size at which appends are refused (bytes)."""

    @property
    def status(self) -> LogStatus:
        """How it is now."""

    async def append(self, signal: Signal, data: bytes, *, items: int) -> int:
        """Store a request and return its offset once it is durable.

        Raises:
            LogFullError: There is no room now; nothing was stored.
        """

    async def read(self, after: int, *, limit: int = 64, max_bytes: int = 8 * 1024**2) -> tuple[Record, ...]:
        """Return the records that follow an offset, oldest first; at least one when there is any."""

    async def wait(self, after: int, *, timeout_s: float) -> bool:
        """Wait until there is a record after an offset; False when the time passed first."""

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has committed; 0 when it never has."""

    async def commit(self, consumer: str, offset: int) -> None:
        """Record that a consumer is done with everything up to an offset.

        A killed process remembers it; a machine that dies, what was recorded until about a second before.
        """

    async def trim(self) -> Expired:
        """Delete what every consumer has passed and what is too old."""

    async def close(self) -> None:
        """Finish what is pending and close; appends fail from here on."""
