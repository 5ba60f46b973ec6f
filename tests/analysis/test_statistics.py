import math
from random import Random

import pytest

from otel_wfperf.analysis.statistics import (
    benjamini_hochberg,
    dependence_inflation,
    log_z_score,
    mad,
    ranks,
    saving_interval,
    spearman,
    spearman_is_significant,
    theil_sen,
    theil_sen_limits,
    wilson_lower,
)

MS = 1_000_000


def test_theil_sen_ignores_a_quarter_of_wild_points() -> None:
    xs = list(range(40))
    ys = [3.0 * x + 7 for x in xs]
    ys[::4] = [1e6] * 10

    slope, intercept = theil_sen(xs, ys)

    assert slope == pytest.approx(3)
    assert intercept == pytest.approx(7)


@pytest.mark.parametrize("count", [10, 40, 200])
def test_limits_of_the_slope_hold_it_nine_times_of_ten(count: int) -> None:
    held = 0
    for seed in range(100):
        random = Random(seed)
        xs = [float(random.randrange(12)) for _ in range(count)]
        low, high = theil_sen_limits(xs, [2 * x + random.gauss(0, 3) for x in xs])
        held += low <= 2 <= high

    assert 84 <= held <= 97


def test_limits_of_a_slope_without_noise_are_the_slope_and_of_no_slope_zero() -> None:
    assert theil_sen_limits([1, 2, 3, 4, 5], [3, 5, 7, 9, 11]) == (2, 2)
    assert theil_sen_limits([5, 5, 5], [1, 2, 3]) == (0.0, 0.0)


def test_theil_sen_on_many_points_samples_pairs_reproducibly() -> None:
    random = Random(1)
    xs = [random.uniform(0, 100) for _ in range(500)]
    ys = [2 * x + random.gauss(0, 1) for x in xs]

    assert theil_sen(xs, ys) == theil_sen(xs, ys)
    assert theil_sen(xs, ys)[0] == pytest.approx(2, rel=0.05)


def test_equal_inputs_have_no_slope() -> None:
    assert theil_sen([5, 5, 5], [1, 2, 3]) == (0.0, 2)


def test_ties_share_their_mean_rank() -> None:
    assert ranks([10, 30, 20, 20]) == [1, 4, 2.5, 2.5]


def test_spearman_sees_order_and_not_size() -> None:
    assert spearman([1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [9, 7, 5, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_significance_holds_its_level_under_independence() -> None:
    random = Random(3)
    false = sum(
        spearman_is_significant(
            spearman([random.random() for _ in range(30)], [random.random() for _ in range(30)]), 30
        )
        for _ in range(2000)
    )

    assert false / 2000 < 0.015
    assert not spearman_is_significant(1.0, 10)


def test_log_z_score_of_a_constant_service_is_bounded_by_the_floor() -> None:
    assert mad([5, 5, 5]) == 0
    assert log_z_score(1.1, 0.0, 0.0) == pytest.approx(math.log(1.1) / (1.4826 * 0.05))


def test_one_run_gives_an_interval_of_no_width() -> None:
    saving = saving_interval([2_000 * MS])

    assert (saving.low_s, saving.median_s, saving.high_s) == (2, 2, 2)


def test_the_bootstrap_interval_covers_the_true_median_about_nine_times_in_ten() -> None:
    random = Random(5)
    covered = 0
    for seed in range(100):
        saving = saving_interval([round(random.lognormvariate(0, 0.5) * 1000) * MS for _ in range(15)], seed=seed)
        covered += saving.low_s <= 1.0 <= saving.high_s

    assert 80 <= covered <= 99


def test_benjamini_hochberg_rejects_what_the_paper_does() -> None:
    # scipy.stats.false_discovery_control (1.17.1) adjusts the first three to 0.01, 0.04 and 0.084.
    p_values = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]

    assert benjamini_hochberg(p_values, level=0.05) == [True, True] + [False] * 8
    assert benjamini_hochberg(p_values[::-1], level=0.085) == [False] * 5 + [True] * 5
    assert benjamini_hochberg([], level=0.05) == []


def test_dependence_on_the_predecessor_inflates_the_variance() -> None:
    random = Random(4)
    independent = [random.gauss(0, 1) for _ in range(400)]
    dependent = [0.0]
    for _ in range(400):
        dependent.append(0.5 * dependent[-1] + random.gauss(0, 1))

    assert dependence_inflation(independent) == 1
    assert 1 < dependence_inflation(independent, caution=1) < 1.3
    assert dependence_inflation(dependent) == pytest.approx(3, rel=0.3)
    assert dependence_inflation([1.0, 2.0]) == dependence_inflation([5.0] * 9) == 1
    assert dependence_inflation(list(range(500))) == pytest.approx(19)


@pytest.mark.parametrize(
    ("hits", "count", "expected"), [(0, 20, 0.0), (1, 10, 0.0179), (10, 20, 0.2993), (5, 5, 0.5655)]
)
def test_the_interval_of_a_share_holds_for_few_and_for_none(hits: int, count: int, expected: float) -> None:
    assert wilson_lower(hits, count) == pytest.approx(expected, abs=0.0001)
