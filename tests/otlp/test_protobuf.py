import contextlib
import random

import pytest
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import Span, SpanKind, StatusCode
from otel_wfperf.otlp import json, protobuf
from otel_wfperf.otlp.requests import check
from tests.otlp.requests import LOGS, METRICS, payload
from tests.otlp.strategies import SPANS, written

TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))


def request_with(**fields: object) -> tuple[ExportTraceServiceRequest, trace_pb2.Span]:
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    span = scope_spans.spans.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    for name, value in fields.items():
        setattr(span, name, value)
    return request, span


@given(SPANS)
def test_spans_survive_protobuf(spans: list[Span]) -> None:
    batch = protobuf.decode_traces(protobuf.encode_traces(spans))

    assert written(batch.spans) == written(spans)
    assert batch.rejected == {}


def test_spans_of_one_process_share_its_resource_and_order() -> None:
    resource = {"service.name": "planner"}
    spans = [Span(trace_id="0" * 31 + "1", span_id=f"{i:016x}", start_ns=i, resource=resource) for i in range(1, 4)]

    decoded = protobuf.decode_traces(protobuf.encode_traces(iter(spans))).spans

    assert decoded == tuple(spans)
    assert decoded[0].resource is decoded[2].resource


def test_groups_spans_by_resource_and_scope() -> None:
    spans = [
        Span(trace_id="0" * 31 + "1", span_id=f"{i:016x}", start_ns=0, resource={"flag": value}, scope=scope)
        for i, (value, scope) in enumerate([(True, "a"), (1, "a"), (True, "b"), (True, "a")], start=1)
    ]

    request = ExportTraceServiceRequest.FromString(protobuf.encode_traces(spans))

    sizes = [[len(scope.spans) for scope in resource.scope_spans] for resource in request.resource_spans]
    assert sizes == [[2, 1], [1]]


def test_empty_request_has_no_spans() -> None:
    assert protobuf.decode_traces(b"").spans == ()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("trace_id", b"", "invalid_trace_id"),
        ("trace_id", bytes(16), "invalid_trace_id"),
        ("trace_id", TRACE_ID[:8], "invalid_trace_id"),
        ("span_id", b"", "invalid_span_id"),
        ("span_id", bytes(8), "invalid_span_id"),
        ("span_id", TRACE_ID, "invalid_span_id"),
        ("parent_span_id", b"abc", "invalid_parent_span_id"),
    ],
)
def test_leaves_out_a_span_with_an_unusable_id_and_keeps_the_others(field: str, value: bytes, reason: str) -> None:
    request, _ = request_with(**{field: value})
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=TRACE_ID, span_id=SPAN_ID, name="good")

    batch = protobuf.decode_traces(request.SerializeToString())

    assert [span.name for span in batch.spans] == ["good"]
    assert batch.rejected == {reason: 1}


@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_no_parent_and_a_zero_parent_mean_a_root(parent: bytes) -> None:
    request, _ = request_with(parent_span_id=parent)

    assert protobuf.decode_traces(request.SerializeToString()).spans[0].parent_id is None


def test_end_before_start_and_no_end_are_accepted_as_they_are() -> None:
    request, _ = request_with(start_time_unix_nano=7, end_time_unix_nano=5)
    request.resource_spans[0].scope_spans[0].spans.add(trace_id=TRACE_ID, span_id=SPAN_ID, start_time_unix_nano=7)

    spans = protobuf.decode_traces(request.SerializeToString()).spans

    assert [(span.start_ns, span.end_ns) for span in spans] == [(7, 5), (7, 0)]


def test_unknown_kind_and_status_are_unspecified() -> None:
    request, span = request_with(kind=77)
    span.status.code = 9  # type: ignore[assignment]  # a number that a later version may define

    [decoded] = protobuf.decode_traces(request.SerializeToString()).spans

    assert (decoded.kind, decoded.status) == (SpanKind.UNSPECIFIED, StatusCode.UNSET)


def test_link_to_nowhere_is_left_out_and_counted_as_dropped() -> None:
    request, span = request_with(dropped_events_count=2)
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID)
    span.links.add(trace_id=TRACE_ID)

    [decoded] = protobuf.decode_traces(request.SerializeToString()).spans

    assert len(decoded.links) == 1
    assert decoded.dropped == 3


def test_deep_nesting_is_refused() -> None:
    request, span = request_with()
    value = span.attributes.add(key="deep").value
    for _ in range(5_000):
        value = value.array_value.values.add()

    with pytest.raises(DecodeError, match="not a protobuf ExportTraceServiceRequest"):
        protobuf.decode_traces(request.SerializeToString())


def test_bad_utf8_in_a_name_is_refused() -> None:
    request, _ = request_with(name="chat")

    with pytest.raises(DecodeError):
        protobuf.decode_traces(request.SerializeToString().replace(b"chat", b"ch\xff\xfe"))


def test_every_truncation_is_decoded_or_refused() -> None:
    request, span = request_with(name="chat", start_time_unix_nano=1)
    span.attributes.add(key="key").value.string_value = "value"
    data = request.SerializeToString()

    with pytest.raises(DecodeError, match="check that the content type"):
        protobuf.decode_traces(data[:-1])
    for size in range(len(data)):
        only_refuses(data[:size])


def test_random_bytes_are_decoded_or_refused() -> None:
    random_bytes = random.Random(4711)
    for _ in range(1_000):
        only_refuses(random_bytes.randbytes(random_bytes.randrange(64)))


def only_refuses(data: bytes) -> None:
    with contextlib.suppress(DecodeError):
        protobuf.decode_traces(data)


def test_validates_metrics_and_logs() -> None:
    check("metrics", json.transcode_metrics(payload(METRICS)))
    check("logs", json.transcode_logs(payload(LOGS)))
    with pytest.raises(DecodeError, match="ExportMetricsServiceRequest"):
        check("metrics", b"\x0a\xff")
    with pytest.raises(DecodeError, match="ExportLogsServiceRequest"):
        check("logs", b"\x0a\xff")


def test_tells_metrics_and_logs_from_traces() -> None:
    request, _ = request_with(name="chat", start_time_unix_nano=1)

    assert protobuf.other_signal(json.transcode_metrics(payload(METRICS))) == "metrics"
    assert protobuf.other_signal(json.transcode_logs(payload(LOGS))) == "logs"
    assert protobuf.other_signal(request.SerializeToString()) is None
    assert protobuf.other_signal(b"") is None
