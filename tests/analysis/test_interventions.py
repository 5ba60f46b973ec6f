"""What each change means for the operations of runs; times are milliseconds."""

import re
from collections.abc import Sequence

import pytest

from otel_wfperf.analysis.interventions import PlanError
from otel_wfperf.analysis.parallel_steps import Together
from otel_wfperf.analysis.scenario import parse_scenario
from otel_wfperf.analysis.selection import named
from otel_wfperf.analysis.what_if import replay
from otel_wfperf.model import Confidence, Execution
from tests.detectors.builders import Run


def savings_ms(text: str, *executions: Execution) -> list[float]:
    """Replay a scenario of one change; one saving a run."""
    [intervention] = parse_scenario(text).interventions
    changes = intervention.plan(executions).changes
    return [replay(each, changes.get(each.trace_id, ())).saving_ns / 1e6 for each in executions]


def calls(*lengths_ms: float, number: int = 0, results: Sequence[str] | None = None) -> Execution:
    """Equal calls of one tool, one after another."""
    run, at_ms = Run(number), 0.0
    for index, length_ms in enumerate(lengths_ms):
        run.tool("load", at_ms, length_ms, input_hash="x", output_hash=results[index] if results else "y")
        at_ms += length_ms + 10
    return run.build()


def test_equal_calls_after_the_first_are_hits() -> None:
    assert savings_ms("cache tool:load", calls(100, 100, 100)) == [200]
    assert savings_ms("cache tool:load hit=30ms", calls(100, 100, 20)) == [70]


def test_a_cache_that_outlives_runs_answers_the_first_call_of_the_next_run() -> None:
    runs = [calls(100, 100, number=number) for number in range(3)]

    assert savings_ms("cache tool:load", *runs) == [100, 100, 100]
    assert savings_ms("cache tool:load scope=runs", *runs) == [100, 200, 200]
    assert savings_ms("cache tool:load scope=warm", *runs) == [200, 200, 200]


def test_calls_beside_the_first_and_after_a_failure_are_made() -> None:
    run = Run()
    run.tool("load", 0, 100, input_hash="x")
    run.tool("load", 50, 100, input_hash="x")
    run.tool("other", 200, 100, input_hash="x")
    run.tool("fails", 300, 100, input_hash="x", error="timeout")
    run.tool("fails", 400, 100, input_hash="x")

    assert savings_ms("cache tool:*", run.build()) == [0]


def test_inputs_that_nobody_recorded_cannot_be_compared() -> None:
    run = Run()
    run.tool("load", 0, 100)
    run.tool("load", 100, 100)

    with pytest.raises(PlanError, match="inputs of its 2 calls are not recorded"):
        savings_ms("cache tool:load", run.build())
    assert savings_ms("cache tool:load scope=warm", run.build()) == [200]


def test_results_that_differ_are_told() -> None:
    [cache] = parse_scenario("cache tool:load").interventions

    plan = cache.plan([calls(100, 100, 100, results=["old", "old", "new"])])

    assert plan.assumptions == (
        "2 of 3 calls are answered from the cache, each in 0 ms.",
        "1 of the hits had another result than the first call: a cache would serve old answers.",
    )


def test_faster_counts_nested_operations_of_the_name_once() -> None:
    run = Run()
    outer = run.agent("writer", 0, 100)
    run.agent("writer", 20, 60, parent=outer)
    execution = run.build()

    assert savings_ms("faster agent:writer x2", execution) == [50]
    assert savings_ms("remove agent:writer", execution) == [100]
    assert savings_ms("faster workflow:research 30%", execution) == [30]


def nested_phases() -> Execution:
    run = Run()
    fetch = run.phase("fetch", 0, 320)
    for index, name in enumerate(("a", "b", "c")):
        run.tool(name, 100 * index, 100, parent=fetch)
    return run.build()


def test_steps_inside_one_phase_start_together() -> None:
    assert savings_ms("parallel phase:fetch", nested_phases()) == [200]
    assert savings_ms("parallel phase:fetch capacity=2", nested_phases()) == [100]
    assert savings_ms("parallel tool:a,b", nested_phases()) == [100]
    assert savings_ms("parallel tool:a", nested_phases()) == [0]


def test_siblings_of_a_pattern_start_together() -> None:
    run = Run()
    for index in range(3):
        run.phase(f"research_{index}", 100 * index, 100)
    run.phase("write", 300, 100)

    assert savings_ms("parallel phase:research_*", run.build()) == [200]
    assert savings_ms("parallel workflow:research", run.build()) == [300]


def test_nothing_moves_across_a_model_call() -> None:
    run = Run()
    agent = run.agent("a", 0, 500)
    for at_ms in (0, 100, 300, 400):
        run.tool("load", at_ms, 100, parent=agent)
    run.llm(200, 100, parent=agent)

    assert savings_ms("parallel agent:a", run.build()) == [200]


