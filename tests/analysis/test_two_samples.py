import math
from random import Random

import pytest

from otel_wfperf.analysis.two_samples import (
    MAX_SIDE,
    comparable,
    hodges_lehmann,
    least_samples,
    rank_test,
    samples_needed,
    smallest_effect,
)

# scipy.stats.mannwhitneyu(after, before, alternative=..., method=...) of scipy 1.17.1 gave the expected values.
FEW = (
    [1.288, 1.449, 0.066, -0.765, -1.092, 0.031, -1.022, -1.437],
    [1.199, 1.133, 1.546, 0.086, 1.005, 0.935, -0.506, 1.538, 1.321],
)
TIED = (
    [10, 0, 0, 0, 17, 0, 12, 6, 13, 0, 16, 7, 14, 15, 17, 7, 11, 7, 7, 14, 9, 0, 13, 17, 3, 5, 9, 3, 10, 16],
    [18, 21, 11, 14, 14, 23, 20, 21, 17, 23, 6, 20, 12, 17, 18, 10, 16, 22, 16, 7, 19, 21, 8, 10, 21],
)


def drawn(random: Random, count: int, *, shift: float = 0.0, spread: float = 0.5) -> list[float]:
    return [random.gauss(shift, spread) for _ in range(count)]


def test_few_values_are_tested_exactly() -> None:
    found = rank_test([FEW])

    assert found.p_greater == pytest.approx(0.023200329082682023)
    assert found.p_two_sided == pytest.approx(0.046400658165364046)


def test_ties_and_many_values_are_tested_as_scipy_does() -> None:
    found = rank_test([TIED])

    assert found.p_greater == pytest.approx(1.429402368150365e-05)
    assert found.p_two_sided == pytest.approx(2.8588047363007205e-05)
    assert rank_test([TIED[::-1]]).p_two_sided == pytest.approx(found.p_two_sided)
    assert rank_test([TIED[::-1]]).p_greater > 0.9999


def test_without_values_on_both_sides_nothing_is_shown() -> None:
    assert comparable([([1.0], []), ([], [2.0])]) == []
    assert rank_test([([1.0], []), ([], [2.0])]).p_two_sided == 1
    assert rank_test([([1.0] * 20, [1.0] * 20)]).p_two_sided == 1
    with pytest.raises(ValueError, match="no stratum"):
        hodges_lehmann([([1.0], [])])


def test_strata_take_a_shift_of_the_inputs_out() -> None:
    random = Random(1)
    small = (drawn(random, 40), drawn(random, 10))
    large = (drawn(random, 10, shift=2), drawn(random, 40, shift=2))

    assert rank_test([small, large]).p_two_sided > 0.05
    assert rank_test([(small[0] + large[0], small[1] + large[1])]).p_two_sided < 0.001
    assert abs(hodges_lehmann([small, large]).estimate) < 0.3


def test_dependence_makes_a_difference_less_certain() -> None:
    independent, dependent = rank_test([TIED]), rank_test([TIED], inflation=3)

    assert dependent.z == pytest.approx(independent.z / math.sqrt(3))
    assert dependent.p_greater > independent.p_greater
    assert hodges_lehmann([TIED], inflation=3).error > hodges_lehmann([TIED]).error


def test_the_level_holds_for_heavy_tails() -> None:
    random = Random(2)
    false = sum(
        rank_test([(drawn(random, 30, spread=1.3), drawn(random, 30, spread=1.3))]).p_two_sided < 0.01
        for _ in range(1000)
    )

    assert false <= 18


def test_the_shift_is_the_median_of_all_differences() -> None:
    assert hodges_lehmann([([1, 2, 3], [11, 12, 14])]).estimate == 10
    assert hodges_lehmann([TIED]).estimate == 7


def test_the_interval_covers_the_shift_about_nine_times_in_ten() -> None:
    random = Random(3)
    covered = 0
    for _ in range(300):
        found = hodges_lehmann([(drawn(random, 25), drawn(random, 25, shift=0.3))])
        covered += found.low <= 0.3 <= found.high

    assert 255 <= covered <= 288


def test_long_samples_are_thinned_without_moving_the_estimate() -> None:
    random = Random(4)
    before, after = drawn(random, 3 * MAX_SIDE), drawn(random, 4 * MAX_SIDE, shift=0.4)
    found = hodges_lehmann([(before, after)])

    assert found.estimate == pytest.approx(0.4, abs=0.05)
    assert found.high - found.low < 0.15


def test_the_smallest_effect_is_found_four_times_in_five() -> None:
    random = Random(5)
    errors = sorted(hodges_lehmann([(drawn(random, 30), drawn(random, 30))]).error for _ in range(100))
    effect = smallest_effect(errors[50], alpha=0.01)
    found = sum(
        rank_test([(drawn(random, 30), drawn(random, 30, shift=effect))]).p_two_sided < 0.01 for _ in range(300)
    )

    assert 0.7 <= found / 300 <= 0.88


def test_samples_needed_agree_with_the_power_they_are_for() -> None:
    # Simulated: a change of half at a log deviation of 0.5 is found in 76 % with 30 a side, at p < 0.01 one-sided.
    assert samples_needed(0.5, math.log(1.5), alpha=0.02) == 32
    assert samples_needed(0.5, math.log(2), alpha=0.01) == 13
    assert samples_needed(0.01, 5.0, alpha=0.01) == least_samples(0.01) == 5
