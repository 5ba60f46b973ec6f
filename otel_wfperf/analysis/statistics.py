"""Statistics that hold for few samples and heavy tails, on the standard library alone."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from random import Random
from statistics import NormalDist, median

from otel_wfperf.model import Saving

__all__ = [
    "benjamini_hochberg",
    "dependence_inflation",
    "log_z_score",
    "mad",
    "median",
    "ranks",
    "saving_interval",
    "spearman",
    "spearman_is_significant",
    "theil_sen",
    "theil_sen_limits",
    "wilson_lower",
]

NORMAL_CONSISTENCY = 1.4826
MAD_FLOOR = 0.05
RESAMPLES = 2000
MAX_SLOPE_PAIRS = 4_000


def mad(values: Sequence[float]) -> float:
    """Return the median absolute deviation from the median, in the unit of the values."""
    middle = median(values)
    return median([abs(value - middle) for value in values])


def log_z_score(value: float, log_median: float, log_mad: float) -> float:
    """Return how many robust standard deviations ln(value) lies above the logs' median.

    The deviation is at least 5 %, so that a service of constant time does not make every hiccup an outlier.

    Source: Iglewicz and Hoaglin, "How to Detect and Handle Outliers" (1993): modified z-score, limit 3.5. On logs,
    because durations are skewed: on raw durations it gave 2.5-6.5 % false positives, on logs 0.4 % at n = 20.
    """
    return (math.log(value) - log_median) / (NORMAL_CONSISTENCY * max(log_mad, MAD_FLOOR))


def theil_sen(xs: Sequence[float], ys: Sequence[float], *, random: Random | None = None) -> tuple[float, float]:
    """Fit y = slope * x + intercept by medians; return (slope, intercept).

    Up to 29 % of the points may be arbitrarily wrong. Beyond ``MAX_SLOPE_PAIRS`` pairs (chosen: all pairs of 90 points,
    about 3 ms of work) a sample of them is used, the same for the same input unless ``random`` is given. All x equal:
    slope 0.

    Source: Sen, JASA 63 (1968).
    """
    slopes = _slopes(xs, ys, random)
    slope = median(slopes) if slopes else 0.0
    return slope, median([y - slope * x for x, y in zip(xs, ys, strict=True)])


def theil_sen_limits(xs: Sequence[float], ys: Sequence[float], *, confidence: float = 0.9) -> tuple[float, float]:
    """Return the confidence limits of the slope that :func:`theil_sen` fits; all x equal: both 0.

    Source: Sen, JASA 63 (1968), 1379-1389: of the ordered slopes those at (N -+ z * sd) / 2, where sd is that of
    Kendall's score; ties of x are allowed for. Where only a sample of the pairs is used, its own error is added.
    """
    slopes = sorted(_slopes(xs, ys, None))
    if not slopes:
        return 0.0, 0.0
    count, total = len(xs), math.comb(len(xs), 2)
    groups = Counter(xs).values()
    used = total - sum(math.comb(size, 2) for size in groups)
    variance = count * (count - 1) * (2 * count + 5) - sum(size * (size - 1) * (2 * size + 5) for size in groups)
    share = math.sqrt(variance / 18) / (2 * used)
    if total > MAX_SLOPE_PAIRS:
        share = math.hypot(share, 0.5 / math.sqrt(len(slopes)))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * share * len(slopes)
    low, high = math.floor(len(slopes) / 2 - reach), math.ceil(len(slopes) / 2 + reach)
    return slopes[max(0, low - 1)], slopes[min(len(slopes) - 1, high)]


def _slopes(xs: Sequence[float], ys: Sequence[float], random: Random | None) -> list[float]:
    """Return the slopes between pairs of points; of a sample of the pairs where there are many."""
    pairs: Iterable[tuple[int, int]] = combinations(range(len(xs)), 2)
    if math.comb(len(xs), 2) > MAX_SLOPE_PAIRS:
        pairs = _pairs(len(xs), random) if random else _usual_pairs(len(xs))
    return [(ys[j] - ys[i]) / (xs[j] - xs[i]) for i, j in pairs if xs[i] != xs[j]]


def _pairs(count: int, random: Random) -> tuple[tuple[int, int], ...]:
    numbers = range(count)
    choices = random.choices(numbers, k=MAX_SLOPE_PAIRS), random.choices(numbers, k=MAX_SLOPE_PAIRS)
    return tuple(zip(*choices, strict=True))


@lru_cache(maxsize=16)  # 400 kB each; drawing them takes longer than using them
def _usual_pairs(count: int) -> tuple[tuple[int, int], ...]:
    return _pairs(count, Random(0))  # noqa: S311  # a sample of pairs is no secret


def ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, 1 for the smallest; ties share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for position in order[start:end]:
            result[position] = (start + 1 + end) / 2
        start = end
    return result


def spearman(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the rank correlation of two samples (-1..1); 0 when either is constant."""
    rank_x, rank_y = ranks(xs), ranks(ys)
    mean = (len(xs) + 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(rank_x, rank_y, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in rank_x) * sum((y - mean) ** 2 for y in rank_y))
    return covariance / spread if spread else 0.0


