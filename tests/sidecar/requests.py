"""OTLP requests for tests."""

import zlib

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.log import Signal


def traces(count: int = 1, *, first: int = 1, trace_id: bytes = b"\x01" * 16, text: str = "") -> bytes:
    """Build a traces request of ``count`` spans with consecutive ids, each with an attribute of some text."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(first, first + count):
        span = spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            name=f"span {number}",
            start_time_unix_nano=number,
            end_time_unix_nano=number + 1,
        )
        if text:
            span.attributes.add(key="text").value.string_value = text
    return request.SerializeToString()


def metrics() -> bytes:
    """Build a metrics request of two data points."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="m")
    metric.gauge.data_points.add(as_int=1)
    metric.gauge.data_points.add(as_int=2)
    return request.SerializeToString()


def logs() -> bytes:
    """Build a logs request of one record."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = "hello"
    return request.SerializeToString()


REQUESTS = {Signal.TRACES: traces(), Signal.METRICS: metrics(), Signal.LOGS: logs()}


def span_ids(data: bytes) -> list[str]:
    """List the span ids of a traces request."""
    request = ExportTraceServiceRequest.FromString(data)
    return [span.span_id.hex() for r in request.resource_spans for s in r.scope_spans for span in s.spans]


def trace_ids(data: bytes) -> list[str]:
    """List the trace id of each span of a traces request."""
    request = ExportTraceServiceRequest.FromString(data)
    return [span.trace_id.hex() for r in request.resource_spans for s in r.scope_spans for span in s.spans]


def zip_bomb(size_bytes: int) -> bytes:
    """Pack zeros, without ever holding them, so that the peak of memory tells what unpacking took."""
    packing = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    step = bytes(1024**2)
    return b"".join([*(packing.compress(step) for _ in range(size_bytes // len(step))), packing.flush()])


def tree(trace_id: bytes, children: int, *, with_root: bool = False, first: int = 2) -> bytes:
    """Build a traces request with children of the root, whose id is 1, and with the root itself if wanted."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(first, first + children):
        spans.add(
            trace_id=trace_id,
            span_id=number.to_bytes(8, "big"),
            parent_span_id=(1).to_bytes(8, "big"),
            name="child",
            start_time_unix_nano=10**18 + number,
            end_time_unix_nano=10**18 + number + 1,
        )
    if with_root:
        spans.add(
            trace_id=trace_id,
            span_id=(1).to_bytes(8, "big"),
            name="root",
            start_time_unix_nano=10**18,
            end_time_unix_nano=10**18 + 10**9,
        )
    return request.SerializeToString()
