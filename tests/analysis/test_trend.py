from random import Random

import pytest

from otel_wfperf.analysis.trend import is_step, trend, without_cycle

# pymannkendall 1.4.3, hamed_rao_modification_test: z 2.82478, p 0.0047313 with Theil-Sen slope 0.0271526.
SERIES = [
    1.29, 2.12, 1.17, -0.12, -1.08, -0.42, -1.13, -1.88, -0.61, -0.02, 0.7, -0.38, 0.01, 0.15, -1.21, 0.17, 0.66, 2.99,
    1.98, 1.15, 2.12, 1.59, 2.05, 1.02, 1.1, 1.97, 2.08, 1.59, 0.15, 0.97, 1.03, 1.71, 1.57, 2.38, 1.66, 1.57, 2.01,
    0.49, 0.43, 0.31, 2.75, 1.91, 2.25, 2.41, 1.6, -0.06, 1.64, 1.13, 2.02, 0.45, 0.55, 2.31, 3.38, 1.2, 0.09, 0.84,
    2.0, 2.03, 2.2, 1.01,
]  # fmt: skip


def test_agrees_with_an_independent_implementation() -> None:
    found = trend(list(range(60)), SERIES)

    assert found.slope == pytest.approx(0.027152631578947366)
    assert found.p_two_sided == pytest.approx(0.004731323362809855)
    assert found.inflation > 1


def test_caution_makes_a_trend_less_certain() -> None:
    assert trend(list(range(60)), SERIES, caution=2).p_two_sided > 0.05


def test_a_few_or_equal_values_show_nothing() -> None:
    assert trend([0, 1, 2], [1, 2, 3]).p_two_sided == 1
    assert trend(list(range(9)), [5.0] * 9).p_two_sided == 1


def test_an_exact_line_is_certain() -> None:
    found = trend(list(range(30)), [2.0 * at for at in range(30)])

    assert (found.slope, found.intercept) == (2, 0)
    assert found.p_two_sided < 1e-9


def test_dependent_series_without_a_trend_are_seldom_taken_for_one() -> None:
    random = Random(2)
    false = 0
    for _ in range(200):
        level, values = 0.0, []
        for _ in range(84):
            level = 0.5 * level + random.gauss(0, 1)
            values.append(level)
        false += trend(list(range(84)), values, caution=2).p_two_sided < 0.01

    assert false <= 4


def test_a_cycle_is_taken_out_and_the_level_kept() -> None:
    hours = list(range(96))
    values = [10.0 + (hour % 24 > 12) for hour in hours]

    assert set(without_cycle([hour % 24 for hour in hours], values)) == {10.0}


@pytest.mark.parametrize("at", [60, 100, 140])
def test_a_step_is_told_from_a_line(at: int) -> None:
    random = Random(at)
    hours = [float(hour) for hour in range(200)]
    step = [(hour >= at) + random.gauss(0, 0.3) for hour in hours]
    line = [hour / 200 + random.gauss(0, 0.3) for hour in hours]

    assert is_step(hours, step, at)
    assert is_step(hours, [-value for value in step], at)
    assert not is_step(hours, line, at)
    assert not is_step(hours, [-value for value in line], at)
