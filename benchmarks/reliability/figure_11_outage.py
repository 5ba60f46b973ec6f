"""Figure 11: a back end that is down; what comes meanwhile is delivered afterwards."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.reliability.backend import Backend, running_backend
from benchmarks.reliability.fast_loop import SPEED, FastLoop
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import Sent, send, workflow_batches
from benchmarks.reliability.rig import running_sidecar
from otel_wfperf.config import ExporterConfig
from otel_wfperf.log import Signal, SqliteLog
from otel_wfperf.sidecar.exporters.aside import Aside
from otel_wfperf.sidecar.exporters.dead_letters import DeadLetters
from otel_wfperf.sidecar.exporters.forwarder import Forwarder, consumer
from otel_wfperf.sidecar.exporters.transport import connect
from otel_wfperf.sidecar.metrics import Metrics
from tests.processes import free_ports

_SPANS_PER_S: Final = 2_000
_REAL_OUTAGE_S: Final = 60
_FAST_OUTAGE_S: Final = 600
_FAST_BATCHES: Final = 300
# Chosen: a probe comes at least every 45 s (30 s and its jitter), and the rest is quick.
_DRAIN_S: Final = 90


def measure() -> Outcome:
    """Measure a minute with a real sidecar, and ten minutes with an exporter whose time passes faster."""
    with tempfile.TemporaryDirectory() as folder:
        real = asyncio.run(_real(Path(folder)))
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=FastLoop) as runner:
        fast = runner.run(_fast(Path(folder)))
    return Outcome(got=f"{real.got}; {fast.got}", reached=real.reached and fast.reached)


async def _real(folder: Path) -> Outcome:
    [port] = free_ports(1)
    running = running_sidecar(folder, {"exporters": [{"name": "b", "endpoint": f"http://127.0.0.1:{port}"}]})
    sidecar = await asyncio.to_thread(running.__enter__)
    try:
        batches = list(workflow_batches(_SPANS_PER_S * _REAL_OUTAGE_S))
        sent = await send(sidecar.grpc, batches, spans_per_s=_SPANS_PER_S)
        tries = await asyncio.to_thread(sidecar.metric, "wfperf_exporter_retried_requests_total")
        async with running_backend(Backend(port=port)) as backend:
            begun_s = asyncio.get_running_loop().time()
            await backend.until(len(sent.accepted), timeout_s=_DRAIN_S)
            drained_s = asyncio.get_running_loop().time() - begun_s
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    return _compared(f"{_REAL_OUTAGE_S} s real", sent, backend, f"{tries:.0f} tries, drained in {drained_s:.0f} s")


async def _fast(folder: Path) -> Outcome:
    [port] = free_ports(1)
    loop = asyncio.get_running_loop()
    log = SqliteLog(
        folder / "log.sqlite", consumers=[consumer("b")], max_size_bytes=10**9, max_age_s=24 * 3600, fsync=False
    )
    config = ExporterConfig(name="b", endpoint=f"http://127.0.0.1:{port}")
    metrics, exporter = Metrics(), connect(config)
    letters = DeadLetters(folder / "letters", max_size_bytes=10**6, clock_ns=lambda: 0)
    forwarder = Forwarder(
        config,
        exporter,
        log,
        metrics=metrics,
        aside=Aside("b", letters, metrics),
        max_age_s=24 * 3600,
        random=random.random,
    )
    forwarding = asyncio.create_task(forwarder.run())
    sent, backend = Sent(), Backend(port=port)
    try:
        for batch in workflow_batches(_FAST_BATCHES * 512):
            await log.append(Signal.TRACES, batch.data, items=len(batch.spans))
            sent.accepted.update(batch.spans)
            await asyncio.sleep(_FAST_OUTAGE_S / _FAST_BATCHES)
        async with running_backend(backend):
            begun_s = loop.time()
            await backend.until(len(sent.accepted), timeout_s=_DRAIN_S)
            drained_s = loop.time() - begun_s
    finally:
        forwarding.cancel()
        await asyncio.gather(forwarding, return_exceptions=True)
        await exporter.close()
        await log.close()
    return _compared(f"{_FAST_OUTAGE_S} s at {SPEED} times the speed", sent, backend, f"drained in {drained_s:.0f} s")


def _compared(what: str, sent: Sent, backend: Backend, more: str) -> Outcome:
    received = backend.spans()
    missing, strange = len(sent.accepted - received.keys()), len(received.keys() - sent.accepted)
    twice = sum(count - 1 for count in received.values())
    refused = sum(sent.refused.values())
    got = f"{what}: {len(sent.accepted):,} sent, {missing} missing, {strange} strange, {twice} twice, {refused} refused"
    return Outcome(got=f"{got}, {more}", reached=not (missing or strange or twice or refused))


FIGURE: Final = Figure(
    number=11,
    title="back end down",
    asked="down for 10 min (fast clock) and 60 s (real), then drains: sent == received",
    measure=measure,
)
