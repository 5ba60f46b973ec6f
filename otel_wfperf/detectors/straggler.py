"""Detector: one branch of a fan-out that all others have to wait for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.service_time import uncached_tokens
from otel_wfperf.analysis.statistics import log_z_score, mad, median
from otel_wfperf.detectors.capped_concurrency import CappedConcurrency
from otel_wfperf.detectors.false_parallelism import FalseParallelism
from otel_wfperf.detectors.fan_out import Branch, FanOut, Scheduling
from otel_wfperf.detectors.scheduled_together import by_subject, place_names
from otel_wfperf.detectors.severity import Impact, at_most, examples, replayed
from otel_wfperf.model import Change, Confidence, Finding, Replace, Severity, Subject
from otel_wfperf.model.finding import EvidenceValue

# Chosen: as many as show whether a branch is slow for its own measure.
_MIN_OF_NAME = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggler:
    """Report fan-outs that often wait for one branch that takes far longer than the others, and than it usually does.

    What a branch waited for a person, or for a place that others had, is not its own time. A branch that had more to do
    (tokens, input bytes, calls) is compared by its time for the same amount. A branch that is always the longest is no
    straggler but the longest step. Groups that queue are left to `false_parallelism` and `capped_concurrency`.

    What branches of each name usually take, and how much that differs, is learned from all fan-outs of the group. Fewer
    than ten of them are an indication, of low severity.

    The saving is that of the slowest branch ending with the second slowest.

    The subject is the group: the names of its branches.

    Attributes:
        min_branches: Fewest branches. Source: detectors.md.
        min_branches_in_all: Fewest branches of all fan-outs together. Chosen: see ``log_z_score``.
        min_ratio: Least time over the median of the other branches, and of its own name. Source: detectors.md.
        min_z: Least robust z-score of its logarithm. Source: see ``log_z_score``.
        min_z_of_few: The same with fewer fan-outs than ``min_fan_outs``. Chosen: at 3.5 one in ten healthy fan-outs
            of 20 with usual spread had an outlier.
        min_excess_ns: Least time beyond the median (nanoseconds). Source: detectors.md.
        min_fan_outs: Fewest fan-outs to tell how often it happens. Source: detectors.md.
        min_share: Least share of fan-outs with a straggler (0..1). Source: detectors.md.
    """

    name: ClassVar[str] = "straggler"
    min_branches: int = 4
    min_branches_in_all: int = 20
    min_ratio: float = 2.0
    min_z: float = 3.5
    min_z_of_few: float = 5.0
    min_excess_ns: int = 1_000_000_000
    min_fan_outs: int = 10
    min_share: float = 0.2

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each group of names."""
        for subject, found in population.once(by_subject).items():
            cases = [_Case.of(each) for each in found if self._is_judged(each)]
            late = self._late(cases)
            changes: dict[str, list[Change]] = {}
            for case in late:
                changes.setdefault(case.fan_out.trace_id, []).append(case.change)
            impact = replayed(population, changes) if late else None
            if impact is not None:
                yield _finding(self, population, subject, cases=cases, late=late, impact=impact)

    def _is_judged(self, fan_out: FanOut) -> bool:
        enough = len(fan_out.branches) >= self.min_branches and fan_out.scheduling is not Scheduling.NAMES
        return enough and not _QUEUES[0].is_serialised(fan_out) and not _QUEUES[1].is_capped(fan_out)

    def _late(self, cases: Sequence[_Case]) -> list[_Case]:
        """Pick the fan-outs with a straggler; none when they are too few of all, or little is known of the times."""
        usual = _usual_ns(cases)
        scatter = [math.log(own_ns / usual_ns) for case in cases for own_ns, usual_ns in case.with_usual(usual)]
        if len(scatter) < self.min_branches_in_all:
            return []
        min_z = self.min_z if len(cases) >= self.min_fan_outs else self.min_z_of_few
        log_mad = mad(scatter)
        late = [case for case in cases if self._is_late(case, usual, log_mad, min_z)]
        return late if len(late) >= self.min_share * len(cases) else []

    def _is_late(self, case: _Case, usual: Mapping[str, float], log_mad: float, min_z: float) -> bool:
        usual_ns = case.usual_of_slowest(usual)
        if case.own_ns[case.slowest] < self.min_ratio * usual_ns:
            return False
        others_ns = case.others_ns
        least_ns = max(self.min_ratio * others_ns, self.min_ratio * usual_ns, others_ns + self.min_excess_ns)
        if case.own_ns[case.slowest] < least_ns:
            return False
        time_ns = case.own_ns[case.slowest] / _size_ratio(case.fan_out.branches, case.slowest)
        return time_ns >= least_ns and log_z_score(time_ns / usual_ns, 0.0, log_mad) > min_z


_QUEUES = (FalseParallelism(), CappedConcurrency())


