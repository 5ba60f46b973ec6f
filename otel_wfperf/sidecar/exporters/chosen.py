"""Only the traces that are worth it: each is handed out once its analysis is stored, whatever came before it.

What is not decided yet stays in the log: in memory are only offsets and trace ids. The cursor stands before the first
record with an undecided trace, so a restart looks again at all that follows; it loses nothing and may send twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from otel_wfperf.config import ExporterConfig
from otel_wfperf.errors import DecodeError
from otel_wfperf.log import Log, Record, Signal
from otel_wfperf.sidecar.decisions import Decisions
from otel_wfperf.sidecar.exporters.progress import Progress
from otel_wfperf.sidecar.exporters.selection import cut, is_sampled, is_wanted, spans_by_trace
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.store import StoreUnavailableError

_IDLE_S: Final = 5.0
_RETRY_STORE_S: Final = 1.0
# Chosen: offsets and ids of so many records are some 10 MB; with more, what is new waits.
_MAX_WAITING: Final = 20_000
# Chosen: as much of the log as the analyzer may hold back; past it new data would soon be refused.
_HOLD_RATIO: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record of which some traces are not decided.

    Attributes:
        undecided: Their ids, with the number of their spans in it.
        scanned_bytes: What had been read of the log when the record was (bytes).
    """

    undecided: Mapping[str, int]
    scanned_bytes: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A record with the spans of the wanted traces; the whole one when none is wanted."""

    record: Record
    wanted: frozenset[str]


class Chosen:
    """The records of the log with the spans of some traces; metrics and logs whole."""

    def __init__(self, config: ExporterConfig, log: Log, decisions: Decisions, metrics: Metrics) -> None:
        """Read a log.

        Args:
            config: What is worth sending.
            log: What there is.
            decisions: What the analyzer has stored.
            metrics: Counters.
        """
        self.name = config.name
        self._config = config
        self._log = log
        self._decisions = decisions
        self._metrics = metrics
        self.resume(Progress(0))

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to hand out now; undecided traces may remain."""
        looked = self._looked == self._decisions.version and not self._is_crowded
        return looked and self._scanned >= self._log.end

    def resume(self, progress: Progress) -> None:
        """Begin anew after the position of a progress."""
        self._progress = progress
        self._scanned = progress.position
        self._scanned_bytes = 0
        self._looked = -1
        self._waiting: dict[int, _Waiting] = {}

    async def take(self, *, limit: int, max_bytes: int) -> Sequence[Record]:
        """Wait until there is something to deliver and return it; each is begun in the progress."""
        while True:
            version = self._decisions.version
            has_room = len(self._waiting) < _MAX_WAITING
            try:
                if records := await self._again(version, limit=limit, max_bytes=max_bytes):
                    return records
                scanned = await self._log.read(self._scanned, limit=limit, max_bytes=max_bytes) if has_room else ()
                if records := await self._scan(scanned):
                    return records
            except StoreUnavailableError:
                await asyncio.sleep(_RETRY_STORE_S)
                continue
            if not scanned:
                await self._news(version, of_log=has_room)

    async def _scan(self, records: Sequence[Record]) -> list[Record]:
        """Look at records for the first time."""
        # In a thread: senders wait for the loop.
        traces = await asyncio.to_thread(lambda: [_traces(record) for record in records])
        looks = [(record, self._decided(found, record.offset)) for record, found in zip(records, traces, strict=True)]
        parts = await self._parts(looks)
        chosen: list[Record] = []
        for (record, decided), found, part in zip(looks, traces, parts, strict=True):
            self._progress.begin(record)
            self._scanned = record.offset
            self._scanned_bytes += len(record.data)
            self._waiting[record.offset] = _Waiting(found, self._scanned_bytes)
            if not found:
                chosen.append(self._handed_out(record))
            chosen += self._settled(record, decided, part)
        return chosen

    async def _again(self, version: int, *, limit: int, max_bytes: int) -> list[Record]:
        """Look at what waited and is decided now."""
        is_crowded = self._is_crowded
        if self._looked == version and not is_crowded:
            return []
        ready: list[tuple[Record, frozenset[str]]] = []
        for offset, waiting in list(self._waiting.items()):
            first = is_crowded and not ready
            decided = frozenset(waiting.undecided) if first else self._decided(waiting.undecided, offset)
            if not decided:
                continue
            if len(ready) >= limit or max_bytes <= 0:
                break
            record = await self._read(offset)
            if record is not None:
                max_bytes -= len(record.data)
                ready.append((record, decided))
        if not ready:
            self._looked = version
        parts = zip(ready, await self._parts(ready), strict=True)
        return [each for (record, decided), part in parts for each in self._settled(record, decided, part)]

    async def _read(self, offset: int) -> Record | None:
        """Read a record that waited; None when it was too old for the log, which has counted it."""
        records = await self._log.read(offset - 1, limit=1)
        if records and records[0].offset == offset:
            return records[0]
        self._forget(offset)
        return None

    @property
    def _is_crowded(self) -> bool:
        """Whether what waits keeps too much in the log."""
        first = next(iter(self._waiting.values()), None)
        held_bytes = self._scanned_bytes - first.scanned_bytes if first is not None else 0
        return held_bytes > self._log.max_size_bytes * _HOLD_RATIO

    def _decided(self, trace_ids: Iterable[str], offset: int) -> frozenset[str]:
        return frozenset(each for each in trace_ids if self._is_decided(each, offset))

    def _is_decided(self, trace_id: str, offset: int) -> bool:
        if self._config.forward == "sample" or is_sampled(trace_id, self._config.sample_ratio):
            return True
        return self._decisions.is_decided(trace_id, offset)

    async def _parts(self, looks: Sequence[tuple[Record, frozenset[str]]]) -> list[_Part]:
        """Ask the store for what came out of decided traces, and cut those that are wanted out of their records."""
        trace_ids = frozenset[str]().union(*(decided for _, decided in looks))
        known = await self._decisions.verdicts(trace_ids) if trace_ids and self._config.forward != "sample" else {}
        wanted = [
            frozenset(each for each in decided if is_wanted(self._config, each, known.get(each)))
            for _, decided in looks
        ]
        records = [record for record, _ in looks]
        return await asyncio.to_thread(lambda: [_part(*each) for each in zip(records, wanted, strict=True)])

    def _settled(self, record: Record, decided: frozenset[str], part: _Part) -> list[Record]:
        """Hand out the part of a record with the decided traces that are wanted, if any; wait for the others."""
        waiting = self._waiting[record.offset]
        self._metrics.left_out(self.name, sum(waiting.undecided[each] for each in decided - part.wanted))
        early = {each for each in part.wanted if not self._is_decided(each, record.offset)}
        self._metrics.undecided(self.name, sum(waiting.undecided[each] for each in early))
        handed_out = [self._handed_out(part.record)] if part.wanted else []
        if left := {each: spans for each, spans in waiting.undecided.items() if each not in decided}:
            self._waiting[record.offset] = replace(waiting, undecided=left)
        else:
            self._forget(record.offset)
        return handed_out

    def _handed_out(self, record: Record) -> Record:
        self._progress.begin(record)
        return record

    def _forget(self, offset: int) -> None:
        del self._waiting[offset]
        self._progress.end(offset)

    async def _news(self, version: int, *, of_log: bool) -> None:
        """Wait for new records or decisions."""
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._decisions.wait(version, timeout_s=_IDLE_S))]
        if of_log:
            waits.append(asyncio.create_task(self._log.wait(self._scanned, timeout_s=_IDLE_S)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _traces(record: Record) -> Mapping[str, int]:
    """Count the spans of each trace; nothing in what holds no traces or cannot be read, which goes as it is."""
    if record.signal is not Signal.TRACES:
        return {}
    try:
        return spans_by_trace(record.data)
    except DecodeError:
        return {}


def _part(record: Record, wanted: frozenset[str]) -> _Part:
    found = cut(record.data, wanted.__contains__) if wanted else None
    # As it came, where nothing is cut off.
    if found is None or found.spans == record.items:
        return _Part(record, wanted)
    return _Part(replace(record, data=found.data, items=found.spans), wanted)
