"""Detector: calls that are tried again and again before they succeed, or fail for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final

from otel_wfperf.analysis.attempts import Identity, Request
from otel_wfperf.analysis.failures import error_class
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.requested import requests_by_subject
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import Change, Confidence, Execution, Finding, Move, Operation, Remove, Severity, Subject
from otel_wfperf.model.finding import EvidenceValue

_CONFIDENCE: Final = {
    Identity.TASK: Confidence.PROVEN,
    Identity.INPUT: Confidence.OBSERVED,
    Identity.NUMBER: Confidence.OBSERVED,
    Identity.ROUTE: Confidence.ASSUMED,
    Identity.ORDER: Confidence.ASSUMED,
}
_FEW_FAILURES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStorm:
    """Report requests of which the first tries fail, several times over.

    Tries of one thing are equal in task, input, or host and route. Left alone are tries whose input changed, and tries
    between which a model answered: those are self-correction, or a loop of the model. Cancellation by the caller
    and "not found" are no failures. A request within a try of another belongs to the finding about the outer one. Two
    failures are worth no more than `low`, unless layers multiply them or the server asked for a longer pause.

    Attributes:
        min_attempts: Fewest tries of one request. Source: Google SRE book, "Addressing Cascading Failures": at most
            three tries a request.
        min_attempts_per_request: Fewest tries on average, when over all runs there are
        min_requests: this many requests. Source: the same: a budget of 10 % retries; chosen: five times that.
        min_tries_of_layers: Fewest tries where a request is tried again whose tries are tried again inside. Chosen: two
            layers of two tries each.
        max_growth_ratio: Pauses that grow less than this from try to try do not back off. Chosen: half of the usual
            growth of 2 (AWS Architecture Blog, "Exponential Backoff And Jitter").
    """

    name: ClassVar[str] = "retry_storm"
    min_attempts: int = 3
    min_attempts_per_request: float = 1.5
    min_requests: int = 20
    min_tries_of_layers: int = 4
    max_growth_ratio: float = 1.5

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each call or step."""
        retried: dict[Subject, list[_Case]] = {}
        for execution in population.executions:
            for case in _cases(execution, population.retried[execution.trace_id]):
                retried.setdefault(subject_of(case.request.first), []).append(case)
        if not retried:
            return
        all_requests = population.once(requests_by_subject)
        for subject, cases in retried.items():
            requests = len(all_requests[subject])
            tries = sum(each.tries for each in all_requests[subject])
            often = requests >= self.min_requests and tries >= self.min_attempts_per_request * requests
            worse = [case for case in cases if often or self._is_storm(case)]
            changes = _changes(worse)
            impact = replayed(population, changes) if changes else None
            if impact is not None:
                yield self._finding(population, subject, cases=worse, impact=impact, per_request=tries / requests)

    def _is_storm(self, case: _Case) -> bool:
        return case.request.tries >= self.min_attempts or self._multiplies(case) or case.is_impatient

    def _multiplies(self, case: _Case) -> bool:
        return case.inner_tries >= self.min_tries_of_layers

    def _finding(
        self, population: Population, subject: Subject, *, cases: Sequence[_Case], impact: Impact, per_request: float
    ) -> Finding:
        made_good = sum(case.request.is_made_good for case in cases)
        layers = max(case.layers for case in cases)
        impatient = any(case.is_impatient for case in cases)
        severe = impatient or any(len(case.request.failed) > _FEW_FAILURES or self._multiplies(case) for case in cases)
        confidence = max((_CONFIDENCE[case.request.identity] for case in cases), key=tuple(Confidence).index)
        limit = Severity.MEDIUM if confidence is Confidence.ASSUMED and not impatient else Severity.CRITICAL
        growth = _growth_ratio(cases)
        fixed = growth is not None and growth < self.max_growth_ratio
        return Finding(
            detector=self.name,
            severity=at_most(impact.severity, limit if severe else Severity.LOW),
            confidence=confidence,
            workflow=population.workflow,
            subject=subject,
            trace_ids=impact.trace_ids,
            span_ids=examples(each for case in cases for each in case.request.failed),
            summary=_summary(
                subject,
                tries=round(median([case.request.tries for case in cases])),
                inner_tries=round(median([case.inner_tries for case in cases])) if layers > 1 else 0,
                made_good=2 * made_good > len(cases),
                lost_s=impact.saving.median_s,
            ),
            evidence=_evidence(cases)
            | {
                "attempts_per_request": round(per_request, 2),
                "runs": len(population.executions),
                "runs_affected": impact.runs,
            },
            saving=impact.saving,
            recommendation=_recommendation(subject, layers=layers, impatient=impatient, fixed=fixed),
            changes=impact.changes,
        )


