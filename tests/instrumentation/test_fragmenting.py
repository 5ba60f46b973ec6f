"""What is found in a program must be what the sidecar finds in the same text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wfperf.analysis import fragments
from otel_wfperf.conventions.content import HEAD_CHARS, TAIL_CHARS, fragments_of
from otel_wfperf.instrumentation.fragmenting import fragments_of_text, packed, sampled

WORDS = st.lists(st.text(max_size=8) | st.sampled_from(["a", "of", "term", "longer-words", "é", "\n"]), max_size=60)


@settings(deadline=None)
@given(WORDS.map(" ".join) | st.text(max_size=40))
def test_fragments_of_a_text_are_those_of_the_sidecar(text: str) -> None:
    found = fragments_of_text(text)

    assert found.result == fragments_of((text,), searched=False)
    assert found.searched == fragments_of((text,), searched=True)


@pytest.mark.parametrize("length", [HEAD_CHARS + TAIL_CHARS, HEAD_CHARS + TAIL_CHARS + 1, 300_000])
def test_so_are_those_of_a_long_text(length: int) -> None:
    text = " ".join(f"term{number}" for number in range(length))[:length]
    found = fragments_of_text(text)

    assert found.result == fragments_of((text,), searched=False)
    assert found.searched == fragments_of((text,), searched=True)


@given(st.lists(st.frozensets(st.integers(0, 3 * 2**32 - 1), max_size=90), max_size=6))
def test_samples_are_put_together_and_packed_as_in_the_sidecar(samples: list[frozenset[int]]) -> None:
    assert frozenset(sampled(samples)) == fragments.merged(samples)
    assert packed(sampled(samples)) == fragments.packed(fragments.merged(samples))
