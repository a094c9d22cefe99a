"""Fit the decision stage's numbers on the dev complaints: ``python -m system calibrate``.

The test complaints are never read. What is reported here is cross-validated with whole clusters held out, so that a
paraphrase never vouches for itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from system.decision import FEATURES, Calibration, Measure, Signals, decide
from system.errors import SettingsError
from system.records import Complaint

THRESHOLD = 0.5  # the two ways to be wrong are held to be equally bad, as in the accuracy gate
FOLDS = 5


def fit(complaints: Sequence[Complaint], measure: Measure, embedder_sha256: str) -> Calibration:
    """Fit on labelled dev complaints. Raises SettingsError if any of them is not from the dev split or unlabelled."""
    strays = [c.id for c in complaints if c.split != "dev" or c.action is None]
    if strays:
        raise SettingsError(f"calibration may see labelled dev complaints only, not {', '.join(strays[:5])}")
    signals = measure.signals([c.text for c in complaints])
    digest = hashlib.sha256(msgspec.json.encode(sorted((c.id, c.text, c.action) for c in complaints))).hexdigest()
    provenance = (measure.rules.sha256, embedder_sha256, digest)
    calibration = _fit(complaints, signals, provenance)
    return replace(calibration, measured=_cross_validate(complaints, signals, measure, provenance))


def save(calibration: Calibration, path: Path) -> None:
    """Write the fitted numbers as indented JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=2) + b"\n")


def _fit(complaints: Sequence[Complaint], signals: Sequence[Signals], provenance: tuple[str, str, str]) -> Calibration:
    """The evidence model from the rows a model may answer; the two margins from all rows."""
    answered = [(s, c.action == "RAG") for s, c in zip(signals, complaints, strict=True) if c.action != "ESCALATE"]
    weights, bias = _logistic([[getattr(s, name) for name in FEATURES] for s, _ in answered], [y for _, y in answered])
    return Calibration(
        weights=(weights[0], weights[1]),
        bias=bias,
        threshold=THRESHOLD,
        escalate_margin=_boundary([s.escalate for s in signals], [c.action == "ESCALATE" for c in complaints]),
        manipulation_margin=_boundary([s.manipulation for s in signals], [_is_attack(c) for c in complaints]),
        settings_sha256=provenance[0],
        embedder_sha256=provenance[1],
        complaints_sha256=provenance[2],
        measured={},
    )


def _is_attack(complaint: Complaint) -> bool:
    """Whether a dev row is one of the manipulation attempts; their clusters say so."""
    return "manipulation" in complaint.cluster


def _logistic(rows: list[list[float]], labels: list[bool]) -> tuple[list[float], float]:
    """Weights and bias of an L2-regularised logistic model, in the features' own units."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    model = LogisticRegression(C=1.0).fit(scaler.fit_transform(np.array(rows)), np.array(labels))
    weights = model.coef_[0] / scaler.scale_
    return [float(w) for w in weights], float(model.intercept_[0] - weights @ scaler.mean_)


def _boundary(margins: list[float], labels: list[bool]) -> float:
    """The margin at which a one-feature logistic model gives THRESHOLD."""
    (weight,), bias = _logistic([[m] for m in margins], labels)
    return (math.log(THRESHOLD / (1 - THRESHOLD)) - bias) / weight


def _cross_validate(
    complaints: Sequence[Complaint], signals: Sequence[Signals], measure: Measure, provenance: tuple[str, str, str]
) -> dict[str, float]:
    """Accuracy of the three-way action and of RAG against DIRECT, every cluster decided by a fit without it."""
    from sklearn.model_selection import GroupKFold

    right: list[bool] = []
    groups = [c.cluster for c in complaints]
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=0).split(complaints, groups=groups):
        fitted = _fit([complaints[n] for n in train], [signals[n] for n in train], provenance)
        right += [decide(signals[n], fitted, measure.rules).action == complaints[n].action for n in test]
    return {"accuracy": float(np.mean(right)), "n": float(len(right)), "folds": float(FOLDS)}
