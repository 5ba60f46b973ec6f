"""When a streamed answer began, by the events that emitters add for its pieces."""

from collections.abc import Collection

from otel_wfperf.model import Span


def first_event_s(span: Span, names: Collection[str]) -> float | None:
    """Return the delay from the start of a span to its first event of one of some names (seconds)."""
    moments = [event.time_ns for event in span.events if event.name in names]
    return max(0, min(moments) - span.start_ns) / 1e9 if moments else None
