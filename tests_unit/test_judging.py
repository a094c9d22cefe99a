"""Cases held against requirements one by one, by the thresholds of the gates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fixtures.fakes import make_hits, make_response
from system.evaluation.judging import judge_answer, judge_case
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Kind, Requirement
from system.records import Complaint, Score

RUDE = Requirement(name="rude", kind="zero", metric="rude", threshold=0.0, variants=("agent-rag",), reason="r")
HIT = Requirement(name="hit-at-2", kind="rate", metric="hit@2", threshold=0.7, variants=("agent-rag",), reason="r")
FACTS = Requirement(
    name="facts", kind="mean", metric="fact_coverage", threshold=0.5, scale=(0, 1), variants=(), reason="r"
)
COMPLAINT = Complaint(
    id="T-1", text="Why is my bill so high?", action="RAG", relevant=("billing",), facts=("10 days", "$5"), cluster="c"
)


def score_of(value: float | None, error: str | None = None) -> Score:
    return Score(case="T-1", variant="rag", metric="m", value=value, error=error, explanation="because")


@pytest.mark.parametrize(
    ("kind", "threshold", "scale", "value", "met", "share"),
    [
        ("rate", 0.7, None, 1.0, True, 1.0),
        ("rate", 0.7, None, 0.0, False, 0.0),
        ("mean", 4.0, (1, 5), 4.0, True, 0.75),
        ("mean", 4.0, (1, 5), 3.999, False, 0.74975),
        ("mean", 0.5, (0, 1), 0.5, True, 0.5),
        ("mean", 4.0, (1, 5), 5.5, True, 1.0),
        ("zero", 0.0, None, 0.0, True, 1.0),
        ("zero", 0.0, None, 2.0, False, 0.0),
    ],
)
def test_a_case(
    kind: Kind, threshold: float, scale: tuple[float, float] | None, value: float, met: bool, share: float
) -> None:
    """A case meets a mean's threshold or not, a rate at 1, a rule at 0; its share lies between 0 and 1."""
    requirement = Requirement(
        name="r", kind=kind, metric="m", threshold=threshold, scale=scale, variants=("rag",), reason="x"
    )
    verdict = judge_case(requirement, True, score_of(value))
    assert (verdict.met, verdict.share) == (met, pytest.approx(share))
    assert "because" in verdict.reason


@pytest.mark.parametrize("kind", ["rate", "mean", "zero"])
def test_a_case_that_was_not_scored_is_not_met(kind: Kind) -> None:
    """An error is never a pass, and is named."""
    requirement = Requirement(name="r", kind=kind, metric="m", threshold=0.5, variants=("rag",), reason="x")
    verdict = judge_case(requirement, True, score_of(None, "TimeOut"))
    assert (verdict.met, verdict.share, verdict.value) == (False, 0.0, None)
    assert "TimeOut" in verdict.reason


def test_an_answer_is_held_to_what_says_something_of_it() -> None:
    """Words of every answer; retrieval only where it binds the variant, and not without labels."""
    response = make_response(COMPLAINT, "It takes 10 days.", hits=make_hits(["network", "billing"]))
    found = judge_answer(response, COMPLAINT, (RUDE, HIT, FACTS), "agent-rag", Rulers())
    assert {(v.requirement, v.met, v.binds) for v in found} == {
        ("rude", True, True),
        ("hit-at-2", True, True),
        ("facts", True, False),
    }
    other = judge_answer(response, COMPLAINT, (RUDE, HIT, FACTS), "rag", Rulers())
    assert [(v.requirement, v.binds) for v in other] == [("rude", False), ("facts", False)]
    bare = Complaint(id="T-1", text=COMPLAINT.text)
    unlabelled = judge_answer(replace(response, complaint=bare.text), bare, (RUDE, HIT, FACTS), "agent-rag", Rulers())
    assert [v.requirement for v in unlabelled] == ["rude"]
