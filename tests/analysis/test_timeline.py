from otel_wfperf.analysis.timeline import busy_ns, in_flight_at_arrival, peak_concurrency, union_ns
from otel_wfperf.model import Operation


def run(start: int, end: int) -> Operation:
    return Operation(trace_id="t", span_id=f"{start}-{end}", start_ns=start, end_ns=end)


def test_covered_time_counts_overlaps_once() -> None:
    assert union_ns([(0, 10), (5, 20), (30, 40), (31, 32)]) == 30
    assert busy_ns([run(0, 10), run(10, 20)]) == 20
    assert union_ns([]) == 0


def test_back_to_back_runs_are_not_concurrent() -> None:
    assert peak_concurrency([run(0, 10), run(10, 20)]) == 1
    assert peak_concurrency([run(0, 10), run(9, 20), run(9, 11)]) == 3


def test_the_end_is_exclusive() -> None:
    assert in_flight_at_arrival([run(0, 10), run(10, 20), run(10, 30)]) == [0, 0, 0]
    assert in_flight_at_arrival([run(0, 11), run(10, 20)]) == [0, 1]
