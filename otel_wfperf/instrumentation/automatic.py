"""What ``import otel_wfperf.auto`` does."""

from __future__ import annotations

import logging

from otel_wfperf.errors import ConfigError
from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.settings import InstrumentationSettings

_logger = logging.getLogger("otel_wfperf")


def start() -> None:
    """Set up OpenTelemetry unless the program did, and record every framework that is or will be imported."""
    if InstrumentationSettings.from_environment().disabled:
        return
    with failures_counted("auto"):
        from otel_wfperf.instrumentation.configuration import configure  # noqa: PLC0415 - not loaded when disabled

        try:
            configure()
        except ConfigError as error:
            _logger.warning("otel-wfperf sends nothing: %s", error)
    with failures_counted("auto"):
        from otel_wfperf.instrumentation.installing import instrument  # noqa: PLC0415 - as above

        instrument()
