"""The mutants' machinery: what survives is said to survive, what harms is said to harm, and the page is right.

A ruler that never reports a survivor would make every suite look perfect, so it is tried on gates made for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.escalation import GATE, KNOWN_MISSES, escalation_material, judge_escalation, messages
from fixtures.exemplary_run import exemplary_run
from fixtures.fakes import make_response
from fixtures.judging import judge_claim, judge_material
from fixtures.mutants import HARMFUL, HARMLESS
from fixtures.mutation import Material, Mutant, Outcome, every, hunt, one, page, spare, summary
from fixtures.reference_run import reference_run
from fixtures.text_mutants import (
    TEXT_MUTANTS,
    cut_short,
    halved,
    last_digit_up,
    said_twice,
    shuffled_sentences,
    times_ten,
    without_facts,
    without_feeling,
)
from system.articles import load_articles
from system.complaints import read_labelled
from system.errors import SettingsError
from system.evaluation.comparisons import Claim, load_claims
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Requirement, load_requirements
from system.records import Complaint, Decision
from system.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[1]
ANSWERS = (
    "Please restart the Hub and wait for a solid light.",
    "Your bill is ready in the app, and it costs nothing to look.",
    "A person will answer you as soon as one is free.",
)
ANSWER = "I am sorry about that. Wait 10 minutes. Your light comes back."


def gate(name: str, metric: str, kind: str = "zero", **fields: object) -> Requirement:
    """A requirement that binds agent-rag."""
    row = {"threshold": 0.0, "variants": ("agent-rag",), "reason": "for the test", **fields}
    return Requirement(name=name, metric=metric, kind=kind, **row)  # type: ignore[arg-type]


EMPTY, CUT_OFF = gate("empty", "empty"), gate("cut-off", "cut_off")


@pytest.fixture
def material() -> Material:
    """Three clean answers."""
    complaints = tuple(Complaint(id=f"C-{n}", text=f"problem {n}", cluster=f"c{n}", action="DIRECT") for n in range(3))
    responses = tuple(make_response(c, text, action="DIRECT") for c, text in zip(complaints, ANSWERS, strict=True))
    return Material(variant="agent-rag", responses=responses, complaints=complaints, official="")


def mutant(apply: Callable[[Material], Material], requirement: str = "empty", **fields: object) -> Mutant:
    """A harmful mutant."""
    return Mutant(name="made", broken="for the test", apply=apply, requirement=requirement, **fields)  # type: ignore[arg-type]


def harmless(apply: Callable[[Material], Material]) -> Mutant:
    """A mutant that claims to be harmless."""
    return mutant(apply, "", kind="harmless")


# --- harmful ---


def test_a_broken_product_is_killed(material: Material) -> None:
    """One spoilt answer turns the gate red; the outcome says from what to what, and where the gate would see it."""
    outcome = hunt(mutant(one(lambda r, c: ""), change=lambda r, c: ""), [EMPTY], {"product": material}, judge_material)
    assert outcome.result == "killed"
    assert (outcome.start, outcome.before, outcome.after) == ("product", "PASS 0/3", "FAIL 1/3")
    assert outcome.sensitivity == "3 of 3"
    assert "C-0" in outcome.note
    assert [r.text for r in material.responses] == list(ANSWERS)  # the mutant worked on copies


def test_a_mutant_that_changes_nothing_survives(material: Material) -> None:
    """Green before and after is a survivor, and the note says that there was nothing to see."""
    outcome = hunt(mutant(lambda m: m), [EMPTY], {"product": material}, judge_material)
    assert outcome.result == "SURVIVED"
    assert "changes nothing" in outcome.note
    assert not outcome.is_wanted


def test_a_mutant_that_another_gate_would_see_survives(material: Material) -> None:
    """Only the gate that the mutant names can kill it."""
    outcome = hunt(mutant(one(cut_short)), [EMPTY, CUT_OFF], {"product": material}, judge_material)
    assert outcome.result == "SURVIVED"
    assert "changes nothing" not in outcome.note
    assert hunt(mutant(one(cut_short), "cut-off"), [EMPTY, CUT_OFF], {"product": material}, judge_material).is_wanted


def test_a_broken_suite_is_no_red_gate(material: Material) -> None:
    """An ERROR kills only a mutant that is about unscored cases: else a mutant with a fault would pass for killed."""

    def lost(m: Material) -> Material:
        return replace(m, responses=m.responses[1:])

    outcome = hunt(mutant(lost), [EMPTY], {"product": material}, judge_material)
    assert (outcome.result, outcome.after) == ("SURVIVED", "ERROR")
    assert hunt(mutant(lost, red_as=("ERROR",)), [EMPTY], {"product": material}, judge_material).is_wanted


def test_a_score_that_is_spoilt_on_its_way_is_seen(material: Material) -> None:
    """A NaN reaches the gate and is an ERROR."""
    spoilt = mutant(
        lambda m: replace(m, spoil=lambda scores: [replace(scores[0], value=float("nan")), *scores[1:]]),
        red_as=("ERROR",),
    )
    outcome = hunt(spoilt, [EMPTY], {"product": material}, judge_material)
    assert (outcome.result, outcome.after) == ("killed", "ERROR")


def test_without_the_requirement_nothing_is_killed(material: Material) -> None:
    """A mutant whose gate does not exist is a failure of its own name, and nothing is broken for it."""
    outcome = hunt(
        mutant(lambda m: pytest.fail("was applied"), "empathy"), [EMPTY], {"product": material}, judge_material
    )
    assert outcome.result == "NO SUCH REQUIREMENT"
    assert not outcome.is_wanted


def test_the_first_green_start_is_taken(material: Material) -> None:
    """Where the product misses the gate the reference run stands in; where both do, there is no green start."""
    red = replace(material, responses=(replace(material.responses[0], text=""), *material.responses[1:]))
    row = mutant(every(lambda r, c: ""))
    outcome = hunt(row, [EMPTY], {"product": red, "reference": material}, judge_material)
    assert (outcome.start, outcome.result, outcome.after) == ("reference", "killed", "FAIL 3/3")
    outcome = hunt(row, [EMPTY], {"product": red, "reference": red}, judge_material)
    assert outcome.result == "NO GREEN START"
    assert outcome.before == "product: FAIL 1/3; reference: FAIL 1/3"
    only_product = replace(row, starts=("product",))
    assert hunt(only_product, [EMPTY], {"product": red, "reference": material}, judge_material).start == ""


def test_a_refusal_kills_where_one_is_due(material: Material) -> None:
    """A product that refuses to run has noticed; where no refusal is due, the error is the test's own."""

    def refuse(m: Material) -> Material:
        raise SettingsError("fitted with another embedder")

    outcome = hunt(mutant(refuse, refused=True), [EMPTY], {"product": material}, judge_material)
    assert (outcome.result, outcome.after) == ("killed", "refused: fitted with another embedder")
    assert not hunt(mutant(lambda m: m, refused=True), [EMPTY], {"product": material}, judge_material).is_wanted
    with pytest.raises(SettingsError):
        hunt(mutant(refuse), [EMPTY], {"product": material}, judge_material)


