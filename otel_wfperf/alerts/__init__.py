"""Alerts: rules over what runs, what ended and what was measured; how an alert comes, lasts and goes; silences.

Pure: the sidecar says what time it is, feeds the facts, and tells people (``otel_wfperf.sidecar.alerting``).
"""

from otel_wfperf.alerts.alert import Alert, AlertState, Reading, Terms
from otel_wfperf.alerts.book import AlertBook
from otel_wfperf.alerts.facts import Facts, Level, Running, SeenFinding
from otel_wfperf.alerts.outcomes import Outcome, Outcomes, Promise
from otel_wfperf.alerts.rules import RULES, BurnRate, ErrorRate, ExecutionTime, Found, MetricLevel, Rule
from otel_wfperf.alerts.silences import Matcher, Silence, silenced_by

__all__ = [
    "RULES",
    "Alert",
    "AlertBook",
    "AlertState",
    "BurnRate",
    "ErrorRate",
    "ExecutionTime",
    "Facts",
    "Found",
    "Level",
    "Matcher",
    "MetricLevel",
    "Outcome",
    "Outcomes",
    "Promise",
    "Reading",
    "Rule",
    "Running",
    "SeenFinding",
    "Silence",
    "Terms",
    "silenced_by",
]
