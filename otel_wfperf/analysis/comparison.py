"""Whether workflows became faster or slower between two sets of runs, and which of their parts did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from otel_wfperf.analysis.parts import PartFigures, RunFigures
from otel_wfperf.analysis.statistics import benjamini_hochberg, dependence_inflation, median
from otel_wfperf.analysis.two_samples import (
    Stratum,
    comparable,
    hodges_lehmann,
    least_samples,
    rank_test,
    smallest_effect,
)
from otel_wfperf.model import Subject, SubjectKind

# Chosen: of all comparisons of two equal sets, at most one in a hundred gives any verdict: a false one stops a release.
LEVEL: Final = 0.01
# Chosen: the least at which a test at that level can decide at all.
MIN_RUNS: Final = least_samples(LEVEL)
# Chosen: machines and days differ by as much.
MIN_CHANGE_RATIO: Final = 0.05
# Chosen: what is smaller moves no workflow, and each part that is tested makes the test of the others stricter.
MIN_SHARE: Final = 0.01
# Source: the usual power of a study (Cohen, "Statistical Power Analysis", 1988).
POWER: Final = 0.8


class Verdict(StrEnum):
    """What the runs show."""

    SLOWER = "slower"
    FASTER = "faster"
    NO_EVIDENCE = "no evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartComparison:
    """One part of a workflow before and after.

    Attributes:
        runs_before: Runs that have it (count).
        runs_after: The same after.
        comparable_before: Of those, the ones with inputs that occur on both sides (count).
        comparable_after: The same after.
        before_ns: Median time (nanoseconds).
        after_ns: The same after.
        ratio: Time after over time before, among runs with equal inputs (1 = equal).
        ratio_low: Lower end of its 90 % interval.
        ratio_high: Upper end of it.
        input_ratio: How many times the input tokens or calls it has after, among the same runs.
        error: Standard error of ln(ratio).
        p: Two-sided chance of so great a difference without a cause (0..1).
        smallest_ratio: Ratio that so many runs would have shown in four of five cases.
    """

    part: Subject
    runs_before: int
    runs_after: int
    comparable_before: int = 0
    comparable_after: int = 0
    before_ns: float
    after_ns: float
    ratio: float = 1.0
    ratio_low: float = 0.0
    ratio_high: float = math.inf
    input_ratio: float = 1.0
    error: float = math.inf
    p: float = 1.0
    smallest_ratio: float = math.inf
    verdict: Verdict = Verdict.NO_EVIDENCE

    @property
    def is_tested(self) -> bool:
        """Whether there were enough runs with equal inputs."""
        return min(self.comparable_before, self.comparable_after) >= MIN_RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowComparison:
    """One workflow before and after.

    Attributes:
        whole: The run as a whole.
        parts: Its phases and agents that both sides have, by time before, longest first.
        only_before: Parts that no run has after.
        only_after: Parts that no run had before.
        small: Parts that were not tested because they take less than ``MIN_SHARE`` of a run (count).
    """

    workflow: str
    whole: PartComparison
    parts: tuple[PartComparison, ...]
    only_before: tuple[Subject, ...] = ()
    only_after: tuple[Subject, ...] = ()
    small: int = 0

    @property
    def verdict(self) -> Verdict:
        """That of the whole; where it has none, that of its parts, the worse one when they differ."""
        found = {each.verdict for each in self.parts}
        if self.whole.verdict is not Verdict.NO_EVIDENCE:
            return self.whole.verdict
        return next((each for each in (Verdict.SLOWER, Verdict.FASTER) if each in found), Verdict.NO_EVIDENCE)

    @property
    def changed(self) -> tuple[PartComparison, ...]:
        """The phases and agents that became faster or slower."""
        return tuple(each for each in self.parts if each.verdict is not Verdict.NO_EVIDENCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All workflows before and after.

    Attributes:
        workflows: Those with enough runs on both sides, by name.
        too_few: Those with fewer, with their runs before and after (counts).
        level: Greatest chance that equal sets of runs give any verdict (0..1).
    """

    workflows: tuple[WorkflowComparison, ...]
    too_few: Mapping[str, tuple[int, int]]
    level: float = LEVEL

    @property
    def verdict(self) -> Verdict:
        """The worst of all workflows."""
        found = {each.verdict for each in self.workflows}
        return next((each for each in (Verdict.SLOWER, Verdict.FASTER) if each in found), Verdict.NO_EVIDENCE)


def compare(
    before: Iterable[RunFigures], after: Iterable[RunFigures], *, min_change_ratio: float = MIN_CHANGE_RATIO
) -> Comparison:
    """Compare two sets of runs.

    Runs are compared with runs of equal inputs only, by a two-sided stratified Mann-Whitney test; of all parts of all
    workflows together those are reported that Benjamini and Hochberg's procedure rejects at ``LEVEL``, and of those the
    ones that changed by more than their inputs and more than ``min_change_ratio``.

    Args:
        before: Runs of any workflows; those that failed are left out.
        after: The same after.
        min_change_ratio: Least change that counts (0.05 = 5 %).
    """
    early, late = _by_workflow(before), _by_workflow(after)
    too_few: dict[str, tuple[int, int]] = {}
    found: list[WorkflowComparison] = []
    for workflow in sorted(early.keys() | late.keys()):
        ours, theirs = early.get(workflow, []), late.get(workflow, [])
        if min(len(ours), len(theirs)) < MIN_RUNS:
            too_few[workflow] = (len(ours), len(theirs))
        else:
            found.append(_workflow(workflow, ours, theirs))
    return Comparison(workflows=_judged(found, min_change_ratio), too_few=too_few)