# --- other gates than requirements ---


def test_a_claim_turns_red_when_its_better_variant_is_broken() -> None:
    """The broken variant's scores against the other's own ones, on the same complaints, over the whole family."""
    fact = "Wait 10 minutes."
    facts = [("10 minutes", "5 days"), ("10 minutes",)]  # half of them is stated, or all
    complaints = tuple(Complaint(id=f"C-{n}", text="x", cluster=f"c{n}", facts=facts[n % 2]) for n in range(12))
    bare = [make_response(c, "Hello.", variant="rag") for c in complaints]
    run = {"rag": [*bare, make_response(Complaint(id="C-99", text="x"), "Hello.", variant="rag")]}
    good = Material(
        variant="agent-rag",
        responses=tuple(make_response(c, fact) for c in complaints),
        complaints=complaints,
        official="",
    )
    row = {"metric": "fact_coverage", "better": "agent-rag", "worse": "rag", "reason": "r", "scale": (0.0, 1.0)}
    family = (Claim(name="states-more", **row), Claim(name="states-more-again", **row))  # type: ignore[arg-type]

    def judge(claim: object, material: Material):  # type: ignore[no-untyped-def]
        assert isinstance(claim, Claim)
        return judge_claim(claim, family, material, run, Rulers())

    lost = mutant(every(lambda r, c: "Hello."), "states-more")
    outcome = hunt(lost, family, {"product": good}, judge)
    assert (outcome.before[:4], outcome.result) == ("PASS", "killed")
    assert hunt(replace(lost, apply=lambda m: m), family, {"product": good}, judge).result == "SURVIVED"


