"""Whether workflows became faster or slower between two sets of runs, and which of their parts did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import Final

from otel_wfperf.analysis.call_counts import CallsChange, calls_changed
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
# Chosen: people wait for the whole run, and with five runs a side nothing stricter could decide. Parts have the rest of
# the level, and all of it once the whole has changed. Source: fallback procedure (Wiens, Pharm. Stat. 2, 2003).
WHOLE_LEVEL: Final = 0.8 * LEVEL
# Chosen: the least at which a test at that level can decide at all.
MIN_RUNS: Final = least_samples(WHOLE_LEVEL)
# Chosen: where at least half of the runs of a side have an input of their own, they are samples of what is asked for,
# and not repetitions of a few tasks.
_VARIED_RATIO: Final = 0.5
# Chosen: machines and days differ by as much.
MIN_CHANGE_RATIO: Final = 0.05
# Chosen: what is smaller moves no workflow, and each part that is tested makes the test of the others stricter.
MIN_SHARE: Final = 0.01
# Source: the usual power of a study (Cohen, "Statistical Power Analysis", 1988).
POWER: Final = 0.8
_AMOUNTS: Final[tuple[Callable[[PartFigures], int], ...]] = (lambda each: each.calls, lambda each: each.input_tokens)


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
        comparable_before: Of those, the ones of runs with inputs that occur on both sides (count).
        comparable_after: The same after.
        before_ns: Median time (nanoseconds).
        after_ns: The same after.
        ratio: Time after over time before, among runs of equal input (1 = equal).
        ratio_low: Lower end of its 90 % interval.
        ratio_high: Upper end of it.
        input_ratio: How many times the input tokens or calls inside it has after, among the same runs. It explains a
            change and does not excuse it: a part that calls more often takes longer.
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
        """Whether there were enough runs of equal input."""
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
        calls: What is called more or less often than chance explains, the greatest change first.
    """

    workflow: str
    whole: PartComparison
    parts: tuple[PartComparison, ...]
    only_before: tuple[Subject, ...] = ()
    only_after: tuple[Subject, ...] = ()
    small: int = 0
    calls: tuple[CallsChange, ...] = ()

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
        other_inputs: Those with enough runs, but too few of an input that occurs on both sides, with these (counts).
        level: Greatest chance that equal sets of runs give any verdict (0..1).
    """

    workflows: tuple[WorkflowComparison, ...]
    too_few: Mapping[str, tuple[int, int]]
    other_inputs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
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

    Where the input of the workflow is recorded, runs are compared with runs of equal input only, by a two-sided
    stratified Mann-Whitney test; what happens inside a run, such as the number of its calls, is a result and no input.
    First the whole runs are tested, then all parts of all workflows together; those are reported that Benjamini and
    Hochberg's procedure rejects, and that changed by more than ``min_change_ratio``.

    Args:
        before: Runs of any workflows; those that failed are left out.
        after: The same after.
        min_change_ratio: Least change that counts (0.05 = 5 %).
    """
    early, late = _by_workflow(before), _by_workflow(after)
    too_few: dict[str, tuple[int, int]] = {}
    other_inputs: dict[str, tuple[int, int]] = {}
    found: list[WorkflowComparison] = []
    for workflow in sorted(early.keys() | late.keys()):
        ours, theirs = early.get(workflow, []), late.get(workflow, [])
        if min(len(ours), len(theirs)) < MIN_RUNS:
            too_few[workflow] = (len(ours), len(theirs))
            continue
        compared = _workflow(workflow, ours, theirs)
        if compared.whole.is_tested:
            found.append(compared)
        else:
            other_inputs[workflow] = (compared.whole.comparable_before, compared.whole.comparable_after)
    return Comparison(workflows=_judged(found, min_change_ratio), too_few=too_few, other_inputs=other_inputs)


def _by_workflow(runs: Iterable[RunFigures]) -> dict[str, list[RunFigures]]:
    found: dict[str, list[RunFigures]] = {}
    for run in sorted(runs, key=lambda each: (each.start_ns, each.trace_id)):
        if not run.parts[run.whole].failed:
            found.setdefault(run.workflow, []).append(run)
    return found


@dataclass(frozen=True, slots=True)
class _Sample:
    """A part of one run, and the input of that run; None = all inputs are alike."""

    figures: PartFigures
    input_hash: str | None


def _workflow(workflow: str, before: Sequence[RunFigures], after: Sequence[RunFigures]) -> WorkflowComparison:
    by_input = _tells_inputs_apart(before, after)
    early, late = (_by_part(side, by_input=by_input) for side in (before, after))
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
        calls=calls_changed(before, after, level=LEVEL),
    )


def _tells_inputs_apart(before: Sequence[RunFigures], after: Sequence[RunFigures]) -> bool:
    """Tell whether runs are to be compared by input: it is recorded of all, and runs repeat inputs of the other side.

    Inputs that hardly ever come again, as in real traffic, are a sample on each side, and compared as such.
    """
    inputs = [[run.input_hash for run in side] for side in (before, after)]
    if any(None in side for side in inputs):
        return False
    common = set(inputs[0]) & set(inputs[1])
    if all(sum(each in common for each in side) >= MIN_RUNS for side in inputs):
        return True
    return not all(len(set(side)) >= _VARIED_RATIO * len(side) for side in inputs)


