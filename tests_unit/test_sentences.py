"""The sentence splitter: where it cuts, where it must not, and that nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.sentences import sentence_spans, split_sentences

# Every case is the list of sentences that the joined text must be cut into again.
ONE_LINE = {
    "two plain sentences": ["Restart the Hub.", "Then wait."],
    "question and exclamation": ["Still no signal?", "Call us!", "We are open."],
    "clock time inside": ["The line is open from 7 a.m. to 10 p.m. every day.", "Call us."],
    "clock time before a day": ["Come at 8 a.m. Monday or later.", "Bring a badge."],
    "clock time at the end": ["The shop closes at 6 p.m.", "The line stays open."],
    "titles": ["Mr. Smith and Dr. Jones came.", "Mrs. Brown did not."],
    "e.g. and i.e.": ["Send proof, e.g. a lease, i.e. a copy.", "We check it."],
    "etc. inside": ["Unplug lamps, radios etc. before you start.", "Wait."],
    "etc. at the end": ["Unplug lamps, radios etc.", "Wait a minute."],
    "decimals": ["Choose 2.4 GHz.", "It costs $10.50 a month.", "Availability is 99.5 percent."],
    "link with a path": ["Open help.calderline.example/speed and press Start.", "Save the result."],
    "link at the end": ["Go to mail.calderline.example.", "Type the address."],
    "email address": ["Write to cancel@calderline.example.", "Keep the reply."],
    "phone number": ["Call 1-800-555-0142.", "Press 2."],
    "closing quote after the stop": ['"I am sorry that nobody came."', "Then act."],
    "closing quote before the stop": ['Choose "Send again".', "Only the newest code works."],
    "question in quotes goes on": ['Choose "Forgot password?" on the page.', "Wait."],
    "brackets": ["It is free (see the article).", "(Sundays too.)", "Book now."],
    "numbered steps in one line": ["1. Unplug the Hub.", "2. Wait 60 seconds.", "3. Plug it in."],
    "steps after a colon": ["Do this: 1. Unplug the Hub.", "2. Wait."],
    "number at the end": ["Wait for step 5.", "Then stop."],
    "No. before a number": ["Take form No. 5 to the shop.", "Sign it."],
    "No. as an answer": ["Is there a fee?", "No.", "The move is free."],
    "initials": ["Ask for J. R. Smith at the desk.", "Wait there."],
    "letter at the end": ["Choose plan B.", "Then confirm."],
    "country": ["It works in the U.S. and in Canada.", "It stops in the U.S.", "The pass helps."],
    "ellipsis goes on": ["Well... it works.", "Good."],
    "ellipsis ends": ["I waited...", "Nobody came."],
    "small first letter of a brand": ["Buy one.", "eSIM orders are free.", "iPhone users scan the code."],
    "brand after a quoted question": ['Ask "How?"', "eSIM orders are free."],
    "small letters throughout": ["no internet since monday.", "please help."],
    "bold marks": ["**Wait.**", "Then restart."],
    "no stop at the end": ["Restart it.", "Then wait"],
}


@pytest.mark.parametrize("sentences", ONE_LINE.values(), ids=ONE_LINE.keys())
def test_sentences_of_one_line(sentences: list[str]) -> None:
    """A stop ends a sentence unless it belongs to an abbreviation, a number, a link or a quotation that goes on."""
    assert split_sentences(" ".join(sentences)) == sentences


def test_list_items_are_units() -> None:
    """Every list item on its own line begins a sentence, and its number stays with its first words."""
    text = "Check these:\n1. Open the link. It works once.\n2. Wait\n- Cable 100: $40\n* Fibre\na) last"
    assert split_sentences(text) == [
        "Check these:",
        "1. Open the link.",
        "It works once.",
        "2. Wait",
        "- Cable 100: $40",
        "* Fibre",
        "a) last",
    ]


def test_newline_in_a_paragraph_is_a_space() -> None:
    """A wrapped line goes on, a blank line ends the sentence even without a stop."""
    assert split_sentences("The Hub\nis on.\n\nA heading\n\r\nMore text") == [
        "The Hub\nis on.",
        "A heading",
        "More text",
    ]


@pytest.mark.parametrize("text", ["", " \n\t ", "\n\n"])
def test_nothing_in_nothing_out(text: str) -> None:
    """A text without characters has no sentences."""
    assert split_sentences(text) == []


prose = st.lists(
    st.sampled_from(
        ["The Hub", "is", "a.m.", "e.g.", "on.", "Why?", '"Yes."', "1.", "- item", "\n", "\n\n", "$2.40", "…"]
    )
    | st.text(max_size=6),
    max_size=40,
).map(" ".join)


@given(prose)
def test_words_survive_in_order(text: str) -> None:
    """Joined by spaces the sentences are the text again, but for white space."""
    assert " ".join(split_sentences(text)).split() == text.split()


@given(prose)
def test_spans_leave_only_white_space_between(text: str) -> None:
    """Spans ascend, are stripped and leave nothing but white space between them."""
    end = 0
    for start, stop in sentence_spans(text):
        assert not text[end:start].strip()
        assert text[start:stop] and text[start:stop] == text[start:stop].strip()
        end = stop
    assert not text[end:].strip()
