from typing import Any

import pytest

from otel_wfperf.detectors.idle_gap import IdleGap
from otel_wfperf.model import Confidence, Execution, Finding, Move, OperationKind, ResourceUse, Severity
from tests.detectors.builders import Run, population


def run_of(
    number: int,
    gap_ms: float,
    *,
    use: ResourceUse | None = None,
    kind: OperationKind = OperationKind.PHASE,
    name: str = "research",
    names: tuple[str, str] = ("search", "summarise"),
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    rest_ms: float = 1600,
) -> Execution:
    """Make a run of two steps; in the first, two calls of 200 ms have a gap between them."""
    run = Run(number)
    step = run.add(kind, name, 0, 400 + gap_ms, resources=use)
    run.tool(names[0], 0, 200, parent=step, **(before or {}))
    run.tool(names[1], 200 + gap_ms, 200, parent=step, **(after or {}))
    run.phase("writer", 400 + gap_ms, rest_ms)
    run.llm(400 + gap_ms, rest_ms, parent=run.operations[-1].span_id)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(IdleGap().detect(population(*executions)))


def with_gap(gap_ms: float = 2000, *, runs: int = 4, **fields: Any) -> list[Finding]:
    return found(*(run_of(number, gap_ms, **fields) for number in range(runs)))


def test_a_gap_that_nothing_accounts_for_is_called_unexplained() -> None:
    [finding] = with_gap()

    assert (finding.subject.kind.value, finding.subject.name) == ("phase", "research")
    assert (finding.severity, finding.confidence) == (Severity.MEDIUM, Confidence.ASSUMED)
    assert finding.summary == (
        "2 s a run in 'research' are unexplained, mostly between 'search' and 'summarise': nothing recorded runs"
    )
    assert finding.recommendation == (
        "Record what 'research' does between 'search' and 'summarise': a call that is not instrumented, or work of its "
        "own."
    )
    assert finding.evidence == {
        "gap_s": 2.0,
        "gap_share_ratio": 0.5,
        "cause": "unexplained",
        "cpu_s": 0.0,
        "loop_blocked_s": 0.0,
        "others_under_way_s": 0.0,
        "cpu_is_known": False,
        "model_calls_recorded": True,
        "after": "search",
        "before": "summarise",
        "places": ("research",),
        "runs": 4,
        "runs_affected": 4,
    }
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(2.0)
    assert all(isinstance(each, Move) for changes in finding.changes.values() for each in changes)


def test_a_step_that_computes_is_named_as_that() -> None:
    [finding] = with_gap(use=ResourceUse(cpu_time_s=1.8))

    assert (finding.severity, finding.saving, finding.changes) == (Severity.INFO, None, {})
    assert finding.recommendation == (
        "Profile the code of 'research' between 'search' and 'summarise': a thread would not make it shorter."
    )
    assert finding.summary == "'research' itself computes for 1.8 s a run, mostly between 'search' and 'summarise'"


def test_computing_that_holds_the_event_loop_is_computing() -> None:
    [finding] = with_gap(use=ResourceUse(cpu_time_s=1.9, loop_blocked_s=1.9))

    assert (finding.evidence["cause"], finding.severity) == ("computing", Severity.INFO)


@pytest.mark.parametrize(("beside_ms", "severity"), [(900, Severity.INFO), (1300, Severity.LOW)])
def test_computing_counts_for_more_where_other_steps_are_under_way(beside_ms: float, severity: Severity) -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        step = run.phase("research", 0, 2400, resources=ResourceUse(cpu_time_s=2.0))
        run.tool("search", 0, 200, parent=step)
        run.tool("summarise", 2200, 200, parent=step)
        run.phase("crawl", 0, beside_ms)
        executions.append(run.build())

    [finding] = found(*executions)

    assert (finding.severity, finding.saving) == (severity, None)


def test_pauses_before_and_between_polls_are_no_gap() -> None:
    def polling(number: int, *arguments: str) -> Execution:
        run = Run(number)
        step = run.phase("render", 0, 1200 * len(arguments))
        for at, each in enumerate(arguments):
            run.tool("job_result", 1000 + 1200 * at, 200, parent=step, input_hash=each)
        return run.build()

    assert not found(*(polling(number, "job", "job", "job", "job") for number in range(4)))
    assert found(*(polling(number, "a", "b", "c", "d") for number in range(4)))


