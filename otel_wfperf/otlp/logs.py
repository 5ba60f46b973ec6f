"""Log records that say which spans are open -> spans without an end. All other log records mean nothing here.

Source: opentelemetry-proto, collector/logs/v1/logs_service.proto and logs/v1/logs.proto.
"""

from collections import Counter
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from otel_wfperf import semconv
from otel_wfperf.conventions.attributes import text
from otel_wfperf.model import Attributes, Span
from otel_wfperf.otlp.batch import TraceBatch
from otel_wfperf.otlp.protobuf import NO_SPAN, NO_TRACE, attributes_of, parse

_INVALID: Final = "invalid_start_event"
# Chosen: what a request may take through a collector that batches; it is a sixth of the age at which anything stalls.
_SAME_CLOCK_NS: Final = 5_000_000_000


def decode_open_spans(data: bytes, *, now_ns: int | None = None) -> TraceBatch:
    """Decode the start events of an ExportLogsServiceRequest; raise DecodeError when it is none.

    Start events with unusable ids are left out and counted.

    Args:
        data: The request.
        now_ns: The present by our clock: starts are moved to it where the sender's clock differs (nanoseconds since the
            Unix epoch). None = leave them as they are.
    """
    spans: list[Span] = []
    rejected: Counter[str] = Counter()
    for resource_logs in parse(ExportLogsServiceRequest, data).resource_logs:
        resource: Attributes | None = None
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                if record.event_name != semconv.START_EVENT:
                    continue
                if resource is None:
                    resource = attributes_of(resource_logs.resource.attributes)
                span = _open_span(record, resource, scope_logs.scope.name, now_ns)
                if span is None:
                    rejected[_INVALID] += 1
                else:
                    spans.append(span)
    return TraceBatch(spans=tuple(spans), rejected=dict(rejected))


def _open_span(record: LogRecord, resource: Attributes, scope: str, now_ns: int | None) -> Span | None:
    trace_id, span_id = record.trace_id, record.span_id
    if len(trace_id) != len(NO_TRACE) or len(span_id) != len(NO_SPAN) or trace_id == NO_TRACE or span_id == NO_SPAN:
        return None
    attributes = attributes_of(record.attributes)
    return Span(
        trace_id=trace_id.hex(),
        span_id=span_id.hex(),
        parent_id=text(attributes, semconv.PARENT_SPAN_ID),
        name=text(attributes, semconv.SPAN_NAME) or "",
        start_ns=_start_ns(record, now_ns),
        attributes=attributes,
        scope=scope,
        resource=resource,
    )


def _start_ns(record: LogRecord, now_ns: int | None) -> int:
    """Return the start by our clock: what was observed just now by the sender's clock shows how far off that is."""
    start_ns, observed_ns = record.time_unix_nano, record.observed_time_unix_nano
    if now_ns is None or not observed_ns or abs(now_ns - observed_ns) <= _SAME_CLOCK_NS:
        return start_ns
    return max(0, now_ns - max(0, observed_ns - start_ns))
