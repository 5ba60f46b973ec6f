"""Read what a back end left out of a request that it accepted."""

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.log import Signal


def rejected_items(signal: Signal, response: bytes) -> int:
    """Count the items that a response says were rejected; a response that cannot be read rejects none."""
    try:
        if signal is Signal.TRACES:
            return ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans
        if signal is Signal.METRICS:
            return ExportMetricsServiceResponse.FromString(response).partial_success.rejected_data_points
        return ExportLogsServiceResponse.FromString(response).partial_success.rejected_log_records
    except DecodeError:
        return 0
