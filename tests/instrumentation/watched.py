"""Spans of a provider with our span processor, as `configure` sets it up, exporting to memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_wfperf.instrumentation.open_spans import OPEN_SPANS
from otel_wfperf.instrumentation.processor import WatchingProcessor
from otel_wfperf.instrumentation.tracing import use_tracer_provider
from tests.instrumentation.recorded import Recorded


class Watched(Recorded):
    """What was exported, and the provider for spans that others write."""

    def __init__(self, queue: SpanProcessor | None = None) -> None:
        exporter = InMemorySpanExporter()
        super().__init__(exporter)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(WatchingProcessor(queue or SimpleSpanProcessor(exporter)))
        self.native = self.provider.get_tracer("a framework")


@contextmanager
def watched(queue: SpanProcessor | None = None) -> Iterator[Watched]:
    """Let our own spans go to such a provider."""
    before = (OPEN_SPANS.is_counting, OPEN_SPANS.dropped)
    spans = Watched(queue)
    use_tracer_provider(spans.provider)
    try:
        yield spans
    finally:
        use_tracer_provider(None)
        OPEN_SPANS.is_counting, OPEN_SPANS.dropped = before
        OPEN_SPANS.after_fork_in_child()
