import asyncio
import gzip
import resource
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.log import Signal
from otel_wfperf.sidecar.receivers.grpc import SERVICES
from tests.sidecar import requests
from tests.sidecar.receiving import Receivers, Start, samples

OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]


@pytest.fixture
async def channel(receivers: Receivers) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as connected:
        yield connected


async def export(channel: grpc.aio.Channel, body: bytes, *, signal: Signal = Signal.TRACES, **options: Any) -> bytes:
    call = channel.unary_unary(f"/{SERVICES[signal]}/Export", request_serializer=bytes, response_deserializer=bytes)
    answer: bytes = await call(body, timeout=60, **options)
    return answer


async def refusal(channel: grpc.aio.Channel, body: bytes, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await export(channel, body, **options)
    return caught.value


def retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            info = RetryInfo()
            [detail] = Status.FromString(value).details
            assert detail.Unpack(info)
            return float(info.retry_delay.seconds)
    return None


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
@pytest.mark.parametrize("signal", Signal)
async def test_keeps_the_bytes_of_each_signal(
    receivers: Receivers, channel: grpc.aio.Channel, signal: Signal, compression: grpc.Compression | None
) -> None:
    body = requests.REQUESTS[signal]

    assert await export(channel, body, signal=signal, compression=compression) == b""

    [record] = await receivers.records()
    assert (record.signal, record.data) == (signal, body)


async def test_rejects_single_spans_and_says_how_many(receivers: Receivers, channel: grpc.aio.Channel) -> None:
    answer = await export(channel, requests.traces(2) + requests.traces(1, trace_id=b"short"))

    assert ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans == 1
    [record] = await receivers.records()
    assert record.items == 2


@pytest.mark.parametrize("body", [b"\xff", requests.traces()[:-3], b"\x1f\x8bno gzip", gzip.compress(b"\xff")])
async def test_malformed_messages_are_invalid_arguments(
    receivers: Receivers, channel: grpc.aio.Channel, body: bytes
) -> None:
    error = await refusal(channel, body)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await receivers.records() == ()
    assert samples(receivers.metrics, "wfperf_receiver_refused_requests_total") == {("grpc", "malformed", "traces"): 1}


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip])
async def test_a_message_over_the_limit_exhausts_resources_for_good(
    start_receivers: Start, compression: grpc.Compression | None
) -> None:
    body = requests.traces(100)
    receivers = await start_receivers(max_request_bytes=len(body))
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        assert await export(channel, body, compression=compression) == b""
        error = await refusal(channel, requests.traces(101), compression=compression)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_delay_s(error) is None


async def test_a_zip_bomb_is_refused_in_bounded_memory(start_receivers: Start) -> None:
    receivers = await start_receivers(max_request_bytes=1024**2)
    bomb = requests.zip_bomb(256 * 1024**2)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        error = await refusal(channel, bomb)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 * 1024


async def test_a_full_log_is_unavailable_with_retry_info(start_receivers: Start) -> None:
    receivers = await start_receivers(max_log_bytes=10)
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        error = await refusal(channel, requests.traces())

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_delay_s(error) == 1.0
    assert samples(receivers.metrics, "wfperf_receiver_refused_requests_total") == {("grpc", "overload", "traces"): 1}


async def test_many_requests_at_once_are_each_stored_once(receivers: Receivers, channel: grpc.aio.Channel) -> None:
    bodies = [requests.traces(5, first=1 + 5 * number) for number in range(200)]

    await asyncio.gather(*(export(channel, body) for body in bodies))

    stored = [span for record in await receivers.records() for span in requests.span_ids(record.data)]
    assert sorted(stored) == [f"{number:016x}" for number in range(1, 1001)]


async def test_other_methods_are_unimplemented(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary(
        f"/{SERVICES[Signal.TRACES]}/Import", request_serializer=bytes, response_deserializer=bytes
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", timeout=60)

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
