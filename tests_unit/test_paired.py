"""Paired claims against hand-computed numbers, second implementations, and the error rates that they promise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS  # type: ignore[import-untyped]  # ships no types
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]
from statsmodels.stats.power import TTestPower  # type: ignore[import-untyped]

from system.evaluation.paired import (
    PairedResult,
    compare_variants,
    holm,
    holm_adjusted,
    minimum_detectable,
    sign_flip,
)
from system.records import Score

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=50)
EIGHTHS = st.integers(-16, 16).map(lambda i: i / 8)  # sums and differences of them are exact
CASES = st.lists(st.tuples(EIGHTHS, EIGHTHS, st.sampled_from("abcdefghijk")), min_size=1, max_size=25)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def make(variant: str, values: Sequence[float | None], clusters: Sequence[str] | None = None) -> list[Score]:
    """Scores of cases t-000, t-001, ...; without clusters each case stands alone."""
    names = clusters if clusters is not None else [""] * len(values)
    return [
        Score(case=f"t-{i:03}", variant=variant, metric="facts", value=value, cluster=name)
        for i, (value, name) in enumerate(zip(values, names, strict=True))
    ]


def versus(
    ours: Sequence[float], other: Sequence[float], clusters: Sequence[str] | None = None, **options: object
) -> PairedResult:
    """The result of "rag beats plain"."""
    scores = {"rag": make("rag", ours, clusters), "plain": make("plain", other, clusters)}
    (result,) = compare_variants(scores, "facts", [("rag", "plain")], **options)  # type: ignore[arg-type]
    return result


def gain(differences: Sequence[float], clusters: Sequence[str] | None = None, **options: object) -> PairedResult:
    """The result of "rag beats plain" with these differences."""
    return versus(differences, [0.0] * len(differences), clusters, **options)


def groups(sizes: Sequence[int]) -> list[str]:
    """Cluster names of consecutive cases, one size a cluster."""
    return [f"c{i:03}" for i, size in enumerate(sizes) for _ in range(size)]


def test_by_hand() -> None:
    """Every figure of a small comparison, computed by hand: clusters a (1, 1), b (0.5), c (-0.5)."""
    result = versus([3.0, 2.0, 1.5, 0.5], [2.0, 1.0, 1.0, 1.0], ["a", "a", "b", "c"])
    assert (result.metric, result.better, result.worse, result.n, result.clusters) == ("facts", "rag", "plain", 4, 3)
    assert result.difference == 0.5
    # totals 2, 0.5, -0.5; the sums under all signs are 3, 2, 2, 1 and their negatives; observed 2
    assert (result.p, result.p_counter) == (3 / 8, 7 / 8)
    assert result.p_two_sided == 6 / 8
    # cluster means 1, 0.5, -0.5: mean 1/3, variance (0.444444 + 0.027778 + 0.694444) / 2 = 0.583333
    assert result.d_z == pytest.approx(0.436436, abs=1e-6)
    assert result.superiority == 0.75
    # residual totals 1, 0, -1: sqrt(3 / 2 * 2) / 4
    assert result.error == pytest.approx(0.433013, abs=1e-6)
    # Student quantiles with 2 degrees of freedom: 2.919986 (0.95) and 1.060660 (0.8)
    assert result.mde == pytest.approx(3.980646 * 0.433013, abs=1e-5)
    assert (result.low, result.high) == (-math.inf, math.inf)  # three clusters bear no interval
    assert (result.p_holm, result.significant) == (None, False)


def test_margin_by_hand() -> None:
    """With a margin the claim is that the difference exceeds it; what was observed stays as it is."""
    result = gain([1.0, 1.0, 0.5, -0.5], ["a", "a", "b", "c"], margin=0.5)
    # totals beyond the margin 2 - 2 * 0.5, 0.5 - 0.5, -0.5 - 0.5: sums 2, 0, 0, -2; observed 0
    assert (result.difference, result.margin, result.p, result.p_counter) == (0.5, 0.5, 3 / 4, 3 / 4)


@pytest.mark.parametrize(
    ("ours", "other", "superiority"),
    [([1, 1, 0, 0], [1, 0, 0, 0], 0.625), ([0, 0], [1, 1], 0.0), ([1, 0], [1, 0], 0.5), ([2, 2], [1, 0], 1.0)],
)
def test_superiority_by_hand(ours: list[float], other: list[float], superiority: float) -> None:
    """The share of cases in which the one is better counts ties half."""
    assert versus(ours, other).superiority == superiority


def test_equal_variants_claim_nothing() -> None:
    """Two variants that never differ have no evidence either way, no spread and no interval."""
    result = versus([1.0] * 20, [1.0] * 20)
    assert (result.difference, result.p, result.p_counter, result.d_z) == (0.0, 1.0, 1.0, None)
    assert (result.low, result.high) == (-math.inf, math.inf)
    bounded = versus([1.0] * 20, [1.0] * 20, scale=(0, 1))
    # 1 - 0.025 ** (1 / 20) = 0.168433: so many unseen clusters may differ, by 1 at the most
    assert (bounded.low, bounded.high) == pytest.approx((-0.168433, 0.168433), abs=1e-6)


def test_one_cluster_proves_nothing() -> None:
    """However often one problem is told, its sign is one toss of a coin."""
    result = gain([1.0] * 50, ["same"] * 50)
    assert (result.clusters, result.p, result.p_counter, result.d_z) == (1, 0.5, 1.0, None)
    assert math.isinf(result.mde) and math.isinf(result.error)


def test_paraphrases_add_nothing() -> None:
    """Problems told three times give the p, the interval, the effect and the power of problems told once."""
    differences = np.random.default_rng(3).normal(0.3, 1, size=25)
    once, thrice = gain(list(differences)), gain(list(np.repeat(differences, 3)), groups([3] * 25))
    for name in ("difference", "low", "high", "p", "p_counter", "d_z", "error", "mde", "superiority"):
        assert getattr(thrice, name) == pytest.approx(getattr(once, name), abs=1e-9), name
    naive = gain(list(np.repeat(differences, 3)))
    assert naive.p < 0.5 * once.p and naive.mde < 0.7 * once.mde


def enumerated(totals: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The sign-flip p-values from all patterns, written down as their definition."""
    signs = np.array(list(itertools.product((-1, 1), repeat=len(totals))))
    sums, observed = signs @ totals, totals.sum()
    return float((sums >= observed - 1e-9).mean()), float((sums <= observed + 1e-9).mean())


