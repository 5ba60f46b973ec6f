"""The tracer that every span of this package comes from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from opentelemetry import trace
from opentelemetry.trace import Tracer, TracerProvider

from otel_wfperf import semconv


def package_version() -> str:
    """Return the version of this package; "" when it runs from a checkout that is not installed."""
    try:
        return version("otel-wfperf")
    except PackageNotFoundError:
        return ""


class _Tracing:
    """Holds the tracer; the API's default one follows whatever provider the user sets later."""

    def __init__(self) -> None:
        self.tracer: Tracer | None = None


_tracing = _Tracing()


def tracer() -> Tracer:
    """Return the tracer of this package."""
    if _tracing.tracer is None:
        _tracing.tracer = trace.get_tracer(semconv.INSTRUMENTATION_SCOPE, package_version())
    return _tracing.tracer


def use_tracer(tracer: Tracer) -> None:
    """Write spans with this tracer until another provider is set."""
    _tracing.tracer = tracer


def use_tracer_provider(provider: TracerProvider | None) -> None:
    """Write spans to this provider; None = the global one."""
    if provider is None:
        _tracing.tracer = None
    else:
        _tracing.tracer = provider.get_tracer(semconv.INSTRUMENTATION_SCOPE, package_version())
