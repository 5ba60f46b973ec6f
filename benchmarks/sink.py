"""A back end that takes every trace and counts the spans; started by the benchmarks as a process of its own.

python -m benchmarks.sink PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
COUNT_SERVICE: Final = "benchmarks.Sink"


async def serve(port: int) -> None:
    """Answer until the end."""
    spans = 0

    async def export(data: bytes, _context: object) -> bytes:
        nonlocal spans
        request = ExportTraceServiceRequest.FromString(data)
        spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        return b""

    async def count(_data: bytes, _context: object) -> bytes:
        return str(spans).encode()

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    for service, method, handler in ((SERVICE, "Export", export), (COUNT_SERVICE, "Count", count)):
        methods = {method: grpc.unary_unary_rpc_method_handler(handler)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def spans_at(target: str) -> int:
    """Ask a sink how many spans came."""
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary(f"/{COUNT_SERVICE}/Count", request_serializer=bytes, response_deserializer=bytes)
        answer: bytes = call(b"", timeout=10, wait_for_ready=True)
        return int(answer)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
