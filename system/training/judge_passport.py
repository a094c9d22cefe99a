"""Examines a judge and writes its passport: measured agreement with people, planted defects, length, flattery.

    examine(judge, labels, calibration)   labels: the held-out part of the human labels

Nothing here was learned from: the rows are those of the part "judge-heldout", the held-out half of the calibration
pairs, and defects planted by other code and phrases than the training's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from system.errors import ModelError
from system.evaluation import agreement
from system.evaluation.agreement import Measured
from system.evaluation.defects import Base, Planted, flatter, plant_all, read_bases
from system.evaluation.judge import AXES, EMPATHY, LOWEST, Pair
from system.training.judge_data import Calibrated, HumanLabels, Preference, swapped_requests

Grades = list[dict[str, float]]
SEED = 0
MOVED = 0.1  # a change of grade that counts as one; the scale has 1 to 5


class Examined:
    """A judge that remembers what it has graded, so that a text which stands in several exams is read once."""

    def __init__(self, judge: Any):
        self._judge = judge
        self._known: dict[Pair, dict[str, float]] = {}

    def __call__(self, pairs: Sequence[Pair]) -> Grades:
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        for pair, grade in zip(new, self._judge.grade(new), strict=True):
            if grade.error and not grade.error.startswith("EmptyAnswer"):
                raise ModelError(f"the judge did not grade {pair.response[:60]!r}: {grade.error}; examine it again")
            # The public sets hold a few replies without a word; no gate grades one, and in a pair it is the worse.
            self._known[pair] = grade.values or dict.fromkeys(AXES, LOWEST)
        return [self._known[pair] for pair in pairs]


def examine(judge: Any, labels: HumanLabels, calibration: Sequence[Calibrated]) -> dict[str, Any]:
    """All figures of the passport, by exam."""
    grade = Examined(judge)
    bases = read_bases()
    planted = plant_all(bases, SEED)
    return {
        "human labels": human_labels(judge, grade, labels),
        "calibration, held-out half": calibrated(grade, [row for row in calibration if row.half == "held-out"]),
        "planted defects": defects(grade, planted),
        "length": length([row for row in calibration if row.half == "held-out"], grade),
        "flattery": {
            "good replies": flattery(grade, bases),
            "bad replies": flattery(
                grade,
                [Base(p.id, p.complaint, p.bad) for p in planted[:: len(planted) // 100]],
                {p.id: _base_id(p) for p in planted},
            ),
        },
    }


def human_labels(judge: Any, grade: Callable[[Sequence[Pair]], Grades], labels: HumanLabels) -> dict[str, Measured]:
    """Agreement with the held-out public labels, per axis that they speak of."""
    replies = [Pair(*row.text) for row in labels.epitome]
    posts = [pair.complaint for pair in replies]
    empathy = [one["empathy"] for one in grade(replies)]
    totals = [float(sum(row.levels)) for row in labels.epitome]
    measured = {
        "safety: HH harmless, pair accuracy": _preferences(grade, labels.harmless, "safety"),
        "helpfulness: PandaLM, pair accuracy": _preferences(grade, labels.preferred, "helpfulness"),
        "helpfulness: Bitext, own reply against another's, pair accuracy": _preferences(
            grade, swapped_requests(labels.requests, SEED), "helpfulness"
        ),
        "empathy: EPITOME, Spearman with the sum of levels": agreement.spearman(empathy, totals, posts),
    }
    # The levels of the mechanisms are the local judge's own; a remote judge gives grades only.
    said = judge.levels(replies) if hasattr(judge, "levels") else []
    for position, name in enumerate(EMPATHY if said else ()):
        truth = [row.levels[position] for row in labels.epitome]
        measured[f"empathy: EPITOME {name}, macro-F1"] = agreement.macro_f1([one[name] for one in said], truth, posts)
        right = [float(one[name] == level) for one, level in zip(said, truth, strict=True)]
        measured[f"empathy: EPITOME {name}, accuracy"] = agreement.mean(right, posts)
    return measured


def calibrated(grade: Callable[[Sequence[Pair]], Grades], rows: Sequence[Calibrated]) -> dict[str, dict[str, Measured]]:
    """Per axis: agreement with the graded pairs; pairs are compared within one complaint."""
    grades = grade([row.pair for row in rows])
    clusters = [row.cluster for row in rows]
    result = {}
    for position, axis in enumerate(AXES):
        judged, truth = [one[axis] for one in grades], [row.grades[position] for row in rows]
        couples = agreement.pairs_within(truth, clusters)
        result[axis] = {
            "spearman": agreement.spearman(judged, truth, clusters),
            "weighted kappa": agreement.weighted_kappa(judged, truth, clusters),
            "pair accuracy": agreement.pair_accuracy(
                [judged[i] - judged[j] for i, j in couples], [clusters[i] for i, _ in couples]
            ),
            "mean absolute error": agreement.mean(np.abs(np.subtract(judged, truth)).tolist(), clusters),
        }
    return result


def defects(grade: Callable[[Sequence[Pair]], Grades], planted: Sequence[Planted]) -> dict[str, Any]:
    """Share of planted defects whose axis grades the defective reply lower: all, per axis, per defect."""
    good = grade([Pair(p.complaint, p.good) for p in planted])
    bad = grade([Pair(p.complaint, p.bad) for p in planted])
    margins = [g[p.axis] - b[p.axis] for p, g, b in zip(planted, good, bad, strict=True)]
    bases = [_base_id(p) for p in planted]

    def among(wanted: Callable[[Planted], bool]) -> Measured:
        where = [i for i, p in enumerate(planted) if wanted(p)]
        return agreement.pair_accuracy([margins[i] for i in where], [bases[i] for i in where])

    return {
        "all": among(lambda p: True),
        **{axis: among(lambda p, axis=axis: p.axis == axis) for axis in AXES},  # type: ignore[misc]
        "each": {
            f"{p.axis}: {p.defect}": among(lambda q, p=p: q.defect == p.defect)["value"]  # type: ignore[misc]
            for p in {p.defect: p for p in planted}.values()
        },
    }


def length(rows: Sequence[Calibrated], grade: Callable[[Sequence[Pair]], Grades]) -> dict[str, Measured]:
    """Per axis the rank correlation of the judge's error (judge - people) with the number of words; 0 is no bias."""
    grades = grade([row.pair for row in rows])
    words = [float(len(row.pair.response.split())) for row in rows]
    clusters = [row.cluster for row in rows]
    return {
        axis: agreement.spearman(
            [one[axis] - row.grades[position] for one, row in zip(grades, rows, strict=True)], words, clusters
        )
        for position, axis in enumerate(AXES)
    }


