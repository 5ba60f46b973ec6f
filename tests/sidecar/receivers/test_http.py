import asyncio
import base64
import gzip
import json
import resource
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.log import Signal
from tests.sidecar import requests
from tests.sidecar.receiving import Receivers, Start, samples
from tests.waiting import eventually_async

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
CASES: list[dict[str, Any]] = []


@pytest.fixture
async def client(receivers: Receivers) -> Any:
    async with httpx.AsyncClient(base_url=receivers.http, trust_env=False) as connected:
        yield connected


async def post(url: str, body: bytes, headers: dict[str, str], *, path: str = "/v1/traces") -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        return await client.post(path, content=body, headers=headers)


def status_of(response: httpx.Response) -> Status:
    if response.headers["content-type"] == "application/json":
        return json_format.Parse(response.content, Status())
    return Status.FromString(response.content)


@pytest.mark.shared
async def test_answers_the_shared_cases(receivers: Receivers, client: httpx.AsyncClient, shared: Path) -> None:
    cases = json.loads((shared / "data/cases/otlp_receiver_cases.json").read_text())["cases"]
    for case in cases:
        before = receivers.log.end
        expected = case["expected"]
        body = base64.b64decode(case["body_b64"])

        response = await client.request(case["method"], case["path"], headers=case["headers"], content=body)

        assert response.status_code in expected["status"], case["id"]
        if expected["response_content_type"] != "any":
            assert response.headers["content-type"] == expected["response_content_type"], case["id"]
        if expected["accepted_spans"] is not None:
            records = await receivers.log.read(before)
            stored = sum(len(requests.span_ids(record.data)) for record in records)
            assert stored == expected["accepted_spans"], case["id"]
        if response.status_code >= 400:
            assert status_of(response).message, case["id"]


@pytest.mark.parametrize("signal", Signal)
async def test_keeps_the_bytes_of_each_signal(receivers: Receivers, client: httpx.AsyncClient, signal: Signal) -> None:
    body = requests.REQUESTS[signal]

    response = await client.post(f"/v1/{signal}", content=body, headers=PROTOBUF)

    assert (response.status_code, response.content) == (200, b"")
    [record] = await receivers.records()
    assert (record.signal, record.data) == (signal, body)
    assert record.items == (2 if signal is Signal.METRICS else 1)


async def test_turns_json_into_protobuf_without_loss(receivers: Receivers, client: httpx.AsyncClient) -> None:
    body = {
        "resourceLogs": [
            {
                "scopeLogs": [{"logRecords": [{"traceId": "0A" * 16, "timeUnixNano": "9007199254740993"}]}],
                "schemaUrl": "s",
            }
        ]
    }

    response = await client.post("/v1/logs", json=body)

    assert response.json() == {}
    [record] = await receivers.records()
    assert b"\x0a" * 16 in record.data
    assert (9007199254740993).to_bytes(8, "little") in record.data


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
async def test_an_empty_request_is_a_success_and_stores_nothing(
    receivers: Receivers, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    body = b"{}" if headers is JSON else b""

    response = await client.post("/v1/traces", content=body, headers=headers)

    assert response.status_code == 200
    assert await receivers.records() == ()


async def test_rejects_single_spans_and_says_how_many(receivers: Receivers, client: httpx.AsyncClient) -> None:
    good, bad_trace, bad_span = requests.traces(3), requests.traces(2, trace_id=bytes(16)), requests.traces(1, first=0)

    response = await client.post("/v1/traces", content=good + bad_trace + bad_span, headers=PROTOBUF)

    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, partial.rejected_spans) == (200, 3)
    assert partial.error_message == "spans rejected: 1 invalid_span_id, 2 invalid_trace_id; the others were accepted"
    [record] = await receivers.records()
    assert len(requests.span_ids(record.data)) == record.items == 3
    assert samples(receivers.metrics, "wfperf_receiver_rejected_spans_total") == {
        ("invalid_trace_id",): 2,
        ("invalid_span_id",): 1,
    }


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, b"\xff\xff\xff"),
        (PROTOBUF, requests.traces()[:-3]),
        (PROTOBUF, b"\x0a\x04\x12\x02\x0a\x00\x07"),
        (JSON, b"{"),
        (JSON, b"[]"),
        (JSON, b"\xff"),
        (JSON, b'{"resourceSpans": 1}'),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"kind": "x"}]}]}]}'),
        (JSON, b"[" * 100_000),
        (JSON, b'{"resourceSpans":' + b"[" * 100_000),
        (PROTOBUF | {"content-encoding": "gzip"}, b"no gzip"),
        (PROTOBUF | {"content-encoding": "gzip"}, gzip.compress(requests.traces())[:-4]),
        (JSON | {"content-encoding": "gzip"}, gzip.compress(b"{")),
    ],
)
async def test_malformed_bodies_get_400_in_the_encoding_of_the_request(
    receivers: Receivers, client: httpx.AsyncClient, headers: dict[str, str], body: bytes
) -> None:
    response = await client.post("/v1/traces", content=body, headers=headers)

    assert response.status_code == 400
    assert response.headers["content-type"] == headers["content-type"]
    assert status_of(response).code == Code.INVALID_ARGUMENT
    assert await receivers.records() == ()
    assert samples(receivers.metrics, "wfperf_receiver_refused_requests_total") == {("http", "malformed", "traces"): 1}


