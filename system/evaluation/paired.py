"""Claims that one variant scores higher than another on the same complaints: test, interval, size, power.

    results = holm(compare_variants({"rag": [...], "prompt-friendly": [...]}, "facts", [("rag", "prompt-friendly")]))

Each case gives one difference, better - worse, so that how hard a complaint is cancels out. Paraphrases share a
cluster and stand or fall together: signs are flipped, and the bootstrap draws, by whole clusters. Higher is better;
what should be small is scored as its complement. Differences are in the unit of the score.
Knows records, statistics and what makes scores usable; must not know gates files or tables.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from system.evaluation import statistics
from system.evaluation.gates import WORST, clusters_of, find_faults, value_of
from system.records import Score

ALPHA = 0.05  # of the one-sided test, over the whole family of claims
POWER = 0.8
RESAMPLES = 9_999  # sign patterns drawn; up to 13 clusters that differ have fewer, and all of them are enumerated
ByVariant = Mapping[str, Sequence[Score]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedResult:
    """What the paired cases say of "better scores higher than worse by more than the margin"."""

    metric: str
    better: str
    worse: str
    n: int  # cases
    clusters: int
    difference: float  # mean over cases of better - worse
    low: float  # 95 % interval of the difference; infinite where none is possible, see statistics.mean_interval
    high: float
    margin: float
    p: float  # of the claim: chance of so high a difference if the true one were the margin
    p_counter: float  # of the counter-claim, that the difference lies below the margin
    d_z: float | None  # mean / standard deviation of the cluster means of the differences; None without spread
    superiority: float  # share of cases in which better scores higher, ties counted half
    error: float  # standard error of the difference over clusters; infinite for one cluster
    mde: float  # true difference beyond the margin that one such test (5 %, one-sided) finds with probability 0.8
    worst: tuple[Score, ...]  # cases in which better scores lower, the largest loss first; value is the difference
    family: int = 1  # claims that the p-values below are corrected for
    p_holm: float | None = None  # None until ``holm`` has seen the whole family
    p_counter_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the claim holds after correction. An uncorrected result claims nothing."""
        return self.p_holm is not None and self.p_holm <= ALPHA

    @property
    def p_two_sided(self) -> float:
        """Of "they differ", for tables without a claim: twice the smaller one-sided value."""
        return min(1.0, 2 * min(self.p, self.p_counter))


