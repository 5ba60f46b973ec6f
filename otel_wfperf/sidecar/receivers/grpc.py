"""OTLP over gRPC: TraceService, MetricsService and LogsService.

Messages arrive as bytes: the log wants them that way, and gRPC's own decompression, which has no bound on its memory
(checked with grpcio 1.85), stays off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from otel_wfperf.config import split_address
from otel_wfperf.errors import ConfigError, DecodeError, LogFullError
from otel_wfperf.log import Signal
from otel_wfperf.otlp.status import status_body
from otel_wfperf.sidecar.receivers.gzip_body import TooLargeError, gunzip
from otel_wfperf.sidecar.receivers.request import Intake, answer

SERVICES: Final = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1; as protobuf it is a field with an invalid wire type
_IDENTITY_AND_GZIP: Final = 0b101  # bits of grpc_compression_algorithm

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcReceiver:
    """The gRPC server of the OTLP port."""

    def __init__(self, intake: Intake, address: str) -> None:
        """Prepare to serve one address (host:port)."""
        self._intake = intake
        self._address = address
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", intake.max_request_bytes),
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(
                    service, {"Export": grpc.unary_unary_rpc_method_handler(self._handler(signal))}
                )
                for signal, service in SERVICES.items()
            )
        )

    async def start(self) -> str:
        """Listen and return the address with its real port; raise ConfigError when the port is taken."""
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            message = f"sidecar.listen.grpc: {self._address!r}: cannot be bound; choose another port or end its user"
            raise ConfigError(message) from error
        await self._server.start()
        host, _ = split_address(self._address)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self, grace_s: float) -> None:
        """Stop accepting and let requests in flight finish."""
        await self._server.stop(grace_s)

    def _handler(self, signal: Signal) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def export(request: bytes, context: Context) -> bytes:
            try:
                if request.startswith(_GZIP_MAGIC):
                    request = gunzip(request, self._intake.max_request_bytes)
                rejected = await self._intake.accept(signal, request, protocol="grpc")
            except DecodeError as error:
                self._intake.metrics.refused(signal, "grpc", "malformed")
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except TooLargeError:
                self._intake.metrics.refused(signal, "grpc", "too_large")
                limit = f"the message is larger than sidecar.max_request_size: {self._intake.max_request_bytes} bytes"
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, limit)
            except LogFullError as error:
                self._intake.metrics.refused(signal, "grpc", "overload")
                await _unavailable(context, error)
            return answer(rejected, json=False)

        return export


async def _unavailable(context: Context, error: LogFullError) -> NoReturn:
    """Refuse for now. Source: OTLP specification, "OTLP/gRPC Throttling"."""
    code: int = grpc.StatusCode.UNAVAILABLE.value[0]
    status = status_body(code, str(error), json=False, retry_after_s=error.retry_after_s)
    details = (("grpc-status-details-bin", status),)
    await context.abort(grpc.StatusCode.UNAVAILABLE, str(error), trailing_metadata=details)
