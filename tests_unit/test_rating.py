"""Blind ratings: nobody can tell who stands left, and agreement is what Krippendorff says it is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fixtures.fakes import make_response
from system.errors import InputError
from system.evaluation.judge import AXES
from system.records import Complaint
from system.service.rating import PairTable, agreement, alpha
from system.service.store import Rating

NAN = float("nan")
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def table(pairs: int = 40) -> PairTable:
    """So many complaints, answered by two variants in words of their own."""
    complaints = [Complaint(id=f"T-{n:03}", text=f"Complaint {n}.") for n in range(pairs)]
    run = [make_response(c, f"{v} answers {c.id}.", variant=v) for c in complaints for v in ("rag", "agent-rag")]
    return PairTable.from_run(run, ("rag", "agent-rag"))


def rated(pair: str, rater: str, variant: str, value: int, axes: tuple[str, ...] = AXES) -> list[Rating]:
    """One answer graded alike on all axes."""
    return [Rating(pair, rater, variant, axis, value) for axis in axes]


def graded(responses, value=lambda response: 3.0):  # type: ignore[no-untyped-def]
    """A judge that gives every axis the same value."""
    return [dict.fromkeys(AXES, value(response)) for response in responses]


def test_alpha_of_the_published_example() -> None:
    """The published value for interval data is 0.849."""
    assert alpha(OBSERVERS) == pytest.approx(0.849, abs=5e-4)


@pytest.mark.parametrize(
    "grades",
    [
        pytest.param(np.zeros((0, 0)), id="nobody"),
        pytest.param(np.array([[1.0, 2.0, 3.0]]), id="one rater"),
        pytest.param(np.array([[1.0, NAN], [NAN, 2.0]]), id="nothing shared"),
        pytest.param(np.array([[4.0, 4.0, 4.0], [4.0, 4.0, 4.0]]), id="no variation"),
    ],
)
def test_alpha_says_nothing_where_nothing_can_be_said(grades: np.ndarray) -> None:
    """Alpha needs two raters, two shared units, and grades that differ."""
    assert alpha(grades) is None


def test_sides_are_mixed_and_stay() -> None:
    """Each rater sees either variant left about as often, the same every time, and not as another rater does."""
    pairs = table(400)
    sides = {rater: [pairs.show(pair, rater).variants[0] for pair in pairs.pairs] for rater in ("Kim", "Lee")}  # type: ignore[union-attr]
    for rater, left in sides.items():
        assert 160 < Counter(left)["rag"] < 240
        assert left == [pairs.show(pair, rater).variants[0] for pair in pairs.pairs]  # type: ignore[union-attr]
    assert sides["Kim"] != sides["Lee"]


def test_left_and_right_are_the_answers_of_their_variants() -> None:
    """The words stand on the side of the variant that the grades are stored under."""
    pairs = table()
    for pair in pairs.pairs:
        shown = pairs.show(pair, "Kim")
        assert shown is not None
        assert (shown.left, shown.right) == tuple(f"{variant} answers {pair}." for variant in shown.variants)
    assert pairs.show("T-999", "Kim") is None


def test_every_pair_comes_once_in_the_same_order_for_all() -> None:
    """Raters who stop early have rated the same pairs."""
    pairs = table(12)
    orders = []
    for rater in ("Kim", "Lee"):
        done: list[str] = []
        while shown := pairs.next(rater, done):
            done.append(shown.pair)
        orders.append(done)
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(pairs.pairs)
    assert orders[0] != sorted(orders[0])


def test_pairs_need_two_different_answers() -> None:
    """Equal words tell nothing, nor does an answer of one variant alone."""
    one, other = Complaint(id="T-001", text="One."), Complaint(id="T-002", text="Two.")
    run = [make_response(one, "Same.", variant=v) for v in ("rag", "agent-rag")] + [make_response(other, "Alone.")]
    with pytest.raises(InputError, match="no complaint is answered by both"):
        PairTable.from_run(run, ("rag", "agent-rag"))


def test_agreement_of_raters_who_agree_and_who_do_not() -> None:
    """Raters of one mind have alpha 1, raters at random about 0, with an interval that holds it."""
    pairs = table()
    random = np.random.default_rng(1)
    alike, apart = [], []
    for pair in pairs.pairs:
        for variant in pairs.variants:
            grade, *noise = random.integers(1, 6, size=3).tolist()
            alike += rated(pair, "Kim", variant, grade) + rated(pair, "Lee", variant, grade)
            apart += rated(pair, "Kim", variant, noise[0]) + rated(pair, "Lee", variant, noise[1])
    agree = agreement(alike, pairs, graded)["axes"]["clarity"]
    assert (agree["alpha"], agree["low"], agree["high"], agree["units"]) == (1.0, 1.0, 1.0, 80)
    differ = agreement(apart, pairs, graded)["axes"]["clarity"]
    assert abs(differ["alpha"]) < 0.25
    assert differ["low"] < differ["alpha"] < differ["high"]


def test_agreement_with_the_judge_and_preference() -> None:
    """The judge is held against the raters' mean, and who prefers what is counted by pairs."""
    pairs = table(10)
    ratings = []
    for n, pair in enumerate(pairs.pairs):
        ratings += rated(pair, "Kim", "rag", 2 + n % 2) + rated(pair, "Kim", "agent-rag", 4 if n < 6 else 2 + n % 2)
    truth = {(r.pair, r.variant): float(r.value) for r in ratings}
    found = agreement(ratings, pairs, lambda many: graded(many, lambda r: truth[r.id, r.variant]))
    empathy = found["axes"]["empathy"]
    assert empathy["with_judge"] == 1.0
    assert empathy["alpha"] is None
    assert empathy["preference"] == {"rag": 0, "agent-rag": 6, "ties": 4}
    assert (found["raters"], found["pairs"]) == (1, 10)


def test_nobody_has_rated_yet() -> None:
    """Without ratings nothing is claimed, and no judge is asked."""
    found = agreement([], table(), lambda responses: pytest.fail("asked"))
    assert found["axes"]["safety"]["alpha"] is None
    assert found["pairs"] == 0
