from typing import Any

import pytest

from otel_wfperf.model import ExecutionStatus, OperationKind, SpanKind
from tests.assembly.operations import assembled, notes, op, times


def test_an_orphan_hangs_on_the_only_root() -> None:
    execution = assembled(op("r", None, 0, 10), op("a", "r", 1, 2), op("b", "lost", 3, 4))

    assert execution.root_id == "r"
    assert execution.by_id["b"].parent_id == "r"
    assert execution.completeness == pytest.approx(3 / 4)
    assert execution.status is ExecutionStatus.OK


def test_orphans_of_one_missing_parent_get_it_back() -> None:
    execution = assembled(op("r", None, 0, 10), op("b", "lost", 3, 4), op("c", "lost", 5, 8))

    parent = execution.by_id["lost"]
    assert (parent.synthetic, parent.parent_id, times(execution, "lost")) == (True, "r", (3, 8))
    assert {child.span_id for child in execution.children("lost")} == {"b", "c"}
    assert [each.detail for each in execution.adjustments] == ["1 parent missing"]


def test_without_a_root_a_synthetic_one_covers_all_and_takes_the_largest_name() -> None:
    execution = assembled(
        op("a", "lost1", 0, 4, kind=OperationKind.AGENT, name="small"),
        op("b", "lost2", 3, 9, kind=OperationKind.WORKFLOW, name="large"),
    )

    assert execution.root.synthetic
    assert (execution.root.kind, execution.root.name) == (OperationKind.OTHER, "large")
    assert times(execution, execution.root_id) == (0, 9)
    assert execution.status is ExecutionStatus.INCOMPLETE
    assert execution.completeness == pytest.approx(2 / 4)


def test_a_synthetic_root_without_workflows_is_named_after_the_service() -> None:
    execution = assembled(op("a", "lost1", 0, 4, service="shop"), op("b", "lost2", 3, 9, service="shop"))

    assert execution.root.name == "shop"


def test_a_single_orphan_is_the_root_itself() -> None:
    execution = assembled(op("a", "lost", 0, 4), op("b", "a", 1, 2))

    assert (execution.root_id, execution.root.parent_id) == ("a", None)
    assert execution.status is ExecutionStatus.INCOMPLETE


def test_orphans_of_the_missing_root_need_no_second_root() -> None:
    execution = assembled(op("a", "lost", 0, 4), op("b", "lost", 1, 6))

    assert execution.root_id == "lost"
    assert len(execution.operations) == 3


@pytest.mark.parametrize("fields", [{"parent_is_remote": True}, {"span_kind": SpanKind.SERVER}])
def test_a_parent_in_another_process_is_not_missed(fields: dict[str, Any]) -> None:
    execution = assembled(op("a", "elsewhere", 0, 4, **fields), op("b", "a", 1, 2))

    assert execution.root_id == "a"
    assert (execution.status, execution.completeness, notes(execution)) == (ExecutionStatus.OK, 1.0, [])


def test_several_roots_get_one_above_them() -> None:
    execution = assembled(op("a", None, 0, 4), op("b", None, 5, 9))

    assert [child.span_id for child in execution.children(execution.root_id)] == ["a", "b"]
    assert execution.status is ExecutionStatus.OK


def test_cycles_are_cut_at_their_earliest_span() -> None:
    execution = assembled(op("r", None, 0, 10), op("b", "c", 3, 4), op("c", "b", 2, 5), op("d", "b", 3, 4))

    assert execution.by_id["c"].parent_id == "r"
    assert execution.by_id["b"].parent_id == "c"
    assert execution.by_id["d"].parent_id == "b"
    assert "parents" in notes(execution)


def test_a_span_that_is_its_own_parent_becomes_the_root() -> None:
    execution = assembled(op("a", "a", 0, 4), op("b", "a", 1, 2))

    assert (execution.root_id, execution.root.parent_id) == ("a", None)
