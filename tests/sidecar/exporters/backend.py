"""A back end that takes, delays or refuses what it is told to; on real sockets."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from otel_wfperf.log import Signal
from otel_wfperf.sidecar.http_server import HttpServer
from otel_wfperf.sidecar.receivers.grpc import SERVICES
from tests.sidecar import requests


@dataclass(slots=True, kw_only=True)
class Backend:
    """What a back end got, and how it answers.

    Attributes:
        refuse: Called with each request; what it returns is the status to refuse with, None accepts.
        answer: Body of the accepting answers.
        retry_after_s: Sent with refusals (seconds); None = not sent.
    """

    endpoint: str = ""
    refuse: Callable[[bytes], Awaitable[Any]]
    answer: bytes = b""
    retry_after_s: int | None = None
    tries: int = 0
    taken: list[tuple[Signal, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def span_ids(self) -> list[str]:
        return [one for signal, data in self.taken if signal is Signal.TRACES for one in requests.span_ids(data)]

    def span_counts(self) -> dict[str, int]:
        """Count the distinct spans of each trace."""
        spans: dict[str, set[str]] = defaultdict(set)
        for signal, data in self.taken:
            if signal is Signal.TRACES:
                for trace, span in zip(requests.trace_ids(data), requests.span_ids(data), strict=True):
                    spans[trace].add(span)
        return {trace: len(found) for trace, found in spans.items()}


async def accept(_data: bytes) -> None:
    """Refuse nothing."""


@asynccontextmanager
async def grpc_backend(
    refuse: Callable[[bytes], Awaitable[Any]] = accept, port: int = 0, tls: grpc.ServerCredentials | None = None
) -> AsyncIterator[Backend]:
    """Run a back end that speaks OTLP over gRPC; refusals are gRPC status codes."""
    backend = Backend(refuse=refuse)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])

    def handler(signal: Signal) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(data: bytes, context: Any) -> bytes:
            backend.tries += 1
            backend.headers.append(dict(context.invocation_metadata()))
            code = await backend.refuse(data)
            if code is not None:
                await context.abort(code, "refused", trailing_metadata=_retry_info(code, backend.retry_after_s))
            backend.taken.append((signal, data))
            return backend.answer

        return export

    for signal, service in SERVICES.items():
        methods = {"Export": grpc.unary_unary_rpc_method_handler(handler(signal))}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    if tls is None:
        backend.endpoint = f"http://127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    else:
        backend.endpoint = f"https://127.0.0.1:{server.add_secure_port(f'127.0.0.1:{port}', tls)}"
    await server.start()
    try:
        yield backend
    finally:
        await server.stop(0)


def _retry_info(code: grpc.StatusCode, after_s: int | None) -> tuple[tuple[str, bytes], ...]:
    if after_s is None:
        return ()
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=after_s)))
    return (("grpc-status-details-bin", Status(code=code.value[0], details=[detail]).SerializeToString()),)


@asynccontextmanager
async def http_backend(refuse: Callable[[bytes], Awaitable[Any]] = accept) -> AsyncIterator[Backend]:
    """Run a back end that speaks OTLP over HTTP; refusals are HTTP status codes."""
    backend = Backend(refuse=refuse)

    async def export(request: Request) -> Response:
        backend.tries += 1
        backend.headers.append(dict(request.headers))
        data = await request.body()
        status = await backend.refuse(data)
        if status is not None:
            headers = {"retry-after": str(backend.retry_after_s)} if backend.retry_after_s is not None else {}
            return Response(status_code=status, headers=headers)
        backend.taken.append((Signal(request.path_params["signal"]), data))
        return Response(backend.answer)

    app = Starlette(routes=[Route("/v1/{signal}", export, methods=["POST"])])
    server = HttpServer(app, "127.0.0.1:0", key="test", drain_timeout_s=1)
    backend.endpoint = await server.start()
    try:
        yield backend
    finally:
        await server.stop()


async def hang(_data: bytes) -> None:
    """Never answer."""
    await asyncio.Event().wait()
