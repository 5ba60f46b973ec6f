"""OTLP requests in protobuf <-> spans.

Source: opentelemetry-proto, collector/trace/v1/trace_service.proto and trace/v1/trace.proto.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, cast

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import Attributes, AttributeValue, Event, Link, Span, SpanKind, StatusCode
from otel_wfperf.otlp import traces
from otel_wfperf.otlp.batch import TraceBatch

M = TypeVar("M", bound=Message)

#: Whether the hot path is machine code. Interpreted, the official decoder takes half the time of our own.
IS_COMPILED: Final = not str(traces.__file__).endswith(".py")

NO_TRACE: Final = bytes(16)
NO_SPAN: Final = bytes(8)
_NO_PARENT: Final = ("", NO_SPAN.hex())
# Looking a member up is cheaper than calling the enumeration, and unknown numbers need a default anyway.
KINDS: Final[Mapping[int, SpanKind]] = {int(kind): kind for kind in SpanKind}
STATUS_CODES: Final[Mapping[int, StatusCode]] = {int(code): code for code in StatusCode}


def decode_traces(data: bytes) -> TraceBatch:
    """Decode an ExportTraceServiceRequest; raise DecodeError unless all of it can be decoded.

    Spans with unusable ids are left out and counted; protobuf bounds the nesting of values (100 messages).
    """
    return traces.decode_traces(data) if IS_COMPILED else batch_of(parse(ExportTraceServiceRequest, data))


def encode_traces(spans: Iterable[Span]) -> bytes:
    """Encode spans as an ExportTraceServiceRequest; spans of one resource and scope stand together."""
    return request_of(spans).SerializeToString()


def other_signal(data: bytes) -> str | None:
    """Tell whether the bytes are a request with metrics or logs in it; None when they are neither.

    Protobuf names no types: a metrics request may well parse as a traces request full of nonsense.
    """
    try:
        metrics = parse(ExportMetricsServiceRequest, data)
    except DecodeError:
        pass
    else:
        points = [metric for r in metrics.resource_metrics for s in r.scope_metrics for metric in s.metrics]
        if points and all(metric.name and metric.WhichOneof("data") for metric in points):
            return "metrics"
    try:
        logs = parse(ExportLogsServiceRequest, data)
    except DecodeError:
        return None
    records = [record for r in logs.resource_logs for s in r.scope_logs for record in s.log_records]
    return "logs" if records and all(r.time_unix_nano or r.observed_time_unix_nano for r in records) else None


def parse(message_type: type[M], data: bytes) -> M:
    """Parse one protobuf message; raise DecodeError when the bytes are something else."""
    try:
        return message_type.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(
            f"{len(data)} bytes are not a protobuf {message_type.__name__}: {error}; "
            "check that the content type (protobuf or JSON), the compression and the path fit the payload"
        ) from error


def batch_of(request: ExportTraceServiceRequest) -> TraceBatch:
    """Turn a parsed request into spans; the attributes of a resource are shared by its spans."""
    spans: list[Span] = []
    rejected: Counter[str] = Counter()
    # Ids and names come again and again, and are kept for a while: then one of each is enough.
    known: dict[str, str] = {}
    for resource_spans in request.resource_spans:
        resource = attributes_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            scope = (scope_spans.scope.name, scope_spans.scope.version)
            for message in scope_spans.spans:
                reason = unusable_id(message)
                if reason is None:
                    spans.append(_span(message, resource, scope, known))
                else:
                    rejected[reason] += 1
    return TraceBatch(spans=tuple(spans), rejected=dict(rejected))


def request_of(spans: Iterable[Span]) -> ExportTraceServiceRequest:
    """Build the request that carries the spans."""
    # A tuple keeps every resource alive, so an id() cannot be used twice.
    all_spans = tuple(spans)
    request = ExportTraceServiceRequest()
    encoded_by_id: dict[int, bytes] = {}
    by_resource: dict[bytes, trace_pb2.ResourceSpans] = {}
    by_scope: dict[tuple[bytes, str, str], trace_pb2.ScopeSpans] = {}
    for span in all_spans:
        encoded = encoded_by_id.get(id(span.resource))
        if encoded is None:
            encoded = encoded_by_id[id(span.resource)] = _resource(span.resource).SerializeToString()
        scope = (encoded, span.scope, span.scope_version)
        if scope not in by_scope:
            if encoded not in by_resource:
                by_resource[encoded] = request.resource_spans.add(resource=_resource(span.resource))
            by_scope[scope] = by_resource[encoded].scope_spans.add()
            by_scope[scope].scope.name = span.scope
            by_scope[scope].scope.version = span.scope_version
        _fill_span(by_scope[scope].spans.add(), span)
    return request


# -- message -> span -----------------------------------------------------------------------------------------------


def unusable_id(message: trace_pb2.Span) -> str | None:
    """Name what is wrong with the ids. Source: opentelemetry-proto trace.proto, Span.trace_id and Span.span_id."""
    trace_id, span_id = message.trace_id, message.span_id
    if len(trace_id) != 16 or trace_id == NO_TRACE:
        return "invalid_trace_id"
    if len(span_id) != 8 or span_id == NO_SPAN:
        return "invalid_span_id"
    if len(message.parent_span_id) not in {0, 8}:
        return "invalid_parent_span_id"
    return None


def _span(message: trace_pb2.Span, resource: Attributes, scope: tuple[str, str], known: dict[str, str]) -> Span:
    trace_id, parent_id, name = message.trace_id.hex(), message.parent_span_id.hex(), message.name
    links = tuple(_link(link) for link in message.links if _points_somewhere(link))
    dropped = message.dropped_attributes_count + message.dropped_events_count + message.dropped_links_count
    return Span(
        trace_id=known.setdefault(trace_id, trace_id),
        span_id=message.span_id.hex(),
        parent_id=None if parent_id in _NO_PARENT else known.setdefault(parent_id, parent_id),
        name=known.setdefault(name, name),
        kind=KINDS.get(message.kind, SpanKind.UNSPECIFIED),
        start_ns=message.start_time_unix_nano,
        end_ns=message.end_time_unix_nano,
        attributes=attributes_of(message.attributes),
        status=STATUS_CODES.get(message.status.code, StatusCode.UNSET),
        status_message=message.status.message,
        events=tuple(
            Event(name=event.name, time_ns=event.time_unix_nano, attributes=attributes_of(event.attributes))
            for event in message.events
        ),
        links=links,
        scope=scope[0],
        scope_version=scope[1],
        resource=resource,
        trace_state=message.trace_state,
        flags=message.flags,
        dropped=dropped + len(message.links) - len(links),
    )


def _points_somewhere(link: trace_pb2.Span.Link) -> bool:
    return len(link.trace_id) == 16 and len(link.span_id) == 8 and link.trace_id != NO_TRACE and link.span_id != NO_SPAN


def _link(link: trace_pb2.Span.Link) -> Link:
    return Link(trace_id=link.trace_id.hex(), span_id=link.span_id.hex(), attributes=attributes_of(link.attributes))


def attributes_of(entries: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    """Read a list of attributes."""
    return {entry.key: _value(entry.value) for entry in entries}


def _value(value: AnyValue) -> AttributeValue:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value
    if kind == "array_value":
        return tuple([_value(item) for item in value.array_value.values])
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    # An index into the string table of a profile means nothing in a trace.
    if kind is None or kind == "string_value_strindex":
        return None
    return cast("bool | int | float | bytes", getattr(value, kind))


# -- span -> message -----------------------------------------------------------------------------------------------


def _resource(attributes: Attributes) -> Resource:
    resource = Resource()
    for key, value in attributes.items():
        _set_value(resource.attributes.add(key=key).value, value)
    return resource


def _fill_span(message: trace_pb2.Span, span: Span) -> None:
    message.trace_id = bytes.fromhex(span.trace_id)
    message.span_id = bytes.fromhex(span.span_id)
    if span.parent_id is not None:
        message.parent_span_id = bytes.fromhex(span.parent_id)
    message.name = span.name
    message.kind = cast("trace_pb2.Span.SpanKind.ValueType", int(span.kind))
    message.start_time_unix_nano = span.start_ns
    message.end_time_unix_nano = span.end_ns
    message.trace_state = span.trace_state
    message.flags = span.flags
    message.dropped_attributes_count = span.dropped
    message.status.code = cast("trace_pb2.Status.StatusCode.ValueType", int(span.status))
    message.status.message = span.status_message
    for key, value in span.attributes.items():
        _set_value(message.attributes.add(key=key).value, value)
    for event in span.events:
        event_message = message.events.add(name=event.name, time_unix_nano=event.time_ns)
        for key, value in event.attributes.items():
            _set_value(event_message.attributes.add(key=key).value, value)
    for link in span.links:
        link_message = message.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=bytes.fromhex(link.span_id))
        for key, value in link.attributes.items():
            _set_value(link_message.attributes.add(key=key).value, value)


def _set_value(target: AnyValue, value: AttributeValue) -> None:
    # bool is an int in Python, so it comes first; SetInParent keeps an empty list or mapping from becoming None.
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            _set_value(target.kvlist_value.values.add(key=key).value, item)
    elif value is not None:
        target.array_value.SetInParent()
        for item in value:
            _set_value(target.array_value.values.add(), item)
