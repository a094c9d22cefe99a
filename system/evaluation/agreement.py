"""How well a judge agrees with people: rank correlation, weighted kappa, pair accuracy, macro-F1, with intervals.

Intervals come from drawing whole clusters with replacement (percentile bootstrap, seeded): replies to one message
resemble each other. Knows numbers and cluster names only. scipy and scikit-learn do the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
RESAMPLES = 2000


class Measured(TypedDict):
    """A figure with its 95 % interval and the number of cases or pairs."""

    value: float
    low: float
    high: float
    n: int


def spearman(judged: Sequence[float], graded: Sequence[float], clusters: Sequence[str]) -> Measured:
    """Spearman's rank correlation, -1 to 1, ties at their mean rank (scipy.stats.spearmanr)."""
    from scipy.stats import rankdata

    def correlation(a: Numbers, b: Numbers) -> float:
        ranks = rankdata(a), rankdata(b)
        if not ranks[0].std() or not ranks[1].std():
            return float("nan")  # a judge that says the same of everything ranks nothing
        return float(np.corrcoef(*ranks)[0, 1])

    return _measure(correlation, judged, graded, clusters)


def weighted_kappa(judged: Sequence[float], graded: Sequence[float], clusters: Sequence[str]) -> Measured:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychological Bulletin 70:213), both rounded to 1 to 5."""
    from sklearn.metrics import cohen_kappa_score

    def kappa(a: Numbers, b: Numbers) -> float:
        whole = [np.clip(np.floor(numbers + 0.5), 1, 5).astype(int) for numbers in (a, b)]
        if len(np.unique(whole)) == 1:
            return float("nan")  # where all is alike, chance agrees as well as anybody
        return float(cohen_kappa_score(*whole, labels=[1, 2, 3, 4, 5], weights="quadratic"))

    return _measure(kappa, judged, graded, clusters)


def macro_f1(said: Sequence[int], labelled: Sequence[int], clusters: Sequence[str]) -> Measured:
    """Mean over the classes of the harmonic mean of precision and recall, 0 to 1."""
    from sklearn.metrics import f1_score

    classes = sorted(set(labelled))

    def f1(a: Numbers, b: Numbers) -> float:
        return float(f1_score(b, a, labels=classes, average="macro", zero_division=0.0))

    return _measure(f1, said, labelled, clusters)


def pair_accuracy(margins: Sequence[float], clusters: Sequence[str]) -> Measured:
    """Share of pairs that are ranked rightly, that is whose margin (better - worse) is above 0; a tie is half."""
    right = [1.0 if margin > 0 else 0.5 if margin == 0 else 0.0 for margin in margins]
    return _measure(lambda a, b: float(a.mean()), right, right, clusters)


def pairs_within(graded: Sequence[float], clusters: Sequence[str]) -> list[tuple[int, int]]:
    """Positions (better, worse) of all pairs within a cluster whose grades differ."""
    positions = range(len(graded))
    return [(i, j) for i in positions for j in positions if clusters[i] == clusters[j] and graded[i] > graded[j]]


def mean(values: Sequence[float], clusters: Sequence[str]) -> Measured:
    """The mean of the values."""
    return _measure(lambda a, b: float(a.mean()), values, values, clusters)


def perplexity_ratio(changes: Sequence[float], tokens: Sequence[float], clusters: Sequence[str]) -> Measured:
    """Perplexity of one model over that of another on the same texts, above 0: exp(sum of changes / sum of tokens).

    ``changes``: per text, the nll of the one less that of the other, in nats.
    """
    return _measure(lambda a, b: float(np.exp(a.sum() / b.sum())), changes, tokens, clusters)


def _measure(
    statistic: Callable[[Numbers, Numbers], float],
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[str],
    seed: int = 0,
) -> Measured:
    if not len(first) == len(second) == len(clusters) or not len(first):
        raise ValueError(f"{len(first)} and {len(second)} values in {len(clusters)} clusters; give equally many, not 0")
    a, b = np.asarray(first, float), np.asarray(second, float)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a value is not a finite number; agreement is measured on graded cases only")
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    draw = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([members[c] for c in draw.integers(len(members), size=len(members))])
        drawn.append(statistic(a[chosen], b[chosen]))
    defined = [value for value in drawn if not np.isnan(value)]
    low, high = np.quantile(defined, [0.025, 0.975]) if defined else (np.nan, np.nan)
    return Measured(value=round(statistic(a, b), 4), low=round(float(low), 4), high=round(float(high), 4), n=len(a))