def compare_variants(
    scores_by_variant: ByVariant,
    metric: str,
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float = 0.0,
    scale: tuple[float, float] | None = None,
    expected: Collection[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[PairedResult]:
    """Test for each pair (better, worse) that the first scores higher, by more than the margin, on the same cases.

    ``scale`` is the lowest and highest value that the metric can take, ``expected`` the ids that must be scored.
    The p-values are raw: a family may span metrics, so ``holm`` is the caller's to call, once, over all of it.
    Raises ValueError that names every case which is not scored, once, by both variants of a pair.
    """
    return [_compare(scores_by_variant, metric, *pair, margin, scale, expected, resamples, seed) for pair in pairs]


def pairing_faults(
    scores_by_variant: ByVariant,
    metric: str,
    better: str,
    worse: str,
    expected: Collection[str] | None = None,
    scale: tuple[float, float] | None = None,
) -> tuple[list[str], list[Score]]:
    """Say why two variants cannot be compared, naming every case at fault; also return the unscored cases."""
    both = {variant: scores_by_variant.get(variant, ()) for variant in (better, worse)}
    scores = [s for variant in both for s in both[variant]]
    bottom, top = scale if scale is not None else (-math.inf, math.inf)
    off_scale = f"is outside the scale {bottom:g} to {top:g}"
    # What one variant was scored on, the other must be scored on too: dropping a case would favour one of them.
    wanted = {s.case for s in scores} if expected is None else expected
    faults, unscored = [], []
    for variant in both:
        found, bad = find_faults(variant, both[variant], wanted, lambda v: "" if bottom <= v <= top else off_scale)
        faults += [f"{variant}: {fault}" for fault in found]
        unscored += bad
    clusters: dict[str, set[str]] = defaultdict(set)
    for score in scores:
        clusters[score.case].add(score.cluster)
    rulers = sorted({s.signature or "no signature" for s in scores})
    named = {
        f"scores are not of {metric}": sorted({s.metric for s in scores} - {metric}),
        "cases are in several clusters": sorted(case for case, names in clusters.items() if len(names) > 1),
        "scores are of several rulers": rulers if len(rulers) > 1 else [],
        "a variant cannot beat itself": [better] if better == worse else [],
    }
    return [*faults, *(f"{what}: {', '.join(names)}" for what, names in named.items() if names)], unscored


def holm(results: Sequence[PairedResult], family: int | None = None) -> list[PairedResult]:
    """Correct the p-values of a family of claims, and apart from them those of the counter-claims.

    ``family`` is the number of claims where some gave no result: they count as p = 1, which never makes another
    claim's p smaller than their true values would.
    """
    size = len(results) if family is None else family
    claims = holm_adjusted([r.p for r in results], size)
    counters = holm_adjusted([r.p_counter for r in results], size)
    return [
        replace(result, family=size, p_holm=claim, p_counter_holm=counter)
        for result, claim, counter in zip(results, claims, counters, strict=True)
    ]


def holm_adjusted(p_values: Sequence[float], family: int) -> list[float]:
    """p-values adjusted so that, over the family, the chance of any false rejection at level a is at most a.

    Holm 1979 (Scandinavian Journal of Statistics 6:65); it supposes nothing on how the claims depend on each other.
    Members of the family without a p-value count as p = 1. Raises ValueError for a family smaller than its values.
    """
    if family < len(p_values):
        raise ValueError(f"a family of {family} claims cannot have {len(p_values)} p-values")
    if not p_values:
        return []
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=np.float64)[order] * (family - np.arange(len(p_values)))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


def sign_flip(totals: Floats, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """One-sided p-values of a sum of cluster totals being so high, and so low, when each could as well be negated.

    Exact where the sign patterns are no more than ``resamples``, else (b + 1) / (m + 1) over m drawn ones (Phipson
    & Smyth 2010, SAGMB 9:39). Supposes that under the null hypothesis a cluster's total is as likely negative.
    """
    telling = totals[totals != 0]  # flipping a zero changes nothing but makes enumeration impossible
    if len(telling) < 2:
        telling = np.append(telling, [0.0, 0.0])  # scipy wants two; these have no say
    from scipy.stats import permutation_test

    def total(drawn: Any, axis: int = -1) -> Any:
        return drawn.sum(axis=axis)

    high, low = (
        permutation_test(
            (telling,),
            total,
            permutation_type="samples",  # of one sample: flips signs
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, statistics.BATCH_ELEMENTS // len(telling)),
            alternative=side,
            rng=np.random.default_rng(seed),
        ).pvalue
        for side in ("greater", "less")
    )
    return float(high), float(low)


def minimum_detectable(error: float, clusters: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """Smallest true difference that a one-sided test at ``alpha`` finds with probability ``power``.

    (t quantile of 1 - alpha + t quantile of power) * standard error, m - 1 degrees of freedom (Bloom 1995,
    Evaluation Review 19:547). It stands in for the noncentral t distribution; from 8 clusters on they
    differ by at most 1 %.
    """
    if clusters < 2:
        return math.inf
    from scipy.special import stdtrit

    return float(stdtrit(clusters - 1, 1 - alpha) + stdtrit(clusters - 1, power)) * error


def _compare(
    scores_by_variant: ByVariant,
    metric: str,
    better: str,
    worse: str,
    margin: float,
    scale: tuple[float, float] | None,
    expected: Collection[str] | None,
    resamples: int,
    seed: int,
) -> PairedResult:
    faults, _ = pairing_faults(scores_by_variant, metric, better, worse, expected, scale)
    if faults:
        raise ValueError(f"{better} cannot be compared with {worse}: {'; '.join(faults)}")
    ours, other = list(scores_by_variant[better]), {s.case: s for s in scores_by_variant[worse]}
    differences = [value_of(s) - value_of(other[s.case]) for s in ours]
    grouped: dict[str, list[float]] = defaultdict(list)
    for cluster, one in zip(clusters_of(ours), differences, strict=True):
        grouped[cluster].append(one)
    # Sorted by content, so that neither the order of the cases nor the names of clusters change what is drawn.
    groups = sorted(sorted(group) for group in grouped.values())
    values = [one for group in groups for one in group]
    names = [f"{number:09}" for number, group in enumerate(groups) for _ in group]
    n, m, mean = len(values), len(groups), math.fsum(values) / len(values)
    totals, sizes = np.array([math.fsum(g) for g in groups]), np.array([float(len(g)) for g in groups])
    span = None if scale is None else (scale[0] - scale[1], scale[1] - scale[0])
    interval = statistics.mean_interval(values, names, resamples=resamples, seed=seed, scale=span)
    p, p_counter = sign_flip(totals - margin * sizes, resamples, seed)
    # Linearised over clusters of unequal size, as in statistics.design_effect; equal sizes give sd(means) / sqrt(m).
    error = math.sqrt(m / (m - 1) * float(np.square(totals - sizes * mean).sum())) / n if m > 1 else math.inf
    return PairedResult(
        metric=metric,
        better=better,
        worse=worse,
        n=n,
        clusters=m,
        difference=mean,
        low=interval.low,
        high=interval.high,
        margin=margin,
        p=p,
        p_counter=p_counter,
        d_z=_d_z(totals / sizes),
        superiority=(sum(v > 0 for v in values) + sum(v == 0 for v in values) / 2) / n,
        error=error,
        mde=minimum_detectable(error, m),
        worst=_losses(ours, other, f"{better} > {worse}"),
    )


def _d_z(means: Floats) -> float | None:
    """Cohen's d for paired samples (Cohen 1988, section 2.3.5), on cluster means: paraphrases are no new evidence."""
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    # Equal means differ in the last digit now and then; that is no spread to divide by.
    return float(means.mean()) / spread if spread > 1e-12 * max(1.0, float(np.abs(means).max())) else None


def _losses(ours: Sequence[Score], other: Mapping[str, Score], claim: str) -> tuple[Score, ...]:
    lost = [(value_of(s) - value_of(other[s.case]), s) for s in ours if value_of(s) < value_of(other[s.case])]
    return tuple(
        replace(
            score, variant=claim, value=difference, explanation=f"{_told(score)} against {_told(other[score.case])}"
        )
        for difference, score in sorted(lost, key=lambda pair: (pair[0], pair[1].case))[:WORST]
    )


def _told(score: Score) -> str:
    return f"{value_of(score):.4g} of {score.variant}" + (f" ({score.explanation})" if score.explanation else "")
