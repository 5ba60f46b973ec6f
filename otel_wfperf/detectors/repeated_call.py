"""Detector: the same call with the same answer, again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.detectors.effects import changes_state, changes_with_time
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, measure
from otel_wfperf.model import (
    Advice,
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
_CACHEABLE = (OperationKind.TOOL, OperationKind.LLM, OperationKind.RETRIEVAL, OperationKind.EMBEDDING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedCall:
    """Report calls of one tool or model with equal input and equal result within one run.

    Left alone are calls that failed, calls between which something was changed, polling (a result differs),
    tools that by their name change something or answer differently each time, and model calls whose answers may
    differ. Model calls at a temperature that run side by side are samples taken on purpose.

    Attributes:
        min_calls: Fewest equal calls. Source: Sentry's redundant agent tool calls.
        min_long_calls: Fewest equal calls, when each takes at least
        min_long_ns: this long (nanoseconds).
        max_gap_ns: Longest time between two of them (nanoseconds); a fresher answer may have been wanted later.
    """

    name: ClassVar[str] = "repeated_call"
    min_calls: int = 3
    min_long_calls: int = 2
    min_long_ns: int = 2_000_000_000
    max_gap_ns: int = 60_000_000_000

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each tool or model."""
        found: dict[Subject, list[_Repetition]] = {}
        for execution in population.executions:
            for repetition in self.repetitions(execution):
                found.setdefault(subject_of(repetition.calls[0]), []).append(repetition)
        for subject, repetitions in found.items():
            by_run: dict[str, list[_Repetition]] = {}
            for repetition in repetitions:
                by_run.setdefault(repetition.execution.trace_id, []).append(repetition)
            impact = measure(population, {trace_id: _saving_ns(of_run) for trace_id, of_run in by_run.items()})
            if impact is not None:
                yield _finding(self.name, population, subject, repetitions=repetitions, impact=impact)

    def repetitions(self, execution: Execution) -> Iterator[_Repetition]:
        """Yield the groups of equal calls of one run, whatever time they take."""
        changes_ns = [
            each.start_ns
            for each in execution.of_kind(OperationKind.TOOL)
            if each.error is None and changes_state(each.name)
        ]
        calls_by_input: dict[tuple[object, ...], list[Operation]] = {}
        for call in execution.of_kind(*_CACHEABLE):
            if _may_be_cached(call):
                key = (call.kind, call.name, call.model, call.input_hash)
                calls_by_input.setdefault(key, []).append(call)
        for calls in calls_by_input.values():
            for group in self._within_reach(calls, changes_ns):
                if self._is_repeated(group):
                    yield _Repetition(execution, tuple(group))

    def _within_reach(self, calls: Sequence[Operation], changes_ns: Sequence[int]) -> Iterator[list[Operation]]:
        """Divide equal calls where time passed or something was changed."""
        group = [calls[0]]
        for earlier, later in pairwise(calls):
            changed = any(earlier.start_ns <= moment_ns < later.start_ns for moment_ns in changes_ns)
            if changed or later.start_ns - earlier.end_ns > self.max_gap_ns:
                yield group
                group = []
            group.append(later)
        yield group

    def _is_repeated(self, calls: Sequence[Operation]) -> bool:
        results = {call.output_hash for call in calls}
        long_enough = len(calls) >= self.min_long_calls and all(call.duration_ns >= self.min_long_ns for call in calls)
        if not (len(calls) >= self.min_calls or long_enough) or len(results) > 1:
            return False
        return calls[0].kind is not OperationKind.LLM or _answers_are_fixed(calls)


@dataclass(frozen=True, slots=True)
class _Repetition:
    """Equal calls of one run, in order."""

    execution: Execution
    calls: tuple[Operation, ...]

    @property
    def is_certain(self) -> bool:
        """Whether the results are known to be equal."""
        return self.calls[0].output_hash is not None


def _may_be_cached(call: Operation) -> bool:
    plain = call.error is None and call.ended and call.input_hash is not None and (call.attempt or 1) == 1
    if call.kind is OperationKind.LLM:
        return plain
    return plain and not changes_state(call.name) and not changes_with_time(call.name)


def _answers_are_fixed(calls: Sequence[Operation]) -> bool:
    """Tell whether a model would answer the same once more."""
    if all(call.temperature == 0 for call in calls):
        return True
    apart = all(earlier.end_ns <= later.start_ns for earlier, later in pairwise(calls))
    return apart and calls[0].output_hash is not None


def _saving_ns(repetitions: Sequence[_Repetition]) -> int:
    """Replay one run in which only the first of equal calls takes time."""
    again = frozenset(call.span_id for each in repetitions for call in each.calls[1:])
    return max(0, replay(repetitions[0].execution, [Remove(again)]).saving_ns)


def _finding(
    detector: str, population: Population, subject: Subject, *, repetitions: Sequence[_Repetition], impact: Impact
) -> Finding:
    certain = all(each.is_certain for each in repetitions)
    count = round(median([len(each.calls) for each in repetitions]))
    limit = Severity.CRITICAL if certain else Severity.MEDIUM if count > _PAIR else Severity.LOW
    call_s = median([call.duration_ns for each in repetitions for call in each.calls]) / 1e9
    gaps = [later.start_ns - earlier.end_ns for each in repetitions for earlier, later in pairwise(each.calls)]
    places = {place.name for each in repetitions for call in each.calls if (place := place_of(call)) is not None}
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, limit),
        confidence=Confidence.OBSERVED if certain else Confidence.ASSUMED,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(call for each in repetitions for call in each.calls),
        summary=(
            f"{subject.name!r} is called {count} times with the same input"
            f"{' and the same result' if certain else ''}, {call_s:.2g} s each"
        ),
        evidence={
            "calls": count,
            "repeated_inputs": round(len(repetitions) / impact.runs, 2),
            "call_s": round(call_s, 4),
            "longest_gap_s": round(max(0, *gaps) / 1e9, 4),
            "results_equal": True if certain else None,
            "places": tuple(sorted(places)),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=f"Keep the result of {subject.name!r} for the length of a run instead of asking again.",
        advice=Advice(optimizer="workflow_cache", knob=f"ttl_s:{subject.name}", value=60),
    )
