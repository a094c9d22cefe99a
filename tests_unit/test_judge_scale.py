"""The fit of a scale: it finds weights that are known, never a negative one, and the least of the stated loss."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.evaluation.local_judge import on_scale
from system.training.judge_scale import RIDGE, fit_scale

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


def loss(rows: list[dict[str, float]], grades: list[float], scale: dict[str, float], ridge: float) -> float:
    """Squared errors, and the penalty on weights in units of the signals' spread; written out again."""
    error = sum((on_scale(row, scale) - grade) ** 2 for row, grade in zip(rows, grades, strict=True))
    for name in NAMES:
        values = [row[name] for row in rows]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        error += ridge * scale.get(name, 0.0) ** 2 * variance
    return error


@pytest.mark.parametrize("ridge", [RIDGE, 30.0])
def test_least_loss(ridge: float) -> None:
    """No scale nearby has a smaller loss than the one that was found, among those without a negative weight."""
    draw = random.Random(3)
    rows = signals(80)
    grades = [on_scale(row, {"bias": 0.2, "a": 0.9, "c": 0.2}) + draw.gauss(0, 0.6) for row in rows]
    found = {**dict.fromkeys(NAMES, 0.0), **fit_scale(rows, grades, NAMES, ridge)}
    least = loss(rows, grades, found, ridge)
    for name in found:
        for step in (-0.02, 0.02):
            other = {**found, name: found[name] + step}
            if name == "bias" or other[name] >= 0:
                assert loss(rows, grades, other, ridge) > least - 1e-6, name


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
