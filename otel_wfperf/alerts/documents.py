"""Alerts and silences as JSON: for the HTTP interface, for messages, and for what survives a restart.

As in the Findings JSON: fields may be added, and none is renamed or removed without a new version in the path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from otel_wfperf.alerts.alert import Alert, AlertState, Reading, Terms
from otel_wfperf.alerts.silences import Matcher, Silence
from otel_wfperf.alerts.wording import moment, quantity
from otel_wfperf.model import Severity

Document: TypeAlias = dict[str, Any]


def alert_document(alert: Alert, *, link: str | None, silenced_by: tuple[str, ...] = ()) -> Document:
    """Describe an alert for people and programs.

    Args:
        alert: It.
        link: Page that shows more; None = there is none.
        silenced_by: Ids of the silences that apply to it.
    """
    reading = alert.reading
    return {
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "labels": alert.labels,
        "summary": reading.summary,
        "advice": reading.advice or alert.terms.advice,
        "value": reading.value,
        "threshold": reading.threshold,
        "resolve_below": reading.resolve_below,
        "unit": reading.unit,
        "value_text": quantity(reading.value, reading.unit),
        "threshold_text": quantity(reading.threshold, reading.unit),
        "since": moment(alert.since_ns),
        "fired_at": None if alert.fired_ns is None else moment(alert.fired_ns),
        "resolved_at": None if alert.resolved_ns is None else moment(alert.resolved_ns),
        "trace_id": reading.trace_id,
        "link": link,
        "silenced_by": list(silenced_by),
    }


def silence_document(silence: Silence, *, now_ns: int) -> Document:
    """Describe a silence."""
    state = "pending" if now_ns < silence.starts_ns else "active" if now_ns < silence.ends_ns else "expired"
    return {
        "id": silence.silence_id,
        "state": state,
        "matchers": [
            {"label": each.label, "operator": each.operator, "value": each.value} for each in silence.matchers
        ],
        "starts_at": moment(silence.starts_ns),
        "ends_at": moment(silence.ends_ns),
        "comment": silence.comment,
        "created_by": silence.created_by,
    }


def kept_alert(alert: Alert) -> Document:
    """Write an alert for :func:`alert_of`."""
    return asdict(alert)


def alert_of(kept: Mapping[str, Any]) -> Alert:
    """Read an alert; raise LookupError, TypeError or ValueError when it is none."""
    terms = {**kept["terms"], "severity": Severity(kept["terms"]["severity"])}
    changed = {"terms": Terms(**terms), "reading": Reading(**kept["reading"]), "state": AlertState(kept["state"])}
    return Alert(**{**kept, **changed})


def kept_silence(silence: Silence) -> Document:
    """Write a silence for :func:`silence_of`."""
    return asdict(silence)


def silence_of(kept: Mapping[str, Any]) -> Silence:
    """Read a silence; raise LookupError, TypeError or ValueError when it is none."""
    return Silence(**{**kept, "matchers": tuple(Matcher(**each) for each in kept["matchers"])})
