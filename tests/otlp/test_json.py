import base64
import json as standard_json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from otel_wfperf.errors import DecodeError
from otel_wfperf.model import AttributeValue, Span, SpanKind, StatusCode
from otel_wfperf.otlp import json, protobuf
from tests.otlp.requests import LOGS, METRICS, SPAN_ID, TRACE_ID, attribute, payload, span_json, traces_json
from tests.otlp.strategies import SPANS, written


def decode(**fields: Any) -> Span:
    [span] = json.decode_traces(payload(traces_json(span_json(**fields)))).spans
    return span


def value_of(any_value: object) -> AttributeValue:
    return json.decode_traces(attribute(any_value)).spans[0].attributes["key"]


@given(SPANS)
def test_spans_survive_json_and_both_encodings_agree(spans: list[Span]) -> None:
    data = json.encode_traces(spans)

    assert written(json.decode_traces(data).spans) == written(spans)
    assert json.transcode_traces(data) == protobuf.encode_traces(spans)


def test_reads_every_field_of_a_span() -> None:
    span = decode(
        parentSpanId="00F067AA0BA902B7",
        traceState="a=1",
        flags=257,
        kind=3,
        endTimeUnixNano=2,
        attributes=[{"key": "n", "value": {"intValue": "5"}}],
        droppedAttributesCount=1,
        events=[{"name": "retry", "timeUnixNano": "4"}],
        links=[{"traceId": TRACE_ID, "spanId": SPAN_ID}],
        status={"code": 2, "message": "boom"},
    )

    assert (span.trace_id, span.span_id, span.parent_id) == (TRACE_ID, SPAN_ID, "00f067aa0ba902b7")
    assert (span.start_ns, span.end_ns, span.kind) == (1, 2, SpanKind.CLIENT)
    assert (span.status, span.status_message) == (StatusCode.ERROR, "boom")
    assert (span.trace_state, span.flags, span.dropped) == ("a=1", 257, 1)
    assert (span.attributes, span.resource, span.scope) == ({"n": 5}, {"service.name": "planner"}, "s")
    assert [event.name for event in span.events] == ["retry"]
    assert [link.span_id for link in span.links] == [SPAN_ID]


@pytest.mark.parametrize("document", [{}, {"resourceSpans": []}, {"resourceSpans": None}, {"resource_spans": [1]}])
def test_request_without_spans_is_fine(document: object) -> None:
    assert json.decode_traces(payload(document)).spans == ()


def test_ids_are_read_in_any_case_and_kept_in_lower_case() -> None:
    assert decode(traceId=TRACE_ID.upper(), spanId=SPAN_ID.upper()).trace_id == TRACE_ID


@pytest.mark.parametrize("field", ["traceId", "spanId", "parentSpanId"])
def test_id_that_is_not_hex_is_refused_by_name(field: str) -> None:
    as_base64 = base64.b64encode(bytes.fromhex(TRACE_ID)).decode()

    with pytest.raises(DecodeError, match=rf"Span.{field}: 'CvdlGR.*hex, not in base64"):
        decode(**{field: as_base64})


def test_id_of_the_wrong_length_costs_its_span_only() -> None:
    batch = json.decode_traces(payload(traces_json(span_json(traceId="abcd"), span_json(), span_json(spanId="0" * 16))))

    assert len(batch.spans) == 1
    assert batch.rejected == {"invalid_trace_id": 1, "invalid_span_id": 1}


def test_snake_case_and_unknown_keys_are_ignored() -> None:
    span = decode(start_time_unix_nano="9", end_time_unix_nano="9", future={"deep": [1]}, **{"": 1})

    assert (span.start_ns, span.end_ns) == (1, 0)


def test_null_means_absent() -> None:
    span = decode(name=None, attributes=None, status=None, kind=None, parentSpanId=None)

    assert (span.name, span.attributes, span.status, span.parent_id) == ("", {}, StatusCode.UNSET, None)
    assert value_of(None) is None
    assert value_of({"stringValue": None}) is None


@pytest.mark.parametrize("kind", ["SPAN_KIND_SERVER", "2", 2.0, True])
def test_enumerations_are_numbers_only(kind: object) -> None:
    with pytest.raises(DecodeError, match=r"Span.kind: .* is wrong: enumerations are written as a number"):
        decode(kind=kind)


