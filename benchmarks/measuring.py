"""One measurement: a recorder and a workload in this process, which does nothing else."""

from __future__ import annotations

import gc
import math
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.recorders import RECORDERS, Flush
from benchmarks.workloads import WORKLOADS, build_chain, documents_state

WARM_UP_RUNS: Final = 10
# Fewer spans than the queues of the SDK hold (2,048): without a pause, which real programs have, they would lose some.
_RUNS_TOGETHER: Final = 20
# Of the warm-up, those that tell how long a run takes.
_TYPICAL_RUNS: Final = 3
# Long enough for caches, queues and the allocator to be as they stay.
SETTLED_RUNS: Final = 1_000
GROWTH_NODES: Final = 5
_PAGE_BYTES: Final = resource.getpagesize()


def measure(recorder: str, workload: str, *, size_bytes: int, runs: int, seconds: float) -> dict[str, float]:
    """Time some runs (milliseconds for each run).

    Args:
        recorder: Name of the recorder.
        workload: Name of the workload.
        size_bytes: Text in the state of each run (bytes).
        runs: How many runs at least.
        seconds: For how long at least: what a recorder does only at first, or once in a second, must not decide.

    Returns:
        ``runs``: Runs, with those of the warm-up (count).
        ``run_ms``: Median wall time of a run.
        ``wall_ms``: Wall time of all runs and of sending what they recorded, divided by their number.
        ``cpu_ms``: The same of CPU time, of all threads of the process.
    """
    flush = RECORDERS[recorder].start()
    if not RECORDERS[recorder].is_heard:
        flush = _do_nothing  # it would wait for time limits, which is nobody's cost
    graph = WORKLOADS[workload].build()
    states = [WORKLOADS[workload].state(size_bytes, run) for run in range(WARM_UP_RUNS)]
    warm_up_s = timed(graph, states, flush)
    runs = max(runs, math.ceil(seconds / statistics.median(warm_up_s[-_TYPICAL_RUNS:])))
    states = [WORKLOADS[workload].state(size_bytes, WARM_UP_RUNS + run) for run in range(runs)]
    cpu_start_s, wall_start_s = time.process_time(), time.perf_counter()
    times_s = timed(graph, states, flush)
    wall_s, cpu_s = time.perf_counter() - wall_start_s, time.process_time() - cpu_start_s
    return {
        "runs": WARM_UP_RUNS + runs,
        "run_ms": statistics.median(times_s) * 1000,
        "wall_ms": wall_s * 1000 / runs,
        "cpu_ms": cpu_s * 1000 / runs,
    }


def timed(graph: Any, states: Sequence[Mapping[str, Any]], flush: Flush) -> list[float]:
    """Run a graph with each state, and send what was recorded now and then; return how long each run took (seconds)."""
    times_s = []
    for number, given in enumerate(states, start=1):
        start_s = time.perf_counter()
        graph.invoke(given)
        times_s.append(time.perf_counter() - start_s)
        if number % _RUNS_TOGETHER == 0 or number == len(states):
            flush()
    return times_s


def _do_nothing() -> None:
    """Send nothing."""


def measure_growth(recorder: str, *, runs: int) -> dict[str, float]:
    """Run a small chain very often; say how much memory came on top after the first thousand runs.

    Returns:
        ``resident_mib``: Growth of the resident set (MiB).
        ``blocks``: Growth of the number of allocated Python objects (count).
    """
    RECORDERS[recorder].start()
    graph = build_chain(GROWTH_NODES)
    before = (0, 0)
    for run in range(runs):
        if run == min(SETTLED_RUNS, runs // 2):
            before = _memory()
        graph.invoke(documents_state(200, run))
    after = _memory()
    return {"resident_mib": (after[0] - before[0]) / 2**20, "blocks": after[1] - before[1]}


def _memory() -> tuple[int, int]:
    """Return the resident set (bytes) and the allocated blocks (count) once queues have been emptied."""
    time.sleep(2.5)
    gc.collect()
    resident_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return resident_pages * _PAGE_BYTES, sys.getallocatedblocks()
