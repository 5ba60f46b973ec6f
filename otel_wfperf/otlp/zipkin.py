"""Zipkin's JSON, version 2: a list of spans.

The two sides of a remote call may share one span id. Each span here has its own id, so the server's side gets a
derived one and the client's side as its parent; spans of the server's service below that id move with it.

Sources: openzipkin/zipkin-api zipkin2-api.yaml; openzipkin/zipkin zipkin/src/main/java/zipkin2/internal/SpanNode.java
(who is whose parent); OpenTelemetry specification, trace/sdk_exporters/zipkin.md (what its exporter writes).
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from otel_wfperf import semconv
from otel_wfperf.model import Attributes, AttributeValue, Event, Span, SpanKind
from otel_wfperf.otlp.batch import InvalidFieldError, TraceBatch
from otel_wfperf.otlp.json_fields import (
    Object,
    as_object,
    attribute_value,
    encodable,
    identifier,
    mapping,
    microseconds,
    objects,
    refusal,
    text,
)
from otel_wfperf.otlp.tags import KINDS, take_fields

# Semantic conventions, general/attributes.md.
PEER: Final = {"serviceName": "peer.service", "ipv4": "network.peer.address", "ipv6": "network.peer.address"}

EVENT_WITH_ATTRIBUTES: Final = re.compile(r'"(?P<name>[^"]*)": ?(?P<attributes>\{.*\})', re.DOTALL)


def is_span(document: object) -> bool:
    """Tell whether a JSON document is one Zipkin span."""
    return isinstance(document, dict) and "traceId" in document and "id" in document


def decode_spans(documents: Sequence[Any]) -> TraceBatch:
    """Turn Zipkin spans into spans; one that breaks the format is left out and counted."""
    resources: dict[tuple[str, str], Attributes] = {}
    spans: list[Span] = []
    server_sides: set[int] = set()
    rejected: Counter[str] = Counter()
    for item in documents:
        try:
            document = as_object(item)
            span = _span(document, _resource(mapping(document, "localEndpoint"), resources))
        except InvalidFieldError as error:
            rejected[error.reason] += 1
            continue
        # Senders forget the mark, so a server's span is looked at in any case.
        if document.get("shared") is True or span.kind is SpanKind.SERVER:
            server_sides.add(len(spans))
        spans.append(span)
    return TraceBatch(spans=_separate(spans, server_sides), rejected=dict(rejected))


def _separate(spans: list[Span], server_sides: set[int]) -> tuple[Span, ...]:
    """Give the server's side of a shared id its own id, and move what its service did below it."""
    client_sides = {(span.trace_id, span.span_id) for at, span in enumerate(spans) if at not in server_sides}
    moved = {at for at in server_sides if (spans[at].trace_id, spans[at].span_id) in client_sides}
    derived = {(spans[at].trace_id, spans[at].span_id, _service(spans[at])): _derived_id(spans[at]) for at in moved}
    separated = []
    for at, span in enumerate(spans):
        if at in moved:
            separated.append(replace(span, span_id=_derived_id(span), parent_id=span.span_id))
        elif (parent_id := derived.get((span.trace_id, span.parent_id or "", _service(span)))) is not None:
            separated.append(replace(span, parent_id=parent_id))
        else:
            separated.append(span)
    return tuple(separated)


def _derived_id(span: Span) -> str:
    """Derive an id that is the same each time the trace is read."""
    identity = f"{span.trace_id}\x1f{span.span_id}\x1f{_service(span)}"
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _service(span: Span) -> str:
    return str(span.resource.get(semconv.SERVICE_NAME, ""))


def _resource(endpoint: Object, known: dict[tuple[str, str], Attributes]) -> Attributes:
    service, address = text(endpoint, "serviceName"), text(endpoint, "ipv4") or text(endpoint, "ipv6")
    if (service, address) not in known:
        resource: dict[str, AttributeValue] = {semconv.SERVICE_NAME: service} if service else {}
        # Semantic conventions, resource/host.md: host.ip is a list.
        known[service, address] = resource | ({"host.ip": (address,)} if address else {})
    return known[service, address]


def _span(document: Object, resource: Attributes) -> Span:
    events = tuple(_event(annotation) for annotation in objects(document, "annotations"))
    start_ns = microseconds(document, "timestamp") or min((event.time_ns for event in events), default=0)
    if not start_ns:
        raise refusal("timestamp", None, "microseconds are needed")
    duration_ns = microseconds(document, "duration")
    fields = take_fields(_tags(document))
    return Span(
        trace_id=identifier(document, "traceId", digits=32),
        span_id=identifier(document, "id", digits=16),
        parent_id=identifier(document, "parentId", digits=16) if document.get("parentId") else None,
        name=text(document, "name"),
        # OpenTelemetry writes no kind for INTERNAL, and Zipkin has no other meaning for that.
        kind=KINDS.get(text(document, "kind").lower(), SpanKind.INTERNAL),
        start_ns=start_ns,
        # No duration: the span was reported before it ended.
        end_ns=0 if duration_ns is None else start_ns + duration_ns,
        attributes=fields.attributes,
        status=fields.status,
        status_message=fields.status_message,
        events=events,
        scope=fields.scope,
        scope_version=fields.scope_version,
        resource=resource,
        trace_state=fields.trace_state,
        dropped=fields.dropped,
    )


def _event(annotation: Object) -> Event:
    """Read an annotation; OpenTelemetry writes the attributes of an event behind its name, ``"name": {…}``."""
    value, time_ns = text(annotation, "value"), microseconds(annotation, "timestamp") or 0
    if (match := EVENT_WITH_ATTRIBUTES.fullmatch(value)) is not None:
        try:
            attributes = json.loads(match["attributes"])
        except (ValueError, RecursionError):
            return Event(name=value, time_ns=time_ns)
        return Event(name=match["name"], time_ns=time_ns, attributes=_values(attributes))
    return Event(name=value, time_ns=time_ns)


def _values(source: Object) -> dict[str, AttributeValue]:
    return {encodable(key): attribute_value(value) for key, value in source.items()}


def _tags(document: Object) -> dict[str, AttributeValue]:
    """Read the tags and what is known of the other side of a call."""
    tags = _values(mapping(document, "tags"))
    remote = mapping(document, "remoteEndpoint")
    for key, name in PEER.items():
        if value := text(remote, key):
            tags.setdefault(name, value)
    if isinstance(port := remote.get("port"), int) and port:
        tags.setdefault("network.peer.port", port)
    return tags
