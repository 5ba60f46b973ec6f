from __future__ import annotations

from otel_wfperf.alerts import AlertBook, AlertState, ExecutionTime, Running
from tests.alerts.readings import SECOND_NS, START_NS, facts_with, terms

RULE = ExecutionTime(
    terms=terms("execution_time", keep_firing_s=5),
    threshold_ns=300 * SECOND_NS,
    by_workflow={"quick": 2 * SECOND_NS, "night-*": 3600 * SECOND_NS},
)


def run(trace: str, workflow: str | None, *, start_s: float = 0) -> Running:
    return Running(trace_id=trace, workflow=workflow, start_ns=START_NS + round(start_s * 1e9))


def at(second: float) -> int:
    return START_NS + round(second * 1e9)


def test_fires_when_the_oldest_execution_passes_the_limit_of_its_workflow_and_ends_with_it() -> None:
    book = AlertBook()
    facts = facts_with(running=(run("a", "quick"), run("b", "quick", start_s=1), run("c", "night-1"), run("d", None)))

    assert book.apply(RULE, facts, now_ns=at(1.999)) == ()
    [fired] = book.apply(RULE, facts, now_ns=at(2))
    assert (fired.state, fired.reading.workflow, fired.reading.trace_id) == (AlertState.FIRING, "quick", "a")
    assert fired.reading.summary == "an execution of quick has run for 2.00 s; the limit is 2.00 s"
    facts.running = (run("b", "quick", start_s=1),)
    assert book.apply(RULE, facts, now_ns=at(3)) == ()
    facts.running = ()
    assert book.apply(RULE, facts, now_ns=at(7.9)) == ()
    [resolved] = book.apply(RULE, facts, now_ns=at(8))
    assert resolved.state is AlertState.RESOLVED


def test_says_how_many_are_late() -> None:
    facts = facts_with(running=tuple(run(name, "quick") for name in "abc"))

    [reading] = RULE.readings(facts, now_ns=at(10))
    assert reading.summary == "an execution of quick has run for 10.0 s, as have 2 others; the limit is 2.00 s"


def test_knows_the_next_moment_at_which_something_is_late() -> None:
    facts = facts_with(running=(run("a", "quick"), run("b", "quick", start_s=1), run("c", "other")))

    assert RULE.due_ns(facts, now_ns=at(0.5)) == at(2)
    assert RULE.due_ns(facts, now_ns=at(2)) == at(3)
    assert RULE.due_ns(facts, now_ns=at(3)) == at(300)
    assert RULE.due_ns(facts_with(), now_ns=at(3)) is None


def test_an_execution_that_was_late_before_anybody_looked_is_late_since_then() -> None:
    book = AlertBook()

    [fired] = book.apply(RULE, facts_with(running=(run("a", "quick"),)), now_ns=at(500))
    assert (fired.since_ns, fired.fired_ns) == (at(2), at(500))


def test_a_clock_that_is_ahead_makes_nothing_late() -> None:
    [reading] = RULE.readings(facts_with(running=(run("a", "quick", start_s=3600),)), now_ns=at(0))

    assert reading.value == 0


def test_an_execution_of_which_the_workflow_is_not_known_is_not_judged() -> None:
    """After a restart in its middle, its parts are heard of first, and its own limit is not known."""
    facts = facts_with(running=(run("a", None),))

    assert list(RULE.readings(facts, now_ns=at(10_000))) == []
    assert RULE.due_ns(facts, now_ns=at(0)) is None
