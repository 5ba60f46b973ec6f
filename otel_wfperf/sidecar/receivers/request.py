"""What both receivers do with a request: check it, append it to the log, say how it went.

The log gets the request's own bytes, so that exporters send on what came, unknown fields included. Only a request
with spans that must be rejected is written anew, without them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError as ProtobufError
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_wfperf.errors import DecodeError, LogFullError
from otel_wfperf.log import Log, Signal
from otel_wfperf.otlp import json
from otel_wfperf.sidecar.metrics import Metrics

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
REQUESTS: Final[Mapping[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
_TRANSCODE: Final[Mapping[Signal, Callable[[bytes], bytes]]] = {
    Signal.TRACES: json.transcode_traces,
    Signal.METRICS: json.transcode_metrics,
    Signal.LOGS: json.transcode_logs,
}
# Chosen: parsing this much takes about 3 ms; more would hold up the other clients of the event loop.
_INLINE_BYTES: Final = 512 * 1024

Response = ExportTraceServiceResponse | ExportMetricsServiceResponse | ExportLogsServiceResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A request that may go into the log.

    Attributes:
        data: OTLP protobuf.
        items: Spans, data points or log records in it (count).
        rejected: Spans left out (count), by reason.
    """

    data: bytes
    items: int
    rejected: Mapping[str, int] = field(default_factory=dict)


class StoppingError(LogFullError):
    """The sidecar stops; the sender should retry, with the next one."""

    def __init__(self) -> None:
        """Say so instead of blaming the log."""
        super().__init__(retry_after_s=1.0)
        self.args = ("the sidecar is stopping; retry in 1 s",)


class Intake:
    """Takes requests from the receivers into the log."""

    def __init__(self, log: Log, metrics: Metrics, *, max_request_bytes: int) -> None:
        """Share one log and one set of counters between the receivers."""
        self._log = log
        self.metrics = metrics
        self.max_request_bytes = max_request_bytes
        self.draining = False

    async def accept(self, signal: Signal, data: bytes, *, protocol: str) -> Response:
        """Append a protobuf request to the log; the answer means that it is durable.

        Raises:
            DecodeError: It is not what it says it is; sending it again is no use.
            LogFullError: There is no room now, or the sidecar stops; the sender should retry.
        """
        return await self.accept_checked(signal, lambda: check(signal, data), size=len(data), protocol=protocol)

    async def accept_checked(
        self, signal: Signal, checking: Callable[[], Checked], *, size: int, protocol: str
    ) -> Response:
        """Do the same for a request that is decoded by ``checking``."""
        if self.draining:
            raise StoppingError
        checked = checking() if size <= _INLINE_BYTES else await asyncio.to_thread(checking)
        if checked.items:
            await self._log.append(signal, checked.data, items=checked.items)
        self.metrics.accepted(signal, protocol, checked.items)
        for reason, spans in checked.rejected.items():
            self.metrics.rejected_spans(reason, spans)
        return _response(signal, checked.rejected)


def check(signal: Signal, data: bytes) -> Checked:
    """Decode a protobuf request and find what of it is valid; raise DecodeError when nothing can be read."""
    message = REQUESTS[signal]()
    try:
        message.ParseFromString(data)
    except ProtobufError as error:
        raise DecodeError(f"the body is not {message.DESCRIPTOR.name} in protobuf: {error}") from error
    rejected: Counter[str] = Counter()
    if isinstance(message, ExportTraceServiceRequest):
        items = _check_spans(message, rejected)
    elif isinstance(message, ExportMetricsServiceRequest):
        items = _data_points(message)
    elif isinstance(message, ExportLogsServiceRequest):
        items = sum(len(scope.log_records) for resource in message.resource_logs for scope in resource.scope_logs)
    else:
        raise TypeError(f"{message.DESCRIPTOR.full_name}: is not an OTLP export request")
    if rejected:
        data = message.SerializeToString()
    return Checked(data=data, items=items, rejected=rejected)


def check_json(signal: Signal, data: bytes) -> Checked:
    """Do the same with an OTLP/JSON request, which becomes protobuf."""
    return check(signal, _TRANSCODE[signal](data))


def _check_spans(message: ExportTraceServiceRequest, rejected: Counter[str]) -> int:
    """Count the spans with valid ids and remove the others."""
    kept = 0
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            bad = []
            for index, span in enumerate(scope.spans):
                reason = _id_problem(span)
                if reason is None:
                    kept += 1
                else:
                    rejected[reason] += 1
                    bad.append(index)
            for index in reversed(bad):
                del scope.spans[index]
    return kept


def _id_problem(span: Span) -> str | None:
    """Name what is wrong with the ids. Source: opentelemetry-proto trace.proto, Span.trace_id and Span.span_id."""
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or trace_id == _NO_TRACE:
        return "invalid_trace_id"
    if len(span_id) != 8 or span_id == _NO_SPAN:
        return "invalid_span_id"
    if len(span.parent_span_id) not in {0, 8}:
        return "invalid_parent_span_id"
    return None


def _data_points(message: ExportMetricsServiceRequest) -> int:
    points = 0
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                points += len(getattr(metric, kind).data_points) if kind else 0
    return points


def _response(signal: Signal, rejected: Mapping[str, int]) -> Response:
    if signal is Signal.METRICS:
        return ExportMetricsServiceResponse()
    if signal is Signal.LOGS:
        return ExportLogsServiceResponse()
    response = ExportTraceServiceResponse()
    if rejected:
        response.partial_success.rejected_spans = sum(rejected.values())
        reasons = ", ".join(f"{spans} {reason}" for reason, spans in sorted(rejected.items()))
        response.partial_success.error_message = f"spans rejected: {reasons}; the others were accepted"
    return response