def spearman_is_significant(rho: float, count: int, *, alpha: float = 0.01) -> bool:
    """Tell whether a positive rank correlation is unlikely to be chance (one-sided).

    Source: rho * sqrt(n - 1) is standard normal under independence (Kendall, "Rank Correlation Methods"); use it
    for n >= 20 only, fewer is never significant here.
    """
    return count >= 20 and rho * math.sqrt(count - 1) > NormalDist().inv_cdf(1 - alpha)


def benjamini_hochberg(p_values: Sequence[float], *, level: float) -> list[bool]:
    """Tell which of several hypotheses to reject so that of the rejected ones at most ``level`` are true on average.

    Where all are true this is also the chance that any is rejected.

    Source: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995).
    """
    ordered = sorted(p_values)
    passing = [p for rank, p in enumerate(ordered, start=1) if p <= level * rank / len(ordered)]
    limit = max(passing, default=-1.0)
    return [p <= limit for p in p_values]


def dependence_inflation(values: Sequence[float], *, caution: float = 0.0) -> float:
    """Return by how much dependence on the predecessor inflates the variance of a mean; 1 = independent.

    The factor is (1 + r) / (1 - r) for the correlation r of the ranks of neighbours, at most 0.9, where that is beyond
    its standard error, 1 / sqrt(n). Values must be in order of time and without a known shift.

    Args:
        values: Series.
        caution: Standard errors to add to r; then it counts whatever it is. Taking out a shift hides dependence.

    Source: Bartlett, J. R. Stat. Soc. 98 (1935), first-order autoregression; on ranks, because of heavy tails.
    """
    count = len(values)
    if count < 3:
        return 1.0
    mean = (count + 1) / 2
    centred = [rank - mean for rank in ranks(values)]
    spread = sum(value * value for value in centred)
    if not spread:
        return 1.0
    error = 1 / math.sqrt(count)
    r = sum(earlier * later for earlier, later in pairwise(centred)) / spread
    r = min(0.9, r + caution * error)
    return (1 + r) / (1 - r) if r > (0 if caution else error) else 1.0


def saving_interval(savings_ns: Sequence[int], *, seed: int = 0) -> Saving:
    """Return the median saving over runs with its bootstrap 90 % interval (nanoseconds in, seconds out).

    One run, or equal runs, give an interval of no width; the finding's confidence says so.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), percentile interval, 2000 resamples.
    """
    middle_s = median(savings_ns) / 1e9
    if len(savings_ns) == 1:
        return Saving(median_s=middle_s, low_s=middle_s, high_s=middle_s)
    random = Random(seed)  # noqa: S311  # resampling is no secret
    medians = sorted(median(random.choices(savings_ns, k=len(savings_ns))) for _ in range(RESAMPLES))
    low_s, high_s = medians[RESAMPLES // 20] / 1e9, medians[RESAMPLES - 1 - RESAMPLES // 20] / 1e9
    return Saving(median_s=middle_s, low_s=min(low_s, middle_s), high_s=max(high_s, middle_s))


def wilson_lower(hits: int, count: int, *, confidence: float = 0.95) -> float:
    """Return the lower end of the interval that holds a share (0..1) with this confidence; 0 without any hit.

    Source: Wilson, JASA 22 (1927): holds for small counts and small shares, where the normal interval does not.
    """
    if not hits:
        return 0.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / count
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, (middle - spread) / (1 + z * z / count))
