"""From a model's words to an answer: whole sentences, no invented facts, tidy lists."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.guard import guard, whole_sentences, without_signature
from system.sentences import split_sentences

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=200)
SOURCES = (
    "A late fee of $8 is added on day 6.",
    "The fault line is 1-800-555-0117, open 24 hours.\n\nSee https://help.calderline.example/outages.",
    "Reconnection takes up to 2 business days.",
)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("   \n", ""),
        ("Sorry.", "Sorry."),
        ("Sorry. Please restart the", "Sorry."),
        ("Please restart the", ""),
        ('He said "wait." Then he', 'He said "wait."'),
        ("**Sorry.** Then", "**Sorry.**"),
        ("Did it help? Yes! And", "Did it help? Yes!"),
        ("Ask Dr. Smith at 8 a.m. about the", ""),  # no stop here ends a sentence
        ("We open at 8 a.m. on Monday. Call us at", "We open at 8 a.m. on Monday."),
        (
            "Go to help.calderline.example/speed. Then go to help.",
            "Go to help.calderline.example/speed. Then go to help.",
        ),
        ("It costs $2.50 a month. It costs $2", "It costs $2.50 a month."),
        ("1. Restart.\n2. Wait for the", "1. Restart."),
        ("1. Restart.\n2.", "1. Restart."),
        ("1. Restart.\n2. ", "1. Restart."),
        ("Restart.\n\n1.\n2)", "Restart."),
        ("- Restart.\n- ", "- Restart."),
        ("Sorry.\n\nTake these steps:\n1. Restart the", "Sorry."),
        ("Sorry.\n\nTake these steps:", "Sorry."),
        ("\n Sorry.\n\n Wait. \n", "Sorry.\n\n Wait."),
    ],
)
def test_whole_sentences(text: str, whole: str) -> None:
    """The text ends with its last whole sentence: no half one, no bare list number, no line that announces nothing."""
    assert whole_sentences(text) == whole


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Restart it.\n\nBest regards,\nAlex", "Restart it."),
        ("Restart it.\n\nBest regards,\n\nAlex Smith", "Restart it."),
        ("Restart it.\n\nWarm regards,\nThe Calderline Team.", "Restart it."),
        ("Restart it.\nSincerely,\n[Your Name]\nCalderline", "Restart it."),
        ("Restart it.\nYours faithfully", "Restart it."),
        ("Restart it.\n\nKind regards", "Restart it."),
        ("Restart it.\nThanks,\nAlex", "Restart it."),
        ("Restart it.\nMany thanks!", "Restart it."),
        ("BEST WISHES,\nALEX", ""),
        # no signatures
        ("Thanks!\nPlease restart it.", "Thanks!\nPlease restart it."),
        ("Sorry.\n\nThanks.\nWe are looking into it.", "Sorry.\n\nThanks.\nWe are looking into it."),
        ("Many thanks for waiting.\nRestart it.", "Many thanks for waiting.\nRestart it."),
        ("Regards are due to you.", "Regards are due to you."),
        ("Best regards,\nAlex\n\nRestart it. Then wait.", "Best regards,\nAlex\n\nRestart it. Then wait."),
        ("Restart it, with love.", "Restart it, with love."),
        ("", ""),
    ],
)
def test_signatures_are_cut(text: str, kept: str) -> None:
    """A closing formula with its names is cut off at the end, and nothing else is: thanks may open a sentence."""
    assert without_signature(text) == kept


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("A late fee of $9 is added.", "price"),
        ("Call 1-800-555-0199 at once.", "phone"),
        ("See help.calderline.example/speed for more.", "link"),
        ("Write to support@calderline.example.", "email"),
        ("It takes 3 business days.", "deadline"),
        ("We are back by Friday.", "day"),
        ("You are stupid.", "rude"),
        ("Please send me your password.", "secret"),
        ("Dear [Customer Name], hello.", "placeholder"),
        ("Write to me at [your_email_address].", "placeholder in small letters"),
        ("I am Sarah, a customer of Calderline.", "a customer with a name"),
        ("I am so sorry for your loss.", "condolence"),
        ("Stay calm, shut up and wait.", "rude inside"),
        ("If you complain again, we will cut you off.", "threat"),
        ("Aww, did the big scary Hub win?", "mockery"),
        ("Please pass the six digits on to me.", "code"),
        ("My internet has been down for weeks.", "the customer's voice"),
        ("As an AI language model, I cannot tell.", "a model's voice"),
        ("Say in one sentence that you can only help with Calderline services.", "instructions of a template"),
        ("</article>Wait a moment.", "a marker of the prompt"),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_what_no_agent_could_stand_by_is_removed(bad: str, why: str, position: int) -> None:
    """Invented facts, rudeness, requests for secrets and placeholders go; every other sentence stays."""
    good = ["I am sorry.", "Please restart the Hub."]
    sentences = [*good[:position], bad, *good[position:]]
    assert guard(" ".join(sentences), SOURCES) == (" ".join(good), (bad,))


@pytest.mark.parametrize(
    "text",
    [
        "A late fee of $8 is added.",
        "The fee is 8 dollars.",
        "The fee is eight dollars.",
        "Call 1-800-555-0117.",
        "The line is (800) 555 0117.",
        "Call 1.800.555.0117.",
        "See help.calderline.example/outages.",
        "See http://www.help.calderline.example/outages!",
        "It takes two working days.",
        "It takes 2 weekdays.",
        "I will never ask you for your password.",
        "Please tell me your support PIN.",
        "No claim at all.",
        "",
    ],
)
def test_what_the_sources_say_is_kept(text: str) -> None:
    """A fact from the sources stays in whatever spelling, and so does a warning about secrets."""
    assert guard(text, SOURCES) == (text, ())


def test_condolences_where_they_belong() -> None:
    """A loss that the customer's message speaks of may be mourned."""
    text = "I am so sorry for your loss. A person takes over."
    assert guard(text, SOURCES, "My father died.") == (text, ())
    assert guard(text, SOURCES, "My bill is wrong.") == ("A person takes over.", ("I am so sorry for your loss.",))


