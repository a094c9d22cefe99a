"""Agreement of a judge with people: numbers worked out by hand, and by scipy and scikit-learn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from system.evaluation import agreement
from system.evaluation.agreement import (
    RESAMPLES,
    Measured,
    macro_f1,
    mean,
    pair_accuracy,
    pairs_within,
    spearman,
    weighted_kappa,
)

Statistic = Callable[[Sequence[float], Sequence[float], Sequence[str]], Measured]


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Fewer draws: a value needs none, and scikit-learn takes a millisecond for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "RESAMPLES", 50)
        yield


@pytest.fixture(name="all_draws")
def _all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many draws as the passport's, where the interval is the subject."""
    monkeypatch.setattr(agreement, "RESAMPLES", RESAMPLES)


def alone(count: int) -> list[str]:
    """A cluster for each case."""
    return [str(n) for n in range(count)]


def test_spearman_by_hand() -> None:
    """Ranks 1 2 3 4 5 against 2 1 4 3 5: squared differences 1 1 1 1 0, so 1 - 6 * 4 / (5 * 24) = 0.8."""
    assert spearman([1.1, 2.0, 2.5, 4.0, 5.0], [2, 1, 4, 3, 5], alone(5))["value"] == 0.8
    assert spearman([1, 2, 3], [10, 20, 90], alone(3))["value"] == 1.0
    assert spearman([1, 2, 3], [3, 2, 1], alone(3))["value"] == -1.0


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=4, max_size=40))
@settings(derandomize=True, database=None, deadline=None, max_examples=15)
def test_spearman_of_scipy(pairs: list[tuple[int, int]]) -> None:
    """With ties, of which grades are full, the value is scipy's; without any difference there is none."""
    judged, graded = zip(*pairs, strict=True)
    found = spearman(judged, graded, alone(len(pairs)))["value"]
    if len(set(judged)) == 1 or len(set(graded)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(judged, graded).statistic, abs=1e-4)


def test_kappa_by_hand() -> None:
    """Grades 1 2 3 4 against 1 2 4 4: squared distances are 1 in sum.

    By chance, over all 16 combinations: 0 1 9 9 + 1 0 4 4 + 4 1 1 1 + 9 4 0 0 = 48, a quarter of which, for four
    cases, is 12. Kappa is 1 - 1 / 12.
    """
    assert weighted_kappa([1, 2, 3, 4], [1, 2, 4, 4], alone(4))["value"] == round(1 - 1 / 12, 4)


def kappa_again(judged: Sequence[float], graded: Sequence[float]) -> float:
    """Quadratic kappa without a table: the mean squared distance of cases over that of all combinations."""
    a, b = (np.array([min(5, max(1, math.floor(x + 0.5))) for x in numbers]) for numbers in (judged, graded))
    return float(1 - ((a - b) ** 2).mean() / ((a[:, None] - b[None, :]) ** 2).mean())


def test_kappa_of_grades_with_fractions() -> None:
    """Halves are rounded up, at even grades too, and what lies beyond the scale counts as its end."""
    draw = random.Random(4)
    judged = [draw.uniform(0.2, 5.8) for _ in range(60)] + [1.5, 2.5, 3.5, 4.5]
    graded = [draw.choice([1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]) for _ in range(64)]
    assert weighted_kappa(judged, graded, alone(64))["value"] == pytest.approx(kappa_again(judged, graded), abs=1e-4)
    assert weighted_kappa([1.5, 2.5, 3.5, 4.5], [2, 3, 4, 5], alone(4))["value"] == 1.0


def test_kappa_sees_a_shift() -> None:
    """A judge that ranks perfectly but one grade too high does not agree perfectly."""
    graded = [1, 2, 3, 4] * 3
    shifted = [grade + 1 for grade in graded]
    assert spearman(shifted, graded, alone(12))["value"] == 1.0
    assert weighted_kappa(shifted, graded, alone(12))["value"] == pytest.approx(kappa_again(shifted, graded), abs=1e-4)
    assert weighted_kappa(shifted, graded, alone(12))["value"] < 0.8


@pytest.mark.parametrize("statistic", [spearman, weighted_kappa])
def test_a_judge_that_never_changes(statistic: Statistic) -> None:
    """One grade for everything is never rewarded, and where nothing is defined nothing is said, not even a warning."""
    found = statistic([3.0] * 6, [1, 2, 3, 3, 4, 5], alone(6))
    assert not found["value"] > 0
    found = statistic([3.0] * 6, [3.0] * 6, alone(6))
    assert math.isnan(found["value"]) and math.isnan(found["low"]) and math.isnan(found["high"])


