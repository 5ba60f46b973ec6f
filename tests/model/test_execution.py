import pytest

from otel_wfperf.model import Execution, Operation, OperationKind


def op(span_id: str, parent: str | None = None, kind: OperationKind = OperationKind.OTHER) -> Operation:
    return Operation(trace_id="t", span_id=span_id, parent_id=parent, start_ns=0, end_ns=10, kind=kind)


RUN = Execution(
    trace_id="t",
    workflow="w",
    root_id="root",
    operations=(
        op("root"),
        op("a", "root", OperationKind.PHASE),
        op("b", "root", OperationKind.TOOL),
        op("a1", "a"),
        op("a2", "a"),
    ),
)


def test_descendants_come_parents_first_and_earliest_first() -> None:
    assert [each.span_id for each in RUN.descendants("root")] == ["a", "a1", "a2", "b"]


def test_ancestors_come_nearest_first_and_end_at_the_root() -> None:
    assert [each.span_id for each in RUN.ancestors("a2")] == ["a", "root"]
    assert list(RUN.ancestors("root")) == []


def test_operations_are_found_by_kind() -> None:
    assert [each.span_id for each in RUN.of_kind(OperationKind.PHASE, OperationKind.TOOL)] == ["a", "b"]


def test_a_root_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="root 'nowhere' is not among the 1 operations of trace t"):
        Execution(trace_id="t", workflow="w", root_id="nowhere", operations=(op("root"),))
