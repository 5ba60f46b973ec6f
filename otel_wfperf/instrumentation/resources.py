"""Resources of this process and machine, sampled by one daemon thread.

A sample costs about 0.1 ms and is taken once a second, never by the code that is
measured: spans and gauges read the latest one. Event loops are pinged more often,
because a loop that was blocked for 200 ms is fine again at the end of the second.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_wfperf import semconv
from otel_wfperf.instrumentation.failures import count_failure

if TYPE_CHECKING:
    # Neither is imported before it is needed: `import otel_wfperf` must stay cheap.
    import asyncio

    import psutil

# Chosen: the rate at which the figures below cost less than 0.02 % of a core.
SAMPLE_INTERVAL_S: Final = 1.0
# Chosen: a 100 ms heartbeat costs 0.2 % of a core and sees every pause of 100 ms, the threshold of resource_contention.
HEARTBEAT_INTERVAL_S: Final = 0.1
_PRESSURE = Path("/proc/pressure")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSample:
    """One look at the process and the machine; None = this system does not tell.

    Attributes:
        cpu_ratio: CPU use of the process over the CPUs that it may use, since the previous sample (0..1).
        memory_bytes: Resident set size of the process (bytes).
        memory_ratio: Memory in use over the container's limit, or the machine's memory without one (0..1).
        loop_lag_s: Longest delay of an event loop since the previous sample (seconds).
        cpu_pressure_ratio: PSI "some avg10" of the CPU (0..1).
        memory_pressure_ratio: PSI "some avg10" of memory (0..1).
        steal_ratio: Share of CPU time that the hypervisor took since the previous sample (0..1).
        sent_bytes: Bytes that the host sent since it started.
        received_bytes: Bytes that the host received since it started.
    """

    cpu_ratio: float | None = None
    memory_bytes: int | None = None
    memory_ratio: float | None = None
    loop_lag_s: float | None = None
    cpu_pressure_ratio: float | None = None
    memory_pressure_ratio: float | None = None
    steal_ratio: float | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None

    def attributes(self) -> Mapping[str, float | int]:
        """Spell the sample as span attributes, leaving out what is not known."""
        values = {
            semconv.CPU_RATIO: self.cpu_ratio,
            semconv.MEMORY_RSS: self.memory_bytes,
            semconv.MEMORY_RATIO: self.memory_ratio,
            semconv.LOOP_LAG: self.loop_lag_s,
            semconv.CPU_PRESSURE: self.cpu_pressure_ratio,
            semconv.MEMORY_PRESSURE: self.memory_pressure_ratio,
            semconv.CPU_STEAL: self.steal_ratio,
        }
        return {name: value for name, value in values.items() if value is not None}


class EventLoopLag:
    """The longest delay of the event loops seen, measured by pinging them from outside."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no loop yet.

        Args:
            clock: Monotonic time (seconds).
        """
        self._clock = clock
        # Reentrant: a signal handler may start an operation in the middle of `watch`.
        self._lock = threading.RLock()
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        self._pending: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, float] = weakref.WeakKeyDictionary()
        self._longest_s = 0.0

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ping this loop until it is closed."""
        if loop not in self._loops:
            with self._lock:
                self._loops.add(loop)

    def __len__(self) -> int:
        """How many loops are watched (count)."""
        return len(self._loops)

    def ping(self) -> None:
        """Ask every loop for an answer, unless it still owes the previous one."""
        with self._lock:
            loops = list(self._loops)
        for loop in loops:
            if not loop.is_running() and not loop.is_closed():
                # Between two `run_until_complete`, nobody is kept waiting.
                self._pending.pop(loop, None)
                continue
            asked = self._pending.get(loop)
            if asked is not None:
                self._longest_s = max(self._longest_s, self._clock() - asked)
                continue
            try:
                self._pending[loop] = self._clock()
                loop.call_soon_threadsafe(self._answer, weakref.ref(loop))
            except RuntimeError:  # closed
                self._loops.discard(loop)
                self._pending.pop(loop, None)

    def take_longest_s(self) -> float | None:
        """Return the longest delay since the last call (seconds); None without a loop."""
        longest, self._longest_s = self._longest_s, 0.0
        return longest if self._loops else None

    def _answer(self, loop: weakref.ref[asyncio.AbstractEventLoop]) -> None:
        target = loop()
        asked = self._pending.pop(target, None) if target is not None else None
        if asked is not None:
            self._longest_s = max(self._longest_s, self._clock() - asked)


