"""What the findings of a case are worth: right, missed, false; and how far off the predicted saving was."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Final

from benchmarks.accuracy.dialects import DIALECTS
from benchmarks.accuracy.recording import Dialect, Recorded, executions_of
from benchmarks.accuracy.running import Case, record
from benchmarks.accuracy.scenario import Kind, Scenario
from otel_wfperf.detectors import detect
from otel_wfperf.model import Confidence, Execution, Finding, Severity

# Chosen: an interval that misses by this share of the saving differs by less than the gaps between steps do.
_ROUNDING: Final = 0.01
_NO_CHANGE_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A saving that was predicted, and what the execution with the repair saved (seconds)."""

    detector: str
    scenario: str
    seed: int
    confidence: Confidence
    runs: int
    predicted_s: float
    low_s: float
    high_s: float
    actual_s: float

    @property
    def error_ratio(self) -> float:
        """How far off it was, over what was saved."""
        return abs(self.predicted_s - self.actual_s) / max(self.actual_s, _NO_CHANGE_S)

    @property
    def is_covered(self) -> bool:
        """Whether the interval holds what was saved."""
        slack_s = _ROUNDING * abs(self.actual_s)
        return self.low_s - slack_s <= self.actual_s <= self.high_s + slack_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came out of one case in one dialect.

    Attributes:
        right: Findings that say what is wrong.
        false: Findings that say something that is not so.
        prediction: Of the first that is right, where the repair was executed.
    """

    case: Case
    dialect: str
    right: tuple[Finding, ...]
    false: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    prediction: Prediction | None = None

    @property
    def is_missed(self) -> bool:
        """Whether there was something to find, and it was not found."""
        return self.case.scenario.kind is Kind.POSITIVE and not self.right


def judge_case(case: Case, dialects: Sequence[Dialect] = DIALECTS) -> Iterable[Verdict]:
    """Execute a case, and judge what is found in each dialect that can tell."""
    scenario = case.scenario
    recorded = record(case)
    repaired: Recorded | None = None
    for dialect in dialects:
        if not scenario.needs <= dialect.carries:
            continue
        executions = executions_of(dialect.write(recorded))
        findings = detect(executions)
        right, false = sort_out(scenario, findings)
        prediction = None
        if right and right[0].saving is not None and scenario.fixed is not None and dialect is dialects[0]:
            repaired = repaired or record(case, repaired=True)
            prediction = _prediction(case, right[0], executions, (recorded, repaired))
        yield Verdict(
            case=case, dialect=dialect.name, right=right, false=false, findings=findings, prediction=prediction
        )


def sort_out(scenario: Scenario, findings: Iterable[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Divide findings into those that are right and those that are false; what is neither is beside the point.

    The detector that is tried is judged by all that it says above ``info``, others by what is above ``low``.
    """
    right, false = [], []
    for finding in findings:
        subject = (finding.subject.kind.value, finding.subject.name)
        own = finding.detector == scenario.detector
        limit = Severity.LOW
        if own:
            limit = Severity.INFO if scenario.kind is Kind.POSITIVE else scenario.tolerate
        if finding.severity.rank >= limit.rank:
            continue
        if own and scenario.kind is Kind.POSITIVE and subject in scenario.subjects:
            right.append(finding)
        elif own or finding.detector not in scenario.also:
            false.append(finding)
    return tuple(right), tuple(false)


def _prediction(
    case: Case, finding: Finding, executions: Sequence[Execution], recorded: tuple[Recorded, Recorded]
) -> Prediction | None:
    """Compare with the execution of the repair: the median over the runs that the finding is about."""
    before = {execution.trace_id: execution.duration_ns for execution in executions}
    after = {execution.trace_id: execution.duration_ns for execution in executions_of(recorded[1].spans)}
    numbers = {trace_id: number for number, trace_id in recorded[0].trace_ids.items()}
    saved = [
        (before[trace_id] - after[recorded[1].trace_ids[numbers[trace_id]]]) / 1e9 for trace_id in finding.trace_ids
    ]
    if not saved or finding.saving is None:
        return None
    return Prediction(
        detector=finding.detector,
        scenario=case.scenario.name,
        seed=case.seed,
        confidence=finding.confidence,
        runs=case.runs,
        predicted_s=finding.saving.median_s,
        low_s=finding.saving.low_s,
        high_s=finding.saving.high_s,
        actual_s=median(saved),
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Some of all, with its Wilson interval.

    Source: E. B. Wilson, JASA 22 (1927), 95 %.
    """

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The ratio itself (0..1); None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where it lies with 95 % confidence (0..1)."""
        if not self.whole:
            return 0.0, 1.0
        z, n = NormalDist().inv_cdf(0.975), self.whole
        p = self.part / n
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How right one detector is in one dialect.

    Attributes:
        found: Positives that were found (count).
        missed: Positives that were not (count).
        false: False findings, in whatever case (count).
        quiet: Cases without the fault (count).
    """

    found: int
    missed: int
    false: int
    quiet: int

    @property
    def precision(self) -> Ratio:
        """Right findings of all."""
        return Ratio(self.found, self.found + self.false)

    @property
    def recall(self) -> Ratio:
        """Faults that were found of all."""
        return Ratio(self.found, self.found + self.missed)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two."""
        total = 2 * self.found + self.false + self.missed
        return 2 * self.found / total if total else None


def scores(verdicts: Iterable[Verdict], detectors: Iterable[str]) -> Mapping[tuple[str, str], Score]:
    """Count by detector and dialect."""
    listed = list(verdicts)
    dialects = dict.fromkeys(verdict.dialect for verdict in listed)
    return {
        (detector, dialect): _score(detector, [each for each in listed if each.dialect == dialect])
        for detector in detectors
        for dialect in dialects
    }


def _score(detector: str, verdicts: Sequence[Verdict]) -> Score:
    own = [each for each in verdicts if each.case.scenario.detector == detector]
    positives = [each for each in own if each.case.scenario.kind is Kind.POSITIVE]
    return Score(
        found=sum(not each.is_missed for each in positives),
        missed=sum(each.is_missed for each in positives),
        false=sum(finding.detector == detector for each in verdicts for finding in each.false),
        quiet=len(verdicts) - len(positives),
    )


def shared(verdicts: Sequence[Verdict], dialect: str) -> Sequence[Verdict]:
    """Return the verdicts in our own dialect on the cases that another dialect was judged on, too."""
    judged = {each.case for each in verdicts if each.dialect == dialect}
    return [each for each in verdicts if each.dialect == DIALECTS[0].name and each.case in judged]
