"""Signs of queueing in the times of an agent's calls."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_wfperf.analysis.queue_replay import waits_ns
from otel_wfperf.analysis.statistics import median, spearman, spearman_is_significant
from otel_wfperf.analysis.timeline import busy_ns, in_flight_at_arrival
from otel_wfperf.model import Operation

_MAX_UTILISATION: Final = 0.99
# Chosen: a replay whose waits are further from those observed is of another kind of queue.
_REPLAY_TOLERANCE: Final = 1.4
# Chosen: clocks and scheduling make a call seem to overtake another now and then.
_MAX_OVERTAKING_RATIO: Final = 0.005
# Chosen: with more servers one more makes no difference that is worth a finding.
_MAX_SERVERS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """How the duration of calls depends on how many others were running when they arrived.

    Attributes:
        correlation: Spearman's rank correlation of the two.
        is_significant: Whether it is unlikely to be chance (1 %, one-sided).
        ratio: Median at the fifth of the calls with most others, over the median of the half with fewest.
        unloaded: What a call takes when few others run, in the unit of the durations given.
        wait_share: Part of the mean duration that exceeds this (0..1).
    """

    correlation: float
    is_significant: bool
    ratio: float
    unloaded: float
    wait_share: float


def knee(calls: Sequence[Operation], durations: Sequence[float]) -> Knee:
    """Compare durations, one for each call in any unit, with the concurrency at the calls' arrival.

    Chosen: rank correlation 0.5, significant, and a ratio of 1.5 find 78-92 % of simulated queues with one server at
    n = 30 and 95 % at n = 100; with unlimited servers none of 800.
    """
    in_flight = in_flight_at_arrival(calls)
    order = sorted(range(len(calls)), key=lambda at: (in_flight[at], calls[at].start_ns))
    ranked = [durations[at] for at in order]
    lower, top = ranked[: max(1, len(ranked) // 2)], ranked[-max(1, len(ranked) // 5) :]
    unloaded = median(ranked[: max(1, len(ranked) // 10)])
    correlation = spearman([float(count) for count in in_flight], durations)
    return Knee(
        correlation=correlation,
        is_significant=spearman_is_significant(correlation, len(calls)),
        ratio=median(top) / max(1e-9, median(lower)),
        unloaded=unloaded,
        wait_share=max(0.0, 1 - unloaded / max(1e-9, sum(durations) / len(durations))),
    )


def utilisation(calls: Sequence[Operation], waits: Sequence[Operation], servers: int) -> float:
    """Return the busy share of the servers between the first arrival and the last departure (0..1)."""
    window_ns = max(call.end_ns for call in calls) - min(call.start_ns for call in calls)
    if servers == 1 and not waits:
        return busy_ns(calls) / max(1, window_ns)
    work_ns = sum(call.duration_ns for call in calls) - sum(wait.duration_ns for wait in waits)
    return max(0.0, work_ns / (servers * max(1, window_ns)))


def wait_ratio_with_one_more(servers: int, utilisation: float) -> float:
    """Return the mean wait with one server more over the present one (0..1).

    Source: Sakasegawa (1977), as in Hopp and Spearman, "Factory Physics": the wait in a queue with m servers grows
    with rho ** (sqrt(2 * (m + 1)) - 1) / (m * (1 - rho)); variability cancels.
    """

    def wait(count: int, rho: float) -> float:
        return float(rho ** (math.sqrt(2 * (count + 1)) - 1)) / (count * (1 - rho))

    rho = min(_MAX_UTILISATION, max(0.01, utilisation))
    return wait(servers + 1, rho * servers / (servers + 1)) / wait(servers, rho)


@dataclass(frozen=True, slots=True)
class Request:
    """One use of what is queued for.

    Attributes:
        operation: The wait, or the call that holds it where waits are not recorded.
        arrival_ns: When it was asked for (nanoseconds since the Unix epoch).
        service_ns: How long it took once it was served (nanoseconds).
        wait_ns: How long it waited before (nanoseconds).
    """

    operation: Operation
    arrival_ns: int
    service_ns: int
    wait_ns: int


def requests_of(waits: Sequence[Operation], calls: Sequence[Operation]) -> list[Request] | None:
    """Match waits with the calls that they end in; None when one in ten has none.

    Calls of a kind and name that others waited for, and that did not wait, are requests too: they keep servers busy.
    """
    by_run: dict[str, list[Operation]] = {}
    for call in sorted(calls, key=lambda each: (each.start_ns, each.span_id)):
        by_run.setdefault(call.trace_id, []).append(call)
    served: dict[tuple[str, str], Request] = {}
    for wait in waits:
        after = _served_after(wait, by_run.get(wait.trace_id, ()))
        if after is not None:
            request = Request(wait, wait.start_ns, after.duration_ns, wait.duration_ns)
            served[after.trace_id, after.span_id] = request
    if len(served) < 0.9 * len(waits):
        return None
    kinds = {(call.kind, call.name) for call in calls if (call.trace_id, call.span_id) in served}
    others = (
        Request(call, call.start_ns, call.duration_ns, 0)
        for call in calls
        if (call.kind, call.name) in kinds and (call.trace_id, call.span_id) not in served
    )
    return [*served.values(), *others]


def _served_after(wait: Operation, calls: Sequence[Operation]) -> Operation | None:
    """Return the sibling that starts as a wait ends, give or take what scheduling costs."""
    tolerance_ns = 50_000_000
    siblings = (call for call in calls if call.parent_id == wait.parent_id and call.span_id != wait.span_id)
    return next((call for call in siblings if abs(call.start_ns - wait.end_ns) <= tolerance_ns), None)


def with_one_more(requests: Sequence[Request]) -> tuple[int, Sequence[int]] | None:
    """Return how many servers explain the waits best, and each wait with one more (nanoseconds).

    None when no number of servers does: then it is no queue of the requests known.
    """
    arrivals = [each.arrival_ns for each in requests]
    services = [each.service_ns for each in requests]
    observed_ns = sum(each.wait_ns for each in requests)
    if not observed_ns:
        return None

    def misfit(servers: int) -> float:
        return abs(math.log(max(1, sum(waits_ns(arrivals, services, servers))) / observed_ns))

    best = min(range(1, _MAX_SERVERS + 1), key=misfit)
    if misfit(best) > math.log(_REPLAY_TOLERANCE):
        return None
    return best, waits_ns(arrivals, services, best + 1)


def reconstructed(calls: Sequence[Operation]) -> tuple[int, list[Request]] | None:
    """Divide calls into wait and service as a first come, first served queue would have; return its servers too.

    Of m servers one is free for a call when all but m - 1 of those that came before have left. The fewest servers are
    taken with which no call ends before it could have begun; None when more than ``_MAX_SERVERS`` are needed.
    """
    in_order = sorted(calls, key=lambda each: (each.start_ns, each.trace_id, each.span_id))
    for servers in range(1, _MAX_SERVERS + 1):
        requests, impossible = _served_in_order(in_order, servers)
        if impossible <= _MAX_OVERTAKING_RATIO * len(in_order):
            return servers, requests
    return None


def _served_in_order(calls: Sequence[Operation], servers: int) -> tuple[list[Request], int]:
    """Return the requests, and how many of them would have ended before they began."""
    latest_ends: list[int] = []
    requests, impossible = [], 0
    for call in calls:
        start_ns = max(call.start_ns, latest_ends[0]) if len(latest_ends) == servers else call.start_ns
        impossible += start_ns > call.end_ns
        start_ns = min(start_ns, call.end_ns)
        requests.append(Request(call, call.start_ns, call.end_ns - start_ns, start_ns - call.start_ns))
        heapq.heappush(latest_ends, call.end_ns)
        if len(latest_ends) > servers:
            heapq.heappop(latest_ends)
    return requests, impossible
