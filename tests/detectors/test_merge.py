from dataclasses import replace
from typing import Any

import pytest

from otel_wfperf.detectors import DETECTORS
from otel_wfperf.detectors.causes import ORDER, RULES
from otel_wfperf.detectors.merge import explains, merge
from otel_wfperf.model import Change, Confidence, Finding, Move, Remove, Saving, Scale, Severity, Subject, SubjectKind
from tests.detectors.builders import Run


def finding(
    detector: str,
    kind: str,
    name: str,
    saving_s: float | None = 1.0,
    *,
    changes: tuple[Change, ...] = (),
    **evidence: Any,
) -> Finding:
    return Finding(
        detector=detector,
        severity=Severity.HIGH,
        confidence=Confidence.OBSERVED,
        workflow="research",
        subject=Subject(kind=SubjectKind(kind), name=name),
        trace_ids=("t",),
        span_ids=("s",),
        summary="",
        evidence=evidence,
        saving=None if saving_s is None else Saving(median_s=saving_s, low_s=saving_s, high_s=saving_s),
        recommendation="",
        changes={"t": changes} if changes else {},
    )


HOG = finding("critical_path_hog", "phase", "analyst", 4.0)


def test_a_slow_phase_explains_the_hog_that_it_is() -> None:
    slow = finding("slow_phase", "phase", "analyst", 0.5)

    assert merge([HOG, slow]) == (slow,)


def test_tools_in_series_explain_the_hog_that_they_are_in() -> None:
    series = finding("missed_parallelism", "tool", "a, b", 0.9, place="analyst")

    assert merge([HOG, series]) == (series,)


def test_a_guess_about_a_series_explains_no_hog() -> None:
    guess = replace(finding("missed_parallelism", "tool", "a, b", 0.9, place="analyst"), confidence=Confidence.ASSUMED)

    assert merge([HOG, guess]) == (HOG, guess)


def test_phases_in_series_explain_each_of_them() -> None:
    series = finding("missed_parallelism", "phase", "analyst, writer", 0.9, members=("analyst", "writer"))

    assert merge([HOG, series]) == (series,)


def test_any_finding_in_the_phase_explains_it_from_four_fifths_on() -> None:
    enough = finding("repeated_call", "tool", "load", 3.2, places=("analyst",))
    too_little = finding("repeated_call", "tool", "load", 3.1, places=("analyst",))

    assert merge([HOG, enough]) == (enough,)
    assert merge([HOG, too_little]) == (HOG, too_little)


def test_findings_elsewhere_explain_nothing() -> None:
    slow = finding("slow_phase", "phase", "writer", 9.0)

    assert merge([HOG, slow]) == (slow, HOG)


def test_the_worst_comes_first_then_the_greatest_saving() -> None:
    small, large = finding("repeated_call", "tool", "a", 1.0), finding("repeated_call", "tool", "b", 2.0)
    unknown = finding("context_bloat", "agent", "c", None)

    assert merge([small, unknown, large]) == (large, small, unknown)


def test_an_agent_whose_calls_queue_is_slow_for_that_reason() -> None:
    queueing = finding("agent_overload", "agent", "analyst", 0.5)

    assert merge([finding("slow_phase", "agent", "analyst", 4.0), queueing]) == (queueing,)
    assert len(merge([finding("slow_phase", "agent", "writer", 4.0), queueing])) == 2


def test_every_detector_has_its_place_and_causes_come_before_effects() -> None:
    assert {detector.name for detector in DETECTORS} <= set(ORDER)
    assert len(set(ORDER)) == len(ORDER) == 20
    for rule in RULES:
        assert all(ORDER.index(cause) < ORDER.index(rule.effect) for cause in rule.causes), rule.why


def test_nothing_that_can_be_acted_on_goes_in_favour_of_something_mild() -> None:
    mild = replace(finding("slow_phase", "phase", "analyst", 4.0), severity=Severity.LOW)

    assert merge([HOG, mild]) == (HOG, mild)
    assert merge([replace(HOG, severity=Severity.LOW), mild]) == (mild,)


def test_what_happens_in_most_runs_comes_first() -> None:
    often = finding("repeated_call", "tool", "often", 1.0, runs=10, runs_affected=9)
    rare = finding("repeated_call", "tool", "rare", 3.0, runs=10, runs_affected=2)

    assert merge([rare, often]) == (often, rare)


def test_what_happens_in_few_runs_does_not_explain_what_happens_in_all() -> None:
    rare = finding("repeated_call", "tool", "load", 4.0, places=("analyst",), runs=10, runs_affected=2)
    always = replace(HOG, evidence={"runs": 10, "runs_affected": 10})

    assert len(merge([always, rare])) == 2