def test_the_limit_that_was_recorded_is_kept() -> None:
    run = Run()
    phase = run.phase("fetch", 0, 400)
    for at_ms in (0, 100, 200, 300):
        run.tool("load", at_ms, 100, parent=phase, concurrency_limit=2)

    assert savings_ms("parallel phase:fetch", run.build()) == [200]
    assert savings_ms("parallel phase:fetch capacity=4", run.build()) == [300]


def test_one_model_turn_proves_that_steps_are_independent() -> None:
    run = Run()
    for name, at_ms in (("a", 0), ("b", 100)):
        run.tool(name, at_ms, 100, turn="t1")
    plan = Together(targets=named("tool:a", "tool:b")).plan([run.build()])

    assert plan.confidence is Confidence.PROVEN
    assert Together(targets=named("phase:fetch")).plan([nested_phases()]).confidence is Confidence.ASSUMED


def test_spans_that_are_not_about_agents_are_moved_with_their_only_step() -> None:
    run = Run()
    for name, at_ms in (("a", 0), ("b", 100)):
        task = run.add_other("task", at_ms, 100)
        run.tool(name, at_ms, 100, parent=task)

    assert savings_ms("parallel tool:a,b", run.build()) == [100]


def two_agents(number: int) -> Execution:
    """A needs 100 ms and 20 ms per token, B 50 ms and 5 ms per token."""
    run, at_ms = Run(number), 0.0
    for name, base_ms, token_ms in (("A", 100, 20), ("B", 50, 5)):
        tokens = 10 + number % 7
        length_ms = base_ms + token_ms * tokens
        agent = run.agent(name, at_ms, length_ms)
        run.llm(at_ms, length_ms, parent=agent, tokens=(100, tokens), model=f"model-{name}")
        at_ms += length_ms
    return run.build()


def test_work_that_moves_takes_what_the_other_agent_needs_for_its_tokens() -> None:
    runs = [two_agents(number) for number in range(14)]

    saved = savings_ms("move agent:A to agent:B", *runs)

    expected = [50 + 15 * (10 + number % 7) for number in range(14)]
    # The floor of a fit is the fastest quarter; there a call is no faster than that.
    assert saved == pytest.approx(expected, rel=0.08)


def test_few_calls_are_compared_by_their_medians() -> None:
    [move] = parse_scenario("move agent:A to agent:B").interventions
    runs = [two_agents(0)]

    plan = move.plan(runs)

    assert plan.confidence is Confidence.ASSUMED
    assert savings_ms("move agent:A to agent:B", *runs) == pytest.approx([200])


def reading(number: int) -> Execution:
    """A model that reads 1 ms a token."""
    run, at_ms = Run(number), 0.0
    agent = run.agent("reader", 0, 0)
    for tokens in (1000, 3000, 2000 + 100 * number):
        run.llm(at_ms, 50 + tokens, parent=agent, tokens=(tokens, 0))
        at_ms += 50 + tokens
    run.resize(agent, at_ms)
    return run.build()


def test_a_shorter_prompt_saves_what_its_tokens_take_to_read() -> None:
    runs = [reading(number) for number in range(4)]

    assert savings_ms("context agent:reader 2k tokens", *runs) == pytest.approx([1000, 1100, 1200, 1300])
    with pytest.raises(PlanError, match="3 of its model calls have token counts"):
        savings_ms("context agent:reader 2k", reading(0))


def test_cached_tokens_cost_no_time_and_are_not_counted() -> None:
    runs = [reading(number) for number in range(4)]
    run = Run(9)
    agent = run.agent("reader", 0, 100)
    run.llm(0, 100, parent=agent, tokens=(9000, 0, 8000))

    assert savings_ms("context agent:reader 2k tokens", *runs, run.build())[-1] == 0


def declared_graph() -> Execution:
    """``plan``, then two steps that need it, then one that needs both, then one that needs that; one after another."""
    run = Run()
    needs = {"plan": (), "research_a": ("plan",), "items": ("plan",), "review": ("research_a", "items")}
    for index, (name, depends_on) in enumerate({**needs, "write": ("review",)}.items()):
        run.phase(name, 100 * index, 100, depends_on=depends_on)
    return run.build()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("parallel phase:items,review", "review waits for items (declared)"),
        ("parallel phase:research_a,items,write", "write waits for review, which waits for research_a (declared)"),
        ("parallel phase:plan,write", "write waits for review, which waits for research_a, which waits for plan"),
        ("parallel phase:*", "research_a waits for plan (declared)"),
    ],
)
def test_steps_that_a_declared_graph_puts_after_each_other_are_refused(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=re.escape(reason)):
        savings_ms(text, declared_graph())


