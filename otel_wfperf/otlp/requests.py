"""What a receiver must know of an export request: whether it is one, how much is in it, and what of it is invalid.

Signals go by OpenTelemetry's names: ``traces``, ``metrics``, ``logs``.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.otlp import json
from otel_wfperf.otlp.protobuf import parse, unusable_id

_TRANSCODE: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "traces": json.transcode_traces,
    "metrics": json.transcode_metrics,
    "logs": json.transcode_logs,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request that may be handed on.

    Attributes:
        data: OTLP protobuf; the bytes that came, unless spans were left out.
        items: Spans, data points or log records in it (count).
        rejected: Spans left out (count), by reason.
    """

    data: bytes
    items: int
    rejected: Mapping[str, int] = field(default_factory=dict)


def check(signal: str, data: bytes) -> Checked:
    """Decode a protobuf request and find what of it is valid; raise DecodeError when nothing can be read."""
    return _CHECKS[signal](data)


def check_json(signal: str, data: bytes) -> Checked:
    """Do the same with an OTLP/JSON request, which becomes protobuf."""
    return check(signal, _TRANSCODE[signal](data))


def _check_traces(data: bytes) -> Checked:
    message = parse(ExportTraceServiceRequest, data)
    rejected: Counter[str] = Counter()
    kept = 0
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            bad = []
            for index, span in enumerate(scope.spans):
                reason = unusable_id(span)
                if reason is None:
                    kept += 1
                else:
                    rejected[reason] += 1
                    bad.append(index)
            for index in reversed(bad):
                del scope.spans[index]
    return Checked(data=message.SerializeToString() if rejected else data, items=kept, rejected=rejected)


def _check_metrics(data: bytes) -> Checked:
    points = 0
    for resource in parse(ExportMetricsServiceRequest, data).resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points += len(getattr(metric, kind).data_points) if kind else 0
    return Checked(data=data, items=points)


def _check_logs(data: bytes) -> Checked:
    message = parse(ExportLogsServiceRequest, data)
    records = sum(len(scope.log_records) for resource in message.resource_logs for scope in resource.scope_logs)
    return Checked(data=data, items=records)


_CHECKS: Final[Mapping[str, Callable[[bytes], Checked]]] = {
    "traces": _check_traces,
    "metrics": _check_metrics,
    "logs": _check_logs,
}
