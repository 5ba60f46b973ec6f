import dataclasses

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


def test_descendants_of_a_step_are_only_its_own() -> None:
    below = {each: [inner.span_id for inner in RUN.descendants(each)] for each in ("a", "a2", "b", "nowhere")}

    assert below == {"a": ["a1", "a2"], "a2": [], "b": [], "nowhere": []}


def test_what_is_made_of_a_run_is_computed_once_for_equal_arguments() -> None:
    seen: list[int] = []

    def above(execution: Execution, least: int) -> int:
        seen.append(least)
        return len(execution.operations) - least

    run = dataclasses.replace(RUN)

    assert [run.once(above, 1), run.once(above, 1), run.once(above, 2)] == [4, 4, 3]
    assert seen == [1, 2]


def test_a_copy_of_a_run_knows_nothing_of_what_was_computed() -> None:
    assert [*RUN.descendants("b")] == []
    shorter = dataclasses.replace(RUN, operations=(*RUN.operations[:3], op("b1", "b")))

    assert [each.span_id for each in shorter.descendants("b")] == ["b1"]


def test_ancestors_come_nearest_first_and_end_at_the_root() -> None:
    assert [each.span_id for each in RUN.ancestors("a2")] == ["a", "root"]
    assert list(RUN.ancestors("root")) == []


def test_operations_are_found_by_kind() -> None:
    assert [each.span_id for each in RUN.of_kind(OperationKind.PHASE, OperationKind.TOOL)] == ["a", "b"]


def test_a_root_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="root 'nowhere' is not among the 1 operations of trace t"):
        Execution(trace_id="t", workflow="w", root_id="nowhere", operations=(op("root"),))
