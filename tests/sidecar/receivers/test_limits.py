"""What one sender may ask, over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import gzip

import grpc
import grpc.aio
import pytest
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]

from tests.sidecar import requests
from tests.sidecar.receivers.test_grpc import OPTIONS, export, refusal, retry_delay_s
from tests.sidecar.receivers.test_http import PROTOBUF, post, status_of
from tests.sidecar.receiving import Start, samples
from tests.waiting import eventually_async

FIRST, SECOND = "first-0123456789", "second-0123456789"


async def test_each_of_the_tokens_opens_and_nothing_else_does(start_receivers: Start) -> None:
    receivers = await start_receivers(security={"tokens": [FIRST, SECOND]})
    body = requests.traces()
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        for token in (FIRST, SECOND):
            bearer = ("authorization", f"Bearer {token}")
            assert (await post(receivers.http, body, PROTOBUF | dict([bearer]))).status_code == 200
            assert await export(channel, body, metadata=[bearer]) == b""
        for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": FIRST}):
            refused = await post(receivers.http, body, PROTOBUF | header)
            assert (refused.status_code, status_of(refused).code) == (401, Code.UNAUTHENTICATED)
            assert refused.headers["www-authenticate"] == 'Bearer realm="otel-wfperf"'
            error = await refusal(channel, body, metadata=list(header.items()))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert error.details() == status_of(refused).message

    assert len(await receivers.records()) == 4
    assert samples(receivers.metrics, "wfperf_receiver_refused_requests_total") == {
        ("http", "unauthenticated", "traces"): 3,
        ("grpc", "unauthenticated", "traces"): 3,
    }


async def test_a_request_of_too_many_spans_is_refused_for_good(start_receivers: Start) -> None:
    receivers = await start_receivers(limits={"request_items": 10})
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        assert await export(channel, requests.traces(10)) == b""
        error = await refusal(channel, requests.traces(11))
    assert (await post(receivers.http, requests.traces(10), PROTOBUF)).status_code == 200
    refused = await post(receivers.http, requests.traces(11), PROTOBUF)

    assert (refused.status_code, error.code()) == (413, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert retry_delay_s(error) is None
    message = "11 traces in one request are more than sidecar.limits.request_items: 10; send smaller batches"
    assert status_of(refused).message == error.details() == message


@pytest.mark.parametrize("packed", [False, True])
async def test_more_than_there_is_memory_for_is_refused_retryably(start_receivers: Start, *, packed: bool) -> None:
    large = requests.traces(1000)
    receivers = await start_receivers(
        max_request_bytes=len(large), limits={"in_flight_size": len(large) + len(large) // 2}
    )
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Content-Length: {len(large)}\r\n\r\n".encode() + large[:-1])
    await writer.drain()
    body = gzip.compress(large) if packed else large
    encoding = {"content-encoding": "gzip"} if packed else {}

    async def crowded() -> bool:
        response = await post(receivers.http, body, PROTOBUF | encoding)
        return response.status_code == 503 and response.headers["retry-after"] == "1"

    await eventually_async(crowded)
    async with grpc.aio.insecure_channel(receivers.grpc, options=OPTIONS) as channel:
        error = await refusal(channel, body)
        assert (error.code(), retry_delay_s(error)) == (grpc.StatusCode.UNAVAILABLE, 1.0)
        writer.close()

        async def roomy() -> bool:
            return (await post(receivers.http, body, PROTOBUF | encoding)).status_code == 200

        await eventually_async(roomy)
        assert await export(channel, body) == b""


async def test_a_connection_over_the_limit_is_told_to_come_back(start_receivers: Start) -> None:
    receivers = await start_receivers(limits={"connections": 2})
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    holding = [await asyncio.open_connection(host, int(port)) for _ in range(2)]

    reader, writer = await asyncio.open_connection(host, int(port))
    answer = await reader.read()

    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")
    assert samples(receivers.metrics, "wfperf_http_refused_connections_total") == {("http",): 1}
    for _, each in [*holding, (reader, writer)]:
        each.close()

    async def served() -> bool:
        return (await post(receivers.http, requests.traces(), PROTOBUF)).status_code == 200

    await eventually_async(served)
