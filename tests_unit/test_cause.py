"""What is told of a red case without a model: whether it passes, the likely cause, and the command that makes sure."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from fixtures.fakes import make_hits, make_response
from system.__main__ import parser
from system.evaluation.cause import explain_lines, likely_cause, passes
from system.evaluation.gates import judge_zero
from system.evaluation.requirements import Requirement
from system.records import Action, Complaint, Decision, Identity, Prompt, Response, Score, Verdict

ORANGE = Complaint(id="T-1", text="The light is orange.", action="RAG", relevant=("lights", "faults"))
THANKS = Complaint(id="T-2", text="Thank you!", action="DIRECT")
SMOKE = Complaint(id="T-3", text="It smokes.", action="ESCALATE", relevant=("lights",))
TUNED = Identity(model="m", model_hash="0", knowledge_base="0", adapter="adapters/a", adapter_hash="1")


def requirement(kind: Any, threshold: float = 0.0) -> Requirement:
    """A requirement of this kind."""
    return Requirement(name="r", kind=kind, metric="m", threshold=threshold, variants=("rag",), reason="made by hand")


def response(
    complaint: Complaint, action: Action, found: str = "", read: int = 1, text: str = "Hello.", **changes: Any
) -> Response:
    """A response with one hit for each word of ``found``, of which the prompt holds the first ``read``."""
    hits = make_hits(found.split())
    prompt = Prompt(template="t", system="", user="", text="", tokens=0, passages=tuple(h.passage for h in hits[:read]))
    return make_response(complaint, text, variant="rag", action=action, **{"hits": hits, "prompt": prompt, **changes})


def scored(value: float | None, error: str | None = None, case: str = "T-1", explanation: str = "") -> Score:
    """A score of this value."""
    return Score(case=case, variant="rag", metric="m", value=value, error=error, explanation=explanation)


@pytest.mark.parametrize(
    ("kind", "threshold", "value", "expected"),
    [
        ("zero", 0.0, 0.0, True),
        ("zero", 0.0, 1.0, False),
        ("rate", 0.7, 1.0, True),
        ("rate", 0.7, 0.0, False),
        ("rate", 0.7, 0.8, False),
        ("mean", 3.0, 3.0, True),
        ("mean", 3.0, 2.999, False),
        ("mean", -1.0, 0.0, True),
        *((kind, 0.5, None, False) for kind in ("zero", "rate", "mean")),
        *((kind, 0.5, float("nan"), False) for kind in ("zero", "rate", "mean")),
    ],
)
def test_a_case_passes(kind: str, threshold: float, value: float | None, expected: bool) -> None:
    """No violation, a right case, or at least the mean's threshold; what has no value has not passed."""
    assert passes(requirement(kind, threshold), scored(value)) == expected


@pytest.mark.parametrize(("kind", "value"), [("zero", 0.0), ("rate", 1.0), ("mean", 5.0)])
def test_an_error_never_passes(kind: str, value: float) -> None:
    """A score with an error is no pass, whatever value stands beside it."""
    assert not passes(requirement(kind, 3.0), scored(value, "EmptyAnswer: nothing"))


@pytest.mark.parametrize(
    ("complaint", "action", "found", "read", "cause"),
    [
        pytest.param(ORANGE, "RAG", "lights bills", 1, "generation", id="main article read"),
        pytest.param(ORANGE, "RAG", "bills faults", 2, "generation", id="second article read"),
        pytest.param(ORANGE, "RAG", "bills lights", 1, "retrieval", id="found but not read"),
        pytest.param(ORANGE, "RAG", "bills mail", 2, "retrieval", id="not found"),
        pytest.param(ORANGE, "DIRECT", "lights bills", 0, "decision", id="not to be answered directly"),
        pytest.param(ORANGE, "ESCALATE", "bills", 0, "decision", id="decision before retrieval"),
        pytest.param(ORANGE, "DIRECT", "", 0, "retrieval", id="a variant that never retrieves"),
        pytest.param(THANKS, "DIRECT", "", 0, "generation", id="nothing to retrieve"),
        pytest.param(THANKS, "RAG", "bills", 1, "decision", id="not to be answered from articles"),
        pytest.param(SMOKE, "DIRECT", "", 0, "decision", id="a person's matter, never retrieves"),
        pytest.param(SMOKE, "RAG", "lights", 1, "decision", id="a person's matter"),
        pytest.param(Complaint(id="T-4", text="Hm."), "RAG", "bills", 1, "generation", id="no labels"),
    ],
)
def test_likely_cause(complaint: Complaint, action: Action, found: str, read: int, cause: str) -> None:
    """The first stage that did not do as labelled; an adapter shares the blame of what is left to the model."""
    assert likely_cause(response(complaint, action, found, read), complaint) == cause
    tuned = response(complaint, action, found, read, identity=TUNED)
    assert likely_cause(tuned, complaint) == ("adapter or generation" if cause == "generation" else cause)


