"""Rank metrics against hand-computed numbers and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from system.evaluation.ranking import hit_at, ndcg_at, precision_at, ranking_report, reciprocal_rank
from system.records import Complaint, Hit

DOCS = ["wifi", "billing", "email", "billing"]


@pytest.mark.parametrize(
    ("relevant", "k", "hit", "precision", "rank"),
    [
        ({"wifi"}, 1, 1.0, 1.0, 1.0),
        ({"wifi"}, 2, 1.0, 0.5, 1.0),
        ({"billing"}, 1, 0.0, 0.0, 0.5),
        ({"billing"}, 4, 1.0, 0.5, 0.5),
        ({"email", "billing"}, 3, 1.0, 2 / 3, 0.5),
        ({"email"}, 2, 0.0, 0.0, 1 / 3),
        ({"mobile"}, 4, 0.0, 0.0, 0.0),
        ({"wifi"}, 8, 1.0, 1 / 8, 1.0),  # places that stay empty count as irrelevant
    ],
)
def test_counted_by_hand(relevant, k, hit, precision, rank):
    """Hit, precision and reciprocal rank are what counting on fingers gives."""
    assert hit_at(DOCS, relevant, k) == hit
    assert precision_at(DOCS, relevant, k) == pytest.approx(precision)
    assert reciprocal_rank(DOCS, relevant) == pytest.approx(rank)


def test_ndcg_by_hand():
    """nDCG@4 with gains at ranks 2 and 4 of two possible: (1/log2 3 + 1/log2 5) / (1 + 1/log2 3) = 0.6509."""
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3))
    assert expected == pytest.approx(0.6509, abs=1e-4)
    assert ndcg_at(DOCS, {"billing"}, 4, available=2) == pytest.approx(expected)


@given(st.lists(st.booleans(), min_size=2, max_size=12), st.integers(1, 12))
def test_ndcg_equals_scikit_learn(gains, k):
    """nDCG@k of any ranking equals scikit-learn's when every relevant passage was retrieved."""
    docs = ["yes" if gain else "no" for gain in gains]
    falling = np.arange(len(gains), 0, -1.0)
    expected = ndcg_score([[float(gain) for gain in gains]], [falling], k=k) if any(gains) else 0.0
    assert ndcg_at(docs, {"yes"}, k, available=sum(gains)) == pytest.approx(expected)


def test_relevant_passages_that_were_not_found_lower_ndcg():
    """A perfect first place is not a perfect ranking if a second relevant passage was left out."""
    assert ndcg_at(["wifi"], {"wifi"}, 2, available=1) == 1.0
    assert ndcg_at(["wifi"], {"wifi"}, 2, available=2) < 1.0
    assert ndcg_at(["wifi"], {"mobile"}, 2, available=0) == 0.0


def test_report_has_a_row_per_retriever_and_its_interval():
    """The report states hit@2 with an interval for each retriever, and counts per category."""
    complaints = [
        Complaint(id=f"T-{n}", text="x", category="billing", cluster=f"c{n}", relevant=("billing",)) for n in range(10)
    ]
    good = [[Hit(doc="billing", passage="billing#1", score=1.0)]] * 10
    bad = [[Hit(doc="wifi", passage="wifi#1", score=1.0)]] * 5 + good[:5]
    report = ranking_report(complaints, {"good": good, "half": bad}, {"billing": 1, "wifi": 1})
    # Wilson for 5 of 10: 0.2366 to 0.7634
    assert "| half | 0.500 | 0.500 (0.237 to 0.763) |" in report
    assert "| good | 10/10 |" in report