def test_enumeration_by_name_is_refused_in_a_status() -> None:
    with pytest.raises(DecodeError, match=r"Status.code: 'STATUS_CODE_ERROR' is wrong"):
        decode(status={"code": "STATUS_CODE_ERROR"})


@pytest.mark.parametrize("written_as", [1544712660000000001, "1544712660000000001"])
def test_wide_integers_are_exact_as_number_and_as_string(written_as: object) -> None:
    assert decode(startTimeUnixNano=written_as).start_ns == 1544712660000000001
    assert value_of({"intValue": written_as}) == 1544712660000000001


@pytest.mark.parametrize(
    "wrong", [1.5447e18, 1.0, "1.0", "", " 1", "1_0", "0x1", "٣", True, [], -1, 2**64, "9" * 5000, "1" * 21]
)
def test_inexact_or_impossible_times_are_refused(wrong: object) -> None:
    with pytest.raises(DecodeError, match="startTimeUnixNano"):
        decode(startTimeUnixNano=wrong)


@pytest.mark.parametrize(
    ("any_value", "expected"),
    [
        ({"stringValue": ""}, ""),
        ({"boolValue": False}, False),
        ({"intValue": "-9223372036854775808"}, -(2**63)),
        ({"doubleValue": 1}, 1.0),
        ({"doubleValue": "1e3"}, 1000.0),
        ({"doubleValue": "Infinity"}, math.inf),
        ({"doubleValue": "-Infinity"}, -math.inf),
        ({"bytesValue": "AQI="}, b"\x01\x02"),
        ({"bytesValue": "-_8"}, b"\xfb\xff"),
        ({"arrayValue": {"values": [{"stringValue": "x"}, {}]}}, ("x", None)),
        ({"arrayValue": {}}, ()),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
        ({}, None),
    ],
)
def test_reads_every_kind_of_value(any_value: object, expected: AttributeValue) -> None:
    value = value_of(any_value)

    assert value == expected
    assert type(value) is type(expected)


def test_reads_nan_as_a_string_only() -> None:
    value = value_of({"doubleValue": "NaN"})

    assert isinstance(value, float)
    assert math.isnan(value)
    with pytest.raises(DecodeError, match='write it as the string "NaN"'):
        json.decode_traces(b'{"x": NaN}')


@pytest.mark.parametrize(
    "any_value",
    [
        {"stringValue": 1},
        {"boolValue": "true"},
        {"boolValue": 1},
        {"intValue": 2**63},
        {"doubleValue": "nan"},
        {"doubleValue": True},
        {"doubleValue": 10**400},
        {"bytesValue": "%%%"},
        {"arrayValue": []},
        {"arrayValue": {"values": [None]}},
        {"arrayValue": {"values": {}}},
        {"stringValue": "a", "intValue": 1},
        {"stringValue": "\ud800"},
        "x",
        [],
    ],
)
def test_value_of_the_wrong_type_is_refused(any_value: object) -> None:
    with pytest.raises(DecodeError):
        value_of(any_value)


def test_message_quotes_only_the_start_of_a_long_value() -> None:
    with pytest.raises(DecodeError) as refusal:
        decode(kind="x" * 10_000)

    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("levels", [46, 200, 100_000])
@pytest.mark.parametrize("open_close", [('{"arrayValue":{"values":[', "]}}"), ('{"a":[', "]}"), ("[", "]")])
def test_deep_nesting_is_decoded_or_refused(levels: int, open_close: tuple[str, str]) -> None:
    nested = (open_close[0] * levels + "{}" + open_close[1] * levels).encode()
    data = attribute("HERE").replace(b'"HERE"', nested)

    only_refuses(data)
    only_refuses(nested)


def test_both_encodings_accept_the_same_depth() -> None:
    def depth(levels: int) -> bytes:
        opened, closed = '{"kvlistValue":{"values":[{"key":"k","value":', "}]}}"
        return attribute("HERE").replace(b'"HERE"', (opened * levels + "{}" + closed * levels).encode())

    accepted = 0
    while not raises(depth(accepted + 1)):
        accepted += 1
        protobuf.decode_traces(json.transcode_traces(depth(accepted)))

    assert accepted == 31  # three messages a level; request, resource, scope, span, attribute and value come on top


