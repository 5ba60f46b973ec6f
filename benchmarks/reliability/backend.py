"""A back end for figures: takes OTLP traces over gRPC and remembers what it took."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.reliability.load import SpanKey
from otel_wfperf import semconv


@dataclass(slots=True, kw_only=True)
class Backend:
    """What a back end got, and how it answers.

    Attributes:
        port: Where it listens on 127.0.0.1.
        refuse: Asked for each request; True refuses it with UNAVAILABLE.
        answer: Makes the answer to a request that is taken.
        tries: Requests that came (count).
        taken: Bytes of those that were taken.
        last_s: When the last one was taken (monotonic seconds).
    """

    port: int
    refuse: Callable[[], bool] = lambda: False
    answer: Callable[[bytes], bytes] = lambda _data: b""
    tries: int = 0
    taken: list[bytes] = field(default_factory=list)
    last_s: float = 0.0

    _spans: Counter[SpanKey] = field(default_factory=Counter)
    _read: int = 0

    def spans(self) -> Counter[SpanKey]:
        """Count how often each span was taken; the annotations that the sidecar adds are left out."""
        while self._read < len(self.taken):
            for resource in ExportTraceServiceRequest.FromString(self.taken[self._read]).resource_spans:
                for scope in resource.scope_spans:
                    if scope.scope.name != semconv.ANNOTATION_SCOPE:
                        self._spans.update((span.trace_id.hex(), span.span_id.hex()) for span in scope.spans)
            self._read += 1
        return self._spans

    async def until(self, spans: int, *, timeout_s: float) -> bool:
        """Wait until so many distinct spans were taken; False when the time passed first."""
        deadline_s = time.monotonic() + timeout_s
        # What is taken is read now and then, and not within the answers.
        while len(self.spans()) < spans and time.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return len(self.spans()) >= spans


@asynccontextmanager
async def running_backend(backend: Backend) -> AsyncIterator[Backend]:
    """Run a back end on its port; 0 takes any free one."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])

    async def export(data: bytes, context: Any) -> bytes:
        backend.tries += 1
        if backend.refuse():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "refused at random")
        backend.taken.append(data)
        backend.last_s = time.monotonic()
        return backend.answer(data)

    methods = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    backend.port = server.add_insecure_port(f"127.0.0.1:{backend.port}")
    await server.start()
    try:
        yield backend
    finally:
        await server.stop(0)
