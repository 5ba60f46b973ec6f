"""A gauge of a process is too high: memory, CPU, or any other that it exports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from otel_wfperf.alerts.alert import Reading, Terms
from otel_wfperf.alerts.facts import Facts, Level
from otel_wfperf.alerts.wording import quantity

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLevel:
    """Fires when the last value of a gauge is at the threshold; one alert for each service, by its worst process.

    Processes come and go under ids that mean nothing; the service is what stays.

    Attributes:
        metric: Name of the OpenTelemetry metric.
        threshold: In the unit of the metric.
        resolve_below: What it must fall below to count as over; the same unit.
    """

    terms: Terms
    metric: str
    threshold: float
    resolve_below: float
    # Source: Prometheus, query.lookback-delta (5 min): a value that old is none.
    blind_ns: int = 300 * _SECOND_NS
    every_ns: int = _SECOND_NS

    def readings(self, facts: Facts, *, now_ns: int) -> Iterable[Reading]:
        """See Rule."""
        by_service: dict[str, list[Level]] = {}
        for level in facts.levels.of(self.metric, since_ns=now_ns - self.blind_ns):
            by_service.setdefault(level.service, []).append(level)
        for service, levels in by_service.items():
            yield self._reading(service, levels)

    def _reading(self, service: str, levels: Sequence[Level]) -> Reading:
        worst = max(levels, key=lambda level: level.value)
        value, limit = quantity(worst.value, worst.unit), quantity(self.threshold, worst.unit)
        high = sum(level.value >= self.threshold for level in levels)
        which = f" (process {worst.instance})" if worst.instance else ""
        more = f"; {high} of {len(levels)} processes are as high" if high > 1 else ""
        return Reading(
            workflow=None,
            subject=f"service:{service}",
            value=worst.value,
            threshold=self.threshold,
            resolve_below=self.resolve_below,
            unit=worst.unit,
            summary=f"{self.metric} of {service}{which} is {value}; the limit is {limit}{more}",
        )

    def due_ns(self, facts: Facts, *, now_ns: int) -> int | None:  # noqa: ARG002 - values come, they do not age
        """See Rule."""
        return None

    def described(self) -> str:
        """See Rule."""
        return f"{self.metric} is at {self.threshold:g} or more, until it is below {self.resolve_below:g}"