@dataclass(frozen=True, slots=True)
class _Case:
    """A request that was tried more than once, with what was tried again inside its tries.

    Attributes:
        inner: Requests within its tries that were tried more than once.
        layers: How many requests lie within each other (count).
        inner_tries: Tries of the innermost layer (count).
    """

    execution: Execution
    request: Request
    inner: tuple[Request, ...] = ()
    layers: int = 1
    inner_tries: int = 0

    @property
    def members(self) -> tuple[Operation, ...]:
        return tuple(dict.fromkeys([self.request.first, *(each.first for each in self.inner)]))

    @property
    def pause_ns(self) -> int:
        """Time between the tries (nanoseconds)."""
        return sum(later.start_ns - earlier.end_ns for earlier, later in pairwise(self.request.attempts))

    @property
    def growth_ratio(self) -> float | None:
        """How many times longer a pause is than the one before, at the median; None with fewer than two."""
        pauses = [later.start_ns - earlier.end_ns for earlier, later in pairwise(self.request.attempts)]
        ratios = [later / max(1, earlier) for earlier, later in pairwise(pauses)]
        return median(ratios) if ratios else None

    @property
    def is_impatient(self) -> bool:
        """Whether a try came before the time that the server had asked to wait for."""
        return any(_ignores_server(self.execution, request) for request in (self.request, *self.inner))


def _ignores_server(execution: Execution, request: Request) -> bool:
    for earlier, later in pairwise(request.attempts):
        asked = [each for each in (earlier, *execution.descendants(earlier.span_id)) if each.retry_after_s is not None]
        last = max(asked, key=lambda each: each.end_ns, default=None)
        # Chosen: clocks and rounding to whole seconds make a pause seem up to a tenth shorter.
        if last is not None and later.start_ns - last.end_ns < 0.9e9 * (last.retry_after_s or 0):
            return True
    return False


def _cases(execution: Execution, again: Sequence[Request]) -> list[_Case]:
    """Put the requests that were tried again into those that they lie within."""
    if not again:
        return []
    own = {attempt.span_id: request for request in again for attempt in request.attempts}
    around: dict[str, Request] = {}
    for operation in execution.descendants(execution.root_id):
        parent_id = operation.parent_id or execution.root_id
        enclosing = own.get(parent_id) or around.get(parent_id)
        if enclosing is not None:
            around[operation.span_id] = enclosing
    below: dict[int, list[Request]] = {}
    outermost = []
    for request in again:
        enclosing = around.get(request.first.span_id)
        if enclosing is None:
            outermost.append(request)
        else:
            below.setdefault(id(enclosing), []).append(request)
    return [_case(execution, request, below) for request in outermost]


def _case(execution: Execution, request: Request, below: Mapping[int, Sequence[Request]]) -> _Case:
    """Walk down the layers of one request; what lies in the last try of all counts as well."""
    inner: list[Request] = []
    layer, layers, tries = list(below.get(id(request), ())), 1, 0
    while layer:
        inner += layer
        layers += 1
        tries = sum(each.tries for each in layer)
        layer = [deeper for each in layer for deeper in below.get(id(each), ())]
    return _Case(execution, request, tuple(inner), layers, tries)


