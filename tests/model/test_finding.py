from dataclasses import replace

import pytest

from otel_wfperf.model import Confidence, Finding, Saving, Severity, Subject, SubjectKind

FINDING = Finding(
    detector="slow_phase",
    severity=Severity.HIGH,
    confidence=Confidence.OBSERVED,
    workflow="w",
    subject=Subject(kind=SubjectKind.PHASE, name="analyse"),
    trace_ids=("t",),
    span_ids=("s",),
    summary="analyse is slow",
    recommendation="Use a smaller model.",
)


def test_the_fingerprint_is_the_same_in_every_run_and_differs_between_subjects() -> None:
    other = replace(FINDING, subject=Subject(kind=SubjectKind.AGENT, name="analyse"))

    assert replace(FINDING, trace_ids=("u",), severity=Severity.LOW).fingerprint == FINDING.fingerprint
    assert other.fingerprint != FINDING.fingerprint
    assert len(FINDING.fingerprint) == 16


def test_severities_sort_worst_first() -> None:
    assert min(Severity, key=lambda each: each.rank) is Severity.CRITICAL


def test_an_interval_that_does_not_hold_its_median_is_refused() -> None:
    with pytest.raises(ValueError, match="does not hold"):
        Saving(median_s=3, low_s=4, high_s=5)
