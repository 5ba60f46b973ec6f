import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_wfperf import semconv
from otel_wfperf.errors import DecodeError
from otel_wfperf.otlp.logs import decode_open_spans
from tests.sidecar import requests


def start_event(
    request: ExportLogsServiceRequest, *, trace_id: bytes = b"\x01" * 16, span_id: bytes = b"\x02" * 8
) -> None:
    """Add a start event of its own resource and scope."""
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.add(key="service.name").value.string_value = "svc"
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = "otel_wfperf"
    record = scope_logs.log_records.add(
        event_name=semconv.START_EVENT, time_unix_nano=5, observed_time_unix_nano=9, trace_id=trace_id, span_id=span_id
    )
    record.attributes.add(key=semconv.SPAN_NAME).value.string_value = "phase draft"
    record.attributes.add(key=semconv.PARENT_SPAN_ID).value.string_value = "03" * 8
    record.attributes.add(key=semconv.SPAN_KIND).value.string_value = "phase"


def test_a_start_event_is_a_span_without_an_end() -> None:
    request = ExportLogsServiceRequest()
    start_event(request)

    [span] = decode_open_spans(request.SerializeToString()).spans

    assert (span.trace_id, span.span_id, span.parent_id) == ("01" * 16, "02" * 8, "03" * 8)
    assert (span.name, span.start_ns, span.end_ns) == ("phase draft", 5, 0)
    assert (span.scope, dict(span.resource)) == ("otel_wfperf", {"service.name": "svc"})
    assert span.attributes[semconv.SPAN_KIND] == "phase"


def test_other_log_records_mean_nothing() -> None:
    assert decode_open_spans(requests.logs()).spans == ()
    assert decode_open_spans(b"").spans == ()


@pytest.mark.parametrize(
    ("trace_id", "span_id"),
    [(b"", b"\x02" * 8), (bytes(16), b"\x02" * 8), (b"\x01" * 16, bytes(8)), (b"\x01", b"\x02")],
)
def test_unusable_ids_are_counted(trace_id: bytes, span_id: bytes) -> None:
    request = ExportLogsServiceRequest()
    start_event(request, trace_id=trace_id, span_id=span_id)
    start_event(request)

    batch = decode_open_spans(request.SerializeToString())

    assert (len(batch.spans), batch.rejected) == (1, {"invalid_start_event": 1})


def test_something_else_is_refused() -> None:
    with pytest.raises(DecodeError, match="not a protobuf ExportLogsServiceRequest"):
        decode_open_spans(b"\xff")


@pytest.mark.parametrize(
    ("off_s", "observed", "expected_s"),
    [(0, True, 990), (4, True, 994), (300, True, 990), (-300, True, 990), (300, False, 1290)],
)
def test_starts_by_a_clock_that_differs_are_moved_to_ours(off_s: int, *, observed: bool, expected_s: int) -> None:
    """Ten seconds before it was said that it runs."""
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            event_name=semconv.START_EVENT, trace_id=b"t" * 16, span_id=b"s" * 8, time_unix_nano=(990 + off_s) * 10**9
        )
    )
    record.observed_time_unix_nano = (1000 + off_s) * 10**9 if observed else 0

    [span] = decode_open_spans(request.SerializeToString(), now_ns=1000 * 10**9).spans

    assert span.start_ns == expected_s * 10**9
