"""Time that costs none: an event loop whose clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from otel_wfperf.instrumentation import call, spans

T = TypeVar("T")

# A Monday at midnight (UTC), so that hours of the day are easy to follow in a report.
EPOCH_NS: Final = 1_700_438_400_000_000_000


class VirtualClock:
    """Moves only when everybody waits.

    Attributes:
        now_s: Since the start of the benchmark's case (seconds).
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.now_s = 0.0

    def time_ns(self) -> int:
        """Return the time as ``time.time_ns`` would (nanoseconds since the Unix epoch)."""
        return EPOCH_NS + round(self.now_s * 1e9)


class _Jump(selectors.SelectSelector):
    """Instead of sleeping, moves the clock."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the workflow waits for something that nobody will do; every task of it is blocked")
        self._clock.now_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock; it has no sockets, threads or signals to wait for."""

    def __init__(self, clock: VirtualClock) -> None:
        """Use :func:`run_virtually`."""
        self._virtual = clock
        super().__init__(_Jump(clock))

    def time(self) -> float:
        """Return the virtual time (seconds)."""
        return self._virtual.now_s


def run_virtually(clock: VirtualClock, main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; a day of sleeping takes as long as a microsecond of it."""
    with instrumentation_reads(clock), asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        return runner.run(main)


@contextmanager
def instrumentation_reads(clock: VirtualClock) -> Iterator[None]:
    """Let the instrumentation of this process read a virtual clock; taken back at the end."""
    names_of_call, names_of_spans = vars(call), vars(spans)
    before: tuple[Any, Any] = (names_of_call["time"], names_of_spans["time_ns"])
    names_of_call["time"] = SimpleNamespace(time_ns=clock.time_ns)
    names_of_spans["time_ns"] = clock.time_ns
    try:
        yield
    finally:
        names_of_call["time"], names_of_spans["time_ns"] = before
