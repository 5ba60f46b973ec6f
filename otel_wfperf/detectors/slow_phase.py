"""Detector: calls that take far longer than comparable calls."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar, TypeAlias

from otel_wfperf.analysis.baseline import Baseline, baseline
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import (
    MIN_CALLS,
    ServiceTime,
    least_expected_ns,
    service_time,
    uncached_tokens,
)
from otel_wfperf.analysis.statistics import MAD_FLOOR, NORMAL_CONSISTENCY, log_z_score, mad, median
from otel_wfperf.detectors.place import cold_starts, own_ns, place_of, subject_of
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Replace,
    Severity,
    Shorten,
    Subject,
    SubjectKind,
)

# Efficiency of the median against the mean: its standard error is this many times greater.
_MEDIAN_ERROR = 1.2533
_FEW = 3
# Chosen: the error of a median of 500 calls is 3 % at a log deviation of 0.5; all of them, for each of many phases,
# would cost more than everything else.
_ENOUGH = 500
# Chosen: of few calls all must be slow; 7 of 10 alone gave 2 false alarms in 800 healthy workflows of recorded calls.
_MOST = 0.7
_JUDGED = frozenset(
    {
        OperationKind.PHASE,
        OperationKind.AGENT,
        OperationKind.TOOL,
        OperationKind.RETRIEVAL,
        OperationKind.EMBEDDING,
        OperationKind.MEMORY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowPhase:
    """Report what is slow against its own usual time, and model calls of a phase against those of other phases.

    Model calls are judged by what is left after their tokens are allowed for: long answers are not slow. Everything
    else is judged by its own time, without the calls below it, among calls with input of about the same size. The
    first model call of each process is never judged.

    Attributes:
        max_z_score: Robust deviations of the log duration. Source: Iglewicz and Hoaglin (1993).
        min_ratio: Least ratio to the usual time of the same thing. Source: Dynatrace's degradation of the slowest
            10 % of requests (+100 %), as are the next two in kind (+100 ms on the median).
        min_excess_ns: Least excess of one call (nanoseconds).
        min_excess_ratio: The same, over the length of the run. Chosen: the floor of all findings.
        min_baseline: Fewest calls that tell what is usual. Chosen: 0.4 % of the spans are falsely slow at 20, 2.2 %
            at 8 (simulated, log-normal).
        min_others: Fewest calls of other phases that a phase is compared with; below ``min_baseline`` the finding
            is ``medium`` at most, and the phase must be slow in three runs. Chosen: as for fits of time on tokens;
            when 20 were required, no phase planted five times as slow as its peers was found in three to five runs.
        min_slow: Fewest slow calls of one thing. Chosen: with 0.4 % each, three of 20 are no chance.
        min_slow_share: Least share of slow calls (0..1). Chosen: rarer ones move no median; they are stragglers.
        min_slow_model_share: The same of model calls. Chosen: more than twice what healthy models show; of the
            recorded calls (llm_calls.csv) 1 % to 12 % of a model's took three times what their tokens need.
        min_model_ratio: Least ratio for model calls, alone and for the median of a phase against the other phases.
            Chosen: below, prompts that make a model think longer explain it; recorded calls of one model vary by 1.2
            to 2.0, and one model had two speeds 2.5 apart (llm_calls.csv).
    """

    name: ClassVar[str] = "slow_phase"
    max_z_score: float = 3.5
    min_ratio: float = 2.0
    min_excess_ns: int = 100_000_000
    min_excess_ratio: float = 0.02
    min_baseline: int = 20
    min_others: int = MIN_CALLS
    min_slow: int = 3
    min_slow_share: float = 0.05
    min_slow_model_share: float = 0.30
    min_model_ratio: float = 3.0

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each thing that is slow, phases that are slow throughout first."""
        reported: set[Subject] = set()
        for case in (*self._slow_throughout(population), *self._slow_at_times(population)):
            if case.subject in reported:
                continue
            impact = replayed(population, case.changes)
            if impact is not None:
                reported.add(case.subject)
                yield _finding(self.name, population, case, impact)

    def _slow_throughout(self, population: Population) -> Iterator[_Case]:
        """Compare the model calls of each phase with those of the other phases."""
        for calls in population.once(_llm_calls).values():
            for place, ours in calls.by_place.items():
                elsewhere = (found for other, found in calls.by_place.items() if other != place)
                others = _some(list(chain.from_iterable(elsewhere)))
                if place is None or not self._are_enough(ours, others) or not self._may_be_slow(ours, others):
                    continue
                expected = service_time(others) if _are_comparable(ours, others) else None
                if expected is None:
                    continue
                limit = Severity.CRITICAL if len(others) >= self.min_baseline else Severity.MEDIUM
                usual_ns = {_key(call): expected.expected_ns(call) for call in ours}
                case = _Case(place, ours, usual_ns, others=len(others), limit=limit)
                if self._is_slow_throughout(case, expected, others):
                    yield case

    def _are_enough(self, ours: Sequence[Operation], others: Sequence[Operation]) -> bool:
        runs = {call.trace_id for call in ours}
        return len(others) >= self.min_baseline or (len(others) >= self.min_others and len(runs) >= self.min_slow)

    def _may_be_slow(self, ours: Sequence[Operation], others: Sequence[Operation]) -> bool:
        """Tell whether calls are slow if all of them should take the least time that a fit of the others allows."""
        least_ns = least_expected_ns(others)
        return median([max(1, call.duration_ns) / least_ns for call in ours]) >= self.min_model_ratio

    def _is_slow_throughout(self, case: _Case, expected: ServiceTime, others: Sequence[Operation]) -> bool:
        ratios = [expected.ratio(call) for call in case.slow]
        least = 1.0 if len(ratios) < MIN_CALLS else _MOST
        if median(ratios) < self.min_model_ratio or sum(r >= self.min_ratio for r in ratios) < least * len(ratios):
            return False
        usual = [math.log(expected.ratio(call)) for call in others]
        spread = NORMAL_CONSISTENCY * max(MAD_FLOOR, mad(usual))
        error = spread * min(1.0, _MEDIAN_ERROR / math.sqrt(len(ratios)))
        return (math.log(median(ratios)) - median(usual)) / error > self.max_z_score

    def _slow_at_times(self, population: Population) -> Iterator[_Case]:
        """Compare each call with the others of the same thing."""
        for samples in (*self._own_times(population), *self._adjusted_times(population)):
            usual = baseline(sample.duration_ns for sample in samples)
            least_ns = self._least_ratio(samples[0].operation) * usual.median_ns
            slow = [each for each in samples if each.duration_ns >= least_ns and self._is_slow(each, usual)]
            if len(slow) >= self._enough(samples[0].operation, len(samples)):
                usual_ns = {_key(each.operation): each.operation.duration_ns - each.excess_ns(usual) for each in slow}
                subject = _common_subject([each.operation for each in slow])
                yield _Case(subject, [each.operation for each in slow], usual_ns, others=len(samples) - len(slow))

    def _own_times(self, population: Population) -> Iterator[list[_Sample]]:
        """Group everything but model calls by what it is, with its own time."""
        found: dict[_Like, list[_Sample]] = {}
        for execution in population.executions:
            for like, samples in execution.once(_own_times_of_run).items():
                found.setdefault(like, []).extend(samples)
        for samples in found.values():
            if self._may_hold_slow(samples[0].operation, [each.duration_ns for each in samples]):
                yield samples

    def _adjusted_times(self, population: Population) -> Iterator[list[_Sample]]:
        """Group model calls by model and place, with their duration over what their tokens need (in thousandths)."""
        run_ns = {execution.trace_id: execution.duration_ns for execution in population.executions}
        for calls in population.once(_llm_calls).values():
            expected = service_time(calls.in_order)
            if expected is None:
                continue
            for of_place in calls.by_place.values():
                times = [round(1000 * expected.ratio(call)) for call in of_place]
                if self._may_hold_slow(of_place[0], times):
                    yield [
                        _Sample(call, time, run_ns[call.trace_id], expected.expected_ns(call) / 1000)
                        for call, time in zip(of_place, times, strict=True)
                    ]

    def _may_hold_slow(self, like: Operation, times: Sequence[int]) -> bool:
        """Tell whether enough times are so many times the median; a median of logarithms may be rounded down."""
        if len(times) < self.min_baseline:
            return False
        ordered = sorted(times)
        least = 0.999 * self._least_ratio(like) * ordered[(len(ordered) - 1) // 2]
        return len(ordered) - bisect_left(ordered, least) >= self._enough(like, len(ordered))

    def _least_ratio(self, like: Operation) -> float:
        return self.min_model_ratio if like.kind is OperationKind.LLM else self.min_ratio

    def _enough(self, like: Operation, count: int) -> float:
        share = self.min_slow_model_share if like.kind is OperationKind.LLM else self.min_slow_share
        return max(self.min_slow, share * count)

    def _is_slow(self, sample: _Sample, usual: Baseline) -> bool:
        excess_ns = sample.excess_ns(usual)
        return (
            excess_ns >= max(self.min_excess_ns, self.min_excess_ratio * sample.run_ns)
            and log_z_score(max(1.0, sample.duration_ns), usual.log_median, usual.log_mad) > self.max_z_score
        )


_Key: TypeAlias = tuple[str, str]
# What must be equal for two operations to be compared.
_Like: TypeAlias = tuple[object, ...]


def _key(operation: Operation) -> _Key:
    return operation.trace_id, operation.span_id


@dataclass(frozen=True, slots=True)
class _Case:
    """Slow operations of one subject, with the time that each should take (nanoseconds)."""

    subject: Subject
    slow: Sequence[Operation]
    usual_ns: Mapping[_Key, float]
    others: int
    limit: Severity = Severity.CRITICAL

    @property
    def changes(self) -> Mapping[str, Sequence[Change]]:
        """Let each call take the time that it should take, by trace id."""
        changes: dict[str, list[Change]] = {}
        for call in self.slow:
            changes.setdefault(call.trace_id, []).append(self._change(call))
        return changes

    def _change(self, call: Operation) -> Replace | Shorten:
        usual_ns = min(call.duration_ns, round(self.usual_ns[_key(call)]))
        if call.kind is OperationKind.LLM:
            return Replace(frozenset({call.span_id}), usual_ns)
        return Shorten(frozenset({call.span_id}), call.duration_ns - usual_ns)

    @property
    def ratio(self) -> float:
        return median([call.duration_ns / max(1.0, self.usual_ns[_key(call)]) for call in self.slow])


@dataclass(frozen=True, slots=True)
class _Sample:
    """One operation, the time of it that is compared, and the length of its run (nanoseconds)."""

    operation: Operation
    duration_ns: int
    run_ns: int
    unit_ns: float = 1.0

    def excess_ns(self, usual: Baseline) -> float:
        """Return how much longer than usual it took; ``unit_ns`` turns a ratio back into time."""
        return (self.duration_ns - usual.median_ns) * self.unit_ns


@dataclass(frozen=True, slots=True)
class _Calls:
    """The model calls of one service and model: in order, and by their place."""

    in_order: list[Operation] = field(default_factory=list)
    by_place: dict[Subject | None, list[Operation]] = field(default_factory=dict)

    def add(self, call: Operation) -> None:
        self.in_order.append(call)
        self.by_place.setdefault(place_of(call), []).append(call)

    def extend(self, later: _Calls) -> None:
        self.in_order.extend(later.in_order)
        for place, calls in later.by_place.items():
            self.by_place.setdefault(place, []).extend(calls)

    def without(self, left_out: frozenset[_Key]) -> _Calls:
        kept = _Calls()
        for call in self.in_order:
            if _key(call) not in left_out:
                kept.add(call)
        return kept


def _llm_calls(population: Population) -> Mapping[tuple[str, str], _Calls]:
    """Group the model calls that can be judged by service and model."""
    cold = population.once(cold_starts)
    cold_traces = {trace_id for trace_id, _ in cold}
    found: dict[tuple[str, str], _Calls] = {}
    for execution in population.executions:
        warm = cold_traces.isdisjoint(execution.trace_ids)
        for model, calls in execution.once(_llm_calls_of_run).items():
            if warm or (calls := calls.without(cold)).in_order:
                found.setdefault(model, _Calls()).extend(calls)
    return found


def _llm_calls_of_run(execution: Execution) -> Mapping[tuple[str, str], _Calls]:
    found: dict[tuple[str, str], _Calls] = {}
    for call in execution.of_kind(OperationKind.LLM):
        if call.tokens is not None and call.tokens.output > 0 and call.ended and call.error is None:
            found.setdefault((call.service, call.model or call.name), _Calls()).add(call)
    return found


def _are_comparable(ours: Sequence[Operation], others: Sequence[Operation]) -> bool:
    """Tell whether the other calls cover about the sizes of ours, so that nothing is extrapolated far.

    Chosen: up to twice the greatest of theirs; below 1,000 input tokens the input hardly matters.
    """
    outputs, inputs = [_output(call) for call in ours], [uncached_tokens(call) for call in ours]
    return median(outputs) <= 2 * max(map(_output, others)) and median(inputs) <= max(
        1000, 2 * max(map(uncached_tokens, others))
    )


def _output(call: Operation) -> int:
    return call.tokens.output if call.tokens else 0


def _own_times_of_run(execution: Execution) -> Mapping[_Like, list[_Sample]]:
    found: dict[_Like, list[_Sample]] = {}
    run_ns = execution.duration_ns
    for each in execution.of_kind(*_JUDGED):
        if each.ended and each.error is None and not each.synthetic:
            like = (each.service, each.kind, each.name, each.model, (each.input_bytes or 0).bit_length())
            found.setdefault(like, []).append(_Sample(each, own_ns(execution, each), run_ns))
    return found


def _some(calls: Sequence[Operation]) -> Sequence[Operation]:
    """Leave out calls evenly where there are more than enough."""
    return calls[:: max(1, len(calls) // _ENOUGH)]


def _common_subject(slow: Sequence[Operation]) -> Subject:
    """Name the phase when model calls are slow in it; everything else is its own subject."""
    place = place_of(slow[0]) if slow[0].kind is OperationKind.LLM else None
    return place or subject_of(slow[0])


def _finding(detector: str, population: Population, case: _Case, impact: Impact) -> Finding:
    # Of 600 workflows of recorded model calls, two had a phase whose one or two calls happened to be slow.
    limit = at_most(case.limit, Severity.LOW) if len(case.slow) < _FEW else case.limit
    is_model = case.slow[0].kind is OperationKind.LLM
    taken_s = median([call.duration_ns for call in case.slow]) / 1e9
    usual_s = median([*case.usual_ns.values()]) / 1e9
    what = "model calls" if is_model else "calls"
    against = "other calls of the same model with as many tokens" if is_model else "its usual calls"
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, limit),
        confidence=Confidence.OBSERVED if limit is Severity.CRITICAL else Confidence.INDICATIVE,
        workflow=population.workflow,
        subject=case.subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(case.slow),
        summary=(
            f"{len(case.slow)} {what} of {case.subject.name!r} take {taken_s:.2g} s each, {case.ratio:.1f} times "
            f"as long as {against}"
        ),
        evidence={
            "calls": len(case.slow),
            "compared_calls": case.others,
            "median_s": round(taken_s, 4),
            "expected_s": round(usual_s, 4),
            "slow_ratio": round(case.ratio, 2),
            "models": tuple(sorted({call.model for call in case.slow if call.model})),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=_recommendation(case.subject, is_model=is_model),
    )


def _recommendation(subject: Subject, *, is_model: bool) -> str:
    if is_model:
        return f"Check the endpoint, region and settings that {subject.name!r} calls its model with."
    if subject.kind is SubjectKind.PHASE:
        return f"Profile the code of {subject.name!r} itself: the time is not spent in the calls below it."
    return f"Look at what the slow calls of {subject.name!r} have in common, then bound them with a timeout."
