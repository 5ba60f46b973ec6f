"""Carry the log to one back end: read, send, retry, commit.

Each exporter has its own forwarder with its own cursor, so a slow or dead back end holds up nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile

from otel_wfperf.config import ExporterConfig, RetryConfig
from otel_wfperf.errors import LogFullError
from otel_wfperf.log import Log, Record
from otel_wfperf.sidecar.exporters.exporter import Accepted, Exporter, Outcome, Rejected, Retry
from otel_wfperf.sidecar.exporters.trouble import Trouble
from otel_wfperf.sidecar.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
# Chosen: how long an idle forwarder waits before it looks again; news wake it at once.
_IDLE_S = 5.0


class Forwarder:
    """Moves one exporter's cursor through the log."""

    def __init__(
        self,
        config: ExporterConfig,
        exporter: Exporter,
        log: Log,
        *,
        metrics: Metrics,
        max_age_s: float,
        random: Callable[[], float],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Connect a back end to the log.

        Args:
            config: Delays, signals, number of requests in flight.
            exporter: Speaks to the back end.
            log: What to forward.
            metrics: Counters.
            max_age_s: Age at which a record is given up (seconds).
            random: Random numbers from 0 to 1, for the jitter.
            clock_ns: Wall clock (nanoseconds since the Unix epoch).
        """
        self._config = config
        self._exporter = exporter
        self._log = log
        self._metrics = metrics
        self._max_age_ns = int(max_age_s * 1e9)
        self._random = random
        self._clock_ns = clock_ns
        self._advanced = asyncio.Event()
        self._faulty = False
        self._trouble = Trouble(config)
        self.position = 0

    @property
    def name(self) -> str:
        """Name of the exporter."""
        return self._config.name

    @property
    def consumer(self) -> str:
        """Name of the cursor."""
        return consumer(self._config.name)

    @property
    def pending_records(self) -> int:
        """Records that the back end has not taken yet (count)."""
        return max(0, self._log.end - self.position)

    async def run(self) -> None:
        """Forward until cancelled; what is being sent or retried then stays in the log."""
        self.position = await self._log.cursor(self.consumer)
        while True:
            records = await self._log.read(self.position, limit=self._config.concurrency)
            if not records:
                await self._log.wait(self.position, timeout_s=_IDLE_S)
                continue
            tasks: list[asyncio.Task[None]] = []
            try:
                async with asyncio.TaskGroup() as sending:
                    tasks += [sending.create_task(self._deliver(record)) for record in records]
            finally:
                await self._advance(records, sum(1 for _ in takewhile(_succeeded, tasks)))

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything in the log is delivered, but not longer than the timeout (seconds)."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.pending_records:
                    await self._advanced.wait()

    async def _advance(self, records: Sequence[Record], done: int) -> None:
        """Commit what is done with from the start on."""
        if not done:
            return
        self.position = records[done - 1].offset
        self._advanced.set()
        self._advanced = asyncio.Event()
        # A full disk: the position is stored with the next one; until then a crash sends this again.
        with suppress(LogFullError):
            await self._log.commit(self.consumer, self.position)

    async def _deliver(self, record: Record) -> None:
        """Send one record until the back end has taken or refused it, or it is too old."""
        if record.signal.value not in self._config.signals:
            return
        attempt = 0
        while isinstance(outcome := await self._try(record), Retry):
            attempt += 1
            self._metrics.retried(self._config.name, outcome.reason)
            self._trouble.retrying(outcome.reason, waiting=self.pending_records)
            left_s = (record.received_ns + self._max_age_ns - self._clock_ns()) / 1e9
            if left_s < 0:
                outcome = Rejected(reason="expired")
                break
            # Whatever the back end asks for: past its age the record is given up.
            await asyncio.sleep(min(left_s, delay_s(self._config.retry, attempt, outcome, self._random())))
        self._count(record, outcome)

    async def _try(self, record: Record) -> Outcome:
        try:
            return await self._exporter.send(record.signal, record.data)
        except Exception:
            # A fault of ours: this record is tried until it is too old, and nothing else is lost.
            if not self._faulty:
                _LOGGER.exception("exporter %s failed; further failures are only counted", self.name)
            self._faulty = True
            return Retry(reason="fault")

    def _count(self, record: Record, outcome: Outcome) -> None:
        name = self._config.name
        if isinstance(outcome, Accepted):
            # A back end may count otherwise than we do; a counter takes nothing below zero.
            rejected = min(max(0, outcome.rejected_items), record.items)
            self._metrics.sent(name, record.signal, record.items - rejected)
            self._trouble.delivered()
            if rejected:
                self._lost(record, "partial_success", rejected)
        elif isinstance(outcome, Rejected):
            self._lost(record, outcome.reason, record.items)

    def _lost(self, record: Record, reason: str, items: int) -> None:
        self._metrics.failed(self._config.name, record.signal, reason=reason, items=items)
        self._trouble.dropped(reason, items=items)


def _succeeded(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def consumer(exporter_name: str) -> str:
    """Name the cursor of an exporter."""
    return f"exporter/{exporter_name}"


def delay_s(retry: RetryConfig, attempt: int, outcome: Retry, random: float) -> float:
    """Return how long to wait before the next try (seconds).

    What the back end asks for is a lower bound. Source: opentelemetry-collector config/configretry.

    Args:
        retry: The configuration.
        attempt: Tries so far (count, from 1).
        outcome: The answer to the last one.
        random: A random number from 0 to 1.
    """
    # The exponent is bounded so that thousands of tries do not overflow.
    grown = min(retry.max_delay_s, retry.initial_delay_s * retry.multiplier ** min(attempt - 1, 100))
    jittered = grown * (1 + retry.jitter * (2 * random - 1))
    return max(jittered, outcome.after_s or 0.0)
