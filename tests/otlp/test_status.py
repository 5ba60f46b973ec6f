import json

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_wfperf.otlp.status import response_body, status_body


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