def test_a_blocking_call_is_named_as_that() -> None:
    [finding] = with_gap(use=ResourceUse(cpu_time_s=0.1, loop_blocked_s=1.9))

    assert finding.severity is Severity.MEDIUM
    assert finding.summary == (
        "A blocking call of 'research' holds the event loop for 1.9 s a run, mostly between 'search' and 'summarise'"
    )


def test_a_little_cpu_time_explains_nothing() -> None:
    [finding] = with_gap(use=ResourceUse(cpu_time_s=0.9, loop_blocked_s=0.9))

    assert finding.evidence["cause"] == "unexplained"


def test_where_no_model_call_is_recorded_thinking_is_the_gap() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        agent = run.agent("analyst", 0, 4000)
        run.tool("search", 1500, 200, parent=agent)
        run.tool("read", 3000, 200, parent=agent)
        executions.append(run.build())

    [finding] = found(*executions)

    assert (finding.severity, finding.evidence["model_calls_recorded"]) == (Severity.LOW, False)


def test_half_a_second_and_a_tenth_of_the_run_are_needed() -> None:
    assert not with_gap(499, rest_ms=600)
    assert with_gap(500, rest_ms=600)
    assert not with_gap(600, rest_ms=5001)
    assert with_gap(600, rest_ms=4990)


def test_three_runs_are_needed_and_half_of_all() -> None:
    assert not with_gap(runs=2)
    assert with_gap(runs=3)
    usual, idle = (run_of(number, 10) for number in range(4)), [run_of(number, 2000) for number in range(4, 7)]
    assert not found(*usual, *idle)
    assert found(*idle, *(run_of(number, 10) for number in range(7, 10)))


def test_steps_that_have_nothing_below_them_are_work_not_gaps() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        run.phase("load", 0, 3000)
        run.tool("render", 3000, 3000)
        executions.append(run.build())

    assert not found(*executions)


def test_gaps_at_the_start_and_the_end_of_a_step_count() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        step = run.agent("analyst", 0, 4000)
        run.llm(1500, 1000, parent=step)
        executions.append(run.build())

    [finding] = found(*executions)

    assert finding.evidence["gap_s"] == 3.0
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"before": {"wait_kind": "human"}},
        {"names": ("ask_human", "summarise")},
        {"names": ("search", "get_approval")},
        {"name": "human_review"},
    ],
)
def test_people_are_given_time_to_think(fields: dict[str, Any]) -> None:
    assert not with_gap(**fields)


def test_a_recorded_wait_is_no_gap() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        step = run.phase("research", 0, 3000)
        run.tool("search", 0, 200, parent=step)
        run.wait("human", 200, 2600, parent=step)
        run.tool("summarise", 2800, 200, parent=step)
        executions.append(run.build())

    assert not found(*executions)


def test_the_pause_between_turns_of_a_conversation_is_the_users() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        for turn in range(3):
            agent = run.agent("assistant", turn * 5000, 1000)
            run.llm(turn * 5000, 1000, parent=agent)
        executions.append(run.build())

    assert not found(*executions)


@pytest.mark.parametrize("failed", [{"error": "Timeout"}, {"status_code": 503}])
def test_back_off_between_attempts_is_no_gap(failed: dict[str, Any]) -> None:
    assert not with_gap(names=("search", "search"), before=failed)
    assert with_gap(names=("search", "search"), before={"input_hash": "a"}, after={"input_hash": "b"})


def test_the_clock_of_another_host_may_be_the_gap() -> None:
    assert not with_gap(after={"skew_ns": 1_500_000_000})


def test_runs_of_which_spans_are_missing_prove_nothing() -> None:
    executions = [run_of(number, 2000) for number in range(4)]
    damaged = [
        Execution(
            trace_id=each.trace_id,
            workflow=each.workflow,
            root_id=each.root_id,
            operations=each.operations,
            completeness=0.9,
        )
        for each in executions
    ]

    assert not found(*damaged)


def test_a_branch_that_runs_meanwhile_leaves_no_gap() -> None:
    executions = []
    for number in range(4):
        run = Run(number)
        step = run.phase("research", 0, 3000)
        run.tool("crawl", 0, 2900, parent=step)
        run.tool("search", 0, 200, parent=step)
        run.tool("summarise", 2800, 200, parent=step)
        executions.append(run.build())

    assert not found(*executions)