async def test_unpacks_gzip_of_several_members(receivers: Receivers, client: httpx.AsyncClient) -> None:
    body = requests.traces(2000)
    packed = gzip.compress(body[:1000]) + gzip.compress(body[1000:])

    response = await client.post("/v1/traces", content=packed, headers=PROTOBUF | {"content-encoding": "GZIP"})

    assert response.status_code == 200
    assert [record.data for record in await receivers.records()] == [body]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/v1/traces", PROTOBUF, 405),
        ("POST", "/v1/spans", PROTOBUF, 404),
        ("POST", "/v1/traces", {"content-type": "text/plain"}, 415),
        ("POST", "/v1/traces", {}, 415),
        ("POST", "/v1/traces", PROTOBUF | {"content-encoding": "br"}, 415),
    ],
)
async def test_refuses_what_is_not_otlp(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = await client.request(method, path, headers=headers, content=b"")

    assert response.status_code == status
    assert status_of(response).message
    assert (status == 405) == ("allow" in response.headers)


async def test_the_limit_holds_to_the_byte_before_and_after_decompression(start_receivers: Start) -> None:
    body = requests.traces(100)
    receivers = await start_receivers(max_request_bytes=len(body))
    larger = requests.traces(101)

    assert (await post(receivers.http, body, PROTOBUF)).status_code == 200
    assert (await post(receivers.http, gzip.compress(body), PROTOBUF | {"content-encoding": "gzip"})).status_code == 200
    for refused, headers in ((larger, {}), (gzip.compress(larger), {"content-encoding": "gzip"})):
        response = await post(receivers.http, refused, PROTOBUF | headers)
        assert response.status_code == 413
        assert status_of(response).message == (
            f"the body is larger than sidecar.max_request_size: {len(body)} bytes; send smaller batches"
        )


async def test_a_zip_bomb_is_refused_in_bounded_memory(start_receivers: Start) -> None:
    receivers = await start_receivers(max_request_bytes=1024**2)
    bomb = requests.zip_bomb(256 * 1024**2)
    assert len(bomb) < 1024**2
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    response = await post(receivers.http, bomb, PROTOBUF | {"content-encoding": "gzip"})

    assert response.status_code == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 64 * 1024


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
async def test_a_full_log_is_answered_with_503_and_retry_after(start_receivers: Start, headers: dict[str, str]) -> None:
    receivers = await start_receivers(max_log_bytes=10)
    body = requests.traces()
    if headers is JSON:
        body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 1}]}]}]}).encode()

    response = await post(receivers.http, body, headers, path="/v1/logs" if headers is JSON else "/v1/traces")

    assert (response.status_code, status_of(response).code) == (503, Code.UNAVAILABLE)
    assert int(response.headers["retry-after"]) >= 1


async def test_a_draining_sidecar_refuses_retryably(receivers: Receivers, client: httpx.AsyncClient) -> None:
    receivers.ports.refuse_for_now()

    response = await client.post("/v1/traces", content=requests.traces(), headers=PROTOBUF)

    assert response.status_code == 503
    assert status_of(response).message == "the sidecar is stopping; retry in 1 s"


async def test_serves_several_requests_on_one_connection(receivers: Receivers) -> None:
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
    for _ in range(3):
        writer.write(head)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_slow_client_times_out_and_holds_up_nobody(start_receivers: Start) -> None:
    receivers = await start_receivers(read_timeout_s=0.3)
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\n\n"
    )

    assert (await post(receivers.http, requests.traces(), PROTOBUF)).status_code == 200
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n"])
async def test_hangs_up_on_a_client_that_never_ends_its_headers(start_receivers: Start, sent: bytes) -> None:
    receivers = await start_receivers(read_timeout_s=0.3)
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)

    assert await asyncio.wait_for(reader.read(), 30) == b""
    assert (await post(receivers.http, requests.traces(), PROTOBUF)).status_code == 200
    writer.close()


async def test_a_client_that_hangs_up_is_counted(receivers: Receivers) -> None:
    host, _, port = receivers.http.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\n\n"
    )
    await writer.drain()
    writer.close()

    async def counted() -> bool:
        refused = samples(receivers.metrics, "wfperf_receiver_refused_requests_total")
        return refused == {("http", "disconnected", "traces"): 1}

    await eventually_async(counted)
