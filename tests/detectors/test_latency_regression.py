from __future__ import annotations

from dataclasses import replace

import pytest

from otel_wfperf.detectors.latency_regression import LatencyRegression
from otel_wfperf.model import Execution, ExecutionStatus, Finding, SubjectKind
from tests.detectors.builders import EPOCH_NS, MS, population
from tests.detectors.faults_history import DAY_MS, History, after, drawn_history

VERSIONS = after(0.5, {"service_version": "1.4"}, {"service_version": "1.5"})


def found(history: History, seed: int = 0) -> list[Finding]:
    return list(LatencyRegression().detect(population(*drawn_history(history, seed))))


def of_writer(history: History, seed: int = 0) -> Finding:
    [finding] = [each for each in found(history, seed) if each.subject.name == "writer"]
    return finding


def test_says_since_when_how_much_and_what_was_changed() -> None:
    executions = drawn_history(History(factor=after(0.5, 1.0, 2.0), fields=VERSIONS), 0)
    [finding] = [
        each for each in LatencyRegression().detect(population(*executions)) if each.subject.kind is SubjectKind.PHASE
    ]

    assert finding.subject.name == "writer"
    assert finding.evidence["changed"] == ("service version 1.4 became 1.5",)
    assert finding.evidence["found_by"] == "release"
    assert finding.evidence["since_unix_ns"] == executions[40].start_ns
    assert finding.evidence["ratio"] == pytest.approx(2, rel=0.3)
    assert (finding.evidence["runs_before"], finding.evidence["runs_after"]) == (40, 40)
    assert finding.summary.startswith("'writer' takes ")
    assert finding.recommendation == "Compare service version 1.5 with 1.4, which 'writer' ran with before."
    assert finding.saving is not None
    assert finding.saving.low_s <= 2.0 <= finding.saving.high_s
    assert finding.changes.keys() == {each.trace_id for each in executions[40:]}


@pytest.mark.parametrize("factor", [2.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_finds_a_step_that_nothing_explains(factor: float, seed: int) -> None:
    finding = of_writer(History(factor=after(0.5, 1.0, factor), runs=100), seed)

    assert finding.evidence["found_by"] == "change point"
    assert finding.evidence["changed"] == ()
    since = finding.evidence["since_unix_ns"]
    assert isinstance(since, int)
    assert abs(since - EPOCH_NS) / MS == pytest.approx(50 * 60_000, rel=0.4)


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        (after(0.5, {"model": "small"}, {"model": "large"}), "model small became large"),
        (after(0.5, {"prefix_hash": "11aa"}, {"prefix_hash": "22bb"}), "prompt 11aa became 22bb"),
    ],
)
def test_names_another_model_or_prompt(fields: object, changed: str) -> None:
    finding = of_writer(History(factor=after(0.5, 1.0, 2.0), fields=fields))  # type: ignore[arg-type]

    assert finding.evidence["changed"] == (changed,)


def test_a_release_that_only_some_runs_get_is_compared_with_the_others() -> None:
    def is_new(passed: float) -> bool:
        return round(passed * 120) % 2 == 1

    history = History(
        runs=120,
        factor=lambda passed: 2.0 if is_new(passed) else 1.0,
        fields=lambda passed: {"service_version": "2" if is_new(passed) else "1"},
    )

    assert of_writer(history).evidence["changed"] == ("service version 1 became 2",)


def test_a_whole_that_is_slower_in_all_its_parts_is_reported_too() -> None:
    executions = drawn_history(History(runs=100, spread=0.2), 1)
    slowed = [stretched(each, 2) if at >= 50 else each for at, each in enumerate(executions)]
    names = {each.subject.name for each in LatencyRegression().detect(population(*slowed))}

    assert names == {"research", "plan", "writer"}


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_release_that_changes_little_is_left_alone(factor: float) -> None:
    for seed in range(10):
        assert not found(History(runs=160, spread=0.2, factor=after(0.5, 1.0, factor), fields=VERSIONS), seed)


def test_fewer_than_15_runs_on_a_side_are_not_judged() -> None:
    history = History(runs=29, spread=0.1, factor=after(0.5, 1.0, 3.0), fields=VERSIONS)

    assert not found(history)
    assert found(replace(history, runs=30))


def test_more_calls_are_no_regression() -> None:
    assert not found(History(calls=after(0.5, 1, 3), fields=VERSIONS))


def test_longer_inputs_are_no_regression() -> None:
    assert not found(History(factor=after(0.5, 1.0, 2.0), tokens=after(0.5, 500, 1500), fields=VERSIONS))
    assert not found(History(factor=after(0.5, 1.0, 1.4), tokens=after(0.5, 700, 1000), fields=VERSIONS, spread=0.2))


def test_what_was_put_right_is_no_news() -> None:
    def passing(passed: float) -> float:
        return 2.5 if 0.3 <= passed < 0.6 else 1.0

    assert not found(History(runs=150, factor=passing))


@pytest.mark.parametrize("days", [0.5, 1.0, 3.0])
def test_days_and_nights_are_no_regression(days: float) -> None:
    history = History(runs=150, spread=0.3, cycle=0.3, spacing_ms=days * DAY_MS / 150, fields=VERSIONS)

    for seed in range(5):
        assert not found(history, seed)


def test_a_step_in_the_middle_of_the_day_is_found_if_it_is_large() -> None:
    history = History(runs=300, spread=0.3, spacing_ms=DAY_MS / 300, factor=after(0.5, 1.0, 2.0), fields=VERSIONS)

    assert of_writer(history).evidence["changed"] == ("service version 1.4 became 1.5",)


def test_runs_that_depend_on_each_other_are_no_regression() -> None:
    for seed in range(15):
        assert not found(History(runs=60, spread=0.7, dependence=0.5, fields=VERSIONS), seed)


def test_growth_all_along_for_days_is_no_regression() -> None:
    history = History(runs=400, spacing_ms=7 * DAY_MS / 400, factor=lambda passed: 2.0**passed, fields=VERSIONS)

    for seed in range(3):
        assert not found(history, seed)


def test_failed_runs_do_not_count() -> None:
    executions = drawn_history(History(factor=after(0.5, 1.0, 3.0), fields=VERSIONS), 0)
    failed = [replace(each, status=ExecutionStatus.ERROR) if at >= 50 else each for at, each in enumerate(executions)]

    assert not list(LatencyRegression().detect(population(*failed)))


def test_a_tag_of_each_run_is_no_release() -> None:
    history = History(
        fields=lambda passed: {"service_version": f"build-{passed}"}, factor=after(0.5, 1.0, 2.5), runs=100
    )

    assert of_writer(history).evidence["changed"] == ()


def stretched(execution: Execution, factor: int) -> Execution:
    """Let everything in a run take longer."""
    start_ns = execution.start_ns
    operations = tuple(
        replace(
            each,
            start_ns=start_ns + factor * (each.start_ns - start_ns),
            end_ns=start_ns + factor * (each.end_ns - start_ns),
        )
        for each in execution.operations
    )
    return replace(execution, operations=operations)
