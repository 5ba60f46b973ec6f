"""Real receivers on real sockets, in front of a real log."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from otel_wfperf.log import SqliteLog
from otel_wfperf.sidecar.http_server import HttpServer
from otel_wfperf.sidecar.metrics import Metrics
from otel_wfperf.sidecar.receivers import http
from otel_wfperf.sidecar.receivers.grpc import GrpcReceiver
from otel_wfperf.sidecar.receivers.request import Intake
from tests.sidecar.receiving import Receivers, Start


@pytest.fixture
async def start_receivers(tmp_path: Path) -> AsyncIterator[Start]:
    """Start receivers with chosen limits."""
    async with AsyncExitStack() as running:

        async def start(
            *, max_request_bytes: int = 64 * 1024**2, max_log_bytes: int = 10**9, read_timeout_s: float = 30.0
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
            intake = Intake(log, metrics, max_request_bytes=max_request_bytes)
            app = http.application(intake, read_timeout_s=read_timeout_s)
            http_server = HttpServer(
                app, "127.0.0.1:0", key="sidecar.listen.http", drain_timeout_s=1, read_timeout_s=read_timeout_s
            )
            http_url = await http_server.start()
            running.push_async_callback(http_server.stop)
            grpc_server = GrpcReceiver(intake, "127.0.0.1:0")
            grpc_address = await grpc_server.start()
            running.push_async_callback(grpc_server.stop, 0)
            return Receivers(log=log, metrics=metrics, intake=intake, grpc=grpc_address, http=http_url)

        yield start


@pytest.fixture
async def receivers(start_receivers: Start) -> Receivers:
    """Receivers with default limits."""
    return await start_receivers()
