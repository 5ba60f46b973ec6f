from dataclasses import replace
from random import Random
from typing import Any

import pytest

from otel_wfperf.detectors.straggler import Straggler
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity
from tests.detectors.builders import Run, population
from tests.detectors.fan_out_simulation import Simulation, Work, drawn_work


def found(executions: list[Execution]) -> list[Finding]:
    return list(Straggler().detect(population(*executions)))


def late_runs(
    factor: float,
    *,
    every: int = 3,
    count: int = 15,
    branches: int = 5,
    spread: float = 0.2,
    median_ms: float = 900,
    name: str = "worker_{}",
    always: int | None = None,
    **fields: Any,
) -> list[Execution]:
    """In every so many runs one branch takes longer than it should."""
    runs = []
    for number in range(count):
        work = list(drawn_work(Random(f"{number}"), branches, spread=spread, name=name, median_ms=median_ms))
        if number % every == 0:
            at = number // every % branches if always is None else always
            work[at] = Work(work[at].name, tuple((gap_ms, factor * length_ms) for gap_ms, length_ms in work[at].calls))
        runs.append(Simulation(tuple(work), **({"places": branches} | fields)).build(number))
    return runs


def resized(executions: list[Execution], **sizes: int) -> list[Execution]:
    """Give the longest branch of each run an input of another size."""

    def one(execution: Execution) -> Execution:
        branches = [each for each in execution.operations if each.name.startswith("worker")]
        longest = max(branches, key=lambda each: each.duration_ns)
        usual = {each.span_id: replace(each, input_bytes=1000) for each in branches}
        usual[longest.span_id] = replace(longest, **sizes)  # type: ignore[arg-type]
        operations = tuple(usual.get(each.span_id, each) for each in execution.operations)
        return replace(execution, operations=operations)

    return [one(execution) for execution in executions]


def test_says_what_happens_what_it_costs_and_what_to_do() -> None:
    [finding] = found(late_runs(8))

    assert (finding.subject.kind.value, finding.subject.name) == (
        "phase",
        "worker_0, worker_1, worker_2, worker_3, worker_4",
    )
    assert finding.confidence is Confidence.OBSERVED
    assert finding.severity.rank < Severity.LOW.rank
    assert finding.summary.startswith("In 5 of 15 fan-outs one of the branches (worker_0, ")
    assert finding.recommendation.startswith("Start a second attempt of a branch of worker_0, ")
    assert (finding.evidence["fan_outs"], finding.evidence["fan_outs_late"]) == (15, 5)
    assert len(finding.span_ids) == 5
    assert set(finding.changes) == set(finding.trace_ids)


@pytest.mark.parametrize("factor", [4, 8, 15])
@pytest.mark.parametrize("branches", [4, 6, 12])
def test_the_saving_is_what_a_run_without_the_straggler_takes(factor: float, branches: int) -> None:
    late = late_runs(factor, branches=branches)
    fixed = {each.trace_id: each.duration_ns for each in late_runs(1, branches=branches)}

    [finding] = found(late)

    true_s = sorted(
        (each.duration_ns - fixed[each.trace_id]) / 1e9 for each in late if each.trace_id in finding.changes
    )
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(true_s[len(true_s) // 2], rel=0.15)


@pytest.mark.parametrize("spread", [0.4, 0.7, 1.0, 1.3])
@pytest.mark.parametrize("branches", [4, 8, 20])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_usual_spread_has_no_stragglers(spread: float, branches: int, count: int) -> None:
    assert not found(late_runs(1, spread=spread, branches=branches, count=count))


def test_twice_the_others_is_the_least() -> None:
    assert found(late_runs(2.5, spread=0.05))
    assert not found(late_runs(1.7, spread=0.05))


def test_a_second_more_is_the_least() -> None:
    assert found(late_runs(8, median_ms=200))
    assert not found(late_runs(8, median_ms=120))


def test_one_in_five_is_the_least() -> None:
    assert found(late_runs(8, every=5))
    assert not found(late_runs(8, every=8))


def test_fewer_than_four_branches_have_no_straggler() -> None:
    assert not found(late_runs(8, branches=3))


def test_few_fan_outs_are_an_indication() -> None:
    [finding] = found(late_runs(10, count=6))

    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.INDICATIVE)
    assert not found(late_runs(10, count=2))


def test_a_branch_that_is_always_the_longest_is_no_straggler() -> None:
    assert not found(late_runs(8, every=1, always=2))


def test_copies_of_one_worker_are_compared_with_each_other() -> None:
    [finding] = found(late_runs(8, name="worker"))

    assert finding.subject.name == "worker"


def test_a_bigger_input_takes_longer() -> None:
    late = late_runs(8)

    assert found(resized(late, input_bytes=1000))
    assert not found(resized(late, input_bytes=6000))


def test_a_longer_answer_takes_longer() -> None:
    def runs(tokens_out: int) -> list[Execution]:
        made = []
        for number in range(15):
            run = Run(number)
            for at in range(5):
                late = number % 3 == 0 and at == number % 5
                worker = run.agent(f"worker_{at}", 0, 8000 if late else 1000)
                run.llm(0, 8000 if late else 1000, parent=worker, tokens=(100, tokens_out if late else 40))
            made.append(run.build())
        return made

    assert found(runs(40))
    assert not found(runs(300))


def test_waiting_for_a_person_is_not_the_branchs_own_time() -> None:
    runs = []
    for number in range(15):
        run = Run(number)
        for at in range(5):
            asked = number % 3 == 0 and at == number % 5
            worker = run.agent(f"worker_{at}", 0, 9000 if asked else 1000)
            run.llm(0, 1000, parent=worker)
            if asked:
                run.wait("human", 1000, 8000, parent=worker)
        runs.append(run.build())

    assert not found(runs)


@pytest.mark.parametrize("places", [1, 2])
def test_the_last_in_a_queue_is_no_straggler(places: int) -> None:
    runs = late_runs(1, branches=10, places=places, kind=OperationKind.AGENT)

    assert not found(runs)
