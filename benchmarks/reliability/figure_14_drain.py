"""Figure 14: SIGTERM drains in time and loses nothing; a second one ends the process at once."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.reliability.arrivals import arrived_once_all_are
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.figure_08_no_backend import silent_backend
from benchmarks.reliability.load import Sent, send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from tests.peers import running_collector

SPANS_PER_S: Final = 10_000
_BEFORE_S: Final = 5.0
_AFTER_S: Final = 1.0
_DRAIN_LIMIT_S: Final = 10.0
_AT_ONCE_S: Final = 1.0


def measure() -> Outcome:
    """Terminate under load before a Collector, and twice before a back end that never answers."""
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder:
        drained_s, lost, accepted, status = _drain(Path(folder))
    with tempfile.TemporaryDirectory(prefix="wfperf-") as folder:
        twice_s, twice_status = _terminated_twice(Path(folder))
    return Outcome(
        got=f"drained in {drained_s:.1f} s (exit status {status}), {lost} of {accepted} acknowledged spans missing at "
        f"the Collector; second SIGTERM ends it in {twice_s:.2f} s (exit status {twice_status})",
        reached=drained_s < _DRAIN_LIMIT_S
        and lost == 0
        and status == 0
        and twice_s < _AT_ONCE_S
        and twice_status == 128 + signal.SIGTERM,
    )


def _drain(folder: Path) -> tuple[float, int, int, int]:
    with running_collector() as collector:
        settings = {"exporters": [{"name": "collector", "endpoint": f"http://{collector.otlp_grpc}"}]}
        with running_sidecar(folder, settings) as sidecar:
            sent, drained_s, status = asyncio.run(_terminated_under_load(sidecar))
        found = arrived_once_all_are(collector.output, sent.accepted, limit_s=5.0)
    return drained_s, len(sent.accepted - found.keys()), len(sent.accepted), status


async def _terminated_under_load(sidecar: SidecarProcess) -> tuple[Sent, float, int]:
    load = workflow_batches(int(SPANS_PER_S * (_BEFORE_S + _AFTER_S)))
    sending = asyncio.create_task(send(sidecar.grpc, load, spans_per_s=SPANS_PER_S))
    await asyncio.sleep(_BEFORE_S)
    started_s = time.monotonic()
    sidecar.signal(signal.SIGTERM)
    status = await asyncio.to_thread(sidecar.wait)
    drained_s = time.monotonic() - started_s
    return await sending, drained_s, status


def _terminated_twice(folder: Path) -> tuple[float, int]:
    with silent_backend() as backend:
        settings = {"exporters": [{"name": "silent", "endpoint": backend}]}
        with running_sidecar(folder, settings) as sidecar:
            asyncio.run(send(sidecar.grpc, workflow_batches(5_000)))
            sidecar.signal(signal.SIGTERM)
            # Well within the 8 s of its drain.
            time.sleep(_AT_ONCE_S)
            started_s = time.monotonic()
            sidecar.signal(signal.SIGTERM)
            status = sidecar.wait()
            return time.monotonic() - started_s, status


FIGURE: Final = Figure(
    number=14,
    title="SIGTERM under 10 000 spans/s",
    asked="drained in < 10 s with 0 lost; a second SIGTERM ends it",
    measure=measure,
)