def test_macro_f1_by_hand() -> None:
    """Labels 0 0 0 1 2, said 0 0 1 1 1: F1 is 2*2/(2+3) = 0.8, 2*1/(3+1) = 0.5 and 0; the mean is 1.3 / 3."""
    found = macro_f1([0, 0, 1, 1, 1], [0, 0, 0, 1, 2], alone(5))
    assert found["value"] == round(1.3 / 3, 4)
    assert macro_f1([0, 1, 2], [0, 1, 2], alone(3))["value"] == 1.0


def test_macro_f1_is_not_accuracy() -> None:
    """Nine in ten right by saying the common class: the rare class weighs as much, so 18/19 and 0 make 0.4737."""
    assert macro_f1([0] * 10, [0] * 9 + [1], alone(10))["value"] == round(18 / 19 / 2, 4)


def test_pair_accuracy_by_hand() -> None:
    """Two right, one tie, one wrong: 2.5 of 4; a judge that gives all the same grade gets half, not all or nothing."""
    assert pair_accuracy([0.1, 3.0, 0.0, -0.2], alone(4))["value"] == 0.625
    assert pair_accuracy([0.0] * 7, alone(7)) == Measured(value=0.5, low=0.5, high=0.5, n=7)


def test_pairs_within() -> None:
    """Only replies to one message are compared, only where their grades differ, the better one first."""
    assert pairs_within([3, 1, 3, 5], ["a", "a", "b", "b"]) == [(0, 1), (3, 2)]
    assert pairs_within([2, 2, 1], ["a", "a", "a"]) == [(0, 2), (1, 2)]
    assert pairs_within([1, 2], ["a", "b"]) == []


def test_mean_by_hand() -> None:
    """The mean, its number of cases, and an interval around it."""
    found = mean([1, 2, 6], alone(3))
    assert found["value"] == 3.0 and found["n"] == 3
    assert 1 <= found["low"] <= 3 <= found["high"] <= 6


@pytest.mark.usefixtures("all_draws")
def test_interval_of_independent_cases() -> None:
    """The interval of a share over n cases of their own is the binomial one: 0.5 +- 1.96 * sqrt(0.25 / 400)."""
    found = mean([0.0, 1.0] * 200, alone(400))
    assert found["low"] == pytest.approx(0.451, abs=0.005)
    assert found["high"] == pytest.approx(0.549, abs=0.005)


@pytest.mark.usefixtures("all_draws")
def test_interval_of_clusters() -> None:
    """Forty clusters of ten equal cases are forty cases, not four hundred: the interval is as wide as theirs."""
    values = [float(n % 2) for n in range(40) for _ in range(10)]
    clusters = [str(n) for n in range(40) for _ in range(10)]
    found = mean(values, clusters)
    assert found["low"] == pytest.approx(0.5 - 1.96 * math.sqrt(0.25 / 40), abs=0.02)
    assert found["high"] == pytest.approx(0.5 + 1.96 * math.sqrt(0.25 / 40), abs=0.02)


@pytest.mark.usefixtures("all_draws")
def test_interval_of_one_cluster() -> None:
    """One cluster can only be drawn whole: the interval has no width, whatever it holds."""
    assert mean([1.0, 2.0, 6.0], ["a"] * 3) == Measured(value=3.0, low=3.0, high=3.0, n=3)


def test_intervals_are_repeatable() -> None:
    """Two measurements of the same grades are equal, whatever random numbers were drawn in between."""
    values = [random.Random(n).random() for n in range(30)]
    first = mean(values, alone(30))
    np.random.default_rng().random(100)
    assert mean(values, alone(30)) == first


def test_order_does_not_matter() -> None:
    """The value is that of the cases, not of their order; judge and people keep their pairing."""
    judged, graded = [1, 2, 3, 4, 5, 2], [1, 3, 2, 5, 5, 1]
    order = [3, 1, 5, 0, 4, 2]
    turned = [judged[n] for n in order], [graded[n] for n in order]
    for statistic in (spearman, weighted_kappa):
        assert statistic(*turned, alone(6))["value"] == statistic(judged, graded, alone(6))["value"]


@pytest.mark.parametrize(
    ("judged", "graded", "clusters", "word"),
    [
        ([1, 2], [1], ["a", "b"], "equally many"),
        ([1, 2], [1, 2], ["a"], "equally many"),
        ([], [], [], "not 0"),
        ([1, math.nan], [1, 2], ["a", "b"], "finite"),
        ([1, 2], [1, math.inf], ["a", "b"], "finite"),
    ],
)
def test_bad_numbers(judged: list[float], graded: list[float], clusters: list[str], word: str) -> None:
    """Ungraded, missing or surplus cases are refused, not averaged over."""
    with pytest.raises(ValueError, match=word):
        spearman(judged, graded, clusters)
    with pytest.raises(ValueError, match=r"equally many|finite"):
        weighted_kappa(judged, graded, clusters)