def test_a_missed_escalation_is_red() -> None:
    """All messages that are bound are handed over, or the gate names the one that is not; known misses are left out."""
    handed = [Decision(action="ESCALATE", reason="r", score=0.0, threshold=0.5) for _ in messages()]
    green = escalation_material(handed, "agent-rag")
    assert {c.id for c in green.complaints} | set(KNOWN_MISSES) == {m.id for m in messages()}
    assert judge_escalation(green).status == "PASS"
    one_answered = [replace(handed[0], action="RAG"), *handed[1:]]
    red = judge_escalation(escalation_material(one_answered, "agent-rag"))
    assert (red.status, red.worst[0].case) == ("FAIL", messages()[0].id)
    assert judge_escalation(replace(green, responses=green.responses[1:])).status == "ERROR"


# --- harmless ---


def test_a_harmless_change_is_spared(material: Material) -> None:
    """Gates that keep their colour are counted, a known miss among them."""
    missed = gate("known", "repetitive", variants=(), baseline={"agent-rag": "1 of 3"})
    thrice = replace(material.responses[0], text="Call us now. " * 3)
    run = replace(material, responses=(thrice, *material.responses[1:]))
    outcome = spare(harmless(lambda m: m), "agent-rag", [EMPTY, missed], {"product": run}, judge_material)
    assert (outcome.result, outcome.before, outcome.after) == ("spared", "1 green, 1 red", "1 green, 1 red")
    assert outcome.note == ""


def test_a_value_that_moves_without_its_colour_is_told(material: Material) -> None:
    """A known miss stays known when it grows, and the report says that it grew."""
    red = material.with_texts(lambda r, c: "", only=0)
    outcome = spare(harmless(every(lambda r, c: "")), "agent-rag", [EMPTY], {"product": red}, judge_material)
    assert outcome.result == "spared"
    assert outcome.note == "empty of agent-rag (product) moves: FAIL 1/3 -> FAIL 3/3"


@pytest.mark.parametrize("harm", ["green turns red", "red turns green"])
def test_a_harmless_mutant_that_changes_a_colour_is_reported(material: Material, harm: str) -> None:
    """In either direction, naming the gate and both verdicts."""
    red = material.with_texts(lambda r, c: "", only=0)
    before, after = (material, red) if harm == "green turns red" else (red, material)
    outcome = spare(harmless(lambda m: after), "agent-rag", [EMPTY, CUT_OFF], {"product": before}, judge_material)
    assert outcome.result == "HARMED"
    assert outcome.note.startswith("empty (product): ")
    assert "PASS 0/3" in outcome.note and "FAIL 1/3" in outcome.note


def test_a_harmless_mutant_without_a_gate_is_reported(material: Material) -> None:
    """What no gate looked at was not shown to be harmless."""
    outcome = spare(harmless(lambda m: m), "rag", [EMPTY], {"product": material}, judge_material)
    assert (outcome.result, outcome.note) == ("HARMED", "no gate binds rag")


# --- the report ---


def outcome(name: str, result: str, kind: str = "harmful", **fields: str) -> Outcome:
    """An outcome with the given result."""
    texts = dict.fromkeys(("broken", "needs", "variant", "requirement", "start", "before", "after"), "")
    return Outcome(mutant=name, kind=kind, result=result, **{**texts, **fields})  # type: ignore[arg-type]


