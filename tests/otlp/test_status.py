import json
from typing import Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.otlp.status import rejected_items, response_body, retry_delay_s, status_body


def test_error_is_a_status_in_the_encoding_of_the_request() -> None:
    parsed = Status.FromString(status_body(3, "not JSON", json=False))

    assert (parsed.code, parsed.message) == (3, "not JSON")
    assert json.loads(status_body(3, "not JSON", json=True)) == {"code": 3, "message": "not JSON"}


def test_full_success_leaves_partial_success_unset() -> None:
    assert response_body(0, "", json=False) == b""
    assert response_body(0, "", json=True) == b"{}"


@pytest.mark.parametrize("rejected", [0, 2])
def test_rejected_spans_and_warnings_are_told(rejected: int) -> None:
    partial = ExportTraceServiceResponse.FromString(response_body(rejected, "bad ids", json=False)).partial_success
    told = json.loads(response_body(rejected, "bad ids", json=True))["partialSuccess"]

    assert (partial.rejected_spans, partial.error_message) == (rejected, "bad ids")
    assert told == {"errorMessage": "bad ids"} | ({"rejectedSpans": "2"} if rejected else {})


@pytest.mark.parametrize("seconds", [0.25, 3.0])
def test_the_delay_of_a_refusal_is_read_back(seconds: float) -> None:
    assert retry_delay_s(status_body(14, "busy", json=False, retry_after_s=seconds)) == seconds
    assert retry_delay_s(status_body(14, "busy", json=False)) is None
    assert retry_delay_s(b"\xff") is None


def test_a_malformed_body_is_named_in_the_details() -> None:
    [detail] = json.loads(status_body(3, "not JSON", json=True, malformed=True))["details"]

    assert detail["fieldViolations"] == [{"field": "body", "description": "not JSON"}]


@pytest.mark.parametrize(
    ("response", "field"),
    [
        (ExportTraceServiceResponse(), "rejected_spans"),
        (ExportMetricsServiceResponse(), "rejected_data_points"),
        (ExportLogsServiceResponse(), "rejected_log_records"),
    ],
)
def test_counts_what_a_response_of_any_signal_rejected(response: Any, field: str) -> None:
    assert rejected_items(response.SerializeToString()) == 0
    setattr(response.partial_success, field, 7)
    assert rejected_items(response.SerializeToString()) == 7
    assert rejected_items(b"\xff") == 0
