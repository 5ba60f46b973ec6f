from dataclasses import replace
from typing import Any

from otel_wfperf.detectors.merge import merge
from otel_wfperf.model import Confidence, Finding, Saving, Severity, Subject, SubjectKind


def finding(detector: str, kind: str, name: str, saving_s: float | None = 1.0, **evidence: Any) -> Finding:
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
