"""Whether one sample is greater than another, and by how much, however they are distributed.

Samples come as strata: pairs (before, after) of what may be compared with each other, such as runs with inputs of one
size. One pair is the plain two-sample problem. On logarithms a shift is a ratio.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final, TypeAlias

from otel_wfperf.analysis.statistics import median

Stratum: TypeAlias = tuple[Sequence[float], Sequence[float]]

# Chosen: up to here the normal approximation is off by more than a tenth at p = 0.01; the table takes 1 ms.
MAX_EXACT: Final = 12
# Chosen: 90,000 differences, about 20 ms of sorting; thinning keeps the quantiles of a sample.
MAX_SIDE: Final = 300
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTest:
    """Result of a test of equality.

    Attributes:
        z: Standardised excess of the second sample.
        p_greater: Chance of so much or more in favour of the second sample, were they equal (0..1).
        p_two_sided: The same in favour of either (0..1).
    """

    z: float
    p_greater: float
    p_two_sided: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """How much greater the values of the second sample are, with an interval, in the unit of the values.

    Attributes:
        error: Standard error of the estimate, from the interval.
    """

    estimate: float
    low: float
    high: float
    error: float


def comparable(strata: Iterable[Stratum]) -> list[Stratum]:
    """Keep the strata that have values on both sides."""
    return [(before, after) for before, after in strata if before and after]


def rank_test(strata: Iterable[Stratum], *, inflation: float = 1.0) -> RankTest:
    """Test whether the second sample is greater or smaller; ties share their mean rank.

    One stratum: Mann-Whitney, exact for at most ``MAX_EXACT`` untied values a side, else the normal approximation with
    corrections for ties and continuity. Several: van Elteren's sum of them, each weighted by 1 / (n + m + 1).

    Args:
        strata: Those with an empty side are left out; without any other, p is 1.
        inflation: Factor on the variance, for values that depend on their predecessors (1 = independent).

    Source: Mann and Whitney, Ann. Math. Stat. 18 (1947); van Elteren, Bull. ISI 37 (1960).
    """
    usable = comparable(strata)
    if len(usable) == 1 and inflation <= 1 and _is_exact(*usable[0]):
        return _exact(*usable[0])
    excess = variance = 0.0
    for before, after in usable:
        weight = 1 / (len(before) + len(after) + 1)
        excess += weight * (_u(before, after) - len(before) * len(after) / 2)
        variance += weight**2 * _variance(before, after)
    if variance <= 0:
        return RankTest(z=0.0, p_greater=1.0, p_two_sided=1.0)
    deviation = math.sqrt(variance * max(1.0, inflation))
    # Half a step of U, towards no difference.
    step = 0.5 / (len(usable[0][0]) + len(usable[0][1]) + 1) if len(usable) == 1 else 0.0
    tail = _upper_tail(max(0.0, abs(excess) - step) / deviation)
    return RankTest(
        z=excess / deviation,
        p_greater=_upper_tail((excess - step) / deviation),
        p_two_sided=min(1.0, 2 * tail),
    )


def hodges_lehmann(strata: Iterable[Stratum], *, confidence: float = 0.9, inflation: float = 1.0) -> Shift:
    """Estimate the shift: the median of all differences of an after from a before of the same stratum.

    The interval holds the shifts that the (stratified) Mann-Whitney test would not reject.

    Args:
        strata: At least one with values on both sides; of longer samples ``MAX_SIDE`` quantiles are used.
        confidence: Of the interval (0..1).
        inflation: Factor on the variance, for values that depend on their predecessors (1 = independent).

    Source: Hodges and Lehmann, Ann. Math. Stat. 34 (1963); interval: Moses, as in Hollander and Wolfe,
    "Nonparametric Statistical Methods", 4.3.
    """
    usable = comparable(strata)
    thin = [(_thinned(before), _thinned(after)) for before, after in usable]
    differences = sorted(late - early for before, after in thin for early in before for late in after)
    if not differences:
        raise ValueError("no stratum has values on both sides; check comparable() first")
    # The interval is one of ranks: take the ranks of the whole samples, as shares of all differences.
    pairs = sum(len(before) * len(after) for before, after in usable)
    variance = sum(len(b) * len(a) * (len(b) + len(a) + 1) / 12 for b, a in usable) * max(1.0, inflation)
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    below = (pairs / 2 - z * math.sqrt(variance)) / pairs * len(differences)
    at = min(max(0, math.floor(below)), (len(differences) - 1) // 2)
    low, high = differences[at], differences[len(differences) - 1 - at]
    return Shift(estimate=median(differences), low=low, high=high, error=(high - low) / (2 * z))


def smallest_effect(error: float, *, alpha: float, power: float = 0.8) -> float:
    """Return the least shift that a two-sided test would have found with some probability, in the unit of the error.

    Args:
        error: Standard error of the shift (``Shift.error``).
        alpha: Level of the test (0..1).
        power: Probability of finding it (0..1).
    """
    return (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)) * error


def samples_needed(deviation: float, shift: float, *, alpha: float, power: float = 0.8) -> int:
    """Return how many values a side a two-sided Mann-Whitney test needs to find a shift.

    Args:
        deviation: Standard deviation of the values.
        shift: Difference that is to be found, in the same unit, not 0.
        alpha: Level of the test (0..1).
        power: Probability of finding it (0..1).

    Source: two-sample normal formula over the efficiency 3 / pi of the test for normal values (Lehmann,
    "Nonparametrics", 2.4).
    """
    quantiles = _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)
    return max(least_samples(alpha), math.ceil(2 * (quantiles * deviation / shift) ** 2 * math.pi / 3))


def least_samples(alpha: float) -> int:
    """Return how many values a side a two-sided test needs to be able to reject at all, however great the shift."""
    count = 1
    while 2 / math.comb(2 * count, count) > alpha:
        count += 1
    return count


def _u(before: Sequence[float], after: Sequence[float]) -> float:
    """Count the pairs in which the after is greater; ties count half."""
    ordered = sorted(before)
    return sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in after) / 2


def _variance(before: Sequence[float], after: Sequence[float]) -> float:
    total = len(before) + len(after)
    ties = sum(count**3 - count for count in Counter([*before, *after]).values())
    return len(before) * len(after) / 12 * (total + 1 - ties / (total * (total - 1)))


def _upper_tail(z: float) -> float:
    """Return the share of the standard normal above z; unlike 1 - cdf it is exact for tiny ones."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def _is_exact(before: Sequence[float], after: Sequence[float]) -> bool:
    both = [*before, *after]
    return max(len(before), len(after)) <= MAX_EXACT and len(set(both)) == len(both)


