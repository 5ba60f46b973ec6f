from __future__ import annotations

from typing import Any

import pytest

from otel_wfperf.alerts import Matcher, Silence, silenced_by
from tests.alerts.readings import SECOND_NS, START_NS, firing


def silence(*matchers: Matcher, starts_s: int = 0, ends_s: int = 60, comment: str = "deploy") -> Silence:
    return Silence(
        silence_id="one",
        matchers=matchers,
        starts_ns=START_NS + starts_s * SECOND_NS,
        ends_ns=START_NS + ends_s * SECOND_NS,
        comment=comment,
    )


@pytest.mark.parametrize(
    ("label", "operator", "value", "holds"),
    [
        ("alertname", "=", "cpu", True),
        ("alertname", "=", "cp", False),
        ("alertname", "!=", "memory", True),
        ("workflow", "=", "re*", True),
        ("workflow", "=", "re", False),
        ("workflow", "!=", "prod-?", True),
        ("severity", "=", "high", True),
        ("missing", "=", "", True),
        ("missing", "!=", "", False),
    ],
)
def test_matchers_compare_whole_labels(label: str, operator: str, value: str, *, holds: bool) -> None:
    assert Matcher(label=label, operator=operator, value=value).holds(firing()) is holds


def test_applies_between_its_moments_when_all_matchers_hold() -> None:
    cpu, other = (Matcher(label="alertname", operator="=", value=value) for value in ("cpu", "memory"))
    alert = firing()

    def applying(second: int, *silences: Silence) -> tuple[str, ...]:
        return silenced_by(alert, silences, now_ns=START_NS + second * SECOND_NS)

    assert [applying(second, silence(cpu, starts_s=10)) for second in (9, 10, 59, 60)] == [(), ("one",), ("one",), ()]
    assert applying(0, silence(cpu, other)) == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (silence, "matchers: is empty"),
        (lambda: silence(Matcher(label="a", operator="=", value="b"), ends_s=0), "ends_at: is not later"),
        (lambda: silence(Matcher(label="a", operator="=", value="b"), comment=" "), "comment: is empty"),
        (lambda: Matcher(label="a", operator="==", value="b"), "operator: '==': is not one of =, !="),
        (lambda: Matcher(label="a", operator="=", value="b" * 2000), "longer than 1000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_no_pattern_takes_for_ever() -> None:
    alert = firing(subject="tool:" + "a" * 200)

    assert not Matcher(label="subject", operator="=", value="*a" * 50 + "b").holds(alert)
