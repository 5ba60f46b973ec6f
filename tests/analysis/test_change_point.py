import math
from random import Random

import pytest

from otel_wfperf.analysis.change_point import _t_two_sided, change_points


def series(seed: int, *, spread: float = 0.3, dependence: float = 0.0, levels: dict[int, float]) -> list[float]:
    """Draw 168 hourly logarithms whose level changes at some of them."""
    random = Random(seed)
    level, noise, values = 0.0, 0.0, []
    for at in range(168):
        level = levels.get(at, level)
        noise = dependence * noise + random.gauss(0, spread * math.sqrt(1 - dependence**2))
        values.append(level + noise)
    return values


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [
        # 2 * scipy.stats.t.sf(t, freedom), scipy 1.17.1
        (2.1, 3.3, 0.11828608029190766),
        (8.0, 40.0, 7.905084110104538e-10),
        (0.3, 17.5, 0.76771147286769),
        (12.0, 200.5, 2.3472754697949208e-25),
        (0.0, 5.0, 1.0),
    ],
)
def test_the_distribution_of_t_is_that_of_scipy(t: float, freedom: float, p: float) -> None:
    assert _t_two_sided(t, freedom) == pytest.approx(p)


def test_a_step_of_half_is_found_where_it_is() -> None:
    for seed in range(10):
        [found] = change_points(series(seed, levels={100: math.log(1.5)}))
        assert abs(found - 100) <= 12


def test_a_passing_disturbance_has_two_ends() -> None:
    found = change_points(series(1, levels={60: math.log(2), 120: 0.0}))

    assert [round(point, -1) for point in found] == [60, 120]


def test_independent_values_of_one_level_have_no_point() -> None:
    false = sum(bool(change_points(series(seed, spread=1.0, levels={}))) for seed in range(100))

    assert false <= 1


def test_dependent_values_seldom_have_a_point() -> None:
    false = sum(bool(change_points(series(seed, dependence=0.5, levels={}))) for seed in range(100))

    assert false <= 3


def test_a_small_step_can_be_left_out() -> None:
    values = series(3, spread=0.01, levels={100: 0.05})

    assert change_points(values) == [100]
    assert change_points(values, min_shift=0.1) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 40, [1.0] * 17])
def test_short_and_constant_series_have_no_point(values: list[float]) -> None:
    assert change_points(values) == []


def test_a_step_between_constants_is_found() -> None:
    assert change_points([1.0] * 20 + [2.0] * 20) == [20]
