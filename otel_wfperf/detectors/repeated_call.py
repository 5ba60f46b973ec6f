"""Detector: the same call with the same answer, again and again."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar, TypeAlias

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.effects import changes_state, changes_with_time, share_a_noun
from otel_wfperf.detectors.lifetime import equal_ratio, keep, longest_lifetime_s, same_result
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import (
    CALLS,
    Advice,
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Remove,
    Severity,
    Subject,
)

_PAIR = 2
_DAY_NS = 86_400_000_000_000
_Input: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedCall:
    """Report calls of one tool or model with equal input and equal result, within one run or over many.

    Left alone are calls that failed or that a cache answered, calls between which something was changed, polling (a
    result differs), tools that by their name change something or answer differently each time, and model calls whose
    answers may differ. Model calls at a temperature that run side by side are samples taken on purpose. Results are
    compared by hash, and by their fragments where a hash is missing; over many runs they must be known, and nothing in
    the runs may change what the call is about.

    Over many runs a time to live is proposed: the longest of the usual ones with which the recorded calls would have
    been answered rightly.

    Attributes:
        min_calls: Fewest equal calls within a run. Source: Sentry's redundant agent tool calls.
        min_long_calls: Fewest equal calls, when each takes at least
        min_long_ns: this long (nanoseconds).
        max_gap_ns: Longest time between two of them (nanoseconds); a fresher answer may have been wanted later.
        min_daily_calls: Fewest equal calls within 24 hours, over many runs. Chosen: below, a cache is hardly ever hit.
        min_equal_ratio: Least share of calls with the result of the call before, over many runs, and of right answers
            of a cache (0..1). Chosen: one wrong answer in twenty is what an input that changes daily gives.
    """

    name: ClassVar[str] = "repeated_call"
    min_calls: int = 3
    min_long_calls: int = 2
    min_long_ns: int = 2_000_000_000
    max_gap_ns: int = 60_000_000_000
    min_daily_calls: int = 10
    min_equal_ratio: float = 0.95

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each tool or model: within a run or over many, whichever wins more."""
        within: dict[Subject, list[_Repetition]] = {}
        for execution in population.executions:
            for repetition in execution.once(_repetitions, self):
                within.setdefault(subject_of(repetition.calls[0]), []).append(repetition)
        over_runs = self._over_runs(population, _often_asked(population, self.min_daily_calls))
        for subject in (*within, *(each for each in over_runs if each not in within)):
            drafts = [_within_a_run(population, subject, within.get(subject, ()))]
            if subject in over_runs:
                drafts.append(over_runs[subject].draft(population, subject))
            worthwhile = [draft for draft in drafts if draft is not None]
            if worthwhile:
                best = max(worthwhile, key=lambda draft: draft.impact.share_ratio)
                yield best.finding(self.name, population, subject)

    def repetitions(self, execution: Execution) -> Iterator[_Repetition]:
        """Yield the groups of equal calls of one run, whatever time they take."""
        repeated = [calls for calls in execution.once(_cacheable_by_input).values() if len(calls) > 1]
        changes = _Changes.of(execution) if repeated else None
        for calls in repeated:
            for group in self._within_reach(calls, changes):
                if self._is_repeated(group):
                    yield _Repetition(tuple(group))

    def _within_reach(self, calls: Sequence[Operation], changes: _Changes | None) -> Iterator[list[Operation]]:
        """Divide equal calls where time passed or something was changed."""
        group = [calls[0]]
        for earlier, later in pairwise(calls):
            changed = changes is not None and changes.lie_between(earlier, later)
            if changed or later.start_ns - earlier.end_ns > self.max_gap_ns:
                yield group
                group = []
            group.append(later)
        yield group

    def _is_repeated(self, calls: Sequence[Operation]) -> bool:
        long_enough = len(calls) >= self.min_long_calls and all(call.duration_ns >= self.min_long_ns for call in calls)
        if not (len(calls) >= self.min_calls or long_enough) or not _results_agree(calls):
            return False
        return calls[0].kind is not OperationKind.LLM or _answers_are_fixed(calls)

    def _over_runs(
        self, population: Population, by_input: Mapping[_Input, Sequence[Operation]]
    ) -> Mapping[Subject, _OverRuns]:
        """Find what many runs ask alike."""
        found: dict[Subject, list[Sequence[Operation]]] = {}
        for same in by_input.values():
            calls = sorted(same, key=lambda call: (call.start_ns, call.span_id))
            if len(same) >= self.min_daily_calls and self._is_stable(calls):
                found.setdefault(subject_of(calls[0]), []).append(calls)
        changed = {name for each in population.executions for name in _changing_names(each)} if found else set()
        result = {}
        for subject, groups in found.items():
            limit = 1 - self.min_equal_ratio
            ttls = [longest_lifetime_s(calls, max_stale_ratio=limit) for calls in groups]
            kept = [(calls, ttl) for calls, ttl in zip(groups, ttls, strict=True) if ttl is not None]
            if kept and not any(share_a_noun(subject.name, name) for name in changed):
                result[subject] = _OverRuns([calls for calls, _ in kept], min(ttl for _, ttl in kept))
        return result

    def _is_stable(self, calls: Sequence[Operation]) -> bool:
        often = any(
            calls[at].start_ns - calls[at - self.min_daily_calls + 1].start_ns <= _DAY_NS
            for at in range(self.min_daily_calls - 1, len(calls))
        )
        runs = len({call.trace_id for call in calls})
        return often and runs >= MIN_RUNS and (equal_ratio(calls) or 0.0) >= self.min_equal_ratio


