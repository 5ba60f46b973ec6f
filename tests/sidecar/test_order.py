"""A glimpse of figure 17: the order in which spans come does not matter."""

from __future__ import annotations

from benchmarks.reliability.figure_17_order import (
    Arrival,
    analyse,
    differing_seeds,
    encoded_spans,
    in_order,
)


def test_order_repetition_lateness_and_clock_jumps_change_nothing() -> None:
    differing, findings = differing_seeds(range(10))

    assert (differing, findings) == ([], 2)


def test_a_missing_span_would_be_noticed() -> None:
    requests = encoded_spans()

    assert analyse(in_order(requests[:-2])) != analyse(in_order(requests))


def test_what_comes_after_a_minute_is_counted_as_too_late() -> None:
    requests = encoded_spans()
    late = [*in_order(requests), Arrival(200_000_000_000, requests[0])]

    assert analyse(late).dropped == {"too_late": 1}
