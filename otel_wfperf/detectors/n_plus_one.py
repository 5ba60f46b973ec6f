"""Detector: calls made one by one for one item each, where one call could be made for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from otel_wfperf.analysis.failures import has_failed
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.analysis.waiting import overlap_tolerance_ns
from otel_wfperf.detectors.effects import changes_state
from otel_wfperf.detectors.margin import widened
from otel_wfperf.detectors.place import place_of, subject_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Remove,
    Replace,
    Severity,
    SpanKind,
    Subject,
)

_CALLS: Final = frozenset({OperationKind.TOOL, OperationKind.RETRIEVAL, OperationKind.EMBEDDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NPlusOne:
    """Report calls of one target, with an input of their own each, that one parent makes one after another.

    Left alone are calls that overlap (a fan-out on purpose), equal inputs (`repeated_call`, `retry_storm`), and calls
    between which a model answered. That the target can take several items at once is assumed: of a database or a
    service it is likely, of a tool it may have to be built; of tools that by their name change something, or whose
    inputs are not recorded, it is told as information.

    Attributes:
        min_calls: Fewest calls. Source: Sentry, N+1 queries: more than 5 (Jaeger's skill says 10).
        min_total_ns: Least time of all (nanoseconds). Chosen: six times Sentry's 50 ms, a run of agents takes seconds.
        min_ratio: Least share of the run. Chosen: below it severity would be `low`.
        item_ratio: What one more item adds to a call of many, in calls. Chosen: a tenth; the interval of the saving
            reaches from nothing to twice that.
        min_distinct_ratio: Least share of the inputs that differ. Chosen: a list may name an item twice.
    """

    name: ClassVar[str] = "n_plus_one"
    min_calls: int = 5
    min_total_ns: int = 300_000_000
    min_ratio: float = 0.05
    item_ratio: float = 0.1
    min_distinct_ratio: float = 0.8

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each target."""
        found: dict[Subject, list[_Series]] = {}
        for execution in population.executions:
            for calls in execution.once(_in_a_row, self):
                found.setdefault(subject_of(calls[0]), []).append(_Series(execution, calls))
        for subject, all_series in found.items():
            changes: dict[str, list[Change]] = {}
            for series in all_series:
                changes.setdefault(series.execution.trace_id, []).extend(series.batched(self.item_ratio))
            impact = replayed(population, changes)
            if impact is not None:
                guess_s = (
                    median([each.items_ns(self.item_ratio) for each in all_series]) * len(all_series) / impact.runs
                )
                impact = dataclasses.replace(impact, saving=widened(impact.saving, guess_s / 1e9))
                yield _finding(self.name, population, subject, all_series=all_series, impact=impact)

    def is_series(self, execution: Execution, calls: Sequence[Operation]) -> bool:
        """Tell whether calls of one target are enough, take enough time, and have different inputs."""
        if len(calls) < self.min_calls:
            return False
        total_ns = sum(call.duration_ns for call in calls)
        if total_ns < max(self.min_total_ns, self.min_ratio * execution.duration_ns):
            return False
        inputs = [call.input_hash for call in calls if call.input_hash is not None]
        return len(set(inputs)) >= self.min_distinct_ratio * len(inputs)


@dataclass(frozen=True, slots=True)
class _Series:
    """Calls of one target, one after another."""

    execution: Execution
    calls: tuple[Operation, ...]

    @property
    def inputs_differ(self) -> bool:
        """Whether the calls are known to be for different items."""
        return all(call.input_hash is not None for call in self.calls)

    @property
    def total_ns(self) -> int:
        """Time of all calls (nanoseconds)."""
        return sum(call.duration_ns for call in self.calls)

    def items_ns(self, item_ratio: float) -> float:
        """Estimate what the items add to one call for all (nanoseconds): a share of a usual call each."""
        return item_ratio * median([call.duration_ns for call in self.calls]) * len(self.calls)

    def batch_ns(self, item_ratio: float) -> int:
        """Estimate one call for all items (nanoseconds): the longest call, and what the items add."""
        return round(max(call.duration_ns for call in self.calls) + self.items_ns(item_ratio))

    def batched(self, item_ratio: float) -> tuple[Change, ...]:
        """Let the first call fetch all items, and the others take no time."""
        batch_ns = self.batch_ns(item_ratio)
        first, *others = self.calls
        if batch_ns >= self.total_ns or not first.duration_ns:
            return ()
        return Replace(frozenset({first.span_id}), batch_ns), Remove(frozenset(each.span_id for each in others))


def _in_a_row(execution: Execution, rule: NPlusOne) -> Sequence[tuple[Operation, ...]]:
    found = []
    for parent_id, children in execution.children_by_id.items():
        if len(children) >= rule.min_calls:
            tolerance_ns = overlap_tolerance_ns(execution.by_id[parent_id])
            found += [tuple(each) for each in _one_by_one(children, tolerance_ns) if rule.is_series(execution, each)]
    return found


def _one_by_one(children: Sequence[Operation], tolerance_ns: int) -> Iterator[list[Operation]]:
    """Divide calls by target; a model's answer, and calls of the target that overlap, divide further.

    A target of which any calls overlap is called at once on purpose: none of them are yielded.
    """
    series: dict[tuple[object, ...], list[list[Operation]]] = {}
    reached_ns: dict[tuple[object, ...], int] = {}
    fan_outs: set[tuple[object, ...]] = set()
    answers = 0
    answers_seen: dict[tuple[object, ...], int] = {}
    for child in children:
        if child.kind is OperationKind.LLM:
            answers += 1
        if not _is_call(child) or has_failed(child):
            continue
        target: tuple[object, ...] = (child.kind, child.name, child.peer, child.route)
        if child.start_ns + tolerance_ns < reached_ns.get(target, child.start_ns):
            fan_outs.add(target)
        reached_ns[target] = max(child.end_ns, reached_ns.get(target, 0))
        if answers_seen.get(target) != answers:
            series.setdefault(target, []).append([])
        answers_seen[target] = answers
        series[target][-1].append(child)
    for target, found in series.items():
        if target not in fan_outs:
            yield from found


def _is_call(operation: Operation) -> bool:
    if operation.synthetic or operation.cached:
        return False
    return operation.kind in _CALLS or is_service_call(operation)


def is_service_call(operation: Operation) -> bool:
    """Tell whether a span that is not about agents is a call of a service or a database."""
    named = operation.peer is not None or operation.route is not None or operation.dialect == "leaves"
    return operation.outside and named and operation.span_kind not in (SpanKind.SERVER, SpanKind.CONSUMER)


def _finding(
    detector: str, population: Population, subject: Subject, *, all_series: Sequence[_Series], impact: Impact
) -> Finding:
    first = all_series[0].calls[0]
    limit = _limit(first, inputs_differ=all(each.inputs_differ for each in all_series))
    calls = round(median([len(each.calls) for each in all_series]))
    total_s = median([each.total_ns for each in all_series]) / 1e9
    places = {place.name for each in all_series for call in each.calls if (place := place_of(call)) is not None}
    parent = all_series[0].execution.by_id[first.parent_id or all_series[0].execution.root_id]
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, limit),
        confidence=Confidence.ASSUMED,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(call for each in all_series for call in each.calls),
        summary=f"{subject.name!r} is called {calls} times in a row for one item each, {total_s:.2g} s in all",
        evidence={
            "calls": calls,
            "series_per_run": round(len(all_series) / impact.runs, 2),
            "total_s": round(total_s, 4),
            "call_s": round(median([call.duration_ns for each in all_series for call in each.calls]) / 1e9, 4),
            "inputs_differ": True if all(each.inputs_differ for each in all_series) else None,
            "parent": parent.name,
            "members": tuple(sorted({parent.name} if parent.kind is OperationKind.TOOL else set())),
            "places": tuple(sorted(places)),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=_recommendation(first, limit),
        changes=impact.changes,
    )


def _limit(call: Operation, *, inputs_differ: bool) -> Severity:
    if is_service_call(call):
        return Severity.HIGH
    if changes_state(call.name) or not inputs_differ:
        return Severity.INFO
    return Severity.MEDIUM


def _recommendation(call: Operation, limit: Severity) -> str:
    if limit is Severity.INFO:
        return f"If {call.name!r} can take several items, or runs for different items, pass all of them in one call."
    if is_service_call(call):
        return f"Ask for all items in one query or batch request instead of calling {call.name!r} for each."
    return f"Let {call.name!r} take a list of items, and call it once before the loop."
