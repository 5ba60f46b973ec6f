from __future__ import annotations

from dataclasses import replace

from otel_wfperf.alerts import Facts, Found, SeenFinding
from otel_wfperf.model import Severity
from tests.alerts.readings import MINUTE_NS, START_NS, terms
from tests.sidecar.executions import finding

RULE = Found(
    terms=terms("findings"),
    detectors=("n_plus_*",),
    workflows=("*",),
    severity=Severity.HIGH,
    min_saving_s=0.5,
    window_ns=60 * MINUTE_NS,
)


def seen(*findings: object, minutes_ago: int = 0) -> Facts:
    facts = Facts()
    for each in findings:
        facts.findings.put(
            SeenFinding(finding=each, trace_id="ab", seen_ns=START_NS - minutes_ago * MINUTE_NS)  # type: ignore[arg-type]
        )
    return facts


def test_goes_by_severity_detector_and_gain() -> None:
    facts = seen(
        finding(1),
        finding(1, detector="other"),
        finding(1, severity=Severity.MEDIUM, name="fetch"),
        replace(finding(1, name="ask"), saving=None),
    )

    reading, without_prediction = RULE.readings(facts, now_ns=START_NS)
    assert (reading.workflow, reading.subject, reading.value, reading.trace_id) == (
        "research",
        "n_plus_one:tool:search",
        0.5,
        "ab",
    )
    assert (without_prediction.value, without_prediction.threshold) == (0, 0.5)
    assert reading.summary == "n_plus_one (high): 11 calls one after another"
    assert reading.advice == "Send one request."


def test_a_finding_that_no_execution_has_any_more_is_over_after_the_window() -> None:
    assert list(RULE.readings(seen(finding(1), minutes_ago=60), now_ns=START_NS))
    assert not list(RULE.readings(seen(finding(1), minutes_ago=61), now_ns=START_NS))
