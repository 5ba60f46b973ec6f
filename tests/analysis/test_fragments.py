from hypothesis import given
from hypothesis import strategies as st

from otel_wfperf.analysis.fragments import (
    SAMPLE_SIZES,
    FragmentClass,
    merged,
    of_class,
    packed,
    produced,
    sample,
    shares_content,
    unpacked,
)

hashes = st.frozensets(st.integers(0, 2**32 - 1), max_size=200)
fragments = st.builds(
    lambda *parts: frozenset(
        each for kind, part in zip(FragmentClass, parts, strict=True) for each in sample(part, kind)
    ),
    hashes,
    hashes,
    hashes,
)


@given(fragments)
def test_packing_loses_nothing(found: frozenset[int]) -> None:
    assert unpacked(packed(found)) == found


def test_other_text_holds_no_fragments() -> None:
    assert unpacked("no base64!") == unpacked("") == frozenset()


@given(st.lists(fragments, max_size=4))
def test_a_merged_sample_keeps_the_smallest_of_each_class(samples: list[frozenset[int]]) -> None:
    found = merged(samples)

    for kind in FragmentClass:
        everything = sorted(of_class(frozenset[int]().union(*samples), kind))
        assert sorted(of_class(found, kind)) == everything[: SAMPLE_SIZES[kind]]


def test_shingles_of_the_task_are_not_a_result_but_its_values_may_be() -> None:
    whole, shingle = sample([1], FragmentClass.WHOLE), sample([1], FragmentClass.SHINGLE)
    output = frozenset([*whole, *shingle])

    assert produced(output, output) == frozenset(whole)


def test_absence_from_a_full_sample_tells_only_below_its_greatest_hash() -> None:
    full = frozenset(sample(range(0, 2_000, 10), FragmentClass.SHINGLE))
    small, large = (frozenset(sample([each], FragmentClass.SHINGLE)) for each in (5, 1_999))

    assert shares_content(small, full) is False
    assert shares_content(large, full) is None
    assert shares_content(small, full | small) is True
