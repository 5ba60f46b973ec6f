from typing import Any

import pytest

from otel_wfperf.detectors.missed_parallelism import MissedParallelism
from otel_wfperf.model import Confidence, Execution, Finding, Severity
from tests.detectors.builders import Run, population

PLAN, ALPHA, BETA = (frozenset({number}) for number in (1, 2, 3))


def found(*executions: Execution) -> list[Finding]:
    return list(MissedParallelism().detect(population(*executions)))


def turn_of_tools(
    *durations_ms: float, gap_ms: float = 5, turn: str | None = "response-1", number: int = 0, **fields: Any
) -> Execution:
    """One phase: the model, its tools one after another, the model."""
    run = Run(number)
    analyst = run.phase("analyst", 0, 0)
    run.llm(0, 500, parent=analyst)
    at_ms = 510.0
    for name, duration_ms in zip("abcdef", durations_ms, strict=False):
        run.tool(f"load_{name}", at_ms, duration_ms, parent=analyst, turn=turn, **fields)
        at_ms += duration_ms + gap_ms
    run.llm(at_ms, 500, parent=analyst)
    run.resize(analyst, at_ms + 500)
    return run.build()


def test_tools_of_one_turn_in_series_are_proven() -> None:
    [finding] = found(*(turn_of_tools(500, 480, 440, number=number) for number in range(4)))

    assert (finding.subject.kind.value, finding.subject.name) == ("tool", "load_a, load_b, load_c")
    assert finding.confidence is Confidence.PROVEN
    assert finding.severity is Severity.CRITICAL
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.93)
    assert finding.evidence["place"] == "analyst"
    assert finding.evidence["independence"] == ("same model turn",)
    assert finding.summary == (
        "3 independent steps (load_a, load_b, load_c) run one after another in 1.4 s; the longest takes 0.5 s"
    )


@pytest.mark.parametrize("asked", [{"model": True}, {"tools": True}, {}], ids=["finish reason", "call ids", "neither"])
def test_a_turn_is_proven_only_when_something_shows_that_the_model_asked(asked: dict[str, bool]) -> None:
    run = Run()
    analyst = run.phase("analyst", 0, 2_600)
    turn = run.llm(0, 500, parent=analyst, requested=asked.get("model", False))
    for number, name in enumerate("abc"):
        run.tool(
            f"load_{name}", 510 + 505 * number, 500, parent=analyst, turn=turn, requested=asked.get("tools", False)
        )
    run.llm(2_100, 500, parent=analyst)

    [finding] = found(run.build())

    proven = (Confidence.PROVEN, Severity.CRITICAL)
    assert (finding.confidence, finding.severity) == (proven if asked else (Confidence.ASSUMED, Severity.LOW))


def test_two_tools_of_one_turn_are_enough() -> None:
    [finding] = found(turn_of_tools(900, 800))

    assert finding.subject.name == "load_a, load_b"


def test_tools_that_overlap_run_together_already() -> None:
    assert not found(turn_of_tools(900, 800, 700, gap_ms=-20))


def test_tools_of_under_a_tenth_of_a_second_are_left_alone() -> None:
    assert not found(turn_of_tools(*[99] * 6))


def test_a_long_pause_between_tools_is_something_else() -> None:
    assert found(turn_of_tools(900, 800, gap_ms=80))
    assert not found(turn_of_tools(900, 800, gap_ms=90))


def test_a_small_saving_is_left_alone() -> None:
    run = Run()
    analyst = run.phase("analyst", 0, 8000)
    run.llm(0, 500, parent=analyst)
    run.tool("load_a", 510, 460, parent=analyst, turn="t")
    run.tool("load_b", 975, 450, parent=analyst, turn="t")
    run.llm(1430, 6500, parent=analyst)

    assert not found(run.build())


def test_a_result_that_the_next_tool_was_given_shows_that_no_model_chose_them_together() -> None:
    def lookups(given: frozenset[int], *, written: str | None = None) -> Execution:
        run = Run()
        turn = written or run.llm(0, 50)
        run.tool("find_user", 60, 900, turn=turn, input_fragments=PLAN, output_fragments=ALPHA)
        run.tool("load_profile", 965, 900, turn=turn, input_fragments=given)
        return run.build()

    assert found(lookups(PLAN))
    assert not found(lookups(ALPHA))
    assert found(lookups(ALPHA, written="response-1"))


def test_tools_that_change_something_keep_their_order() -> None:
    run = Run()
    for at, name in enumerate(("search_web", "create_ticket", "read_page")):
        run.tool(name, at * 1000, 990, turn="t")

    assert not found(run.build())


def test_tools_of_different_turns_with_the_model_between_depend_on_each_other() -> None:
    run = Run()
    agent = run.agent("reader", 0, 9000)
    for turn in range(3):
        run.llm(turn * 3000, 1000, parent=agent)
        run.tool("read_page", turn * 3000 + 1010, 1900, parent=agent, turn=f"t{turn}")

    assert not found(run.build())


