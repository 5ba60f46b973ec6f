"""Detector: branches that were meant to run at once, and run one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import median
from otel_wfperf.detectors.fan_out import FanOut, least_confidence
from otel_wfperf.detectors.hindrance import hindrance, needs_result
from otel_wfperf.detectors.rescheduling import with_capacity
from otel_wfperf.detectors.scheduled_together import by_subject, group_evidence
from otel_wfperf.detectors.severity import MIN_RUNS, Impact, at_most, examples, replayed
from otel_wfperf.model import Change, Confidence, Finding, Severity, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseParallelism:
    """Report branches that were scheduled together, of which only one works at a time.

    Branches were scheduled together where the emitter says so (a parallel group, a step of a graph), or where all were
    under way before the first of them ended. A branch works while one of its leaves runs; where its own code held the
    event loop, it worked and no other one did. Waits, waits for a connection, and pauses are no work.

    What the branches waited for is named where it is recorded: a branch that held the event loop, a lock, a limit, a
    queue, a pool of connections. A rate limit or a limit that is declared is deliberate: such a finding is for
    information.

    Left alone are groups in which one branch does most of the work, groups in which nothing works for a while, and,
    unless they are declared to be parallel, branches that were given what another one produced. Branches that overlap
    in fewer than five runs are an assumption, of medium severity at most.

    The subject is the group: the names of its branches.

    Attributes:
        max_parallelism: Busy time of all branches over the time in which any was busy, below which they run one at a
            time. Source: detectors.md, simulated fan-outs of 3, 5 and 8: 1.0 when serialised, a median of 2.2 and more
            when parallel.
        min_branches: Fewest branches. Chosen: two overlap by chance; they are enough in
        min_runs_of_two: this many runs.
        max_share_of_one: Largest share of one branch in the busy time (0..1). Chosen: beyond, the branch itself is what
            the others wait for.
        min_covered_ratio: Least share of the group's time in which a branch works (0..1). Chosen: otherwise the work is
            not seen, and nothing is known of its order.
        min_share: Least share of the fan-outs of the group that ran so (0..1). Chosen: a lock is always there; times
            of which one is much longer than the others come out like that by chance.
    """

    name: ClassVar[str] = "false_parallelism"
    max_parallelism: float = 1.3
    min_branches: int = 3
    min_runs_of_two: int = 5
    max_share_of_one: float = 0.8
    min_covered_ratio: float = 0.8
    min_share: float = 0.5

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each group of names."""
        for subject, found in population.once(by_subject).items():
            cases = [each for each in found if self.is_serialised(each)]
            if not self._is_enough(cases) or len(cases) < self.min_share * len(found):
                continue
            changes: dict[str, list[Change]] = {}
            for case in cases:
                changed = with_capacity(case, now=1, then=len(case.branches))
                changes.setdefault(case.trace_id, []).extend(changed)
            impact = replayed(population, changes)
            if impact is not None:
                yield _finding(self.name, population, subject, cases=cases, impact=impact)

    def is_serialised(self, fan_out: FanOut) -> bool:
        """Tell whether the branches of one group worked one at a time without need."""
        if not (fan_out.scheduling.is_group or fan_out.overlaps) or fan_out.parallelism >= self.max_parallelism:
            return False
        busy_ns = sum(branch.busy_ns for branch in fan_out.branches)
        if fan_out.longest_ns >= self.max_share_of_one * busy_ns:
            return False
        if fan_out.covered_ns < self.min_covered_ratio * fan_out.window_ns:
            return False
        return fan_out.scheduling.is_declared or not needs_result(fan_out)

    def _is_enough(self, cases: Sequence[FanOut]) -> bool:
        runs = {case.trace_id for case in cases}
        return len(runs) >= self.min_runs_of_two or (bool(cases) and median(_widths(cases)) >= self.min_branches)


def _widths(cases: Sequence[FanOut]) -> list[int]:
    return [len(case.branches) for case in cases]


def _finding(
    detector: str, population: Population, subject: Subject, *, cases: Sequence[FanOut], impact: Impact
) -> Finding:
    cause = hindrance(cases, capacity=1)
    width = round(median(_widths(cases)))
    confidence = least_confidence(cases, is_usual=impact.runs >= MIN_RUNS)
    now_s = median([case.window_ns for case in cases]) / 1e9
    longest_s = median([case.longest_ns for case in cases]) / 1e9
    limit = Severity.INFO if cause.is_deliberate else cause.limit
    if confidence is Confidence.ASSUMED:
        limit = at_most(Severity.MEDIUM, limit)
    return Finding(
        detector=detector,
        severity=at_most(impact.severity, limit),
        confidence=confidence,
        workflow=population.workflow,
        subject=subject,
        trace_ids=impact.trace_ids,
        span_ids=examples(branch.step for case in cases for branch in case.branches),
        summary=(
            f"{width} branches ({subject.name}) are started together but work one at a time: {now_s:.2g} s in all, the "
            f"longest works {longest_s:.2g} s{cause.clause}"
        ),
        evidence={
            **group_evidence(cases),
            "longest_branch_s": round(longest_s, 4),
            **cause.evidence,
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        recommendation=cause.advice.format(group=subject.name, now=1, then=width),
        changes=impact.changes,
    )