def test_of_a_declared_graph_what_can_start_together_does() -> None:
    [intervention] = parse_scenario("parallel workflow:research").interventions
    plan = intervention.plan([declared_graph()])

    assert savings_ms("parallel workflow:research", declared_graph()) == [100]
    assert savings_ms("parallel phase:research_a,items", declared_graph()) == [100]
    assert plan.confidence is Confidence.PROVEN
    assert plan.assumptions[0] == (
        "What has to stay apart does: research_a waits for plan (declared); review waits for research_a (declared); "
        "write waits for review (declared)."
    )


def test_a_chain_leaves_nothing_to_start_together() -> None:
    run = Run()
    for index, name in enumerate("abc"):
        run.phase(name, 100 * index, 100, depends_on=("abc"[index - 1],) if index else ())
    plan = Together(targets=named("workflow:research")).plan([run.build()])

    assert not plan.changes
    assert plan.assumptions == ("Nothing can start together: b waits for a (declared); c waits for b (declared).",)


def test_a_result_that_was_passed_on_shows_that_a_step_waits() -> None:
    def run(given: frozenset[int]) -> Execution:
        found = Run()
        found.tool("find", 0, 100, input_fragments=frozenset({1}), output_fragments=frozenset({1, 2}))
        found.tool("load", 100, 100, input_fragments=given)
        return found.build()

    with pytest.raises(PlanError, match="load waits for find: it was given a part of its result"):
        savings_ms("parallel tool:find,load", run(frozenset({2})))
    # What the first had been given itself is no result of it.
    assert savings_ms("parallel tool:find,load", run(frozenset({1}))) == [100]


def test_one_model_turn_outweighs_content() -> None:
    run = Run()
    run.tool("find", 0, 100, turn="t1", output_fragments=frozenset({2}))
    run.tool("load", 100, 100, turn="t1", input_fragments=frozenset({2}))

    assert savings_ms("parallel tool:find,load", run.build()) == [100]


def test_nothing_moves_across_a_step_that_it_may_wait_for() -> None:
    run = Run()
    for index, name in enumerate(("research_a", "research_b", "write")):
        run.phase(name, 100 * index, 100)

    with pytest.raises(PlanError, match="write would start before research_b, and nothing shows that it does not wait"):
        savings_ms("parallel phase:research_a,write", run.build())
    assert savings_ms("parallel phase:research_*", run.build()) == [100]


def test_steps_move_across_what_a_declared_graph_shows_to_be_independent() -> None:
    run = Run()
    for index, name in enumerate(("a", "b", "c")):
        run.phase(name, 100 * index, 100, depends_on=())

    assert savings_ms("parallel phase:a,c", run.build()) == [100]


def test_a_model_call_between_the_steps_is_the_reason() -> None:
    run = Run()
    run.tool("a", 0, 100)
    run.llm(100, 100)
    run.tool("b", 200, 100)

    with pytest.raises(PlanError, match="between a and b stands a model call or a person, and b may rest on it"):
        savings_ms("parallel tool:a,b", run.build())


def test_steps_inside_different_ones_do_not_start_together() -> None:
    run = Run()
    for index, name in enumerate("ab"):
        run.tool(name, 100 * index, 100, parent=run.phase(f"phase-{name}", 100 * index, 100))

    with pytest.raises(PlanError, match="a, b: no step of the others is inside the same one"):
        savings_ms("parallel tool:a,b", run.build())


def test_work_that_moves_leaves_the_rest_of_the_agent_as_it_is() -> None:
    run = Run()
    agent = run.agent("A", 0, 1000)
    run.tool("load", 0, 800, parent=agent)
    run.llm(800, 200, parent=agent, tokens=(100, 20))
    other = run.agent("B", 1000, 50)
    run.llm(1000, 50, parent=other, tokens=(100, 10))

    # 10 ms for each token out become 5: the call takes 100 ms instead of 200, and the tool its 800.
    assert savings_ms("move agent:A to agent:B", run.build()) == [100]


def test_work_of_which_no_model_call_was_recorded_cannot_be_moved() -> None:
    run = Run()
    run.agent("A", 0, 1000)
    run.llm(1000, 50, parent=run.agent("B", 1000, 50))

    with pytest.raises(PlanError, match="no model calls of agent:A are recorded"):
        savings_ms("move agent:A to agent:B", run.build())


def test_tries_of_one_step_do_not_start_together() -> None:
    run = Run()
    run.phase("fetch", 0, 100, error="Timeout")
    run.phase("fetch", 100, 100)
    plan = Together(targets=named("workflow:research")).plan([run.build()])

    assert plan.assumptions == ("Nothing can start together: fetch is tried again after it failed.",)
