"""A detector has found something bad enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts, SeenFinding
from otel_wfperf.alerts.rules.rule import matches
from otel_wfperf.model import Severity
from otel_wfperf.report.units import duration, duration_s

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Fires while executions have a finding; one alert for each cause.

    Attributes:
        detectors: Patterns of their names.
        workflows: Patterns of the names of workflows.
        severity: The least bad that counts.
        min_saving_s: The least predicted gain that counts (seconds); what has no prediction counts at 0 only.
        window_ns: How long after an execution had it last it goes on to count (nanoseconds).
    """

    terms: Terms
    detectors: tuple[str, ...]
    workflows: tuple[str, ...]
    severity: Severity
    min_saving_s: float
    window_ns: int
    every_ns: int = _SECOND_NS

    @property
    def blind_ns(self) -> int:
        """See Rule."""
        return self.window_ns

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """See Rule."""
        for seen in facts.findings.since(now_ns - self.window_ns):
            finding = seen.finding
            if (
                finding.severity.rank <= self.severity.rank
                and matches(finding.detector, self.detectors)
                and matches(finding.workflow, self.workflows)
            ):
                yield self._reading(seen)

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:  # noqa: ARG002 - as the other rules
        """See Rule."""
        return None

    def described(self) -> str:
        """See Rule."""
        saving = f" and a gain of {duration_s(self.min_saving_s)}" if self.min_saving_s else ""
        return (
            f"{', '.join(self.detectors)} finds something of severity {self.severity.value} or worse{saving}, "
            f"until no execution has had it for {duration(self.window_ns)}"
        )

    def _reading(self, seen: SeenFinding) -> Reading:
        finding = seen.finding
        subject = f"{finding.subject.kind.value}:{finding.subject.name}"
        return Reading(
            workflow=finding.workflow,
            subject=f"{finding.detector}:{subject}",
            value=finding.saving.median_s if finding.saving else 0.0,
            threshold=self.min_saving_s,
            resolve_below=self.min_saving_s,
            unit="s",
            summary=f"{finding.detector} ({finding.severity.value}): {finding.summary}",
            trace_id=seen.trace_id,
            advice=finding.recommendation,
        )