class ResourceSampler:
    """Keeps one recent :class:`ResourceSample` while it runs.

    Attributes:
        latest: The newest sample; None while the thread does not run.
        loops: The event loops to ping.
        after_sample: Other cheap work for the same thread, done after each sample.
    """

    def __init__(self) -> None:
        """Prepare; no thread yet."""
        self.latest: ResourceSample | None = None
        self.loops = EventLoopLag()
        self.after_sample: list[Callable[[], object]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._process: psutil.Process | None = None
        self._steal_s = 0.0
        self._sampled_s = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Take a first sample and start the thread; does nothing when it runs already."""
        with self._lock:
            if self.is_running:
                return
            self._stop.clear()
            self._take()
            self._thread = threading.Thread(target=self._run, name="otel-wfperf-resources", daemon=True)
            self._thread.start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        with self._lock:
            thread, self._thread = self._thread, None
            self.latest = None
            self._stop.set()
        atexit.unregister(self.stop)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def after_fork_in_child(self) -> None:
        """Start again in a forked child, where the thread does not exist."""
        was_running = self._thread is not None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = None
        self.loops = EventLoopLag()
        self._process = None
        if was_running:
            self.start()

    def _run(self) -> None:
        stop, next_sample_s = self._stop, time.monotonic() + SAMPLE_INTERVAL_S
        while not stop.wait(HEARTBEAT_INTERVAL_S if len(self.loops) else SAMPLE_INTERVAL_S):
            try:
                self.loops.ping()
                if time.monotonic() >= next_sample_s:
                    next_sample_s = time.monotonic() + SAMPLE_INTERVAL_S
                    self._take()
                    for work in self.after_sample:
                        work()
            except Exception:  # noqa: BLE001 - one failed sample must not end the thread
                count_failure("resources.sample")

    def _take(self) -> None:
        import psutil  # noqa: PLC0415

        process = self._process
        if process is None:
            process = self._process = psutil.Process()
        memory_bytes = process.memory_info().rss
        # None on a machine without network interfaces, which the type stubs do not know.
        network: Any = psutil.net_io_counters()
        self.latest = ResourceSample(
            # Percent since the previous call; the first call has no past and answers 0.
            cpu_ratio=min(1.0, process.cpu_percent() / 100 / _available_cpus()),
            memory_bytes=memory_bytes,
            memory_ratio=_memory_ratio(),
            loop_lag_s=self.loops.take_longest_s(),
            cpu_pressure_ratio=_pressure("cpu"),
            memory_pressure_ratio=_pressure("memory"),
            steal_ratio=self._steal_ratio(),
            sent_bytes=network.bytes_sent if network else None,
            received_bytes=network.bytes_recv if network else None,
        )

    def _steal_ratio(self) -> float | None:
        import psutil  # noqa: PLC0415

        steal_s = getattr(psutil.cpu_times(), "steal", None)
        if steal_s is None:
            return None
        now_s = time.monotonic()
        elapsed_s, used_s = (now_s - self._sampled_s) * (os.cpu_count() or 1), steal_s - self._steal_s
        first = self._sampled_s == 0.0
        self._sampled_s, self._steal_s = now_s, steal_s
        return None if first or elapsed_s <= 0 else max(0.0, min(1.0, used_s / elapsed_s))


def _available_cpus() -> float:
    """CPUs that this process may use. Source: kernel cgroup-v2.rst, cpu.max; sched_setaffinity(2)."""
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _read(_CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cpus = min(cpus, int(quota[0]) / int(quota[1]))
    return max(cpus, 0.01)


def _memory_ratio() -> float:
    """Memory in use over the limit. Source: kernel cgroup-v2.rst, memory.current and memory.max."""
    import psutil  # noqa: PLC0415

    limit, current = _read(_CGROUP / "memory.max").strip(), _read(_CGROUP / "memory.current").strip()
    if limit.isdigit() and current.isdigit() and int(limit) > 0:
        return min(1.0, int(current) / int(limit))
    return float(psutil.virtual_memory().percent) / 100


def _pressure(resource: str) -> float | None:
    """Share of the last 10 s in which some task waited. Source: kernel accounting/psi.rst."""
    for word in _read(_PRESSURE / resource).split():
        if word.startswith("avg10="):
            return float(word.removeprefix("avg10=")) / 100
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


SAMPLER: Final = ResourceSampler()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SAMPLER.after_fork_in_child)
