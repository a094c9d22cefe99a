"""Scores per case: what each metric says, where it does not apply, and how errors and gaps are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fixtures.fakes import make_hits, make_response
from system.errors import SettingsError
from system.evaluation.rules import RULES
from system.evaluation.scores import METRICS, OF_TEXT, score, score_all
from system.records import Action, Complaint, Identity, Prompt, Score

OFFICIAL = "A late fee of $8 is added.\n\nCall 1-800-555-0117, open 24 hours. See help.calderline.example/outages."
GOOD = "I am sorry about the fee of $8, please call 1-800-555-0117."


def complaint(action: Action = "RAG", **changes: Any) -> Complaint:
    """A labelled complaint about something that costs $94."""
    fields: dict[str, Any] = {"id": "T-1", "text": "Why did I pay $94?", "cluster": "fee", "action": action}
    fields |= {"relevant": ("billing_faq", "service_policies"), "facts": ("$94",)}
    return Complaint(**{**fields, **changes})


def read(*passages: str) -> Prompt:
    """A prompt that holds these passages."""
    return Prompt(template="t", system="", user="", text="", tokens=0, passages=passages)


HAS_READ: dict[str, Any] = {"hits": make_hits(["billing_faq"]), "prompt": read("billing_faq#1")}


def of(metric: str, text: str = GOOD, asked: Complaint | None = None, **changes: Any) -> Score | None:
    """The score of a hand-made response."""
    asked = asked or complaint()
    return score(metric, make_response(asked, text, **changes), asked, OFFICIAL)


@pytest.mark.parametrize(
    ("docs", "at_1", "at_2", "at_3", "at_5"),
    [
        (["billing_faq"], 1, 1, 1, 1),
        (["service_policies", "other"], 1, 1, 1, 1),  # any relevant article will do
        (["other", "billing_faq"], 0, 1, 1, 1),
        (["other", "other", "billing_faq"], 0, 0, 1, 1),
        (["other", "other", "other", "other", "billing_faq"], 0, 0, 0, 1),
        (["other"] * 5 + ["billing_faq"], 0, 0, 0, 0),
        (["billing"], 0, 0, 0, 0),
        ([], 0, 0, 0, 0),
    ],
)
def test_hits(docs: list[str], at_1: int, at_2: int, at_3: int, at_5: int) -> None:
    """hit@k is 1 if one of the first k hits is from a relevant article; a miss names what was wanted and found."""
    for k, value in ((1, at_1), (2, at_2), (3, at_3), (5, at_5)):
        found = of(f"hit@{k}", hits=make_hits(docs))
        assert found is not None
        assert found.value == value
        wanted = f"cause retrieval: wanted billing_faq or service_policies, got {docs[:k]}"
        assert found.explanation == ("" if value else wanted)


@pytest.mark.parametrize("action", ["DIRECT", "ESCALATE"])
def test_hits_apply_where_articles_answer(action: Action) -> None:
    """A complaint that no article answers has no right hit, and counts neither for nor against retrieval."""
    assert of("hit@2", asked=complaint(action), hits=make_hits(["billing_faq"])) is None


@pytest.mark.parametrize("wanted", ["RAG", "DIRECT", "ESCALATE"])
@pytest.mark.parametrize("taken", ["RAG", "DIRECT", "ESCALATE"])
def test_decision_accuracy(wanted: Action, taken: Action) -> None:
    """A decision is right if it is the labelled one; a wrong one is explained with its own reason."""
    found = of("decision_accuracy", asked=complaint(wanted), action=taken)
    assert found is not None
    assert found.value == float(wanted == taken)
    why = f"cause decision: wanted {wanted}, got {taken} (made by hand)"
    assert found.explanation == ("" if wanted == taken else why)


BROKEN = {
    "rude": "You are stupid.",
    "asks_for_secret": "Please send me your password.",
    "invented_phone": "Please call 1-800-555-0199.",
    "invented_link": "Look at help.calderline.example/speed for that.",
    "invented_price": "That is $9 in all.",
    "invented_deadline": "We answer within 3 days.",
    "empty": "",
    "cut_off": "Please restart the",
    "not_english": "Bitte starten Sie das Gerät neu und warten Sie, bis das Licht weiß ist.",
    "repetitive": "Please wait now. Please wait now. Please wait now.",
    "leaks_prompt": "<|im_start|>assistant Sorry.",
    "misplaced_condolence": "I am sorry for your loss.",
    "placeholder": "Best wishes, [Your Name].",
    "breaks_role": "As an AI language model, I am sorry.",
}


def test_every_rule_has_its_example() -> None:
    """A rule that is added to the rules gets an example here."""
    assert set(BROKEN) == set(RULES) <= set(METRICS)


@pytest.mark.parametrize("name", list(BROKEN))
def test_rules(name: str) -> None:
    """A rule's score is its number of violations, 0 for a good answer; the violation is the explanation."""
    bad, good = of(name, BROKEN[name], **HAS_READ), of(name)
    assert bad is not None
    assert good is not None
    assert bad.value == 1
    assert bad.explanation.startswith("cause generation: ")
    assert (good.value, good.explanation) == (0, "")


def test_several_violations_are_counted() -> None:
    """Two invented numbers are two violations, and both are named."""
    found = of("invented_phone", "Call 1-800-555-0199 or 1-800-555-0198.")
    assert found is not None
    assert found.value == 2
    assert "0199" in found.explanation
    assert "0198" in found.explanation


def test_hard_rules_are_all_rules_together() -> None:
    """hard_rules counts the violations of every rule."""
    found = of("hard_rules", "You are stupid. Call 1-800-555-0199.", **HAS_READ)
    assert found is not None
    assert found.value == 2
    assert found.explanation.startswith("cause generation: rude (")
    assert found.explanation.endswith("; invented phone '1-800-555-0199'")


