"""What is wrong now, and how it comes and goes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from otel_wfperf.model import Severity


class AlertState(StrEnum):
    """Pending: true, but not for long enough. Firing: people are told. Resolved: it fired, and is over."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What every rule has.

    Attributes:
        name: Name of the alert.
        severity: How bad it is.
        for_ns: How long it must be true before it fires (nanoseconds).
        keep_firing_ns: How long it must be over before it is resolved (nanoseconds).
        advice: What to do, one imperative sentence.
    """

    name: str
    severity: Severity
    for_ns: int = 0
    keep_firing_ns: int = 0
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a rule sees of one subject.

    Attributes:
        workflow: Name of the workflow; None = it is about no workflow in particular.
        subject: The thing it is about, as ``kind:name``.
        value: What was measured.
        threshold: From here on it is true.
        resolve_below: Once it fires, it stays true from here on.
        unit: Of the three: ``s``, ``1`` for a share, or what is counted.
        summary: One sentence: what is measured, against what.
        since_ns: When it became true, where that is known (nanoseconds since the Unix epoch).
        trace_id: The execution to look at; None = none in particular.
        advice: What to do about this one; None = what the rule says.
    """

    workflow: str | None
    subject: str
    value: float
    threshold: float
    resolve_below: float
    unit: str
    summary: str
    since_ns: int | None = None
    trace_id: str | None = None
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One cause that a rule has found. Moments are nanoseconds since the Unix epoch.

    Attributes:
        terms: Those of its rule.
        reading: The latest one.
        since_ns: Since when it is true.
        held_ns: When it was last seen true.
        fired_ns: When it fired; None = not yet.
        resolved_ns: When it was resolved; None = it is not.
    """

    terms: Terms
    reading: Reading
    state: AlertState
    since_ns: int
    held_ns: int
    fired_ns: int | None = None
    resolved_ns: int | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of the cause over time and restarts: rule, workflow and subject (16 hex digits)."""
        return fingerprint(self.terms.name, self.reading)

    @property
    def labels(self) -> dict[str, str]:
        """What it is found by: the same as long as it is the same alert."""
        known = {"alertname": self.terms.name, "severity": self.terms.severity.value, "subject": self.reading.subject}
        return known if self.reading.workflow is None else {**known, "workflow": self.reading.workflow}


def fingerprint(rule: str, reading: Reading) -> str:
    """Derive the identity of a cause (16 hex digits)."""
    identity = "\x1f".join((rule, reading.workflow or "", reading.subject))
    return hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:16]


def advance(alert: Alert | None, reading: Reading | None, terms: Terms, *, now_ns: int) -> Alert | None:
    """Return what an alert becomes; None = there is none.

    Source: Prometheus alerting rules, ``for`` and ``keep_firing_for``; the second threshold is a Schmitt trigger.

    Args:
        alert: What it was; a resolved one begins anew.
        reading: What is seen now; None = there is nothing to see any more.
        terms: Those of the rule now.
        now_ns: The present (nanoseconds since the Unix epoch).
    """
    if alert is not None and alert.state is AlertState.RESOLVED:
        alert = None
    fires = alert is not None and alert.state is AlertState.FIRING
    if reading is None or reading.value < (reading.resolve_below if fires else reading.threshold):
        return _fading(alert, reading, terms, now_ns) if alert is not None and fires else None
    if alert is None:
        since_ns = now_ns if reading.since_ns is None else min(now_ns, reading.since_ns)
        alert = Alert(terms=terms, reading=reading, state=AlertState.PENDING, since_ns=since_ns, held_ns=now_ns)
    alert = replace(alert, terms=terms, reading=reading, held_ns=now_ns)
    if not fires and now_ns - alert.since_ns >= terms.for_ns:
        return replace(alert, state=AlertState.FIRING, fired_ns=now_ns)
    return alert


def _fading(alert: Alert, reading: Reading | None, terms: Terms, now_ns: int) -> Alert:
    alert = replace(alert, terms=terms, reading=reading or alert.reading)
    if now_ns - alert.held_ns >= terms.keep_firing_ns:
        return replace(alert, state=AlertState.RESOLVED, resolved_ns=now_ns)
    return alert
