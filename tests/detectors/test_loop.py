from collections.abc import Sequence
from itertools import cycle, islice

import pytest

from otel_wfperf.detectors.loop import Loop
from otel_wfperf.model import Confidence, Execution, Finding, OperationKind, Severity
from tests.detectors.builders import Run, population

Call = tuple[str, str | None, str | None]


def agent(*calls: Call, asked: bool = True, error: str | None = None) -> Execution:
    """Build an agent that makes calls of (tool, input, result), half a second each, after half a second of a model."""
    run = Run()
    step = run.agent("assistant", 0, 1000 * len(calls) + 500)
    for at, (name, given, result) in enumerate(calls):
        if asked:
            run.llm(1000 * at, 500, parent=step)
        run.tool(name, 1000 * at + 500, 490, parent=step, input_hash=given, output_hash=result, error=error)
    run.llm(1000 * len(calls), 500, parent=step)
    return run.build()


def turns(count: int, *names: str) -> Sequence[Call]:
    return list(islice(cycle([(name, f"input of {name}", f"result of {name}") for name in names]), count * len(names)))


def found(*executions: Execution) -> list[Finding]:
    return list(Loop().detect(population(*executions)))


@pytest.mark.parametrize("count", [3, 4, 8])
@pytest.mark.parametrize("length", [2, 3, 6])
def test_reports_turns_that_bring_nothing_new(count: int, length: int) -> None:
    [finding] = found(agent(*turns(count, *"abcdef"[:length])))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "assistant")
    assert finding.confidence is Confidence.OBSERVED
    assert (finding.evidence["turns"], finding.evidence["cycle"]) == (count, tuple("abcdef"[:length]))
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx((count - 2) * length, rel=0.02)


def test_two_turns_are_a_second_look() -> None:
    assert not found(agent(*turns(2, "search", "read")))


def test_a_start_and_an_end_of_its_own_do_not_hide_a_loop() -> None:
    [finding] = found(agent(("plan", "p", "q"), *turns(3, "search", "read"), ("report", "r", "s")))

    assert finding.evidence["turns"] == 3


def test_one_call_that_a_model_asks_for_again_and_again_is_a_loop() -> None:
    [finding] = found(agent(*turns(5, "search")))

    assert finding.evidence["members"] == ("search",)
    assert "'search' 5 times without a new result" in finding.summary


def test_one_call_that_code_makes_again_is_a_repeated_call() -> None:
    assert not found(agent(*turns(5, "search"), asked=False))


def test_a_failing_call_that_a_model_asks_for_again_is_a_loop_and_otherwise_a_retry() -> None:
    [finding] = found(agent(*turns(4, "search"), error="NotFound"))

    assert finding.evidence["failing"] is True
    assert not found(agent(*turns(4, "search"), error="NotFound", asked=False))


def test_pages_and_items_are_left_alone() -> None:
    assert not found(agent(*[("read_page", f"page {at}", f"text {at}") for at in range(12)]))
    assert not found(agent(*[("save", f"item {at}", "ok") for at in range(12)]))


def test_results_that_differ_are_progress() -> None:
    assert not found(agent(*[(name, name, f"{name} {at}") for at in range(6) for name in ("draft", "review")]))


def test_polling_ends_with_another_result() -> None:
    waiting = [("get_job", "job 7", "pending")] * 5

    assert not found(agent(*waiting, ("get_job", "job 7", "done")))
    assert not found(agent(*[("job_status", "job 7", "pending")] * 6))
    assert found(agent(*waiting))


def test_a_last_turn_that_is_cut_short_changes_nothing() -> None:
    [finding] = found(agent(*turns(4, "search", "read")[:-1]))

    assert finding.evidence["turns"] == 3


@pytest.mark.parametrize("call", [("search", None, "same"), ("search", "same", None)])
def test_without_inputs_and_results_it_cannot_tell(call: Call) -> None:
    assert not found(agent(*[call] * 8))


def test_the_same_call_in_every_phase_is_no_loop() -> None:
    run = Run()
    for at, name in enumerate(["plan", "research", "write", "review"]):
        phase = run.phase(name, 2000 * at, 1900)
        run.llm(2000 * at, 900, parent=phase)
        run.tool("load_glossary", 2000 * at + 900, 900, parent=phase, input_hash="g", output_hash="h")

    assert not found(run.build())


def phases(*steps: tuple[str, str, str]) -> Execution:
    run = Run()
    for at, (name, given, result) in enumerate(steps):
        step = run.phase(name, 2000 * at, 1990, input_hash=given, output_hash=result)
        run.llm(2000 * at, 1900, parent=step)
    return run.build()


def test_phases_of_a_graph_that_hand_on_the_same_state_are_a_loop() -> None:
    [finding] = found(phases(*[(name, "state", f"{name}ed") for _ in range(4) for name in ("check", "fix")]))

    assert (finding.subject.kind.value, finding.subject.name) == ("workflow", "research")
    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(8.0, abs=0.1)


def test_drafts_and_their_reviews_are_left_alone() -> None:
    assert not found(phases(*[(name, f"{name} {at}", f"new {name} {at}") for at in range(4) for name in "ab"]))


def test_attempts_of_a_phase_are_left_to_retry_storm() -> None:
    run = Run()
    for at in range(5):
        run.phase("fetch", 1000 * at, 900, input_hash="s", task="fetch:1", attempt=at + 1, error="Reset")

    assert not found(run.build())


def test_steps_at_once_are_a_fan_out() -> None:
    run = Run()
    for at in range(8):
        run.phase("worker", 5 * at, 5000, input_hash="same", output_hash="same")

    assert not found(run.build())


def passing(count: int, *, news_at: int | None = None, to: tuple[str, str] = ("sales", "support")) -> Execution:
    """Build two agents that pass the work to and fro."""
    run = Run()
    for at in range(count):
        agent = run.agent(to[at % 2], 1000 * at, 990)
        run.llm(1000 * at, 900, parent=agent)
        if at == news_at:
            run.tool("look_up", 1000 * at + 900, 50, parent=agent)
        run.add(OperationKind.HANDOFF, to[(at + 1) % 2], 1000 * at + 990, 1, handoff_from=to[at % 2])
    return run.build()


def test_reports_agents_that_pass_the_work_to_and_fro() -> None:
    [finding] = found(passing(9))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "sales, support")
    assert (finding.confidence, finding.severity) == (Confidence.ASSUMED, Severity.MEDIUM)


def test_a_few_questions_are_a_conversation() -> None:
    assert found(passing(7))
    assert not found(passing(6))


def test_work_between_is_progress() -> None:
    assert not found(passing(9, news_at=5))


def test_a_chain_of_agents_is_no_exchange() -> None:
    run = Run()
    for at in range(12):
        run.agent(f"agent {at}", 1000 * at, 990)
        run.add(OperationKind.HANDOFF, f"agent {at + 1}", 1000 * at + 990, 1, handoff_from=f"agent {at}")

    assert not found(run.build())
