import dataclasses
from typing import Any

import pytest

from otel_wfperf.detectors.error_hotspot import ErrorHotspot
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity
from tests.detectors.builders import Run, population


def runs(
    errors: int,
    calls: int,
    *,
    per_run: int = 1,
    other_errors: int = 0,
    error: str | None = "ReportError",
    call_ms: float = 1000,
    **fields: Any,
) -> list[Execution]:
    """Build runs with calls of two tools; of the first kind, and of the second, the first so many fail."""
    found = []
    for number in range(calls // per_run):
        run = Run(number)
        run.llm(0, 1000)
        for at in range(per_run):
            count = number * per_run + at
            given = {"input_hash": f"{count}"} | fields
            start_ms = 1000 + 2000 * at
            run.tool("load_report", start_ms, call_ms, error=error if count < errors else None, **given)
            run.tool("load_index", start_ms + 1000, 900, error="IndexError" if count < other_errors else None)
        found.append(run.build())
    return found


def failing_runs(failed: int, total: int) -> list[Execution]:
    """Build runs of which some end with a failure in a phase's tool."""
    found = []
    for number in range(total):
        run = Run(number)
        error = "ReportError" if number < failed else None
        phase = run.phase("report", 0, 3000, error=error)
        run.llm(0, 1000, parent=phase)
        run.tool("load_report", 1000, 1990, parent=phase, error=error)
        if error is None:
            run.llm(3000, 1000)
        found.append(run.build(error=error))
    return found


def found(*executions: Execution) -> list[Finding]:
    return list(ErrorHotspot().detect(population(*executions)))


@pytest.mark.parametrize(("errors", "calls"), [(3, 20), (10, 40), (40, 40), (15, 150)])
def test_reports_a_call_that_fails_more_often_than_the_rest(errors: int, calls: int) -> None:
    [finding] = found(*runs(errors, calls))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "load_report")
    assert finding.confidence is Confidence.OBSERVED
    assert (finding.evidence["errors"], finding.evidence["calls"]) == (errors, calls)
    assert finding.evidence["error_classes"] == ("ReportError",)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.0)
    assert f"fails in {errors} of {calls} calls" in finding.summary


@pytest.mark.parametrize(("errors", "calls"), [(2, 20), (12, 150), (19, 19)])
def test_few_failures_or_few_calls_are_chance(errors: int, calls: int) -> None:
    assert not found(*runs(errors, calls))


def test_where_all_fails_alike_no_call_is_the_cause() -> None:
    assert found(*runs(12, 40, other_errors=2))
    assert not [each for each in found(*runs(12, 40, other_errors=24)) if each.subject.name == "load_report"]


@pytest.mark.parametrize(("error", "status"), [("CancelledError", None), ("404", 404), (None, 404), (None, 410)])
def test_cancelled_calls_and_missing_things_are_no_errors(error: str | None, status: int | None) -> None:
    assert not found(*runs(20, 40, error=error, status_code=status))


def test_a_failure_that_another_try_made_good_is_none() -> None:
    executions = []
    for number in range(30):
        run = Run(number)
        run.tool("fetch", 0, 900, input_hash="same", error="Reset")
        run.tool("fetch", 1000, 900, input_hash="same")
        run.llm(2000, 1000)
        executions.append(run.build())

    assert not found(*executions)


def test_three_runs_that_end_there_are_enough_when_they_are_not_few_of_all() -> None:
    [finding] = found(*failing_runs(3, 15))

    assert (finding.subject.name, finding.evidence["runs_failed"]) == ("load_report", 3)
    assert finding.evidence["lost_s"] == pytest.approx(3 * 2.99)
    assert finding.severity is Severity.HIGH
    assert "3 runs failed there" in finding.summary
    assert not found(*failing_runs(2, 15))
    assert not found(*failing_runs(3, 80))


def test_a_few_runs_are_indicative() -> None:
    [finding] = found(*failing_runs(3, 3))

    assert (finding.confidence, finding.severity) == (Confidence.INDICATIVE, Severity.MEDIUM)


def test_quick_failures_are_reported_without_a_saving() -> None:
    [finding] = found(*runs(10, 40, call_ms=5))

    assert (finding.saving, finding.severity) == (None, Severity.LOW)


def test_models_fail_too() -> None:
    executions = []
    for number in range(30):
        run = Run(number)
        run.add(OperationKind.LLM, "model-1", 0, 800, error="ContentFilter" if number % 3 == 0 else None)
        run.tool("save", 900, 1000)
        executions.append(run.build())

    [finding] = found(*executions)
    assert (finding.subject.kind.value, finding.subject.name) == ("llm", "model-1")


def test_the_rates_do_not_depend_on_the_order_of_runs() -> None:
    executions = runs(10, 40)

    assert [dataclasses.replace(each, trace_ids=()) for each in found(*executions)] == [
        dataclasses.replace(each, trace_ids=()) for each in found(*executions[::-1])
    ]
