from dataclasses import replace

from otel_wfperf.model import ExecutionStatus
from tests.assembly.operations import assembled, notes, op, times


def test_lasts_until_its_last_descendant_ended() -> None:
    execution = assembled(op("r", None, 0, 20), op("a", "r", 1, None), op("b", "a", 2, None), op("c", "b", 3, 7))

    assert times(execution, "b") == (3 - 1, 7)
    assert times(execution, "a") == (1, 7)
    assert not execution.by_id["a"].ended
    assert notes(execution) == ["never_ended"]


def test_without_descendants_it_lasts_until_the_root_ended() -> None:
    assert times(assembled(op("r", None, 0, 20), op("a", "r", 1, None)), "a") == (1, 20)


def test_without_an_ended_root_it_lasts_until_the_last_moment_seen() -> None:
    execution = assembled(op("r", None, 0, None), op("a", "r", 1, None), op("b", "r", 2, 9))

    assert times(execution, "a") == (1, 9)
    assert times(execution, "r") == (0, 9)
    assert execution.status is ExecutionStatus.INCOMPLETE


def test_leaves_ended_spans_alone_even_when_their_children_end_later() -> None:
    execution = assembled(op("r", None, 0, 5), op("a", "r", 1, 9))

    assert times(execution, "r") == (0, 5)
    assert notes(execution) == []


def test_lasts_for_as_long_as_it_is_known_to_have_lasted_with_all_that_it_is_in() -> None:
    known = replace(op("b", "r", 5, 30), ended=False)
    execution = assembled(op("r", None, 0, None), op("a", "r", 1, 5), known)

    assert times(execution, "b") == (5, 30)
    assert times(execution, "r") == (0, 30)