@dataclass(frozen=True, slots=True)
class _Repetition:
    """Equal calls of one run, in order."""

    calls: tuple[Operation, ...]

    @property
    def is_certain(self) -> bool:
        """Whether the results are known to be equal."""
        return same_result(self.calls[0], self.calls[1]) is True


@dataclass(frozen=True, slots=True)
class _Changes:
    """When something was changed in a run: starts, and the latest end up to each (nanoseconds since the Unix epoch)."""

    starts_ns: Sequence[int]
    latest_ends_ns: Sequence[int]

    @classmethod
    def of(cls, execution: Execution) -> _Changes:
        tools = execution.of_kind(OperationKind.TOOL)
        changes = [each for each in tools if each.error is None and changes_state(each.name)]
        ends = accumulate((max(each.end_ns, each.start_ns + 1) for each in changes), max)
        return cls([each.start_ns for each in changes], list(ends))

    def lie_between(self, earlier: Operation, later: Operation) -> bool:
        """Tell whether a change was under way after one call had begun and before another did."""
        before = bisect_left(self.starts_ns, later.start_ns)
        return before > 0 and self.latest_ends_ns[before - 1] > earlier.start_ns


def _changing_names(execution: Execution) -> Iterator[str]:
    for each in execution.of_kind(OperationKind.TOOL):
        if each.error is None and changes_state(each.name):
            yield each.name


def _cacheable_by_input(execution: Execution) -> Mapping[_Input, list[Operation]]:
    """Group the calls of a run that a cache could answer, in order of start."""
    found: dict[_Input, list[Operation]] = {}
    for call in execution.of_kind(*CALLS):
        if _may_be_cached(call):
            found.setdefault((call.service, call.kind, call.name, call.model, call.input_hash), []).append(call)
    return found


def _repetitions(execution: Execution, rule: RepeatedCall) -> Sequence[_Repetition]:
    return tuple(rule.repetitions(execution))


def _often_asked(population: Population, least: int) -> Mapping[_Input, list[Operation]]:
    """Group the calls of all runs whose input, of whatever they are calls of, occurs at least so often."""
    runs = [execution.once(_cacheable_by_input) for execution in population.executions]
    counts = Counter(call.input_hash for run in runs for calls in run.values() for call in calls)
    often = {input_hash for input_hash, count in counts.items() if count >= least}
    found: dict[_Input, list[Operation]] = {}
    for run in runs if often else ():
        for key, calls in run.items():
            if calls[0].input_hash in often:
                found.setdefault(key, []).extend(calls)
    return found


def _may_be_cached(call: Operation) -> bool:
    plain = call.error is None and call.ended and call.input_hash is not None and (call.attempt or 1) == 1
    if not plain or call.cached:
        return False
    return call.kind is OperationKind.LLM or not (changes_state(call.name) or changes_with_time(call.name))


def _results_agree(calls: Sequence[Operation]) -> bool:
    """Tell whether no result is known to differ; all are known, or none is."""
    verdicts = {same_result(calls[0], call) for call in calls[1:]}
    return verdicts == {True} or (verdicts == {None} and all(call.output_hash is None for call in calls))


def _answers_are_fixed(calls: Sequence[Operation]) -> bool:
    """Tell whether a model would answer the same once more."""
    if all(call.temperature == 0 for call in calls):
        return True
    apart = all(earlier.end_ns <= later.start_ns for earlier, later in pairwise(calls))
    return apart and same_result(calls[0], calls[1]) is True