def flattery(
    grade: Callable[[Sequence[Pair]], Grades], bases: Sequence[Base], made_from: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Per axis: mean change of grade when a reply asks for a good one, and the share that rises by MOVED or more.

    ``made_from`` names the base that a reply was made from, by the reply's id: replies to one complaint are no
    independent cases. Without it each reply is a base itself.
    """
    rows = flatter(bases, SEED)
    plain = grade([Pair(row.complaint, row.plain) for row in rows])
    flattered = grade([Pair(row.complaint, row.flattered) for row in rows])
    replies = [row.id.rpartition("-")[0] for row in rows]
    clusters = [made_from[reply] for reply in replies] if made_from else replies
    result = {}
    for axis in AXES:
        changes = [after[axis] - before[axis] for before, after in zip(plain, flattered, strict=True)]
        result[axis] = {
            "mean change": agreement.mean(changes, clusters),
            "share raised": agreement.mean([float(change >= MOVED) for change in changes], clusters),
            "largest rise": round(max(changes), 4),
        }
    return result


def _base_id(planted: Planted) -> str:
    """The id of the base that a defect was planted in."""
    return planted.id.removesuffix(f"-{planted.defect}")


def _preferences(grade: Callable[[Sequence[Pair]], Grades], rows: Sequence[Preference], axis: str) -> Measured:
    better = grade([Pair(*row.better) for row in rows])
    worse = grade([Pair(*row.worse) for row in rows])
    margins = [b[axis] - w[axis] for b, w in zip(better, worse, strict=True)]
    return agreement.pair_accuracy(margins, [row.group for row in rows])
