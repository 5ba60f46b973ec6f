import pytest

from otel_wfperf.detectors.severity import at_most, measure, severity_of
from otel_wfperf.model import Severity
from tests.detectors.builders import MS, Run, population


@pytest.mark.parametrize(
    ("share_ratio", "severity"),
    [
        (0.30, Severity.CRITICAL),
        (0.2999, Severity.HIGH),
        (0.15, Severity.HIGH),
        (0.1499, Severity.MEDIUM),
        (0.05, Severity.MEDIUM),
        (0.0499, Severity.LOW),
    ],
)
def test_ranks_by_share_of_the_end_to_end_time(share_ratio: float, severity: Severity) -> None:
    assert severity_of(share_ratio) is severity


def test_ignores_savings_below_the_floor() -> None:
    short = population(Run(0).build(5_000))
    long = population(Run(0).build(60_000))

    assert measure(short, {Run(0).trace_id: 199 * MS}) is None
    assert measure(short, {Run(0).trace_id: 200 * MS}) is not None
    assert measure(long, {Run(0).trace_id: 1_199 * MS}) is None
    assert measure(long, {Run(0).trace_id: 1_200 * MS}) is not None


def test_weighs_the_share_by_the_runs_affected() -> None:
    runs = population(*(Run(number).build(10_000) for number in range(4)))

    impact = measure(runs, {Run(1).trace_id: 4_000 * MS, Run(3).trace_id: 4_000 * MS})

    assert impact is not None
    assert impact.share_ratio == pytest.approx(0.2)
    assert impact.severity is Severity.HIGH
    assert impact.saving.median_s == 4.0
    assert impact.trace_ids == (Run(1).trace_id, Run(3).trace_id)


def test_the_milder_of_two_severities_counts() -> None:
    assert at_most(Severity.CRITICAL, Severity.MEDIUM) is Severity.MEDIUM
    assert at_most(Severity.LOW, Severity.MEDIUM) is Severity.LOW
