"""Real receivers on real sockets, in front of a real log."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from starlette.responses import Response

from otel_wfperf.log import SqliteLog
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.ports import Ports
from tests.sidecar.receiving import Receivers, Start
from tests.sidecar.running import configured


@pytest.fixture
async def start_receivers(tmp_path: Path) -> AsyncIterator[Start]:
    """Start receivers with chosen limits."""
    async with AsyncExitStack() as running:

        async def start(
            *,
            max_request_bytes: int = 64 * 1024**2,
            max_log_bytes: int = 10**9,
            read_timeout_s: float = 30.0,
            security: Mapping[str, Any] = MappingProxyType({}),
            limits: Mapping[str, Any] = MappingProxyType({}),
        ) -> Receivers:
            log = SqliteLog(
                tmp_path / "log.sqlite",
                consumers=["reader"],
                max_size_bytes=max_log_bytes,
                max_age_s=3600,
                fsync=False,
            )
            running.push_async_callback(log.close)
            metrics = Metrics()
            config = configured(
                tmp_path,
                max_request_size=max_request_bytes,
                read_timeout=read_timeout_s,
                security={"otlp": security},
                limits=limits,
            )
            ports = Ports(config, log, metrics, page=Response("no page"))
            endpoints = await ports.open(running)
            return Receivers(log=log, metrics=metrics, ports=ports, grpc=endpoints.grpc, http=endpoints.http)

        yield start


@pytest.fixture
async def receivers(start_receivers: Start) -> Receivers:
    """Receivers with default limits."""
    return await start_receivers()
