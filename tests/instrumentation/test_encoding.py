"""Our encoder against the SDK's, over spans of every kind."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_wfperf.instrumentation.encoding import SpanEncoder
from otel_wfperf.instrumentation.failures import failure_counts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
INT64 = st.integers(-(2**63), 2**63 - 1)
PLAIN = TEXT | st.booleans() | INT64 | st.floats(allow_nan=False)
VALUES = PLAIN | st.lists(TEXT, max_size=3).map(tuple) | st.lists(INT64, max_size=3).map(tuple) | st.binary(max_size=9)
ATTRIBUTES = st.dictionaries(TEXT.filter(bool), VALUES, max_size=8)
NANOSECONDS = st.integers(0, 2**63)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(1)),
    st.sampled_from([TraceState(), TraceState([("vendor", "value"), ("other", "1")])]),
)
EVENTS = st.builds(Event, TEXT, ATTRIBUTES, NANOSECONDS)
LINKS = st.builds(Link, CONTEXTS, ATTRIBUTES)
STATUSES = st.sampled_from([Status(StatusCode.UNSET), Status(StatusCode.OK), Status(StatusCode.ERROR, "ValueError é")])
RESOURCES = [Resource({"service.name": "one"}), Resource({"service.name": "two", "n": 3}, "https://schema")]
SCOPES = [InstrumentationScope("ours", "1.0"), InstrumentationScope("theirs", None, "https://schema", {"a": "b"}), None]
SPANS = st.builds(
    ReadableSpan,
    name=TEXT,
    context=CONTEXTS,
    parent=st.none() | CONTEXTS,
    resource=st.sampled_from(RESOURCES),
    attributes=ATTRIBUTES,
    events=st.lists(EVENTS, max_size=2),
    links=st.lists(LINKS, max_size=2),
    kind=st.sampled_from(SpanKind),
    status=STATUSES,
    start_time=NANOSECONDS,
    end_time=NANOSECONDS,
    instrumentation_scope=st.sampled_from(SCOPES),
)


def encoded(encoder: SpanEncoder, spans: Sequence[ReadableSpan]) -> bytes:
    return encoder.request([each for span in spans if (each := encoder.encoded(span)) is not None])


@settings(deadline=None, max_examples=300)
@given(st.lists(SPANS, max_size=6))
def test_the_message_is_the_sdks(spans: list[ReadableSpan]) -> None:
    encoder, theirs = SpanEncoder(), encode_spans(spans)

    for _ in range(2):  # the second time from memory
        assert ExportTraceServiceRequest.FromString(encoded(encoder, spans)) == theirs


def span(**attributes: Any) -> ReadableSpan:
    return ReadableSpan("span", SpanContext(1, 2, is_remote=False), attributes=attributes, start_time=1, end_time=2)


def attributes_of(data: bytes) -> dict[str, Any]:
    [resource] = ExportTraceServiceRequest.FromString(data).resource_spans
    [sent] = resource.scope_spans[0].spans
    return {each.key: each.value for each in sent.attributes}


def test_numbers_that_are_equal_and_of_different_kind_are_told_apart() -> None:
    encoder = SpanEncoder()
    kinds = [
        attributes_of(encoded(encoder, [span(a=value)]))["a"].WhichOneof("value") for value in (1, True, 1.0, "1", 1)
    ]

    assert kinds == ["int_value", "bool_value", "double_value", "string_value", "int_value"]


def test_a_value_that_otlp_does_not_have_costs_that_attribute_only() -> None:
    before = failure_counts().get("encoding.attribute", 0)
    sent = attributes_of(encoded(SpanEncoder(), [span(fine="x", large=2**64, strange=object())]))

    assert list(sent) == ["fine"]
    assert failure_counts()["encoding.attribute"] == before + 2


def test_text_that_is_not_utf_8_is_sent_with_replacements() -> None:
    assert attributes_of(encoded(SpanEncoder(), [span(a="\ud800x")]))["a"].string_value == "?x"


def test_a_span_that_cannot_be_encoded_costs_that_span_only() -> None:
    class Broken(ReadableSpan):
        @property
        def name(self) -> str:
            raise RuntimeError("of somebody else")

    before = failure_counts().get("encoding.span", 0)
    broken = Broken("span", SpanContext(1, 2, is_remote=False))

    assert attributes_of(encoded(SpanEncoder(), [broken, span(a="x")]))["a"].string_value == "x"
    assert failure_counts()["encoding.span"] == before + 1


def test_memory_for_what_repeats_is_bounded() -> None:
    encoder = SpanEncoder()
    for number in range(10_000):
        encoder.encoded(span(name=f"unique {number}", number=number, **{f"key {number}": number / 3}))

    memories = [vars(encoder)[name] for name in vars(encoder)]
    assert max(map(len, memories)) <= 2_000
