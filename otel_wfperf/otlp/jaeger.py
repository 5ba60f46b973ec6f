"""Jaeger's JSON, as its UI downloads it and its query API answers.

::

    {"data": [{"traceID": "…", "spans": [{"spanID": "…", "references": […], "processID": "p1", …}],
               "processes": {"p1": {"serviceName": "…", "tags": […]}}}]}

Sources: jaegertracing/jaeger internal/uimodel/model.go; jaegertracing/jaeger-idl model/v1/span.go, ParentSpanID.
"""

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Span
from otel_wfperf.otlp.batch import InvalidFieldError, TraceBatch
from otel_wfperf.otlp.json_fields import (
    Object,
    as_object,
    attribute_value,
    identifier,
    mapping,
    microseconds,
    objects,
    refusal,
    text,
)
from otel_wfperf.otlp.tags import take_fields

JAEGER_KEYS: Final = frozenset({"traceID", "processes"})


def is_trace(document: object) -> bool:
    """Tell whether a JSON document is one Jaeger trace."""
    return (
        isinstance(document, dict) and isinstance(document.get("spans"), list) and not JAEGER_KEYS.isdisjoint(document)
    )


def decode_trace(document: Object) -> TraceBatch:
    """Turn one Jaeger trace into spans; a span that breaks the format is left out and counted."""
    processes = document.get("processes")
    resources: dict[str, Attributes] = {}
    spans: list[Span] = []
    rejected: Counter[str] = Counter()
    for item in document["spans"]:
        try:
            span = as_object(item)
            spans.append(_span(span, _resource(span, processes if isinstance(processes, dict) else {}, resources)))
        except InvalidFieldError as error:
            rejected[error.reason] += 1
    return TraceBatch(spans=tuple(spans), rejected=dict(rejected))


def _resource(span: Object, processes: Object, known: dict[str, Attributes]) -> Attributes:
    """Find the process of a span: named in the trace, or inside the span as Jaeger's storage has it."""
    process_id = text(span, "processID")
    if not process_id:
        return _process(mapping(span, "process"))
    if process_id not in known:
        process = processes.get(process_id)
        known[process_id] = _process(process if isinstance(process, dict) else {})
    return known[process_id]


def _process(process: Object) -> Attributes:
    service = text(process, "serviceName")
    return ({semconv.SERVICE_NAME: service} if service else {}) | _tags(process, "tags")


def _span(span: Object, resource: Attributes) -> Span:
    trace_id = identifier(span, "traceID", digits=32)
    parent_id, links = _references(span, trace_id)
    start_ns = microseconds(span, "startTime")
    if start_ns is None:
        raise refusal("startTime", None, "microseconds are needed")
    fields = take_fields(_tags(span, "tags"))
    flags = span.get("flags")
    return Span(
        trace_id=trace_id,
        span_id=identifier(span, "spanID", digits=16),
        parent_id=parent_id,
        name=text(span, "operationName"),
        kind=fields.kind,
        start_ns=start_ns,
        end_ns=start_ns + (microseconds(span, "duration") or 0),
        attributes=fields.attributes,
        status=fields.status,
        status_message=fields.status_message,
        events=tuple(_event(entry) for entry in objects(span, "logs")),
        links=links,
        scope=fields.scope,
        scope_version=fields.scope_version,
        resource=resource,
        trace_state=fields.trace_state,
        # One byte in Jaeger; bit 0 means "sampled" as in OTLP.
        flags=flags & 0xFF if isinstance(flags, int) else 0,
        dropped=fields.dropped,
    )


def _references(span: Object, trace_id: str) -> tuple[str | None, tuple[Link, ...]]:
    """Pick the parent as Jaeger does, the first CHILD_OF within the trace or else FOLLOWS_FROM; the rest are links."""
    references = [(text(entry, "refType"), _reference(entry, trace_id)) for entry in objects(span, "references")]
    within = [(kind, link) for kind, link in references if link.trace_id == trace_id]
    parent = next((link for kind, link in within if kind != "FOLLOWS_FROM"), within[0][1] if within else None)
    links = tuple(link for _, link in references if link is not parent)
    if parent is not None:
        return parent.span_id, links
    # Older than references; storage and API of Jaeger 1.0 still wrote it.
    return (identifier(span, "parentSpanID", digits=16) if span.get("parentSpanID") else None), links


def _reference(entry: Object, trace_id: str) -> Link:
    named = identifier(entry, "traceID", digits=32) if entry.get("traceID") else trace_id
    return Link(trace_id=named, span_id=identifier(entry, "spanID", digits=16))


def _event(log: Object) -> Event:
    attributes = _tags(log, "fields")
    name = attributes.get("event")
    if isinstance(name, str):
        del attributes["event"]
    return Event(
        name=name if isinstance(name, str) else "", time_ns=microseconds(log, "timestamp") or 0, attributes=attributes
    )


def _tags(source: Object, key: str) -> dict[str, AttributeValue]:
    return {text(tag, "key"): _tag_value(tag) for tag in objects(source, key)}


def _tag_value(tag: Mapping[str, Any]) -> AttributeValue:
    """Read a value by its type: storage writes every value as text, and binary is base64 everywhere."""
    value, kind = tag.get("value"), tag.get("type")
    if not isinstance(value, str) or kind in {None, "string"}:
        return attribute_value(value)
    try:
        if kind == "int64":
            return attribute_value(int(value))
        if kind == "float64":
            return float(value)
        if kind == "binary":
            return base64.b64decode(value, validate=True)
    except ValueError:
        return attribute_value(value)
    return value == "true" if kind == "bool" else attribute_value(value)