def test_tools_inside_spans_of_their_own_are_one_turn_all_the_same() -> None:
    run = Run()
    for at, name in enumerate(("load_a", "load_b")):
        task = run.add_other("task", at * 1000, 990)
        run.tool(name, at * 1000 + 5, 980, parent=task, turn="t")

    [finding] = found(run.build())

    assert finding.subject.name == "load_a, load_b"


def test_timing_alone_takes_three_different_tools_and_is_low() -> None:
    [finding] = found(turn_of_tools(900, 800, 700, turn=None))

    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.LOW)
    assert finding.recommendation.startswith("Check that they are independent")
    assert not found(turn_of_tools(900, 800, turn=None))


def test_a_tool_called_again_polls_or_turns_pages() -> None:
    run = Run()
    for at in range(4):
        run.tool("read_page", at * 1000, 990)

    assert not found(run.build())


def phases(*steps: tuple[str, float, dict[str, Any]], number: int = 0) -> Execution:
    """Phases one after another; each calls the model if fields for that are given."""
    run, at_ms = Run(number), 0.0
    for name, duration_ms, fields in steps:
        run.phase(name, at_ms, duration_ms, **fields)
        at_ms += duration_ms + 3
    return run.build(output_fragments=ALPHA | BETA)


def test_phases_that_follow_each_other_are_usual() -> None:
    chain: list[tuple[str, float, dict[str, Any]]] = [
        (name, 1000.0, {}) for name in ("plan", "research", "write", "review")
    ]

    assert not found(*(phases(*chain, number=number) for number in range(6)))


def test_a_phase_that_was_given_nothing_of_the_other_is_independent() -> None:
    execution = phases(
        ("plan", 500, {"output_fragments": PLAN}),
        ("research_a", 1000, {"input_fragments": PLAN, "output_fragments": ALPHA}),
        ("research_b", 900, {"input_fragments": PLAN, "output_fragments": BETA}),
        ("write", 500, {"input_fragments": ALPHA | BETA}),
    )

    [finding] = found(execution)

    assert (finding.subject.kind.value, finding.subject.name) == ("phase", "research_a, research_b")
    assert finding.confidence is Confidence.OBSERVED
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.903)
    assert finding.evidence["independence"] == ("content",)


def test_a_phase_that_was_given_the_result_of_the_other_depends_on_it() -> None:
    assert not found(
        phases(
            ("research_a", 1000, {"input_fragments": PLAN, "output_fragments": ALPHA}),
            ("research_b", 900, {"input_fragments": PLAN | ALPHA, "output_fragments": BETA}),
        )
    )


def test_content_that_nobody_uses_proves_nothing() -> None:
    unseen = frozenset({9})

    assert not found(
        phases(
            ("market", 1000, {"input_fragments": PLAN, "output_fragments": unseen}),
            ("legal", 900, {"input_fragments": PLAN, "output_fragments": BETA}),
        )
    )


@pytest.mark.parametrize(
    "names", [("research_a", "research_b"), ("ResearcherA", "ResearcherB"), ("worker 1", "worker 2")]
)
def test_copies_of_one_worker_in_series_are_a_guess(names: tuple[str, str]) -> None:
    [finding] = found(phases(("plan", 500, {}), *((name, 1000, {}) for name in names), ("write", 500, {})))

    assert finding.subject.name == ", ".join(names)
    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.LOW)


@pytest.mark.parametrize("names", [("step_1", "step_2"), ("draft_v1", "draft_v2"), ("research", "review")])
def test_numbered_steps_are_no_copies(names: tuple[str, str]) -> None:
    assert not found(phases(*((name, 1000, {}) for name in names)))


def test_copies_that_use_each_others_results_depend_on_each_other() -> None:
    assert not found(
        phases(
            ("research_a", 1000, {"input_fragments": PLAN, "output_fragments": ALPHA}),
            ("research_b", 900, {"input_fragments": ALPHA, "output_fragments": BETA}),
        )
    )


def test_what_nothing_is_known_of_does_not_hide_a_series_before_it() -> None:
    [finding] = found(
        phases(
            ("market", 1000, {"input_fragments": PLAN, "output_fragments": ALPHA}),
            ("legal", 900, {"input_fragments": PLAN, "output_fragments": BETA}),
            ("write", 800, {}),
        )
    )

    assert finding.subject.name == "market, legal"


def test_equal_calls_are_to_be_made_once_not_at_once() -> None:
    assert not found(turn_of_tools_named("get_weather", "get_weather", "get_weather", hashes=("oslo",) * 3))
    assert found(turn_of_tools_named("get_weather", "get_weather", "get_weather", hashes=("oslo", "rome", "bern")))


