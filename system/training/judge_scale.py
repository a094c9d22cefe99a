"""Fits the judge's scale: from its signals to grades from 1 to 5, monotone, on the fit half of the calibration pairs.

    grade = 1 + 4 * sigmoid(bias + sum of weight * signal), weights >= 0

Least squares says how much each signal weighs. It also draws every grade to the middle, and the mean of many good
answers with it: it foretells the grade of one answer, and a gate reads the mean of many. So the sum is then stretched
until the grades spread as people's do. The order of answers does not change. Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from system.evaluation.judge import HIGHEST, LOWEST

RIDGE = 0.3  # in units of squared grades per squared weight of a standardised signal; 130 pairs, up to ten weights
# Least squares shrinks by about the correlation r, so the stretch is about 1 / r. Signals below an r of 0.25 say too
# little for their noise to be spread over the whole scale.
STRETCH = 4.0


def fit_scale(
    signals: Sequence[dict[str, float]], grades: Sequence[float], names: Sequence[str], ridge: float = RIDGE
) -> dict[str, float]:
    """The bias and the weights of the named signals, in the signals' own units; weights of 0 are left out."""
    x = np.array([[row[name] for name in names] for row in signals])
    y = np.asarray(grades, dtype=float)
    centre, spread = x.mean(0), np.where(x.std(0) > 1e-9, x.std(0), 1.0)
    z = (x - centre) / spread
    bias, weights = least_squares(z, y, ridge)
    bias, stretch = equate(bias, z @ weights, y)
    weights = stretch * weights / spread
    scale = {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True) if weight > 1e-6}
    return {"bias": round(float(bias - weights @ centre), 6), **scale}


def least_squares(z: np.ndarray, y: np.ndarray, ridge: float) -> tuple[float, np.ndarray]:
    """Bias and weights, each at or above 0, of standardised signals, shape (n, signals), for grades, shape (n,).

    A ridge penalty on the weights; bounded by scipy's L-BFGS-B.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        bias, weights = parameters[0], parameters[1:]
        share = expit(bias + z @ weights)
        error = LOWEST + (HIGHEST - LOWEST) * share - y
        slope = 2 * error * (HIGHEST - LOWEST) * share * (1 - share)
        gradient = np.concatenate([[slope.sum()], z.T @ slope + 2 * ridge * weights])
        return float((error**2).sum() + ridge * (weights**2).sum()), gradient

    start = np.concatenate([[0.0], np.full(z.shape[1], 0.3)])
    bounds = [(None, None), *[(0.0, None)] * z.shape[1]]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(found[0]), found[1:]


def equate(bias: float, sums: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Bias and stretch of the sums, from 1 to STRETCH, at which grades have the mean and standard deviation of ``y``.

    Linear equating (Kolen and Brennan, Test Equating, Scaling, and Linking, chapter 2), within the sigmoid. Sums or
    grades that are all alike stay as they are: nothing tells how far apart they belong.
    """
    from scipy.optimize import least_squares as solve
    from scipy.special import expit

    if np.ptp(sums) < 1e-9 or np.ptp(y) < 1e-9:
        return bias, 1.0

    def apart(parameters: np.ndarray) -> list[float]:
        grades = LOWEST + (HIGHEST - LOWEST) * expit(parameters[0] + np.exp(parameters[1]) * sums)
        return [grades.mean() - y.mean(), grades.std() - y.std()]

    bounds = ([-np.inf, 0.0], [np.inf, np.log(STRETCH)])
    bias, log_stretch = solve(apart, [bias, np.log(1.5)], bounds=bounds).x
    return float(bias), float(np.exp(log_stretch))