def _changes(cases: Sequence[_Case]) -> Mapping[str, tuple[Change, ...]]:
    """Let the last try of each request be the first, by trace id."""
    changes: dict[str, tuple[Change, ...]] = {}
    for case in cases:
        trace_id = case.execution.trace_id
        changes[trace_id] = changes.get(trace_id, ()) + _once(case.request)
        inner = [each for each in case.inner if each.first.parent_id in _last_try(case)]
        changes[trace_id] += tuple(change for each in inner for change in _once(each))
    return changes


def _last_try(case: _Case) -> frozenset[str]:
    """Return the span ids of the try that stays, and of what is below it."""
    last = case.request.attempts[-1]
    return frozenset({last.span_id, *(each.span_id for each in case.execution.descendants(last.span_id))})


def _once(request: Request) -> tuple[Change, ...]:
    """Remove all tries but the last, and the pauses. A call that failed for good is made once."""
    first = request.first
    removed = request.attempts if request.answered_outside else request.attempts[:-1]
    gone = frozenset(each.span_id for each in (*removed, *request.waits))
    moved = (*request.attempts[1:], *request.waits)
    return (Remove(gone), *(Move(each.span_id, 0, after=first.span_id) for each in moved))


def _growth_ratio(cases: Sequence[_Case]) -> float | None:
    found = [growth for case in cases if (growth := case.growth_ratio) is not None]
    return median(found) if found else None


def _evidence(cases: Sequence[_Case]) -> dict[str, EvidenceValue]:
    failed = [each for case in cases for each in case.request.failed]
    failed_s = median([sum(each.duration_ns for each in case.request.failed) for case in cases]) / 1e9
    growth = _growth_ratio(cases)
    return {
        "attempts": round(median([case.request.tries for case in cases])),
        "failed_attempts": round(median([len(case.request.failed) for case in cases])),
        "requests_retried": len(cases),
        "requests_made_good": sum(case.request.is_made_good for case in cases),
        "failed_s": round(failed_s, 4),
        "pauses_s": round(median([case.pause_ns for case in cases]) / 1e9, 4),
        "pause_growth_ratio": None if growth is None else round(growth, 2),
        "layers": max(case.layers for case in cases),
        "tries_of_innermost_layer": max(case.inner_tries for case in cases),
        "retry_after_ignored": sum(case.is_impatient for case in cases),
        "errors": tuple(sorted({error_class(each) for each in failed})[:5]),
        "attempts_known_by": max((case.request.identity for case in cases), key=tuple(Identity).index).value,
        "members": tuple(sorted({each.name for case in cases for each in case.members})),
        "places": tuple(sorted({place.name for each in failed if (place := place_of(each)) is not None})),
    }


def _summary(subject: Subject, *, tries: int, inner_tries: int, made_good: bool, lost_s: float) -> str:
    inside = f", with {inner_tries} tries inside," if inner_tries else ""
    outcome = "before it succeeds" if made_good else "and fails all the same"
    lost = f"failed tries and pauses cost {lost_s:.2g} s a run"
    return f"{subject.name!r} is tried {tries} times{inside} {outcome}; {lost}"


def _recommendation(subject: Subject, *, layers: int, impatient: bool, fixed: bool) -> str:
    if layers > 1:
        return f"Let one of the {layers} layers around {subject.name!r} retry, and let the others pass the failure on."
    if impatient:
        return f"Wait before the next try of {subject.name!r} as long as the server asks for (Retry-After)."
    if fixed:
        return (
            f"Find out why {subject.name!r} fails, and give its retries a growing pause with jitter and a budget of "
            "10 % of the calls."
        )
    return f"Find out why {subject.name!r} fails, and limit its retries to 10 % of the calls."
