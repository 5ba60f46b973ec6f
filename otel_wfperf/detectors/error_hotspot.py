"""Detector: the call or step that fails far more often than the rest of the workflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from otel_wfperf.analysis.attempts import Request
from otel_wfperf.analysis.failures import Failure, error_class, failures, says_timeout
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import wilson_lower
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.requested import requests_by_subject
from otel_wfperf.detectors.severity import MAX_TRACE_IDS, MIN_RUNS, at_most, examples, replayed, severity_of
from otel_wfperf.model import Change, Confidence, Execution, Finding, Remove, Severity, Subject

_NANOSECONDS: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorHotspot:
    """Report calls and steps where failures begin, when they fail often or end several runs.

    A failure counts where it began, once for each request: one that another try made good is none (`retry_storm` is
    about those), nor is cancellation by the caller, or "not found" (404, 410). Severity is the share of all time
    that is lost: runs that failed there count with all that they had done, others with the time of the failed calls.

    Attributes:
        min_calls: Fewest calls over all runs. Chosen: with fewer, three failures are as likely chance as a fault.
        min_error_ratio: Share of the calls that fail, at the lower end of the 95 % interval. Chosen: a budget of one
            failure in twenty is missed by more than chance.
        min_ratio_to_rest: Least ratio of the share to that of the rest of the workflow. Chosen: where all calls fail
            alike, the cause is not this one.
        min_runs_failed: Runs that failed there, however many calls; their share of the runs has to be as sure. Chosen:
            one is an accident, two a coincidence.
    """

    name: ClassVar[str] = "error_hotspot"
    min_calls: int = 20
    min_error_ratio: float = 0.05
    min_ratio_to_rest: float = 2.0
    min_runs_failed: int = 3

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each call or step."""
        spots: dict[Subject, _Spot] = {}
        for execution in population.executions:
            for failure in failures(execution, recovered=made_good(population.retried[execution.trace_id])):
                spots.setdefault(subject_of(failure.step), _Spot()).add(execution, failure)
        if not spots:
            return
        requests = population.once(requests_by_subject)
        total = sum(map(len, requests.values()))
        errors = sum(spot.errors for spot in spots.values())
        for subject, spot in spots.items():
            calls = len(requests.get(subject, ()))
            counted = _Rates(
                calls=max(calls, spot.errors),
                errors=spot.errors,
                other_calls=total - calls,
                other_errors=errors - spot.errors,
            )
            fails_often = counted.calls >= self.min_calls and self._is_hot(counted)
            if fails_often or self._ends_runs(spot, population):
                yield self._finding(population, subject, spot=spot, rates=counted)

    def _is_hot(self, rates: _Rates) -> bool:
        return rates.low_ratio > self.min_error_ratio and rates.ratio > self.min_ratio_to_rest * rates.other_ratio

    def _ends_runs(self, spot: _Spot, population: Population) -> bool:
        runs = len(population.executions)
        share = wilson_lower(len(spot.ended), runs)
        return len(spot.ended) >= self.min_runs_failed and share > self.min_error_ratio

    def _finding(self, population: Population, subject: Subject, *, spot: _Spot, rates: _Rates) -> Finding:
        impact = replayed(population, spot.changes())
        lost = spot.lost_ns(impact.saving.median_s if impact else 0.0)
        few = len(population.executions) < MIN_RUNS and rates.calls < self.min_calls
        classes = _by_frequency(error_class(each.operation) for each in spot.failures)
        places = {place.name for each in spot.failures if (place := place_of(each.step)) is not None}
        severity = severity_of(lost / max(1, sum(each.duration_ns for each in population.executions)))
        return Finding(
            detector=self.name,
            severity=at_most(severity, Severity.MEDIUM if few else Severity.CRITICAL),
            confidence=Confidence.INDICATIVE if few else Confidence.OBSERVED,
            workflow=population.workflow,
            subject=subject,
            trace_ids=tuple(spot.runs)[-MAX_TRACE_IDS:],
            span_ids=examples(each.operation for each in spot.failures),
            summary=_summary(subject, rates=rates, spot=spot, error=classes[0]),
            evidence={
                "calls": rates.calls,
                "errors": rates.errors,
                "error_ratio": round(rates.ratio, 4),
                "error_ratio_at_least": round(rates.low_ratio, 4),
                "error_ratio_of_the_rest": round(rates.other_ratio, 4),
                "error_classes": classes[:5],
                "runs_failed": len(spot.ended),
                "failed_calls_s": round(sum(each.operation.duration_ns for each in spot.failures) / _NANOSECONDS, 4),
                "lost_s": round(lost / _NANOSECONDS, 4),
                "members": tuple(sorted({each.operation.name for each in spot.failures})),
                "places": tuple(sorted(places)),
                "runs": len(population.executions),
                "runs_affected": len(spot.runs),
            },
            saving=impact.saving if impact else None,
            recommendation=_recommendation(subject, spot.failures, classes[0]),
            changes=impact.changes if impact else {},
        )


@dataclass(slots=True)
class _Spot:
    """The failures of one subject over all runs."""

    failures: list[Failure] = field(default_factory=list)
    runs: dict[str, list[Failure]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)

    def add(self, execution: Execution, failure: Failure) -> None:
        self.failures.append(failure)
        self.runs.setdefault(execution.trace_id, []).append(failure)
        if failure.ends_run:
            self.ended[execution.trace_id] = failure.operation.end_ns - execution.start_ns

    @property
    def errors(self) -> int:
        return len({each.step.span_id + each.step.trace_id for each in self.failures})

    def changes(self) -> Mapping[str, tuple[Change, ...]]:
        """Let the calls that failed take no time, by trace id; the run itself is not a call."""
        return {
            trace_id: (Remove(frozenset(each.step.span_id for each in of_run if each.step.parent_id is not None)),)
            for trace_id, of_run in self.runs.items()
        }

    def lost_ns(self, saved_s: float) -> float:
        """Sum what was done for nothing: all until the failure where a run failed, the calls where it went on."""
        went_on = len(self.runs) - len(self.ended)
        return sum(self.ended.values()) + went_on * saved_s * _NANOSECONDS


@dataclass(frozen=True, slots=True)
class _Rates:
    """How often a subject fails, and the rest of the workflow."""

    calls: int
    errors: int
    other_calls: int
    other_errors: int

    @property
    def ratio(self) -> float:
        return self.errors / self.calls

    @property
    def low_ratio(self) -> float:
        return wilson_lower(self.errors, self.calls)

    @property
    def other_ratio(self) -> float:
        return self.other_errors / max(1, self.other_calls)


def made_good(requests: Sequence[Request]) -> frozenset[str]:
    """Return the tries that failed before another one of the same request: their outcome is that of the last."""
    gone: set[str] = set()
    for request in requests:
        if request.tries > 1:
            tries = request.attempts if request.is_made_good else request.attempts[:-1]
            gone.update(each.span_id for each in tries)
    return frozenset(gone)


def _by_frequency(names: Iterator[str]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def _summary(subject: Subject, *, rates: _Rates, spot: _Spot, error: str) -> str:
    ends = f"; {len(spot.ended)} runs failed there" if spot.ended else ""
    return f"{subject.name!r} fails in {rates.errors} of {rates.calls} calls, mostly with {error}{ends}"


def _recommendation(subject: Subject, failed: Sequence[Failure], error: str) -> str:
    if 2 * sum(says_timeout(each.operation) for each in failed) > len(failed):
        return f"Find out why {subject.name!r} does not answer in time, and give it a fallback."
    return f"Find out why {subject.name!r} fails with {error}, and give it a fallback for when it does."
