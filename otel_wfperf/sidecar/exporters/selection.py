"""Which traces a back end is to have, and a request with those alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_wfperf.config import ExporterConfig
from otel_wfperf.model import ExecutionStatus
from otel_wfperf.otlp.protobuf import parse
from otel_wfperf.store import Verdict

# Source: OpenTelemetry, TraceState: Probability Sampling: randomness is the last 56 bits of a trace id.
_RANDOM_DIGITS: Final = 14
_RANDOM_RANGE: Final = 16**_RANDOM_DIGITS


def is_wanted(config: ExporterConfig, trace_id: str, verdict: Verdict | None) -> bool:
    """Tell whether an exporter is to send a trace.

    Args:
        config: What is worth sending.
        trace_id: 32 hexadecimal digits.
        verdict: What came out of its analysis; None = nothing did, so that nothing speaks against it.
    """
    if is_sampled(trace_id, config.sample_ratio):
        return True
    if config.forward == "sample":
        return False
    if verdict is None:
        return True
    if config.forward == "errors":
        return verdict.status is not ExecutionStatus.OK
    if not verdict.compared:
        return True
    return verdict.severity is not None and verdict.severity.rank <= config.min_severity.rank


def is_sampled(trace_id: str, ratio: float) -> bool:
    """Tell whether a trace is in a share of all (0..1); a larger share holds all of a smaller one."""
    return int(trace_id[-_RANDOM_DIGITS:], 16) >= (1 - ratio) * _RANDOM_RANGE


def spans_by_trace(data: bytes) -> Counter[str]:
    """Count the spans of each trace in a traces request; raise DecodeError when it is none."""
    request = parse(ExportTraceServiceRequest, data)
    return Counter(span.trace_id.hex() for r in request.resource_spans for s in r.scope_spans for span in s.spans)


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of a request.

    Attributes:
        data: OTLP protobuf; fields that we do not know are still in it.
        spans: How many are in it (count).
    """

    data: bytes
    spans: int


def cut(data: bytes, keep: Callable[[str], bool]) -> Cut:
    """Leave only the spans of some traces in a traces request, and what has no span left out of it."""
    request = parse(ExportTraceServiceRequest, data)
    kept = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            # Protobuf messages of Python keep fields that are unknown to them.
            spans = [span for span in scope.spans if keep(span.trace_id.hex())]
            if len(spans) < len(scope.spans):
                del scope.spans[:]
                scope.spans.extend(spans)
            kept += len(spans)
        for index in reversed(range(len(resource.scope_spans))):
            if not resource.scope_spans[index].spans:
                del resource.scope_spans[index]
    for index in reversed(range(len(request.resource_spans))):
        if not request.resource_spans[index].scope_spans:
            del request.resource_spans[index]
    return Cut(request.SerializeToString(), kept)
