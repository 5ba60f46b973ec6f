"""What a detector reports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from otel_wfperf.model.change import Change
from otel_wfperf.model.feedback import Advice

EvidenceValue: TypeAlias = "str | bool | int | float | tuple[EvidenceValue, ...] | Mapping[str, EvidenceValue] | None"


class Severity(StrEnum):
    """Share of the end-to-end time at stake; see ``otel_wfperf.detectors.severity``."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical, 4 for info: sorts worst first."""
        return tuple(Severity).index(self)


class Confidence(StrEnum):
    """How well a claim is supported.

    ``PROVEN``: the telemetry itself says so (one model turn, a declared graph).
    ``OBSERVED``: content or several runs support it. ``ASSUMED``: timing alone does.
    ``INDICATIVE``: too few runs for statistics.
    """

    PROVEN = "proven"
    OBSERVED = "observed"
    ASSUMED = "assumed"
    INDICATIVE = "indicative"


class SubjectKind(StrEnum):
    """What a finding is about."""

    WORKFLOW = "workflow"
    PHASE = "phase"
    AGENT = "agent"
    TOOL = "tool"
    LLM = "llm"
    RESOURCE = "resource"
    CONTEXT = "context"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The thing a finding is about."""

    kind: SubjectKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Predicted reduction of the run's duration, with a 90 % interval (seconds)."""

    median_s: float
    low_s: float
    high_s: float

    def __post_init__(self) -> None:
        """Refuse an interval that does not hold its median."""
        if not self.low_s <= self.median_s <= self.high_s:
            raise ValueError(f"saving: {self.low_s} <= {self.median_s} <= {self.high_s} does not hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that makes a workflow slower than it needs to be.

    Attributes:
        detector: Public name of the rule.
        summary: One sentence: what happens and what it costs.
        evidence: The rule's values, with units in their names.
        saving: Predicted gain; None where the detector cannot predict one.
        recommendation: One imperative sentence.
        advice: The change an optimizer could make; None when a person has to.
        changes: What the saving was replayed with, by trace id, so that several findings can be replayed together; not
            shown, and not kept in the store.
        trace_ids: Runs it was seen in.
        span_ids: Example operations, at most ``MAX_SPAN_IDS``.
    """

    detector: str
    severity: Severity
    confidence: Confidence
    workflow: str
    subject: Subject
    trace_ids: tuple[str, ...]
    span_ids: tuple[str, ...]
    summary: str
    evidence: Mapping[str, EvidenceValue] = field(default_factory=dict)
    saving: Saving | None = None
    recommendation: str
    advice: Advice | None = None
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fingerprint(self) -> str:
        """Identity over runs: detector, workflow and subject (16 hex digits)."""
        identity = f"{self.detector}\x1f{self.workflow}\x1f{self.subject.kind}\x1f{self.subject.name}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]
