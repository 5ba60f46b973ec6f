from __future__ import annotations

from otel_wfperf.alerts import Outcome, Outcomes, Promise
from otel_wfperf.alerts.outcomes import Tally
from tests.alerts.readings import MINUTE_NS, SECOND_NS, START_NS

SUCCEED, SOON = Promise(), Promise(max_duration_ns=SECOND_NS)


def outcome(minute: int, *, failed: bool = False, seconds: int = 1, workflow: str = "research") -> Outcome:
    return Outcome(
        trace_id=f"trace-{minute}",
        workflow=workflow,
        duration_ns=seconds * SECOND_NS,
        failed=failed,
        at_ns=START_NS + minute * MINUTE_NS,
    )


def test_counts_by_promise_and_window() -> None:
    outcomes = Outcomes([SUCCEED, SOON], longest_ns=60 * MINUTE_NS)
    for each in (outcome(0, failed=True), outcome(10), outcome(11, seconds=2), outcome(12, failed=True)):
        outcomes.add(each)
    now_ns = START_NS + 12 * MINUTE_NS

    assert outcomes.tally("research", SUCCEED, window_ns=5 * MINUTE_NS, now_ns=now_ns) == Tally(3, 1, "trace-12")
    assert outcomes.tally("research", SOON, window_ns=5 * MINUTE_NS, now_ns=now_ns) == Tally(3, 2, "trace-12")
    assert outcomes.tally("research", SUCCEED, window_ns=60 * MINUTE_NS, now_ns=now_ns) == Tally(4, 2, "trace-12")
    assert outcomes.tally("other", SUCCEED, window_ns=60 * MINUTE_NS, now_ns=now_ns) == Tally(0, 0)
    assert Tally(0, 0).bad_ratio == 0


def test_forgets_what_no_window_reaches_and_workflows_that_do_not_run() -> None:
    outcomes = Outcomes([SUCCEED], longest_ns=10 * MINUTE_NS)
    outcomes.add(outcome(0, failed=True))
    outcomes.add(outcome(20))
    assert outcomes.tally("research", SUCCEED, window_ns=60 * MINUTE_NS, now_ns=START_NS + 20 * MINUTE_NS).total == 1

    for number in range(100):
        outcomes.add(outcome(21, workflow=f"workflow-{number}"))
    assert len(outcomes.workflows) == 100
    assert "research" not in outcomes.workflows


def test_counts_nothing_that_nobody_asks_for() -> None:
    outcomes = Outcomes()
    outcomes.add(outcome(0))

    assert outcomes.workflows == ()