def test_its_own_instructions_are_not_for_the_customer() -> None:
    """Ten words in a row of what the model was told go with their sentence; nine may be chance."""
    told = "Greet every guest of the lake hotel by name, and never mention the broken lift."
    recited = "I greet every guest of the lake hotel by name, and never tell."
    assert guard(f"{recited} Please wait.", (), "", told) == ("Please wait.", (recited,))
    assert guard(recited, ()) == (recited, ())
    assert guard("Greet every guest of the lake hotel by now.", (), "", told)[1] == ()


def test_a_conversation_made_up_goes_from_its_first_turn_on() -> None:
    """What the model lets the customer say, and its own reply to that, were never said."""
    text = "Please restart the Hub.\n\nCustomer: Thank you so much. It works.\n\nI am glad to hear it."
    kept, removed = guard(text, SOURCES)
    assert kept == "Please restart the Hub." and removed[-1] == "I am glad to hear it." and len(removed) == 3
    assert guard("Customer: Thank you. Bye.", SOURCES)[0] == ""
    assert guard("Dear customer: please wait.", SOURCES) == ("Dear customer: please wait.", ())


def test_a_fact_needs_only_one_source() -> None:
    """What the customer wrote may be repeated, also when the article does not say it."""
    text = "You paid $94 and the fee is $8."
    assert guard(text, SOURCES)[1] == (text,)
    assert guard(text, ("I paid $94!", *SOURCES)) == (text, ())
    twice = "You paid $94. The fee is $8."
    assert guard(twice, iter(("I paid $94!", *SOURCES))) == (twice, ())  # sources that can be read only once


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # Line breaks outlive the sentence that they stood before.
        ("Sorry.\n\nIt costs $99. Please restart.", "Sorry.\n\nPlease restart."),
        ("Sorry. It costs $99.\n\nPlease restart.", "Sorry.\n\nPlease restart."),
        ("Sorry.\n\nIt costs $99.\n\nPlease restart.", "Sorry.\n\nPlease restart."),
        ("It costs $99.\n\nPlease restart.", "Please restart."),
        ("Please restart.\n\nIt costs $99.", "Please restart."),
        ("Sorry.\n\n\n\nWait.", "Sorry.\n\nWait."),
        # Lists keep their shape.
        ("1. Restart.\n2. Pay $99.\n3. Wait.", "1. Restart.\n3. Wait."),
        ("- Restart the Hub\n- Pay $99\n- Wait", "- Restart the Hub\n- Wait"),
        ("- Restart the Hub\n- Pay $99. Then wait.\n- Go", "- Restart the Hub\n\nThen wait.\n- Go"),
        # No announcement of nothing.
        ("Sorry.\n\nSteps:\n1. Pay $99.", "Sorry."),
        ("Sorry. Steps:\n1. Pay $99.\n2. Call 555-0000.\n\nBye.", "Sorry.\n\nBye."),
        ("Sorry.\n\nSteps:\n\n1. Pay $99.\n2. Call 1-800-555-0000.\n\nBye.", "Sorry.\n\nBye."),
        ("Here it is:\n\nIt costs $99.\n\nBye.", "Bye."),
        ("The price is:\n- $99 a month.\nPlease call us.", "Please call us."),
        ("All of it:\n\nSteps:\n\n- Pay $99.", ""),
        ("Sorry.\n\nSteps:", "Sorry."),
        # But an announcement of what is left.
        ("Steps:\n1. Pay $99.\n2. Restart.", "Steps:\n2. Restart."),
        ("Steps:\n1. Pay $99. Then wait.", "Steps:\n\nThen wait."),
        ("Steps:\n\n1. Pay $99.\n\n2. Restart.", "Steps:\n\n2. Restart."),
        # No bare markers.
        ("Wait.\n\n2.\n\nBye.", "Wait.\n\nBye."),
        ("It costs $99.", ""),
    ],
)
def test_what_is_left_is_tidy(text: str, kept: str) -> None:
    """Paragraphs and lists keep their line breaks; nothing dangles: no bare number, no announcement of nothing."""
    assert guard(text, SOURCES)[0] == kept


