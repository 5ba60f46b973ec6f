from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType

import pytest

from otel_wfperf.analysis.call_counts import CallsChange
from otel_wfperf.analysis.comparison import MIN_RUNS, PartComparison, Verdict, compare
from otel_wfperf.analysis.parts import PartFigures, RunFigures
from otel_wfperf.model import Subject, SubjectKind

PHASES = {"plan": 0.7, "research": 1.5, "writer": 2.5}


def drawn(
    seed: object,
    *,
    runs: int = 30,
    factor: float = 1.0,
    slower: str = "",
    spread: float = 0.5,
    calls: tuple[int, ...] = (3,),
    tokens: int = 600,
    workflow: str = "research",
    failed: int = 0,
    inputs: Mapping[str | None, float] = MappingProxyType({None: 1.0}),
) -> list[RunFigures]:
    """Draw runs of three phases (seconds); ``factor`` is that of all times, or of those of one phase.

    ``inputs``: what the runs are given in turn, and how many times as long they take for it.
    """
    random = Random(str(seed))
    found = []
    for number in range(runs):
        made = random.choice(calls)
        given = list(inputs)[number % len(inputs)]
        parts = {}
        total_ns = 0
        for name, usual_s in PHASES.items():
            slow = factor if slower in ("", name) else 1.0
            duration_ns = round(usual_s * made / 3 * inputs[given] * slow * math.exp(random.gauss(0, spread)) * 1e9)
            total_ns += duration_ns
            parts[Subject(kind=SubjectKind.PHASE, name=name)] = figures(duration_ns, made, tokens)
        whole = Subject(kind=SubjectKind.WORKFLOW, name=workflow)
        everything = figures(total_ns, 3 * made, 3 * tokens, failed=number < failed)
        found.append(
            RunFigures(
                trace_id=f"{seed}-{number}",
                workflow=workflow,
                start_ns=number,
                parts={whole: everything, **parts},
                input_hash=given,
                calls={("tool", "load"): made},
            )
        )
    return found


def figures(duration_ns: int, calls: int, tokens: int, *, failed: bool = False) -> PartFigures:
    return PartFigures(duration_ns=duration_ns, calls=calls, input_tokens=tokens, failed=failed)


def verdicts(before: list[RunFigures], after: list[RunFigures]) -> dict[str, Verdict]:
    [found] = compare(before, after).workflows
    return {each.part.name: each.verdict for each in (found.whole, *found.parts)}


def test_30_runs_that_take_half_as_long_again_are_slower() -> None:
    found = [compare(drawn(f"a{seed}"), drawn(f"b{seed}", factor=1.5)).verdict for seed in range(40)]

    assert found.count(Verdict.SLOWER) >= 38
    assert Verdict.FASTER not in found


@pytest.mark.parametrize("spread", [0.3, 1.3])
def test_of_200_comparisons_of_equal_sets_at_most_two_in_a_hundred_have_a_verdict(spread: float) -> None:
    found = [compare(drawn(f"a{seed}", spread=spread), drawn(f"b{seed}", spread=spread)).verdict for seed in range(200)]

    # 0 and 1 were measured.
    assert len(found) - found.count(Verdict.NO_EVIDENCE) <= 4


def test_faster_is_the_reverse_of_slower() -> None:
    slow, fast = drawn("a", factor=2), drawn("b")

    assert compare(slow, fast).verdict is Verdict.FASTER
    assert compare(fast, slow).verdict is Verdict.SLOWER


def test_one_phase_is_named() -> None:
    found = verdicts(drawn("a"), drawn("b", factor=2.5, slower="plan"))

    assert found["plan"] is Verdict.SLOWER
    assert found["writer"] is found["research"] is Verdict.NO_EVIDENCE
    assert compare(drawn("a"), drawn("b", factor=2.5, slower="plan")).verdict is Verdict.SLOWER


def test_more_calls_inside_a_run_make_it_slower_and_fewer_faster() -> None:
    few, many = drawn("a", runs=6, spread=0.02), drawn("b", runs=6, spread=0.02, calls=(4,))
    [slower], [faster] = compare(few, many).workflows, compare(many, few).workflows

    assert (slower.verdict, faster.verdict) == (Verdict.SLOWER, Verdict.FASTER)
    assert slower.whole.ratio == pytest.approx(4 / 3, rel=0.05)
    assert slower.whole.input_ratio == pytest.approx(4 / 3)
    assert slower.calls == (CallsChange(kind="tool", name="load", before=3, after=4),)


