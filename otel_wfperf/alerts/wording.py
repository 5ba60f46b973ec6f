"""How values and alerts read in a message, always with their unit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from otel_wfperf.alerts.alert import Alert, AlertState
from otel_wfperf.report.units import duration, duration_s

_KIB = 1024


def share(ratio: float) -> str:
    """Write a share (0..1) in per cent: ``5 %``, ``0.1 %``."""
    return f"{100 * ratio:.3g} %"


def quantity(value: float, unit: str) -> str:
    """Write a value with its unit.

    Args:
        value: In the unit.
        unit: UCUM: ``1`` for a share, ``s``, ``By`` or any other; ``x`` for a multiple.
    """
    if unit == "1":
        return share(value)
    if unit == "s":
        return duration_s(value)
    if unit == "By":
        return _bytes(value)
    return f"{value:.6g} {unit.strip('{}')}".rstrip()


def moment(moment_ns: int) -> str:
    """Write a moment (nanoseconds since the Unix epoch) as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def headline(alert: Alert) -> str:
    """Say what has happened, of what: ``firing: execution_time (high): workflow:research``."""
    about = alert.reading.subject
    if alert.reading.workflow is not None and alert.reading.workflow not in about:
        about = f"{about} of {alert.reading.workflow}"
    return f"{alert.state.value}: {alert.terms.name} ({alert.terms.severity.value}): {about}"


def paragraphs(alert: Alert) -> Iterator[str]:
    """Say what was measured against what, since when, and what to do."""
    reading = alert.reading
    if alert.state is AlertState.RESOLVED and alert.resolved_ns is not None:
        lasted = duration(max(0, alert.resolved_ns - alert.since_ns))
        yield f"last: {reading.summary}"
        yield f"began {moment(alert.since_ns)}, lasted {lasted}"
        return
    yield reading.summary
    yield f"since {moment(alert.since_ns)}"
    yield f"what to do: {reading.advice or alert.terms.advice}"


def sentence(alert: Alert, link: str | None) -> str:
    """Say all of it in one line."""
    return "; ".join([headline(alert), *paragraphs(alert), *([link] if link else [])]).replace("\n", " ")


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < _KIB:
            return f"{value:.4g} {unit}"
        value /= _KIB
    return f"{value:.4g} TiB"
