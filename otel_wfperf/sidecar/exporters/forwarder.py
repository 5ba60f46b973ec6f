"""Carry the log to one back end: take, send, retry, commit.

Each exporter has its own forwarder with its own cursor, so a slow or dead back end holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from otel_wfperf.config import ExporterConfig
from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Record
from otel_wfperf.sidecar.exporters.aside import Aside
from otel_wfperf.sidecar.exporters.circuit import Circuit, Gate
from otel_wfperf.sidecar.exporters.exporter import Accepted, Exporter, Outcome, Rejected, Retry
from otel_wfperf.sidecar.exporters.progress import Progress
from otel_wfperf.sidecar.exporters.retry import delay_s
from otel_wfperf.sidecar.exporters.source import Everything, Source
from otel_wfperf.sidecar.exporters.stubbornness import Stubbornness
from otel_wfperf.sidecar.exporters.trouble import Trouble
from otel_wfperf.sidecar.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
# Chosen: what waits for another try must not hold up the rest. A back end that refuses seven of ten lets a request wait
# some 3 s in all, in which 60 more come at 10 000 spans a second.
MAX_RECORDS: Final = 128
# Chosen: such requests are some 200 kB, so 80 of them; each exporter may hold so much.
MAX_BYTES: Final = 16 * 1024**2
_DRAIN_LOOK_S: Final = 0.05


class Forwarder:
    """Moves one exporter's cursor through the log."""

    def __init__(
        self,
        config: ExporterConfig,
        exporter: Exporter,
        log: Log,
        *,
        metrics: Metrics,
        aside: Aside,
        max_age_s: float,
        random: Callable[[], float],
        source: Source | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Connect a back end to the log.

        Args:
            config: Delays, signals, number of requests in flight.
            exporter: Speaks to the back end.
            log: What to forward.
            metrics: Counters.
            aside: Takes what the back end will never take.
            max_age_s: Age at which a record is given up (seconds).
            random: Random numbers from 0 to 1, for the jitter.
            source: What of the log is delivered; everything by default.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
        """
        self._config = config
        self._exporter = exporter
        self._log, self._source = log, source or Everything(log)
        self._metrics = metrics
        self._aside = aside
        self._max_age_ns = int(max_age_s * 1e9)
        self._random = random
        self._clock_ns = clock_ns
        self._gate = Gate(Circuit(config, random=random), config.concurrency)
        self._progress = Progress(0)
        self._held: dict[asyncio.Task[None], int] = {}
        self._changed = asyncio.Event()
        self._taken, self._faulty = 0, False
        self._trouble = Trouble(config)

    @property
    def name(self) -> str:
        """Name of the exporter."""
        return self._config.name

    @property
    def consumer(self) -> str:
        """Name of the cursor."""
        return consumer(self._config.name)

    @property
    def circuit(self) -> Circuit:
        """Whether the back end takes anything."""
        return self._gate.circuit

    @property
    def pending_records(self) -> int:
        """Records that are not done with yet (count)."""
        return max(0, self._log.end - self._progress.position)

    @property
    def lag_s(self) -> float:
        """Age of the oldest record that is not done with yet (seconds)."""
        oldest_ns = self._progress.oldest_ns
        return max(0.0, (self._clock_ns() - oldest_ns) / 1e9) if oldest_ns is not None else 0.0

    async def run(self) -> None:
        """Forward until cancelled; what is being sent or retried then stays in the log."""
        self._progress = Progress(await self._log.cursor(self.consumer))
        self._source.resume(self._progress)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._commit_along())
                while True:
                    limit, max_bytes = await self._room()
                    for record in await self._source.take(limit=limit, max_bytes=max_bytes):
                        task = tasks.create_task(self._deliver(record))
                        self._held[task] = len(record.data)
                        task.add_done_callback(self._let_go)
        finally:
            await self._commit()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything that can be delivered is, but not longer than the timeout (seconds)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                # At the end of the process, once; what a source waits for is of many kinds.
                while self._held or not self._source.exhausted:  # noqa: ASYNC110
                    await asyncio.sleep(_DRAIN_LOOK_S)

    async def _room(self) -> tuple[int, int]:
        """Wait until more may be held; return how many records and bytes."""
        while True:
            room, room_bytes = MAX_RECORDS - len(self._held), MAX_BYTES - sum(self._held.values())
            if not self._held or (room > 0 and room_bytes > 0):
                return room, room_bytes
            await self._change()

    def _let_go(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    async def _commit_along(self) -> None:
        """Store how far all is done, as often as the log takes it."""
        committed = self._progress.position
        while True:
            while self._progress.position == committed:
                await self._change()
            committed = self._progress.position
            await self._commit()

    async def _commit(self) -> None:
        # A full disk: the position is stored with the next one; until then a crash sends this again.
        with suppress(LogFullError):
            await self._log.commit(self.consumer, self._progress.position)

    async def _deliver(self, record: Record) -> None:
        """Send one record until the back end has taken or refused it, or it is too old."""
        if record.signal.value in self._config.signals:
            outcome = await self._outcome(record)
            if isinstance(outcome, Accepted):
                self._count(record, outcome)
            else:
                await self._give_up(record, outcome)
        self._progress.end(record.offset)
        self._tell()

    async def _outcome(self, record: Record) -> Accepted | Rejected:
        stubbornness = Stubbornness(self._config.retry)
        attempt = 0
        while True:
            async with self._gate.passage():
                outcome = await self._try(record)
                self._gate.answered(outcome)
            if not isinstance(outcome, Retry):
                return outcome
            attempt += 1
            self._metrics.retried(self.name, outcome.reason)
            self._trouble.retrying(outcome, waiting=self.pending_records)
            left_s = (record.received_ns + self._max_age_ns - self._clock_ns()) / 1e9
            if left_s < 0:
                return Rejected(reason="expired")
            if stubbornness.failed(taken=self._taken, now_s=asyncio.get_running_loop().time()):
                return Rejected(reason="set_aside", detail=f"{outcome.reason}: {outcome.detail}")
            # Delays begin anew when the back end takes others. Whatever it asks for: past its age a record is given up.
            attempts = min(attempt, max(1, self.circuit.failures))
            await asyncio.sleep(min(left_s, delay_s(self._config.retry, attempts, outcome, self._random())))

    async def _try(self, record: Record) -> Outcome:
        try:
            return await self._exporter.send(record.signal, record.data)
        except Exception:
            # A fault of ours: this record is tried until it is too old, and nothing else is lost.
            if not self._faulty:
                _LOGGER.exception("exporter %s failed; further failures are only counted", self.name)
            self._faulty = True
            return Retry(reason="fault")

    def _count(self, record: Record, outcome: Accepted) -> None:
        self._taken += 1
        # A back end may count otherwise than we do; a counter takes nothing below zero.
        rejected = min(max(0, outcome.rejected_items), record.items)
        self._metrics.sent(self.name, record.signal, record.items - rejected)
        self._trouble.delivered()
        if rejected:
            self._metrics.failed(self.name, record.signal, reason="partial_success", items=rejected)
            self._trouble.dropped("partial_success", items=rejected)

    async def _give_up(self, record: Record, outcome: Rejected) -> None:
        self._metrics.failed(self.name, record.signal, reason=outcome.reason, items=record.items)
        # What is too old here is so in a file.
        kept = outcome.reason != "expired" and await self._aside.keep(record, outcome)
        self._trouble.dropped(outcome.reason, items=record.items, detail=outcome.detail, kept=kept)


def consumer(exporter_name: str) -> str:
    """Name the cursor of an exporter."""
    return f"exporter/{exporter_name}"
