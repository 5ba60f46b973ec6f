"""Spans for the tests of dialects."""

from otel_wfperf.conventions import normalize
from otel_wfperf.model import Attributes, AttributeValue, Event, Operation, Span, SpanKind, StatusCode

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def span(
    name: str,
    attributes: Attributes,
    *,
    parent_id: str | None = "b" * 16,
    kind: SpanKind = SpanKind.INTERNAL,
    status: StatusCode = StatusCode.UNSET,
    status_message: str = "",
    events: tuple[Event, ...] = (),
    scope: str = "",
    resource: Attributes | None = None,
    end_ns: int = START_NS + 100 * MS,
    flags: int = 0,
) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id="c" * 16,
        parent_id=parent_id,
        name=name,
        kind=kind,
        start_ns=START_NS,
        end_ns=end_ns,
        attributes=attributes,
        status=status,
        status_message=status_message,
        events=events,
        scope=scope,
        resource=resource or {},
        flags=flags,
    )


def understood(
    name: str,
    attributes: Attributes | None = None,
    *,
    scope: str = "",
    parent_id: str | None = "b" * 16,
    **named: AttributeValue,
) -> Operation:
    """Normalize a span; attributes given by keyword have ``__`` for ``.`` in their names."""
    read = {**(attributes or {}), **{key.replace("__", "."): value for key, value in named.items()}}
    operation = normalize(span(name, read, scope=scope, parent_id=parent_id))
    assert operation is not None
    return operation


def operation_of(written: Span) -> Operation:
    """Normalize a span that is to be analysed."""
    operation = normalize(written)
    assert operation is not None
    return operation
