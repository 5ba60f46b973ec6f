from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wfperf import semconv
from otel_wfperf.analysis.fragments import merged, unpacked
from otel_wfperf.conventions.content import fragments_of
from otel_wfperf.instrumentation.payload import ContentReader
from otel_wfperf.instrumentation.prompts import Message, Prompts, answer_attributes

TEXTS = st.sampled_from(
    ["", "short", "a longer text of several words", "another longer text of several words", "é" * 9]
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant"]),
    st.lists(TEXTS, max_size=2).map(tuple),
    st.just(("tool",)),
)


def described_alone(messages: list[Message]) -> dict[str, Any]:
    return Prompts().attributes("", messages)


def reused_chars(now: list[Message], before: list[Message]) -> int:
    total = 0
    for message, previous in zip(now, before, strict=False):
        if message != previous:
            break
        total += sum(map(len, message.texts))
    return total


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.lists(MESSAGES, max_size=3)), max_size=6))
def test_a_prompt_that_goes_on_from_another_is_described_as_if_it_stood_alone(
    steps: list[tuple[int, list[Message]]],
) -> None:
    prompts, before = Prompts(), None
    for kept, new in steps:
        now = [*(before or [])[:kept], *new]
        found = prompts.attributes("writer", now)
        ratio, growth = found.pop(semconv.CONTEXT_REUSED_RATIO, None), found.pop(semconv.CONTEXT_GROWTH, None)

        assert found == described_alone(now)
        assert found[semconv.CONTEXT_BYTES] == sum(message.size_bytes for message in now)
        chars = sum(len(text) for message in now for text in message.texts)
        if before is not None:
            assert ratio == pytest.approx(reused_chars(now, before) / chars if chars else 0.0)
            assert growth == sum(each.size_bytes for each in now) - sum(each.size_bytes for each in before)
        before = now


@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_its_fragments_are_those_of_all_its_texts(messages: list[Message]) -> None:
    texts = [text for message in messages for text in message.texts]

    assert unpacked(described_alone(messages).get(semconv.INPUT_FRAGMENTS, "")) == merged(
        fragments_of([text], searched=True) for text in texts
    )


def test_what_is_said_by_whom_and_with_which_tools_makes_a_prompt_another_one() -> None:
    prompts = [
        [Message("user", ("ab",))],
        [Message("user", ("a", "b"))],
        [Message("assistant", ("ab",))],
        [Message("user", ("ab",), ("search",))],
        [Message("user", ("a",)), Message("user", ("b",))],
    ]

    assert len({described_alone(prompt)[semconv.PROMPT_HASH] for prompt in prompts}) == len(prompts)


def test_instructions_are_the_prefix_and_else_the_first_message() -> None:
    system, first, second = Message("system", ("be terse",)), Message("user", ("one",)), Message("user", ("two",))
    prefix = semconv.PROMPT_PREFIX_HASH

    assert described_alone([system, first])[prefix] == described_alone([system, second])[prefix]
    assert described_alone([first, second])[prefix] == described_alone([first])[semconv.PROMPT_HASH]
    assert described_alone([first])[prefix] != described_alone([second])[prefix]


def test_the_prompts_of_two_speakers_are_not_compared() -> None:
    prompts = Prompts()
    prompts.attributes("writer", [Message("user", ("one",))])

    assert semconv.CONTEXT_GROWTH not in prompts.attributes("critic", [Message("user", ("one",))])


def test_equal_answers_have_equal_hashes() -> None:
    one, other = (answer_attributes(Message("ai", (text,)), ContentReader()) for text in ("a", "b"))

    assert one == answer_attributes(Message("ai", ("a",)), ContentReader())
    assert one[semconv.OUTPUT_HASH] != other[semconv.OUTPUT_HASH]
