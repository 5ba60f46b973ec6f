"""What is found in a program must be what the sidecar finds in the same text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_wfperf.analysis import fragments
from otel_wfperf.conventions.content import HEAD_CHARS, TAIL_CHARS, fragments_of
from otel_wfperf.instrumentation.fragmenting import fragments_of_text, packed, sampled

WORDS = st.lists(st.text(max_size=8) | st.sampled_from(["a", "of", "term", "longer-words", "é", "\n"]), max_size=60)


def check(text: str) -> None:
    for searched in (False, True):
        found = fragments_of_text(text, searched=searched)
        expected = fragments_of((text,), searched=searched), fragments_of((text,), searched=not searched)
        asked, other = (found.searched, found.result) if searched else (found.result, found.searched)
        assert asked == expected[0]
        assert other in (expected[1], None)


@settings(deadline=None)
@given(WORDS.map(" ".join) | st.text(max_size=40))
def test_fragments_of_a_text_are_those_of_the_sidecar(text: str) -> None:
    check(text)


@pytest.mark.parametrize("length", [HEAD_CHARS + TAIL_CHARS, HEAD_CHARS + TAIL_CHARS + 1, 300_000])
def test_so_are_those_of_a_long_text(length: int) -> None:
    check(" ".join(f"term{number}" for number in range(length))[:length])


@given(st.lists(st.frozensets(st.integers(0, 3 * 2**32 - 1), max_size=90), max_size=6))
def test_samples_are_put_together_and_packed_as_in_the_sidecar(samples: list[frozenset[int]]) -> None:
    assert frozenset(sampled(samples)) == fragments.merged(samples)
    assert packed(sampled(samples)) == fragments.packed(fragments.merged(samples))
