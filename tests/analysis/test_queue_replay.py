import pytest

from otel_wfperf.analysis.queue_replay import waits_ns


def test_one_server_takes_requests_in_the_order_of_their_arrival() -> None:
    assert waits_ns([0, 1, 2, 30], [10, 10, 10, 10], 1) == [0, 9, 18, 0]
    assert waits_ns([2, 0, 1], [10, 10, 10], 1) == [18, 0, 9]


def test_two_servers_share_the_queue() -> None:
    assert waits_ns([0, 1, 2, 3], [10, 3, 10, 1], 2) == [0, 0, 2, 7]


def test_nobody_waits_where_there_are_servers_for_all() -> None:
    assert waits_ns([0, 1, 2], [10, 10, 10], 3) == [0, 0, 0]
    assert waits_ns([], [], 1) == []


def test_no_servers_are_refused() -> None:
    with pytest.raises(ValueError, match="serve nothing"):
        waits_ns([0], [1], 0)
