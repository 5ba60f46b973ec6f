from typing import Any

import pytest

from otel_wfperf.detectors.n_plus_one import NPlusOne
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity, SpanKind
from tests.detectors.builders import Run, population


def rows(count: int, *, each_ms: float = 100, gap_ms: float = 1, rest_ms: float = 1000, **fields: Any) -> Execution:
    """Build a tool that asks a database for one row after another."""
    run = Run()
    tool = run.tool("load_orders", 0, count * (each_ms + gap_ms))
    for at in range(count):
        given = {"outside": True, "peer": "db:5432", "route": "SELECT orders"} | fields
        run.add_other("postgresql SELECT orders", at * (each_ms + gap_ms), each_ms, parent=tool, **given)
    run.llm(count * (each_ms + gap_ms), rest_ms)
    return run.build()


def items(count: int, *, name: str = "get_item", gap_ms: float = 1, inputs: bool = True, **fields: Any) -> Execution:
    """Build a phase that calls a tool for one item after another."""
    run = Run()
    phase = run.phase("enrich", 0, count * (200 + gap_ms))
    for at in range(count):
        given = {"input_hash": f"item {at}" if inputs else None} | fields
        run.tool(name, at * (200 + gap_ms), 200, parent=phase, **given)
    run.llm(count * (200 + gap_ms), 1000)
    return run.build()


def found(*executions: Execution) -> list[Finding]:
    return list(NPlusOne().detect(population(*executions)))


@pytest.mark.parametrize("count", [5, 20, 200])
def test_reports_rows_that_are_asked_for_one_by_one(count: int) -> None:
    [finding] = found(rows(count))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "postgresql SELECT orders")
    assert (finding.confidence, finding.severity.rank >= Severity.HIGH.rank) == (Confidence.ASSUMED, True)
    assert finding.evidence["calls"] == count
    assert finding.evidence["parent"] == "load_orders"
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.1 * count - 0.1 - 0.01 * count)
    assert finding.saving.high_s == pytest.approx(0.1 * count - 0.1)
    assert "one query or batch request" in finding.recommendation


def test_four_calls_are_no_series() -> None:
    assert not found(rows(4, each_ms=1000))


def test_calls_have_to_take_a_third_of_a_second_and_a_twentieth_of_the_run() -> None:
    assert found(rows(10, each_ms=40))
    assert not found(rows(10, each_ms=29))
    assert not found(rows(10, each_ms=100, rest_ms=20_000))


def test_tools_may_have_to_learn_to_take_a_list() -> None:
    [finding] = found(items(8))

    assert finding.severity is Severity.MEDIUM
    assert finding.recommendation == "Let 'get_item' take a list of items, and call it once before the loop."
    assert finding.evidence["places"] == ("enrich",)


@pytest.mark.parametrize(("name", "inputs"), [("get_item", False), ("update_item", True)])
def test_where_no_batch_call_is_known_it_is_information(*, name: str, inputs: bool) -> None:
    [finding] = found(items(8, name=name, inputs=inputs))

    assert finding.severity is Severity.INFO
    assert finding.recommendation.startswith("If ")


def test_leaves_a_fan_out_alone() -> None:
    assert not found(items(12, gap_ms=-150))
    assert not found(rows(20, gap_ms=-50))


def test_equal_inputs_are_repeated_calls() -> None:
    assert not found(items(12, input_hash="same"))


def test_failed_and_cached_calls_do_not_count() -> None:
    assert not found(items(12, error="Reset"))
    assert not found(items(12, cached=True))


def test_a_model_between_makes_each_call_a_decision() -> None:
    run = Run()
    for at in range(8):
        run.llm(1000 * at, 600)
        run.tool("get_item", 1000 * at + 600, 300, input_hash=f"item {at}")

    assert not found(run.build())


def test_calls_of_different_targets_are_no_series() -> None:
    run = Run()
    for at in range(8):
        run.tool(f"load_{at}", 300 * at, 290, input_hash=f"item {at}")

    assert not found(run.build())


@pytest.mark.parametrize("fields", [{"span_kind": SpanKind.SERVER}, {"peer": None, "route": None}])
def test_what_a_server_does_and_spans_of_the_user_are_no_calls(fields: dict[str, Any]) -> None:
    assert not found(rows(20, **fields))


def test_calls_that_nobody_waits_for_cost_nothing() -> None:
    run = Run()
    run.phase("long", 0, 10_000)
    other = run.phase("enrich", 0, 3000)
    for at in range(10):
        run.tool("get_item", 250 * at, 240, parent=other, input_hash=f"item {at}")

    assert not found(run.build())


def test_one_long_call_dominates_a_batch_too() -> None:
    run = Run()
    for at in range(5):
        run.add(OperationKind.RETRIEVAL, "lookup", 5000 * at, 4000 if at == 0 else 20, input_hash=f"item {at}")

    assert not found(run.build())
