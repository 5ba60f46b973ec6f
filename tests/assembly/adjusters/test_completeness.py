from typing import Any

import pytest

from otel_wfperf.model import Operation
from tests.assembly.operations import assembled, notes, op


def run(here: int, **root: Any) -> tuple[Operation, ...]:
    """Build a root with calls below it."""
    return (op("r", None, 0, 100, **root), *(op(f"c{number}", "r", 1, 2) for number in range(here - 1)))


def test_everything_that_was_started_is_here() -> None:
    execution = assembled(*run(4, spans_started=4))

    assert (execution.completeness, notes(execution)) == (1.0, [])


def test_leaves_that_never_came_are_missed() -> None:
    execution = assembled(*run(6, spans_started=8, spans_dropped=2))

    assert execution.completeness == 6 / 8
    [adjustment] = [each for each in execution.adjustments if each.adjuster == "completeness"]
    assert adjustment.span_ids == ("r",)
    assert adjustment.detail == ("2 of 8 spans are missing; their processes lost up to 2 before they could send them")


def test_without_losses_of_the_process_nobody_says_where_they_went() -> None:
    execution = assembled(*run(2, spans_started=3))

    assert [each.detail for each in execution.adjustments] == ["1 of 3 spans are missing"]


def test_spans_that_began_after_the_count_are_no_reason_to_complain() -> None:
    assert assembled(*run(5, spans_started=3)).completeness == 1.0


def test_each_process_is_compared_with_its_own_figures() -> None:
    ours = [op("r", None, 0, 100, host="a/1", spans_started=2), op("c", "r", 1, 99, host="a/1")]
    theirs = [
        op("s", "c", 2, 98, host="b/1", spans_started=3),
        op("x", "s", 3, 4, host="b/1"),
        op("t", "c", 2, 98, host="b/1", spans_started=3),
    ]
    silent = [op(f"q{number}", "c", 5, 6, host="c/1") for number in range(10)]

    execution = assembled(*ours, *theirs, *silent)

    assert execution.completeness == pytest.approx(15 / 18)


def test_a_missing_parent_still_counts_where_the_figures_show_no_more() -> None:
    execution = assembled(op("r", None, 0, 100, spans_started=3), op("a", "lost", 1, 2), op("b", "lost", 3, 4))

    assert execution.completeness == 3 / 4
    assert notes(execution) == ["parents"]
