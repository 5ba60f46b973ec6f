"""The span processor of the provider that ``configure`` sets up: it sees every span start and end, whoever writes it.

What it does is a few assignments; everything else happens in threads of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.propagation import _SPAN_KEY

from otel_wfperf import semconv
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.failures import count_failure, failures_counted
from otel_wfperf.instrumentation.native_metrics import NATIVE_METRICS
from otel_wfperf.instrumentation.open_spans import OPEN_SPANS
from otel_wfperf.instrumentation.spans import LeanSpan

_DOING_NOTHING: Final = (SpanProcessor.on_start, BatchSpanProcessor.on_start)


class WatchingProcessor(SpanProcessor):
    """Notes the spans that are open, and hands them on to the queue of the exporter."""

    def __init__(self, queue: SpanProcessor) -> None:
        """Watch what goes to ``queue``; what that lost is read from its ``dropped``, by reason, where it has that."""
        self._queue = queue
        self._hand_on = queue.on_end
        # What does nothing is not called.
        self._hand_on_start = None if type(queue).on_start in _DOING_NOTHING else queue.on_start
        OPEN_SPANS.is_counting = True
        OPEN_SPANS.dropped = _dropped_by(queue)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note a span; every kind of failure in here is ours."""
        try:
            own: SpanContext = span.get_span_context()
            kind: type = type(span)
            is_lean = kind is LeanSpan
            if is_lean or own.trace_flags & TraceFlags.SAMPLED:
                above = get_current() if parent_context is None else parent_context
                # `get_current_span` does the same and costs three times as much; opentelemetry-api 1.36 to 1.45.
                started = OPEN_SPANS.start(span, own.span_id, above.get(_SPAN_KEY))
                if not is_lean and _is_native(span):
                    NATIVE_METRICS.started(started)
        except Exception:  # noqa: BLE001 - see above
            count_failure("processor.on_start")
        if self._hand_on_start is not None:
            self._hand_on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a span; one that we did not write gets its figures here, as nobody else gives them to it."""
        try:
            own = span.get_span_context()
            ended = None if own is None else OPEN_SPANS.end(own.span_id)
            if ended is not None and type(span) is not LeanSpan and _is_native(span):
                CPU.settle(ended)
                figures = ended.figures()
                if figures:
                    span = _with_attributes(span, figures)
                NATIVE_METRICS.ended(ended, span)
        except Exception:  # noqa: BLE001 - see above
            count_failure("processor.on_end")
        self._hand_on(span)

    def shutdown(self) -> None:
        """Send what is left; what is open is not told any more."""
        with failures_counted("processor.shutdown"):
            OPEN_SPANS.at_shutdown()
        self._queue.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is there now."""
        return self._queue.force_flush(timeout_millis)


def _is_native(span: ReadableSpan) -> bool:
    """Tell whether somebody else wrote a span."""
    scope = span.instrumentation_scope
    return scope is None or scope.name != semconv.INSTRUMENTATION_SCOPE


def _dropped_by(queue: SpanProcessor) -> Callable[[], int]:
    if not isinstance(getattr(queue, "dropped", None), Mapping):
        return lambda: 0
    # A copy: the queue's thread may count a new reason meanwhile.
    return lambda: sum(list(queue.dropped.values()))  # type: ignore[attr-defined]  # checked above


def _with_attributes(span: ReadableSpan, more: Mapping[str, Any]) -> ReadableSpan:
    """Copy an ended span: the SDK lets nobody add to one, and `_on_ending` comes too late for it (1.45)."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), **more},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
