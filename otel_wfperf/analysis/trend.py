"""Trends of series that depend on their own past and on the time of day."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from operator import mul
from statistics import NormalDist
from typing import Final

from otel_wfperf.analysis.statistics import dependence_inflation, median, ranks, theil_sen

_NORMAL: Final = NormalDist()
# Source: Hamed and Rao (1998) take the autocorrelations that are significant at 10 % or 5 %; 5 % as pymannkendall.
_LAG_ALPHA: Final = 0.05
_MIN_VALUES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A monotonic trend.

    Attributes:
        slope: Median slope, in the unit of the values by that of the positions.
        intercept: Median value at position 0.
        p_two_sided: Chance of so much order without a trend (0..1).
        inflation: Factor on the variance because of autocorrelation (1 = independent).
    """

    slope: float
    intercept: float
    p_two_sided: float
    inflation: float


def trend(positions: Sequence[float], values: Sequence[float], *, caution: float = 0.0) -> Trend:
    """Test a series for a monotonic trend and estimate its slope.

    Mann-Kendall with the variance corrected for autocorrelation; slope by Theil-Sen. Unlike the paper's, the correction
    never makes a trend more certain than independent values would.

    Args:
        positions: Moments, ascending.
        values: Value at each of them.
        caution: When not 0, the variance is at least that of a first-order autoregression whose correlation is so many
            standard errors above the estimate: in short series few autocorrelations are significant.

    Source: Hamed and Rao, J. Hydrology 204 (1998).
    """
    slope, intercept = theil_sen(positions, values)
    if len(values) < _MIN_VALUES:
        return Trend(slope=slope, intercept=intercept, p_two_sided=1.0, inflation=1.0)
    residuals = [value - slope * position for position, value in zip(positions, values, strict=True)]
    inflation = max(1.0, _inflation(residuals))
    if caution:
        inflation = max(inflation, dependence_inflation(residuals, caution=caution))
    variance = _variance(values) * inflation
    score = _score(values)
    z = math.copysign(max(0, abs(score) - 1), score) / math.sqrt(variance) if variance > 0 else 0.0
    p = math.erfc(abs(z) / math.sqrt(2))
    return Trend(slope=slope, intercept=intercept, p_two_sided=p, inflation=inflation)


def without_cycle(phases: Sequence[Hashable], values: Sequence[float]) -> list[float]:
    """Subtract from each value the median of all values of its phase, such as the hour of the day; keep the level."""
    by_phase: dict[Hashable, list[float]] = {}
    for phase, value in zip(phases, values, strict=True):
        by_phase.setdefault(phase, []).append(value)
    level = median(values)
    usual = {phase: median(found) - level for phase, found in by_phase.items()}
    return [value - usual[phase] for phase, value in zip(phases, values, strict=True)]


def is_step(positions: Sequence[float], values: Sequence[float], at: int) -> bool:
    """Tell whether a series changed by a step before the value of some index rather than all along.

    Of a straight line the sides of any index differ by half of what it changes within them (medians, evenly spaced
    values); of a step they differ by all of it and change by nothing. Chosen: a step changes within its sides by less
    than half of what it is high, since an index that was found as a change point lies where noise made a line steep.
    """
    jump = median(values[at:]) - median(values[:at])
    within = 0.0
    for side in (slice(None, at), slice(at, None)):
        places = positions[side]
        within += theil_sen(places, values[side])[0] * (places[-1] - places[0])
    return within < jump / 2 if jump > 0 else within > jump / 2


def _score(values: Sequence[float]) -> int:
    """Count the pairs in order minus those out of order."""
    seen: list[float] = []
    score = 0
    for value in values:
        score += bisect_left(seen, value) - (len(seen) - bisect_right(seen, value))
        insort(seen, value)
    return score


def _variance(values: Sequence[float]) -> float:
    count = len(values)
    ties = sum(same * (same - 1) * (2 * same + 5) for same in Counter(values).values())
    return (count * (count - 1) * (2 * count + 5) - ties) / 18


def _inflation(residuals: Sequence[float]) -> float:
    """Return the variance of the score over that of independent values, from the significant autocorrelations."""
    count = len(residuals)
    mean = (count + 1) / 2
    centred = [rank - mean for rank in ranks(residuals)]
    spread = sum(value * value for value in centred)
    if not spread:
        return 1.0
    bound = _NORMAL.inv_cdf(1 - _LAG_ALPHA / 2) / math.sqrt(count)
    total = 0.0
    for lag in range(1, count - 2):
        correlation = sum(map(mul, centred, centred[lag:])) / spread
        if abs(correlation) > bound:
            total += (count - lag) * (count - lag - 1) * (count - lag - 2) * correlation
    return 1 + 2 / (count * (count - 1) * (count - 2)) * total
