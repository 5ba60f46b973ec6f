"""Detector: model calls whose first token comes late, or whose tokens come slowly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import uncached_tokens
from otel_wfperf.analysis.statistics import MAD_FLOOR, NORMAL_CONSISTENCY, mad, median, theil_sen
from otel_wfperf.detectors.place import cold_starts, place_of
from otel_wfperf.detectors.severity import at_most, examples, replayed
from otel_wfperf.model import (
    Change,
    Confidence,
    Execution,
    Finding,
    Operation,
    OperationKind,
    Replace,
    Severity,
    Subject,
    SubjectKind,
)
from otel_wfperf.model.finding import EvidenceValue

# Efficiency of the median against the mean: its standard error is this many times greater.
_MEDIAN_ERROR = 1.2533
_REFITS = 3
_FIRST, _RATE = "first token", "tokens"
_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowFirstToken:
    """Report streamed model calls that begin late, or write slowly, against the usual of their own model.

    The usual delay is fitted on the input tokens that the prompt cache did not have, so that long prompts are not slow;
    the usual rate is judged for answers that are long enough to have one. The first call of each process is left out,
    and so are calls that thought first: what they thought comes before the first token, unseen.

    A phase or agent is compared with the others that call the model. Where all of them are slow for a part of the
    time, it is the provider: this is said so, and is ``low`` at most, as nothing in the workflow causes it.

    Attributes:
        min_ratio: Least ratio to what is usual, for the median of the calls. Source: Dynatrace's degradation of the
            slowest 10 % of requests (+100 %).
        min_late_ns: Least delay of the first token (nanoseconds). Chosen: people notice a second.
        min_excess_ns: Least excess of the median call, of delay and rate alike (nanoseconds). Chosen: half of that.
        min_baseline: Fewest calls that tell what is usual. Chosen: 0.4 % of calls are falsely slow at 20 (simulated,
            log-normal).
        min_calls: Fewest calls of a phase. Chosen: of fewer, the median is that of an odd call.
        min_slow_share: Least share of the calls that are slow (0..1); of the whole model, for the provider
        min_provider_share: this. Chosen: of the recorded calls (llm_calls.csv) up to 12 % of a model's took three times
            what their tokens need.
        max_z_score: Robust deviations of the logs. Source: Iglewicz and Hoaglin (1993).
        min_output_tokens: Shortest answer that has a rate (tokens). Chosen: streams come in chunks of several tokens.
    """

    name: ClassVar[str] = "slow_first_token"
    min_ratio: float = 2.0
    min_late_ns: int = 1_000_000_000
    min_excess_ns: int = 500_000_000
    min_baseline: int = 20
    min_calls: int = 5
    min_slow_share: float = 0.7
    min_provider_share: float = 0.30
    max_z_score: float = 3.5
    min_output_tokens: int = 50

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each model."""
        for model, calls in _calls_by_model(population).items():
            cases = [
                *self._cases(_FIRST, [_first(call) for call in calls]),
                *self._cases(_RATE, [_rate(call) for call in calls if _output(call) >= self.min_output_tokens]),
            ]
            own = [case for case in cases if not case.is_provider]
            yield from self._finding(population, model, own or cases)

    def _cases(self, what: str, samples: Sequence[_Sample]) -> Iterator[_Case]:
        by_place: dict[Subject | None, list[_Sample]] = {}
        for sample in samples:
            by_place.setdefault(place_of(sample.call), []).append(sample)
        found = False
        for place, ours in by_place.items():
            others = [sample for other, theirs in by_place.items() if other != place for sample in theirs]
            enough = len(ours) >= self.min_calls and len(others) >= self.min_baseline
            if place is not None and enough and _are_comparable(ours, others):
                case = _Case.against(what, ours, others)
                if self._is_slow_throughout(case):
                    found = True
                    yield case
        if not found and len(samples) >= self.min_baseline:
            yield from self._slow_for_a_time(what, samples)

    def _is_slow_throughout(self, case: _Case) -> bool:
        slow = sum(self._is_slow(sample, case.usual) for sample in case.slow)
        if slow < self.min_slow_share * len(case.slow) or median(case.ratios) < self.min_ratio:
            return False
        error = case.usual.log_spread * min(1.0, _MEDIAN_ERROR / math.sqrt(len(case.slow)))
        return (
            median(case.excesses_ns) >= self.min_excess_ns and math.log(median(case.ratios)) / error > self.max_z_score
        )

    def _is_slow(self, sample: _Sample, usual: _Usual) -> bool:
        late = sample.is_rate or sample.value_ns >= self.min_late_ns
        return late and usual.ratio(sample) >= self.min_ratio

    def _slow_for_a_time(self, what: str, samples: Sequence[_Sample]) -> Iterator[_Case]:
        """Compare calls with those of all phases, the faster ones of which tell what is usual."""
        usual = _usual_of_faster(samples)
        slow: list[_Sample] = []
        others: list[_Sample] = []
        for sample in samples:
            is_outlier = math.log(usual.ratio(sample)) / usual.log_spread > self.max_z_score
            (slow if is_outlier and self._is_slow(sample, usual) else others).append(sample)
        if len(slow) < max(self.min_calls, self.min_provider_share * len(samples)) or not others:
            return
        case = _Case(what, slow, _Usual.of(others), len(others), is_provider=True)
        if median(case.excesses_ns) >= self.min_excess_ns:
            yield case

    def _finding(self, population: Population, model: str, cases: Sequence[_Case]) -> Iterator[Finding]:
        changes = _as_usual(cases)
        impact = replayed(population, changes) if changes else None
        if impact is None:
            return
        main = max(cases, key=lambda case: sum(case.excesses_ns))
        runs = len({sample.call.trace_id for sample in main.slow})
        is_sure = not main.is_provider and runs > 1
        yield Finding(
            detector=self.name,
            severity=at_most(impact.severity, Severity.LOW if main.is_provider else Severity.CRITICAL),
            confidence=Confidence.OBSERVED if is_sure else Confidence.INDICATIVE,
            workflow=population.workflow,
            subject=Subject(kind=SubjectKind.LLM, name=model),
            trace_ids=impact.trace_ids,
            span_ids=examples(sample.call for case in cases for sample in case.slow),
            summary=_summary(model, main),
            evidence=_evidence(cases, main) | {"runs": len(population.executions), "runs_affected": impact.runs},
            saving=impact.saving,
            changes=impact.changes,
            recommendation=_recommendation(model, main),
        )


