import math
from random import Random

import pytest

from otel_wfperf.analysis.statistics import (
    log_z_score,
    mad,
    ranks,
    saving_interval,
    spearman,
    spearman_is_significant,
    theil_sen,
)

MS = 1_000_000


def test_theil_sen_ignores_a_quarter_of_wild_points() -> None:
    xs = list(range(40))
    ys = [3.0 * x + 7 for x in xs]
    ys[::4] = [1e6] * 10

    slope, intercept = theil_sen(xs, ys)

    assert slope == pytest.approx(3)
    assert intercept == pytest.approx(7)


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
