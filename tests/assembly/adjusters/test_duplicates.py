from dataclasses import replace

from tests.assembly.operations import assembled, notes, op, times


def test_equal_copies_are_one_span() -> None:
    execution = assembled(op("r", None, 0, 10), op("a", "r", 1, 2), op("a", "r", 1, 2))

    assert [operation.span_id for operation in execution.operations] == ["r", "a"]
    assert notes(execution) == []


def test_keeps_the_one_that_ended_and_the_last_end() -> None:
    running, ended, longer = op("a", "r", 1, None), op("a", "r", 1, 2), op("a", "r", 1, 3)

    for versions in ([running, ended, longer], [longer, running, ended], [ended, longer, running]):
        execution = assembled(op("r", None, 0, 10), *versions)
        assert times(execution, "a") == (1, 3)
        assert notes(execution) == []


def test_versions_that_end_together_give_the_same_answer_in_any_order() -> None:
    one = op("a", "r", 1, 2, error="x", input_fragments=frozenset(range(50)))
    other = replace(one, error="y")

    assert assembled(op("r", None, 0, 9), one, other) == assembled(op("r", None, 0, 9), other, one)
