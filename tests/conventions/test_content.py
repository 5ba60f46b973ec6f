import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wfperf.analysis.fragments import produced, shares_content
from otel_wfperf.conventions.content import (
    HEAD_CHARS,
    TAIL_CHARS,
    content_hash,
    fragments,
)
from otel_wfperf.conventions.fields import content_fields

WORDS = st.lists(st.text("abcdefghij", min_size=1, max_size=9), min_size=1, max_size=60).map(" ".join)


def test_hash_does_not_depend_on_the_order_of_keys_or_on_white_space() -> None:
    assert (
        content_hash('{"b": [1, 2], "a": "x"}')
        == content_hash('{"a":"x","b":[1,2]}')
        == content_hash({"b": [1, 2], "a": "x"})
    )
    assert content_hash("plain text") != content_hash("plain  text")
    assert len(content_hash("")) == 16


@pytest.mark.parametrize("value", [object(), {1: 2, "a": 3}, "\ud800", float("nan"), b"x", ["[" * 5000], "[" * 5000])
def test_hash_survives_everything(value: object) -> None:
    assert len(content_hash(value)) == 16


def test_hash_survives_a_value_that_holds_itself() -> None:
    value: list[object] = []
    value += [value, value, value]

    assert len(content_hash(value)) == 16
    assert fragments(value) == frozenset()


JSON_KEYS = st.sampled_from(
    ["type", "data", "kwargs", "id", "lc", "role", "content", "parts", "text", "message", "generations", "name", "x"]
)
JSON_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["constructor", "ai"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(JSON_KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON_VALUES)
def test_everything_that_looks_like_messages_can_be_read(value: object) -> None:
    for fields in (content_fields(json.dumps(value), value), content_fields(value, json.dumps(value))):
        assert len(fields.get("input_hash") or "x" * 16) == 16
        assert len(fields.get("output_fragments", ())) <= 256


@pytest.mark.parametrize("key", ["kwargs", "generations", "data", "message"])
def test_deep_values_are_cut(key: str) -> None:
    value: object = "deep"
    for _ in range(900):
        value = {"type": "constructor", "text": "", key: value}

    assert fragments("deep").isdisjoint(fragments(value))


def test_fragments_are_the_same_in_another_process() -> None:
    code = (
        "from otel_wfperf.conventions.content import fragments; print(sorted(fragments('the invoice 4711 of March')))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == str(sorted(fragments("the invoice 4711 of March")))


@given(WORDS, WORDS, WORDS)
def test_finds_what_was_embedded(before: str, result: str, after: str) -> None:
    prompt = fragments(f"{before}. {result}. {after}", searched=True)

    if len(result) >= 12:
        assert shares_content(fragments(result), prompt) is True


@pytest.mark.parametrize(
    "result", ["A", "4711", "plan", "found alpha", "found alpha and beta", "sun\u00e9", "\u4f60\u597d"]
)
def test_finds_a_complete_message_however_short(result: str) -> None:
    later = {"messages": [{"role": "user", "content": "go on"}, {"role": "assistant", "content": result}]}

    assert shares_content(fragments(result), fragments(later, searched=True)) is True


def test_finds_a_short_result_inside_a_longer_prompt() -> None:
    assert shares_content(fragments("found alpha"), fragments("Notes: found alpha; found beta", searched=True)) is True


def test_does_not_take_a_letter_for_a_word_of_the_prompt() -> None:
    assert shares_content(fragments("A"), fragments("Write A report on alpha", searched=True)) is False


def test_finds_an_identifying_number() -> None:
    assert shares_content(fragments('{"customer": 471112}'), fragments('{"id": 471112}', searched=True)) is True


def test_keys_tags_and_ids_of_messages_are_no_content() -> None:
    def message(content: str) -> object:
        said = {"content": content, "type": "human", "id": "1"}
        return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages"], "kwargs": said}

    assert shares_content(fragments(message("x")), fragments(message("y"), searched=True)) is False


def test_says_that_it_cannot_tell_when_the_sample_is_too_small() -> None:
    long = " ".join(f"word{number:05d}" for number in range(3000))
    answers = {shares_content(fragments(f"result{number:06d}"), fragments(long, searched=True)) for number in range(60)}

    assert answers == {None, False}
    assert shares_content(frozenset(), fragments("x")) is None
    assert shares_content(fragments("x"), frozenset()) is None


def test_samples_are_bounded_and_look_at_both_ends_only() -> None:
    words = [f"w{number:07d}" for number in range(40_000)]
    text = " ".join(words)
    sample = fragments(text, searched=True)
    inner = text[:HEAD_CHARS] + "x" * (len(text) - HEAD_CHARS - TAIL_CHARS) + text[-TAIL_CHARS:]

    assert len(sample) <= 256
    assert {each for each in sample if each >= 2**32} == {
        each for each in fragments(inner, searched=True) if each >= 2**32
    }


def test_what_the_input_said_already_is_not_produced() -> None:
    task = "write a report on the state of alpha"
    given_ = fragments(task, searched=True)

    assert produced(fragments(f"{task}: all is well"), given_) < fragments(f"{task}: all is well")
    assert produced(fragments("draft"), fragments("draft", searched=True)) == fragments("draft")
