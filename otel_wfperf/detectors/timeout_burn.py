"""Detector: calls that are given up after a fixed time, far beyond what they take when they succeed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from otel_wfperf.analysis.attempts import Request
from otel_wfperf.analysis.failures import Failure, error_class, failures, has_failed, says_timeout
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.margin import widened
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.requested import requests_by_subject
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import Change, Confidence, Finding, Operation, Remove, Replace, Saving, Severity, Subject

# Chosen: the values that people type and libraries come with: requests' examples, httpx 5 s, urllib3 and botocore 60 s,
# openai 600 s.
_ROUND_S: Final = (1, 2, 3, 5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 240, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutBurn:
    """Report calls whose failures all take the same long time: a limit, not work.

    The time has to be a ceiling that next to no call of the kind exceeds, and either the errors name a timeout or
    it is a round number of seconds. What a shorter limit would win is reckoned with the 99th percentile of the calls
    that succeed; where too few did, with giving up after the first timeout of a run. Requests of at least
    ``max_tries`` tries are left to `retry_storm`.

    Attributes:
        min_timeouts: Fewest failures at one value. Chosen: two may be of one length by chance.
        max_spread_ratio: Greatest distance of the durations from their median. Chosen: 20 ms at 1 s is what a busy
            event loop adds to a timer.
        min_timeout_ns: Shortest limit (nanoseconds). Chosen: quick failures are all alike, as they do nothing.
        min_share: Least share of the failures of that call, those shorter than the limit included. Chosen: half;
            among many failures of varied length some are close to each other by chance.
        max_longer_ratio: Share of the calls that may take longer than the limit. Chosen: one in fifty, as limits on
            each read let long answers through.
        min_successes: Fewest calls that succeed for a percentile of theirs. Chosen: the longest of fewer says little.
        limit_margin_ratio: How far the new limit may be from that percentile; widens the interval of the saving.
            Chosen: half, as the tail of few calls is not known, and people round up.
        max_tries: Tries of one request from which on it is a retry storm. Chosen: as there.
    """

    name: ClassVar[str] = "timeout_burn"
    min_timeouts: int = 3
    max_spread_ratio: float = 0.02
    min_timeout_ns: int = 900_000_000
    min_share: float = 0.5
    max_longer_ratio: float = 0.02
    min_successes: int = 5
    limit_margin_ratio: float = 0.5
    max_tries: int = 3

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each call or step."""
        found: dict[Subject, list[Failure]] = {}
        for execution in population.executions:
            left_alone = self._left_to_retry_storm(population, execution.trace_id)
            for failure in failures(execution):
                if left_alone.isdisjoint((failure.step.span_id, failure.operation.span_id)):
                    found.setdefault(subject_of(failure.step), []).append(failure)
        candidates = {subject: each for subject, each in found.items() if len(each) >= self.min_timeouts}
        if not candidates:
            return
        requests = population.once(requests_by_subject)
        for subject, failed in candidates.items():
            ok_ns = _successes_ns(requests.get(subject, ()))
            timeouts = self._timeouts(failed, ok_ns)
            new_ns = _percentile_99(ok_ns) if len(ok_ns) >= self.min_successes else None
            impact = replayed(population, _changes(timeouts, new_ns)) if timeouts else None
            if impact is not None:
                impact = dataclasses.replace(impact, saving=self._with_margin(impact, timeouts, new_ns))
                yield _finding(
                    self.name, population, subject, timeouts=timeouts, ok_ns=ok_ns, new_ns=new_ns, impact=impact
                )

    def _left_to_retry_storm(self, population: Population, trace_id: str) -> frozenset[str]:
        many = [each for each in population.retried[trace_id] if each.tries >= self.max_tries]
        return frozenset(attempt.span_id for each in many for attempt in each.attempts)

    def _with_margin(self, impact: Impact, timeouts: Sequence[Failure], new_ns: int | None) -> Saving:
        per_run = len(timeouts) / impact.runs
        return widened(impact.saving, self.limit_margin_ratio * (new_ns or 0) * per_run / 1e9)

    def _timeouts(self, failed: Sequence[Failure], ok_ns: Sequence[int]) -> list[Failure]:
        """Return the largest group of failures of one length, if it is that of a limit."""
        ordered = sorted(failed, key=lambda each: each.operation.duration_ns)
        lengths = [each.operation.duration_ns for each in ordered]
        best, end = (0, 0), 0
        for start, shortest in enumerate(lengths):
            end = max(end, start)
            while end < len(lengths) and lengths[end] <= shortest * (1 + 2 * self.max_spread_ratio):
                end += 1
            if shortest >= self.min_timeout_ns and end - start > best[1] - best[0]:
                best = start, end
        group = ordered[best[0] : best[1]]
        if len(group) < max(self.min_timeouts, self.min_share * len(failed)):
            return []
        limit_ns = median([each.operation.duration_ns for each in group])
        longest_ns = limit_ns * (1 + self.max_spread_ratio)
        longer = sum(length > longest_ns for length in (*lengths, *ok_ns))
        if longer > self.max_longer_ratio * (len(lengths) + len(ok_ns)):
            return []
        named = 2 * sum(says_timeout(each.operation) for each in group) > len(group)
        return group if named or self._is_round(limit_ns) else []

    def _is_round(self, limit_ns: float) -> bool:
        return any(abs(limit_ns / 1e9 / value - 1) <= self.max_spread_ratio for value in _ROUND_S)