def test_scripted_reply_holds_no_article() -> None:
    """A response without a prompt read nothing."""
    assert likely_cause(response(ORANGE, "RAG", "lights", prompt=None), ORANGE) == "retrieval"


def test_a_scripted_reply_was_not_generated() -> None:
    """What stands in a written reply, the stage that chose it said, with an adapter or without."""
    chosen = Decision(action="ESCALATE", reason="danger", score=1.0, threshold=0.5, reply="danger")
    for changes in ({}, {"identity": TUNED}):
        scripted = response(SMOKE, "ESCALATE", prompt=None, decision=chosen, **changes)
        assert likely_cause(scripted, SMOKE) == "decision"


def verdict(*worst: Score, variant: str = "rag") -> Verdict:
    """A red verdict with these worst cases."""
    return judge_zero("hard-rules", variant, worst)


def test_explain_lines() -> None:
    """Cause and command are told of the first of the worst cases, and the command is one that can be typed."""
    worst = [scored(1.0, case="T-2"), scored(3.0, case="T-1")]
    lines = explain_lines(
        verdict(*worst), [response(THANKS, "RAG", "bills"), response(ORANGE, "RAG", "bills")], [ORANGE, THANKS]
    )
    assert lines == [
        "  likely cause of T-1: retrieval",
        "  explain: python -m system explain T-1 --variant rag --requirement hard-rules",
    ]
    options = parser().parse_args(shlex.split(lines[1].partition("system ")[2]))
    assert (options.command, options.case, options.variant, options.requirement) == (
        *("explain", "T-1", "rag"),
        "hard-rules",
    )


@pytest.mark.parametrize(
    ("explanation", "cause"),
    [
        ("cause retrieval: wanted lights, got ['bills']", "retrieval"),
        ("cause decision: wanted RAG, got DIRECT", "decision"),
        ("cause generation: rude", "generation"),
        ("the cause retrieval", "generation"),
        ("", "generation"),
    ],
)
def test_what_the_score_knows_counts(explanation: str, cause: str) -> None:
    """A metric that looks at one stage alone names it; what it says of generation is looked into."""
    worst = scored(1.0, explanation=explanation)
    lines = explain_lines(verdict(worst), [response(ORANGE, "RAG", "lights")], [ORANGE])
    assert lines[0] == f"  likely cause of T-1: {cause}"


def test_options_of_the_run_are_repeated() -> None:
    """Another base model goes into the command, and an id with a space is quoted."""
    odd = Complaint(id="my case", text="Hm.", action="DIRECT")
    lines = explain_lines(verdict(scored(1.0, case="my case")), [], [odd], "--base-model m")
    assert lines == [
        "  explain: python -m system explain 'my case' --variant rag --requirement hard-rules --base-model m"
    ]


@pytest.mark.parametrize(
    ("worst", "complaints"),
    [
        pytest.param([], [ORANGE], id="no worst case"),
        pytest.param([scored(0.0)], [ORANGE], id="green"),
        pytest.param([scored(1.0)], [THANKS], id="not one of the complaints"),
    ],
)
def test_nobody_to_blame(worst: list[Score], complaints: list[Complaint]) -> None:
    """Without a case to explain nothing is added to the message."""
    assert explain_lines(verdict(*worst), [response(ORANGE, "RAG", "lights")], complaints) == []


def test_a_claim_about_two_variants_has_no_cause() -> None:
    """What is compared is two answers; a command for "a > b" would redirect its output into a file."""
    claim = replace(verdict(scored(1.0)), variant="agent-rag > rag")
    assert claim.worst
    assert explain_lines(claim, [], [ORANGE]) == []


def test_an_answer_of_another_variant_is_not_blamed() -> None:
    """The cause is told from the variant's own response."""
    others = response(ORANGE, "DIRECT", "lights bills", 0)
    lines = explain_lines(verdict(scored(None, "Timeout"), variant="agent-rag"), [others], [ORANGE])
    assert [line.split()[0] for line in lines] == ["explain:"]
