from __future__ import annotations

import math

import pytest

from otel_wfperf.alerts import Alert, AlertState
from otel_wfperf.alerts.alert import advance
from tests.alerts.readings import SECOND_NS, START_NS, reading, terms


def test_fires_once_it_has_been_true_for_long_enough() -> None:
    rule = terms(for_s=10)
    alert = advance(None, reading(0.9), rule, now_ns=START_NS)
    assert alert is not None
    assert (alert.state, alert.since_ns) == (AlertState.PENDING, START_NS)

    alert = advance(alert, reading(0.95), rule, now_ns=START_NS + 9 * SECOND_NS)
    assert alert is not None
    assert alert.state is AlertState.PENDING
    alert = advance(alert, reading(0.9), rule, now_ns=START_NS + 10 * SECOND_NS)
    assert alert is not None
    assert (alert.state, alert.fired_ns) == (AlertState.FIRING, START_NS + 10 * SECOND_NS)


def test_what_does_not_last_leaves_nothing() -> None:
    rule = terms(for_s=10)
    alert = advance(None, reading(0.9), rule, now_ns=START_NS)

    assert advance(alert, reading(0.84), rule, now_ns=START_NS + SECOND_NS) is None
    assert advance(alert, None, rule, now_ns=START_NS + SECOND_NS) is None


def test_resolves_below_the_second_threshold_only_and_after_a_while() -> None:
    rule = terms(keep_firing_s=60)
    alert = advance(None, reading(0.85), rule, now_ns=START_NS)
    between = advance(alert, reading(0.77), rule, now_ns=START_NS + 100 * SECOND_NS)
    assert between is not None
    assert (between.state, between.held_ns) == (AlertState.FIRING, START_NS + 100 * SECOND_NS)

    over = advance(between, reading(0.7), rule, now_ns=START_NS + 130 * SECOND_NS)
    assert over is not None
    assert (over.state, over.reading.value) == (AlertState.FIRING, 0.7)
    resolved = advance(over, None, rule, now_ns=START_NS + 160 * SECOND_NS)
    assert resolved is not None
    assert (resolved.state, resolved.resolved_ns) == (AlertState.RESOLVED, START_NS + 160 * SECOND_NS)


def test_what_returns_after_it_was_resolved_is_a_new_alert_of_the_same_fingerprint() -> None:
    first = advance(None, reading(0.9), terms(), now_ns=START_NS)
    resolved = advance(first, reading(0.1), terms(), now_ns=START_NS + SECOND_NS)
    again = advance(resolved, reading(0.9), terms(), now_ns=START_NS + 2 * SECOND_NS)

    assert first is not None
    assert again is not None
    assert (again.fired_ns, again.fingerprint) == (START_NS + 2 * SECOND_NS, first.fingerprint)


def test_the_cause_makes_the_fingerprint_and_nothing_else() -> None:
    one = advance(None, reading(0.9), terms(), now_ns=START_NS)
    same = advance(None, reading(0.99, trace_id="ab"), terms(for_s=5), now_ns=0)
    other = advance(None, reading(0.9, workflow="other"), terms(), now_ns=START_NS)

    assert one is not None
    assert same is not None
    assert other is not None
    # As in an earlier run, on any machine.
    assert one.fingerprint == "7bfd801e41361338"
    assert one.fingerprint == same.fingerprint != other.fingerprint


@pytest.mark.parametrize("swing", [0.01, 0.05, 0.1, 0.3])
@pytest.mark.parametrize("period_s", [2, 7, 30, 60, 120, 240, 600])
@pytest.mark.parametrize("sample_s", [1, 15])
def test_nothing_flaps_over_ten_minutes_about_the_threshold(swing: float, period_s: int, sample_s: int) -> None:
    """With the delays of the CPU and memory rules an oscillating value fires once at most, and is not resolved."""
    rule = terms(for_s=60, keep_firing_s=300)
    alert: Alert | None = None
    seen = reading(0.85)
    changes: list[AlertState] = []
    for second in range(600):
        if second % sample_s == 0:
            seen = reading(0.85 + swing * math.sin(2 * math.pi * second / period_s))
        before = alert.state if alert else None
        alert = advance(alert, seen, rule, now_ns=START_NS + second * SECOND_NS)
        after = alert.state if alert else None
        if after is not before and AlertState.FIRING in {before, after}:
            changes.append(after or AlertState.RESOLVED)

    assert changes in ([], [AlertState.FIRING])
