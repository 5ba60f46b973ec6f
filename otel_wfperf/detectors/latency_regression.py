"""Detector: parts of a workflow that take longer since some moment, or since something was changed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final

from otel_wfperf.analysis.change_point import change_points
from otel_wfperf.analysis.comparison import inflation, input_ratio, log_duration, workload_strata
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import benjamini_hochberg, median
from otel_wfperf.analysis.trend import is_step
from otel_wfperf.analysis.two_samples import Shift, Stratum, hodges_lehmann, rank_test
from otel_wfperf.detectors.history import (
    HOUR_NS,
    Release,
    Sample,
    generations,
    histories,
    moment,
    places_of,
    releases,
)
from otel_wfperf.detectors.latency_trend import MIN_DAYS
from otel_wfperf.detectors.severity import Impact, replayed
from otel_wfperf.model import Confidence, Finding, Saving, Scale, Subject, SubjectKind

# Chosen: the change points of a series of this length take about 5 ms to find; longer ones are taken in blocks.
_MAX_POINTS: Final = 200
# Chosen: parts of the day within which a daily cycle changes little.
_BLOCK_HOURS: Final = 4
_EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRegression:
    """Report the workflow, its phases and its agents that take longer than they did, and still do.

    Windows are the runs before and after another service version, model or prompt, or before and after the moment at
    which a series of times changed its level. Only runs with inputs of equal size (calls, tokens in powers of two) are
    compared, so that more work is no regression. Runs that failed and waits for people are left out.

    Recordings longer than a few hours are compared within parts of the day, so that a daily cycle is no regression;
    where the windows share no part of the day, only the hours next to the change count, and the ratio must be greater.
    Times that grow all along for days are a trend.

    Attributes:
        min_runs: Fewest runs on either side. Chosen: twice the time (log deviation 0.4) is found with 20 a side in 14
            of 20 cases, with 30 in 19; without a release to go by in 9 and 17.
        min_ratio: Least time over that before, beyond what larger inputs explain. Chosen: less is drift.
        level: Greatest chance of any finding where nothing changed (Benjamini and Hochberg over all parts and windows).
            Chosen: none of 1,440 simulated healthy histories gave a finding (40 and 100 runs in an hour to five days,
            log deviation 0.3 to 1.3, half with runs that depend on each other by 0.5, most with a daily cycle of a
            third, half with a release that changed nothing).
        splits: Independent places at which a change point may be found by chance, a factor on its p. Chosen: about
            2 ln(n) for hundreds of runs, doubled.
        caution: Standard errors by which runs are taken to depend on each other more than they seem to. Chosen: without
            it 3 % of healthy histories of 40 runs that depend on each other by 0.5 gave a finding.
        cycle_ns: Recordings longer than this may hold part of a daily cycle (nanoseconds). Chosen: within four hours a
            cycle of a third up and down makes the second half at most 17 % slower than the first, less than
            ``min_ratio``.
        min_ratio_in_cycle: Least ratio where the parts of the day differ. Chosen: three times what such a cycle does
            between the hours before and after.
    """

    name: ClassVar[str] = "latency_regression"
    min_runs: int = 15
    min_ratio: float = 1.2
    level: float = 0.001
    splits: int = 20
    caution: float = 1.0
    cycle_ns: int = 4 * HOUR_NS
    min_ratio_in_cycle: float = 1.5

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each part that takes longer."""
        if len(population.executions) < 2 * self.min_runs:
            return
        cases = [
            case
            for part, samples in histories(population).items()
            for window in self._windows(samples)
            if (case := self._case(part, samples, window)) is not None
        ]
        rejected = benjamini_hochberg([case.p for case in cases], level=self.level)
        slower = [case for case, is_real in zip(cases, rejected, strict=True) if is_real and self._is_slower(case)]
        # What a part does all along, the whole does too, if less clearly.
        at_once = {case.part for case in slower if not case.is_trend}
        growing = {
            part for case in slower if case.part not in at_once for part in (case.part, *case.after[-1].figures.within)
        }
        reported: set[Subject] = set()
        for case in slower:
            impact = None if case.part in growing | reported or case.is_trend else _impact(population, case)
            if impact is not None:
                reported.add(case.part)
                yield _finding(self.name, population, case, impact)

    def _windows(self, samples: Sequence[Sample]) -> Iterator[_Window]:
        """Yield what to compare, the newest first."""
        if len(samples) < 2 * self.min_runs:
            return
        for groups in generations(samples):
            for at in range(len(groups) - 1, 0, -1):
                later = sorted((each for group in groups[at:] for each in group), key=lambda each: each.start_ns)
                if min(len(groups[at - 1]), len(later)) >= self.min_runs:
                    yield _Window(groups[at - 1], later, by_release=True)
        points = self._change_points(samples)
        for at in range(len(points) - 1, -1, -1):
            before = samples[points[at - 1] if at else 0 : points[at]]
            if min(len(before), len(samples) - points[at]) >= self.min_runs:
                yield _Window(before, samples[points[at] :], by_release=False)

    def _change_points(self, samples: Sequence[Sample]) -> list[int]:
        size = math.ceil(len(samples) / _MAX_POINTS)
        logs = [log_duration(each.figures) for each in samples]
        blocks = [median(logs[at : at + size]) for at in range(0, len(logs), size)]
        return [point * size for point in change_points(blocks, min_shift=math.log(self.min_ratio) / 2)]

    def _case(self, part: Subject, history: Sequence[Sample], window: _Window) -> _Case | None:
        """Compare two windows; None when too few runs are comparable."""
        found = self._comparable(window.before, window.after)
        if found is None:
            return None
        early, late, strata, in_cycle = found
        logs = [[log_duration(each.figures) for each in side] for side in (early, late)]
        factor = inflation(*logs, caution=self.caution)
        chances = 1 if window.by_release else self.splits
        return _Case(
            part=part,
            history=history,
            before=early,
            after=late,
            strata=strata,
            p=min(1.0, chances * rank_test(strata, inflation=factor).p_greater),
            shift=hodges_lehmann(strata, inflation=factor),
            input_ratio=max(1.0, input_ratio([each.figures for each in early], [each.figures for each in late])),
            in_cycle=in_cycle,
            by_release=window.by_release,
        )

    def _comparable(
        self, before: Sequence[Sample], after: Sequence[Sample]
    ) -> tuple[Sequence[Sample], Sequence[Sample], list[Stratum], bool] | None:
        """Return what to compare, in strata, and whether the windows lie in different parts of the day."""
        starts = [each.start_ns for each in (*before, *after)]
        if max(starts) - min(starts) <= self.cycle_ns:
            strata = _strata(before, after, by_day=False)
            return (before, after, strata, False) if self._are_enough(strata) else None
        strata = _strata(before, after, by_day=True)
        if self._are_enough(strata):
            return before, after, strata, False
        border_ns = after[0].start_ns
        before = [each for each in before if border_ns - each.start_ns <= self.cycle_ns / 2]
        after = [each for each in after if each.start_ns - border_ns <= self.cycle_ns / 2]
        strata = _strata(before, after, by_day=False)
        return (before, after, strata, True) if self._are_enough(strata) else None

    def _are_enough(self, strata: Sequence[Stratum]) -> bool:
        return min(sum(len(stratum[side]) for stratum in strata) for side in (0, 1)) >= self.min_runs

    def _is_slower(self, case: _Case) -> bool:
        """Tell whether the difference is large, and the newest runs are slow too: what was put right is no news."""
        least = self.min_ratio_in_cycle if case.in_cycle else self.min_ratio
        newest = _strata(case.before, case.after[-self.min_runs :], by_day=False)
        still_holds = bool(newest) and math.exp(hodges_lehmann(newest).estimate) >= self.min_ratio
        return still_holds and case.ratio >= least * case.input_ratio