def test_a_number_of_calls_that_differs_by_chance_is_not_told() -> None:
    [found] = compare(drawn("a", calls=(2, 3, 4)), drawn("b", calls=(2, 3, 4))).workflows

    assert found.calls == ()


def test_runs_are_compared_with_runs_of_the_same_input() -> None:
    before = drawn("c", runs=60, inputs={"long": 3.0, "short": 1.0, "also short": 1.0})
    after = drawn("d", runs=60, inputs={"long": 3.0, "as long": 3.0, "short": 1.0})
    [found] = compare(before, after).workflows

    assert found.verdict is Verdict.NO_EVIDENCE
    assert (found.whole.comparable_before, found.whole.comparable_after) == (40, 40)
    # Without the inputs, the mixture looks like a change.
    assert compare(*([replace(run, input_hash=None) for run in side] for side in (before, after))).verdict is (
        Verdict.SLOWER
    )


def test_other_inputs_are_not_compared() -> None:
    found = compare(drawn("a", inputs={"x": 1.0, "y": 1.0}), drawn("b", inputs={"y": 1.0, "z": 1.0}, runs=8))

    assert found.workflows == ()
    assert found.other_inputs == {"research": (15, 4)}


def test_inputs_that_never_come_again_are_a_sample_of_what_is_asked_for() -> None:
    before = drawn("a", inputs={f"a{number}": 1.0 for number in range(30)})
    after = drawn("b", inputs={f"b{number}": 1.0 for number in range(30)}, factor=2)

    assert compare(before, after).verdict is Verdict.SLOWER


def test_small_changes_do_not_count_however_certain() -> None:
    before, after = drawn("a", spread=0.01), drawn("b", spread=0.01, factor=1.04)

    assert compare(before, after).verdict is Verdict.NO_EVIDENCE
    assert compare(before, after, min_change_ratio=0.02).verdict is Verdict.SLOWER


def test_the_smallest_effect_shrinks_with_more_runs() -> None:
    def smallest(runs: int) -> PartComparison:
        [found] = compare(drawn("a", runs=runs), drawn("b", runs=runs)).workflows
        return found.whole

    assert 1.05 < smallest(120).smallest_ratio < smallest(30).smallest_ratio < smallest(10).smallest_ratio


def test_too_few_runs_are_not_compared() -> None:
    found = compare(drawn("a", runs=MIN_RUNS), drawn("b", runs=MIN_RUNS + 2, failed=3))

    assert found.workflows == ()
    assert found.too_few == {"research": (MIN_RUNS, MIN_RUNS - 1)}


def test_workflows_are_compared_apart_and_the_worst_decides() -> None:
    before = drawn("a") + drawn("b", workflow="support") + drawn("c", workflow="old")
    after = drawn("d", factor=0.4) + drawn("e", factor=2.5, workflow="support")
    found = compare(before, after)

    assert {each.workflow: each.verdict for each in found.workflows} == {
        "research": Verdict.FASTER,
        "support": Verdict.SLOWER,
    }
    assert found.verdict is Verdict.SLOWER
    assert found.too_few == {"old": (30, 0)}


def test_parts_that_come_and_go_are_named() -> None:
    gone, new = Subject(kind=SubjectKind.PHASE, name="plan"), Subject(kind=SubjectKind.PHASE, name="check")
    after = [
        RunFigures(
            trace_id=run.trace_id,
            workflow=run.workflow,
            start_ns=run.start_ns,
            parts={new if part == gone else part: each for part, each in run.parts.items()},
        )
        for run in drawn("b")
    ]
    [found] = compare(drawn("a"), after).workflows

    assert (found.only_before, found.only_after) == ((gone,), (new,))


def test_five_runs_a_side_can_decide_on_the_whole() -> None:
    before, after = drawn("a", runs=MIN_RUNS, spread=0.02), drawn("b", runs=MIN_RUNS, spread=0.02, factor=1.2)

    assert MIN_RUNS == 5
    assert compare(before, after).verdict is Verdict.SLOWER


def test_the_order_of_runs_makes_no_difference() -> None:
    before, after = drawn("a"), drawn("b", factor=1.5)

    assert compare(before, after) == compare(before[::-1], after[::-1])
