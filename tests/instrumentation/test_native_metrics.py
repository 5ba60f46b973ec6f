from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_wfperf import agent, semconv, workflow
from otel_wfperf.instrumentation import native_metrics
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.metrics import METRICS
from otel_wfperf.instrumentation.native_metrics import NATIVE_METRICS
from otel_wfperf.instrumentation.operations import start_llm
from tests.instrumentation.watched import Watched, watched

WORKFLOW = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "notes"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme", "gen_ai.request.model": "m"}
USAGE = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3}


class Collected:
    """Spans of a framework, and the metrics made of them."""

    def __init__(self, spans: Watched, reader: InMemoryMetricReader) -> None:
        self.spans = spans
        self.span = spans.native.start_as_current_span
        self._reader = reader

    def points(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}


@pytest.fixture
def collected() -> Iterator[Collected]:
    before = failure_counts()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    METRICS.record_waiting()
    METRICS.use_meter_provider(provider)
    with watched() as spans:
        yield Collected(spans, reader)
    provider.shutdown()
    METRICS.use_meter_provider()
    assert failure_counts() == before


def test_spans_of_a_framework_feed_the_promised_metrics(collected: Collected) -> None:
    CPU.install()
    try:
        with (
            collected.span("invoke_workflow notes", attributes=WORKFLOW),
            collected.span("phase", attributes={"gen_ai.operation.name": "execute_task", "gen_ai.task.name": "draft"}),
            collected.span("invoke_agent writer", attributes=AGENT),
        ):
            with collected.span("chat m", attributes=CHAT) as chat:
                chat.set_attributes(USAGE)
            with collected.span("execute_tool search", attributes=TOOL):
                pass
    finally:
        CPU.remove()
    points = collected.points()

    for metric, attributes in (
        (semconv.WORKFLOW_DURATION, {"gen_ai.workflow.name": "notes"}),
        (semconv.PHASE_DURATION, {"gen_ai.workflow.name": "notes", "wfperf.phase.name": "draft"}),
        (semconv.AGENT_DURATION, {"gen_ai.agent.name": "writer"}),
        (semconv.TOOL_DURATION, {"gen_ai.tool.name": "search", "gen_ai.agent.name": "writer"}),
        (semconv.CLIENT_DURATION, CHAT),
        (semconv.CONTEXT_TOKENS_METRIC, {"gen_ai.agent.name": "writer", "gen_ai.request.model": "m"}),
    ):
        [point] = points[metric.name]
        assert (dict(point.attributes), point.count) == (attributes, 1), metric.name
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]} == {
        "input": 7,
        "output": 3,
    }
    assert [point.value for point in points["wfperf.workflow.completed"]] == [1]
    assert {point.attributes["wfperf.span.kind"]: point.value for point in points["wfperf.task.completed"]} == {
        "phase": 1,
        "agent": 1,
        "tool": 1,
    }
    assert [point.value for point in points["wfperf.agent.active"]] == [0]
    [cpu] = points["wfperf.agent.cpu.time"]
    assert (dict(cpu.attributes), cpu.value > 0) == ({"gen_ai.agent.name": "writer"}, True)


def test_the_duration_is_that_of_the_span_and_the_error_is_its_type(collected: Collected) -> None:
    with pytest.raises(ValueError, match="secret"), collected.span("execute_tool search", attributes=TOOL):
        raise ValueError("secret")

    [point] = collected.points()["gen_ai.execute_tool.duration"]
    span = collected.spans.one("execute_tool search")
    assert point.sum == ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert point.attributes["error.type"] == "ValueError"


def test_an_agent_is_counted_while_it_runs(collected: Collected) -> None:
    with collected.span("invoke_agent writer", attributes=AGENT) as span:
        during = collected.points()
        span.set_attribute("gen_ai.agent.name", "renamed")
    after = collected.points()

    assert [point.value for point in during["wfperf.agent.active"]] == [1]
    assert [point.value for point in after["wfperf.agent.active"]] == [0]


def test_our_own_operations_are_counted_once(collected: Collected) -> None:
    with workflow("w"), agent("a"):
        start_llm("m", provider="acme").end(attributes=USAGE)
    points = collected.points()

    for name in ("gen_ai.invoke_workflow.duration", "gen_ai.invoke_agent.duration", "gen_ai.client.operation.duration"):
        assert [point.count for point in points[name]] == [1], name


def test_a_call_that_the_client_library_records_again_is_counted_once(collected: Collected) -> None:
    with collected.span("chat m", attributes={**CHAT, **USAGE}), collected.span("chat m", attributes={**CHAT, **USAGE}):
        pass
    call = start_llm("m", provider="acme")
    with collected.span("chat m", attributes={**CHAT, **USAGE}, context=call.context):
        pass
    call.end(attributes=USAGE)
    points = collected.points()

    assert [point.count for point in points["gen_ai.client.operation.duration"]] == [2]
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]} == {
        "input": 14,
        "output": 6,
    }


def test_spans_that_are_not_about_agents_make_no_metrics(collected: Collected) -> None:
    with collected.span("GET", attributes={"http.request.method": "GET"}):
        pass

    assert "wfperf.task.completed" not in collected.points()


def test_what_there_is_no_room_for_is_counted(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_metrics, "_MAX_WAITING", 2)
    before = NATIVE_METRICS.dropped
    for _ in range(5):
        with collected.span("execute_tool search", attributes=TOOL):
            pass

    points = collected.points()
    assert [point.count for point in points["gen_ai.execute_tool.duration"]] == [2]
    assert NATIVE_METRICS.dropped == before + 3
    assert [point.value for point in points[native_metrics.DROPPED_METRIC]] == [3]


def test_an_agent_that_was_counted_in_is_counted_out_however_little_room_there_is(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collected.span("invoke_agent writer", attributes=AGENT):
        during = collected.points()
        monkeypatch.setattr(native_metrics, "_MAX_WAITING", 0)
    after = collected.points()

    assert [point.value for point in during["wfperf.agent.active"]] == [1]
    assert [point.value for point in after["wfperf.agent.active"]] == [0]
    assert native_metrics.DROPPED_METRIC not in after


def test_where_nobody_reads_metrics_nothing_is_kept(collected: Collected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NATIVE_METRICS, "is_wanted", False)
    with collected.span("execute_tool search", attributes=TOOL):
        pass

    assert "gen_ai.execute_tool.duration" not in collected.points()