def _exact(before: Sequence[float], after: Sequence[float]) -> RankTest:
    counts = _u_counts(len(before), len(after))
    total = sum(counts)
    u = round(_u(before, after))
    greater, smaller = sum(counts[u:]) / total, sum(counts[: u + 1]) / total
    z = (u - len(before) * len(after) / 2) / math.sqrt(_variance(before, after))
    return RankTest(z=z, p_greater=greater, p_two_sided=min(1.0, 2 * min(greater, smaller)))


@lru_cache(maxsize=64)
def _u_counts(before: int, after: int) -> tuple[int, ...]:
    """Count the orders of two samples that give each value of U: the Gaussian binomial coefficient."""
    counts = [1] + [0] * (before * after)
    for size in range(1, after + 1):
        # Times (1 - q^(before + size)), then divided by (1 - q^size).
        for at in range(len(counts) - 1, before + size - 1, -1):
            counts[at] -= counts[at - before - size]
        for at in range(size, len(counts)):
            counts[at] += counts[at - size]
    return tuple(counts)


def _thinned(values: Sequence[float]) -> Sequence[float]:
    if len(values) <= MAX_SIDE:
        return values
    ordered = sorted(values)
    return [ordered[(2 * at + 1) * len(ordered) // (2 * MAX_SIDE)] for at in range(MAX_SIDE)]
