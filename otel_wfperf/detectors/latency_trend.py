"""Detector: parts of a workflow that take longer day by day."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final

from otel_wfperf.analysis.change_point import change_points
from otel_wfperf.analysis.comparison import log_duration
from otel_wfperf.analysis.population import Population
from otel_wfperf.analysis.statistics import benjamini_hochberg, median
from otel_wfperf.analysis.trend import Trend, is_step, trend, without_cycle
from otel_wfperf.detectors.history import HOUR_NS, Sample, histories, moment, places_of
from otel_wfperf.detectors.severity import Impact, replayed
from otel_wfperf.model import Confidence, Finding, Scale, Subject, SubjectKind

# Chosen: fewer days do not tell a trend from their cycle.
MIN_DAYS: Final = 3.0
_DAY_HOURS: Final = 24
_EXAMPLES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTrend:
    """Report the workflow, its phases and its agents whose times grow over days.

    Of each hour the median of the logarithm counts, after what belongs to the size of the input (calls, tokens in
    powers of two) and to the hour of the day is subtracted. A series that a single step describes better than a line is
    a regression and not a trend. Runs that failed and waits for people are left out.

    Attributes:
        min_hours: Fewest hours with runs. Chosen: of histories of 45 hours whose runs depended on each other by 0.5,
            2 % gave a finding, of those of 85 hours none in 100.
        min_days: Least length of the history (days). Chosen: fewer do not tell a cycle of days from a trend.
        min_growth_ratio: Least growth over the history (0.15 = 15 %). Chosen: of simulated histories without a trend,
            whose times depended on the run before, the test alone let 3 % to 6 % pass.
        level: Greatest chance of any finding without a trend (Benjamini and Hochberg over all parts). Chosen: as for
            regressions, with the same healthy histories.
        caution: Standard errors by which hours are taken to depend on each other more than they seem to. Chosen:
            without it 10 % of histories of 60 to 200 runs that depended on each other by 0.5 gave a finding.
    """

    name: ClassVar[str] = "latency_trend"
    min_hours: int = 48
    min_days: float = MIN_DAYS
    min_growth_ratio: float = 0.15
    level: float = 0.001
    caution: float = 2.0

    def detect(self, population: Population) -> Iterator[Finding]:
        """Yield one finding for each part whose times grow."""
        starts = [each.start_ns for each in population.executions]
        if max(starts) - min(starts) < self.min_days * _DAY_HOURS * HOUR_NS:
            return
        cases = [
            case for part, samples in histories(population).items() if (case := self._case(part, samples)) is not None
        ]
        rejected = benjamini_hochberg([case.trend.p_two_sided for case in cases], level=self.level)
        growing = [
            case
            for case, is_real in zip(cases, rejected, strict=True)
            if is_real and case.growth >= 1 + self.min_growth_ratio
        ]
        # What a part does at once, the whole does too, if less clearly.
        stepped = {part for case in growing if not case.is_line for part in case.samples[-1].figures.within}
        for case in growing:
            impact = _impact(population, case) if case.is_line and case.part not in stepped else None
            if impact is not None:
                yield _finding(self.name, population, case, impact)

    def _case(self, part: Subject, samples: Sequence[Sample]) -> _Case | None:
        """Fit the hourly values of a part; None when there are too few."""
        hours: dict[int, list[float]] = {}
        for sample, value in zip(samples, _without_workload(samples), strict=True):
            hours.setdefault(sample.start_ns // HOUR_NS, []).append(value)
        known = sorted(hours)
        if len(known) < self.min_hours or known[-1] - known[0] < self.min_days * _DAY_HOURS:
            return None
        values = [median(hours[hour]) for hour in known]
        positions = [float(hour - known[0]) for hour in known]
        # The trend goes first: where hours of the day are rare, their medians would take part of it along.
        rough = trend(positions, values).slope
        level = [value - rough * position for position, value in zip(positions, values, strict=True)]
        flat = without_cycle([hour % _DAY_HOURS for hour in known], level)
        values = [value + rough * position for position, value in zip(positions, flat, strict=True)]
        found = trend(positions, values, caution=self.caution)
        return _Case(part=part, samples=samples, hours=known, values=values, trend=found)


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One part over hours (numbered since the Unix epoch), with the logarithms that are left of its times."""

    part: Subject
    samples: Sequence[Sample]
    hours: Sequence[int]
    values: Sequence[float]
    trend: Trend

    @property
    def span_hours(self) -> int:
        return self.hours[-1] - self.hours[0]

    @property
    def growth(self) -> float:
        """Return the level at the end over that at the start."""
        return math.exp(self.trend.slope * self.span_hours)

    @cached_property
    def is_line(self) -> bool:
        """Whether a line is nearer to the values than one step is."""
        positions = [float(hour) for hour in self.hours]
        return not any(is_step(positions, self.values, at) for at in change_points(self.values))

    def factor(self, sample: Sample) -> float:
        """Return what times of a run have to be multiplied with to be those of the start."""
        return math.exp(-self.trend.slope * (sample.start_ns / HOUR_NS - self.hours[0]))