def _removed(calls: Iterable[Operation]) -> Mapping[str, tuple[Change, ...]]:
    """Return the changes of each run in which some calls take no time."""
    by_run: dict[str, set[str]] = {}
    for call in calls:
        by_run.setdefault(call.trace_id, set()).add(call.span_id)
    return {trace_id: (Remove(frozenset(span_ids)),) for trace_id, span_ids in by_run.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a finding needs, whichever way the calls repeat."""

    impact: Impact
    calls: Sequence[Operation]
    certain: bool
    limit: Severity
    ttl_s: int
    summary: str
    recommendation: str
    evidence: Mapping[str, str | bool | int | float | None]

    def finding(self, detector: str, population: Population, subject: Subject) -> Finding:
        places = {place.name for call in self.calls if (place := place_of(call)) is not None}
        return Finding(
            detector=detector,
            severity=at_most(self.impact.severity, self.limit),
            confidence=Confidence.OBSERVED if self.certain else Confidence.ASSUMED,
            workflow=population.workflow,
            subject=subject,
            trace_ids=self.impact.trace_ids,
            span_ids=examples(self.calls),
            summary=self.summary,
            evidence={
                **self.evidence,
                "call_s": round(median([call.duration_ns for call in self.calls]) / 1e9, 4),
                "results_equal": True if self.certain else None,
                "ttl_s": self.ttl_s,
                "places": tuple(sorted(places)),
                "runs": len(population.executions),
                "runs_affected": self.impact.runs,
            },
            saving=self.impact.saving,
            changes=self.impact.changes,
            recommendation=self.recommendation,
            advice=Advice(optimizer="workflow_cache", knob=f"ttl_s:{subject.name}", value=self.ttl_s),
        )


def _within_a_run(population: Population, subject: Subject, repetitions: Sequence[_Repetition]) -> _Draft | None:
    """Weigh what runs would win if only the first of equal calls took time."""
    impact = replayed(population, _removed(call for each in repetitions for call in each.calls[1:]))
    if impact is None:
        return None
    certain = all(each.is_certain for each in repetitions)
    count = round(median([len(each.calls) for each in repetitions]))
    calls = [call for each in repetitions for call in each.calls]
    gaps = [later.start_ns - earlier.end_ns for each in repetitions for earlier, later in pairwise(each.calls)]
    call_s = median([call.duration_ns for call in calls]) / 1e9
    return _Draft(
        impact=impact,
        calls=calls,
        certain=certain,
        limit=Severity.CRITICAL if certain else Severity.MEDIUM if count > _PAIR else Severity.LOW,
        ttl_s=60,
        summary=(
            f"{subject.name!r} is called {count} times with the same input"
            f"{' and the same result' if certain else ''}, {call_s:.2g} s each"
        ),
        recommendation=f"Keep the result of {subject.name!r} for the length of a run instead of asking again.",
        evidence={
            "calls": count,
            "repeated_inputs": round(len(repetitions) / impact.runs, 2),
            "longest_gap_s": round(max(0, *gaps) / 1e9, 4),
        },
    )


@dataclass(frozen=True, slots=True)
class _OverRuns:
    """Equal calls of many runs, one sequence for each input, and how long a result may be kept (seconds)."""

    groups: Sequence[Sequence[Operation]]
    ttl_s: int

    def draft(self, population: Population, subject: Subject) -> _Draft | None:
        """Weigh what runs would win with a cache that is shared between them."""
        kept = [keep(calls, self.ttl_s) for calls in self.groups]
        hits = [call for each in kept for call in each.hits]
        impact = replayed(population, _removed(hits))
        if impact is None:
            return None
        calls = [call for group in self.groups for call in group]
        runs = len({call.trace_id for call in calls})
        call_s = median([call.duration_ns for call in calls]) / 1e9
        inputs = "the same input" if len(self.groups) == 1 else f"{len(self.groups)} inputs that return"
        return _Draft(
            impact=impact,
            calls=calls,
            certain=True,
            limit=Severity.CRITICAL,
            ttl_s=self.ttl_s,
            summary=(
                f"{subject.name!r} is called {len(calls)} times in {runs} runs with {inputs} and the same result, "
                f"{call_s:.2g} s each"
            ),
            recommendation=f"Keep the results of {subject.name!r} between runs, for {self.ttl_s} s.",
            evidence={
                "calls": len(calls),
                "repeated_inputs": len(self.groups),
                "cache_hits": len(hits),
                "equal_ratio": round(min(equal_ratio(group) or 0.0 for group in self.groups), 4),
                "stale_hits": sum(each.stale for each in kept),
            },
        )
