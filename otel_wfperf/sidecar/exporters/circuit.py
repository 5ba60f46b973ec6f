"""How hard to try: all at once while a back end takes something, one request now and then while it takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from otel_wfperf.config import ExporterConfig
from otel_wfperf.sidecar.exporters.exporter import Outcome, Retry
from otel_wfperf.sidecar.exporters.retry import delay_s

# Chosen: a back end that refuses seven of ten at random refuses 20 in a row once in 1 250 times.
MAX_FAILURES: Final = 20
# Chosen: how long it may go unnoticed that a circuit is closed.
_LOOK_AGAIN_S: Final = 1.0


class Circuit:
    """Counts failures in a row over all requests to one back end; nothing here waits or reads a clock.

    Closed, every request may go. After :data:`MAX_FAILURES` in a row it is open: one request at a time probes, at
    intervals that grow as the delays between tries do. What is taken closes it.
    """

    def __init__(self, config: ExporterConfig, *, random: Callable[[], float]) -> None:
        """Start closed; ``random`` gives numbers from 0 to 1 for the jitter."""
        self._retry = config.retry
        self._random = random
        self._probes = 0
        self._probe_at_s = 0.0
        self.failures = 0

    @property
    def is_open(self) -> bool:
        """Whether the back end is taken for dead."""
        return self.failures >= MAX_FAILURES

    def wait_s(self, now_s: float) -> float:
        """Return how long the next request has to wait (seconds)."""
        return max(0.0, self._probe_at_s - now_s) if self.is_open else 0.0

    def answered(self, outcome: Outcome, now_s: float) -> None:
        """Take note of an answer; a refusal for ever is one as well, since the back end lives."""
        if not isinstance(outcome, Retry):
            self.failures = self._probes = 0
            return
        self.failures += 1
        # What was under way when it opened is no probe.
        if self.is_open and now_s >= self._probe_at_s:
            self._probes += 1
            self._probe_at_s = now_s + delay_s(self._retry, self._probes, outcome, self._random())


class Gate:
    """Lets requests to one back end through as its circuit says."""

    def __init__(self, circuit: Circuit, concurrency: int, *, clock_s: Callable[[], float] | None = None) -> None:
        """Let so many requests through at once (count); ``clock_s`` is monotonic (seconds), by default the loop's."""
        self.circuit = circuit
        self._clock_s = clock_s or (lambda: asyncio.get_running_loop().time())
        self._free = asyncio.Semaphore(concurrency)
        self._probing = asyncio.Lock()

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for one's turn, and hold it for the length of a request."""
        async with self._free:
            is_probe = self.circuit.is_open and await self._probe_begins()
            try:
                yield
            finally:
                if is_probe:
                    self._probing.release()

    async def _probe_begins(self) -> bool:
        """Wait to be the one that probes; False when the circuit was closed meanwhile."""
        await self._probing.acquire()
        try:
            # A success of what was under way ends the wait as well.
            while wait_s := self.circuit.wait_s(self._clock_s()):  # noqa: ASYNC110 - it is the time that is awaited
                await asyncio.sleep(min(wait_s, _LOOK_AGAIN_S))
        except BaseException:
            self._probing.release()
            raise
        if not self.circuit.is_open:
            self._probing.release()
        return self.circuit.is_open

    def answered(self, outcome: Outcome) -> None:
        """Take note of an answer."""
        self.circuit.answered(outcome, self._clock_s())
