"""The intervals against hand-computed numbers, against scipy and statsmodels, and in the cases that break formulas."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy and statsmodels ship no types
from statsmodels.regression.linear_model import OLS  # type: ignore[import-untyped]
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from system.evaluation.statistics import (
    FEWEST_CLUSTERS,
    Interval,
    cases_needed,
    design_effect,
    effective_n,
    mean_interval,
    rate_half_width,
    rate_interval,
)

ROOT = Path(__file__).parents[1]
Z = 1.959963984540054  # 0.975 quantile of the standard normal; its square is 3.841459
COUNTS = [(0, 1), (1, 1), (0, 10), (10, 10), (1, 30), (15, 30), (81, 100), (109, 156), (156, 156), (999, 1000)]
JUDGED = [5, 5, 4, 5, 3, 5, 4, 5, 5, 2, 5, 4, 5, 5, 1, 5, 4, 3, 5, 5]  # scores of 1 to 5 that crowd at the top


def own(n: int) -> list[str]:
    """Every case in a cluster of its own."""
    return [f"c{i:03}" for i in range(n)]


def groups(sizes: list[int]) -> list[str]:
    """Cluster names of consecutive cases, one size a cluster."""
    return [f"c{i:03}" for i, size in enumerate(sizes) for _ in range(size)]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # centre (0.81 + 3.841459 / 200) / 1.03841459 = 0.798532,
        # half 1.959964 / 1.03841459 * sqrt(0.81 * 0.19 / 100 + 3.841459 / 40000) = 0.076320
        (81, 100, 0.722212, 0.874853),
        # centre 0.5 by symmetry, half 1.959964 / 1.12804863 * sqrt(0.25 / 30 + 3.841459 / 3600) = 0.168458
        (15, 30, 0.331542, 0.668458),
        # at the ends the root is z / 2n, so that the far bound is z^2 / (n + z^2) = 3.841459 / 13.841459
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
    ],
)
def test_wilson_by_hand(successes: int, n: int, low: float, high: float) -> None:
    """The default interval of a rate is Wilson's, to the last digit that was computed by hand."""
    interval = rate_interval(successes, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)
    assert interval.level == 0.95


@pytest.mark.parametrize(
    ("successes", "low", "high"),
    [(0, 0.0, 0.308497), (10, 0.691503, 1.0)],  # P(no success) = (1 - p)^10 = 0.025 at p = 1 - 0.025^0.1
)
def test_exact_by_hand(successes: int, low: float, high: float) -> None:
    """The exact interval ends where the observed count has probability 0.025."""
    interval = rate_interval(successes, 10, method="exact")
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), COUNTS)
def test_rate_interval_agrees_with_scipy_and_statsmodels(successes: int, n: int, level: float) -> None:
    """Both formulas for rates are the ones that scipy and statsmodels use."""
    test = stats.binomtest(successes, n)
    for method, reference, alias in (("wilson", "wilson", "wilson"), ("exact", "exact", "beta")):
        ours = rate_interval(successes, n, level, method=method)  # type: ignore[arg-type]  # a str, not a literal
        scipys = test.proportion_ci(level, method=reference)
        assert (ours.low, ours.high) == pytest.approx((scipys.low, scipys.high), abs=1e-12)
        theirs = proportion_confint(successes, n, alpha=1 - level, method=alias)
        assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("method", ["wilson", "exact"])
@pytest.mark.parametrize("size", [0.4, 12.5, 40.0, 100.0])
def test_effective_n_takes_the_place_of_n(size: float, method: str) -> None:
    """An effective number of cases leaves the rate as it is and widens the interval as fewer cases would."""
    interval = rate_interval(81, 100, effective_n=size, method=method)  # type: ignore[arg-type]
    same = rate_interval(0.81 * size, size, method=method)  # type: ignore[arg-type]
    assert (interval.low, interval.high) == pytest.approx((same.low, same.high), abs=1e-12)
    assert 0 <= interval.low <= rate_interval(81, 100).low + 1e-12 < 0.81 < interval.high <= 1


@pytest.mark.parametrize(("successes", "n", "size"), [(1, 0, None), (-1, 5, None), (6, 5, None), (1, 5, 0.0)])
def test_impossible_counts_are_refused(successes: int, n: int, size: float | None) -> None:
    """Counts that cannot be are an error, not an interval."""
    with pytest.raises(ValueError, match="no rate has"):
        rate_interval(successes, n, effective_n=size)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_impossible_levels_are_refused(level: float) -> None:
    """A level given in per cent, or one that no interval has, is an error."""
    with pytest.raises(ValueError, match="level is"):
        rate_interval(1, 2, level)
    with pytest.raises(ValueError, match="level is"):
        mean_interval(JUDGED, level=level)