def test_a_slow_child_explains_the_parent_that_is_slow_with_it() -> None:
    parent = finding("latency_regression", "workflow", "research", 2.0)
    phase = finding("latency_regression", "phase", "analyst", 1.9)
    tool = finding("latency_regression", "tool", "load", 1.8, place="analyst")

    assert merge([parent, phase, tool]) == (tool,)
    assert merge([parent, replace(phase, saving=Saving(median_s=1.5, low_s=1.5, high_s=1.5))])[0] == parent


def test_a_phase_and_an_agent_of_one_name_do_not_explain_each_other_away() -> None:
    phase, agent = finding("idle_gap", "phase", "writer", 1.0), finding("idle_gap", "agent", "writer", 1.0)

    assert len(merge([phase, agent])) == 2


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("retry_storm", "loop"),
        ("retry_storm", "repeated_call"),
        ("retry_storm", "n_plus_one"),
        ("retry_storm", "timeout_burn"),
        ("n_plus_one", "loop"),
        ("n_plus_one", "repeated_call"),
        ("n_plus_one", "missed_parallelism"),
        ("loop", "repeated_call"),
        ("loop", "missed_parallelism"),
    ],
)
def test_of_two_findings_about_the_same_calls_the_more_specific_stays(cause: str, effect: str) -> None:
    calls = Remove(frozenset("abcd"))
    specific = finding(cause, "tool", "load", 1.0, changes=(calls,))
    general = finding(effect, "tool", "other name", 1.0, changes=(Remove(frozenset("abcde")),))
    elsewhere = finding(effect, "tool", "other name", 1.0, changes=(Remove(frozenset("defg")),))

    assert merge([general, specific]) == (specific,)
    assert len(merge([elsewhere, specific])) == 2


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("timeout_burn", "straggler"),
        ("timeout_burn", "slow_phase"),
        ("connection_setup", "slow_first_token"),
        ("connection_setup", "agent_overload"),
        ("slow_first_token", "slow_phase"),
        ("straggler", "slow_phase"),
        ("slow_phase", "idle_gap"),
        ("retry_storm", "latency_regression"),
        ("resource_contention", "agent_overload"),
        ("idle_gap", "critical_path_hog"),
        ("context_bloat", "latency_trend"),
    ],
)
def test_what_lies_in_a_phase_explains_it_if_it_wins_as_much(cause: str, effect: str) -> None:
    in_phase = finding(effect, "phase", "analyst", 1.0)
    enough, too_little = (finding(cause, "tool", "load", saving_s, place="analyst") for saving_s in (0.8, 0.7))

    assert explains(enough, in_phase)
    assert not explains(too_little, in_phase)
    assert not explains(in_phase, enough)


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        ("false_parallelism", "capped_concurrency"),
        ("false_parallelism", "agent_overload"),
        ("capped_concurrency", "agent_overload"),
        ("capped_concurrency", "straggler"),
        ("latency_trend", "latency_regression"),
        ("latency_regression", "slow_phase"),
        ("timeout_burn", "error_hotspot"),
        ("loop", "context_bloat"),
    ],
)
def test_of_one_subject_the_reason_stays_whatever_it_wins(cause: str, effect: str) -> None:
    reason, consequence = finding(cause, "agent", "analyst", 0.3), finding(effect, "agent", "analyst", 1.0)

    assert merge([consequence, reason]) == (reason,)


def test_a_guess_is_no_reason_unless_it_wins_as_much() -> None:
    guess = replace(finding("false_parallelism", "agent", "a", 0.3), confidence=Confidence.ASSUMED)
    overload = finding("agent_overload", "agent", "a", 1.0)

    assert len(merge([overload, guess])) == 2


def test_calls_inside_of_calls_are_recognised_in_the_executions() -> None:
    run = Run()
    phase = run.phase("fetch", 0, 100)
    tool = run.tool("load", 0, 100, parent=phase)
    request = run.add_other("GET", 0, 90, parent=tool)
    execution = run.build()

    def changing(detector: str, name: str, change: Change) -> Finding:
        changed = finding(detector, "tool", name, 1.0)
        return replace(changed, changes={execution.trace_id: (change,)})

    slow = changing("slow_phase", "load", Scale(frozenset({tool}), 0.5))
    setup = changing("connection_setup", "api.example.com", Scale(frozenset({request}), 0.1))
    loop = changing("loop", "fetch", Remove(frozenset({phase})))
    repeated = changing("repeated_call", "load", Remove(frozenset({tool})))
    moved = changing("capped_concurrency", "fetch", Move(phase, 0))
    series = changing("missed_parallelism", "load", Move(tool, 0))

    assert merge([slow, setup], [execution]) == (setup,)
    assert merge([loop, repeated], [execution]) == (loop,)
    # What runs in series inside of one branch is no matter of how the branches run.
    assert len(merge([moved, series], [execution])) == 2
    assert len(merge([slow, setup])) == 2
