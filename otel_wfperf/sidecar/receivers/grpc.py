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
from otel_wfperf.sidecar.receivers.request import UNAUTHENTICATED, Intake, TooManyItemsError, answer
from otel_wfperf.sidecar.tls import Certificates

SERVICES: Final = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
}
_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1; as protobuf it is a field with an invalid wire type
_IDENTITY_AND_GZIP: Final = 0b101  # bits of grpc_compression_algorithm

# Chosen: what a connection may have in flight; more waits at the client. Each holds a message of the largest size.
_MAX_STREAMS: Final = 256
# Chosen: a client that does not finish its handshake is let go sooner than gRPC's 120 s.
_HANDSHAKE_TIMEOUT_MS: Final = 10_000

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcReceiver:
    """The gRPC server of the OTLP port."""

    def __init__(self, intake: Intake, address: str, *, certificates: Certificates | None = None) -> None:
        """Prepare to serve one address (host:port), without certificates not encrypted."""
        self._intake = intake
        self._address = address
        self._certificates = certificates
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", intake.max_request_bytes),
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_AND_GZIP),
                ("grpc.max_concurrent_streams", _MAX_STREAMS),
                ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
                ("grpc.so_reuseport", 0),
            ]
        )
        self._server.add_generic_rpc_handlers((_Services(intake),))

    async def start(self) -> str:
        """Listen and return the address with its real port; raise ConfigError when the port is taken."""
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(self._address)
            else:
                port = self._server.add_secure_port(self._address, self._certificates.grpc_credentials())
        except RuntimeError as error:
            message = f"sidecar.listen.grpc: {self._address!r}: cannot be bound; choose another port or end its user"
            raise ConfigError(message) from error
        await self._server.start()
        host, _ = split_address(self._address)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def stop(self, grace_s: float) -> None:
        """Stop accepting and let requests in flight finish."""
        await self._server.stop(grace_s)


class _Services(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Finds the handler of a call. Who may not send is refused before its message is read."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._signals = {f"/{service}/Export": signal for signal, service in SERVICES.items()}
        self._handlers = {
            signal: grpc.unary_unary_rpc_method_handler(_export(intake, signal)) for signal in self._signals.values()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        signal = self._signals.get(handler_call_details.method)
        if signal is None:
            return None
        if self._intake.knows(_authorization(handler_call_details)):
            return self._handlers[signal]
        self._intake.metrics.refused(signal, "grpc", "unauthenticated")
        # As a stream of messages, none of which is read unless it is asked for.
        return grpc.stream_unary_rpc_method_handler(_unauthenticated)


def _authorization(details: grpc.HandlerCallDetails) -> str | None:
    for key, value in details.invocation_metadata or ():
        if key == "authorization" and isinstance(value, str):
            return value
    return None


async def _unauthenticated(_requests: Any, context: Context) -> bytes:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, UNAUTHENTICATED)


def _export(intake: Intake, signal: Signal) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def export(request: bytes, context: Context) -> bytes:
        try:
            with intake.holding() as held:
                held.grow_to(len(request))
                if request.startswith(_GZIP_MAGIC):
                    request = gunzip(request, intake.max_request_bytes)
                    held.grow_to(len(request))
                rejected = await intake.accept(signal, request, protocol="grpc")
        except DecodeError as error:
            intake.metrics.refused(signal, "grpc", "malformed")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except TooLargeError:
            intake.metrics.refused(signal, "grpc", "too_large")
            limit = f"the message is larger than sidecar.max_request_size: {intake.max_request_bytes} bytes"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, limit)
        except TooManyItemsError as error:
            intake.metrics.refused(signal, "grpc", "too_many_items")
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except LogFullError as error:
            intake.metrics.refused(signal, "grpc", "overload")
            await _unavailable(context, error)
        finally:
            # gRPC keeps what aborted a call in a cycle with this frame, and a message may be large.
            request = b""
        return answer(rejected, json=False)

    return export


async def _unavailable(context: Context, error: LogFullError) -> NoReturn:
    """Refuse for now. Source: OTLP specification, "OTLP/gRPC Throttling"."""
    # The frames in it hold the message.
    error.__traceback__ = None
    code: int = grpc.StatusCode.UNAVAILABLE.value[0]
    status = status_body(code, str(error), json=False, retry_after_s=error.retry_after_s)
    details = (("grpc-status-details-bin", status),)
    await context.abort(grpc.StatusCode.UNAVAILABLE, str(error), trailing_metadata=details)
