"""Fits the judge's scale: from its signals to grades from 1 to 5, monotone, on the fit half of the calibration pairs.

    grade = 1 + 4 * sigmoid(bias + sum of weight * signal), weights >= 0

Least squares with a small ridge penalty on standardised signals; bounded by scipy (L-BFGS-B). Knows numbers only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from system.evaluation.judge import HIGHEST, LOWEST

RIDGE = 0.3  # in units of squared grades per squared weight of a standardised signal; 130 pairs, up to ten weights


def fit_scale(
    signals: Sequence[dict[str, float]], grades: Sequence[float], names: Sequence[str], ridge: float = RIDGE
) -> dict[str, float]:
    """The bias and the weights of the named signals, in the signals' own units."""
    from scipy.optimize import minimize
    from scipy.special import expit

    x = np.array([[row[name] for name in names] for row in signals])
    y = np.asarray(grades, dtype=float)
    centre, spread = x.mean(0), np.where(x.std(0) > 1e-9, x.std(0), 1.0)
    z = (x - centre) / spread

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        bias, weights = parameters[0], parameters[1:]
        share = expit(bias + z @ weights)
        error = LOWEST + (HIGHEST - LOWEST) * share - y
        slope = 2 * error * (HIGHEST - LOWEST) * share * (1 - share)
        gradient = np.concatenate([[slope.sum()], z.T @ slope + 2 * ridge * weights])
        return float((error**2).sum() + ridge * (weights**2).sum()), gradient

    start = np.concatenate([[0.0], np.full(len(names), 0.3)])
    bounds = [(None, None), *[(0.0, None)] * len(names)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = found[1:] / spread
    scale = {name: round(float(weight), 6) for name, weight in zip(names, weights, strict=True) if weight > 1e-6}
    return {"bias": round(float(found[0] - (found[1:] / spread) @ centre), 6), **scale}
