"""How operations lie in time: covered time, concurrency, what was in flight."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from otel_wfperf.model import Operation


def union_ns(intervals: Iterable[tuple[int, int]]) -> int:
    """Return the time that at least one (start, end) interval covers (nanoseconds)."""
    total, reached = 0, None
    for start, end in sorted(intervals):
        if reached is None or start > reached:
            total += max(0, end - start)
            reached = max(start, end)
        elif end > reached:
            total += end - reached
            reached = end
    return total


def busy_ns(operations: Iterable[Operation]) -> int:
    """Return the time in which at least one of the operations ran (nanoseconds)."""
    return union_ns((operation.start_ns, operation.end_ns) for operation in operations)


def peak_concurrency(operations: Iterable[Operation]) -> int:
    """Return how many of the operations ran at once at most; one that ends as another starts does not overlap it."""
    edges: list[tuple[int, int]] = []
    for operation in operations:
        edges += [(operation.start_ns, 1), (operation.end_ns, -1)]
    running = peak = 0
    for _, change in sorted(edges):
        running += change
        peak = max(peak, running)
    return peak


def in_flight_at_arrival(calls: Sequence[Operation]) -> list[int]:
    """Count, for each call, the others that ran when it started; the end of a call is exclusive."""
    starts = sorted(call.start_ns for call in calls)
    ends = sorted(call.end_ns for call in calls)
    return [max(0, bisect_left(starts, call.start_ns) - bisect_right(ends, call.start_ns)) for call in calls]