def test_the_figures() -> None:
    """A mutant that could not be hunted counts as not killed, and is left out of the second rate only."""
    outcomes = [
        *(outcome(f"k{n}", "killed") for n in range(7)),
        outcome("s", "SURVIVED"),
        outcome("n", "NO SUCH REQUIREMENT"),
        outcome("g", "NO GREEN START"),
        outcome("h", "spared", "harmless"),
        outcome("i", "spared", "harmless"),
        outcome("i", "HARMED", "harmless"),
    ]
    figures = summary(outcomes)
    assert figures["kill_rate"] == {
        "value": 0.7,
        "low": pytest.approx(0.397, abs=1e-3),
        "high": pytest.approx(0.892, abs=1e-3),
    }
    assert figures["kill_rate_of_hunted"]["value"] == 7 / 8  # type: ignore[index]
    assert (figures["survived"], figures["without_requirement"], figures["without_green_start"]) == (
        ["s"],
        ["n"],
        ["g"],
    )
    assert (figures["harmless"], figures["harmless_red"]) == (2, ["i"])


def test_the_page() -> None:
    """Every mutant has its row, a table is not torn by a bar in a text, and what went wrong is told below."""
    text = page(
        [
            outcome("rude", "killed", broken="a | b", requirement="polite", variant="v", before="PASS", after="FAIL"),
            outcome("blind", "SURVIVED", note="no case\nbreaks the rule"),
            outcome("quotes", "spared", "harmless", variant="v", before="1 green, 0 red"),
            outcome("quotes", "HARMED", "harmless", variant="w", before="1 green, 0 red", note="rude: PASS -> FAIL"),
        ]
    )
    assert "| rude | a \\| b | polite of v | - | PASS | FAIL | killed | - |" in text
    assert "1 of 2 (0.500, 95 % Wilson interval" in text
    assert "- blind (): SURVIVED. no case" in text
    assert "changed a gate's colour: 1 of 1, goal 0: quotes" in text
    assert "| quotes | - | v, w | 1 green, 0 red | spared; HARMED | - |" in text
    assert "- quotes (w): HARMED. rude: PASS -> FAIL" in text
    for table in (part for part in text.split("\n\n") if part.startswith("| ")):
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


# --- the rows ---


def test_the_rows() -> None:
    """Names differ; harmful rows name a gate that binds their variant or knows its baseline; no gate is untried."""
    known = {r.name: r for r in load_requirements(ROOT / "tests_quality" / "gates.toml")}
    claimed = {c.name: c for c in load_claims(ROOT / "tests_quality" / "gates.toml")}
    assert {c.better for c in claimed.values()} | {c.worse for c in claimed.values()} <= set(VARIANTS)
    known[GATE.name] = GATE
    assert [n for n, times in Counter(m.name for m in (*HARMFUL, *HARMLESS)).items() if times > 1] == []
    assert len(HARMFUL) >= 28 and len(HARMLESS) >= 10
    for row in HARMFUL:
        assert row.kind == "harmful" and len(row.variants) == 1
        if row.requirement in claimed:
            assert row.variant == claimed[row.requirement].better, row.name
            assert set(row.beside) == set(VARIANTS), row.name
        else:
            requirement = known[row.requirement]
            assert row.variant in (*requirement.variants, *requirement.baseline), row.name
    for row in HARMLESS:
        assert row.kind == "harmless" and not row.requirement and set(row.variants) <= set(VARIANTS)
    assert {row.requirement for row in HARMFUL} >= set(known)  # every requirement can fail


@pytest.fixture(scope="module")
def references() -> Material:
    """The reference run of the test complaints."""
    articles = load_articles(ROOT / "knowledge_base")
    official = "\n\n".join(f"{s.heading}\n{s.text}" for article in articles for s in article.sections)
    rows = read_labelled(ROOT / "data" / "complaints.jsonl", [article.stem for article in articles])
    complaints = tuple(row for row in rows if row.split == "test")
    return Material(
        variant="agent-rag", responses=tuple(reference_run(complaints)), complaints=complaints, official=official
    )


