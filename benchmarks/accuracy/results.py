"""All verdicts of one run of the benchmark, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks.accuracy.dialects import DIALECTS
from benchmarks.accuracy.judging import Prediction, Ratio, Score, Verdict, scores, shared
from benchmarks.accuracy.scenario import Kind
from benchmarks.accuracy.seeds import TUNING, Seeds
from otel_wfperf.model import Confidence, Severity

NATIVE: Final = DIALECTS[0].name
# What issue and documentation promise.
MIN_RATIO: Final = 0.95
MAX_DIALECT_GAP: Final = 0.03
MAX_ERRORS: Final = {Confidence.PROVEN: 0.15, Confidence.OBSERVED: 0.30}
MIN_COVERAGE: Final = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectGap:
    """One detector in a dialect, against our own on the same cases.

    Attributes:
        ours: In our own dialect.
        theirs: In the other one.
    """

    detector: str
    dialect: str
    ours: Score
    theirs: Score

    @property
    def gap(self) -> float:
        """The greater difference of precision and recall (0..1)."""
        pairs = ((self.ours.precision, self.theirs.precision), (self.ours.recall, self.theirs.recall))
        return max((abs((a.value or 0) - (b.value or 0)) for a, b in pairs if a.whole or b.whole), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsOfLabel:
    """How well the savings of findings with one confidence label came true.

    Attributes:
        errors: Absolute error over what was saved, of each (0..).
        covered: Intervals that hold what was saved.
    """

    label: Confidence
    errors: Sequence[float]
    covered: Ratio

    @property
    def median_error(self) -> float | None:
        """The middle one."""
        return median(self.errors) if self.errors else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What came out.

    Attributes:
        detectors: Public names, in the order of the documentation.
        spent_s: What it took (seconds).
    """

    seeds: Seeds
    most_seeds: int
    detectors: Sequence[str]
    verdicts: Sequence[Verdict]
    spent_s: float

    @property
    def native(self) -> Sequence[Verdict]:
        """The verdicts in our own dialect, which every case has."""
        return [each for each in self.verdicts if each.dialect == NATIVE]

    def scores(self) -> Mapping[str, Score]:
        """Score each detector that there are cases of, in our own dialect."""
        asked = {each.case.scenario.detector for each in self.native}
        judged = [name for name in self.detectors if name in asked]
        return {detector: score for (detector, _), score in scores(self.native, judged).items()}

    def short_of(self) -> Sequence[str]:
        """Name the detectors that do not reach precision and recall."""
        return [
            name
            for name, score in self.scores().items()
            if (score.precision.value or 0) < MIN_RATIO or (score.recall.value or 0) < MIN_RATIO
        ]

    def gaps(self) -> Iterator[DialectGap]:
        """Compare the other dialects with ours, detector by detector, where they carry the evidence."""
        for dialect in (each.name for each in DIALECTS[1:]):
            theirs = [each for each in self.verdicts if each.dialect == dialect]
            ours = shared(self.verdicts, dialect)
            for detector in self.detectors:
                mine = scores(ours, [detector]).get((detector, NATIVE))
                other = scores(theirs, [detector]).get((detector, dialect))
                if mine is not None and other is not None and mine.found + mine.missed:
                    yield DialectGap(detector=detector, dialect=dialect, ours=mine, theirs=other)

    def healthy(self) -> Sequence[Verdict]:
        """Return the verdicts on healthy workflows, in all dialects."""
        return [each for each in self.verdicts if each.case.scenario.kind is Kind.HEALTHY]

    def healthy_executions(self) -> int:
        """Count the healthy executions, each once."""
        return sum(each.case.runs for each in self.healthy() if each.dialect == NATIVE)

    def healthy_at_least(self, severity: Severity) -> int:
        """Count the findings on healthy workflows that are so severe, in all dialects."""
        return sum(f.severity.rank <= severity.rank for each in self.healthy() for f in each.findings)

    def calibration(self) -> Mapping[Confidence, Ratio]:
        """Count how many findings of each label were right."""
        found: dict[Confidence, tuple[int, int]] = dict.fromkeys(Confidence, (0, 0))
        for verdict in self.native:
            for finding in (*verdict.right, *verdict.false):
                right, all_ = found[finding.confidence]
                found[finding.confidence] = (right + (finding in verdict.right), all_ + 1)
        return {label: Ratio(right, all_) for label, (right, all_) in found.items()}

    @property
    def predictions(self) -> Sequence[Prediction]:
        """All savings that were compared with the execution of the repair."""
        return [each.prediction for each in self.verdicts if each.prediction is not None]

    def savings(self) -> Iterator[SavingsOfLabel]:
        """Judge the predictions by label."""
        for label in Confidence:
            found = [each for each in self.predictions if each.confidence is label]
            yield SavingsOfLabel(
                label=label,
                errors=[each.error_ratio for each in found],
                covered=Ratio(sum(each.is_covered for each in found), len(found)),
            )

    def failures(self) -> Iterator[tuple[str, Verdict, str]]:
        """Yield the detector, the case and what went wrong; nothing for seeds that judge."""
        if self.seeds is not TUNING:
            return
        for verdict in self.verdicts:
            scenario = verdict.case.scenario
            if verdict.is_missed:
                yield str(scenario.detector), verdict, "missed"
            for each in verdict.false:
                said = f"{each.severity} {each.subject.kind}:{each.subject.name} ({each.confidence})"
                yield each.detector, verdict, f"false: {said}"

    def document(self) -> dict[str, Any]:
        """Say everything in JSON's types."""
        return {
            "seeds": self.seeds.named(self.most_seeds),
            "tuned_on": TUNING.named(self.most_seeds),
            "cases": len(self.native),
            "executions": sum(each.case.runs for each in self.native),
            "spent_s": round(self.spent_s, 1),
            "detectors": {name: _score_document(score) for name, score in self.scores().items()},
            "dialects": [
                {
                    "detector": each.detector,
                    "dialect": each.dialect,
                    "gap": round(each.gap, 4),
                    **_score_document(each.theirs),
                }
                for each in self.gaps()
            ],
            "healthy": {
                "executions": self.healthy_executions(),
                **{f"{each}_or_above": self.healthy_at_least(each) for each in Severity},
            },
            "calibration": {label: _ratio_document(ratio) for label, ratio in self.calibration().items()},
            "savings": {
                each.label: {
                    "workflows": len(each.errors),
                    "median_error_ratio": each.median_error,
                    "covered": _ratio_document(each.covered),
                }
                for each in self.savings()
            },
        }


def _ratio_document(ratio: Ratio) -> dict[str, Any]:
    return {"part": ratio.part, "whole": ratio.whole, "value": ratio.value, "interval": list(ratio.interval)}


def _score_document(score: Score) -> dict[str, Any]:
    return {
        "found": score.found,
        "missed": score.missed,
        "false": score.false,
        "quiet": score.quiet,
        "precision": _ratio_document(score.precision),
        "recall": _ratio_document(score.recall),
        "f1": score.f1,
    }
