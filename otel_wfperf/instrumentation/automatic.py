"""What ``import otel_wfperf.auto`` does."""

from __future__ import annotations

from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.settings import InstrumentationSettings


def start() -> None:
    """Set up OpenTelemetry unless the program did, and record every framework that is or will be imported."""
    if InstrumentationSettings.from_environment().disabled:
        return
    with failures_counted("auto"):
        from otel_wfperf.instrumentation.configuration import configure  # noqa: PLC0415 - not loaded when disabled

        configure()
    with failures_counted("auto"):
        from otel_wfperf.instrumentation.installing import instrument  # noqa: PLC0415 - as above

        instrument()
