import math
from random import Random
from typing import Any

import pytest

from otel_wfperf.detectors.slow_first_token import SlowFirstToken
from otel_wfperf.model import Confidence, Execution, Finding, Replace, Severity, TokenUsage
from tests.detectors.builders import Run, population
from tests.detectors.faults_calls import streamed

USUAL_MS = 400.0


def run_of(number: int, *, places: dict[str, dict[str, Any]], calls: int = 3) -> Execution:
    """Make a run of phases that stream; each place gives ``first_ms``, ``token_ms``, ``tokens`` or other fields.

    Delays vary by up to 10 % from call to call, always in the same way.
    """
    run, at_ms = Run(number), 0.0
    for name, given in places.items():
        fields: dict[str, Any] = {"first_ms": USUAL_MS, "token_ms": 15.0, "tokens": (500, 100)} | given
        start_ms, phase = at_ms, run.phase(name, at_ms, 0)
        for call in range(calls):
            factor = 0.9 + 0.05 * ((number + call) % 5)
            first_ms = fields["first_ms"] * factor
            duration_ms = first_ms + fields["token_ms"] * fields["tokens"][1]
            others = {
                key: value for key, value in fields.items() if key not in {"first_ms", "token_ms", "tokens", "usage"}
            }
            span_id = run.llm(
                at_ms,
                duration_ms,
                parent=phase,
                tokens=fields["tokens"],
                **({"time_to_first_token_s": first_ms / 1000} | others),
            )
            if "usage" in fields:
                run.resize(span_id, duration_ms, tokens=fields["usage"])
            at_ms += duration_ms + 5
        run.resize(phase, at_ms - start_ms)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(SlowFirstToken().detect(population(*executions)))


def slow_place(*, runs: int = 5, calls: int = 3, **given: Any) -> list[Finding]:
    places = {"plan": {}, "research": {}, "writer": given, "review": {}}
    return found(*(run_of(number, places=places, calls=calls) for number in range(runs)))


def alike(first_ms: float) -> dict[str, dict[str, Any]]:
    return {name: {"first_ms": first_ms} for name in ("plan", "research", "writer", "review")}


def test_reports_a_phase_whose_calls_begin_late() -> None:
    [finding] = slow_place(first_ms=2000)

    assert (finding.subject.kind.value, finding.subject.name) == ("llm", "model-1")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.severity is Severity.HIGH
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(3 * 1.6, rel=0.1)
    assert finding.summary == (
        "'model-1' starts to answer after 2 s in 'writer', 5.0 times as late as usual for such prompts of other phases"
    )
    assert finding.evidence == {
        "calls": 15,
        "compared_calls": 44,
        "slow_ratio": 5.0,
        "provider_wide": False,
        "places": ("writer",),
        "first_token_s": 2.0,
        "expected_first_token_s": 0.4,
        "runs": 5,
        "runs_affected": 5,
    }
    assert all(isinstance(each, Replace) for changes in finding.changes.values() for each in changes)


@pytest.mark.parametrize(("first_ms", "reported"), [(750, False), (990, False), (1150, True), (3000, True)])
def test_twice_as_late_as_usual_and_a_second_is_late(first_ms: float, *, reported: bool) -> None:
    assert bool(slow_place(first_ms=first_ms)) is reported


def test_reports_a_phase_whose_calls_write_slowly() -> None:
    [finding] = slow_place(token_ms=45)

    assert finding.summary == "'model-1' writes 22 tokens a second in 'writer', 67 are usual in other phases"
    assert finding.evidence["tokens_per_s"] == 22.22
    assert not slow_place(token_ms=29)
    assert not slow_place(token_ms=45, tokens=(500, 49))


def test_fewer_than_twenty_other_calls_tell_nothing() -> None:
    assert not slow_place(first_ms=4000, runs=2)
    assert slow_place(first_ms=4000, runs=3)


def test_a_long_prompt_takes_longer_to_read() -> None:
    def long(number: int) -> Execution:
        sizes = {"plan": 500, "research": 8000, "writer": 40_000, "review": 25_000}
        places = {name: {"tokens": (size, 100), "first_ms": 300 + 0.1 * size} for name, size in sizes.items()}
        return run_of(number, places=places)

    assert not found(*map(long, range(6)))


def test_nothing_is_said_of_prompts_far_longer_than_any_other() -> None:
    assert not slow_place(first_ms=4300, tokens=(40_000, 100))


def test_what_the_prompt_cache_had_was_not_read() -> None:
    assert slow_place(first_ms=2000, usage=TokenUsage(input=40_000, output=100, cache_read=39_500))
    assert not slow_place(first_ms=2000, usage=TokenUsage(input=40_000, output=100))


def test_a_model_that_thinks_first_is_not_late() -> None:
    assert not slow_place(first_ms=4000, usage=TokenUsage(input=500, output=400, reasoning=300))


def test_calls_that_are_not_streamed_are_left_alone() -> None:
    assert not slow_place(first_ms=4000, time_to_first_token_s=None)


def test_failed_and_cached_calls_are_left_alone() -> None:
    assert not slow_place(first_ms=4000, error="Overloaded")
    assert not slow_place(first_ms=4000, cached=True)


def test_a_provider_that_is_slow_for_everybody_is_no_fault_of_the_workflow() -> None:
    executions = [run_of(number, places=alike(3000 if number % 5 > 2 else USUAL_MS)) for number in range(10)]

    [finding] = found(*executions)

    assert (finding.severity, finding.confidence) == (Severity.LOW, Confidence.INDICATIVE)
    assert finding.evidence["provider_wide"] is True
    assert "so it is the provider" in finding.summary


@pytest.mark.parametrize("log_spread", [0.15, 0.35])
def test_late_calls_do_not_hide_themselves_by_widening_the_spread(log_spread: float) -> None:
    def places(seed: int) -> dict[str, dict[str, Any]]:
        draw = Random(seed)
        return {
            name: {"first_ms": USUAL_MS * math.exp(draw.gauss(0, log_spread)) + (3000 if draw.random() < 0.4 else 0)}
            for name in ("plan", "research", "writer", "review")
        }

    [finding] = found(*(run_of(number, places=places(number), calls=1) for number in range(45)))

    assert (finding.severity, finding.evidence["provider_wide"]) == (Severity.LOW, True)
    assert finding.saving is not None


def test_a_provider_that_is_slow_now_and_then_is_left_alone() -> None:
    executions = [run_of(number, places=alike(3000 if number % 5 > 3 else USUAL_MS)) for number in range(10)]

    assert not found(*executions)


@pytest.mark.parametrize("log_spread", [0.35, 0.9])
def test_a_wide_spread_alone_is_no_slow_provider(log_spread: float) -> None:
    def places(seed: int) -> dict[str, dict[str, Any]]:
        draw = Random(seed)
        return {
            name: {"first_ms": USUAL_MS * math.exp(draw.gauss(0, log_spread))} for name in ("plan", "write", "review")
        }

    assert not found(*(run_of(number, places=places(number), calls=1) for number in range(60)))


@pytest.mark.parametrize("seed", range(8))
def test_usual_spread_is_no_finding(seed: int) -> None:
    assert not found(*streamed(seed, runs=4 + seed))
