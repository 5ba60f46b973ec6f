"""Several findings about the same run; a phase of 100 ms with calls of 40 and 50 ms, then a call of 100 ms."""

import pytest

from otel_wfperf.analysis.reconciling import reconciled
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.model import Change, Move, Parallelise, Remove, Replace, Scale, Shorten
from tests.analysis.test_critical_path import span
from tests.analysis.trees import tree

MS = 1_000_000
RUN = tree(
    [
        span("root", None, 0, 200),
        span("phase", "root", 0, 100),
        span("a", "phase", 0, 40),
        span("b", "phase", 40, 90),
        span("c", "root", 100, 200),
    ],
    "root",
)


def ids(*span_ids: str) -> frozenset[str]:
    return frozenset(span_ids)


def saving_ms(*proposals: list[Change]) -> float:
    return replay(RUN, reconciled(RUN, proposals)).saving_ns / MS


@pytest.mark.parametrize(
    ("proposals", "saving"),
    [
        # Alone, a proposal means what it always means.
        ([[Scale(ids("a"), 0.5), Scale(ids("a"), 0.5)]], 30),
        # Different calls: both.
        ([[Remove(ids("a"))], [Replace(ids("c"), 40 * MS)]], 100),
        # The same call: the better of the two, whatever the order.
        ([[Scale(ids("c"), 0.5)], [Replace(ids("c"), 40 * MS)]], 60),
        ([[Replace(ids("c"), 40 * MS)], [Scale(ids("c"), 0.5)]], 60),
        ([[Remove(ids("c"))], [Scale(ids("c"), 0.5)]], 100),
        ([[Shorten(ids("c"), 30 * MS)], [Shorten(ids("c"), 40 * MS)]], 40),
        ([[Shorten(ids("c"), 30 * MS)], [Scale(ids("c"), 0.5)]], 50),
        ([[Shorten(ids("c"), 70 * MS)], [Scale(ids("c"), 0.5)]], 70),
        ([[Shorten(ids("c"), -20 * MS)], [Remove(ids("a"))]], 20),
        # A phase and a call inside of it: the call gets the better of the two.
        ([[Scale(ids("phase"), 0.5)], [Scale(ids("a"), 0.5)]], 50),
        ([[Scale(ids("phase"), 0.5)], [Scale(ids("a"), 0.25)]], 60),
        ([[Scale(ids("phase"), 0.5)], [Remove(ids("a"))]], 70),
        ([[Scale(ids("phase"), 0.5)], [Shorten(ids("a"), 30 * MS)]], 60),
        ([[Remove(ids("phase"))], [Remove(ids("a"))]], 100),
        # A phase as it is inside of one that is faster.
        ([[Scale(ids("root"), 0.5), Scale(ids("c"), 2.0)], [Remove(ids("a"))]], 70),
        # Orders and lengths go together; of two orders the first counts.
        ([[Move("c", 0, after="phase")], [Remove(ids("a"))]], 100),
        ([[Move("c", 50 * MS)], [Move("c", 0)]], 50),
        ([[Parallelise(ids("phase", "c"))], [Parallelise(ids("phase", "c"), 1)]], 100),
    ],
)
def test_each_effect_counts_once(proposals: list[list[Change]], saving: float) -> None:
    assert saving_ms(*proposals) == pytest.approx(saving)


def test_steps_that_run_together_start_when_the_first_does_even_if_that_is_earlier_now() -> None:
    run = tree(
        [span("root", None, 0, 300), *(span(s, "root", 100 * n, 100 * n + 100) for n, s in enumerate("abc"))], "root"
    )

    assert replay(run, [Move("c", 0, after="b"), Remove(ids("a"))]).saving_ns == 200 * MS
    assert replay(run, [Move("c", 100 * MS), Remove(ids("a"))]).saving_ns == 100 * MS