@pytest.mark.parametrize(
    ("values", "clusters", "effect", "size"),
    [
        # mean 1/2, residual totals 1, -1, 0: linearised 3/2 * 2 / 36 = 1/12; s^2 / n = (6/4) / 5 / 6 = 1/20: 5/3.
        # Student quantiles 2.570582 (5) and 4.302653 (2): 6 / (5/3) * 0.356936 = 1.284969
        pytest.param([1, 1, 0, 0, 1, 0], groups([2, 2, 2]), 5 / 3, 1.284969, id="pairs"),
        pytest.param([1, 0, 1, 1], own(4), 1.0, 4.0, id="unclustered"),
        # m = 4 clusters, each told 3 times: (3m - 1) / (m - 1) = 11/3, n / effect = 36/11; quantiles 2.200985 (11)
        # and 3.182446 (3): 36/11 * 0.478313 = 1.565388
        pytest.param([1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1], groups([3] * 4), 11 / 3, 1.565388, id="identical"),
        # paraphrases that always differ: no variance over clusters; quantiles 2.364624 (7) and 3.182446 (3):
        # 8 * 0.552080 = 4.416641
        pytest.param([1, 0] * 4, groups([2] * 4), 1.0, 4.416641, id="floor"),
        pytest.param([1.0] * 10, groups([4, 3, 3]), 1.0, 3.0, id="all succeed"),
        pytest.param([0.1] * 10, groups([9, 1]), 1.0, 2.0, id="all equal but for rounding"),
        pytest.param([1, 0, 1], groups([3]), 3.0, 1.0, id="one cluster"),
        pytest.param([1], own(1), 1.0, 1.0, id="one case"),
    ],
)
def test_design_effect_by_hand(values: list[float], clusters: list[str], effect: float, size: float) -> None:
    """Cases that resemble each other within clusters count as fewer; without evidence the cautious number holds."""
    assert design_effect(values, clusters) == pytest.approx(effect, abs=1e-6)
    assert effective_n(values, clusters) == pytest.approx(size, abs=2e-6)


def test_linearised_variance_agrees_with_statsmodels() -> None:
    """The variance over clusters is the cluster-robust variance of a regression on a constant."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 5, size=40)
    values = np.repeat(rng.normal(size=40), sizes) + rng.normal(size=sizes.sum())
    labels = np.repeat(np.arange(40), sizes)
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": labels})
    simple = values.var(ddof=1) / len(values)
    assert design_effect(list(values), groups(list(sizes))) == pytest.approx(fit.cov_params()[0, 0] / simple)


@pytest.mark.parametrize(
    ("values", "clusters", "why"),
    [
        ([], [], "0 values"),
        ([1.0, 0.0], ["a"], "2 values and 1 clusters"),
        ([1.0, math.nan], ["a", "b"], "not a finite number"),
        ([1.0, math.inf], ["a", "b"], "not a finite number"),
    ],
)
def test_bad_samples_are_refused(values: list[float], clusters: list[str], why: str) -> None:
    """No statistic is computed over nothing, over NaN, or over cases without clusters."""
    for function in (design_effect, effective_n, mean_interval):
        with pytest.raises(ValueError, match=why):
            function(values, clusters)


def test_mean_interval_agrees_with_student_on_normal_data() -> None:
    """Where Student's interval is right, the bootstrap gives it, up to the noise of drawing."""
    values = np.random.default_rng(7).normal(3.0, 1.0, size=60)
    student = stats.t.interval(0.95, 59, values.mean(), values.std(ddof=1) / math.sqrt(60))
    interval = mean_interval(list(values))
    assert (interval.low, interval.high) == pytest.approx(student, abs=0.05 * (student[1] - student[0]))


def test_mean_interval_leans_to_the_long_tail() -> None:
    """On scores that crowd at the top the low bound lies farther from the mean than the high bound."""
    interval, mean = mean_interval(JUDGED), sum(JUDGED) / len(JUDGED)
    assert mean - interval.low > 1.2 * (interval.high - mean) > 0


def test_paraphrases_add_nothing_to_a_mean() -> None:
    """Each case told three times gives the interval of the cases told once; unclustered it would be narrower."""
    once, thrice = mean_interval(JUDGED), mean_interval(list(np.repeat(JUDGED, 3)), groups([3] * len(JUDGED)))
    naive = mean_interval(list(np.repeat(JUDGED, 3)))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.7 * (once.high - once.low)


def test_mean_interval_is_replayed_by_its_seed() -> None:
    """The same cases in any order and the same seed give the same interval, another seed nearly the same one."""
    names = own(len(JUDGED))
    first, again = mean_interval(JUDGED, names), mean_interval(JUDGED[::-1], names[::-1])
    other = mean_interval(JUDGED, names, seed=1)
    assert first == again != other
    assert (first.low, first.high) == pytest.approx((other.low, other.high), abs=0.1)


UNSEEN = 1 - 0.025 ** (1 / 10)  # 0.308497: share of clusters of which ten show none with probability 0.025


