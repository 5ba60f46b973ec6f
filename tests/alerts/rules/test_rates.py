"""Error rates and the rates at which error budgets burn."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from otel_wfperf.alerts import BurnRate, ErrorRate, Facts, Outcome, Outcomes, Promise
from tests.alerts.readings import MINUTE_NS, SECOND_NS, START_NS, terms

HOUR_NS = 60 * MINUTE_NS
NOW_NS = START_NS + 12 * HOUR_NS

ERROR_RATE = ErrorRate(
    terms=terms("error_rate"), threshold=0.05, resolve_below=0.045, window_ns=HOUR_NS, min_executions=20
)
OBJECTIVE = BurnRate(
    terms=terms("objective"),
    objective=0.99,
    promise=Promise(max_duration_ns=10 * SECOND_NS),
    workflows=("res*",),
    min_executions=10,
    resolve_ratio=0.9,
)


def ended(outcomes: Iterable[tuple[int, bool]], *, workflow: str = "research", promise: Promise) -> Facts:
    """Build facts from (minutes ago, whether it failed)."""
    facts = Facts(outcomes=Outcomes([promise], longest_ns=6 * HOUR_NS))
    for number, (minutes_ago, failed) in enumerate(sorted(outcomes, reverse=True)):
        facts.outcomes.add(
            Outcome(
                trace_id=f"t{number}",
                workflow=workflow,
                duration_ns=SECOND_NS,
                failed=failed,
                at_ns=NOW_NS - minutes_ago * MINUTE_NS,
            )
        )
    return facts


def test_an_error_rate_needs_enough_executions_within_the_window() -> None:
    few = ended([(1, True)] * 19, promise=ERROR_RATE.promise)
    old = ended([(61, True)] * 19 + [(1, False)] * 19, promise=ERROR_RATE.promise)
    enough = ended([(30, True)] * 2 + [(1, False)] * 18, promise=ERROR_RATE.promise)

    assert not list(ERROR_RATE.readings(few, now_ns=NOW_NS))
    assert not list(ERROR_RATE.readings(old, now_ns=NOW_NS))
    [reading] = ERROR_RATE.readings(enough, now_ns=NOW_NS)
    assert (reading.workflow, reading.value, reading.trace_id) == ("research", 0.1, "t1")
    assert reading.summary == ("2 of 20 executions of research in 1 h 00 min failed (10 %); the limit is 5 %")


@pytest.mark.parametrize(
    ("what", "outcomes", "burn", "threshold"),
    [
        ("14.4 x over an hour, and still", [(m, m < 60 and m % 6 == 0) for m in range(360)], 100 / 6, 14.4),
        ("6 x over six hours, and still", [(m, m % 15 == 0) for m in range(360)], 100 / 15, 6.0),
        ("it is over: nothing in the short windows", [(m, m > 30 and m % 2 == 0) for m in range(60)], 0, 14.4),
        ("it has just begun: the long windows are well", [(m, m < 5) for m in range(360)], 100 * 5 / 60, 14.4),
        ("hardly anything runs", [(m, True) for m in range(9)], 0, 14.4),
    ],
)
def test_a_budget_burns_by_both_windows(
    what: str, outcomes: list[tuple[int, bool]], burn: float, threshold: float
) -> None:
    [reading] = OBJECTIVE.readings(ended(outcomes, promise=OBJECTIVE.promise), now_ns=NOW_NS)

    assert reading.value == pytest.approx(burn, rel=0.05), what
    assert reading.threshold == threshold, what
    assert reading.resolve_below == pytest.approx(0.9 * threshold), what


def test_an_objective_is_about_the_workflows_that_it_names() -> None:
    facts = ended([(1, True)] * 20, workflow="other", promise=OBJECTIVE.promise)

    assert not list(OBJECTIVE.readings(facts, now_ns=NOW_NS))


def test_rules_say_in_a_line_when_they_fire() -> None:
    assert ERROR_RATE.described() == (
        "5 % or more of 20 or more executions in 1 h 00 min fail, until it is below 4.5 %"
    )
    assert OBJECTIVE.described() == (
        "of 99 % that must succeed within 10.0 s, the error budget burns 14.4 x over 1 h 00 min and 5 min 00 s "
        "or 6 x over 6 h 00 min and 30 min 00 s"
    )
