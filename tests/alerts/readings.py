"""Alerts, readings and rules for tests."""

from __future__ import annotations

from otel_wfperf.alerts import Alert, Facts, Level, MetricLevel, Reading, Running, Terms
from otel_wfperf.alerts.alert import advance
from otel_wfperf.model import Severity

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
START_NS = 1_800_000_000 * SECOND_NS


def terms(
    name: str = "cpu", *, severity: Severity = Severity.HIGH, for_s: float = 0, keep_firing_s: float = 0
) -> Terms:
    return Terms(
        name=name,
        severity=severity,
        for_ns=round(for_s * 1e9),
        keep_firing_ns=round(keep_firing_s * 1e9),
        advice="run fewer agents",
    )


def reading(
    value: float,
    *,
    threshold: float = 0.85,
    resolve_below: float = 0.765,
    workflow: str | None = "research",
    subject: str = "workflow:research",
    trace_id: str | None = None,
) -> Reading:
    return Reading(
        workflow=workflow,
        subject=subject,
        value=value,
        threshold=threshold,
        resolve_below=resolve_below,
        unit="1",
        summary=f"it is {value}",
        trace_id=trace_id,
    )


def firing(name: str = "cpu", *, at_ns: int = START_NS, **of: str | None) -> Alert:
    """Return an alert that began to fire at a moment."""
    alert = advance(None, reading(0.9, **of), terms(name), now_ns=at_ns)  # type: ignore[arg-type]
    assert alert is not None
    return alert


def level_rule(*, for_s: float = 0, keep_firing_s: float = 0, name: str = "cpu") -> MetricLevel:
    return MetricLevel(
        terms=terms(name, for_s=for_s, keep_firing_s=keep_firing_s), metric="m", threshold=0.85, resolve_below=0.765
    )


def level(value: float, *, at_ns: int, service: str = "checkout", instance: str = "") -> Level:
    return Level(metric="m", service=service, instance=instance, value=value, unit="1", at_ns=at_ns)


def facts_with(*levels: Level, running: tuple[Running, ...] = ()) -> Facts:
    facts = Facts(running=running)
    for each in levels:
        facts.levels.put(each)
    return facts
