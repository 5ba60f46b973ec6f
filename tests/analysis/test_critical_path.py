import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.analysis.critical_path import critical_path
from otel_wfperf.model import Execution, Operation
from tests.analysis.trees import operation, tree
from tests.conftest import shared_folder

CASES = shared_folder() / "data" / "cases"


def load(name: str) -> list[dict[str, Any]]:
    path = CASES / name
    return json.loads(path.read_text())["cases"] if path.exists() else []


def span(span_id: str, parent_id: str | None, start_ms: int, end_ms: int) -> Operation:
    return Operation(
        trace_id="t", span_id=span_id, parent_id=parent_id, start_ns=start_ms * 1_000_000, end_ns=end_ms * 1_000_000
    )


def path_of(*spans: Operation) -> list[tuple[str, int, int]]:
    sections = critical_path(tree(spans, "root")).sections
    return [(each.span_id, each.start_ns // 1_000_000, each.end_ns // 1_000_000) for each in sections]


def tiles(execution: Execution) -> bool:
    sections = critical_path(execution).sections
    edges = [execution.root.start_ns, *(section.end_ns for section in sections)]
    starts = [section.start_ns for section in sections]
    return starts == edges[:-1] and edges[-1] == max(execution.root.start_ns, execution.root.end_ns)


def test_the_last_child_to_end_owns_the_time_and_the_parent_the_rest() -> None:
    path = path_of(
        span("root", None, 0, 100), span("a", "root", 10, 40), span("b", "root", 15, 60), span("c", "root", 70, 90)
    )

    assert path == [("root", 0, 15), ("b", 15, 60), ("root", 60, 70), ("c", 70, 90), ("root", 90, 100)]


def test_back_to_back_siblings_are_both_on_the_path() -> None:
    path = path_of(span("root", None, 0, 100), span("a", "root", 0, 50), span("b", "root", 50, 100))

    assert path == [("a", 0, 50), ("b", 50, 100)]


def test_a_child_that_outlives_its_parent_is_cut_and_one_outside_is_left_out() -> None:
    path = path_of(span("root", None, 0, 100), span("a", "root", 40, 150), span("b", "root", 120, 130))

    assert path == [("root", 0, 40), ("a", 40, 100)]


def test_a_start_at_time_zero_ends_the_walk() -> None:
    assert path_of(span("root", None, 0, 10), span("a", "root", 0, 10)) == [("a", 0, 10)]


def test_a_trace_5000_deep_with_50000_spans_needs_no_recursion() -> None:
    depth, width = 5_000, 9
    spans = [Operation(trace_id="t", span_id="root", start_ns=0, end_ns=1_000_000)]
    for level in range(1, depth):
        parent = spans[-1].span_id if level > 1 else "root"
        spans += [
            Operation(
                trace_id="t", span_id=f"{level}/{i}", parent_id=parent, start_ns=level + i, end_ns=1_000_000 - level
            )
            for i in range(width + 1)
        ]

    execution = tree(spans, "root")

    assert len(execution.operations) == 49_991
    assert tiles(execution)


intervals = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))


@given(st.lists(intervals, max_size=25))
def test_sections_tile_the_root_whatever_the_spans(shapes: list[tuple[int, int, int]]) -> None:
    spans = [span("root", None, 5, 50)]
    for index, (start, end, parent) in enumerate(shapes):
        spans.append(span(f"s{index}", spans[parent % len(spans)].span_id, start, end))

    assert tiles(tree(spans, "root"))


@pytest.mark.shared
@pytest.mark.parametrize("case", load("jaeger_critical_path.json"), ids=lambda case: case["id"])
def test_agrees_with_jaeger(case: dict[str, Any]) -> None:
    operations = [operation(each) for each in case["spans"]]
    root = next(each for each in operations if each.parent_id is None)

    sections = critical_path(tree(operations, root.span_id)).sections

    expected = [(each["span"], each["start"] * 1000, each["end"] * 1000) for each in case["expected_sections"]]
    assert [(each.span_id, each.start_ns, each.end_ns) for each in reversed(sections)] == expected


@pytest.mark.shared
@pytest.mark.parametrize("case", load("crisp_cases.json"), ids=lambda case: case["id"])
def test_visits_what_crisp_visits(case: dict[str, Any]) -> None:
    operations = [operation(each) for each in case["spans"]]
    root = next(each for each in operations if each.parent_id is None)

    visited = critical_path(tree(operations, root.span_id)).visited

    assert sorted(visited) == sorted(case["expected"]["critical_path_span_ids"])


@pytest.mark.shared
@pytest.mark.parametrize("case", load("real_traces_oracle.json"), ids=lambda case: case["id"])
def test_real_traces_tile_and_agree_with_the_oracle_where_two_implementations_do(case: dict[str, Any]) -> None:
    operations = [operation(each) for each in case["spans"]]
    known = {each.span_id for each in operations}
    executions = [tree(operations, each.span_id) for each in operations if each.parent_id not in known]

    assert all(tiles(execution) for execution in executions)
    if case["second_implementation_agrees"]:
        sections = [each for execution in executions for each in critical_path(execution).sections]
        expected = {(each["span"], each["start"] * 1000, each["end"] * 1000) for each in case["jaeger_sections"]}
        assert {(each.span_id, each.start_ns, each.end_ns) for each in sections} == expected


@pytest.mark.shared
def test_reference_cases_are_here(shared: Path) -> None:
    assert len(load("jaeger_critical_path.json")) >= 2, shared
    assert len(load("crisp_cases.json")) >= 14
    assert len(load("real_traces_oracle.json")) >= 15
