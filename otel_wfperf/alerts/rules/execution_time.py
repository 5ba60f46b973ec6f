"""An execution runs for too long: told while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts, Running
from otel_wfperf.alerts.rules.rule import matches
from otel_wfperf.report.units import count, duration

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTime:
    """Fires when the oldest running execution of a workflow passes the threshold; one alert for each workflow.

    Attributes:
        threshold_ns: How long an execution may take (nanoseconds).
        by_workflow: The same for workflows whose name fits a pattern; the first that fits counts.
    """

    terms: Terms
    threshold_ns: int
    by_workflow: Mapping[str, int] = field(default_factory=dict)
    # Chosen: what runs is announced again every 10 s; three times missed.
    blind_ns: int = 30 * _SECOND_NS
    # Chosen: finds new executions early enough for thresholds of two seconds; deadlines are met exactly.
    every_ns: int = _SECOND_NS

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """See Rule."""
        by_workflow: dict[str, list[Running]] = {}
        for running in facts.running:
            # Which limit counts is not known before the workflow is: after a restart its parts are heard of first.
            if running.workflow is not None:
                by_workflow.setdefault(running.workflow, []).append(running)
        for workflow, executions in by_workflow.items():
            yield self._reading(workflow, executions, now_ns)

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:
        """See Rule."""
        due = (each.start_ns + self._threshold_ns(each.workflow) for each in facts.running if each.workflow is not None)
        return min((moment_ns for moment_ns in due if moment_ns > now_ns), default=None)

    def described(self) -> str:
        """See Rule."""
        others = "".join(f"; {name}: {duration(limit_ns)}" for name, limit_ns in self.by_workflow.items())
        return f"an execution runs for {duration(self.threshold_ns)}{others}"

    def _reading(self, workflow: str | None, executions: list[Running], now_ns: int) -> Reading:
        threshold_ns = self._threshold_ns(workflow)
        oldest = min(executions, key=lambda each: each.start_ns)
        age_ns = max(0, now_ns - oldest.start_ns)
        late = sum(now_ns - each.start_ns >= threshold_ns for each in executions)
        more = f", as {'has' if late == 2 else 'have'} {count(late - 1, 'other')}" if late > 1 else ""
        return Reading(
            workflow=workflow,
            subject=f"workflow:{workflow or ''}",
            value=age_ns / _SECOND_NS,
            threshold=threshold_ns / _SECOND_NS,
            resolve_below=threshold_ns / _SECOND_NS,
            unit="s",
            summary=f"an execution of {workflow or 'an unnamed workflow'} has run for {duration(age_ns)}{more}; "
            f"the limit is {duration(threshold_ns)}",
            since_ns=oldest.start_ns + threshold_ns,
            trace_id=oldest.trace_id,
        )

    def _threshold_ns(self, workflow: str | None) -> int:
        for pattern, threshold_ns in self.by_workflow.items():
            if matches(workflow, (pattern,)):
                return threshold_ns
        return self.threshold_ns
