"""Detector: calls that set up a connection each time, or wait for one of a small pool."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.place import place_of
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Move,
    Operation,
    Remove,
    Severity,
    Shorten,
    Subject,
    SubjectKind,
)
from otel_wfperf.model.finding import EvidenceValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSetup:
    """Report services that are connected to anew for call after call, and calls that wait for a free connection.

    Rests on what clients record about their connections; where nothing is recorded, nothing is said. A connection is
    expected to be there when the process has called the service shortly before and not all of the connections that it
    ever had at once are in use. So the first call of a process is never judged, nor the first of a burst, nor a call
    after a pause in which the service may have hung up. Processes that are not told apart count as new in each run.

    Attributes:
        max_idle_ns: Longest pause after which the connection should still be there (nanoseconds). Source: 5 calls a
            minute, as the rule for reuse that is expected; of the common clients httpx keeps idle connections
            shortest, 5 s.
        min_calls: Fewest calls of which reuse is expected. Chosen: as many as a minute of such use has.
        min_share_of_calls: Least share of them that set up a connection at a cost (0..1). Chosen: a pool that renews
            its connections now and then stays below.
        min_setup_ns: Set-up that is a cost (nanoseconds). Chosen: twice a TLS handshake within a continent.
        min_setup_ratio: The same, over the time of the call (0..1). Chosen: a fifth is worth a change.
        min_pool_wait_ns: Wait for a free connection that counts (nanoseconds). Source: Sentry's HTTP/1.1 overhead.
        min_pool_waits: Fewest such waits. Source: the same.
    """

    name: ClassVar[str] = "connection_setup"
    max_idle_ns: int = 12_000_000_000
    min_calls: int = 5
    min_share_of_calls: float = 0.30
    min_setup_ns: int = 100_000_000
    min_setup_ratio: float = 0.20
    min_pool_wait_ns: int = 500_000_000
    min_pool_waits: int = 6

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each service that is connected to anew, and one for each pool that is too small."""
        for peer, calls in _calls_by_peer(population).items():
            yield from self._from_setup(population, peer, calls)
            yield from self._from_waits(population, peer, calls)

    def _from_setup(self, population: Population, peer: str, calls: Sequence[_Call]) -> Iterator[Finding]:
        judged = [call for call in self._expected_to_reuse(calls) if call.setup_ns is not None]
        costly = [call for call in judged if self._is_costly(call)]
        if len(judged) < self.min_calls or len(costly) < self.min_share_of_calls * len(judged):
            return
        impact = replayed(population, _without((call, call.setup_ns or 0) for call in judged))
        if impact is None:
            return
        setup_s = median([call.setup_ns or 0 for call in costly]) / 1e9
        yield _finding(
            self.name,
            population,
            Subject(kind=SubjectKind.TOOL, name=peer),
            calls=costly,
            impact=impact,
            confidence=Confidence.PROVEN,
            summary=(
                f"{len(costly)} of {len(judged)} calls of {peer!r} that could reuse a connection set up a new one, "
                f"{setup_s:.2g} s each"
            ),
            recommendation=(
                f"Share one client for {peer!r} between calls and keep its connections alive, instead of making a "
                "client for each call."
            ),
            evidence={
                "calls": len(judged),
                "calls_with_setup": len(costly),
                "setup_s": round(setup_s, 4),
                "setup_share_ratio": round(median([call.setup_ratio for call in costly]), 4),
            },
        )

    def _from_waits(self, population: Population, peer: str, calls: Sequence[_Call]) -> Iterator[Finding]:
        waiting = [call for call in calls if call.wait_ns > self.min_pool_wait_ns]
        together = _in_one_queue(waiting)
        if len(together) < self.min_pool_waits:
            return
        impact = replayed(population, _without((call, call.wait_ns) for call in together))
        if impact is None:
            return
        wait_s = median([call.wait_ns for call in together]) / 1e9
        yield _finding(
            self.name,
            population,
            Subject(kind=SubjectKind.RESOURCE, name=f"connections to {peer}"),
            calls=together,
            impact=impact,
            confidence=Confidence.OBSERVED,
            summary=f"{len(together)} calls of {peer!r} wait {wait_s:.2g} s each for a free connection",
            recommendation=(
                f"Raise the connection limit of the client for {peer!r}, or use HTTP/2; lower the number of calls at "
                "once if the limit is there to protect the service."
            ),
            evidence={"calls": len(calls), "waits": len(together), "wait_s": round(wait_s, 4)},
        )

    def _expected_to_reuse(self, calls: Sequence[_Call]) -> Iterator[_Call]:
        """Yield the calls at whose start an idle connection should have been there."""
        by_process: dict[str, list[_Call]] = {}
        for call in calls:
            by_process.setdefault(call.process, []).append(call)
        for found in by_process.values():
            found.sort(key=lambda call: (call.whole.start_ns, call.whole.span_id))
            ends_ns = sorted(call.whole.end_ns for call in found)
            opened, last_end_ns = 0, None
            for at, call in enumerate(found):
                # Of calls that start at one moment, too, each needs a connection.
                busy = max(0, at - bisect_right(ends_ns, call.whole.start_ns))
                recent = last_end_ns is not None and call.whole.start_ns - last_end_ns <= self.max_idle_ns
                opened = opened if recent else 0
                if busy < opened:
                    yield call
                opened = max(opened, busy + 1)
                last_end_ns = max(last_end_ns or 0, call.whole.end_ns)

    def _is_costly(self, call: _Call) -> bool:
        setup_ns = call.setup_ns or 0
        return setup_ns > 0 and (setup_ns >= self.min_setup_ns or call.setup_ratio >= self.min_setup_ratio)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a service.

    Attributes:
        operation: What recorded the connection.
        whole: The call itself; the operation around it, where the span is only about the connection.
    """

    execution: Execution
    operation: Operation
    whole: Operation

    @property
    def process(self) -> str:
        """Who called: a host without an instance may be many processes, of which a run has its own."""
        host = self.operation.host
        is_known = "/" in host and not host.endswith("/")
        return host if is_known else f"{self.operation.trace_id}/{host}"

    @property
    def setup_ns(self) -> int | None:
        setup_s = self.operation.connection_setup_s
        return None if setup_s is None else min(self.operation.duration_ns, round(setup_s * 1e9))

    @property
    def setup_ratio(self) -> float:
        return (self.setup_ns or 0) / max(1, self.whole.duration_ns)

    @property
    def wait_ns(self) -> int:
        return min(self.operation.duration_ns, round((self.operation.connection_wait_s or 0.0) * 1e9))


def _calls_by_peer(population: Population) -> Mapping[str, list[_Call]]:
    found: dict[str, list[_Call]] = {}
    for execution in population.executions:
        for each in execution.operations:
            if (each.connection_setup_s is None and each.connection_wait_s is None) or not each.ended:
                continue
            whole = _call_around(execution, each)
            peer = each.peer or whole.peer or each.model or each.name
            found.setdefault(peer, []).append(_Call(execution, each, whole))
    return found


def _call_around(execution: Execution, operation: Operation) -> Operation:
    """Return the call that a span belongs to which is about nothing but the connection."""
    spent_s = (operation.connection_setup_s or 0.0) + (operation.connection_wait_s or 0.0)
    parent = execution.by_id.get(operation.parent_id or "")
    is_part = operation.outside and round(spent_s * 1e9) >= operation.duration_ns
    return parent if is_part and parent is not None and parent.outside else operation


def _in_one_queue(waiting: Sequence[_Call]) -> list[_Call]:
    """Return the waiting calls that overlap another waiting call of their process."""
    by_process: dict[str, list[_Call]] = {}
    for call in waiting:
        by_process.setdefault(call.process, []).append(call)
    found: list[_Call] = []
    for calls in by_process.values():
        calls.sort(key=lambda call: (call.operation.start_ns, call.operation.span_id))
        reached_ns = 0
        for at, call in enumerate(calls):
            following = calls[at + 1].operation.start_ns if at + 1 < len(calls) else None
            if call.operation.start_ns < reached_ns or (following is not None and following < call.operation.end_ns):
                found.append(call)
            reached_ns = max(reached_ns, call.operation.end_ns)
    return found


def _without(spent: Iterable[tuple[_Call, int]]) -> Mapping[str, list[Change]]:
    """Return the changes of each run in which calls do not spend a time at their start (nanoseconds).

    What comes first below a call starts earlier by that time, and the rest follows; a call with nothing below it ends
    earlier.
    """
    found: dict[str, list[Change]] = {}
    for call, spent_ns in spent:
        if spent_ns <= 0:
            continue
        changes = found.setdefault(call.operation.trace_id, [])
        span_id, start_ns = call.operation.span_id, call.operation.start_ns
        inner = call.execution.children(span_id)
        if spent_ns >= call.operation.duration_ns:
            changes.append(Remove(frozenset({span_id})))
        elif inner:
            first_end_ns = min(each.end_ns for each in inner)
            first = (each for each in inner if each.start_ns <= first_end_ns)
            changes += [Move(each.span_id, max(0, each.start_ns - start_ns - spent_ns)) for each in first]
        else:
            changes.append(Shorten(frozenset({span_id}), spent_ns))
    return found


def _finding(
    detector: str,
    population: Population,
    subject: Subject,
    *,
    calls: Sequence[_Call],
    impact: Impact,
    confidence: Confidence,
    summary: str,
    recommendation: str,
    evidence: Mapping[str, EvidenceValue],
) -> Finding:
    operations = [call.operation for call in calls]
    places = {place.name for each in operations if (place := place_of(each)) is not None}
    few = len(population.executions) < MIN_RUNS
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, Severity.HIGH if few else Severity.CRITICAL),
        confidence=confidence,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(operations),
        summary=summary,
        evidence={
            **evidence,
            "places": tuple(sorted(places)),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=recommendation,
    )
