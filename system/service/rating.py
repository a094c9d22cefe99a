"""Blind A/B ratings by people: which pair comes next, who stands left, and how far the raters agree.

    table = PairTable.from_run(read_run(Path("runs/quality.jsonl")), ("agent-rag", "agent-rag-fine-tuned"))
    shown = table.next("Kim", done={"T-003"})        left and right by rater and pair, which Kim cannot guess
    agreement(ratings, table)                        Krippendorff's alpha by axis, with a bootstrap interval

Knows run logs and ratings; must not know HTTP.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from system.errors import InputError
from system.evaluation.judge import AXES
from system.records import Response
from system.runlog import by_variant
from system.service.store import Rating

RESAMPLES = 1000
SEED = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair as one rater sees it; ``variants`` are those of left and right, and stay on this side."""

    pair: str
    complaint: str
    left: str
    right: str
    variants: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PairTable:
    """Two variants' answers to the same complaints, by complaint id."""

    variants: tuple[str, str]
    pairs: dict[str, tuple[Response, Response]]

    @classmethod
    def from_run(cls, responses: Iterable[Response], variants: tuple[str, str]) -> PairTable:
        """The complaints that both variants answered, and not with the same words. Raises InputError for none."""
        run = by_variant(responses)
        first, second = ({r.id: r for r in run.get(name, []) if r.error is None} for name in variants)
        pairs = {i: (first[i], second[i]) for i in first if i in second and first[i].text != second[i].text}
        if not pairs:
            raise InputError(f"no complaint is answered by both {variants[0]!r} and {variants[1]!r}, differently")
        return cls(variants, pairs)

    def show(self, pair: str, rater: str) -> Shown | None:
        """A pair with its sides as this rater gets them, the same every time; None if there is no such pair."""
        if pair not in self.pairs:
            return None
        one, other = self.pairs[pair]
        if _coin(pair, rater, "side") % 2:
            one, other = other, one
        return Shown(pair, one.complaint, one.text, other.text, (one.variant, other.variant))

    def next(self, rater: str, done: Collection[str]) -> Shown | None:
        """The next pair that the rater has not rated.

        All raters get the pairs in one shuffled order, so that those rated by several are many however early they stop.
        """
        left = sorted((pair for pair in self.pairs if pair not in done), key=lambda pair: _coin(pair, "", "order"))
        return self.show(left[0], rater) if left else None


def alpha(table: np.ndarray) -> float | None:
    """Krippendorff's alpha for interval data (Krippendorff 2011, section C); None where nothing can be said.

    ``table`` has shape (raters, units), NaN where a rater gave no grade. Observed disagreement is the mean squared
    difference of two grades of one unit, expected disagreement that of any two grades, which is twice their variance.
    """
    shared = table[:, (~np.isnan(table)).sum(axis=0) >= 2] if table.size else table
    if shared.shape[-1] < 2 or np.nanmin(shared) == np.nanmax(shared):
        return None
    counts = (~np.isnan(shared)).sum(axis=0)
    observed = 2 * (np.nanvar(shared, axis=0, ddof=1) * counts).sum() / counts.sum()
    return float(1 - observed / (2 * np.nanvar(shared, ddof=1)))


def agreement(
    ratings: Sequence[Rating], table: PairTable, judge: Callable[[Sequence[Response]], list[dict[str, float]]]
) -> dict[str, Any]:
    """How far raters agree with each other and with the judge, and which variant they prefer, by axis.

    A unit is one answer. ``judge`` grades responses. Intervals are 95 %, by resampling complaints.
    """
    ratings = [r for r in ratings if r.pair in table.pairs and r.variant in table.variants]
    raters, pairs = sorted({r.rater for r in ratings}), sorted({r.pair for r in ratings})
    responses = [response for pair in pairs for response in table.pairs[pair]]
    judged = judge(responses) if responses else []
    axes = {}
    for axis in AXES:
        given = {(r.rater, r.pair, r.variant): r.value for r in ratings if r.axis == axis}
        grades = np.array(
            [[given.get((rater, r.id, r.variant), np.nan) for r in responses] for rater in raters], dtype=float
        ).reshape(len(raters), len(responses))
        low, high = _interval(grades)
        axes[axis] = {
            "alpha": alpha(grades),
            "low": low,
            "high": high,
            "units": int(((~np.isnan(grades)).sum(axis=0) >= 2).sum()),
            "with_judge": alpha(np.array([_means(grades), [grade[axis] for grade in judged]])) if judged else None,
            "preference": _preference(given, table.variants),
        }
    return {"raters": len(raters), "pairs": len(pairs), "variants": list(table.variants), "axes": axes}


def _interval(grades: np.ndarray) -> tuple[float | None, float | None]:
    """Percentile bootstrap over complaints, whose two answers stand side by side in the columns."""
    complaints = grades.shape[1] // 2
    if complaints < 2 or alpha(grades) is None:
        return None, None
    random = np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(complaints, size=complaints)
        value = alpha(grades[:, np.stack([2 * drawn, 2 * drawn + 1], axis=1).ravel()])
        found += [] if value is None else [value]
    if not found:
        return None, None
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def _means(grades: np.ndarray) -> np.ndarray:
    counts = (~np.isnan(grades)).sum(axis=0)
    means: np.ndarray = np.where(counts > 0, np.nansum(grades, axis=0) / np.maximum(counts, 1), np.nan)
    return means


def _preference(given: dict[tuple[str, str, str], int], variants: tuple[str, str]) -> dict[str, int]:
    """How often a rater graded one variant above the other on the same complaint."""
    sides: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (rater, pair, variant), value in given.items():
        sides[rater, pair][variant] = value
    first, second = variants
    whole = [side for side in sides.values() if len(side) == 2]
    return {
        first: sum(side[first] > side[second] for side in whole),
        second: sum(side[first] < side[second] for side in whole),
        "ties": sum(side[first] == side[second] for side in whole),
    }


def _coin(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")
