"""Detector: branches that queue for fewer places than there are branches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.spells import Spell, total_ns
from otel_wfperf.analysis.statistics import median, spearman
from otel_wfperf.detectors.fan_out import TOLERANCE_NS, FanOut, Scheduling, least_confidence
from otel_wfperf.detectors.hindrance import Hindrance, hindrance
from otel_wfperf.detectors.rescheduling import with_capacity
from otel_wfperf.detectors.scheduled_together import by_subject, group_evidence
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import Change, Confidence, Finding, Severity, Subject

_RAISE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedConcurrency:
    """Report branches that were scheduled together, of which some wait until others are done.

    The signs of a limit: never more than a few branches work at once, whoever comes later starts when another one
    stops, and nobody waits while there is a place. Branches were scheduled together where the emitter says so (a
    parallel group, a step of a graph, equal dependencies, one turn of a model) or all were under way before the first
    of them ended. Calls of one name of which some overlap are an assumption, of low severity: two chains look like two
    places; so are overlapping branches in fewer than five runs, of medium severity at most.

    A rate limit, and a limit whose size is on record, is deliberate: such a finding is for information. A limit of one
    is `false_parallelism`.

    The saving is that of twice the places, at most one for each branch.

    The subject is the group: the names of its branches.

    Attributes:
        min_places: Fewest places. Chosen: fewer is no concurrency.
        min_late: Fewest branches that wait. Chosen: one may depend on another.
        min_aligned_ratio: Least share of the later branches that start when another one stops (0..1). Source:
            detectors.md.
        min_full_ratio: Least share of the waiting in which all places were taken (0..1). Chosen: a barrier between
            batches leaves places empty, handing over takes some time.
        min_correlation: Least rank correlation of a branch's wait with its place in the order. Source: detectors.md.
    """

    name: ClassVar[str] = "capped_concurrency"
    min_places: int = 2
    min_late: int = 2
    min_aligned_ratio: float = 0.6
    min_full_ratio: float = 0.85
    min_correlation: float = 0.8

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each group of names."""
        for subject, found in population.once(by_subject).items():
            cases = [each for each in found if self.is_capped(each)]
            changes: dict[str, list[Change]] = {}
            for case in cases:
                changed = with_capacity(case, now=case.peak, then=_places_then(case))
                changes.setdefault(case.trace_id, []).extend(changed)
            impact = replayed(population, changes) if cases else None
            if impact is not None:
                yield _finding(self.name, population, subject, cases=cases, impact=impact)

    def is_capped(self, fan_out: FanOut) -> bool:
        """Tell whether branches of one group waited for places that others had."""
        branches, places = fan_out.branches, fan_out.peak
        if places < self.min_places or len(branches) < places + self.min_late:
            return False
        waits_ns = [branch.entry_ns - branch.scheduled_ns for branch in branches]
        late = [at for at in range(places, len(branches)) if waits_ns[at] > fan_out.tolerance_ns]
        if len(late) < self.min_late:
            return False
        stops_ns = sorted(end_ns for branch in branches for _, end_ns in branch.busy)
        aligned = sum(_stops_before(stops_ns, branches[at].entry_ns, fan_out.tolerance_ns) for at in late)
        if aligned < self.min_aligned_ratio * (len(branches) - places):
            return False
        waited_ns = sum(_overlap_ns(spells, fan_out, at) for at, spells in enumerate(fan_out.waiting(places)))
        if waited_ns < self.min_full_ratio * sum(waits_ns):
            return False
        return spearman([float(at) for at in range(len(branches))], waits_ns) >= self.min_correlation


def _stops_before(stops_ns: Sequence[int], moment_ns: int, tolerance_ns: int) -> bool:
    """Tell whether a branch gave its place back just before a moment."""
    at = bisect_right(stops_ns, moment_ns + TOLERANCE_NS // 4)
    return at > 0 and stops_ns[at - 1] >= moment_ns - tolerance_ns


def _overlap_ns(spells: Sequence[Spell], fan_out: FanOut, at: int) -> int:
    """Return how long a branch waited before its first work (nanoseconds)."""
    entry_ns = fan_out.branches[at].entry_ns
    return total_ns((start_ns, min(end_ns, entry_ns)) for start_ns, end_ns in spells if start_ns < entry_ns)


def _places_then(case: FanOut) -> int:
    return min(len(case.branches), _RAISE * case.peak)


def _finding(
    detector: str, population: Population, subject: Subject, *, cases: Sequence[FanOut], impact: Impact
) -> Finding:
    width = round(median([len(case.branches) for case in cases]))
    places = round(median([case.peak for case in cases]))
    then = min(width, _RAISE * places)
    cause = hindrance(cases, capacity=places)
    confidence = least_confidence(cases, is_usual=impact.runs >= MIN_RUNS)
    wait_s = median([case.branches[-1].entry_ns - case.branches[-1].scheduled_ns for case in cases]) / 1e9
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, _limit(cases, cause, confidence)),
        confidence=confidence,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(branch.step for case in cases for branch in case.branches),
        summary=(
            f"Of {width} branches ({subject.name}) at most {places} work at once; the last one waits "
            f"{wait_s:.2g} s{cause.clause}"
        ),
        evidence={
            **group_evidence(cases),
            "capacity": places,
            "proposed_capacity": then,
            "last_wait_s": round(wait_s, 4),
            **cause.evidence,
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=cause.advice.format(group=subject.name, now=places, then=then),
        changes=impact.changes,
    )


def _limit(cases: Sequence[FanOut], cause: Hindrance, confidence: Confidence) -> Severity:
    if cause.is_deliberate:
        return Severity.INFO
    if confidence is not Confidence.ASSUMED:
        return cause.limit
    by_name = any(case.scheduling is Scheduling.NAMES for case in cases)
    return Severity.LOW if by_name else Severity.MEDIUM
