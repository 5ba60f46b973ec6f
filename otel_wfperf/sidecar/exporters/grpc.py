"""OTLP over gRPC to a back end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from otel_wfperf.config import ExporterConfig, SecretUnavailableError
from otel_wfperf.log import Signal
from otel_wfperf.otlp.status import rejected_items, retry_delay_s
from otel_wfperf.sidecar.exporters.address import is_loopback, target
from otel_wfperf.sidecar.exporters.exporter import Accepted, Outcome, Rejected, Retry, shortened
from otel_wfperf.sidecar.exporters.headers import current_headers
from otel_wfperf.sidecar.exporters.tls import channel_credentials

# Source: OTLP specification, "Failures", table of gRPC status codes; RESOURCE_EXHAUSTED only with RetryInfo.
RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_METHODS: Final = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
# Chosen: gRPC's own reconnect delay grows to 120 s, far behind the retry delays of the configuration.
_MAX_RECONNECT_MS: Final = 5_000


class GrpcExporter:
    """Sends to one gRPC endpoint."""

    def __init__(self, config: ExporterConfig) -> None:
        """Open a channel, which connects when it is used."""
        self._timeout_s = config.timeout_s
        self._headers = config.headers
        compression = grpc.Compression.Gzip if config.compression == "gzip" else grpc.Compression.NoCompression
        options: list[tuple[str, int | str]] = [
            ("grpc.max_reconnect_backoff_ms", _MAX_RECONNECT_MS),
            ("grpc.max_send_message_length", -1),
            # Channels of a process share their connections otherwise, so that a new channel would be no new connection.
            ("grpc.use_local_subchannel_pool", 1),
            # A proxy of the environment is not between us and our own machine.
            ("grpc.enable_http_proxy", 0 if is_loopback(config.endpoint) else 1),
        ]
        address = target(config.endpoint)
        if config.endpoint.startswith("https://"):
            if config.tls.server_name:
                options.append(("grpc.ssl_target_name_override", config.tls.server_name))
            credentials = channel_credentials(config)
            self._channel = grpc.aio.secure_channel(address, credentials, options=options, compression=compression)
        else:
            self._channel = grpc.aio.insecure_channel(address, options=options, compression=compression)
        self._calls: dict[Signal, Callable[..., Awaitable[bytes]]] = {
            signal: self._channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            for signal, method in _METHODS.items()
        }

    async def send(self, signal: Signal, data: bytes) -> Outcome:
        """Try once to hand over an OTLP protobuf request."""
        try:
            metadata = tuple(current_headers(self._headers).items())
            response = await self._calls[signal](data, timeout=self._timeout_s, metadata=metadata)
        except SecretUnavailableError as error:
            return Retry(reason="secret", detail=str(error))
        except grpc.aio.AioRpcError as error:
            return _failure(error)
        return Accepted(rejected_items=rejected_items(response))

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)


def _failure(error: grpc.aio.AioRpcError) -> Outcome:
    detail = shortened(error.details() or "")
    after_s = _retry_delay_s(error)
    if error.code() in RETRYABLE or (error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and after_s is not None):
        return Retry(reason=_reason(error), after_s=after_s, detail=detail)
    return Rejected(reason=_reason(error), detail=detail)


def _reason(error: grpc.aio.AioRpcError) -> str:
    """Name the status; a connection that never came about has the same one as a back end that is overloaded."""
    detail = error.debug_error_string().lower() if error.code() is grpc.StatusCode.UNAVAILABLE else ""
    if "dns resolution failed" in detail or "domain name not found" in detail:
        return "dns"
    if "certificate_verify_failed" in detail or "handshake" in detail or "ssl_error" in detail:
        return "tls"
    return error.code().name.lower()


def _retry_delay_s(error: grpc.aio.AioRpcError) -> float | None:
    """Return the delay that the back end asked for (seconds); None when it did not."""
    # grpc-stubs 1.53 types the metadata as pairs of another kind.
    metadata: Any = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == "grpc-status-details-bin":
            return retry_delay_s(value)
    return None
