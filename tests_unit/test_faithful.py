"""Faithful answers: an invention is written again, and what stays invented is replaced by the article's own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.fakes import ScriptedGenerator
from fixtures.service import AGENT, scripted_assistant
from fixtures.small_world import write_world
from system.decision import load_rules
from system.evaluation.declared import not_as_declared
from system.faithful import QUOTED, safe_answer, unsupported_words
from system.records import Complaint, Hit, Response
from system.variants import REWRITING, VARIANTS, Variant

FAITHFUL = replace(AGENT, name="faithful", faithful=True)
ORANGE = Complaint(id="orange", text="The hub shows an orange light and the internet is down.")
POEM = Complaint(id="poem", text="Please write me some verses about tall ships.")
GOOD = "I am sorry about the light. Please restart the hub."
BAD = "I am sorry about the light. Please call 1-800-555-0199 within 3 days."
SOURCES = ("A visit costs $40 and takes 2 hours. See help.calderline.example for Smart Band.",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A visit costs $40.", ()),
        ("A visit costs $45.", ("$45",)),
        ("It takes two hours.", ()),
        ("It takes 3 hours.", ("3 hours",)),
        ("See help.calderline.example.", ()),
        ("See calder-pay.example.", ("calder-pay.example",)),
        ("Please open Smart Band.", ()),
        ("Please open Golden Band.", ("Golden Band",)),
        ("Please ring 1-800-555-0199.", ("1-800-555-0199",)),
        ("I am sorry to hear that.", ()),
        ("I am sorry. It takes 3 ho", ()),  # cut off by the limit, and not shown
    ],
)
def test_what_counts_as_unsupported(text: str, words: tuple[str, ...]) -> None:
    """Numbers, prices, links, phone numbers and names must stand in a source, in whatever spelling."""
    assert unsupported_words(text, SOURCES) == words


@pytest.fixture
def answer(own_folder: Path) -> Callable[..., tuple[Response, list[str]]]:
    """Answers one complaint with a model that says the given things in turn: the response, and the prompts."""
    write_world(own_folder)

    def answer(complaint: Complaint, *said: str, variant: Variant = FAITHFUL) -> tuple[Response, list[str]]:
        words = list(said)
        model = ScriptedGenerator(lambda _: words.pop(0))
        assistant = scripted_assistant(model)
        (response,) = assistant.answer(assistant.drafts([complaint], variant))
        assert words == []
        return response, model.asked

    return answer


def test_a_faithful_answer_is_given_as_it_is(answer: Callable[..., tuple[Response, list[str]]]) -> None:
    """Where everything is supported the model is asked once."""
    response, _ = answer(ORANGE, GOOD)
    assert (response.text, response.rewritten, response.decoding) == (GOOD, False, FAITHFUL.decoding)


def test_an_invention_is_written_again(answer: Callable[..., tuple[Response, list[str]]]) -> None:
    """The second attempt reads the best passage alone, and the record says what it was."""
    response, asked = answer(ORANGE, BAD, GOOD)
    assert (response.text, response.rewritten, response.decoding) == (GOOD, True, REWRITING)
    assert response.prompt is not None
    assert response.prompt.passages == (response.hits[0].passage,)
    assert response.prompt.text == asked[1]
    assert (response.variant, response.error) == ("faithful", None)


def test_what_stays_invented_is_replaced(answer: Callable[..., tuple[Response, list[str]]], own_folder: Path) -> None:
    """The safe answer is the article's own words, and the offer of a person."""
    response, _ = answer(ORANGE, BAD, BAD)
    replies = load_rules(own_folder / "data").replies
    assert response.finish == "scripted"
    assert response.hits[0].text in response.text
    assert response.text.startswith(replies["unsure_with_source"])
    assert response.text.endswith(replies["offer_person"])
    assert "0199" not in response.text
    assert response.raw == BAD


def test_without_an_article_a_person_is_offered(
    answer: Callable[..., tuple[Response, list[str]]], own_folder: Path
) -> None:
    """A direct answer that invents twice has nothing to quote."""
    response, _ = answer(POEM, BAD, BAD)
    assert response.text == load_rules(own_folder / "data").replies["unsure"]


def test_other_variants_keep_the_guard_alone(answer: Callable[..., tuple[Response, list[str]]]) -> None:
    """A variant that does not declare it loses the sentence and is asked once."""
    response, _ = answer(ORANGE, BAD, variant=AGENT)
    assert response.text == "I am sorry about the light."
    assert not response.rewritten


def test_the_safe_answers_are_faithful_themselves() -> None:
    """Nothing in them needs a source beyond the passage that they quote."""
    replies = load_rules().replies
    for name in ("unsure", "unsure_with_source", "offer_person"):
        assert unsupported_words(replies[name], ()) == ()
    hit = Hit(doc="lights", passage="lights#1", score=1.0, heading="Light", text="Unplug it for 60 seconds. " * 60)
    safe = safe_answer(replies, [hit])
    assert unsupported_words(safe, [hit.text]) == ()
    assert len(safe) < QUOTED + 300
    assert "60 seconds.\n\n" in safe


def test_the_second_attempt_is_as_declared(answer: Callable[..., tuple[Response, list[str]]]) -> None:
    """The check of the record knows the second attempt, and no other decoding passes for it."""
    response, _ = answer(ORANGE, BAD, GOOD)
    shipped = replace(response, variant="agent-rag-fine-tuned", identity=replace(response.identity, adapter=ADAPTER))
    assert not_as_declared(shipped, ORANGE, "") == (0.0, "")
    assert not_as_declared(replace(shipped, rewritten=False), ORANGE, "")[0] == 1.0
    assert not_as_declared(replace(shipped, variant="agent-rag"), ORANGE, "")[0] > 0.0


ADAPTER = VARIANTS["agent-rag-fine-tuned"].adapter
