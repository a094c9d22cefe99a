"""Intervals for rates and means of clustered cases, and how many further cases would decide a verdict.

Paraphrases of one problem share a cluster: their scores resemble each other, so they carry less information than
as many unrelated cases, and an interval that ignores this is too narrow and lets a gate pass on luck. Rates answer
with an effective number of cases, means by drawing whole clusters. Knows numbers and cluster names only; must not
know records, thresholds of gates or variants. scipy is imported where it is used: a gate that needs no interval
must not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Method = Literal["wilson", "exact"]
FEWEST_CLUSTERS = 8  # below, the tails of a bootstrap are the extremes of a handful of values: coverage is a guess
BATCH_ELEMENTS = 4_000_000  # drawn at a time: 32 MB of indices, whatever the number of cases


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval in the unit of the value; each side errs with probability (1 - level) / 2."""

    low: float
    high: float
    level: float


def rate_interval(
    successes: float, n: float, level: float = 0.95, effective_n: float | None = None, method: Method = "wilson"
) -> Interval:
    """Confidence interval of the rate ``successes / n``, between 0 and 1.

    ``wilson``: the score interval (Wilson 1927, JASA 22:209), whose coverage is right on average over n.
    ``exact``: Clopper & Pearson 1934 (Biometrika 26:404), which never errs more often than it says, and is wider.
    With ``effective_n`` the rate keeps its value and the formula takes this many cases, not necessarily a whole
    number, in the place of n (Korn & Graubard 1998, Survey Methodology 24:193).
    Raises ValueError for counts that cannot be.
    """
    size = n if effective_n is None else effective_n
    if not (n > 0 and 0 <= successes <= n and 0 < size < math.inf):
        raise ValueError(f"no rate has {successes} successes in {n} cases that count as {size}")
    rate = successes / n
    if method == "exact":
        from scipy.special import betaincinv

        tail, hits, misses = (1 - _checked(level)) / 2, rate * size, (1 - rate) * size
        low = float(betaincinv(hits, misses + 1, tail)) if successes > 0 else 0.0
        high = float(betaincinv(hits + 1, misses, 1 - tail)) if successes < n else 1.0
        return Interval(low, high, level)
    z = _normal_quantile(level)
    centre = (rate + z * z / (2 * size)) / (1 + z * z / size)
    half = z / (1 + z * z / size) * math.sqrt(rate * (1 - rate) / size + z * z / (4 * size * size))
    # The formula is exactly 0 and 1 at the ends, its rounding is not.
    return Interval(centre - half if successes > 0 else 0.0, centre + half if successes < n else 1.0, level)


def design_effect(values: Sequence[float], clusters: Sequence[str]) -> float:
    """How many times the variance of the mean exceeds that of as many independent cases; at least 1.

    The ratio of the linearised variance of a mean over clusters, m / (m - 1) * sum(residual totals ** 2) / n ** 2,
    to the variance under simple random sampling, s ** 2 / n (Kish 1965, Survey Sampling, section 8.2; Korn &
    Graubard 1998). Floored at 1: a ratio below comes from chance, not from paraphrases that repel each other.
    Values that are all equal have no variance to compare and give 1; use ``effective_n``, which knows what to do.
    Limit: an estimate from few large clusters among many small ones comes out too low now and then.
    """
    scores, totals, sizes = _by_cluster(values, clusters)
    n, m = len(scores), len(sizes)
    if m == n or _all_equal(scores):
        return 1.0
    if m == 1:
        return float(n)  # one cluster shows nothing of how clusters differ: it may be one case told n times
    linearised = m / (m - 1) * float(np.square(totals - sizes * scores.mean()).sum()) / n**2
    return max(1.0, linearised / (float(scores.var(ddof=1)) / n))