@pytest.mark.parametrize("m", [1, 2, 5, 10, 13])
def test_few_clusters_are_enumerated(m: int) -> None:
    """Up to 13 clusters the p-value is exact, whatever the seed; clusters without a difference do not count."""
    totals = np.random.default_rng(m).normal(0.4, 1, size=m)
    assert sign_flip(totals) == pytest.approx(enumerated(totals), abs=1e-12)
    assert sign_flip(np.concatenate([totals, np.zeros(20)]), seed=5) == sign_flip(totals)


def test_many_clusters_are_drawn() -> None:
    """Beyond, p is (b + 1) / (m + 1) over drawn patterns: near the exact value, and never 0."""
    totals = np.random.default_rng(2).normal(0.4, 1, size=17)
    for ours, exact in zip(sign_flip(totals), enumerated(totals), strict=True):
        assert ours == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9_999) + 1e-4)
    assert sign_flip(np.ones(60)) == (1 / 10_000, 1.0)
    assert sign_flip(np.ones(60), resamples=99)[0] == 1 / 100


def test_agrees_with_student_and_wilcoxon() -> None:
    """On normal cluster means p is near that of two other paired tests, and the interval is Student's."""
    rng = np.random.default_rng(11)
    levels = rng.normal(0, 5, size=60)  # how hard the complaint is: drops out of the pairs
    ours, other = levels + rng.normal(0.25, 1, size=60), levels + rng.normal(0, 1, size=60)
    result = versus(list(np.repeat(ours, 2)), list(np.repeat(other, 2)), groups([2] * 60))
    student = stats.ttest_rel(ours, other, alternative="greater")
    assert 0.005 < student.pvalue < 0.2
    assert result.p == pytest.approx(student.pvalue, abs=0.015)
    assert result.p == pytest.approx(stats.wilcoxon(ours, other, alternative="greater").pvalue, abs=0.05)
    between = stats.ttest_rel(ours, other).confidence_interval(0.95)
    width = between.high - between.low
    assert (result.low, result.high) == pytest.approx((between.low, between.high), abs=0.05 * width)
    assert result.d_z == pytest.approx(student.statistic / math.sqrt(60))


