from tests.assembly.operations import assembled, notes, op


def test_notes_spans_that_all_end_with_the_root() -> None:
    spans = [op(f"s{number}", "r", 10 * number, 100) for number in range(6)]

    execution = assembled(op("r", None, 0, 100), *spans)

    assert notes(execution) == ["same_end"]


def test_leaves_three_spans_alone() -> None:
    assert notes(assembled(op("r", None, 0, 100), *(op(f"s{n}", "r", 10 * n, 100) for n in range(3)))) == []


def test_leaves_alone_when_fewer_than_half_end_there() -> None:
    together = [op(f"s{number}", "r", 10 * number, 100) for number in range(4)]
    apart = [op(f"t{number}", "r", number, 40 + 10 * number) for number in range(5)]

    assert notes(assembled(op("r", None, 0, 100), *together, *apart)) == []


def test_leaves_spans_alone_that_are_nested_in_each_other() -> None:
    nested = [op(f"s{number}", f"s{number - 1}" if number else "r", 10 * number, 100) for number in range(6)]

    assert notes(assembled(op("r", None, 0, 100), *nested)) == []


def test_leaves_equal_branches_of_a_fan_out_alone() -> None:
    assert notes(assembled(op("r", None, 0, 100), *(op(f"s{n}", "r", n, 98 + n / 5) for n in range(5)))) == []
