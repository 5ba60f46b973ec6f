from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from pydantic import BaseModel

from otel_wfperf import semconv
from otel_wfperf.analysis.fragments import SAMPLE_SIZES, merged, shares_content, unpacked
from otel_wfperf.conventions.content import content_hash, fragments_of
from otel_wfperf.instrumentation.payload import MAX_CHARS, MAX_VALUES, ContentReader, hash_of, read
from otel_wfperf.instrumentation.walk import Known

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@dataclass
class Point:
    label: str
    x: int = 0


class Model(BaseModel):
    label: str


class Hostile:
    """Every look at it would be noticed."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"read {name}")

    def __str__(self) -> str:
        raise AssertionError("formatted")

    __repr__ = __str__

    def __len__(self) -> int:
        raise AssertionError("measured")


def test_counts_all_text_and_numbers() -> None:
    payload = read({"key": ["é", 1, None, b"abc"]})

    assert payload.size_bytes == len("key") + 2 + 8 + 8 + 3
    assert payload.texts == ["é"]
    assert payload.is_complete


def test_reads_the_stored_fields_of_dataclasses_and_models_and_nothing_else() -> None:
    assert read(Point("here")).texts == ["here"]
    assert read(Model(label="there")).texts == ["there"]
    assert read([Hostile()]).canonical == ["Hostile"]


def test_messages_are_equal_whatever_their_ids() -> None:
    messages = pytest.importorskip("langchain_core.messages")
    first, second = (messages.HumanMessage("hello", id=identity) for identity in ("1", "2"))

    assert read([first]).canonical == read([second]).canonical
    assert read([first]).texts == ["hello"]


@pytest.mark.parametrize(
    "asked", [lambda n: {"id": n}, lambda n: [{"id": n, "name": "x"}], lambda n: {"name": "get", "args": {"id": n}}]
)
def test_an_id_that_is_asked_for_makes_a_difference(asked: Callable[[int], object]) -> None:
    assert read(asked(1)).canonical == read(asked(1)).canonical != read(asked(2)).canonical


@pytest.mark.parametrize(
    "said",
    [
        lambda n: {"role": "user", "content": "hi", "id": n},
        lambda n: {"type": "human", "content": "hi", "id": n},
        lambda n: {"name": "get", "args": {"id": 1}, "id": n},
    ],
)
def test_the_id_of_a_message_or_a_tool_call_does_not(said: Callable[[int], object]) -> None:
    assert read(said(1)).canonical == read(said(2)).canonical


def test_names_of_roles_and_tools_are_hashed_but_are_no_evidence() -> None:
    reader = ContentReader()
    one, other = ({"role": role, "content": "hello", "type": "t"} for role in ("user", "assistant"))

    assert read(one).texts == ["hello"]
    assert reader.input_attributes(one)[semconv.INPUT_HASH] != reader.input_attributes(other)[semconv.INPUT_HASH]


@settings(deadline=None)
@given(JSON)
def test_equal_values_have_equal_hashes(value: Any) -> None:
    assert ContentReader().input_attributes(value) == ContentReader().input_attributes(value)


def test_the_order_of_keys_and_of_sets_does_not_matter() -> None:
    reader = ContentReader()

    assert reader.input_attributes({"a": 1, "b": {2, 3}}) == reader.input_attributes({"b": {3, 2}, "a": 1})


def test_makes_no_claim_about_an_input_that_was_not_read_whole() -> None:
    reader = ContentReader()

    assert reader.input_attributes("x" * (MAX_CHARS + 1)) == {}
    assert reader.input_attributes([0.5] * 3_000) == {}
    loop: list[Any] = []
    loop.append(loop)
    assert reader.input_attributes(loop) == {}


def test_some_fragments_of_a_long_result_are_enough() -> None:
    found = ContentReader().output_attributes(["a long and unusual result", "x" * (MAX_CHARS + 1)])

    assert semconv.OUTPUT_HASH not in found
    assert unpacked(found[semconv.OUTPUT_FRAGMENTS]) >= fragments_of(["a long and unusual result"], searched=False)


def test_an_endless_iterable_is_not_consumed() -> None:
    endless = repeat("x")
    assert read({"stream": endless}).canonical == {"stream": "repeat"}


def test_texts_seen_before_need_no_room() -> None:
    reader = ContentReader()
    text = " ".join(f"word{number}" for number in range(1000))

    first = reader.input_fragments([text])
    assert first == reader.input_fragments([text], max_new_chars=0)
    assert reader.input_fragments([text, "new text"], max_new_chars=0) == {}


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([f"term{n}" for n in range(300)]), max_size=80).map(" ".join), max_size=6))
def test_fragments_read_apart_are_those_read_together(texts: list[str]) -> None:
    apart = merged(fragments_of([text], searched=True) for text in texts)

    assert apart == fragments_of(texts, searched=True)
    assert len(apart) <= sum(SAMPLE_SIZES.values())


def test_a_result_is_found_in_the_input_that_holds_it() -> None:
    reader = ContentReader()
    result = reader.output_attributes("the result of the search")[semconv.OUTPUT_FRAGMENTS]
    uses = reader.input_attributes({"question": "what about the result of the search?"})[semconv.INPUT_FRAGMENTS]
    does_not = reader.input_attributes({"question": "something else entirely"})[semconv.INPUT_FRAGMENTS]

    assert shares_content(unpacked(result), unpacked(uses))
    assert not shares_content(unpacked(result), unpacked(does_not))


def test_of_a_large_state_only_a_part_is_read() -> None:
    payload = read([{"role": "user", "content": f"message {number}"} for number in range(1_000_000)])

    assert not payload.is_complete
    assert len(payload.texts) <= MAX_VALUES


@settings(deadline=None)
@given(JSON)
def test_a_hash_is_that_of_the_sidecar(value: Any) -> None:
    assert hash_of(value) == content_hash(value)


LISTS = st.lists(st.text(max_size=5), max_size=20) | st.lists(st.floats(allow_nan=False) | st.text(), max_size=20)


@settings(deadline=None)
@given(lists=st.lists(LISTS, max_size=3), in_part=st.booleans())
def test_what_was_read_before_reads_the_same(lists: list[list[Any]], *, in_part: bool) -> None:
    known = Known()
    for value in [*lists, *lists]:
        assert read(value, known=known, in_part=in_part) == read(value, in_part=in_part)


def test_a_list_that_changes_is_read_again() -> None:
    known, texts = Known(), [f"text {number}" for number in range(20)]
    read(texts, known=known)
    texts[3] = "other"

    assert read(texts, known=known) == read(texts)


def test_a_message_that_changes_is_read_again() -> None:
    messages = pytest.importorskip("langchain_core.messages")
    reader, message = ContentReader(), messages.AIMessage("first")
    first = reader.message(message)
    assert reader.message(message) is first
    message.content = "second"

    assert reader.message(message).texts == ["second"]
    message.tool_calls.append({"name": "search", "args": {"query": "third"}, "id": "1"})
    assert reader.message(message).texts == ["third", "second"]


def test_a_message_that_is_gone_is_not_taken_for_the_next_one_in_its_place() -> None:
    messages = pytest.importorskip("langchain_core.messages")
    reader = ContentReader()

    assert [list(reader.message(messages.HumanMessage(f"number {n}")).texts) for n in range(50)] == [
        [f"number {n}"] for n in range(50)
    ]


def test_a_large_input_is_given_up_at_once_and_some_of_a_large_result_is_read() -> None:
    texts = [f"{number} " + "x" * 4_000 for number in range(100)]

    assert read(texts, in_part=False).texts == []
    assert 0 < len(read(texts).texts) < 100
    assert ContentReader().input_attributes({"documents": texts}) == {}


def test_a_class_of_text_of_the_users_own_counts_as_text() -> None:
    class Loud(str):
        __slots__ = ()

        def __hash__(self) -> int:
            raise AssertionError("asked for a hash")

    payload = read([Loud("hello")])
    assert payload.texts == ["hello"]
    assert type(payload.texts[0]) is str


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.copy(),
        lambda state: state["documents"].append("a third document"),
        lambda state: state["documents"].__setitem__(0, "something else"),
        lambda state: state.update(question="why?"),
        lambda state: state.update(question=["why", "not?"]),
        lambda state: state.update(more="text"),
        lambda state: state.pop("question"),
        lambda state: state.update(question=Hostile()),
        lambda state: state.update(documents=["x" * MAX_CHARS, "y"]),
    ],
)
def test_the_state_of_the_next_node_is_described_as_if_it_was_the_first(
    change: Callable[[dict[str, Any]], Any],
) -> None:
    state: dict[str, Any] = {"question": "what is in the report?", "documents": ["one document", "another document"]}
    reader = ContentReader()
    described(reader, state)
    change(state)

    assert described(reader, state) == described(ContentReader(), state)
    assert described(reader, state) == described(ContentReader(), state), "the one after that, too"


def described(reader: ContentReader, state: object) -> dict[str, Any]:
    span = TracerProvider().get_tracer("test").start_span("phase")
    reader.describe_input(span, state, hashed=False)
    assert isinstance(span, ReadableSpan)
    return dict(span.attributes or {})
