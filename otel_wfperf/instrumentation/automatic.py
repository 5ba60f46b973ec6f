"""What ``import otel_wfperf.auto`` does."""

from __future__ import annotations

from otel_wfperf.instrumentation.configuration import configure
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.installing import instrument
from otel_wfperf.instrumentation.settings import InstrumentationSettings


def start() -> None:
    """Set up OpenTelemetry unless the program did, and record every framework that is or will be imported."""
    if InstrumentationSettings.from_environment().disabled:
        return
    with failures_counted("auto"):
        configure()
    with failures_counted("auto"):
        instrument()