PIECES = st.sampled_from(
    [
        *(
            "I am sorry.",
            "Please wait!",
            "Is it on?",
            "Restart the Hub",
            "Ask Dr. Smith.",
            "Open at 8 a.m. on the day.",
        ),
        *("The fee is $8.", "The fee is $9.", "Call 1-800-555-0199.", "You are stupid.", "Dear [Your Name],"),
        *("Steps:", "Do this:", "1. Restart.", "2. Pay $99.", "2. Wait. Then go.", "- Pay $99. Then wait.", "- a hub"),
        *("3.", "-", "*", "No. 5 is on.", "See help.calderline.example/x.", "e.g.", "Best regards,", "Alex"),
    ]
)
GAPS = st.sampled_from([" ", "  ", "\n", "\n\n", "\n\n\n\n", " \n \n", "\n\n  "])
ANSWERS = st.lists(st.tuples(PIECES, GAPS), max_size=12).map(lambda parts: "".join(p + gap for p, gap in parts))
ANYTHING = st.one_of(ANSWERS, st.text(max_size=120), st.text("ab1.2:-*$9!\n \"'(", max_size=60))


def is_subsequence(some: list[str], all_of_them: list[str]) -> bool:
    """Whether the items stand in the other list in their order."""
    rest = iter(all_of_them)
    return all(item in rest for item in some)


@STEADY
@given(ANYTHING)
def test_whole_sentences_are_a_beginning(text: str) -> None:
    """whole_sentences returns the beginning of the text, and the same beginning again from its own result."""
    whole = whole_sentences(text)
    assert text.lstrip().startswith(whole)
    assert whole_sentences(whole) == whole


@STEADY
@given(ANYTHING)
def test_guarding_only_removes(text: str) -> None:
    """What is left are the text's own words in their order; kept and removed sentences together are all sentences."""
    kept, removed = guard(text, SOURCES)
    assert is_subsequence(kept.split(), text.split())
    assert is_subsequence(list(removed), split_sentences(text))
    assert len("".join(kept.split())) + len("".join("".join(removed).split())) == len("".join(text.split()))


@STEADY
@given(ANSWERS)
def test_sentences_stay_what_they_were(text: str) -> None:
    """The sentences of what is left are sentences of the text: nothing merges with its new neighbour."""
    kept, removed = guard(text, SOURCES)
    before = [" ".join(s.split()) for s in split_sentences(text)]
    after = [" ".join(s.split()) for s in split_sentences(kept)]
    assert is_subsequence(after, before)
    assert len(after) + len(removed) == len(before)


@STEADY
@given(ANSWERS)
def test_guarding_twice_is_guarding_once(text: str) -> None:
    """A guarded text is clean for the guard, so that replaying it takes nothing more out."""
    kept, _ = guard(text, SOURCES)
    assert guard(kept, SOURCES) == (kept, ())


@STEADY
@given(ANSWERS, st.lists(PIECES, max_size=3))
def test_more_sources_never_remove_more(text: str, extra: list[str]) -> None:
    """Knowing more keeps more: a further source takes out no sentence that was kept without it."""
    assert is_subsequence(list(guard(text, (*SOURCES, *extra))[1]), list(guard(text, SOURCES)[1]))


def test_a_sentence_said_before_is_taken_out() -> None:
    """A model that goes round in circles is stopped at its first repetition; what merely resembles stays."""
    first, again = (
        "I'll give you another answer to your question.",
        "3. I'll give you another answer to your question again.",
    )
    assert guard(f"{first} Restart the Hub. {again}", []) == (f"{first} Restart the Hub.", (again,))
    for kept in (
        "Unplug the Hub for one minute. Plug the Hub in and wait one minute.",
        "Thank you for waiting. Thank you for your patience with us today.",
        "Yes. Yes.",
    ):
        assert guard(kept, ["one minute"]) == (kept, ())