def _by_workflow(runs: Iterable[RunFigures]) -> dict[str, list[RunFigures]]:
    found: dict[str, list[RunFigures]] = {}
    for run in sorted(runs, key=lambda each: (each.start_ns, each.trace_id)):
        if not run.parts[run.whole].failed:
            found.setdefault(run.workflow, []).append(run)
    return found


def _workflow(workflow: str, before: Sequence[RunFigures], after: Sequence[RunFigures]) -> WorkflowComparison:
    early, late = _by_part(before), _by_part(after)
    whole = Subject(kind=SubjectKind.WORKFLOW, name=workflow)
    total = _part(whole, early[whole], late[whole])
    others = [part for part in early if part in late and part != whole]
    least_ns = MIN_SHARE * max(total.before_ns, total.after_ns)
    compared = [_part(part, early[part], late[part]) for part in others]
    large = [each for each in compared if max(each.before_ns, each.after_ns) >= least_ns]
    return WorkflowComparison(
        workflow=workflow,
        whole=total,
        parts=tuple(sorted(large, key=lambda each: (-each.before_ns, each.part.kind, each.part.name))),
        only_before=tuple(part for part in early if part not in late),
        only_after=tuple(part for part in late if part not in early),
        small=len(compared) - len(large),
    )


def _by_part(runs: Iterable[RunFigures]) -> dict[Subject, list[PartFigures]]:
    found: dict[Subject, list[PartFigures]] = {}
    for run in runs:
        for part, figures in run.parts.items():
            if not figures.failed:
                found.setdefault(part, []).append(figures)
    return found


def workload_strata(
    before: Sequence[PartFigures], after: Sequence[PartFigures], value: Callable[[PartFigures], float]
) -> list[Stratum]:
    """Divide figures into those of equal workload, where both sides have any.

    Where a side does not know its tokens, they are not looked at.
    """
    counted = all(any(each.input_tokens for each in side) for side in (before, after))
    found: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    for at, side in enumerate((before, after)):
        for each in side:
            calls, tokens = each.workload
            found.setdefault((calls, tokens if counted else 0), ([], []))[at].append(value(each))
    return comparable(found[key] for key in sorted(found))


def log_duration(figures: PartFigures) -> float:
    """Return ln(nanoseconds); less than 1 ns counts as 1 ns."""
    return math.log(max(1, figures.duration_ns))


def input_ratio(before: Sequence[PartFigures], after: Sequence[PartFigures]) -> float:
    """Return how many times the calls or the input tokens of before the runs after have, within equal workload.

    Workloads are equal within steps; this is what is left of a shift within the steps. The one that is farther from 1.
    """
    amounts: tuple[Callable[[PartFigures], int], ...] = (lambda each: each.calls, lambda each: each.input_tokens)
    logs = [workload_strata(before, after, lambda each, of=of: math.log(max(1, of(each)))) for of in amounts]  # type: ignore[misc]
    ratios = [1.0, *(math.exp(hodges_lehmann(found).estimate) for found in logs if found)]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def inflation(before: Sequence[float], after: Sequence[float], *, caution: float = 0.0) -> float:
    """Return by how much dependence between successive runs inflates the variance; both sides in order of time.

    ``caution``: standard errors to add to the estimated correlation.
    """
    residuals = [value - median(side) for side in (before, after) if side for value in side]
    return dependence_inflation(residuals, caution=caution)


def _part(part: Subject, before: Sequence[PartFigures], after: Sequence[PartFigures]) -> PartComparison:
    compared = PartComparison(
        part=part,
        runs_before=len(before),
        runs_after=len(after),
        before_ns=median([each.duration_ns for each in before]),
        after_ns=median([each.duration_ns for each in after]),
    )
    found = workload_strata(before, after, log_duration)
    counts = sum(len(early) for early, _ in found), sum(len(late) for _, late in found)
    compared = replace(compared, comparable_before=counts[0], comparable_after=counts[1])
    if not compared.is_tested:
        return compared
    factor = inflation([log_duration(each) for each in before], [log_duration(each) for each in after])
    shift = hodges_lehmann(found, inflation=factor)
    return replace(
        compared,
        ratio=math.exp(shift.estimate),
        ratio_low=math.exp(shift.low),
        ratio_high=math.exp(shift.high),
        input_ratio=input_ratio(before, after),
        p=rank_test(found, inflation=factor).p_two_sided,
        error=shift.error,
    )


def _judged(workflows: Sequence[WorkflowComparison], min_change_ratio: float) -> tuple[WorkflowComparison, ...]:
    """Decide on all parts of all workflows together."""
    tested = [each for found in workflows for each in (found.whole, *found.parts) if each.is_tested]
    rejected = benjamini_hochberg([each.p for each in tested], level=LEVEL)
    verdicts = {
        id(each): _verdict(each, min_change_ratio) if reject else Verdict.NO_EVIDENCE
        for each, reject in zip(tested, rejected, strict=True)
    }

    def judged(each: PartComparison) -> PartComparison:
        if id(each) not in verdicts:
            return each
        smallest = math.exp(smallest_effect(each.error, alpha=LEVEL / len(tested), power=POWER))
        return replace(each, verdict=verdicts[id(each)], smallest_ratio=max(smallest, 1 + min_change_ratio))

    return tuple(
        replace(found, whole=judged(found.whole), parts=tuple(judged(each) for each in found.parts))
        for found in workflows
    )


def _verdict(compared: PartComparison, min_change_ratio: float) -> Verdict:
    """Judge a difference that is no chance by its size, and by that of the inputs."""
    least = 1 + min_change_ratio
    if compared.ratio >= least * max(1.0, compared.input_ratio):
        return Verdict.SLOWER
    if compared.ratio <= min(1.0, compared.input_ratio) / least:
        return Verdict.FASTER
    return Verdict.NO_EVIDENCE