@dataclass(frozen=True, slots=True)
class _Case:
    """One fan-out and the own time of each of its branches (nanoseconds).

    Attributes:
        slowest: Index of the branch with the longest time.
    """

    fan_out: FanOut
    own_ns: tuple[int, ...]
    slowest: int

    @classmethod
    def of(cls, fan_out: FanOut) -> _Case:
        own = tuple(_own_ns(branch) for branch in fan_out.branches)
        slowest = max(range(len(own)), key=own.__getitem__)
        return cls(fan_out, own, slowest)

    @property
    def others(self) -> list[int]:
        """Times of the other branches."""
        return [each for at, each in enumerate(self.own_ns) if at != self.slowest]

    @property
    def others_ns(self) -> float:
        """Their median."""
        return median(self.others)

    @property
    def change(self) -> Change:
        """Let the slowest branch end with the second slowest."""
        branch = self.fan_out.branches[self.slowest]
        next_end_ns = max(each.end_ns for each in self.fan_out.branches if each is not branch)
        length_ns = max(*self.others, next_end_ns - branch.member.start_ns)
        return Replace(frozenset({branch.member.span_id}), min(branch.member.duration_ns, length_ns))

    def with_usual(self, usual: Mapping[str, float]) -> Iterator[tuple[float, float]]:
        """Pair the time of each branch with what it usually takes."""
        names = [branch.name for branch in self.fan_out.branches]
        middle_ns = 0.0 if usual.keys() >= set(names) else median(self.own_ns)
        for name, own_ns in zip(names, self.own_ns, strict=True):
            yield own_ns, usual.get(name, middle_ns)

    def usual_of_slowest(self, usual: Mapping[str, float]) -> float:
        """Return what the slowest branch usually takes; the median of the others when its name says nothing."""
        known = usual.get(self.fan_out.branches[self.slowest].name)
        return self.others_ns if known is None else known


def _own_ns(branch: Branch) -> int:
    waited_ns = sum(wait.duration_ns for wait in branch.waits if wait.start_ns >= branch.member.start_ns)
    return max(1, branch.member.duration_ns - waited_ns - branch.human_ns)


def _size_ratio(branches: Sequence[Branch], at: int) -> float:
    """Return how much more a branch had to do than the others, by the measure that differs most; at least 1."""
    sizes = [_sizes(branch) for branch in branches]
    ratios = [1.0]
    for measure in range(len(sizes[at])):
        others = median([each[measure] for index, each in enumerate(sizes) if index != at])
        if others > 0:
            ratios.append(sizes[at][measure] / others)
    return max(ratios)


def _sizes(branch: Branch) -> tuple[int, ...]:
    """Measure what a branch had to do: calls, tokens written, tokens read, bytes given."""
    written = sum(leaf.tokens.output for leaf in branch.leaves if leaf.tokens is not None)
    read = sum(uncached_tokens(leaf) for leaf in branch.leaves)
    return len(branch.leaves), written, read, branch.step.input_bytes or 0


def _usual_ns(cases: Sequence[_Case]) -> Mapping[str, float]:
    """Return what the branches of each name take, where there are enough of them."""
    by_name: dict[str, list[int]] = {}
    for case in cases:
        for branch, own_ns in zip(case.fan_out.branches, case.own_ns, strict=True):
            by_name.setdefault(branch.name, []).append(own_ns)
    return {name: median(times) for name, times in by_name.items() if len(times) >= _MIN_OF_NAME}


def _finding(
    rule: Straggler,
    population: Population,
    subject: Subject,
    *,
    cases: Sequence[_Case],
    late: Sequence[_Case],
    impact: Impact,
) -> Finding:
    known = len(cases) >= rule.min_fan_outs
    slowest_s = median([case.own_ns[case.slowest] for case in late]) / 1e9
    others_s = median([case.others_ns for case in late]) / 1e9
    hedge_s = min(2 * others_s, _ninety_fifth([own_ns for case in cases for own_ns in case.own_ns]) / 1e9)
    return Finding(
        detector=rule.name,
        severity=impact.severity if known else at_most(impact.severity, Severity.LOW),
        confidence=Confidence.OBSERVED if known else Confidence.INDICATIVE,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(case.fan_out.branches[case.slowest].step for case in late),
        summary=(
            f"In {len(late)} of {len(cases)} fan-outs one of the branches ({subject.name}) takes {slowest_s:.2g} s, "
            f"the others {others_s:.2g} s"
        ),
        evidence={
            **_evidence(cases, late),
            "slowest_s": round(slowest_s, 4),
            "others_s": round(others_s, 4),
            "hedge_after_s": round(hedge_s, 4),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=(
            f"Start a second attempt of a branch of {subject.name} after {hedge_s:.2g} s, give it a timeout, split its "
            "work, or go on without the last one."
        ),
        changes=impact.changes,
    )


def _evidence(cases: Sequence[_Case], late: Sequence[_Case]) -> Mapping[str, EvidenceValue]:
    return {
        "parent": cases[0].fan_out.parent.name,
        "places": place_names(case.fan_out for case in cases),
        "members": tuple(sorted({case.fan_out.branches[case.slowest].name for case in late})),
        "branches": round(median([len(case.own_ns) for case in cases])),
        "fan_outs": len(cases),
        "fan_outs_late": len(late),
    }


def _ninety_fifth(values: Sequence[int]) -> int:
    """Return what 95 % of the values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]
