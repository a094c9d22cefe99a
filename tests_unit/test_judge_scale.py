"""The fit of a scale: it finds weights that are known, never a negative one, and the least of the stated loss."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.evaluation.local_judge import on_scale
from system.training.judge_scale import RIDGE, STRETCH, equate, fit_scale, least_squares

NAMES = ("a", "b", "c")


def signals(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Three signals that are independent, of unlike spread and centre."""
    draw = random.Random(seed)
    return [{"a": draw.gauss(0, 1), "b": draw.gauss(5, 0.1), "c": draw.gauss(-2, 3)} for _ in range(count)]


def test_known_weights() -> None:
    """Grades made by a scale, in the signals' own units, give that scale back, and unseen rows their grades."""
    known = {"bias": -1.0, "a": 0.8, "b": 0.4, "c": 0.3}
    rows = signals(400)
    found = fit_scale(rows, [on_scale(row, known) for row in rows], NAMES, ridge=0)
    assert found == pytest.approx(known, abs=0.01)
    with_ridge = fit_scale(rows, [on_scale(row, known) for row in rows], NAMES)
    for row in signals(50, seed=1):
        assert on_scale(row, with_ridge) == pytest.approx(on_scale(row, known), abs=0.05)


def test_no_negative_weight() -> None:
    """A signal that goes the wrong way is not turned around but left out: more of it must never cost a grade."""
    rows = signals(200)
    grades = [on_scale(row, {"bias": 0.0, "a": 0.8}) - 0.5 * math.tanh(row["c"] / 3) for row in rows]
    found = fit_scale(rows, grades, NAMES)
    assert "c" not in found
    assert found["a"] > 0


@given(st.integers(0, 10_000), st.integers(8, 60))
@settings(derandomize=True, database=None, deadline=None, max_examples=25)
def test_monotone(seed: int, count: int) -> None:
    """Whatever the grades: all weights are finite and above 0, and a grade never falls when a signal rises."""
    draw = random.Random(seed)
    rows = signals(count, seed)
    found = fit_scale(rows, [draw.choice([1, 1.5, 2, 3, 4, 4.5, 5]) for _ in rows], NAMES)
    assert set(found) <= {"bias", *NAMES} and "bias" in found
    assert all(math.isfinite(value) for value in found.values())
    assert all(weight > 0 for name, weight in found.items() if name != "bias")
    for name in NAMES:
        values = [on_scale({**rows[0], name: rows[0][name] + step}, found) for step in (-3.0, 0.0, 3.0)]
        assert values == sorted(values)


def loss(z: np.ndarray, grades: np.ndarray, bias: float, weights: np.ndarray, ridge: float) -> float:
    """Squared errors, and the penalty on weights of standardised signals; written out again."""
    said = 1 + 4 / (1 + np.exp(-(bias + z @ weights)))
    return float(((said - grades) ** 2).sum() + ridge * (weights**2).sum())


@pytest.mark.parametrize("ridge", [RIDGE, 30.0])
def test_least_loss(ridge: float) -> None:
    """No weights nearby have a smaller loss than those that were found, among those without a negative one."""
    draw = np.random.default_rng(3)
    z = draw.normal(size=(80, 3))
    grades = 1 + 4 / (1 + np.exp(-(0.2 + z @ [0.9, -0.4, 0.6]))) + draw.normal(0, 0.6, 80)
    bias, weights = least_squares(z, grades, ridge)
    least = loss(z, grades, bias, weights, ridge)
    assert weights[1] == 0
    for step in (-0.02, 0.02):
        assert loss(z, grades, bias + step, weights, ridge) > least - 1e-6
        for n in range(3):
            other = weights + step * np.eye(3)[n]
            if other[n] >= 0:
                assert loss(z, grades, bias, other, ridge) > least - 1e-6, n


def test_grades_spread_as_peoples() -> None:
    """What least squares drew to the middle is stretched: mean and standard deviation of people, the same order."""
    draw = random.Random(5)
    rows = signals(300)
    truth = [on_scale(row, {"bias": 0.3, "a": 2.0}) for row in rows]
    noisy = [{"a": row["a"] + draw.gauss(0, 1)} for row in rows]
    said = np.array([on_scale(row, fit_scale(noisy, truth, ["a"])) for row in noisy])
    assert said.mean() == pytest.approx(np.mean(truth), abs=1e-3)
    assert said.std() == pytest.approx(np.std(truth), abs=1e-3)
    z = np.array([[row["a"]] for row in noisy]) / np.std([row["a"] for row in noisy])
    bias, weights = least_squares(z, np.array(truth), RIDGE)
    drawn = 1 + 4 / (1 + np.exp(-(bias + z @ weights)))
    assert drawn.std() < 0.9 * np.std(truth)
    assert np.argsort(said).tolist() == np.argsort(drawn).tolist()


def test_how_far_grades_are_stretched() -> None:
    """Sums that say almost nothing are stretched STRETCH times and no further; sums that fit are left alone."""
    draw = np.random.default_rng(2)
    grades = draw.choice([1.0, 5.0], 200)
    assert equate(0.0, 0.01 * draw.normal(size=200), grades)[1] == pytest.approx(STRETCH, rel=1e-3)
    sums = draw.normal(size=200)
    bias, stretch = equate(0.5, sums, 1 + 4 / (1 + np.exp(-(0.5 + sums))))
    assert (bias, stretch) == pytest.approx((0.5, 1.0), abs=1e-3)
    assert equate(0.5, np.zeros(9), grades[:9]) == (0.5, 1.0)
    assert equate(0.5, sums[:9], np.full(9, 4.0)) == (0.5, 1.0)


def test_ridge_shrinks() -> None:
    """A heavier penalty makes smaller weights; without signal there is only the bias of the mean grade."""
    rows = signals(100)
    grades = [on_scale(row, {"bias": 0.0, "a": 1.0}) for row in rows]
    weights = [fit_scale(rows, grades, ["a"], ridge)["a"] for ridge in (0.0, 10.0, 1000.0)]
    assert weights[0] > weights[1] > weights[2] > 0
    still = [{"a": 7.0}] * 10
    found = fit_scale(still, [4.0] * 10, ["a"])
    assert on_scale(still[0], found) == pytest.approx(4.0, abs=0.01)


def test_grades_at_the_ends() -> None:
    """Grades of 1 and 5 alone, which no finite sum reaches, still give finite weights and the right order."""
    rows = [{"a": -1.0}] * 20 + [{"a": 1.0}] * 20
    found = fit_scale(rows, [1.0] * 20 + [5.0] * 20, ["a"])
    assert all(math.isfinite(value) for value in found.values())
    assert on_scale({"a": -1.0}, found) < 1.5 and on_scale({"a": 1.0}, found) > 4.5
