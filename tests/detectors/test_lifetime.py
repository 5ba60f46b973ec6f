from collections.abc import Sequence

from otel_wfperf.detectors.lifetime import equal_ratio, keep, longest_lifetime_s, same_result
from otel_wfperf.model import Operation
from tests.detectors.builders import Run


def calls(results: Sequence[str | None], *, every_s: float, duration_s: float = 1) -> tuple[Operation, ...]:
    run = Run()
    for at, result in enumerate(results):
        run.tool("load", at * every_s * 1000, duration_s * 1000, output_hash=result)
    return tuple(run.operations)


def test_hashes_decide_and_fragments_stand_in_for_them() -> None:
    run = Run()
    for result, fragments in (
        ("a", {1}),
        ("a", {2}),
        ("b", {1}),
        (None, range(10)),
        (None, range(9)),
        (None, range(5)),
    ):
        run.tool("load", 0, 1, output_hash=result, output_fragments=frozenset(fragments))
    a, also_a, b, ten, nine, five = run.operations

    assert same_result(a, also_a) is True
    assert same_result(a, b) is False
    assert same_result(ten, nine) is True
    assert same_result(ten, five) is False
    assert same_result(*calls([None, "a"], every_s=1)) is None


def test_a_cache_is_filled_when_it_has_no_answer_or_an_old_one() -> None:
    kept = keep(calls("aaaabb", every_s=30), 60)

    assert [call.start_ns for call in kept.hits] == [call.start_ns for call in calls("aaaabb", every_s=30)][1:3] + [
        calls("aaaabb", every_s=30)[at].start_ns for at in (4, 5)
    ]
    assert kept.stale == 2


def test_who_comes_before_the_first_answer_is_no_hit() -> None:
    assert keep(calls("aaa", every_s=1, duration_s=10), 60).hits == ()


def test_a_lifetime_is_no_longer_than_what_was_observed() -> None:
    assert longest_lifetime_s(calls("a" * 12, every_s=60), max_stale_ratio=0.05) == 300
    assert longest_lifetime_s(calls("a" * 12, every_s=5), max_stale_ratio=0.05) is None
    assert longest_lifetime_s(calls("ab" * 20, every_s=20), max_stale_ratio=0.05) is None


def test_equal_results_are_counted_from_call_to_call() -> None:
    assert equal_ratio(calls("aaab", every_s=1)) == 2 / 3
    assert equal_ratio(calls(["a", None], every_s=1)) is None
    assert equal_ratio(calls("a", every_s=1)) is None