def effective_n(values: Sequence[float], clusters: Sequence[str], level: float = 0.95) -> float:
    """Number of independent cases that carry as much information as these; not necessarily whole.

    n / design effect, times the squared ratio of Student quantiles with n - 1 and m - 1 degrees of freedom, which
    pays for having estimated the design effect from only m clusters (Korn & Graubard 1998). Cases that are all in
    clusters of their own give exactly n.
    """
    scores, _, sizes = _by_cluster(values, clusters)
    n, m = len(scores), len(sizes)
    if m == n:
        return float(n)
    if _all_equal(scores):
        # Agreement within clusters is then perfect as far as anyone can see, but so is agreement between them, and
        # the design effect is 0 / 0. Taking it as 1 would let ten paraphrases of one easy problem pass for ten
        # problems. If paraphrases always agree, m clusters that all succeed have probability rate ** m, as have m
        # independent cases: m is what remains in the worst case, and it is all that has been shown.
        return float(m)
    if m == 1:
        return 1.0
    from scipy.special import stdtrit

    upper = (1 + _checked(level)) / 2
    few = float(stdtrit(n - 1, upper) / stdtrit(m - 1, upper))
    return n / design_effect(values, clusters) * few**2


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    scale: tuple[float, float] | None = None,
) -> Interval:
    """Bootstrap interval of the mean of the values, in their unit; whole clusters are drawn (no clusters: cases).

    ``scipy.stats.bootstrap`` draws pairs (total, size) of clusters, so that a mean over clusters of unequal size
    is the ratio of two drawn sums. The interval is BCa (Efron 1987, JASA 82:171) because judged scores crowd at
    the upper end of their scale: a percentile interval then lies too high, on the side where a gate passes. Its
    level is expanded by Student's t and sqrt(m / (m - 1)) (Hesterberg 2015, American Statistician 69:371), since
    drawing from m clusters understates their spread. Limit: on 30 cases that crowd at the top the low bound lies
    above the true mean in about 5 % of samples, not 2.5 %, on 150 in about 2.5 %.

    ``scale`` is the lowest and highest value there can be. Where no bootstrap is possible the answer is honest
    and wide: with fewer than FEWEST_CLUSTERS clusters the whole scale; if all clusters have the same mean, that
    mean and what unseen clusters may change: a share 1 - ((1 - level) / 2) ** (1 / m) of them, were they at an
    end of the scale, would still have escaped notice. Without a scale both are (-inf, inf).
    """
    bottom, top = scale if scale is not None else (-math.inf, math.inf)
    names = [str(i) for i in range(len(values))] if clusters is None else clusters
    scores, totals, sizes = _by_cluster(values, names)
    if not bottom <= scores.min() <= scores.max() <= top:
        raise ValueError(f"values reach from {scores.min()} to {scores.max()}, outside the scale {bottom} to {top}")
    tail, m = (1 - _checked(level)) / 2, len(sizes)
    if _all_equal(totals / sizes):
        mean, unseen = float(scores.mean()), 1 - tail ** (1 / m)
        return Interval(mean - unseen * (mean - bottom), mean + unseen * (top - mean), level)
    if m < FEWEST_CLUSTERS:
        return Interval(bottom, top, level)
    from scipy.special import ndtr, stdtrit
    from scipy.stats import bootstrap

    def ratio(drawn_totals: Any, drawn_sizes: Any, axis: int = -1) -> Any:
        return drawn_totals.sum(axis=axis) / drawn_sizes.sum(axis=axis)

    result = bootstrap(
        (totals, sizes),
        ratio,
        paired=True,
        vectorized=True,
        method="BCa",
        n_resamples=resamples,
        batch=max(1, BATCH_ELEMENTS // m),
        confidence_level=1 - 2 * float(ndtr(math.sqrt(m / (m - 1)) * stdtrit(m - 1, tail))),
        rng=np.random.default_rng(seed),
    )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return Interval(low, high, level) if low <= high else Interval(bottom, top, level)  # NaN compares false


def rate_half_width(threshold: float, size: float, level: float = 0.95) -> float:
    """How far a rate of ``size`` independent cases must lie from the threshold for its Wilson interval to clear it.

    The Wilson interval inverts the score test, so this is the test's critical distance, exactly:
    z * sqrt(threshold * (1 - threshold) / size).
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; a rate's lies between 0 and 1")
    return _normal_quantile(level) * math.sqrt(threshold * (1 - threshold) / size)


def cases_needed(value: float, threshold: float, n: int, half_width: float) -> int | None:
    """Number of cases, beyond the n at hand, after which the interval would clear the threshold on either side.

    Supposes that the value and the clustering stay as observed, and that the half-width shrinks with the square
    root of the number of cases (normal approximation): n * (half_width / distance) ** 2 cases in all. The
    half-width is that of the side facing the threshold; for rates ``rate_half_width`` makes the count exact but
    for rounding. None when no number of cases would do: the value sits on the threshold, or there is no width.
    """
    if math.isclose(value, threshold, rel_tol=1e-9, abs_tol=1e-9) or not math.isfinite(half_width):
        return None
    # One more than the floor, not the ceiling: below the threshold the interval must clear it, not touch it.
    return max(1, math.floor(n * (half_width / (value - threshold)) ** 2) + 1 - n)


def _by_cluster(
    values: Sequence[float], clusters: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Values (n,), and per cluster the total (m,) and the number (m,) of its values, in order of cluster name."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or len(scores) != len(clusters):
        raise ValueError(f"{scores.size} values and {len(clusters)} clusters; give one cluster for each of 1 or more")
    if not np.isfinite(scores).all():
        raise ValueError("a value is not a finite number; sort out unscored cases before any statistics")
    _, codes, sizes = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True, return_counts=True)
    return scores, np.bincount(codes, weights=scores).astype(np.float64), sizes.astype(np.float64)


def _all_equal(numbers: npt.NDArray[np.float64]) -> bool:
    # The mean of three equal numbers may differ from them in the last digit, which is not a difference.
    return bool(np.ptp(numbers) <= 1e-12 * max(1.0, float(np.abs(numbers).max())))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; give a confidence level between 0 and 1, such as 0.95")
    return level


def _normal_quantile(level: float) -> float:
    """The standard normal's (1 + level) / 2 quantile."""
    from statistics import NormalDist  # the standard library's: a plain rate needs no scipy

    return NormalDist().inv_cdf((1 + _checked(level)) / 2)
