import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from otel_wfperf.detectors.repeated_call import RepeatedCall
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Remove, Severity
from tests.detectors.builders import Run, population


def calls(
    *results: str | None,
    duration_ms: float = 500,
    gap_ms: float = 1000,
    name: str = "load_glossary",
    inputs: str | None = "energy",
    **fields: Any,
) -> Execution:
    """Build calls of one tool with the same input and the given results, one after another."""
    run = Run()
    for at, result in enumerate(results):
        given = {"input_hash": inputs, "output_hash": result} | fields
        run.tool(name, at * (duration_ms + gap_ms), duration_ms, **given)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(RepeatedCall().detect(population(*executions)))


def test_reports_a_call_made_three_times_with_one_result() -> None:
    [finding] = found(calls("terms", "terms", "terms"))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "load_glossary")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.0)
    assert finding.evidence["calls"] == 3
    assert finding.evidence["longest_gap_s"] == 1.0
    assert finding.advice is not None
    assert finding.advice.optimizer == "workflow_cache"
    assert finding.summary == ("'load_glossary' is called 3 times with the same input and the same result, 0.5 s each")


def test_two_calls_have_to_take_two_seconds_each() -> None:
    assert not found(calls("terms", "terms", duration_ms=1999))
    assert found(calls("terms", "terms", duration_ms=2000))


def test_calls_a_minute_apart_may_want_a_fresh_answer() -> None:
    assert found(calls(*["terms"] * 3, duration_ms=3000, gap_ms=60_000))
    assert not found(calls(*["terms"] * 3, duration_ms=3000, gap_ms=60_001))


def test_without_results_it_is_assumed() -> None:
    [finding] = found(calls(None, None, None))

    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.MEDIUM)


def test_two_long_calls_without_results_are_a_guess() -> None:
    [finding] = found(calls(None, None, duration_ms=5000))

    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.LOW)
    assert not found(calls(None, None, duration_ms=1900))


def test_without_inputs_it_cannot_tell() -> None:
    assert not found(calls("terms", "terms", "terms", inputs=None))


def test_polling_is_left_alone() -> None:
    assert not found(calls("pending", "pending", "pending", "done"))


@pytest.mark.parametrize("name", ["create_ticket", "job_status", "get_time"])
def test_tools_that_change_something_or_change_with_time_are_left_alone(name: str) -> None:
    assert not found(calls("ok", "ok", "ok", name=name))


def test_retries_are_left_alone() -> None:
    assert not found(calls(None, None, None, error="Timeout"))


def test_a_change_between_asks_for_a_new_look() -> None:
    run = Run()
    for at in range(3):
        run.tool("get_order", at * 2000, 500, input_hash="7", output_hash="same")
        run.tool("update_order", at * 2000 + 600, 500, input_hash=str(at))

    assert not found(run.build())


def test_a_change_that_failed_changed_nothing() -> None:
    run = Run()
    for at in range(3):
        run.tool("get_order", at * 2000, 500, input_hash="7", output_hash="same")
        run.tool("update_order", at * 2000 + 600, 500, input_hash="x", error="Rejected")

    assert found(run.build())


def model_calls(*, temperature: float | None, output: str | None, gap_ms: float = 100) -> Execution:
    run = Run()
    for at in range(3):
        run.llm(
            at * (900 + gap_ms), 900, input_hash="prompt", output_hash=output and f"{output}", temperature=temperature
        )
    return run.build()


def test_a_model_asked_again_at_temperature_zero_is_reported() -> None:
    [finding] = found(model_calls(temperature=0.0, output=None))

    assert (finding.subject.kind.value, finding.confidence) == ("llm", Confidence.ASSUMED)
    assert not found(model_calls(temperature=0.7, output=None))


def test_samples_taken_side_by_side_are_on_purpose() -> None:
    assert found(model_calls(temperature=0.7, output="yes"))
    assert not found(model_calls(temperature=0.7, output="yes", gap_ms=-850))


def test_calls_of_different_inputs_are_not_repeated() -> None:
    run = Run()
    for at in range(6):
        run.tool("read_page", at * 1000, 900, input_hash=str(at), output_hash="same")

    assert not found(run.build())


def recorded(case: Mapping[str, Any]) -> Execution:
    """Make an execution of recorded tool calls, with a model call of 1.5 s before each of 0.7 s."""
    run = Run()
    for call in case["tool_calls"]:
        error = "failed" if call["error"] else None
        run.llm(call["seq"] * 2300, 1500)
        run.tool(
            call["name"],
            call["seq"] * 2300 + 1550,
            700,
            input_hash=call["args"],
            output_hash=call["result_sha"],
            error=error,
        )
    return run.build()