def test_error_agrees_with_statsmodels() -> None:
    """The standard error is the cluster-robust one of a regression on a constant, for clusters of any size."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 5, size=40)
    values = np.repeat(rng.normal(size=40), sizes) + rng.normal(size=sizes.sum())
    labels = np.repeat(np.arange(40), sizes)
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": labels})
    assert gain(list(values), groups(list(sizes))).error == pytest.approx(math.sqrt(fit.cov_params()[0, 0]))


@pytest.mark.parametrize("m", [8, 15, 30, 129])
def test_detectable_effect_agrees_with_statsmodels(m: int) -> None:
    """The formula with two Student quantiles differs by at most 1 % from the solution with the noncentral t."""
    for alpha in (0.05, 0.025):
        solved = TTestPower().solve_power(nobs=m, alpha=alpha, power=0.8, alternative="larger")
        assert minimum_detectable(1 / math.sqrt(m), m, alpha) == pytest.approx(solved, rel=0.01)


def rejections(effect: float, runs: int, ignore: bool = False, m: int = 30) -> float:
    """Share of simulated evaluations with p <= 0.05, the paraphrases of a problem agreeing with correlation 0.5."""
    rng = np.random.default_rng(6)
    sizes = np.resize([1, 2, 3, 4], m)
    names = None if ignore else groups(list(sizes))
    found = 0
    for _ in range(runs):
        differences = effect + np.repeat(rng.normal(size=m), sizes) + rng.normal(size=sizes.sum())
        found += gain(list(differences), names, resamples=99).p <= 0.05
    return found / runs


def test_luck_proves_a_claim_as_often_as_it_says() -> None:
    """Without an effect 5 % of one-sided tests reject (3 to 7 % of 400); ignoring the clusters far more would."""
    assert 0.03 <= rejections(0.0, 400) <= 0.07
    assert rejections(0.0, 100, ignore=True) > 0.1


def test_power_grows_with_the_effect() -> None:
    """A larger effect is found more often, and one in the wrong direction hardly ever."""
    powers = [rejections(effect, 60) for effect in (-0.4, 0.0, 0.4, 0.8)]
    assert powers == sorted(powers)
    assert powers[0] == 0 and powers[2] > 0.3 and powers[3] > 0.8


def test_the_detectable_effect_is_detected() -> None:
    """A true effect of the size that is called detectable is found in 80 % of evaluations."""
    rng, m, runs = np.random.default_rng(9), 25, 400
    effect = minimum_detectable(1 / math.sqrt(m), m)
    found = [sign_flip(rng.normal(effect, 1, size=m), resamples=199)[0] <= 0.05 for _ in range(runs)]
    assert sum(found) / runs == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs))


@STEADY
@given(CASES)
def test_swapping_the_variants_flips_the_result(cases: list[tuple[float, float, str]]) -> None:
    """What speaks for a claim speaks against its reverse, to the same extent."""
    ours, other, clusters = zip(*cases, strict=True)
    there, back = versus(ours, other, clusters, resamples=2_047), versus(other, ours, clusters, resamples=2_047)
    assert back.difference == -there.difference
    assert (back.p, back.p_counter) == (there.p_counter, there.p)  # eleven clusters at the most: exact
    assert back.superiority == pytest.approx(1 - there.superiority)
    assert (back.d_z or 0) == pytest.approx(-(there.d_z or 0))
    assert (back.error, back.mde) == pytest.approx((there.error, there.mde))
    if math.isfinite(there.low):
        slack = 0.15 * (there.high - there.low)  # the bootstrap draws others
        assert (-back.high, -back.low) == pytest.approx((there.low, there.high), abs=slack)
        assert there.low <= there.difference <= there.high


@STEADY
@given(CASES, EIGHTHS)
def test_what_both_variants_gain_changes_nothing(cases: list[tuple[float, float, str]], more: float) -> None:
    """Only differences count: easier complaints for both leave every figure as it is."""
    ours, other, clusters = zip(*cases, strict=True)
    plain = versus(ours, other, clusters, resamples=199)
    moved = versus([v + more for v in ours], [v + more for v in other], clusters, resamples=199)
    assert replace(moved, worst=()) == replace(plain, worst=())


@STEADY
@given(st.data(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 19)), min_size=1, max_size=40))
def test_order_and_names_do_not_matter(data: st.DataObject, cases: list[tuple[float, float, int]]) -> None:
    """Cases in another order and clusters of other names give the same result to the last digit, drawn or not."""
    order = data.draw(st.permutations(range(len(cases))))
    fresh = data.draw(st.permutations([f"problem {i}" for i in range(20)]))
    scores = {"rag": make("rag", [a for a, _, _ in cases]), "plain": make("plain", [b for _, b, _ in cases])}
    named, shuffled = (
        {
            variant: [replace(ones[i], cluster=names[cases[i][2]]) for i in places]
            for variant, ones, places in (("rag", scores["rag"], first), ("plain", scores["plain"], second))
        }
        for names, first, second in (
            ([f"c{i}" for i in range(20)], range(len(cases)), range(len(cases))),
            (fresh, order, order[::-1]),
        )
    )
    (before,), (after,) = (compare_variants(s, "facts", [("rag", "plain")], resamples=199) for s in (named, shuffled))
    assert replace(after, worst=()) == replace(before, worst=())
    assert [s.case for s in after.worst] == [s.case for s in before.worst]


def test_the_seed_replays_and_hardly_matters() -> None:
    """The same seed gives the same result, another one nearly the same."""
    differences = list(np.random.default_rng(1).normal(0.3, 1, size=40))
    first, again, other = gain(differences), gain(differences), gain(differences, seed=1)
    assert first == again != other
    assert (first.p, first.low, first.high) == pytest.approx((other.p, other.low, other.high), abs=0.03)


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and no later one below an earlier."""
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005], 4) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.01, 0.03], 5) == pytest.approx([0.05, 0.12])  # three others, of which nothing is known
    assert holm_adjusted([0.4, 0.9], 2) == pytest.approx([0.8, 0.9])
    assert holm_adjusted([], 3) == []
    with pytest.raises(ValueError, match="a family of 1 claims cannot have 2 p-values"):
        holm_adjusted([0.1, 0.2], 1)


