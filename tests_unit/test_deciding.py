"""Measures of decisions against hand-computed numbers and against scikit-learn."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from system.evaluation.deciding import calibration_error, decision_report, risk_coverage, roc_auc
from system.records import Complaint, Decision

cases = st.lists(st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=2, max_size=40)


def test_calibration_error_by_hand():
    """Two bins of two: |0.1 + 0.3 - 1| + |0.8 + 0.8 - 2| = 0.6 + 0.4, over four cases: 0.25."""
    assert calibration_error([0.8, 0.1, 0.3, 0.8], [True, False, True, True], bins=2) == pytest.approx(0.25)


def test_calibration_error_of_a_perfect_forecast_is_zero():
    """Certain and right is calibrated; certain and wrong is an error of one."""
    assert calibration_error([1.0, 0.0], [True, False], bins=2) == 0.0
    assert calibration_error([1.0, 0.0], [False, True], bins=2) == 1.0


def test_measures_of_nothing_are_refused():
    """No number is invented for no cases or for one kind of outcome only."""
    with pytest.raises(ValueError, match="not defined"):
        calibration_error([], [])
    with pytest.raises(ValueError, match="true and false"):
        roc_auc([0.5, 0.6], [True, True])


@given(cases)
def test_roc_auc_equals_scikit_learn(pairs):
    """ROC AUC equals scikit-learn's, ties included."""
    scores, outcomes = zip(*pairs, strict=True)
    assume(len(set(outcomes)) == 2)
    assert roc_auc(scores, outcomes) == pytest.approx(roc_auc_score(outcomes, scores))


def test_risk_coverage_by_hand():
    """Most confident first: right, wrong, right gives risks 0, 1/2, 1/3."""
    curve = risk_coverage([0.5, 0.9, 0.7], [True, True, False])
    assert curve == [pytest.approx((1 / 3, 0.0)), pytest.approx((2 / 3, 0.5)), pytest.approx((1.0, 1 / 3))]


def test_report_counts_every_pair_of_label_and_decision():
    """The confusion table holds each case once, in the row of its label."""
    labels = ["RAG", "RAG", "DIRECT", "ESCALATE", "RAG", "DIRECT"]
    taken = ["RAG", "DIRECT", "DIRECT", "ESCALATE", "RAG", "RAG"]
    complaints = [Complaint(id=str(n), text="x", cluster=str(n), action=a) for n, a in enumerate(labels)]
    decisions = [Decision(action=a, reason="", score=0.9 if a == "RAG" else 0.2, threshold=0.5) for a in taken]
    report = decision_report(complaints, decisions)
    assert "Accuracy 0.667" in report
    assert "| RAG | 2 | 1 | 0 |" in report
    assert "| DIRECT | 1 | 1 | 0 |" in report
    assert "| ESCALATE | 0 | 0 | 1 |" in report
