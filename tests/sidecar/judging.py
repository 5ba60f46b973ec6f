"""Send requests over HTTP and gRPC, and compare the answers with the right ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.log import Signal
from otel_wfperf.sidecar.receivers.grpc import SERVICES

_GRPC_CODES: Final = {
    200: grpc.StatusCode.OK,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One request and the right answer.

    Attributes:
        body: As it is sent; over gRPC too, when it is protobuf.
        status: The HTTP status; its counterpart is asked of gRPC.
        rejected: Spans that the answer says are left out (count).
    """

    name: str
    body: bytes
    status: int
    rejected: int = 0
    signal: Signal = Signal.TRACES
    json: bool = False
    gzip: bool = False


async def judge(every: Sequence[Case], *, http_url: str, grpc_target: str, concurrency: int = 16) -> list[str]:
    """Send every case, protobuf over gRPC as well, and list the wrong answers."""
    wrong: list[str] = []
    waiting = asyncio.Semaphore(concurrency)
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]
    async with (
        httpx.AsyncClient(base_url=http_url, trust_env=False, timeout=60) as client,
        grpc.aio.insecure_channel(grpc_target, options=options) as channel,
    ):

        async def one(ask: Callable[[], Any], case: Case, expected: object, protocol: str) -> None:
            async with waiting:
                answer = await ask()
            if answer != expected:
                wrong.append(f"{protocol}: {case.name}: answered {answer}, right is {expected}")

        async with asyncio.TaskGroup() as tasks:
            for case in every:
                ask = _http(client, case)
                tasks.create_task(one(ask, case, (case.status, case.rejected), "HTTP"))
                if not case.json:
                    expected = (_GRPC_CODES[case.status], case.rejected)
                    tasks.create_task(one(_grpc(channel, case), case, expected, "gRPC"))
    return wrong


def _http(client: httpx.AsyncClient, case: Case) -> Callable[[], Any]:
    async def ask() -> tuple[int, int]:
        headers = {"content-type": "application/json" if case.json else "application/x-protobuf"}
        if case.gzip:
            headers["content-encoding"] = "gzip"
        response = await client.post(f"/v1/{case.signal}", content=case.body, headers=headers)
        if response.status_code != 200:
            return response.status_code, 0
        if case.json:
            return 200, int(response.json().get("partialSuccess", {}).get("rejectedSpans", 0))
        return 200, ExportTraceServiceResponse.FromString(response.content).partial_success.rejected_spans

    return ask


def _grpc(channel: grpc.aio.Channel, case: Case) -> Callable[[], Any]:
    async def ask() -> tuple[grpc.StatusCode, int]:
        method = f"/{SERVICES[case.signal]}/Export"
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            answer = await call(case.body, timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code(), 0
        return grpc.StatusCode.OK, ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans

    return ask