def labelled(case: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the tool and the count of repeated reads that the rule is about: three, and nothing changed between."""
    for repeat in case["labels"]["identical_successful_reads"]:
        if len(repeat["seqs"]) >= 3 and repeat["same_result"] and not repeat["state_change_between"]:
            yield repeat["tool"], len(repeat["seqs"])


@pytest.mark.shared
def test_agrees_exactly_with_the_labels_of_recorded_agent_runs(shared: Path) -> None:
    cases = json.loads((shared / "data/cases/tau_repeat_cases.json").read_text())["cases"]
    repeated = 0
    for case in cases:
        if case["tool_calls"]:
            groups = RepeatedCall().repetitions(recorded(case))
            assert sorted((group.calls[0].name, len(group.calls)) for group in groups) == sorted(labelled(case)), case[
                "id"
            ]
            repeated += len(list(labelled(case)))

    assert repeated == 1


@pytest.mark.shared
def test_two_reads_with_a_change_between_are_not_what_the_labels_mean_by_repeated(shared: Path) -> None:
    cases = json.loads((shared / "data/cases/tau_repeat_cases.json").read_text())["cases"]
    eager = RepeatedCall(min_calls=2)
    for case in cases:
        unchanged = {
            (repeat["tool"], len(repeat["seqs"]))
            for repeat in case["labels"]["identical_successful_reads"]
            if not repeat["state_change_between"]
        }
        if case["tool_calls"]:
            groups = eager.repetitions(recorded(case))
            assert {
                (group.calls[0].name, len(group.calls)) for group in groups if group.calls[0].kind is OperationKind.TOOL
            } == unchanged, case["id"]


def in_runs(
    count: int, *, spacing_s: float = 60, result: str | None = "rates", changed_from: int | None = None, **fields: Any
) -> list[Execution]:
    """Make runs that load the same thing once each; from one of them on the result is another."""
    found = []
    for number in range(count):
        run = Run(number, start_ms=round(number * spacing_s * 1000))
        answer = f"new {number}" if changed_from is not None and number >= changed_from else result
        given: dict[str, Any] = {
            "name": "load_rates",
            "duration_ms": 1500,
            "input_hash": "EUR",
            "output_hash": answer,
        } | fields
        name, duration_ms = given.pop("name"), given.pop("duration_ms")
        run.tool(name, 0, duration_ms, **given)
        run.llm(duration_ms, 1500)
        found.append(run.build())
    return found


def test_the_same_question_in_every_run_is_reported_with_a_time_to_live() -> None:
    executions = in_runs(12)

    [finding] = found(*executions)

    assert (finding.subject.name, finding.confidence) == ("load_rates", Confidence.OBSERVED)
    assert finding.summary == (
        "'load_rates' is called 12 times in 12 runs with the same input and the same result, 1.5 s each"
    )
    # Observed for 11 minutes: kept for 5, it is loaded in the first, the seventh run and so on.
    assert finding.evidence["ttl_s"] == 300
    assert finding.evidence["cache_hits"] == 10
    assert finding.evidence["runs_affected"] == 10
    assert finding.recommendation == "Keep the results of 'load_rates' between runs, for 300 s."
    assert finding.advice is not None
    assert (finding.advice.knob, finding.advice.value) == ("ttl_s:load_rates", 300)
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(1.5)
    assert len(finding.changes) == 10


def test_ten_times_a_day_are_needed() -> None:
    assert not found(*in_runs(9))
    assert found(*in_runs(10))
    assert found(*in_runs(10, spacing_s=9_600))
    assert not found(*in_runs(10, spacing_s=9_700))


def test_a_result_that_changes_is_kept_for_a_shorter_time_or_not_at_all() -> None:
    once = in_runs(80, spacing_s=20)
    once[60:] = in_runs(80, spacing_s=20, result="other")[60:]

    [finding] = found(*once)

    assert (finding.evidence["stale_hits"], finding.evidence["ttl_s"]) == (0, 60)
    assert not found(*in_runs(20, changed_from=10))


def test_without_results_nothing_is_known_over_runs() -> None:
    assert not found(*in_runs(12, result=None))


def test_similar_results_count_where_there_is_no_hash() -> None:
    alike, unlike = frozenset(range(10)), frozenset(range(8, 18))

    assert found(*in_runs(12, result=None, output_fragments=alike))
    mixed = [
        *in_runs(12, result=None, output_fragments=alike)[:6],
        *in_runs(12, result=None, output_fragments=unlike)[6:],
    ]
    assert found(calls(None, None, None, output_fragments=alike))[0].confidence is Confidence.OBSERVED
    assert not found(*mixed)


def test_what_the_runs_change_themselves_is_not_kept_between_them() -> None:
    executions = []
    for number in range(12):
        run = Run(number)
        run.tool("get_order", 0, 1500, input_hash="7", output_hash="same")
        run.tool("update_order_lines" if number % 4 == 0 else "update_stock", 1600, 100, input_hash=str(number))
        executions.append(run.build())

    assert not found(*executions)


def test_clocks_and_writes_are_not_kept_between_runs() -> None:
    assert not found(*in_runs(12, name="get_time"))
    assert not found(*in_runs(12, name="create_report"))


def test_what_a_cache_answered_is_cached_already() -> None:
    assert not found(*in_runs(12, cached=True))
    assert not found(calls("terms", "terms", "terms", cached=True))


def test_runs_at_the_same_time_cannot_use_each_others_results() -> None:
    assert not found(*in_runs(12, spacing_s=0.01))


def test_calls_within_a_run_are_what_is_replayed() -> None:
    execution = calls("terms", "terms", "terms")

    [finding] = found(execution)

    first, *again = sorted(each.span_id for each in execution.of_kind(OperationKind.TOOL))
    assert finding.changes == {execution.trace_id: (Remove(frozenset(again)),)}
    assert first not in again


def test_a_change_that_is_still_under_way_asks_for_a_new_look() -> None:
    run = Run()
    for at in range(3):
        run.tool("get_order", 1000 + at * 2000, 500, input_hash="7", output_hash="same")
    run.tool("update_order", 900, 3000, input_hash="x")

    assert not found(run.build())
