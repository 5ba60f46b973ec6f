from __future__ import annotations

from dataclasses import replace

import pytest

from otel_wfperf.alerts import AlertState
from otel_wfperf.alerts.wording import headline, quantity, sentence
from tests.alerts.readings import SECOND_NS, START_NS, firing


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.9, "1", "90 %"),
        (0.0005, "1", "0.05 %"),
        (300, "s", "5 min 00 s"),
        (512, "By", "512 B"),
        (3 * 2**30, "By", "3 GiB"),
        (2**50, "By", "1024 TiB"),
        (14.4, "x", "14.4 x"),
        (7, "{agent}", "7 agent"),
        (7, "", "7"),
    ],
)
def test_values_have_their_unit(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_a_sentence_says_all_of_it_on_one_line() -> None:
    alert = firing(subject="tool:search")
    over = replace(alert, state=AlertState.RESOLVED, resolved_ns=START_NS + 90 * SECOND_NS)

    assert sentence(alert, "http://page/") == (
        "firing: cpu (high): tool:search of research; it is 0.9; since 2027-01-15T08:00:00.000Z; "
        "what to do: run fewer agents; http://page/"
    )
    assert sentence(over, None) == (
        "resolved: cpu (high): tool:search of research; last: it is 0.9; "
        "began 2027-01-15T08:00:00.000Z, lasted 1 min 30 s"
    )
    assert headline(firing()) == "firing: cpu (high): workflow:research"
