"""Setting up OpenTelemetry for programs that have not done so themselves."""

from __future__ import annotations

import atexit
import os
import socket
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from opentelemetry import metrics, trace

from otel_wfperf import semconv
from otel_wfperf.errors import ConfigError
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.exporter_warnings import of_ours
from otel_wfperf.instrumentation.facts import preload
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.metrics import METRICS
from otel_wfperf.instrumentation.open_spans import OPEN_SPANS
from otel_wfperf.instrumentation.resources import SAMPLER
from otel_wfperf.instrumentation.settings import InstrumentationSettings
from otel_wfperf.instrumentation.stepping_aside import step_aside_in_metrics, step_aside_in_tracing
from otel_wfperf.instrumentation.tracing import package_version, use_tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from otel_wfperf.instrumentation.start_events import Announcer

Protocol: TypeAlias = Literal["grpc", "http/protobuf"]

# Source: OTLP specification, default ports.
_DEFAULT_ENDPOINTS: Final = {"grpc": "http://127.0.0.1:4317", "http/protobuf": "http://127.0.0.1:4318"}
# Chosen: half of the SDK's default; nobody waits for it, and spans wait in a queue of 2,048 (about 4 MB) meanwhile.
_EXPORT_TIMEOUT_S: Final = 5
_METRIC_INTERVAL_MS: Final = 15_000
# Chosen: what a program may wait at its end for a sidecar that answers; one that does not is not waited for.
_EXIT_FLUSH_S: Final = 2.0
_CONNECT_TIMEOUT_S: Final = 0.25

_configured = threading.Lock()
# What says which spans are open: the one that the first `configure` made, if that is wanted.
_announcing: list[Announcer] = []


def configure(
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
    protocol: Protocol | None = None,
    agent_capacity: int | None = None,
) -> None:
    """Send spans and metrics to a sidecar, where the program has not set up OpenTelemetry itself.

    A provider that exists already is never replaced, nothing is added to it, and one that the
    program sets later takes the place of what is set up here. An argument
    goes before the environment variable (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
    ``OTEL_EXPORTER_OTLP_PROTOCOL``), which goes before the default. All other ``OTEL_*``
    variables mean what the OpenTelemetry specification says.

    Args:
        endpoint: Base URL of the sidecar; by default port 4317 (gRPC) or 4318 (HTTP) of this machine.
        service_name: Name of the program.
        protocol: ``grpc`` or ``http/protobuf``; by default that of the endpoint, which is gRPC but for port 4318 and
            for a URL with a path.
        agent_capacity: How many agents may run at once (count); metrics compare the running ones with it.

    Raises:
        ConfigError: The protocol or endpoint cannot be used.
    """
    if InstrumentationSettings.from_environment().disabled:
        return
    targets = {signal: _Target.of(signal, endpoint, protocol) for signal in ("traces", "metrics", "logs")}
    with failures_counted("configure"), _configured:
        preload()
        _set_up(targets, service_name)
        for announcer in _announcing:
            announcer.start()
    METRICS.agent_capacity = agent_capacity
    settings = InstrumentationSettings.from_environment()
    if settings.resources:
        with failures_counted("resources.start"):
            SAMPLER.start()
    if settings.cpu:
        with failures_counted("cpu.install"):
            CPU.install()


def stop_watching() -> None:
    """Take back what :func:`configure` changed in the program, and end the threads that watch it.

    Providers stay: the program may write spans of its own to them, and they send what is left at its end.
    """
    with failures_counted("cpu.remove"):
        CPU.remove()
    with failures_counted("resources.stop"):
        SAMPLER.stop()
    for announcer in _announcing:
        with failures_counted("start_events.stop"):
            announcer.stop()


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the telemetry of one signal goes.

    Attributes:
        protocol: See :func:`configure`.
        url: What the exporter sends to.
    """

    protocol: str
    url: str

    @classmethod
    def of(cls, signal: str, endpoint: str | None, protocol: str | None) -> _Target:
        """Choose for ``traces``, ``metrics`` or ``logs``; the variable of a signal goes before the general one."""
        chosen = (
            protocol
            or _variable(signal, "PROTOCOL")
            or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or _usual_protocol(
                endpoint or _variable(signal, "ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            )
        )
        if chosen not in _DEFAULT_ENDPOINTS:
            raise ConfigError(f"protocol: {chosen!r} is not known; use grpc or http/protobuf")
        # Source: OTLP exporter specification: the endpoint of one signal is used as it is, without a path added.
        url = None if endpoint else _variable(signal, "ENDPOINT")
        if url is None:
            base = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or _DEFAULT_ENDPOINTS[chosen]
            url = base if chosen == "grpc" else f"{base.rstrip('/')}/v1/{signal}"
        if not urlsplit(url).hostname:
            raise ConfigError(f"endpoint: {url!r} is not a URL; write it as {_DEFAULT_ENDPOINTS[chosen]}")
        return cls(chosen, url)

    def arguments(self) -> dict[str, Any]:
        """Return the exporter's arguments."""
        arguments: dict[str, Any] = {"endpoint": self.url}
        if "OTEL_EXPORTER_OTLP_TIMEOUT" not in os.environ:
            arguments["timeout"] = _EXPORT_TIMEOUT_S
        if self.protocol == "grpc" and self.url.startswith("http://"):
            arguments["insecure"] = True
        return arguments

    def answers(self) -> bool:
        """Tell whether something listens there now."""
        url = urlsplit(self.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            socket.create_connection((url.hostname or "", port), timeout=_CONNECT_TIMEOUT_S).close()
        except OSError:
            return False
        return True


def _usual_protocol(endpoint: str | None) -> str:
    """Guess from port and path. Source: OTLP specification, 4318 is the port of OTLP over HTTP; gRPC has no path."""
    try:
        url = urlsplit(endpoint or "")
        return "http/protobuf" if url.port == 4318 or (url.path.strip("/") and url.hostname) else "grpc"
    except ValueError:
        return "grpc"


def _variable(signal: str, setting: str) -> str | None:
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}") or None