def _successes_ns(requests: Sequence[Request]) -> list[int]:
    """List the durations (nanoseconds) of the calls that succeeded."""
    last_tries = (request.attempts[-1] for request in requests)
    return [last.duration_ns for last in last_tries if last.ended and not has_failed(last)]


def _percentile_99(values: Sequence[int]) -> int:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _changes(timeouts: Sequence[Failure], new_ns: int | None) -> Mapping[str, list[Change]]:
    """Give up sooner, by trace id: after ``new_ns``, or at once after the first time."""
    by_run: dict[str, list[Operation]] = {}
    for each in sorted(timeouts, key=lambda each: each.step.start_ns):
        by_run.setdefault(each.step.trace_id, []).append(each.step)
    changes: dict[str, list[Change]] = {}
    for trace_id, steps in by_run.items():
        if new_ns is None:
            changes[trace_id] = [Remove(frozenset(each.span_id for each in steps[1:]))]
        else:
            shorter = frozenset(each.span_id for each in steps if each.duration_ns > new_ns)
            changes[trace_id] = [Replace(shorter, new_ns)]
    return changes


def _finding(
    detector: str,
    population: Population,
    subject: Subject,
    *,
    timeouts: Sequence[Failure],
    ok_ns: Sequence[int],
    new_ns: int | None,
    impact: Impact,
) -> Finding:
    limit_s = median([each.operation.duration_ns for each in timeouts]) / 1e9
    places = {place.name for each in timeouts if (place := place_of(each.step)) is not None}
    few = new_ns is None or len(population.executions) < MIN_RUNS
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, Severity.HIGH if few else Severity.CRITICAL),
        confidence=Confidence.INDICATIVE if new_ns is None else Confidence.OBSERVED,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(each.operation for each in timeouts),
        summary=_summary(subject, count=len(timeouts), limit_s=limit_s, usual_ns=median(ok_ns) if ok_ns else None),
        evidence={
            "timeouts": len(timeouts),
            "timeout_s": round(limit_s, 3),
            "calls": len(timeouts) + len(ok_ns),
            "successes": len(ok_ns),
            "success_median_s": round(median(ok_ns) / 1e9, 4) if ok_ns else None,
            "success_p99_s": None if new_ns is None else round(new_ns / 1e9, 4),
            "errors": tuple(sorted({error_class(each.operation) for each in timeouts})[:5]),
            "members": tuple(sorted({each.operation.name for each in timeouts})),
            "places": tuple(sorted(places)),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=_recommendation(subject, new_ns),
        changes=impact.changes,
    )


def _summary(subject: Subject, *, count: int, limit_s: float, usual_ns: float | None) -> str:
    usual = "" if usual_ns is None else f"; it succeeds in {usual_ns / 1e9:.2g} s"
    return f"{subject.name!r} is given up after {limit_s:.3g} s in {count} calls{usual}"


def _recommendation(subject: Subject, new_ns: int | None) -> str:
    if new_ns is None:
        return f"Stop calling {subject.name!r} in a run once it has timed out, and shorten its timeout."
    return (
        f"Shorten the timeout of {subject.name!r} to about {new_ns / 1e9:.2g} s, or send a second request when the "
        "first one takes longer than usual."
    )
