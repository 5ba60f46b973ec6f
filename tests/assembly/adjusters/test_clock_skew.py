from otel_wfperf.model import SpanKind
from tests.assembly.operations import MS, assembled, notes, op, times


def test_moves_a_span_of_another_host_into_the_middle_of_its_parent() -> None:
    execution = assembled(
        op("r", None, 0, 100, host="a"), op("s", "r", 500, 540, host="b"), op("t", "s", 510, 520, host="b")
    )

    assert times(execution, "s") == (30, 70)
    assert times(execution, "t") == (40, 50)
    assert execution.by_id["t"].skew_ns == -470 * MS
    assert notes(execution) == ["clock_skew"]


def test_a_longer_child_is_only_moved_up_to_its_parents_start() -> None:
    early = assembled(op("r", None, 0, 100, host="a"), op("s", "r", -50, 150, host="b"))
    late = assembled(op("r", None, 0, 100, host="a"), op("s", "r", 50, 250, host="b"))

    assert times(early, "s") == (0, 200)
    assert times(late, "s") == (50, 250)


def test_a_child_that_fits_is_left_alone() -> None:
    assert notes(assembled(op("r", None, 0, 100, host="a"), op("s", "r", 1, 99, host="b"))) == []


def test_processes_of_one_machine_share_a_clock_and_unknown_hosts_are_left_alone() -> None:
    assert notes(assembled(op("r", None, 0, 100, host="m/1"), op("s", "r", 500, 540, host="m/2"))) == []
    assert notes(assembled(op("r", None, 0, 100, host=""), op("s", "r", 500, 540, host="b"))) == []


def test_a_call_back_to_the_first_host_is_judged_anew() -> None:
    execution = assembled(
        op("r", None, 0, 100, host="a"), op("s", "r", 500, 580, host="b"), op("t", "s", 20, 60, host="a")
    )

    assert times(execution, "s") == (10, 90)
    assert times(execution, "t") == (20, 60)


def test_a_consumer_may_run_after_its_producer() -> None:
    execution = assembled(
        op("r", None, 0, 100, host="a"), op("s", "r", 500, 540, host="b", span_kind=SpanKind.CONSUMER)
    )

    assert times(execution, "s") == (500, 540)


def test_differences_that_no_clock_has_are_left_alone_and_noted() -> None:
    hour_ms = 3_600_000
    execution = assembled(op("r", None, 0, 100, host="a"), op("s", "r", hour_ms, hour_ms + 40, host="b"))

    assert times(execution, "s") == (hour_ms, hour_ms + 40)
    assert notes(execution) == ["clock_skew"]
