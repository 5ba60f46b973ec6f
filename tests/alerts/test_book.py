from __future__ import annotations

from otel_wfperf.alerts import AlertBook, AlertState
from otel_wfperf.alerts.book import MAX_ALERTS
from tests.alerts.readings import MINUTE_NS, SECOND_NS, START_NS, facts_with, level, level_rule


def states(book: AlertBook) -> list[tuple[str, AlertState]]:
    return [(each.reading.subject, each.state) for each in book.all()]


def test_tells_what_begins_and_what_ends_once() -> None:
    book, rule = AlertBook(), level_rule()
    high, low = (facts_with(level(value, at_ns=START_NS)) for value in (0.9, 0.1))

    [fired] = book.apply(rule, high, now_ns=START_NS)
    assert fired.state is AlertState.FIRING
    assert book.apply(rule, high, now_ns=START_NS + SECOND_NS) == ()
    [resolved] = book.apply(rule, low, now_ns=START_NS + 2 * SECOND_NS)
    assert (resolved.state, resolved.fingerprint) == (AlertState.RESOLVED, fired.fingerprint)
    assert states(book) == [("service:checkout", AlertState.RESOLVED)]
    assert book.firing() == ()


def test_keeps_the_causes_of_rules_apart() -> None:
    book = AlertBook()
    facts = facts_with(level(0.9, at_ns=START_NS), level(0.9, at_ns=START_NS, service="search"))
    book.apply(level_rule(name="cpu"), facts, now_ns=START_NS)
    book.apply(level_rule(name="memory"), facts, now_ns=START_NS)
    book.apply(level_rule(name="cpu"), facts_with(), now_ns=START_NS)

    assert sorted((each.terms.name, each.state.value) for each in book.all()) == [
        ("cpu", "resolved"),
        ("cpu", "resolved"),
        ("memory", "firing"),
        ("memory", "firing"),
    ]


def test_a_restart_goes_on_and_does_not_resolve_what_it_cannot_see_yet() -> None:
    before, rule = AlertBook(), level_rule()
    before.apply(rule, facts_with(level(0.9, at_ns=START_NS)), now_ns=START_NS)
    book = AlertBook(before.all(), now_ns=START_NS + MINUTE_NS)

    assert book.apply(rule, facts_with(), now_ns=START_NS + 2 * MINUTE_NS) == ()
    assert book.firing() == before.firing()
    [resolved] = book.apply(rule, facts_with(), now_ns=START_NS + 7 * MINUTE_NS)
    assert resolved.state is AlertState.RESOLVED


def test_a_restart_resolves_what_it_sees_to_be_over() -> None:
    before, rule = AlertBook(), level_rule()
    before.apply(rule, facts_with(level(0.9, at_ns=START_NS)), now_ns=START_NS)
    book = AlertBook(before.all(), now_ns=START_NS + MINUTE_NS)

    [resolved] = book.apply(rule, facts_with(level(0.2, at_ns=START_NS + MINUTE_NS)), now_ns=START_NS + MINUTE_NS)
    assert resolved.state is AlertState.RESOLVED


def test_a_clock_that_was_set_back_between_two_runs_holds_nothing_up() -> None:
    before, rule = AlertBook(), level_rule(keep_firing_s=10)
    before.apply(rule, facts_with(level(0.9, at_ns=START_NS)), now_ns=START_NS)
    hour_before_ns = START_NS - 60 * MINUTE_NS
    book = AlertBook(before.all(), now_ns=hour_before_ns)

    low = facts_with(level(0.1, at_ns=hour_before_ns))
    [resolved] = book.apply(rule, low, now_ns=hour_before_ns + 10 * SECOND_NS)
    assert resolved.state is AlertState.RESOLVED


def test_alerts_of_rules_that_are_gone_are_resolved() -> None:
    book = AlertBook()
    book.apply(level_rule(name="cpu"), facts_with(level(0.9, at_ns=START_NS)), now_ns=START_NS)
    book.apply(level_rule(name="slow", for_s=5), facts_with(level(0.9, at_ns=START_NS)), now_ns=START_NS)

    assert [each.terms.name for each in book.drop_rules_except(["memory"], now_ns=START_NS)] == ["cpu"]
    assert states(book) == [("service:checkout", AlertState.RESOLVED)]


def test_what_one_rule_finds_is_bounded_and_the_rest_is_counted() -> None:
    book = AlertBook()
    levels = [level(0.9, at_ns=START_NS, service=f"service-{number}") for number in range(MAX_ALERTS + 5)]
    book.apply(level_rule(), facts_with(*levels), now_ns=START_NS)

    assert (len(book.all()), book.refused) == (MAX_ALERTS, 5)


def test_lists_what_fires_before_what_is_pending_and_what_is_over() -> None:
    book = AlertBook()
    facts = facts_with(level(0.9, at_ns=START_NS))
    book.apply(level_rule(name="over"), facts, now_ns=START_NS)
    book.apply(level_rule(name="over"), facts_with(), now_ns=START_NS)
    book.apply(level_rule(name="soon", for_s=60), facts, now_ns=START_NS)
    book.apply(level_rule(name="now"), facts, now_ns=START_NS)

    assert [each.terms.name for each in book.all()] == ["now", "soon", "over"]
