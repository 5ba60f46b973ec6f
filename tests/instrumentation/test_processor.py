import gc
from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from otel_wfperf import agent, tool, workflow
from otel_wfperf.instrumentation import open_spans
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.open_spans import OPEN_SPANS
from tests.instrumentation.watched import Watched, watched


@pytest.fixture
def spans() -> Iterator[Watched]:
    before = failure_counts()
    with watched() as spans:
        yield spans
    assert failure_counts() == before


def started(spans: Watched, name: str) -> object:
    return spans.attributes(name).get("wfperf.spans.started")


def test_the_first_span_of_a_trace_says_how_many_there_were(spans: Watched) -> None:
    with workflow("w"), agent("a"):
        for _ in range(3):
            with tool("t"):
                pass
        with spans.native.start_as_current_span("native"):
            pass
    with spans.native.start_as_current_span("alone"):
        pass

    assert started(spans, "invoke_workflow w") == 6
    assert started(spans, "alone") == 1
    assert started(spans, "invoke_agent a") is None
    assert spans.attributes("native") == {}


def test_each_part_of_a_trace_that_others_called_says_so_for_itself(spans: Watched) -> None:
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    for name in ("first call", "second call"):
        token = otel_context.attach(trace.set_span_in_context(remote))
        with spans.native.start_as_current_span(name), agent("a"):
            pass
        otel_context.detach(token)

    assert (started(spans, "first call"), started(spans, "second call")) == (2, 2)


class LossyQueue(SpanProcessor):
    """Loses some spans, as a full queue does."""

    def __init__(self, spans: "list[ReadableSpan]") -> None:
        self.dropped: Counter[str] = Counter()
        self.spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        if span.name.startswith("execute_tool"):
            self.dropped["queue_full"] += 1
        else:
            self.spans.append(span)


def test_spans_that_the_queue_lost_meanwhile_are_counted() -> None:
    sent: list[ReadableSpan] = []
    with watched(LossyQueue(sent)):
        for _ in range(2):
            with workflow("w"):
                for _ in range(3):
                    with tool("t"):
                        pass
        with workflow("calm"):
            pass

    found = [(span.attributes or {}).get("wfperf.spans.dropped") for span in sent]
    assert found == [3, 3, None]
    assert [(span.attributes or {})["wfperf.spans.started"] for span in sent] == [4, 4, 1]


def test_spans_that_are_not_sent_are_not_counted(spans: Watched) -> None:
    left_out = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT)))
    with spans.native.start_as_current_span("w", context=trace.set_span_in_context(left_out)):
        assert len(OPEN_SPANS) == 0


def test_what_ended_or_was_forgotten_is_open_no_more(spans: Watched) -> None:
    with workflow("w"):
        assert [span.name for _, span in OPEN_SPANS.each()] == ["invoke_workflow w"]
    forgotten = spans.native.start_span("forgotten")
    assert len(OPEN_SPANS) == 1

    del forgotten
    gc.collect()
    assert list(OPEN_SPANS.each()) == []
    assert len(OPEN_SPANS) == 0


def test_more_open_spans_than_are_kept_are_recorded_all_the_same(
    spans: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_spans, "MAX_OPEN", 2)
    before = OPEN_SPANS.not_shown
    with workflow("w"), agent("a"), tool("t"):
        assert len(OPEN_SPANS) == 2

    assert OPEN_SPANS.not_shown == before + 1
    assert started(spans, "invoke_workflow w") == 3


def test_the_copy_of_a_native_span_is_the_span_with_more_attributes(spans: Watched) -> None:
    def fail() -> None:
        link = trace.Link(SpanContext(3, 4, is_remote=True))
        with spans.native.start_as_current_span(
            "root", kind=trace.SpanKind.SERVER, attributes={"mine": 1}, links=[link]
        ) as span:
            ids.append(span.get_span_context())
            span.add_event("seen", {"n": 1})
            raise ValueError("x")

    ids: list[SpanContext] = []
    with pytest.raises(ValueError, match="x"):
        fail()

    copied = spans.one("root")
    assert copied.attributes == {"mine": 1, "wfperf.spans.started": 1}
    assert (copied.kind, copied.parent, len(copied.links)) == (trace.SpanKind.SERVER, None, 1)
    assert [event.name for event in copied.events] == ["seen", "exception"]
    assert not copied.status.is_ok
    assert [copied.get_span_context()] == ids
    assert (copied.end_time or 0) >= (copied.start_time or 0) > 0
    assert copied.resource is spans.provider.resource
    assert copied.instrumentation_scope is not None
    assert copied.instrumentation_scope.name == "a framework"
