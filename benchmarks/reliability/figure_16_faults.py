"""Figure 16: back ends that misbehave in five ways, beside two that do not."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks.reliability.backend import Backend, running_backend
from benchmarks.reliability.figure import Figure, Outcome
from benchmarks.reliability.load import send, workflow_batches
from benchmarks.reliability.rig import SidecarProcess, running_sidecar
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.sidecar.authority import Authority

_SPANS_PER_S: Final = 5_000
_SECONDS: Final = 20
_SLOW_S: Final = 5.0
# Chosen: a healthy exporter has a request within milliseconds; what waits for a broken one waits for seconds.
_MAX_LAG_S: Final = 1.0
_DRAIN_S: Final = 120
_EXPIRED: Final = datetime(2020, 1, 1, tzinfo=UTC)


def measure() -> Outcome:
    """Load a sidecar with seven exporters; watch how far the two healthy ones are behind, then heal what can be."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> Outcome:
    async with AsyncExitStack() as running:
        healthy = [await running.enter_async_context(running_backend(Backend(port=0))) for _ in range(2)]
        broken = await _broken(running)
        endpoints = {f"healthy {n}".replace(" ", "-"): f"http://127.0.0.1:{b.port}" for n, b in enumerate(healthy)}
        endpoints |= {name: f"http://127.0.0.1:{proxy.port}" for name, (_, proxy) in broken.items()}
        exporters: list[dict[str, Any]] = [{"name": name, "endpoint": url} for name, url in endpoints.items()]
        exporters += [
            {"name": "no-such-host", "endpoint": "http://no-such-host.invalid:4317"},
            await running.enter_async_context(_expired(folder)),
        ]
        sidecar = await running.enter_async_context(_sidecar(folder, exporters))
        lags_s: list[float] = []
        watching = asyncio.create_task(_watch(sidecar, [name for name in endpoints if "healthy" in name], lags_s))
        sent = await send(sidecar.grpc, list(workflow_batches(_SPANS_PER_S * _SECONDS)), spans_per_s=_SPANS_PER_S)
        await asyncio.sleep(_MAX_LAG_S)
        watching.cancel()
        missing = sum(len(sent.accepted - each.spans().keys()) for each in healthy)
        for _, proxy in broken.values():
            proxy.heal()
        late = [await each.until(len(sent.accepted), timeout_s=_DRAIN_S) for each, _ in broken.values()]
        reasons = {name: await asyncio.to_thread(_reasons, sidecar, name) for name in ("no-such-host", "expired")}
    got = (
        f"{len(sent.accepted):,} spans at {_SPANS_PER_S:,}/s: healthy exporters lag {max(lags_s):.2f} s at most "
        f"({len(lags_s)} looks) and miss {missing} a second after the load; {sum(late)} of {len(late)} healed ones are "
        f"complete; reasons: {reasons}"
    )
    told = reasons == {"no-such-host": ["dns"], "expired": ["tls"]}
    return Outcome(got=got, reached=max(lags_s) <= _MAX_LAG_S and not missing and all(late) and told)


async def _broken(running: AsyncExitStack) -> dict[str, tuple[Backend, FaultProxy]]:
    """Run the back ends that a proxy breaks."""
    broken = {}
    for name in ("slow", "half-open", "reset"):
        backend = await running.enter_async_context(running_backend(Backend(port=0)))
        broken[name] = (backend, await running.enter_async_context(fault_proxy(backend.port)))
    broken["slow"][1].delay_s = _SLOW_S
    broken["half-open"][1].silent = True
    broken["reset"][1].reset_after_bytes = 100_000
    return broken


@asynccontextmanager
async def _expired(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Run a back end whose certificate has expired."""
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("server", not_after=_EXPIRED)
    server = grpc.aio.server()
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    )
    await server.start()
    try:
        tls = {"ca": str(authority.certificate)}
        yield {"name": "expired", "endpoint": f"https://127.0.0.1:{port}", "tls": tls}
    finally:
        await server.stop(0)


@asynccontextmanager
async def _sidecar(folder: Path, exporters: list[dict[str, Any]]) -> AsyncIterator[SidecarProcess]:
    running = running_sidecar(folder, {"exporters": exporters})
    sidecar = await asyncio.to_thread(running.__enter__)
    try:
        yield sidecar
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def _watch(sidecar: SidecarProcess, names: list[str], lags_s: list[float]) -> None:
    """Note how far behind exporters are, four times a second."""
    while True:
        lags_s += [await asyncio.to_thread(sidecar.metric, "wfperf_exporter_lag_seconds", exporter=n) for n in names]
        await asyncio.sleep(0.25)


def _reasons(sidecar: SidecarProcess, name: str) -> list[str]:
    """List why an exporter tried again."""
    metric = "wfperf_exporter_retried_requests_total"
    known = ("dns", "tls", "unavailable", "deadline_exceeded", "fault")
    return [reason for reason in known if sidecar.metric(metric, exporter=name, reason=reason)]


FIGURE: Final = Figure(
    number=16,
    title="back ends that misbehave",
    asked="slow 5 s, half-open, RST mid-body, DNS gone, certificate expired: no other exporter stalls",
    measure=measure,
)
