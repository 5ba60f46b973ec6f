"""Moments at which a series changed its level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import Final

from otel_wfperf.analysis.statistics import dependence_inflation, median

# Chosen: of 168 independent values without a change 0.5 % gave a false point; at p = 0.001, the default of Apache
# Otava, 9 to 17 %.
MAX_P: Final = 1e-4
# Chosen: fewer values before do not tell the usual spread, fewer after may be a passing disturbance.
MIN_BEFORE: Final = 12
MIN_AFTER: Final = 6
# Chosen: of 60 values that depend on their predecessor by 0.5, 6 % gave a false point without it.
_CAUTION: Final = 1.0


def change_points(
    values: Sequence[float],
    *,
    max_p: float = MAX_P,
    min_before: int = MIN_BEFORE,
    min_after: int = MIN_AFTER,
    min_shift: float = 0.0,
) -> list[int]:
    """Find where a series changes its level; return the index of the first value of each new level, ascending.

    Splits where the distance between the two parts (energy statistic) is greatest, again within each part while the
    parts differ by a t-test, then takes out, weakest first, the points that the t-test between their neighbouring
    segments does not confirm. Time is quadratic in the number of values: use medians of blocks beyond a few hundred.

    Args:
        values: Series in order of time; logarithms where it is skewed.
        max_p: Level of the t-test (0..1); its variance is corrected for autocorrelation.
        min_before: Fewest values before a point.
        min_after: Fewest values after it.
        min_shift: Least difference of the medians of the segments on its sides, in the unit of the values.

    Source: Matteson and James, J. Am. Stat. Assoc. 109 (2014) for the statistic; Fleming et al., "Hunter", ICPE 2023
    for the t-test in place of permutations, and the merge.
    """
    found: list[int] = []
    pending = [(0, len(values))]
    while pending:
        start, end = pending.pop()
        split = _best_split(values[start:end], min_before=min_before, min_after=min_after)
        # A weak point may become clear once its neighbours are known, so that the way down is more lenient.
        if split is not None and _p(values[start : start + split], values[start + split : end]) < math.sqrt(max_p):
            found.append(start + split)
            pending += [(start, start + split), (start + split, end)]
    return _merged(values, sorted(found), max_p=max_p, min_shift=min_shift)


def _merged(values: Sequence[float], points: list[int], *, max_p: float, min_shift: float) -> list[int]:
    """Take out points until each is confirmed by the segments on its sides."""
    while points:
        bounds = [0, *points, len(values)]
        weights = []
        for at in range(1, len(bounds) - 1):
            before, after = values[bounds[at - 1] : bounds[at]], values[bounds[at] : bounds[at + 1]]
            is_small = abs(median(after) - median(before)) < min_shift
            weights.append(1.0 if is_small else _p(before, after))
        weakest = max(range(len(points)), key=weights.__getitem__)
        if weights[weakest] < max_p:
            break
        del points[weakest]
    return points


def _best_split(values: Sequence[float], *, min_before: int, min_after: int) -> int | None:
    """Return the split with the greatest energy distance between its sides, weighted by their sizes."""
    count = len(values)
    if count < min_before + min_after:
        return None
    # Distances of each value to all earlier and to all later ones.
    earlier = [sum(abs(value - other) for other in values[:at]) for at, value in enumerate(values)]
    later = [sum(abs(value - other) for other in values[at + 1 :]) for at, value in enumerate(values)]
    left = [0.0, *accumulate(earlier)]
    right = [*list(accumulate(reversed([*later, 0.0])))[::-1]]
    total = left[count]
    best, best_energy = None, 0.0
    for split in range(min_before, count - min_after + 1):
        rest = count - split
        between = total - left[split] - right[split]
        within = left[split] / (split * (split - 1) / 2) + right[split] / max(1.0, rest * (rest - 1) / 2)
        energy = (2 * between / (split * rest) - within) * split * rest / count
        if energy > best_energy:
            best, best_energy = split, energy
    return best


def _p(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the two-sided p of Welch's t-test, its variance corrected for autocorrelation within the sides."""
    mean_before, mean_after = fmean(before), fmean(after)
    residuals = [*(value - mean_before for value in before), *(value - mean_after for value in after)]
    errors = [
        sum((value - mean) ** 2 for value in side) / (len(side) - 1) / len(side)
        for side, mean in ((before, mean_before), (after, mean_after))
    ]
    error = sum(errors)
    if error <= 0:
        return 0.0 if mean_before != mean_after else 1.0
    freedom = error**2 / sum(each**2 / (len(side) - 1) for each, side in zip(errors, (before, after), strict=True))
    t = abs(mean_after - mean_before) / math.sqrt(error * dependence_inflation(residuals, caution=_CAUTION))
    return _t_two_sided(t, freedom)


def _t_two_sided(t: float, freedom: float) -> float:
    """Return the chance that Student's t is beyond t on either side: the incomplete beta function I_x(df/2, 1/2)."""
    x = freedom / (freedom + t * t)
    if x >= 1:
        return 1.0
    a, b = freedom / 2, 0.5
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return min(1.0, front * _beta_fraction(a, b, x) / a)
    return min(1.0, 1 - front * _beta_fraction(b, a, 1 - x) / b)


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by Lentz's method.

    Source: DLMF 8.17.22; converges in O(sqrt(max(a, b))) steps for x < (a + 1) / (a + b + 2).
    """
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    result = d
    for m in range(1, 300):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d or tiny)
            c = 1 + numerator / c or tiny
            result *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return result
