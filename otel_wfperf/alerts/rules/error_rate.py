"""Too many executions of a workflow fail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts
from otel_wfperf.alerts.outcomes import Promise
from otel_wfperf.alerts.wording import share
from otel_wfperf.report.units import duration

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate:
    """Fires when the share of failed executions within a window is at the threshold; one alert for each workflow.

    Attributes:
        threshold: Share of executions that fail (0..1).
        resolve_below: What it must fall below to count as over (0..1).
        window_ns: How far back (nanoseconds).
        min_executions: With fewer in the window nothing is said (count).
    """

    terms: Terms
    threshold: float
    resolve_below: float
    window_ns: int
    min_executions: int
    # The counts are read from the store at the start.
    blind_ns: int = 0
    # Chosen: half of the time that executions are counted by.
    every_ns: int = 15 * _SECOND_NS

    @property
    def promise(self) -> Promise:
        """What an execution must do to count as good."""
        return Promise()

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """See Rule."""
        for workflow in facts.outcomes.workflows:
            tally = facts.outcomes.tally(workflow, self.promise, window_ns=self.window_ns, now_ns=now_ns)
            if tally.total >= self.min_executions:
                yield Reading(
                    workflow=workflow,
                    subject=f"workflow:{workflow}",
                    value=tally.bad_ratio,
                    threshold=self.threshold,
                    resolve_below=self.resolve_below,
                    unit="1",
                    summary=f"{tally.bad} of {tally.total} executions of {workflow} in {duration(self.window_ns)} "
                    f"failed ({share(tally.bad_ratio)}); the limit is {share(self.threshold)}",
                    trace_id=tally.last_bad,
                )

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:  # noqa: ARG002 - as the other rules
        """See Rule."""
        return None

    def described(self) -> str:
        """See Rule."""
        return (
            f"{share(self.threshold)} or more of {self.min_executions} or more executions in "
            f"{duration(self.window_ns)} fail, until it is below {share(self.resolve_below)}"
        )
