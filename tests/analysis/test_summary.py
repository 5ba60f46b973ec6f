from dataclasses import replace

from otel_wfperf.analysis.baseline import baselines, key_of
from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.summary import AgentSummary, PhaseSummary, summarize
from otel_wfperf.model import Execution, Operation, OperationKind, ResourceUse, TokenUsage


def make(span_id: str, parent: str | None, start: int, end: int, kind: OperationKind, **facts: object) -> Operation:
    return Operation(trace_id="t", span_id=span_id, parent_id=parent, start_ns=start, end_ns=end, kind=kind, **facts)  # type: ignore[arg-type]


RUN = Execution(
    trace_id="t",
    workflow="w",
    root_id="root",
    operations=(
        make("root", None, 0, 100, OperationKind.WORKFLOW, name="w"),
        make("p", "root", 10, 90, OperationKind.PHASE, name="research"),
        make("a", "p", 10, 50, OperationKind.AGENT, name="finder", phase="research"),
        make("w1", "a", 12, 20, OperationKind.WAIT, agent="finder", phase="research"),
        make(
            "l1", "a", 20, 40, OperationKind.LLM, name="m", model="m", agent="finder", phase="research",
            tokens=TokenUsage(input=100, output=10),
        ),
        make("inner", "p", 55, 80, OperationKind.PHASE, name="draft", phase="research"),
        make(
            "l2", "inner", 60, 75, OperationKind.LLM, name="m", model="m", phase="draft", error="Timeout",
            tokens=TokenUsage(input=7, output=3),
        ),
    ),
)  # fmt: skip


def test_phases_split_their_own_time_from_that_of_phases_within() -> None:
    summary = summarize(RUN, critical_path(RUN))

    assert summary.phases == (
        PhaseSummary(name="research", calls=1, duration_ns=80, exclusive_ns=55, critical_path_ns=80),
        PhaseSummary(name="draft", calls=1, duration_ns=25, exclusive_ns=25, critical_path_ns=25),
    )


def test_a_phase_that_calls_a_model_itself_counts_as_an_agent() -> None:
    summary = summarize(RUN, critical_path(RUN))

    assert summary.agents == (
        AgentSummary(name="finder", calls=1, busy_ns=40, wait_ns=8, tokens=TokenUsage(input=100, output=10), errors=0),
        AgentSummary(name="draft", calls=1, busy_ns=25, wait_ns=0, tokens=TokenUsage(input=7, output=3), errors=1),
    )
    assert (summary.llm_calls, summary.tokens.input, summary.tokens.output) == (2, 107, 13)


def test_cpu_time_and_blocking_of_an_agent_are_those_of_all_its_operations() -> None:
    def used(cpu_s: float | None, blocked_s: float | None = None) -> ResourceUse:
        return ResourceUse(cpu_time_s=cpu_s, loop_blocked_s=blocked_s, memory_bytes=1)

    run = replace(
        RUN,
        operations=tuple(
            replace(each, resources={"a": used(0.25), "w1": used(None), "l1": used(0.5, 0.125)}.get(each.span_id))
            for each in RUN.operations
        ),
    )

    finder, draft = summarize(run, critical_path(run)).agents

    assert (finder.cpu_s, finder.loop_blocked_s) == (0.75, 0.125)
    assert (draft.cpu_s, draft.loop_blocked_s) == (None, None)


def test_baselines_leave_failures_out_and_separate_sizes_of_input() -> None:
    population = Population("w", (RUN, RUN))

    key = key_of(RUN.by_id["l1"])
    assert key.tokens_bucket == 6
    assert population.baselines[key].count == 2
    assert round(population.baselines[key].median_ns) == 20
    assert key_of(RUN.by_id["l2"]) not in baselines([RUN])
    assert population.median_duration_ns == 100