def raises(data: bytes) -> bool:
    try:
        json.decode_traces(data)
    except DecodeError:
        return True
    return False


def only_refuses(data: bytes) -> None:
    raises(data)


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"a": "\xff"}', b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        json.decode_traces(data)


def test_damaged_requests_are_decoded_or_refused() -> None:
    whole = payload(traces_json(span_json(attributes=[{"key": "k", "value": {"intValue": "5"}}])))
    dice = random.Random(4711)
    for size in range(len(whole)):
        only_refuses(whole[:size])
    for _ in range(1_000):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[dice.randrange(len(damaged))] = dice.choice(b'[]{}",:0x\xff')
        only_refuses(bytes(damaged))
        only_refuses(dice.randbytes(dice.randrange(64)))


@pytest.mark.parametrize("wrong", [1, "x", {"a": 1}, [1], True])
@pytest.mark.parametrize("field", ["resourceSpans", "scopeSpans", "spans", "events", "links", "attributes", "status"])
def test_wrong_types_are_decoded_or_refused(field: str, wrong: object) -> None:
    text = standard_json.dumps(traces_json(span_json(events=[], links=[], attributes=[], status={})))
    document = standard_json.loads(text, object_hook=lambda found: found | ({field: wrong} if field in found else {}))

    only_refuses(payload(document))


def test_lenient_decoding_leaves_out_the_broken_span_only() -> None:
    document = traces_json(
        span_json(kind="SPAN_KIND_SERVER"),
        span_json(name="good"),
        span_json(traceId="zz"),
        span_json(events=7),
        "x",  # type: ignore[arg-type]
    )

    batch = json.decode_document(document, lenient=True)

    assert [span.name for span in batch.spans] == ["good"]
    assert batch.rejected == {"invalid_kind": 1, "invalid_trace_id": 1, "invalid_events": 1, "undecodable": 1}
    with pytest.raises(DecodeError):
        json.decode_document(document)


def test_metrics_and_logs_become_protobuf_without_loss() -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    metrics = ExportMetricsServiceRequest.FromString(json.transcode_metrics(payload(METRICS)))
    logs = ExportLogsServiceRequest.FromString(json.transcode_logs(payload(LOGS)))

    [point] = metrics.resource_metrics[0].scope_metrics[0].metrics[1].histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds), point.HasField("sum")) == ([0, 2], [0.5], True)
    assert point.exemplars[0].trace_id.hex() == TRACE_ID
    assert logs.resource_logs[0].scope_logs[0].log_records[0].body.string_value == "hello"
    assert json.transcode_metrics(json.encode_message(metrics)) == metrics.SerializeToString()


@pytest.mark.shared
def test_bodies_of_the_receiver_cases_decode_as_they_should(shared: Path) -> None:
    import gzip

    cases = standard_json.loads((shared / "data/cases/otlp_receiver_cases.json").read_text())["cases"]
    for case in cases:
        body = base64.b64decode(case["body_b64"])
        if case["headers"].get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        decoder = json if "json" in case["headers"]["Content-Type"] else protobuf
        expected, name = case["expected"], case["id"]
        if 400 in expected["status"]:
            with pytest.raises(DecodeError):
                decoder.decode_traces(body)
        elif expected["accepted_spans"] is not None:
            assert len(decoder.decode_traces(body).spans) == expected["accepted_spans"], name


@pytest.mark.shared
def test_nanoseconds_of_the_receiver_cases_are_kept(shared: Path) -> None:
    cases = standard_json.loads((shared / "data/cases/otlp_receiver_cases.json").read_text())["cases"]
    bodies = {case["id"]: base64.b64decode(case["body_b64"]) for case in cases}

    [exact] = json.decode_traces(bodies["otlp/int64-precision"]).spans
    [backwards] = json.decode_traces(bodies["otlp/end-before-start"]).spans
    [typed] = json.decode_traces(bodies["otlp/intvalue-string"]).spans

    assert (exact.start_ns, exact.end_ns) == (1544712660000000001, 1544712660000000003)
    assert backwards.end_ns < backwards.start_ns
    assert typed.attributes == {
        "gen_ai.usage.input_tokens": 123,
        "b": 5,
        "d": 1.5,
        "arr": ("x",),
        "kv": {"k": True},
        "by": b"\x01\x02",
    }
