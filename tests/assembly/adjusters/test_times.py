from dataclasses import replace

from tests.assembly.operations import assembled, notes, op, times


def test_a_span_that_ends_before_it_starts_takes_no_time() -> None:
    execution = assembled(op("r", None, 0, 10), op("a", "r", 5, 3))

    assert times(execution, "a") == (5, 5)
    assert notes(execution) == ["impossible_times"]


def test_a_span_without_a_start_does_not_stretch_the_trace() -> None:
    execution = assembled(op("r", None, 0, 10), replace(op("a", "r", 5, 7), start_ns=0))

    assert times(execution, "a") == (7, 7)
    assert execution.duration_ns == 10_000_000


def test_leaves_possible_times_alone() -> None:
    assert notes(assembled(op("r", None, 0, 10), op("a", "r", 5, 5))) == []
