from __future__ import annotations

import pytest

from otel_wfperf.detectors.latency_trend import LatencyTrend
from otel_wfperf.model import Finding
from tests.detectors.builders import population
from tests.detectors.faults_history import DAY_MS, History, after, drawn_history


def week(*, growth: float = 1.0, runs: int = 300, days: float = 7.0, **given: object) -> History:
    """A history in which the writer's times grow by a factor from its start to its end."""
    return History(
        runs=runs,
        spacing_ms=days * DAY_MS / runs,
        **({"factor": lambda passed: growth**passed, "spread": 0.3} | given),  # type: ignore[arg-type]
    )


def found(history: History, seed: int = 0) -> list[Finding]:
    return list(LatencyTrend().detect(population(*drawn_history(history, seed))))


def test_says_how_fast_times_grow_and_when_they_will_have_doubled() -> None:
    [finding] = [each for each in found(week(growth=2.0, cycle=0.2, dependence=0.3)) if each.subject.name == "writer"]

    assert finding.evidence["growth_ratio"] == pytest.approx(2, rel=0.25)
    assert finding.evidence["doubles_in_days"] == pytest.approx(7, rel=0.3)
    assert finding.summary.startswith("'writer' takes ")
    assert "longer each day" in finding.summary
    assert finding.recommendation.startswith("Find what grows with time in 'writer'")
    assert finding.saving is not None
    assert finding.saving.low_s <= 1.9 <= finding.saving.high_s
    assert finding.evidence["runs_affected"] == len(finding.changes)


@pytest.mark.parametrize("growth", [1.6, 3.0])
def test_finds_growth_of_several_strengths(growth: float) -> None:
    assert "writer" in {each.subject.name for each in found(week(growth=growth))}


def test_growth_under_the_threshold_is_left_alone() -> None:
    assert not found(week(growth=1.12, spread=0.05))
    assert found(week(growth=1.25, spread=0.05))


def test_a_history_of_less_than_three_days_is_not_judged() -> None:
    assert not found(week(growth=3.0, days=2.5, runs=200, spread=0.05))


def test_few_hours_are_not_judged() -> None:
    assert not found(week(growth=3.0, runs=45, spread=0.05))


@pytest.mark.parametrize("dependence", [0.0, 0.5])
def test_days_and_nights_and_dependent_runs_are_no_trend(dependence: float) -> None:
    for seed in range(6):
        assert not found(week(cycle=0.3, dependence=dependence, spread=0.7, runs=200, days=4.0), seed)


def test_a_step_is_no_trend() -> None:
    for seed in range(3):
        assert not found(week(factor=after(0.5, 1.0, 2.0)), seed)


def test_falling_times_are_no_finding() -> None:
    assert not found(week(growth=0.5))


def test_growing_inputs_are_no_trend() -> None:
    assert not found(week(growth=2.0, tokens=lambda passed: 300 * 2 ** round(4 * passed)))