def _set_up(targets: Mapping[str, _Target], service_name: str | None) -> None:
    # urllib3 closes its connections by `weakref.finalize`, whose exit handler must run after ours: so it comes first.
    weakref.finalize(_Flush, lambda: None)
    shutdowns: list[tuple[_Target, Callable[[], None]]] = []  # the targets of two signals may be equal
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none" and _is_default(trace.get_tracer_provider()):
        shutdowns.append((targets["traces"], _set_up_tracing(targets["traces"], service_name)))
        _start_announcing(targets["logs"])
    if os.environ.get("OTEL_METRICS_EXPORTER", "otlp") != "none" and _is_default(metrics.get_meter_provider()):
        shutdowns.append((targets["metrics"], _set_up_metrics(targets["metrics"], service_name)))
    if not shutdowns:
        return
    atexit.register(_Flush(shutdowns).run_at_exit)


def _is_default(provider: object) -> bool:
    """Tell whether a provider is the API's own placeholder, which is there when nobody set one."""
    return type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))


def _resource(service_name: str | None) -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - the SDK is imported when it is needed

    return Resource.create({semconv.SERVICE_NAME: service_name} if service_name else {})


def _set_up_tracing(target: _Target, service_name: str | None) -> Callable[[], None]:
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    from otel_wfperf.instrumentation.export import span_queue  # noqa: PLC0415 - needs the SDK
    from otel_wfperf.instrumentation.native_metrics import NATIVE_METRICS  # noqa: PLC0415 - loads every dialect
    from otel_wfperf.instrumentation.processor import WatchingProcessor  # noqa: PLC0415 - needs the SDK
    from otel_wfperf.instrumentation.spans import lean_tracer  # noqa: PLC0415 - needs the SDK

    # Our own exit handler bounds the time that the flush may take; the SDK's waits up to 30 s.
    provider = TracerProvider(resource=_resource(service_name), shutdown_on_exit=False)
    NATIVE_METRICS.is_wanted = os.environ.get("OTEL_METRICS_EXPORTER", "otlp") != "none"
    processor = WatchingProcessor(span_queue(target.arguments(), target.protocol))
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    use_tracer(lean_tracer(provider, semconv.INSTRUMENTATION_SCOPE, package_version()))
    step_aside_in_tracing(provider, processor)
    return provider.shutdown


def _start_announcing(target: _Target) -> None:
    """Say which spans are open, unless that is not wanted."""
    if os.environ.get("OTEL_LOGS_EXPORTER", "otlp") == "none" or not InstrumentationSettings.from_environment().live:
        return
    from otel_wfperf.instrumentation.start_events import Announcer, log_exporter  # noqa: PLC0415 - needs the SDK

    announcer = Announcer(lambda: log_exporter(target.arguments(), target.protocol))
    _announcing.append(announcer)
    OPEN_SPANS.at_shutdown = announcer.stop
    atexit.register(announcer.stop)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=announcer.after_fork_in_child)


def _set_up_metrics(target: _Target, service_name: str | None) -> Callable[[], None]:
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 - as above

    exporter: Any
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415 - as above

        exporter = OTLPMetricExporter(**target.arguments())
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - as above
            OTLPMetricExporter as HttpMetricExporter,
        )

        exporter = HttpMetricExporter(**target.arguments())
    interval_ms = None if "OTEL_METRIC_EXPORT_INTERVAL" in os.environ else _METRIC_INTERVAL_MS
    reader = PeriodicExportingMetricReader(of_ours(exporter, target.url), export_interval_millis=interval_ms)
    provider = MeterProvider([reader], resource=_resource(service_name), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    METRICS.use_meter_provider(provider)
    step_aside_in_metrics(provider)
    return provider.shutdown


class _Flush:
    """Sends what is left when the program ends, if anybody answers, and gives up after a short time."""

    def __init__(self, shutdowns: Sequence[tuple[_Target, Callable[[], None]]]) -> None:
        self._shutdowns = shutdowns
        self._is_due = threading.Event()
        # CPython 3.12 and later start no thread at exit, so this one waits from the beginning.
        self._thread = threading.Thread(target=self._run_when_due, name="otel-wfperf-flush", daemon=True)
        self._thread.start()

    def run_at_exit(self) -> None:
        SAMPLER.stop()
        answers = {target: target.answers() for target in {target for target, _ in self._shutdowns}}
        self._shutdowns = [(target, shutdown) for target, shutdown in self._shutdowns if answers[target]]
        if not self._shutdowns:
            return
        if not self._thread.is_alive():  # in a forked child
            self._run()
            return
        self._is_due.set()
        self._thread.join(_EXIT_FLUSH_S)

    def _run_when_due(self) -> None:
        self._is_due.wait()
        self._run()

    def _run(self) -> None:
        for _, shutdown in self._shutdowns:
            with failures_counted("configure.flush"):
                shutdown()