def _by_part(runs: Iterable[RunFigures], *, by_input: bool) -> dict[Subject, list[_Sample]]:
    found: dict[Subject, list[_Sample]] = {}
    for run in runs:
        for part, figures in run.parts.items():
            if not figures.failed:
                found.setdefault(part, []).append(_Sample(figures, run.input_hash if by_input else None))
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
    return _farthest(
        [workload_strata(before, after, lambda each, of=of: math.log(max(1, of(each)))) for of in _AMOUNTS]  # type: ignore[misc]
    )


def _farthest(logs: Iterable[Sequence[Stratum]]) -> float:
    """Return the ratio that is farthest from 1 of those between the sides of logarithms."""
    ratios = [1.0, *(math.exp(hodges_lehmann(found).estimate) for found in logs if found)]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def inflation(before: Sequence[float], after: Sequence[float], *, caution: float = 0.0) -> float:
    """Return by how much dependence between successive runs inflates the variance; both sides in order of time.

    ``caution``: standard errors to add to the estimated correlation.
    """
    residuals = [value - median(side) for side in (before, after) if side for value in side]
    return dependence_inflation(residuals, caution=caution)


def _part(part: Subject, before: Sequence[_Sample], after: Sequence[_Sample]) -> PartComparison:
    compared = PartComparison(
        part=part,
        runs_before=len(before),
        runs_after=len(after),
        before_ns=median([each.figures.duration_ns for each in before]),
        after_ns=median([each.figures.duration_ns for each in after]),
    )
    found = _strata(before, after, log_duration)
    counts = sum(len(early) for early, _ in found), sum(len(late) for _, late in found)
    compared = replace(compared, comparable_before=counts[0], comparable_after=counts[1])
    if not compared.is_tested:
        return compared
    factor = dependence_inflation([value for side in (before, after) for value in _residuals(side)])
    shift = hodges_lehmann(found, inflation=factor)
    return replace(
        compared,
        ratio=math.exp(shift.estimate),
        ratio_low=math.exp(shift.low),
        ratio_high=math.exp(shift.high),
        input_ratio=_amount_ratio(before, after),
        p=rank_test(found, inflation=factor).p_two_sided,
        error=shift.error,
    )


def _strata(
    before: Sequence[_Sample], after: Sequence[_Sample], value: Callable[[PartFigures], float]
) -> list[Stratum]:
    """Divide samples into those of one input, where both sides have any."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for at, side in enumerate((before, after)):
        for each in side:
            found.setdefault(each.input_hash or "", ([], []))[at].append(value(each.figures))
    return comparable(found[key] for key in sorted(found))


def _residuals(side: Sequence[_Sample]) -> list[float]:
    """Return how far each value is from the median of its input, in order of time."""
    logs: dict[str | None, list[float]] = {}
    for each in side:
        logs.setdefault(each.input_hash, []).append(log_duration(each.figures))
    medians = {given: median(values) for given, values in logs.items()}
    return [log_duration(each.figures) - medians[each.input_hash] for each in side]


def _amount_ratio(before: Sequence[_Sample], after: Sequence[_Sample]) -> float:
    """Return how many times the calls or the input tokens of before there are after: the one farther from 1."""
    return _farthest(
        [_strata(before, after, lambda each, of=of: math.log(max(1, of(each)))) for of in _AMOUNTS]  # type: ignore[misc]
    )


def _judged(workflows: Sequence[WorkflowComparison], min_change_ratio: float) -> tuple[WorkflowComparison, ...]:
    """Decide on the whole runs of all workflows together, then on all of their parts."""
    wholes = _verdicts([found.whole for found in workflows], min_change_ratio, level=WHOLE_LEVEL)
    changed = any(each.verdict is not Verdict.NO_EVIDENCE for each in wholes)
    level = LEVEL if changed else LEVEL - WHOLE_LEVEL
    parts = iter(_verdicts([each for found in workflows for each in found.parts], min_change_ratio, level=level))
    return tuple(
        replace(found, whole=whole, parts=tuple(islice(parts, len(found.parts))))
        for found, whole in zip(workflows, wholes, strict=True)
    )


def _verdicts(compared: Sequence[PartComparison], min_change_ratio: float, *, level: float) -> list[PartComparison]:
    tested = [each for each in compared if each.is_tested]
    rejected = benjamini_hochberg([each.p for each in tested], level=level)
    judged = {
        id(each): replace(
            each,
            verdict=_verdict(each, min_change_ratio) if reject else Verdict.NO_EVIDENCE,
            smallest_ratio=max(
                math.exp(smallest_effect(each.error, alpha=level / len(tested), power=POWER)), 1 + min_change_ratio
            ),
        )
        for each, reject in zip(tested, rejected, strict=True)
    }
    return [judged.get(id(each), each) for each in compared]


def _verdict(compared: PartComparison, min_change_ratio: float) -> Verdict:
    """Judge a difference that is no chance by its size."""
    least = 1 + min_change_ratio
    if compared.ratio >= least:
        return Verdict.SLOWER
    return Verdict.FASTER if compared.ratio <= 1 / least else Verdict.NO_EVIDENCE
