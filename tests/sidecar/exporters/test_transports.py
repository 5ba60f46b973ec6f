"""Both transports, against one contract."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.config import ExporterConfig
from otel_wfperf.log import Signal
from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome, Rejected, Retry
from otel_wfperf.sidecar.exporters.http import retry_after_s
from otel_wfperf.sidecar.exporters.transport import TRANSPORTS, connect
from tests.processes import free_ports
from tests.sidecar import requests
from tests.sidecar.exporters.backend import Backend, grpc_backend, hang, http_backend

BACKENDS: dict[str, Callable[..., AbstractAsyncContextManager[Backend]]] = {
    "grpc": grpc_backend,
    "http/protobuf": http_backend,
}
transports = pytest.mark.parametrize("protocol", TRANSPORTS)


async def sent(protocol: str, endpoint: str, *, signal: Signal = Signal.TRACES, **options: Any) -> Outcome:
    exporter = connect(
        ExporterConfig.model_validate(
            {"name": "b", "endpoint": endpoint, "protocol": protocol, "timeout": "5s", **options}
        )
    )
    try:
        return await exporter.send(signal, requests.REQUESTS[signal])
    finally:
        await exporter.close()


def refusing(status: object) -> Callable[[bytes], Any]:
    async def refuse(_data: bytes) -> object:
        return status

    return refuse


def undetailed(outcome: Outcome) -> Outcome:
    """Leave out what is meant for people."""
    return outcome if isinstance(outcome, Accepted) else replace(outcome, detail="")


@transports
@pytest.mark.parametrize("signal", Signal)
async def test_hands_over_the_bytes_of_each_signal(protocol: str, signal: Signal) -> None:
    async with BACKENDS[protocol]() as backend:
        assert await sent(protocol, backend.endpoint, signal=signal) == Accepted()
        assert backend.taken == [(signal, requests.REQUESTS[signal])]


@transports
async def test_sends_headers_and_gzip_when_asked(protocol: str) -> None:
    async with BACKENDS[protocol]() as backend:
        await sent(protocol, backend.endpoint, headers={"Authorization": "Bearer x"}, compression="gzip")

        assert backend.headers[0]["authorization"] == "Bearer x"
        if protocol == "http/protobuf":
            assert backend.headers[0]["content-encoding"] == "gzip"
            backend.taken = [(signal, gzip.decompress(data)) for signal, data in backend.taken]
        assert backend.taken == [(Signal.TRACES, requests.traces())]


@transports
async def test_counts_what_the_back_end_left_out(protocol: str) -> None:
    traces, points, logs = (ExportTraceServiceResponse(), ExportMetricsServiceResponse(), ExportLogsServiceResponse())
    traces.partial_success.rejected_spans = 3
    points.partial_success.rejected_data_points = 2
    logs.partial_success.rejected_log_records = 1
    async with BACKENDS[protocol]() as backend:
        for signal, response in zip(Signal, (traces, points, logs), strict=True):
            backend.answer = response.SerializeToString()
            outcome = await sent(protocol, backend.endpoint, signal=signal)
            assert isinstance(outcome, Accepted)
            assert outcome.rejected_items > 0
        backend.answer = b"\xff"
        assert await sent(protocol, backend.endpoint) == Accepted()


@pytest.mark.parametrize(
    ("protocol", "status", "expected"),
    [
        ("grpc", grpc.StatusCode.UNAVAILABLE, Retry(reason="unavailable")),
        ("grpc", grpc.StatusCode.DEADLINE_EXCEEDED, Retry(reason="deadline_exceeded")),
        ("grpc", grpc.StatusCode.ABORTED, Retry(reason="aborted")),
        ("grpc", grpc.StatusCode.RESOURCE_EXHAUSTED, Rejected(reason="resource_exhausted")),
        ("grpc", grpc.StatusCode.INVALID_ARGUMENT, Rejected(reason="invalid_argument")),
        ("grpc", grpc.StatusCode.UNIMPLEMENTED, Rejected(reason="unimplemented")),
        ("http/protobuf", 503, Retry(reason="http_503")),
        ("http/protobuf", 429, Retry(reason="http_429")),
        ("http/protobuf", 500, Rejected(reason="http_500")),
        ("http/protobuf", 400, Rejected(reason="http_400")),
        ("http/protobuf", 404, Rejected(reason="http_404")),
    ],
)
async def test_tells_what_may_be_tried_again(protocol: str, status: object, expected: Outcome) -> None:
    async with BACKENDS[protocol](refusing(status)) as backend:
        assert undetailed(await sent(protocol, backend.endpoint)) == expected


@pytest.mark.parametrize(
    ("protocol", "status"),
    [("grpc", grpc.StatusCode.UNAVAILABLE), ("grpc", grpc.StatusCode.RESOURCE_EXHAUSTED), ("http/protobuf", 503)],
)
async def test_hears_how_long_to_wait(protocol: str, status: object) -> None:
    async with BACKENDS[protocol](refusing(status)) as backend:
        backend.retry_after_s = 7
        outcome = await sent(protocol, backend.endpoint)

    assert isinstance(outcome, Retry)
    assert outcome.after_s == 7.0


@transports
async def test_a_back_end_that_is_not_there_is_tried_again(protocol: str) -> None:
    [port] = free_ports(1)

    assert isinstance(await sent(protocol, f"http://127.0.0.1:{port}"), Retry)


@transports
async def test_a_back_end_that_never_answers_is_tried_again(protocol: str) -> None:
    async with BACKENDS[protocol](hang) as backend:
        assert isinstance(await sent(protocol, backend.endpoint, timeout="200ms"), Retry)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # A byte now and then: each read is in time, the whole never ends.
        (itertools.repeat(b"x"), Retry(reason="timeout")),
        (itertools.repeat(bytes(1024**2)), Accepted()),
    ],
    ids=["slow", "endless"],
)
async def test_an_answer_without_end_is_not_waited_for(answer: Iterable[bytes], expected: Outcome) -> None:
    left = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        with suppress(ConnectionError):
            for piece in answer:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        left.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert undetailed(await sent("http/protobuf", f"http://127.0.0.1:{port}", timeout="500ms")) == expected
        await left.wait()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Thursday, 01-Jan-70 00:01:00 GMT", 50.0),
        ("Thu Jan  1 00:01:00 1970", 50.0),
        ("soon", None),
        ("²", None),
    ],
)
def test_reads_retry_after_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, now_s=10.0) == seconds
