"""Making room for a provider that the program sets after us.

``import otel_wfperf.auto`` is often the first line of a program, and OpenTelemetry keeps the
first provider that is set: without this, the user's own would be refused with a warning.

Patches ``opentelemetry.trace._set_tracer_provider`` and ``_set_meter_provider`` of
``opentelemetry.metrics._internal``, through which every way of setting one goes, and renews
the guard beside each, as OpenTelemetry's own test tools do. Checked with opentelemetry-api 1.45.2.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import _internal as metrics_internal

from otel_wfperf.instrumentation.failures import failures_counted
from otel_wfperf.instrumentation.metrics import METRICS
from otel_wfperf.instrumentation.patching import replace
from otel_wfperf.instrumentation.tracing import use_tracer_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

# Set by `wfperf run`, which was asked to show what the program does whatever else watches it.
_RUN_VARIABLE = "OTEL_WFPERF_RUN_PID"


def step_aside_in_tracing(ours: TracerProvider, processor: SpanProcessor) -> None:
    """Let a tracer provider that is set later replace ours.

    Tracers that were handed out before still write to ours, which therefore goes on.

    Args:
        ours: The global provider now.
        processor: What it exports through; under ``wfperf run`` the user's provider feeds it, too.
    """

    def replaced(theirs: Any) -> None:
        use_tracer_provider(None)
        if _RUN_VARIABLE in os.environ and hasattr(theirs, "add_span_processor"):
            theirs.add_span_processor(processor)

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_tracer_provider(tracer_provider: Any, *args: Any, **kwargs: Any) -> None:
            was_ours = trace.get_tracer_provider() is ours
            if was_ours:
                with failures_counted("configure.step_aside"):
                    trace._TRACER_PROVIDER_SET_ONCE = type(trace._TRACER_PROVIDER_SET_ONCE)()  # noqa: SLF001 - see above
            original(tracer_provider, *args, **kwargs)
            if was_ours:
                with failures_counted("configure.step_aside"):
                    replaced(tracer_provider)

        return set_tracer_provider

    replace(trace, "_set_tracer_provider", make)


def step_aside_in_metrics(ours: MeterProvider) -> None:
    """Let a meter provider that is set later replace ours; under ``wfperf run`` our own metrics stay with ours.

    Args:
        ours: The global provider now.
    """

    def make(original: Callable[..., Any]) -> Callable[..., Any]:
        def set_meter_provider(meter_provider: Any, *args: Any, **kwargs: Any) -> None:
            was_ours = metrics.get_meter_provider() is ours
            if was_ours:
                with failures_counted("configure.step_aside"):
                    once = type(metrics_internal._METER_PROVIDER_SET_ONCE)()  # noqa: SLF001 - see above
                    metrics_internal._METER_PROVIDER_SET_ONCE = once  # noqa: SLF001
            original(meter_provider, *args, **kwargs)
            if was_ours and _RUN_VARIABLE not in os.environ:
                with failures_counted("configure.step_aside"):
                    METRICS.use_meter_provider()

        return set_meter_provider

    replace(metrics_internal, "_set_meter_provider", make)
