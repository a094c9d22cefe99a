"""What is shown while an answer grows is never taken back."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.fakes import growing, make_response
from system.assistant import Draft, finished_text
from system.generation import Completion
from system.records import Complaint, Decision
from system.streaming import SentencePrinter
from system.variants import VARIANTS

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=200)
COMPLAINT = Complaint(id="ask", text="My bill has a late fee of $8.")
GUARDED = VARIANTS["agent-rag"]


def draft(guarded: bool) -> Draft:
    """A draft of a variant with or without the guard."""
    decision = Decision(action="RAG", reason="made by hand", score=1.0, threshold=0.0)
    variant = replace(GUARDED, guard=guarded)
    return Draft(COMPLAINT, variant, "key", (), decision, None, (COMPLAINT.text,), {})


def stream(pieces: Sequence[str], guarded: bool = True, stopped: bool = True) -> tuple[list[str], str, str]:
    """What was shown after each piece of a growing text, all that was printed, and the finished answer."""
    out, shown = io.StringIO(), []
    printer = SentencePrinter(draft(guarded), out)
    for piece in pieces:
        printer(draft(guarded), piece)
        shown.append(out.getvalue())
    words = Completion(pieces[-1] if pieces else "", 1, stopped, 0.0)
    text, _, _ = finished_text(words, draft(guarded))
    printer.finish(make_response(COMPLAINT, text))
    return shown, out.getvalue(), text


ANSWER = "I am sorry. The fee is $9. Restart the Hub. Then wait!"


def test_sentences_appear_once_they_are_certain() -> None:
    """A sentence is shown as soon as the first word after it is whole, and an invented price never is."""
    shown, printed, text = stream(list(growing(ANSWER)))
    assert text == "I am sorry. Restart the Hub. Then wait!"
    assert shown[4] == "I am sorry."  # "I am sorry. The fee"
    assert {s for s in shown if s} == {"I am sorry.", "I am sorry. Restart the Hub."}
    assert printed == f"{text}\n"


def test_without_a_guard_everything_is_shown() -> None:
    """A variant without the guard shows its invented facts, as its finished answer does."""
    shown, printed, text = stream(list(growing(ANSWER)), guarded=False)
    assert text == ANSWER
    assert shown[-1] == "I am sorry. The fee is $9. Restart the Hub."
    assert printed == f"{ANSWER}\n"


@pytest.mark.parametrize(
    "text",
    [
        "We open at 8 a.m. Monday to see you for $9. Bye now, dear customer.",  # "8 a.m. M" looks like an end
        "I am sorry.\nCheers!\nAlex\nCalderline",
        "I am sorry.\n\nThanks,\nAlex Smith.",
        "I am sorry.\n\n\n\nPlease restart. It costs $9. Bye now, dear customer.",
        "Cheers,\nI am sorry. Dear customer, dear",  # a signature once the half sentence is cut off
        "Do this:\n1. Pay $9.\n2. Restart the Hub. And wait a bit.",
        "Do this:\n1. Pay $9.\n\nBye now, dear customer. And wait a bit.",
        "Sorry... but no. See J. F. Smith in the U.S. Internet costs $9. Bye now, dear customer.",
    ],
)
@pytest.mark.parametrize("stopped", [True, False])
def test_tempting_texts(text: str, stopped: bool) -> None:
    """Where the next letters change what a sentence is, nothing is shown too early."""
    pieces = [text[:n] for n in range(1, len(text) + 1)]
    shown, printed, final = stream(pieces, stopped=stopped)
    assert all(final.startswith(s) for s in shown)
    assert printed == f"{final}\n"


PIECES = st.sampled_from(
    [
        *("I am sorry.", "Please wait!", "Restart the Hub", "Ask Dr. Smith.", "Open at 8 a.m.", "Monday works.", "No."),
        *(
            "5 is on.",
            "The fee is $8.",
            "The fee is $9.",
            "Call 1-800-555-0199.",
            "You are stupid.",
            "Dear [Your Name],",
        ),
        *("Steps:", "1. Restart.", "2. Pay $99.", "2. Wait. Then go.", "- Pay $99. Then wait.", "- a hub", "3.", "-"),
        *("Best regards,", "Alex", "Thanks!", "Cheers,", "Calderline", "e.g.", "The U.S.", "Internet"),
    ]
)
GAPS = st.sampled_from([" ", "\n", "\n\n", "\n\n\n\n"])
ANSWERS = st.lists(st.tuples(PIECES, GAPS), max_size=12).map(lambda parts: "".join(p + gap for p, gap in parts))


@STEADY
@given(ANSWERS, st.sets(st.integers(0, 300)), st.booleans(), st.booleans())
def test_what_is_shown_begins_the_answer(text: str, cuts: set[int], guarded: bool, stopped: bool) -> None:
    """However the text arrives in pieces, what is shown is always the beginning of the answer, at last all of it."""
    pieces = [text[:n] for n in sorted(cuts) if n < len(text)] + [text]
    shown, printed, final = stream(pieces, guarded, stopped)
    assert all(final.startswith(s) for s in shown)
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
    assert printed == f"{final}\n"


def test_an_answer_that_replaces_the_text_is_shown_whole() -> None:
    """When a reply takes the place of what was shown already, it is printed on a line of its own."""
    out = io.StringIO()
    printer = SentencePrinter(draft(True), out)
    printer(draft(True), "I am sorry. Please wait for")
    printer.finish(make_response(COMPLAINT, "A colleague takes over."))
    assert out.getvalue() == "I am sorry.\nA colleague takes over.\n"