def test_holm_agrees_with_statsmodels() -> None:
    """A second implementation says the same."""
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5, 0.03]
    wanted = multipletests([*p_values, 1.0, 1.0], method="holm")[1][:6]
    assert holm_adjusted(p_values, 8) == pytest.approx(list(wanted))


@STEADY
@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values: list[float]) -> None:
    """From first principles: a claim falls only if every group of claims that holds it falls by Bonferroni."""
    members = range(len(p_values))
    subsets = [s for size in members for s in itertools.combinations(members, size + 1)]
    closed = [max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in subsets if one in s) for one in members]
    assert holm_adjusted(p_values, len(p_values)) == pytest.approx(closed, abs=1e-12)


@STEADY
@given(P_VALUES, st.lists(st.floats(0, 1), max_size=4))
def test_holm_never_helps(p_values: list[float], unknown: list[float]) -> None:
    """Adjusted values keep the order, are never below the raw ones, and never lower for lack of the others."""
    size = len(p_values) + len(unknown)
    adjusted, informed = holm_adjusted(p_values, size), holm_adjusted([*p_values, *unknown], size)
    for one, raw, full in zip(adjusted, p_values, informed, strict=False):
        assert raw <= one <= 1 and full <= one + 1e-12
    assert [adjusted[i] for i in np.argsort(p_values, kind="stable")] == sorted(adjusted)


def test_holm_fills_in_the_family() -> None:
    """Claims and counter-claims are corrected each among themselves; only a corrected claim is significant."""
    strong, weak = gain([1.0] * 9 + [-1.0]), gain([1.0] * 6 + [-1.0])
    assert (strong.p, weak.p) == (11 / 1024, 8 / 128)
    alone, (first, second), (third,) = holm([strong])[0], holm([weak, strong]), holm([strong], family=5)
    assert [r.p_holm for r in (alone, first, second, third)] == pytest.approx(
        [11 / 1024, 8 / 128, 22 / 1024, 55 / 1024]
    )
    assert [r.significant for r in (alone, first, second, third)] == [True, False, True, False]
    assert [r.family for r in (alone, first, second, third)] == [1, 2, 2, 5]
    assert first.p_counter_holm == 1.0
    assert holm([]) == []


