from __future__ import annotations

from tests.alerts.readings import MINUTE_NS, START_NS, facts_with, level, level_rule


def test_looks_at_the_worst_process_of_each_service() -> None:
    facts = facts_with(
        level(0.5, at_ns=START_NS, instance="a"),
        level(0.95, at_ns=START_NS, instance="b"),
        level(0.9, at_ns=START_NS, instance="c"),
        level(0.1, at_ns=START_NS, service="search"),
    )

    checkout, search = level_rule().readings(facts, now_ns=START_NS)
    assert (checkout.subject, checkout.value, search.subject, search.value) == (
        "service:checkout",
        0.95,
        "service:search",
        0.1,
    )
    assert checkout.summary == "m of checkout (process b) is 95 %; the limit is 85 %; 2 of 3 processes are as high"


def test_a_value_of_five_minutes_ago_is_none() -> None:
    facts = facts_with(level(0.9, at_ns=START_NS))

    assert len(list(level_rule().readings(facts, now_ns=START_NS + 5 * MINUTE_NS))) == 1
    assert not list(level_rule().readings(facts, now_ns=START_NS + 5 * MINUTE_NS + 1))


def test_levels_are_bounded() -> None:
    facts = facts_with(*(level(0.9, at_ns=START_NS, instance=str(number)) for number in range(3_000)))

    assert len(list(facts.levels.of("m", since_ns=0))) == 2_000