@pytest.mark.parametrize(
    ("values", "clusters", "scale", "low", "high"),
    [
        pytest.param([5] * 10, own(10), (1, 5), 5 - UNSEEN * 4, 5, id="all at the top"),
        pytest.param([3] * 10, own(10), (1, 5), 3 - UNSEEN * 2, 3 + UNSEEN * 2, id="all in the middle"),
        pytest.param([5] * 10, own(10), None, -math.inf, math.inf, id="no scale"),
        pytest.param([5] * 20, groups([2] * 10), (1, 5), 5 - UNSEEN * 4, 5, id="pairs count once"),
        pytest.param([5, 3] * 10, groups([2] * 10), (1, 5), 4 - UNSEEN * 3, 4 + UNSEEN, id="equal cluster means"),
        pytest.param([1, 2, 3, 4, 5, 5, 5], own(FEWEST_CLUSTERS - 1), (1, 5), 1, 5, id="few clusters"),
        pytest.param([1, 2, 3, 4, 5, 5, 5], own(FEWEST_CLUSTERS - 1), None, -math.inf, math.inf, id="few, no scale"),
    ],
)
def test_mean_without_spread(
    values: list[float], clusters: list[str], scale: tuple[float, float] | None, low: float, high: float
) -> None:
    """A sample without spread, or of a few clusters, never gives a narrow interval."""
    interval = mean_interval(values, clusters, scale=scale)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_values_outside_the_scale_are_refused() -> None:
    """A score that its scale does not have is a defect of the ruler, not a datum."""
    with pytest.raises(ValueError, match="outside the scale"):
        mean_interval([1, 6], scale=(1, 5))


@pytest.mark.parametrize(
    ("value", "threshold", "n", "half_width", "needed"),
    [
        (0.80, 0.70, 50, 0.15, 63),  # 50 * 1.5^2 = 112.5, so 113 in all
        (0.60, 0.70, 50, 0.15, 63),  # the same below the threshold
        (4.0, 3.5, 10, 1.0, 31),  # 10 * 2^2 = 40 would touch the threshold
        (4.0, 3.5, 10, 0.1, 1),  # already decisive
        (0.70, 0.70, 50, 0.15, None),
        (0.1 + 0.2, 0.3, 50, 0.15, None),  # on the threshold but for rounding
        (4.0, 3.5, 10, math.inf, None),
    ],
)
def test_cases_needed_by_hand(value: float, threshold: float, n: int, half_width: float, needed: int | None) -> None:
    """The half-width must shrink to the distance, and it shrinks with the root of the number of cases."""
    assert cases_needed(value, threshold, n, half_width) == needed


@settings(derandomize=True, database=None, deadline=None)
@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.05, 0.95))
def test_needed_cases_decide_a_rate(n: int, share: float, threshold: float) -> None:
    """With the cases asked for and the rate as observed, the interval clears the threshold; with fewer it does not."""
    rate = round(share * n) / n
    needed = cases_needed(rate, threshold, n, rate_half_width(threshold, n))
    interval = rate_interval(rate * n, n)
    if needed is None or not interval.low < threshold <= interval.high:
        return

    def decides(size: int) -> bool:
        later = rate_interval(rate * size, size)
        return later.low >= threshold or later.high < threshold

    assert decides(n + needed)
    if needed > 1:
        # One case less than asked for may touch the threshold exactly; two less never clear it.
        assert not decides(n + needed - 2)


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from("abcdefgh")), min_size=1, max_size=40))
def test_clusters_never_narrow_an_interval(cases: list[tuple[float, str]]) -> None:
    """However cases are clustered, they count as more than 0 and at most as n."""
    values, clusters = [value for value, _ in cases], [cluster for _, cluster in cases]
    assert 0 < effective_n(values, clusters) <= len(cases)
    assert design_effect(values, clusters) >= 1


def test_threshold_of_a_rate_lies_between_0_and_1() -> None:
    """A threshold in per cent is an error."""
    with pytest.raises(ValueError, match="threshold is 70"):
        rate_half_width(70, 10)


def test_interval_is_a_plain_record() -> None:
    """Intervals compare by value and cannot be changed."""
    assert Interval(0.1, 0.2, 0.95) == Interval(0.1, 0.2, 0.95)
    with pytest.raises(AttributeError):
        Interval(0.1, 0.2, 0.95).low = 0.0  # type: ignore[misc]


def test_zero_tolerance_and_plain_rates_do_not_load_scipy() -> None:
    """Gates that need no quantile of scipy start without it, which would take most of a second."""
    program = (
        "import sys\n"
        "from system.evaluation.gates import judge_rate, judge_zero\n"
        "from system.records import Score\n"
        "scores = [Score(case=str(i), variant='v', metric='m', value=0.0) for i in range(9)]\n"
        "judge_zero('r', 'v', scores), judge_rate('r', 'v', scores, 0.5)\n"
        "print([m for m in ('scipy', 'statsmodels', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
