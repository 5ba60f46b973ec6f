"""How far a consumer of the log is done, when it finishes records in another order than it began them."""

from otel_wfperf.log import Record


class Progress:
    """Knows which records were begun and not ended; a record may be begun several times, for parts of it.

    Records are first begun in the order of their offsets.
    """

    def __init__(self, position: int) -> None:
        """Start with everything up to an offset done."""
        self._begun: dict[int, list[int]] = {}
        self._last = position

    @property
    def position(self) -> int:
        """Everything up to this offset is done."""
        return next(iter(self._begun)) - 1 if self._begun else self._last

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest record that is not done was received (nanoseconds since the Unix epoch)."""
        return next(iter(self._begun.values()))[1] if self._begun else None

    def begin(self, record: Record) -> None:
        """Note that something is to be done about a record."""
        self._begun.setdefault(record.offset, [0, record.received_ns])[0] += 1
        self._last = max(self._last, record.offset)

    def end(self, offset: int) -> None:
        """Note that one such thing is done."""
        entry = self._begun[offset]
        entry[0] -= 1
        if not entry[0]:
            del self._begun[offset]
