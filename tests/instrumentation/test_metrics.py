import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_wfperf import agent, context, llm, phase, semconv, tool, wait, workflow
from otel_wfperf.instrumentation import metrics as metrics_module
from otel_wfperf.instrumentation.call import start_call
from otel_wfperf.instrumentation.cpu import CPU
from otel_wfperf.instrumentation.failures import failure_counts
from otel_wfperf.instrumentation.metrics import METRICS, WorkflowMetrics
from otel_wfperf.instrumentation.operations import start_wait
from otel_wfperf.instrumentation.resources import SAMPLER
from tests.instrumentation.recorded import Recorded

Collect = Callable[[], dict[str, list[Any]]]


@pytest.fixture
def collect() -> Iterator[Collect]:
    """Let the metrics go to a reader in memory; returns data points by metric name."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    METRICS.record_waiting()
    METRICS.use_meter_provider(provider)

    def data_points() -> dict[str, list[Any]]:
        data = reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}

    yield data_points
    provider.shutdown()
    METRICS.use_meter_provider()


def run_everything() -> None:
    with workflow("notes"), phase("draft"):
        with agent("writer", model="sonnet"), tool("search"):
            pass
        with wait("pool", kind="queue"), context("trim"):
            pass
    model = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "acme",
        semconv.REQUEST_MODEL: "m",
    }
    start_call("llm", "m", span_name="chat m", attributes=model).end(
        attributes={semconv.INPUT_TOKENS: 7, semconv.OUTPUT_TOKENS: 3, semconv.CONTEXT_TOKENS: 7}
    )


@pytest.mark.usefixtures("recorded")
def test_every_promised_metric_is_written_with_the_promised_attributes(collect: Collect) -> None:
    SAMPLER.start()
    CPU.install()
    METRICS.agent_capacity = 4
    try:
        run_everything()
        points = collect()
    finally:
        METRICS.agent_capacity = None
        CPU.remove()
        SAMPLER.stop()

    assert set(points) == {metric.name for metric in semconv.METRICS}
    for metric in semconv.METRICS:
        for point in points[metric.name]:
            assert set(point.attributes) <= set(metric.attributes), metric.name
            if metric.instrument == "histogram":
                assert tuple(point.explicit_bounds) == metric.buckets


def test_the_duration_of_a_metric_is_that_of_its_span(collect: Collect, recorded: Recorded) -> None:
    run_everything()
    points = collect()

    for metric, span_name in (
        (semconv.WORKFLOW_DURATION, "invoke_workflow notes"),
        (semconv.PHASE_DURATION, "phase draft"),
        (semconv.AGENT_DURATION, "invoke_agent writer"),
        (semconv.TOOL_DURATION, "execute_tool search"),
        (semconv.CONTEXT_DURATION, "context trim"),
        (semconv.QUEUE_WAIT, "wait pool"),
        (semconv.CLIENT_DURATION, "chat m"),
    ):
        span = recorded.one(span_name)
        [point] = points[metric.name]
        assert point.sum == ((span.end_time or 0) - (span.start_time or 0)) / 1e9


@pytest.mark.usefixtures("recorded")
def test_values_and_attributes(collect: Collect) -> None:
    run_everything()
    with pytest.raises(ValueError, match="x"), workflow("notes"):
        raise ValueError("x")
    points = collect()

    completed = {point.attributes.get("error.type"): point.value for point in points["wfperf.workflow.completed"]}
    assert completed == {None: 1, "ValueError": 1}
    tasks = {point.attributes["wfperf.span.kind"]: point.value for point in points["wfperf.task.completed"]}
    assert tasks == {"phase": 1, "agent": 1, "tool": 1}
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 7, "output": 3}
    [phase_point] = points["wfperf.phase.duration"]
    assert dict(phase_point.attributes) == {"gen_ai.workflow.name": "notes", "wfperf.phase.name": "draft"}
    [tool_point] = points["gen_ai.execute_tool.duration"]
    assert dict(tool_point.attributes) == {"gen_ai.tool.name": "search", "gen_ai.agent.name": "writer"}


@pytest.mark.usefixtures("recorded")
def test_agents_and_waits_are_counted_while_they_last(collect: Collect) -> None:
    with agent("writer"), wait("pool"):
        during = collect()
    after = collect()

    for name in ("wfperf.agent.active", "wfperf.agent.queued"):
        assert [point.value for point in during[name]] == [1]
        assert [point.value for point in after[name]] == [0]
    [utilisation] = during["wfperf.agent.utilization"]
    assert 0 < utilisation.value <= 1


@pytest.mark.usefixtures("recorded")
def test_the_exemplar_of_a_measurement_is_its_span(collect: Collect, recorded: Recorded) -> None:
    with phase("draft"):
        pass
    [point] = collect()["wfperf.phase.duration"]

    span = recorded.one("phase draft")
    assert [exemplar.span_id for exemplar in point.exemplars] == [span.context.span_id if span.context else 0]


def test_each_bucket_has_the_last_span_that_fell_into_it_as_its_exemplar(collect: Collect, recorded: Recorded) -> None:
    for duration_s in (0.05, 0.05, 0.3, 50.0, 0.3):
        call = start_call("phase", "draft", span_name="phase draft", attributes={}, start_ns=10**18)
        call.end(end_ns=10**18 + int(duration_s * 1e9))
    [point] = collect()["wfperf.phase.duration"]

    ids = [span.context.span_id for span in recorded.spans if span.context]
    assert {exemplar.span_id for exemplar in point.exemplars} == {ids[1], ids[3], ids[4]}
    assert (point.count, point.sum) == (5, pytest.approx(50.7))


@pytest.mark.usefixtures("recorded")
def test_what_waits_is_bounded_where_nobody_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "_MAX_WAITING", 10)
    for _ in range(100):
        with agent("writer"):
            pass

    assert len(METRICS._waiting) <= 11


def test_a_provider_that_raises_is_counted_and_nothing_more() -> None:
    class Broken(MeterProvider):
        def get_meter(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("broken")

    metrics = WorkflowMetrics()
    before = failure_counts().get("metrics.record", 0)
    metrics.started("agent", "writer", {})
    metrics.record_waiting()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("opentelemetry.metrics.get_meter_provider", Broken)
        metrics._instruments = {}
        metrics.started("agent", "writer", {})
        metrics.record_waiting()

    assert failure_counts()["metrics.record"] == before + 1


@pytest.mark.usefixtures("recorded")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_while_metrics_are_recorded_records_its_own(collect: Collect) -> None:
    with agent("parent"), METRICS._recording:
        child = os.fork()
        if child == 0:
            with agent("child"):
                pass
            names = {point.attributes.get("gen_ai.agent.name") for point in collect()["gen_ai.invoke_agent.duration"]}
            os._exit(0 if names == {"child"} else 1)

    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.usefixtures("recorded")
def test_tokens_of_a_model_call_by_hand_are_counted(collect: Collect) -> None:
    with llm("m", provider="acme") as call:
        call.record_tokens(input=7, output=3)
    points = collect()

    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 7, "output": 3}


def test_a_label_that_no_meter_takes_costs_that_operation_only(collect: Collect) -> None:
    before = failure_counts().get("metrics.record", 0)
    with agent("writer"):
        start_wait("pool", kind=["a", "list"]).end()  # type: ignore[arg-type]  # an integration's mistake
    points = collect()

    assert failure_counts()["metrics.record"] > before
    assert [point.value for point in points["wfperf.agent.active"]] == [0]
    assert [point.count for point in points["gen_ai.invoke_agent.duration"]] == [1]


def test_agents_are_counted_out_where_a_span_processor_raises(
    collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a processor of the user")

    with agent("writer") as call:
        monkeypatch.setattr(type(call.span), "end", fail)

    assert [point.value for point in collect()["wfperf.agent.active"]] == [0]


@pytest.mark.usefixtures("recorded")
def test_a_signal_handler_may_record_while_an_agent_is_being_counted() -> None:
    # What a signal handler or a finalizer does: the same thread, in the middle of it.
    with METRICS._agents._lock:
        assert METRICS._agents._lock.acquire(blocking=False), "the next line would wait for ever"
        METRICS._agents._lock.release()
        with agent("interrupting"):
            pass