Change = Callable[[list[Score], list[Score]], tuple[list[Score], list[Score]]]
BAD: dict[str, tuple[Change, str]] = {
    "missing here": (lambda a, b: (a[:3], b), "rag: cases are missing: t-003"),
    "missing there": (lambda a, b: (a, b[1:]), "plain: cases are missing: t-000"),
    "no value": (lambda a, b: (a, [*b[:3], replace(b[3], value=None)]), "1 of 4 cases are unscored: t-003 (no value)"),
    "nan": (lambda a, b: ([replace(a[0], value=math.nan), *a[1:]], b), "rag: 1 of 4 cases are unscored: t-000 (value"),
    "error": (lambda a, b: (a, [replace(b[0], error="time-out"), *b[1:]]), "plain: 1 of 4 cases are unscored: t-000"),
    "twice": (lambda a, b: ([*a, a[2]], b), "rag: cases are scored more than once: t-002"),
    "nothing here": (lambda a, b: ([], b), "rag: no case was scored; rag: cases are missing: t-000, t-001, t-002, t-0"),
    "nothing at all": (lambda a, b: ([], []), "rag: no case was scored; plain: no case was scored"),
    "other cluster": (lambda a, b: (a, [replace(b[0], cluster="x"), *b[1:]]), "cases are in several clusters: t-000"),
    "other ruler": (lambda a, b: (a, [replace(s, signature="v2") for s in b]), "several rulers: no signature, v2"),
    "other metric": (lambda a, b: (a, [replace(s, metric="bleu") for s in b]), "scores are not of facts: bleu"),
    "other variant": (lambda a, b: (a, [replace(b[0], variant="rag"), *b[1:]]), "scores are of another variant: rag"),
}


@pytest.mark.parametrize("fault", BAD)
def test_unpaired_cases_are_named(fault: str) -> None:
    """A case that was not scored in both is never dropped: no result, and an error that names it."""
    change, told = BAD[fault]
    ours, other = change(make("rag", [1.0, 1.0, 0.0, 1.0]), make("plain", [0.0, 1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="rag cannot be compared with plain: ") as caught:
        compare_variants({"rag": ours, "plain": other}, "facts", [("rag", "plain")])
    assert told in str(caught.value)


def test_expected_cases_and_scale() -> None:
    """A case that neither variant was scored on is missed, too; so is a score that its scale does not have."""
    with pytest.raises(ValueError, match=r"rag: cases are missing: t-002; plain: cases are missing: t-002"):
        gain([1.0, 0.0], expected=["t-000", "t-001", "t-002"])
    with pytest.raises(ValueError, match="rag: cases are not among the expected: t-001"):
        gain([1.0, 0.0], expected=["t-000"])
    with pytest.raises(ValueError, match=r"t-001 \(value 6 is outside the scale 1 to 5\)"):
        versus([5.0, 6.0], [1.0, 1.0], scale=(1, 5))
    with pytest.raises(ValueError, match="a variant cannot beat itself: rag"):
        compare_variants({"rag": make("rag", [1.0])}, "facts", [("rag", "rag")])
    with pytest.raises(ValueError, match="plain: no case was scored"):
        compare_variants({"rag": make("rag", [1.0])}, "facts", [("rag", "plain")])


def test_every_pair_has_its_result() -> None:
    """Pairs are answered in their order, and p-values are left for the caller's family."""
    scores = {name: make(name, [float(i % k == 0) for i in range(12)]) for k, name in ((1, "a"), (2, "b"), (3, "c"))}
    results = compare_variants(scores, "facts", [("a", "b"), ("c", "a")])
    assert [(r.better, r.worse, r.difference) for r in results] == [("a", "b", 0.5), ("c", "a", pytest.approx(-2 / 3))]
    assert all(r.p_holm is None for r in results)


def test_the_largest_losses_are_shown() -> None:
    """The three cases that speak most against the claim come first, ties by id, with both scores and reasons."""
    ours, other = make("rag", [5.0, 1.0, 3.0, 2.0, 4.0, 2.0]), make("plain", [1.0, 5.0, 4.0, 4.0, 4.0, 4.0])
    ours[1], other[1] = replace(ours[1], explanation="wrong article"), replace(other[1], explanation="right")
    (result,) = compare_variants({"rag": ours, "plain": other}, "facts", [("rag", "plain")])
    assert [(s.case, s.value, s.variant) for s in result.worst] == [
        ("t-001", -4.0, "rag > plain"),
        ("t-003", -2.0, "rag > plain"),
        ("t-005", -2.0, "rag > plain"),
    ]
    assert result.worst[0].explanation == "1 of rag (wrong article) against 5 of plain (right)"
    assert gain([1.0, 0.0]).worst == ()
