"""Our spans against the SDK's: the same calls must leave the same behind."""

import json
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from otel_wfperf import agent, phase, tool, workflow
from otel_wfperf.instrumentation import tracing
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.installing import instrumented
from otel_wfperf.instrumentation.spans import LeanSpan, lean_tracer


def attributes_of(nobody: None) -> Any:
    raise KeyError(nobody)


class Ended(SpanProcessor):
    """Keeps what has ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def provider_with(processor: SpanProcessor, **arguments: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **arguments)
    provider.add_span_processor(processor)
    return provider


def described(span: ReadableSpan) -> Any:
    """All that is sent of a span, but for what is random."""
    [resource] = encode_spans([span]).resource_spans
    resource.ClearField("resource")
    [sent] = resource.scope_spans[0].spans
    sent.ClearField("trace_id")
    sent.ClearField("span_id")
    for event in sent.events:
        event.ClearField("time_unix_nano")
        for attribute in event.attributes:
            if attribute.key == "exception.stacktrace":
                attribute.ClearField("value")
    return resource


OTHER = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
VALUES = st.sampled_from(
    ["text", 1, True, 0.5, ("a", "b"), ["c"], (1, 2), b"bytes", None, object(), {"a": 1}, (1, "a")]
)
KEYS = st.sampled_from(["a", "b", "c", ""])
STEPS = st.one_of(
    st.tuples(st.just("set_attribute"), KEYS, VALUES),
    st.tuples(st.just("set_attributes"), st.dictionaries(KEYS, VALUES)),
    st.tuples(st.just("add_event"), st.just("event"), st.dictionaries(KEYS, VALUES)),
    st.tuples(st.just("add_link"), st.sampled_from([OTHER, trace.INVALID_SPAN_CONTEXT]), st.just({"a": "b"})),
    st.tuples(st.just("update_name"), st.just("renamed")),
    st.tuples(st.just("set_status"), st.sampled_from([Status(StatusCode.OK), Status(StatusCode.ERROR, "x")])),
    st.tuples(st.just("set_status"), st.sampled_from([StatusCode.UNSET, StatusCode.ERROR]), st.just("why")),
    st.tuples(st.just("record_exception"), st.just(ValueError("wrong"))),
    st.tuples(st.just("end"), st.just(7)),
)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)
@given(st.lists(STEPS, max_size=12), st.dictionaries(KEYS, VALUES), st.sampled_from(SpanKind))
def test_the_same_calls_leave_the_same_behind(
    steps: list[tuple[Any, ...]], attributes: dict[str, Any], kind: SpanKind
) -> None:
    found = []
    for is_lean in (False, True):
        ended = Ended()
        provider = provider_with(ended)
        tracer = lean_tracer(provider, "ours", "1") if is_lean else provider.get_tracer("ours", "1")
        span = tracer.start_span("span", kind=kind, attributes=attributes, start_time=5)
        for method, *arguments in steps:
            getattr(span, method)(*arguments)
        assert span.is_recording() is (not ended.spans)
        span.end(9)
        span.end(10)
        [one] = ended.spans
        assert isinstance(one, LeanSpan) is is_lean
        found.append(described(one))

    assert found[0] == found[1]


def test_as_many_attributes_and_events_fit_as_in_the_sdks() -> None:
    found = []
    for make in (lean_tracer, lambda provider, *_: provider.get_tracer("ours", "1")):
        ended = Ended()
        span = make(provider_with(ended), "ours", "1").start_span("span", start_time=5)
        for number in range(200):
            span.set_attribute(f"key {number}", number)
            span.add_event(f"event {number}")
        span.end(9)
        found.append(described(ended.spans[0]))

    assert found[0] == found[1]
    assert found[0].scope_spans[0].spans[0].dropped_attributes_count == 72


@pytest.mark.parametrize(
    "parent",
    [
        None,
        SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("a", "b")])),
        SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(0)),
        trace.INVALID_SPAN_CONTEXT,
    ],
    ids=["none", "sampled", "not sampled", "invalid"],
)
def test_a_child_belongs_where_the_sdks_would(parent: SpanContext | None) -> None:
    context = None if parent is None else trace.set_span_in_context(trace.NonRecordingSpan(parent))
    provider = provider_with(Ended())
    ours, theirs = lean_tracer(provider, "ours", "1"), provider.get_tracer("ours", "1")
    contexts = []
    for tracer in (ours, theirs):
        with trace.use_span(tracer.start_span("above", context)):
            span = tracer.start_span("below", trace.set_span_in_context(trace.get_current_span()))
        own = span.get_span_context()
        known = parent is not None and parent.is_valid
        contexts.append((known and own.trace_id, own.trace_flags, own.trace_state, own.is_remote, span.is_recording()))

    assert contexts[0] == contexts[1]


def test_the_sdk_makes_the_spans_while_somebody_else_listens() -> None:
    provider = provider_with(Ended())
    tracer = lean_tracer(provider, "ours", "1")
    assert isinstance(tracer.start_span("span"), LeanSpan)
    provider.add_span_processor(Ended())

    assert isinstance(tracer.start_span("span"), Span)


@pytest.mark.parametrize("variable", ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
def test_the_sdk_makes_the_spans_where_the_user_limits_them(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "3")
    ended = Ended()
    lean_tracer(provider_with(ended, span_limits=SpanLimits()), "ours", "1").start_span("span").end()

    assert not isinstance(ended.spans[0], LeanSpan)


def test_the_sdk_decides_where_the_user_samples() -> None:
    assert not lean_tracer(provider_with(Ended(), sampler=ALWAYS_OFF), "ours", "1").start_span("span").is_recording()


def test_of_several_threads_that_end_a_span_one_does() -> None:
    ended = Ended()
    tracer = lean_tracer(provider_with(ended), "ours", "1")
    for _ in range(50):
        span = tracer.start_span("span")
        threads = [threading.Thread(target=span.end) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(ended.spans) == 50


def test_what_is_described_later_is_there_for_whoever_reads_the_span() -> None:
    ended, asked = Ended(), []
    span: Any = lean_tracer(provider_with(ended), "ours", "1").start_span("span", attributes={"a": "first"})

    def describe() -> Mapping[str, Any]:
        asked.append(1)
        return {"b": "later"}

    span.describe_later(describe)
    span.end()

    assert asked == []
    assert dict(ended.spans[0].attributes or {}) == {"a": "first", "b": "later"}
    assert json.loads(ended.spans[0].to_json())["attributes"] == {"a": "first", "b": "later"}
    assert asked == [1]


def test_a_description_that_fails_costs_itself_only() -> None:
    ended, before = Ended(), failure_counts().get("span.describe", 0)
    span: Any = lean_tracer(provider_with(ended), "ours", "1").start_span("span", attributes={"a": "first"})
    span.describe_later(lambda: attributes_of(None))
    span.describe_later(lambda: {"b": "second"})
    span.end()

    assert dict(ended.spans[0].attributes or {}) == {"a": "first", "b": "second"}
    assert failure_counts()["span.describe"] == before + 1


@pytest.fixture
def lean(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    """Let this package write lean spans."""
    ended = Ended()
    monkeypatch.setattr(tracing, "_tracing", SimpleNamespace(tracer=lean_tracer(provider_with(ended), "ours", "1")))
    yield ended
    assert all(isinstance(span, LeanSpan) for span in ended.spans)


def test_operations_by_hand_are_recorded_with_them_as_with_the_sdks(lean: Ended) -> None:
    @tool("search")
    def search(query: str) -> str:
        return f"found {query}"

    with workflow("w") as outermost, phase("p"), agent("a") as writer:
        search("something long and unusual")
        writer.record_tokens(input=3)
    with pytest.raises(ValueError, match="x"), phase("failing"):
        raise ValueError("x")

    spans = {span.name: span for span in lean.spans}
    found = dict(spans["execute_tool search"].attributes or {})
    assert found["wfperf.input.bytes"] == len("something long and unusual")
    assert found["wfperf.output.bytes"] == len("found something long and unusual")
    assert (spans["invoke_agent a"].attributes or {})["wfperf.total.input_tokens"] == 3
    assert spans["phase failing"].status.status_code is StatusCode.ERROR
    parent = spans["phase p"].parent
    assert parent is not None
    assert parent.span_id == outermost.span.get_span_context().span_id


def graph_of_a_loop() -> Any:
    """An agent that calls a tool twice, inside a graph with branches."""
    graphs = pytest.importorskip("tests.instrumentation.graphs")
    loops = pytest.importorskip("tests.instrumentation.test_langchain_models")
    from langgraph.graph import END, START, MessagesState, StateGraph

    script = iter([loops.asks_for("a", "b"), loops.answer("what was found")])
    agents = pytest.importorskip("langchain.agents")
    researcher = agents.create_agent(loops.ScriptedModel(messages=script), [loops.search], name="researcher")
    graph: Any = StateGraph(MessagesState)
    graph.add_node("researcher", researcher)
    graph.add_node("report", lambda _state: {"messages": [str(graphs.SYNC.invoke({"seen": []}))]})
    graph.add_edge(START, "researcher").add_edge("researcher", "report").add_edge("report", END)
    return graph.compile(name="outer")


def test_langgraph_is_recorded_with_them_as_with_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    integrations = pytest.importorskip("otel_wfperf.instrumentation.integrations.langgraph")
    found = []
    for make in (lean_tracer, lambda provider, *_: provider.get_tracer("ours", "1")):
        ended = Ended()
        monkeypatch.setattr(tracing, "_tracing", SimpleNamespace(tracer=make(provider_with(ended), "ours", "1")))
        with instrumented(integrations.LangGraphIntegration()):
            graph_of_a_loop().invoke({"messages": ["look for it"]})
        names = {span.context.span_id: span.name for span in ended.spans if span.context}
        found.append(
            sorted(
                (span.name, names.get(span.parent.span_id) if span.parent else None, repr(stable(span)))
                for span in ended.spans
            )
        )

    assert len(found[0]) == 17
    assert found[0] == found[1]


def stable(span: ReadableSpan) -> dict[str, Any]:
    """The attributes, but for what the machine decides."""
    measured = ("wfperf.cpu.", "wfperf.memory.", "wfperf.event_loop.", "wfperf.spans.")
    given = sorted((span.attributes or {}).items())
    return {key: value for key, value in given if not key.startswith(measured)}