@dataclass(frozen=True, slots=True)
class _Sample:
    """One call, and the time of it that is compared (nanoseconds): the delay, or the time for one token.

    Attributes:
        size: What the time depends on (tokens).
        per_call: How many times the value is in the call.
    """

    call: Operation
    value_ns: float
    size: int
    per_call: int = 1
    is_rate: bool = False


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is usual: value = base + slope * size, but at least the floor (nanoseconds); spread of its logs."""

    base_ns: float
    slope_ns: float
    floor_ns: float
    log_spread: float

    @classmethod
    def of(cls, samples: Sequence[_Sample], *, by_faster_half: bool = False) -> _Usual:
        """Fit to samples; a token never makes a call faster.

        By the faster half, the spread is that of the samples below the middle: of healthy ones both are the same, but
        those that are late do not hide themselves by widening it.

        Chosen: below the fastest quarter lies extrapolation.
        """
        sizes = [float(sample.size) for sample in samples]
        values = [sample.value_ns for sample in samples]
        slope_ns = max(0.0, theil_sen(sizes, values)[0])
        base_ns = median([value - slope_ns * size for value, size in zip(values, sizes, strict=True)])
        fitted = cls(base_ns, slope_ns, sorted(values)[len(values) // 4], 1.0)
        logs = [math.log(fitted.ratio(sample)) for sample in samples]
        deviation = _lower_mad(logs) if by_faster_half else mad(logs)
        return cls(base_ns, slope_ns, fitted.floor_ns, NORMAL_CONSISTENCY * max(MAD_FLOOR, deviation))

    def expected_ns(self, sample: _Sample) -> float:
        return max(1.0, self.floor_ns, self.base_ns + self.slope_ns * sample.size)

    def ratio(self, sample: _Sample) -> float:
        return max(1.0, sample.value_ns) / self.expected_ns(sample)


@dataclass(frozen=True, slots=True)
class _Case:
    """Calls that are slow in one respect, and what is usual."""

    what: str
    slow: Sequence[_Sample]
    usual: _Usual
    others: int
    is_provider: bool = False

    @classmethod
    def against(cls, what: str, ours: Sequence[_Sample], others: Sequence[_Sample]) -> _Case:
        return cls(what, ours, _Usual.of(others), len(others))

    @property
    def ratios(self) -> list[float]:
        return [self.usual.ratio(sample) for sample in self.slow]

    @property
    def excesses_ns(self) -> list[float]:
        """How much longer each call takes than usual (nanoseconds)."""
        return [(each.value_ns - self.usual.expected_ns(each)) * each.per_call for each in self.slow]

    @property
    def places(self) -> tuple[str, ...]:
        found = {place.name for each in self.slow if (place := place_of(each.call)) is not None}
        return tuple(sorted(found))


def _usual_of_faster(samples: Sequence[_Sample]) -> _Usual:
    """Fit to the samples that are left when those that are clearly slow by the last fit are put aside, and again.

    When many are slow, the middle of all is no longer that of the usual ones, and the slow hide themselves.

    Chosen: two robust deviations and twice the usual; of log-normal times 2 % are put aside, which hardly narrows the
    spread. Three times, after which it hardly moves; at least half of the samples stay.
    """
    usual = _Usual.of(samples, by_faster_half=True)
    for _ in range(_REFITS):
        kept = [sample for sample in samples if usual.ratio(sample) < max(2.0, math.exp(2 * usual.log_spread))]
        if 2 * len(kept) < len(samples):
            break
        usual = _Usual.of(kept, by_faster_half=True)
    return usual


def _calls_by_model(population: Population) -> Mapping[str, list[Operation]]:
    """Group the streamed calls that can be judged."""
    cold = population.once(cold_starts)
    found: dict[str, list[Operation]] = {}
    for execution in population.executions:
        for call in execution.once(_streamed):
            if (call.trace_id, call.span_id) not in cold:
                found.setdefault(call.model or call.name, []).append(call)
    return found


def _streamed(execution: Execution) -> Sequence[Operation]:
    found = []
    for call in execution.of_kind(OperationKind.LLM):
        streamed = call.time_to_first_token_s is not None and 0 < call.time_to_first_token_s * 1e9 <= call.duration_ns
        thinks = call.tokens is not None and call.tokens.reasoning > 0
        if streamed and call.ended and call.error is None and not call.cached and not thinks:
            found.append(call)
    return found


def _lower_mad(values: Sequence[float]) -> float:
    """Return the median deviation from the median of the values that are not above it, with a margin.

    Chosen: a margin of one over the root of their number, as half of the values tell less than all of them.
    """
    middle = median(values)
    below = [middle - value for value in values if value <= middle]
    return median(below) * (1 + 1 / math.sqrt(len(below)))


def _are_comparable(ours: Sequence[_Sample], others: Sequence[_Sample]) -> bool:
    """Tell whether the others' prompts are about as long, so that nothing is extrapolated far.

    Chosen: up to twice the longest of theirs; below 1,000 tokens the input hardly matters.
    """
    return median([sample.size for sample in ours]) <= max(1000, 2 * max(sample.size for sample in others))


def _first(call: Operation) -> _Sample:
    return _Sample(call, (call.time_to_first_token_s or 0.0) * 1e9, uncached_tokens(call))


def _rate(call: Operation) -> _Sample:
    tokens = max(1, _output(call))
    writing_ns = call.duration_ns - (call.time_to_first_token_s or 0.0) * 1e9
    return _Sample(call, writing_ns / tokens, 0, per_call=tokens, is_rate=True)


def _output(call: Operation) -> int:
    return call.tokens.output if call.tokens else 0


def _as_usual(cases: Sequence[_Case]) -> Mapping[str, list[Change]]:
    """Return the changes of each run in which slow calls begin and write as usual."""
    excess_ns: dict[_Key, float] = {}
    calls: dict[_Key, Operation] = {}
    for case in cases:
        for sample, excess in zip(case.slow, case.excesses_ns, strict=True):
            key = sample.call.trace_id, sample.call.span_id
            calls[key] = sample.call
            excess_ns[key] = excess_ns.get(key, 0.0) + excess
    found: dict[str, list[Change]] = {}
    for key, call in calls.items():
        usual_ns = min(call.duration_ns, max(0, round(call.duration_ns - excess_ns[key])))
        found.setdefault(call.trace_id, []).append(Replace(frozenset({call.span_id}), usual_ns))
    return found


def _summary(model: str, case: _Case) -> str:
    taken, usual = _figures(case)
    where = "" if case.is_provider else f" in {', '.join(map(repr, case.places))}"
    who = "other phases alike, so it is the provider" if case.is_provider else "other phases"
    if case.what == _FIRST:
        return (
            f"{model!r} starts to answer after {taken / 1e9:.2g} s{where}, {median(case.ratios):.1f} times as late as "
            f"usual for such prompts{' in ' if case.is_provider else ' of '}{who}"
        )
    return f"{model!r} writes {1e9 / taken:.2g} tokens a second{where}, {1e9 / usual:.2g} are usual in {who}"


def _figures(case: _Case) -> tuple[float, float]:
    """Return the median value of the slow calls and what it should be (nanoseconds)."""
    taken = median([sample.value_ns for sample in case.slow])
    return max(1.0, taken), max(1.0, median([case.usual.expected_ns(sample) for sample in case.slow]))


def _evidence(cases: Sequence[_Case], main: _Case) -> dict[str, EvidenceValue]:
    evidence: dict[str, EvidenceValue] = {
        "calls": len(main.slow),
        "compared_calls": main.others,
        "slow_ratio": round(median(main.ratios), 2),
        "provider_wide": main.is_provider,
        "places": tuple(sorted({place for case in cases for place in case.places})),
    }
    for case in cases:
        taken, usual = _figures(case)
        if case.what == _FIRST:
            evidence |= {"first_token_s": round(taken / 1e9, 4), "expected_first_token_s": round(usual / 1e9, 4)}
        else:
            evidence |= {"tokens_per_s": round(1e9 / taken, 2), "expected_tokens_per_s": round(1e9 / usual, 2)}
    return evidence


def _recommendation(model: str, case: _Case) -> str:
    if case.is_provider:
        return f"Give calls of {model!r} another region or model to fall back on when its provider is slow."
    where = ", ".join(map(repr, case.places))
    if case.what == _FIRST:
        return (
            f"Compare the endpoint, region and reasoning settings of {model!r} in {where} with those of other phases."
        )
    return f"Compare the endpoint and service tier of {model!r} in {where} with other phases, and cap its answers."
