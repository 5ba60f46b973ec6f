import math
from random import Random
from typing import Any

import pytest

from otel_wfperf.detectors.context_bloat import ContextBloat
from otel_wfperf.model import ContextSize, Execution, Finding, Severity
from tests.detectors.builders import Run, population


def conversation(
    *inputs: int,
    number: int = 0,
    cached_ratio: float = 0.0,
    output: int = 20,
    agent: str | None = "reader",
    input_token_ms: float = 0.12,
    overlap: bool = False,
    **fields: Any,
) -> Execution:
    """Build model calls of one agent with prompts of given sizes; each resends the one before."""
    run, at_ms, before = Run(number), 0.0, 0
    parent = {} if agent is None else {"parent": run.agent(agent, 0, 0)}
    for size in inputs:
        cached = round(cached_ratio * min(size, before))
        duration_ms = 300 + 12 * output + input_token_ms * (size - cached)
        run.llm(at_ms, duration_ms, tokens=(size, output, cached), **parent, **fields)
        at_ms += 50 if overlap else duration_ms + 500
        before = size + output
    if parent:
        run.resize(parent["parent"], at_ms + 20_000 if overlap else at_ms)
    return run.build()


GROWING = (800, 4000, 7200, 10_400, 13_600)


def found(*executions: Execution) -> list[Finding]:
    return list(ContextBloat().detect(population(*executions)))


def test_reports_an_agent_whose_prompt_grows_and_what_reading_it_again_costs() -> None:
    [finding] = found(*(conversation(*GROWING, number=number) for number in range(4)))

    assert (finding.subject.kind.value, finding.subject.name) == ("agent", "reader")
    assert finding.evidence["last_input_tokens"] == 13_600
    assert finding.saving is not None
    assert 1.5 < finding.saving.median_s < 3.2  # 0.12 ms for each of about 19,000 tokens beyond the first prompt
    assert finding.severity is Severity.HIGH
    assert finding.summary.startswith("The prompt of 'reader' is bloated: from 800 to 13 600 tokens in 5 calls")
    assert finding.advice is not None
    assert finding.advice.optimizer == "context_optimizer"


def test_is_medium_at_least_because_tokens_are_paid_for() -> None:
    [finding] = found(*(conversation(*GROWING, number=number, input_token_ms=0) for number in range(4)))

    assert finding.severity is Severity.MEDIUM
    assert finding.saving is None


def test_a_prompt_just_below_the_size_is_left_alone() -> None:
    assert found(conversation(2600, 4000, 6000, 8000))
    assert not found(conversation(2600, 4000, 6000, 7999))


def test_a_prompt_that_grows_less_than_threefold_needs_to_be_sent_again_without_a_cache() -> None:
    sizes = (4500, 6000, 7500, 8500, 9500)

    assert found(conversation(*sizes))
    assert not found(conversation(*sizes, cached_ratio=0.25))


def test_three_calls_are_too_few() -> None:
    assert not found(conversation(800, 6000, 13_000))


def test_smaller_prompts_that_grow_steeply_are_low() -> None:
    [finding] = found(conversation(17, 562, 1107, 1652, 2196, cached_ratio=0.5))

    assert finding.severity is Severity.LOW
    assert "growing" in finding.summary
    assert not found(conversation(17, 562, 1107, 1652, 1999, cached_ratio=0.5))


def test_a_long_document_with_every_question_is_the_task() -> None:
    assert not found(*(conversation(*[20_000] * 6, number=number) for number in range(4)))


def test_a_prompt_that_the_provider_has_cached_is_left_alone() -> None:
    assert found(conversation(*GROWING, cached_ratio=0.79))
    assert not found(conversation(*GROWING, cached_ratio=0.81))


def test_questions_of_different_sizes_are_no_conversation() -> None:
    assert not found(conversation(9000, 800, 12_000, 400, 13_000))


def test_calls_side_by_side_do_not_build_on_each_other() -> None:
    assert not found(conversation(*GROWING, overlap=True))


def test_calls_that_repeat_nothing_are_different_tasks() -> None:
    run, at_ms = Run(), 0.0
    agent = run.agent("reader", 0, 20_000)
    for task, size in enumerate(GROWING):
        said = frozenset({task * 10, task * 10 + 1})
        run.llm(at_ms, 1000, parent=agent, tokens=(size, 20), input_fragments=said)
        at_ms += 1100

    assert not found(run.build())


def test_calls_of_unknown_agents_may_be_mixed_and_are_low() -> None:
    [finding] = found(conversation(*GROWING, agent=None))

    assert (finding.subject.kind.value, finding.severity) == ("workflow", Severity.LOW)


def test_a_growing_prompt_that_fills_the_window_is_reported() -> None:
    window = ContextSize(limit_tokens=8_192)

    assert found(conversation(3000, 4000, 5000, 5800, context=window))
    assert not found(conversation(3000, 4000, 5000, 5700, context=window))


def test_one_long_conversation_among_many_is_not_how_the_agent_works() -> None:
    usual = [conversation(800, 900, 1000, 1100, number=number) for number in range(1, 4)]

    assert not found(conversation(*GROWING), *usual)


def reader_and_planner(number: int, *, log_spread: float) -> Execution:
    """Build an agent with growing prompts and short answers beside a phase with short prompts and longer answers."""
    run, at_ms, random = Run(number), 0.0, Random(number)
    prompts = [(random.randrange(400, 700), random.randrange(30, 60)) for _ in range(3)]
    history = [(800 + 2000 * turn, 20) for turn in range(8)]
    for parent, calls in ((run.phase("plan", 0, 0), prompts), (None, history)):
        place = parent or run.agent("reader", at_ms, 0)
        started_ms = at_ms
        for tokens_in, tokens_out in calls:
            duration_ms = (300 + 17 * tokens_out + 0.12 * tokens_in) * math.exp(random.gauss(0, log_spread))
            run.llm(at_ms, duration_ms, parent=place, tokens=(tokens_in, tokens_out))
            at_ms += duration_ms + 1
        run.resize(place, at_ms - started_ms)
        at_ms += 5
    return run.build()


# 2000 tokens a turn beyond the first prompt and the last step, less the answer: 0.12 ms for each.
TRIMMED_S = 0.12e-3 * sum(2000 * turn + 20 for turn in range(7))


def test_short_answers_of_long_prompts_do_not_hide_what_the_prompt_costs() -> None:
    [finding] = found(*(reader_and_planner(number, log_spread=0.0) for number in range(6)))

    assert finding.saving is not None
    assert finding.saving.median_s == pytest.approx(TRIMMED_S, rel=0.01)


@pytest.mark.parametrize("runs", [1, 5, 12])
def test_the_interval_holds_how_well_the_time_for_a_token_is_known(runs: int) -> None:
    savings = []
    for first in range(0, 20 * runs, runs):
        [finding] = found(*(reader_and_planner(first + number, log_spread=0.3) for number in range(runs)))
        assert finding.saving is not None
        savings.append(finding.saving)

    assert sum(each.low_s <= TRIMMED_S <= each.high_s for each in savings) >= 16
    assert all(each.low_s < each.median_s < each.high_s for each in savings)
