"""What an exporter is given to deliver: here everything in the log, as it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from otel_wfperf.log import Log, Record
from otel_wfperf.sidecar.exporters.progress import Progress

# Chosen: how long an idle source waits before it looks again; news wake it at once.
_IDLE_S: Final = 5.0


class Source(Protocol):
    """Hands out what is to be delivered, and notes in the progress what it has begun."""

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to hand out now."""

    def resume(self, progress: Progress) -> None:
        """Begin anew after the position of a progress."""

    async def take(self, *, limit: int, max_bytes: int) -> Sequence[Record]:
        """Wait until there is something to deliver and return it; each is begun in the progress.

        Args:
            limit: Records at most (count).
            max_bytes: Size of their data at most, but for the first (bytes).
        """


class Everything:
    """All records, in the order of the log."""

    def __init__(self, log: Log) -> None:
        """Read a log."""
        self._log = log
        self._position = 0
        self._progress = Progress(0)

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to hand out now."""
        return self._position >= self._log.end

    def resume(self, progress: Progress) -> None:
        """Begin anew after the position of a progress."""
        self._progress = progress
        self._position = progress.position

    async def take(self, *, limit: int, max_bytes: int) -> Sequence[Record]:
        """Wait until there is something to deliver and return it; each is begun in the progress."""
        while not (records := await self._log.read(self._position, limit=limit, max_bytes=max_bytes)):
            await self._log.wait(self._position, timeout_s=_IDLE_S)
        for record in records:
            self._progress.begin(record)
        self._position = records[-1].offset
        return records
