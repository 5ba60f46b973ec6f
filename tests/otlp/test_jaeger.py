from typing import Any

import pytest

from otel_wfperf.model import Event, Link, Span, SpanKind, StatusCode
from otel_wfperf.otlp.jaeger import decode_trace, is_trace

TRACE_ID = "00000000000000004bf92f3577b34da6"


def tag(key: str, value: object, kind: str = "string") -> dict[str, object]:
    return {"key": key, "type": kind, "value": value}


def reference(kind: str, span_id: str, trace_id: str = "4bf92f3577b34da6") -> dict[str, str]:
    return {"refType": kind, "traceID": trace_id, "spanID": span_id}


def span(span_id: str = "a1", **fields: Any) -> dict[str, Any]:
    return {
        "traceID": "4bf92f3577b34da6",
        "spanID": span_id,
        "operationName": "invoke_agent planner",
        "startTime": 1_700_000_000_000_001,
        "duration": 250,
        "processID": "p1",
    } | fields


def decode(*spans: Any) -> tuple[Span, ...]:
    batch = decode_trace(trace(*spans))
    assert batch.rejected == {}
    return batch.spans


def trace(*spans: Any) -> dict[str, Any]:
    process = {"serviceName": "orchestrator", "tags": [tag("host.name", "alpha"), tag("process.pid", 7, "int64")]}
    return {"traceID": "4bf92f3577b34da6", "spans": list(spans), "processes": {"p1": process}}


def test_reads_a_span_with_everything_on_it() -> None:
    tags = [
        tag("span.kind", "client"),
        tag("error", "true", "bool"),
        tag("otel.status_code", "ERROR"),
        tag("otel.status_description", "rate limited"),
        tag("otel.scope.name", "openai"),
        tag("otel.scope.version", "2.1"),
        tag("internal.span.format", "otlp"),
        tag("w3c.tracestate", "a=1"),
        tag("gen_ai.usage.input_tokens", 12, "int64"),
    ]
    logs = [{"timestamp": 1_700_000_000_000_100, "fields": [tag("event", "exception"), tag("attempt", 2, "int64")]}]

    [decoded] = decode(span(tags=tags, logs=logs, flags=1, references=[reference("CHILD_OF", "B2")]))

    assert decoded == Span(
        trace_id=TRACE_ID,
        span_id="00000000000000a1",
        parent_id="00000000000000b2",
        name="invoke_agent planner",
        kind=SpanKind.CLIENT,
        start_ns=1_700_000_000_000_001_000,
        end_ns=1_700_000_000_000_251_000,
        attributes={"gen_ai.usage.input_tokens": 12},
        status=StatusCode.ERROR,
        status_message="rate limited",
        events=(Event(name="exception", time_ns=1_700_000_000_000_100_000, attributes={"attempt": 2}),),
        scope="openai",
        scope_version="2.1",
        resource={"service.name": "orchestrator", "host.name": "alpha", "process.pid": 7},
        trace_state="a=1",
        flags=1,
    )


def test_spans_of_one_process_share_its_resource() -> None:
    first, second = decode(span("1"), span("2"))

    assert first.resource is second.resource


def test_process_may_be_inside_the_span() -> None:
    inline = span(process={"serviceName": "writer"})
    del inline["processID"]

    assert decode(inline)[0].resource == {"service.name": "writer"}


def test_child_of_is_the_parent_even_after_follows_from_and_the_rest_are_links() -> None:
    references = [
        reference("FOLLOWS_FROM", "f0"),
        reference("CHILD_OF", "c1"),
        reference("CHILD_OF", "c2"),
        reference("FOLLOWS_FROM", "f1", "abc"),
    ]

    [decoded] = decode(span(references=references))

    assert decoded.parent_id == "00000000000000c1"
    assert decoded.links == (
        Link(trace_id=TRACE_ID, span_id="00000000000000f0"),
        Link(trace_id=TRACE_ID, span_id="00000000000000c2"),
        Link(trace_id="00000000000000000000000000000abc", span_id="00000000000000f1"),
    )


def test_follows_from_within_the_trace_is_the_parent_when_there_is_no_other() -> None:
    [decoded] = decode(span(references=[reference("CHILD_OF", "c1", "abc"), reference("FOLLOWS_FROM", "f0")]))

    assert decoded.parent_id == "00000000000000f0"
    assert [link.span_id for link in decoded.links] == ["00000000000000c1"]


def test_reads_the_parent_of_old_files() -> None:
    assert decode(span(parentSpanID="c1"))[0].parent_id == "00000000000000c1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (tag("key", "5", "int64"), 5),
        (tag("key", "0.5", "float64"), 0.5),
        (tag("key", "true", "bool"), True),
        (tag("key", "AQI=", "binary"), b"\x01\x02"),
        (tag("key", "many", "int64"), "many"),
        (tag("key", 2**70, "int64"), str(2**70)),
        (tag("key", ["a", 1]), '["a", 1]'),
        (tag("key", None), None),
        ({"key": "key", "value": "untyped"}, "untyped"),
        (tag("key", "\ud800"), "?"),
    ],
)
def test_reads_tags_by_their_type(value: dict[str, object], expected: object) -> None:
    assert decode(span(tags=[value]))[0].attributes == {"key": expected}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"traceID": ""}, "invalid_trace_id"),
        ({"traceID": "0" * 32}, "invalid_trace_id"),
        ({"traceID": "1" * 33}, "invalid_trace_id"),
        ({"spanID": "xyz"}, "invalid_span_id"),
        ({"spanID": 7}, "invalid_span_id"),
        ({"startTime": None}, "invalid_start_time"),
        ({"startTime": "soon"}, "invalid_start_time"),
        ({"startTime": -1}, "invalid_start_time"),
        ({"startTime": float("inf")}, "invalid_start_time"),
        ({"duration": 10**30}, "invalid_duration"),
        ({"operationName": 7}, "invalid_operation_name"),
        ({"tags": "x"}, "invalid_tags"),
        ({"tags": [7]}, "invalid_tags"),
        ({"logs": {}}, "invalid_logs"),
        ({"references": [{"spanID": "xyz"}]}, "invalid_span_id"),
        ({"processID": 7}, "invalid_process_id"),
    ],
)
def test_bad_span_costs_itself_only(fields: dict[str, object], reason: str) -> None:
    batch = decode_trace(trace(span("1"), span("2", **fields), 7))

    assert [decoded.span_id for decoded in batch.spans] == ["0000000000000001"]
    assert batch.rejected == {reason: 1, "invalid_span": 1}


def test_unknown_process_leaves_the_resource_empty() -> None:
    assert decode(span(processID="p9"))[0].resource == {}


def test_recognises_its_own_traces_only() -> None:
    assert is_trace(trace())
    assert not is_trace({"resourceSpans": []})
    assert not is_trace([trace()])
