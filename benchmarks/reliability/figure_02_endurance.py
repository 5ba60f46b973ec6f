"""Figure 2: an hour at 10 000 spans a second, after which nothing has grown and nothing is lost.

`WFPERF_ENDURANCE_MINUTES` makes it shorter, to try it out.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression
from typing import Final

import grpc
import grpc.aio
import psutil

from benchmarks.reliability.arrivals import wait_until
from benchmarks.reliability.endless import digest, digests, endless_batches
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import METHOD, Batch
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from tests.peers import REPOSITORY
from tests.processes import running_process

MINUTES: Final = float(os.environ.get("WFPERF_ENDURANCE_MINUTES", "60"))
SPANS_PER_S: Final = 10_000
_CONCURRENCY: Final = 16
_LOOK_EVERY_S: Final = 5.0
# Chosen: caches and windows are full by then; the slope is that of the rest.
_WARM_UP_RATIO: Final = 1 / 6
_SLOPE_MIB: Final = 1.0
_SLOPE_OVER_S: Final = 600.0
_DELIVERY_LIMIT_S: Final = 60.0


@dataclass(slots=True)
class _Run:
    """What was sent and what was seen meanwhile."""

    acknowledged: set[bytes] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    spent_s: float = 0.0


def measure() -> Outcome:
    """Send, look at the process every few seconds, and at the end compare digests at the back end."""
    with tempfile.TemporaryDirectory(prefix="wfperf-") as name, _backend(Path(name)) as (endpoint, noted):
        settings = {"exporters": [{"name": "backend", "endpoint": endpoint}]}
        with running_sidecar(Path(name), settings) as sidecar:
            run = asyncio.run(_run(sidecar))
            wait_until(lambda: run.acknowledged <= set(digests(noted)), limit_s=_DELIVERY_LIMIT_S, pause_s=1.0)
        arrived = Counter(digests(noted))
    return _outcome(run, arrived)


def _outcome(run: _Run, arrived: Counter[bytes]) -> Outcome:
    lost = len(run.acknowledged - arrived.keys())
    again = sum(arrived[one] > 1 for one in run.acknowledged)
    steady = next((at for at, time_s in enumerate(run.times_s) if time_s >= run.times_s[-1] * _WARM_UP_RATIO), 0)
    slope_mib = linear_regression(run.times_s[steady:], run.rss_mib[steady:]).slope * _SLOPE_OVER_S
    handles, threads = _range(run.handles[steady:]), _range(run.threads[steady:])
    spans_per_s = (len(run.acknowledged) + sum(run.refused.values())) * 512 / run.spent_s
    flat = handles[1] - handles[0] <= 4 and threads[1] - threads[0] <= 4  # connections that are renewed come and go
    return Outcome(
        got=f"{run.spent_s / 60:.0f} minutes at {spans_per_s:.0f} spans/s: {slope_mib:+.2f} MiB per 10 min at "
        f"{run.rss_mib[-1]:.0f} MiB, {handles[0]}-{handles[1]} open files, {threads[0]}-{threads[1]} threads; {lost} "
        f"of {len(run.acknowledged)} acknowledged requests lost, {again} twice, refused {dict(run.refused)}",
        reached=lost == 0 and slope_mib <= _SLOPE_MIB and flat and spans_per_s > 0.98 * SPANS_PER_S,
    )


def _range(values: Sequence[int]) -> tuple[int, int]:
    return min(values), max(values)


async def _run(sidecar: SidecarProcess) -> _Run:
    run = _Run()
    started_s = time.monotonic()
    looking = asyncio.create_task(_look(sidecar, run, started_s))
    waiting = asyncio.Semaphore(_CONCURRENCY)
    due_s = started_s
    async with grpc.aio.insecure_channel(sidecar.grpc) as channel, asyncio.TaskGroup() as tasks:
        call = channel.unary_unary(METHOD, request_serializer=bytes, response_deserializer=bytes)

        async def one(batch: Batch) -> None:
            try:
                await call(batch.data, timeout=30)
            except grpc.aio.AioRpcError as error:
                run.refused[error.code().name] += 1
            else:
                run.acknowledged.add(digest(batch.data))
            finally:
                waiting.release()

        for batch in endless_batches():
            if due_s > started_s + MINUTES * 60:
                break
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            due_s += len(batch.spans) / SPANS_PER_S
            await waiting.acquire()
            tasks.create_task(one(batch))
    run.spent_s = time.monotonic() - started_s
    looking.cancel()
    return run


async def _look(sidecar: SidecarProcess, run: _Run, started_s: float) -> None:
    process = psutil.Process(sidecar.pid)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        run.times_s.append(time.monotonic() - started_s)
        run.rss_mib.append(process.memory_info().rss / 1024**2)
        run.handles.append(process.num_fds())
        run.threads.append(process.num_threads())


@contextmanager
def _backend(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run the back end; yield its URL and the file with what it took."""
    port_file, noted = folder / "port", folder / "digests"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.reliability.endless", port_file, noted]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    with running_process(command, folder, ready=lambda: _has_port(port_file), environment=environment):
        yield f"http://127.0.0.1:{port_file.read_text(encoding='utf-8')}", noted


def _has_port(file: Path) -> bool:
    return file.exists() and bool(file.read_text(encoding="utf-8"))


FIGURE: Final = Figure(
    number=2,
    title="60 minutes at 10 000 spans/s",
    asked="resident memory grows by at most 1 MiB per 10 min, open files and threads flat, 0 lost",
    measure=measure,
    long=True,
)
