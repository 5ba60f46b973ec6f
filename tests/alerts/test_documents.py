from __future__ import annotations

import json
from dataclasses import replace

import pytest

from otel_wfperf.alerts import AlertState, Matcher, Silence
from otel_wfperf.alerts.documents import (
    alert_document,
    alert_of,
    kept_alert,
    kept_silence,
    silence_document,
    silence_of,
)
from tests.alerts.readings import SECOND_NS, START_NS, firing

SILENCE = Silence(
    silence_id="one",
    matchers=(Matcher(label="alertname", operator="=", value="cpu"),),
    starts_ns=START_NS,
    ends_ns=START_NS + 60 * SECOND_NS,
    comment="deploy",
)


def test_what_is_kept_is_read_as_it_was() -> None:
    alert = firing(trace_id="ab")

    assert alert_of(json.loads(json.dumps(kept_alert(alert)))) == alert
    assert silence_of(json.loads(json.dumps(kept_silence(SILENCE)))) == SILENCE


@pytest.mark.parametrize("broken", [{}, {"terms": {"severity": "worst"}}, {**kept_alert(firing()), "more": 1}])
def test_what_is_no_alert_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        alert_of(broken)


def test_an_alert_says_what_against_what_since_when_and_what_to_do() -> None:
    alert = replace(firing(), state=AlertState.RESOLVED, resolved_ns=START_NS + 90 * SECOND_NS)

    assert alert_document(alert, link="http://page/", silenced_by=("one",)) == {
        "fingerprint": alert.fingerprint,
        "state": "resolved",
        "labels": {
            "alertname": "cpu",
            "severity": "high",
            "subject": "workflow:research",
            "workflow": "research",
        },
        "summary": "it is 0.9",
        "advice": "run fewer agents",
        "value": 0.9,
        "threshold": 0.85,
        "resolve_below": 0.765,
        "unit": "1",
        "value_text": "90 %",
        "threshold_text": "85 %",
        "since": "2027-01-15T08:00:00.000Z",
        "fired_at": "2027-01-15T08:00:00.000Z",
        "resolved_at": "2027-01-15T08:01:30.000Z",
        "trace_id": None,
        "link": "http://page/",
        "silenced_by": ["one"],
    }


def test_a_silence_says_whether_it_applies() -> None:
    states = [silence_document(SILENCE, now_ns=START_NS + s * SECOND_NS)["state"] for s in (-1, 0, 60)]

    assert states == ["pending", "active", "expired"]
