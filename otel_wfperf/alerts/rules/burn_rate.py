"""A service level objective is being missed: its error budget burns too fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts
from otel_wfperf.alerts.outcomes import Promise
from otel_wfperf.alerts.rules.rule import matches
from otel_wfperf.alerts.wording import share
from otel_wfperf.report.units import duration

_SECOND_NS: Final = 1_000_000_000
_HOUR_NS: Final = 3600 * _SECOND_NS
_MINUTE_NS: Final = 60 * _SECOND_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Both windows must burn at the rate: the long one says that it matters, the short one that it still goes on.

    Attributes:
        long_ns: The long one (nanoseconds).
        short_ns: The short one (nanoseconds).
        factor: How many times as fast as the budget allows.
    """

    long_ns: int
    short_ns: int
    factor: float


# Source: The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": 2 % of a month's budget in an
# hour, 5 % in six hours.
WINDOWS: Final = (
    Windows(long_ns=_HOUR_NS, short_ns=5 * _MINUTE_NS, factor=14.4),
    Windows(long_ns=6 * _HOUR_NS, short_ns=30 * _MINUTE_NS, factor=6.0),
)


@dataclass(frozen=True, slots=True)
class _Burn:
    """How many times as fast as allowed a budget burns, and the trace of the latest bad execution."""

    windows: Windows
    times: float
    last_bad: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """Fires when a workflow spends its error budget too fast; one alert for each workflow.

    Attributes:
        objective: Share of executions that must be good (0..1).
        promise: What good means.
        workflows: Patterns of the names that it is about.
        min_executions: With fewer in the long window nothing is said (count).
        resolve_ratio: Below which share of its factor it counts as over (0..1).
    """

    terms: Terms
    objective: float
    promise: Promise
    workflows: tuple[str, ...]
    min_executions: int
    resolve_ratio: float
    windows: tuple[Windows, ...] = WINDOWS
    # The counts are read from the store at the start.
    blind_ns: int = 0
    every_ns: int = 15 * _SECOND_NS

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """See Rule."""
        for workflow in facts.outcomes.workflows:
            if matches(workflow, self.workflows):
                burns = [self._burn(facts, workflow, each, now_ns) for each in self.windows]
                yield self._reading(workflow, max(burns, key=lambda each: each.times / each.windows.factor))

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:  # noqa: ARG002 - as the other rules
        """See Rule."""
        return None

    def described(self) -> str:
        """See Rule."""
        limit = self.promise.max_duration_ns
        good = "succeed" if limit is None else f"succeed within {duration(limit)}"
        rates = " or ".join(
            f"{each.factor:g} x over {duration(each.long_ns)} and {duration(each.short_ns)}" for each in self.windows
        )
        return f"of {share(self.objective)} that must {good}, the error budget burns {rates}"

    def _burn(self, facts: Facts, workflow: str, windows: Windows, now_ns: int) -> _Burn:
        """Return how fast the budget burns, by the window in which it burns slower."""
        long, short = (
            facts.outcomes.tally(workflow, self.promise, window_ns=window_ns, now_ns=now_ns)
            for window_ns in (windows.long_ns, windows.short_ns)
        )
        if long.total < self.min_executions:
            return _Burn(windows, 0.0, None)
        return _Burn(windows, min(long.bad_ratio, short.bad_ratio) / (1 - self.objective), long.last_bad)

    def _reading(self, workflow: str, burn: _Burn) -> Reading:
        windows = burn.windows
        return Reading(
            workflow=workflow,
            subject=f"workflow:{workflow}",
            value=burn.times,
            threshold=windows.factor,
            resolve_below=windows.factor * self.resolve_ratio,
            unit="x",
            summary=f"the error budget of {workflow} ({share(1 - self.objective)}) burns {burn.times:.3g} times as "
            f"fast as allowed over {duration(windows.long_ns)} and {duration(windows.short_ns)}; "
            f"the limit is {windows.factor:g} times",
            trace_id=burn.last_bad,
        )