def test_the_reference_run(references: Material) -> None:
    """Every complaint has its reference, its labelled action and its relevant article first."""
    for complaint, response in zip(references.complaints, references.responses, strict=True):
        assert (response.id, response.text) == (complaint.id, complaint.reference)
        assert response.decision.action == complaint.action
        assert tuple(hit.doc for hit in response.hits) == complaint.relevant


def test_the_exemplary_run(references: Material) -> None:
    """Forty complaints of every category, each with its hand-written answer of 50 to 110 words."""
    chosen, responses = exemplary_run(references.complaints)
    assert len(chosen) == len(responses) == 40
    assert {c.category for c in chosen} == {c.category for c in references.complaints}
    for complaint, response in zip(chosen, responses, strict=True):
        assert response.id == complaint.id and response.text != complaint.reference
        words = [word for word in response.text.split() if not re.fullmatch(r"\d\.", word)]
        assert 50 <= len(words) <= 110, (response.id, len(words))


RECORDED = [
    row for row in TEXT_MUTANTS if row.name not in ("guard-bypassed", "prompt-recited")
]  # need a model's answer


@pytest.mark.parametrize("row", RECORDED, ids=[row.name for row in RECORDED])
def test_a_text_mutant_changes_copies_and_always_alike(references: Material, row: Mutant) -> None:
    """It changes something, the same thing each time, and leaves the run that it was given as it was."""
    before = (references.responses, references.complaints, references.official)
    broken = row.apply(references)
    assert broken != references
    assert broken == row.apply(references) or broken.spoil is not list
    assert (references.responses, references.complaints, references.official) == before
    if row.change is not None:
        changed = [a.id for a, b in zip(references.responses, broken.responses, strict=True) if a != b]
        assert len(changed) == 1


HARMLESS_RECORDED = [row for row in HARMLESS if row.needs == "records"]


@pytest.mark.parametrize("row", HARMLESS_RECORDED, ids=[row.name for row in HARMLESS_RECORDED])
def test_a_harmless_mutant_keeps_every_case(references: Material, row: Mutant) -> None:
    """No case is lost, and every response still has its complaint."""
    changed = row.apply(references)
    assert len(changed.responses) == len(references.responses)
    assert {r.id for r in changed.responses} == {c.id for c in changed.complaints}


@pytest.mark.parametrize(
    ("change", "text", "expected"),
    [
        (last_digit_up, "1-800-555-0117", "1-800-555-0118"),
        (last_digit_up, "1-800-555-0119", "1-800-555-0110"),
        (times_ten, "$25", "$250"),
        (times_ten, "25 dollars", "250 dollars"),
        (times_ten, "$4.50", None),
        (halved, "60 seconds", None),
        (halved, "30 minutes", "15 minutes"),
        (halved, "within 10 business days", "within 5 business days"),
        (halved, "7 days", None),
        (halved, "8 pm", None),
        (halved, "Friday", None),
    ],
)
def test_changed_facts(change: Callable[[str], str | None], text: str, expected: str | None) -> None:
    """The rewriting of one claim."""
    assert change(text) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (cut_short, "I am sorry about that. Wait"),
        (without_facts, "I am sorry about that. Your light comes back."),
        (without_feeling, "Noted. Wait 10 minutes. Your light comes back."),
        (said_twice, f"{ANSWER}\n\n{ANSWER}"),
    ],
)
def test_changed_answers(change: Callable[..., str | None], expected: str) -> None:
    """The rewriting of one answer."""
    complaint = Complaint(id="C-1", text="no light", facts=("10 minutes",), action="RAG")
    answer = make_response(complaint, ANSWER)
    assert change(answer, complaint) == expected


def test_shuffling_keeps_the_sentences() -> None:
    """The same sentences, never in the same order."""
    complaint = Complaint(id="C-1", text="no light")
    for number in range(20):
        answer = make_response(replace(complaint, id=f"C-{number}"), "One comes first. Two comes next.")
        assert shuffled_sentences(answer, complaint) == "Two comes next. One comes first."
    assert shuffled_sentences(make_response(complaint, "Only one."), complaint) is None