def _without_workload(samples: Sequence[Sample]) -> list[float]:
    logs = [log_duration(each.figures) for each in samples]
    return without_cycle([each.figures.workload for each in samples], logs)


def _impact(population: Population, case: _Case) -> Impact | None:
    """Replay the runs of the last day with the times of the start: that is what it costs now."""
    newest_ns = case.samples[-1].start_ns - _DAY_HOURS * HOUR_NS
    recent = [each for each in case.samples if each.start_ns >= newest_ns]
    changes = {each.execution.trace_id: [Scale(each.figures.span_ids, case.factor(each))] for each in recent}
    since = tuple(each for each in population.executions if each.start_ns >= newest_ns)
    return replayed(Population(population.workflow, since), changes)


def _finding(detector: str, population: Population, case: _Case, impact: Impact) -> Finding:
    days = case.span_hours / _DAY_HOURS
    a_day = math.exp(case.trend.slope * _DAY_HOURS)
    doubled_days = math.log(2) / (case.trend.slope * _DAY_HOURS)
    recent_s = median([each.figures.duration_ns for each in case.samples[-_EXAMPLES:]]) / 1e9
    doubled = moment(round(case.samples[-1].start_ns + doubled_days * _DAY_HOURS * HOUR_NS))
    name = "The workflow" if case.part.kind is SubjectKind.WORKFLOW else repr(case.part.name)
    return Finding(
        detector=detector,
        severity=impact.severity,
        confidence=Confidence.OBSERVED,
        workflow=population.workflow,
        subject=case.part,
        trace_ids=impact.trace_ids,
        span_ids=tuple(min(each.figures.span_ids) for each in case.samples[-_EXAMPLES:]),
        summary=(
            f"{name} takes {100 * (a_day - 1):.0f} % longer each day, with inputs of the same size: "
            f"{case.growth:.2g} times as long as {days:.2g} days before, {recent_s:.2g} s now"
        ),
        evidence={
            "growth_ratio": round(case.growth, 3),
            "growth_per_day_ratio": round(a_day, 4),
            "days": round(days, 2),
            "hours_with_runs": len(case.hours),
            "recent_s": round(recent_s, 4),
            "doubles_in_days": round(doubled_days, 2),
            "p": float(f"{case.trend.p_two_sided:.2g}"),
            "dependence_inflation": round(case.trend.inflation, 2),
            "places": places_of(case.samples),
            "runs": len(population.executions),
            "runs_affected": impact.runs,
        },
        saving=impact.saving,
        changes=impact.changes,
        recommendation=(
            f"Find what grows with time in {case.part.name!r} (history, index, queue), before its time has doubled "
            f"again on {doubled}."
        ),
    )
