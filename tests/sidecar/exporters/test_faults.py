"""Forwarders in front of networks that misbehave: each stands alone, and recovers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from otel_wfperf.sidecar.exporters.transport import TRANSPORTS
from otel_wfperf.sidecar.metrics import Metrics
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.sidecar.exporters.backend import grpc_backend, http_backend
from tests.sidecar.exporters.test_forwarder import delivered, fill, forwarding, log_for
from tests.sidecar.exporters.test_transports import BACKENDS
from tests.sidecar.receiving import samples
from tests.waiting import eventually_async

transports = pytest.mark.parametrize("protocol", TRANSPORTS)


def silence(proxy: FaultProxy) -> None:
    proxy.silent = True


def resets(proxy: FaultProxy) -> None:
    proxy.reset_after_bytes = 300


FAULTS = {"half-open": silence, "reset in the body": resets}


@transports
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_delivers_everything_once_the_network_is_well_again(
    tmp_path: Path, protocol: str, fault: Callable[[FaultProxy], None]
) -> None:
    """Connections that went silent never come back: only new ones work."""
    metrics = Metrics()

    async def tried() -> bool:
        return sum(samples(metrics, "wfperf_exporter_retried_requests_total").values()) >= 3

    async with AsyncExitStack() as running:
        log = await running.enter_async_context(log_for(tmp_path, "b"))
        backend = await running.enter_async_context(BACKENDS[protocol]())
        proxy = await running.enter_async_context(fault_proxy(int(backend.endpoint.rsplit(":", 1)[1])))
        endpoint = f"http://127.0.0.1:{proxy.port}"
        forwarder = forwarding(log, endpoint, metrics=metrics, protocol=protocol, timeout="300ms")
        await running.enter_async_context(forwarder)
        await delivered(backend, await fill(log, 1))
        fault(proxy)
        expected = await fill(log, 5)
        backend.taken.clear()
        await eventually_async(tried)
        proxy.heal()

        async def complete() -> bool:
            return expected <= set(backend.span_ids())

        await eventually_async(complete)


async def test_a_slow_back_end_slows_nobody_else(tmp_path: Path) -> None:
    async with (
        log_for(tmp_path, "slow", "quick") as log,
        grpc_backend() as slow,
        http_backend() as quick,
        fault_proxy(int(slow.endpoint.rsplit(":", 1)[1])) as proxy,
    ):
        proxy.delay_s = 3600.0
        expected = await fill(log, 20)
        async with (
            forwarding(log, f"http://127.0.0.1:{proxy.port}", name="slow") as stuck,
            forwarding(log, quick.endpoint, name="quick", protocol="http/protobuf"),
        ):
            await delivered(quick, expected)
            assert stuck.pending_records == 20
            assert stuck.lag_s > 0