COUNTED = sorted([*RULES, "hard_rules", "direct_facts"])
WRITER = Identity(model="m", model_hash="0", knowledge_base="0")
TUNED = replace(WRITER, adapter="adapters/a", adapter_hash="1")


@pytest.mark.parametrize("metric", COUNTED)
@pytest.mark.parametrize(
    ("asked", "taken", "hits", "passages", "identity", "cause"),
    [
        pytest.param("RAG", "RAG", ["billing_faq"], ["billing_faq#1"], WRITER, "generation", id="all was right"),
        pytest.param("RAG", "RAG", ["billing_faq"], ["billing_faq#1"], TUNED, "adapter or generation", id="adapter"),
        pytest.param("RAG", "RAG", ["other"], ["other#1"], WRITER, "retrieval", id="another article"),
        pytest.param("RAG", "RAG", ["billing_faq"], [], WRITER, "retrieval", id="found, not read"),
        pytest.param("RAG", "DIRECT", ["billing_faq"], [], WRITER, "decision", id="not to be answered directly"),
        pytest.param("ESCALATE", "DIRECT", [], [], WRITER, "decision", id="a person's matter"),
        pytest.param("DIRECT", "DIRECT", [], [], WRITER, "generation", id="nothing to read"),
        pytest.param("RAG", "DIRECT", [], [], WRITER, "retrieval", id="a variant that never retrieves"),
    ],
)
def test_the_cause_of_a_violation(
    metric: str,
    asked: Action,
    taken: Action,
    hits: list[str],
    passages: list[str],
    identity: Identity,
    cause: str,
) -> None:
    """Every counting metric names the first stage that did not do as labelled, the writer only where all did."""
    text = BROKEN.get(metric, "Call 1-800-555-0199.")
    given = {"hits": make_hits(hits), "prompt": read(*passages), "identity": identity, "action": taken}
    found = of(metric, text, complaint(asked), **given)
    if metric == "direct_facts" and taken != "DIRECT":
        assert found is None
        return
    assert found is not None
    assert found.explanation.startswith(f"cause {cause}: ")


def test_the_customer_may_be_quoted() -> None:
    """A price that only the customer named is not invented."""
    quoted, changed = of("invented_price", "You paid $94."), of("invented_price", "You paid $95.")
    assert quoted is not None
    assert changed is not None
    assert (quoted.value, changed.value) == (0, 1)


@pytest.mark.parametrize(
    ("text", "action", "value"),
    [
        (GOOD, "RAG", None),
        (GOOD, "ESCALATE", None),
        ("Hello, how can I help?", "DIRECT", 0),
        ("You paid $94.", "DIRECT", 0),  # the customer said so
        ("The fee is $8.", "DIRECT", 1),  # true, but nothing was read
        ("Call 1-800-555-0117 within 24 hours, or see help.calderline.example/outages about $8.", "DIRECT", 4),
        ("You are stupid.", "DIRECT", 0),  # another rule's
    ],
)
def test_direct_facts(text: str, action: Action, value: int | None) -> None:
    """An answer that read no article states no company fact, not even a true one; judged by the decision taken."""
    found = of("direct_facts", text, complaint("RAG"), action=action)
    assert (None if found is None else found.value) == value


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_errors_are_neither_good_nor_bad(metric: str) -> None:
    """A response that is an error scores as that error where its text matters; retrieval and decision still count."""
    found = of(metric, "", action="DIRECT", hits=make_hits(["billing_faq"]), finish="error", error="TimeOut: 120 s")
    assert found is not None
    if metric in OF_TEXT:
        assert (found.value, found.error) == (None, "TimeOut: 120 s")
    else:
        assert found.value is not None
        assert found.error is None


def test_metrics_of_text_are_those_of_the_answer() -> None:
    """Hits, decisions and prompts can be judged without an answer."""
    assert set(METRICS) - OF_TEXT == {"hit@1", "hit@2", "hit@3", "hit@5", "decision_accuracy", "not_as_declared"}


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_score_says_whose_it_is(metric: str) -> None:
    """A score carries case, variant, metric and cluster, so that a verdict can name them."""
    found = of(metric, action="DIRECT", variant="rag")
    assert found is not None
    assert (found.case, found.variant, found.metric, found.cluster) == ("T-1", "rag", metric, "fee")


def test_an_unknown_metric_names_the_known_ones() -> None:
    """A misspelt metric is the user's error, and the known ones are listed."""
    with pytest.raises(SettingsError) as caught:
        of("hit@4")
    assert str(caught.value) == f"metric 'hit@4' is unknown; known are {', '.join(METRICS)}"


def test_missing_responses_are_expected() -> None:
    """A complaint without a response is expected and has no score; one that the metric does not judge is neither."""
    asked = [complaint(id=f"T-{n}") for n in range(3)] + [complaint("DIRECT", id="T-3"), complaint("DIRECT", id="T-4")]
    responses = [make_response(asked[n], GOOD, hits=make_hits(["billing_faq"])) for n in (2, 0, 3)]
    scores, expected = score_all("hit@2", responses, asked, OFFICIAL)
    assert [s.case for s in scores] == ["T-0", "T-2"]
    assert expected == ["T-0", "T-1", "T-2", "T-4"]  # of T-4 nothing is known, so the gate must see it missing


def test_foreign_responses_are_left_out() -> None:
    """A response to a complaint that is not among the asked ones has no score and is not expected."""
    foreign = make_response(complaint(id="D-1"), GOOD)
    scores, expected = score_all("rude", [foreign, make_response(complaint(), GOOD)], [complaint()], OFFICIAL)
    assert [s.case for s in scores] == expected == ["T-1"]