@dataclass(frozen=True, slots=True)
class _Window:
    """Runs before and after a release, or before and after a moment."""

    before: Sequence[Sample]
    after: Sequence[Sample]
    by_release: bool


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One part in two windows of its history."""

    part: Subject
    history: Sequence[Sample]
    before: Sequence[Sample]
    after: Sequence[Sample]
    strata: list[Stratum]
    p: float
    shift: Shift
    input_ratio: float
    in_cycle: bool
    by_release: bool

    @property
    def ratio(self) -> float:
        return math.exp(self.shift.estimate)

    @property
    def excess_ratio(self) -> float:
        """Return the ratio without what larger inputs explain."""
        return self.ratio / self.input_ratio

    @cached_property
    def is_trend(self) -> bool:
        """Whether the times grew all along, over days: then no moment is to blame."""
        positions = [each.start_ns / HOUR_NS for each in self.history]
        if positions[-1] - positions[0] < 24 * MIN_DAYS:
            return False
        at = sum(position < self.since_ns / HOUR_NS for position in positions)
        return not is_step(positions, [log_duration(each.figures) for each in self.history], max(1, at))

    @property
    def since_ns(self) -> int:
        return self.after[0].start_ns


def _strata(before: Sequence[Sample], after: Sequence[Sample], *, by_day: bool) -> list[Stratum]:
    """Divide runs by workload, and by part of the day where asked for."""
    blocks = range(24 // _BLOCK_HOURS) if by_day else (None,)
    found: list[Stratum] = []
    for block in blocks:
        early, late = (
            [each.figures for each in side if block is None or each.block(_BLOCK_HOURS) == block]
            for side in (before, after)
        )
        found += workload_strata(early, late, log_duration)
    return found


def _impact(population: Population, case: _Case) -> Impact | None:
    """Replay the runs since then at the old speed; they alone tell how much it matters now."""
    change = {each.execution.trace_id: [Scale(each.figures.span_ids, 1 / case.excess_ratio)] for each in case.after}
    since = tuple(each for each in population.executions if each.start_ns >= case.since_ns)
    impact = replayed(Population(population.workflow, since), change)
    if impact is None:
        return None
    # The replays of the runs vary; so does the ratio that they are made with.
    low, high = (max(1.0, math.exp(end) / case.input_ratio) for end in (case.shift.low, case.shift.high))
    share = 1 - 1 / case.excess_ratio
    saving = Saving(
        median_s=impact.saving.median_s,
        low_s=min(impact.saving.low_s, impact.saving.median_s * (1 - 1 / low) / share),
        high_s=max(impact.saving.high_s, impact.saving.median_s * (1 - 1 / high) / share),
    )
    return dataclasses.replace(impact, saving=saving)


def _finding(detector: str, population: Population, case: _Case, impact: Impact) -> Finding:
    changed = releases(case.before, case.after)
    before_s, after_s = (
        median([each.figures.duration_ns for each in side]) / 1e9 for side in (case.before, case.after)
    )
    since = moment(case.since_ns)
    what = f"; {changed[0]} then" if changed else ""
    name = "The workflow" if case.part.kind is SubjectKind.WORKFLOW else repr(case.part.name)
    return Finding(
        detector=detector,
        severity=impact.severity,
        confidence=Confidence.OBSERVED,
        workflow=population.workflow,
        subject=case.part,
        trace_ids=impact.trace_ids,
        span_ids=_examples(case),
        summary=(
            f"{name} takes {case.ratio:.2g} times as long since {since}, with inputs of the same size: "
            f"{after_s:.2g} s instead of {before_s:.2g} s{what}"
        ),
        evidence={
            "since_unix_ns": case.since_ns,
            "since": since,
            "before_s": round(before_s, 4),
            "after_s": round(after_s, 4),
            "ratio": round(case.ratio, 3),
            "ratio_low": round(math.exp(case.shift.low), 3),
            "ratio_high": round(math.exp(case.shift.high), 3),
            "input_ratio": round(case.input_ratio, 3),
            "output_ratio": _output_ratio(case),
            "p": float(f"{case.p:.2g}"),
            "changed": tuple(str(each) for each in changed),
            "found_by": "release" if case.by_release else "change point",
            "places": places_of(case.after),
            "runs_before": len(case.before),
            "runs_after": len(case.after),
            "compared_runs": sum(len(early) + len(late) for early, late in case.strata),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=_recommendation(case, changed, since),
    )


def _output_ratio(case: _Case) -> float | None:
    """Return how many times as long the answers are; None when tokens are not known."""
    was, now = (median([each.figures.output_tokens for each in side]) for side in (case.before, case.after))
    return round(now / was, 2) if was and now else None


def _examples(case: _Case) -> tuple[str, ...]:
    """Return the newest operations of the part."""
    return tuple(min(each.figures.span_ids) for each in case.after[-_EXAMPLES:])


def _recommendation(case: _Case, changed: Sequence[Release], since: str) -> str:
    if not changed:
        return f"Look for what was changed around {since}, such as a deployment, a setting or a provider."
    first = changed[0]
    also = "".join(f", and {each}" for each in changed[1:])
    return f"Compare {first.what} {first.after} with {first.before}, which {case.part.name!r} ran with before{also}."
