"""Instrumentor for ``opentelemetry-instrument`` (entry point group ``opentelemetry_instrumentor``)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

# Only `opentelemetry-instrument` loads this module, and it comes with that package.
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # no __all__

from otel_wfperf.instrumentation.automatic import start
from otel_wfperf.instrumentation.installing import uninstrument
from otel_wfperf.instrumentation.metrics import METRICS
from otel_wfperf.instrumentation.tracing import use_tracer_provider


class WfperfInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # follows from the above
    """Do what ``import otel_wfperf.auto`` does, with the providers of ``opentelemetry-instrument``."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Depend on no framework: each integration checks its own."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        if kwargs.get("tracer_provider") is not None:
            use_tracer_provider(kwargs["tracer_provider"])
        if kwargs.get("meter_provider") is not None:
            METRICS.use_meter_provider(kwargs["meter_provider"])
        start()

    def _uninstrument(self, **_kwargs: Any) -> None:
        uninstrument()
        use_tracer_provider(None)
