"""Setting up OpenTelemetry for programs that have not done so themselves."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import metrics, trace

from otel_wfperf import semconv
from otel_wfperf.errors import ConfigError
from otel_wfperf.instrumentation.failures import count_failure, failures_counted
from otel_wfperf.instrumentation.metrics import METRICS
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.settings import InstrumentationSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

Protocol: TypeAlias = Literal["grpc", "http/protobuf"]

# Source: OTLP specification, default ports.
_DEFAULT_ENDPOINTS: Final = {"grpc": "http://127.0.0.1:4317", "http/protobuf": "http://127.0.0.1:4318"}
# Chosen: the live view is at most this old; the SDK's default is 5 s.
_SCHEDULE_DELAY_MS: Final = 1_000
# Chosen: as the SDK's default; a dead sidecar costs 2,048 spans of memory, about 4 MB.
_EXPORT_TIMEOUT_S: Final = 5
_METRIC_INTERVAL_MS: Final = 15_000
# Chosen: what a program may wait at its end for a sidecar that answers; one that does not is not waited for.
_EXIT_FLUSH_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 0.25

_configured = threading.Lock()


def configure(
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
    protocol: Protocol | None = None,
    agent_capacity: int | None = None,
) -> None:
    """Send spans and metrics to a sidecar, where the program has not set up OpenTelemetry itself.

    A provider that exists already is never replaced, and nothing is added to it. An argument
    goes before the environment variable (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
    ``OTEL_EXPORTER_OTLP_PROTOCOL``), which goes before the default. All other ``OTEL_*``
    variables mean what the OpenTelemetry specification says.

    Args:
        endpoint: Base URL of the sidecar; by default port 4317 (gRPC) or 4318 (HTTP) of this machine.
        service_name: Name of the program.
        protocol: ``grpc`` (default) or ``http/protobuf``.
        agent_capacity: How many agents may run at once (count); metrics compare the running ones with it.

    Raises:
        ConfigError: The protocol or endpoint cannot be used.
    """
    if InstrumentationSettings.from_environment().disabled:
        return
    chosen = protocol or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if chosen not in _DEFAULT_ENDPOINTS:
        raise ConfigError(f"protocol: {chosen!r} is not known; use grpc or http/protobuf")
    target = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT_ENDPOINTS[chosen]
    if not urlsplit(target).hostname:
        raise ConfigError(f"endpoint: {target!r} is not a URL; write it as {_DEFAULT_ENDPOINTS[chosen]}")
    with failures_counted("configure"), _configured:
        _set_up(_Target(chosen, target, is_explicit=endpoint is not None), service_name)
    METRICS.agent_capacity = agent_capacity
    if InstrumentationSettings.from_environment().resources:
        with failures_counted("resources.start"):
            SAMPLER.start()


class _Target:
    """Where telemetry goes."""

    def __init__(self, protocol: str, endpoint: str, *, is_explicit: bool) -> None:
        self.protocol = protocol
        self.endpoint = endpoint.rstrip("/")
        self._is_explicit = is_explicit

    def arguments(self, signal: str) -> dict[str, Any]:
        """Return the exporter's arguments for ``traces`` or ``metrics``."""
        arguments: dict[str, Any] = {}
        # The exporters read the variables of their own signal when they are given no endpoint.
        own_variable = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        if self._is_explicit or not own_variable:
            arguments["endpoint"] = self.endpoint if self.protocol == "grpc" else f"{self.endpoint}/v1/{signal}"
        if "OTEL_EXPORTER_OTLP_TIMEOUT" not in os.environ:
            arguments["timeout"] = _EXPORT_TIMEOUT_S
        if self.protocol == "grpc" and self.endpoint.startswith("http://"):
            arguments["insecure"] = True
        return arguments

    def answers(self) -> bool:
        """Tell whether something listens there now."""
        url = urlsplit(self.endpoint)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            socket.create_connection((url.hostname or "", port), timeout=_CONNECT_TIMEOUT_S).close()
        except OSError:
            return False
        return True


def _set_up(target: _Target, service_name: str | None) -> None:
    has_tracing = not _is_default(trace.get_tracer_provider())
    has_metrics = not _is_default(metrics.get_meter_provider())
    wants_tracing = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none" and not has_tracing
    wants_metrics = os.environ.get("OTEL_METRICS_EXPORTER", "otlp") != "none" and not has_metrics
    if not (wants_tracing or wants_metrics):
        return
    resource = _resource(service_name)
    shutdowns: list[Callable[[], None]] = []
    if wants_tracing:
        shutdowns.append(_set_up_tracing(target, resource))
    if wants_metrics:
        shutdowns.append(_set_up_metrics(target, resource))
    _log_once_per_message()
    atexit.register(_flush_at_exit, target, shutdowns)


def _is_default(provider: object) -> bool:
    """Tell whether a provider is the API's own placeholder, which is there when nobody set one."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _resource(service_name: str | None) -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the SDK is imported when it is needed

    return Resource.create({semconv.SERVICE_NAME: service_name} if service_name else {})


def _set_up_tracing(target: _Target, resource: Resource) -> Callable[[], None]:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    exporter: Any
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above

        exporter = OTLPSpanExporter(**target.arguments("traces"))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
            OTLPSpanExporter as HttpSpanExporter,
        )

        exporter = HttpSpanExporter(**target.arguments("traces"))
    # Our own exit handler bounds the time that the flush may take; the SDK's waits up to 30 s.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    delay_ms = None if "OTEL_BSP_SCHEDULE_DELAY" in os.environ else _SCHEDULE_DELAY_MS
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay_ms))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _set_up_metrics(target: _Target, resource: Resource) -> Callable[[], None]:
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - as above

    exporter: Any
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - as above

        exporter = OTLPMetricExporter(**target.arguments("metrics"))
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - as above
            OTLPMetricExporter as HttpMetricExporter,
        )

        exporter = HttpMetricExporter(**target.arguments("metrics"))
    interval_ms = None if "OTEL_METRIC_EXPORT_INTERVAL" in os.environ else _METRIC_INTERVAL_MS
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=interval_ms)
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    METRICS.use_meter_provider(provider)
    return provider.shutdown


def _flush_at_exit(target: _Target, shutdowns: list[Callable[[], None]]) -> None:
    """Send what is left, if anybody answers; give up after a short time."""
    SAMPLER.stop()
    if not target.answers():
        return

    def flush() -> None:
        for shutdown in shutdowns:
            try:
                shutdown()
            except Exception:  # noqa: BLE001 - at exit, nobody is left to care
                count_failure("configure.flush")

    thread = threading.Thread(target=flush, name="otel-wfperf-flush", daemon=True)
    thread.start()
    thread.join(_EXIT_FLUSH_S)


def _log_once_per_message() -> None:
    """Let the exporters say once that nobody answers, not with every batch."""
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")):
            logging.getLogger(name).addFilter(_OncePerMessage())


class _OncePerMessage(logging.Filter):
    """Passes the first warning of each logger; the rest says the same."""

    def __init__(self) -> None:
        super().__init__()
        self._was_said = False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        was_said, self._was_said = self._was_said, True
        return not was_said