def turn_of_tools_named(*names: str, hashes: tuple[str, ...]) -> Execution:
    run = Run()
    for at, (name, input_hash) in enumerate(zip(names, hashes, strict=True)):
        run.tool(name, at * 1000, 990, turn="t", input_hash=input_hash)
    return run.build()


def test_a_model_call_inside_another_span_stands_between_tools_too() -> None:
    run = Run()
    for at, name in enumerate(("load_a", "load_b", "load_c")):
        think = run.add_other("think", at * 1000, 45)
        run.llm(at * 1000 + 1, 40, parent=think)
        run.tool(name, at * 1000 + 50, 945)

    assert not found(run.build())


def test_what_the_calls_of_a_phase_were_given_counts_not_the_state_it_could_see() -> None:
    run = Run()
    run.phase("plan", 0, 500, output_fragments=PLAN)
    state = PLAN
    for at, (name, result) in enumerate((("research_a", ALPHA), ("research_b", BETA))):
        phase = run.phase(name, 503 + at * 1003, 1000, input_fragments=state, output_fragments=result)
        run.llm(503 + at * 1003, 1000, parent=phase, input_fragments=PLAN, output_fragments=result)
        state = state | result
    run.phase("write", 2510, 500, input_fragments=state)

    assert [finding.subject.name for finding in found(run.build())] == ["research_a, research_b"]


def test_a_gate_is_waited_for_although_nothing_quotes_it() -> None:
    assert not found(
        phases(
            ("guardrail", 1000, {"input_fragments": PLAN, "output_fragments": ALPHA}),
            ("research", 900, {"input_fragments": PLAN, "output_fragments": BETA}),
        )
    )


def test_a_phase_that_writes_is_waited_for_although_nothing_quotes_it() -> None:
    run = Run()
    load = run.phase("prepare", 0, 1000, input_fragments=PLAN, output_fragments=ALPHA)
    run.tool("insert_rows", 0, 900, parent=load)
    run.phase("report", 1003, 1000, input_fragments=PLAN, output_fragments=BETA)

    assert not found(run.build(output_fragments=ALPHA | BETA))


def test_a_declared_graph_without_an_edge_is_proof() -> None:
    [finding] = found(
        phases(
            ("plan", 500, {"depends_on": ()}),
            ("left", 1000, {"depends_on": ("plan",)}),
            ("right", 900, {"depends_on": ("plan",)}),
            ("join", 500, {"depends_on": ("left", "right")}),
        )
    )

    assert (finding.subject.name, finding.confidence) == ("left, right", Confidence.PROVEN)


def test_a_declared_path_is_a_dependency_even_over_others() -> None:
    assert not found(
        phases(
            ("a", 1000, {"depends_on": ()}),
            ("b", 1000, {"depends_on": ("a",)}),
            ("c", 1000, {"depends_on": ("b",)}),
        )
    )


def test_a_loop_over_one_phase_is_left_alone() -> None:
    step = {"input_fragments": PLAN, "output_fragments": ALPHA}

    assert not found(phases(*[("writer", 1000.0, step)] * 5))


def test_phases_in_turns_are_a_loop_too() -> None:
    draft = ("draft", 1000.0, {"input_fragments": PLAN, "output_fragments": ALPHA})
    critic = ("critic", 1000.0, {"input_fragments": PLAN, "output_fragments": BETA})

    assert not found(phases(draft, critic, draft, critic))


def test_attempts_of_one_phase_are_one_step() -> None:
    failed = {"input_fragments": PLAN, "error": "ConnectionError"}

    [finding] = found(
        phases(
            ("fetch", 300, failed),
            ("fetch", 700, {"input_fragments": PLAN, "output_fragments": ALPHA}),
            ("research", 900, {"input_fragments": PLAN, "output_fragments": BETA}),
        )
    )

    assert finding.subject.name == "fetch, research"
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(0.903)


def test_order_that_varies_over_many_runs_is_evidence() -> None:
    forward: list[tuple[str, float, dict[str, Any]]] = [("left", 1000.0, {}), ("right", 900.0, {})]
    runs = [phases(*(forward if number % 10 else forward[::-1]), number=number) for number in range(20)]

    assert {finding.confidence for finding in found(*runs)} == {Confidence.OBSERVED}
    assert not found(*runs[:19])


def test_a_join_after_branches_is_left_alone() -> None:
    run = Run()
    run.phase("research_a", 0, 1000, input_fragments=PLAN, output_fragments=ALPHA)
    run.phase("research_b", 10, 1000, input_fragments=PLAN, output_fragments=BETA)
    run.phase("write", 1013, 1000, input_fragments=PLAN, output_fragments=frozenset({8}))

    assert not found(run.build(output_fragments=ALPHA | BETA))
