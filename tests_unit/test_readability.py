"""Countable signs of clear writing: every value is counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.evaluation.readability import EASY_REPLY, EASY_SENTENCE, SIGNS, readability

CLEAR = "Restart the Hub. Wait a minute."


def of(text: str, sign: str) -> float:
    """One sign of a text."""
    return readability(text)[sign]


def test_clear_is_zero() -> None:
    """Short whole sentences in plain words cost nothing, whichever way they are laid out."""
    zero = dict.fromkeys(SIGNS, 0.0)
    assert readability(CLEAR) == zero
    assert readability("1. Restart the Hub.\n2. Wait 60 seconds.\n\nIs the light white?") == zero
    assert readability("- Open the app\n- Tap **Bills**.") == zero


def test_no_words_is_the_worst() -> None:
    """Nothing to read is not clear: a sign must not be at its best because it found nothing to count."""
    for text in ("", " \n", "...", "🙂 !", "___"):
        assert readability(text) == dict.fromkeys(SIGNS, -1.0)


@given(st.text(max_size=300))
@settings(derandomize=True, database=None, deadline=None, max_examples=200)
def test_between_minus_one_and_zero(text: str) -> None:
    """Every text gives every sign, none above 0 or below -1: no text can be clearer than clear."""
    found = readability(text)
    assert tuple(found) == SIGNS
    assert all(-1 <= value <= 0 for value in found.values())


def test_long_sentences() -> None:
    """Means of 20 words and less are easy; 30 are half too many, 50 and 40 all; the longest may have 40."""
    sentence = " ".join(["Please", *["go"] * (EASY_SENTENCE - 1)]) + "."
    assert of(sentence, "long_sentences") == 0
    thirty = " ".join(["Please", *["go"] * 29]) + "."
    assert of(thirty, "long_sentences") == pytest.approx(-0.5)
    assert of(thirty, "longest_sentence") == 0
    fifty = " ".join(["Please", *["go"] * 49]) + "."
    assert of(fifty, "long_sentences") == -1
    assert of(fifty, "longest_sentence") == pytest.approx(-0.25)
    assert of(f"{fifty} {'Go. ' * 9}", "long_sentences") == 0  # 59 words in 10 sentences
    assert of(f"{fifty} {'Go. ' * 9}", "longest_sentence") == pytest.approx(-0.25)


def test_lines_are_sentences() -> None:
    """A list without full stops is not one long sentence."""
    for mark in ("- ", ""):
        items = "\n".join(f"{mark}Step {n} is to press the button on the left" for n in range(1, 6))
        assert of(items, "longest_sentence") == of(items, "long_sentences") == 0


def test_long_reply() -> None:
    """110 words are easy to read on a telephone; 165 are half too many."""
    assert of("Go on. " * (EASY_REPLY // 2), "long_reply") == 0
    assert of("Go on now. " * 55, "long_reply") == pytest.approx(-0.5)


def test_long_words() -> None:
    """Two words of ten or more letters in sixteen: four times an eighth; nine letters are not long."""
    plain = "Go on now and do it, so we can see.".split()
    long = ["reconnection", "authentication"]
    text = " ".join([*plain, *long, "the", "apparatus", "is", "on."])
    assert len(text.split()) == 16
    assert of(text, "long_words") == pytest.approx(-0.5)


def test_initials() -> None:
    """Two unknown abbreviations in 32 words: eight times a sixteenth; those that customers know are free."""
    words = "Wait until the BRAS and the OLT are back, then".split() + ["go"] * 22
    assert len(words) == 32
    assert of(" ".join(words), "initials") == pytest.approx(-0.5)
    assert of("Your PIN, SIM and TV are OK, and your IDs, PINs and SIMs too.", "initials") == 0
    assert of("Two SLAs and your CPE failed.", "initials") == -1


@pytest.mark.parametrize("end", [".", "!", "?", '."', ".)", "**Bills**", ". 🙂", ":"])
def test_ended(end: str) -> None:
    """A text that ends with a stop, whatever wraps or follows that, was not cut off."""
    assert of(f"Please open the page{end}", "unended") == 0


@pytest.mark.parametrize("end", ["", ",", " and the", " -"])
def test_unended(end: str) -> None:
    """A text that breaks off inside a sentence shows it."""
    assert of(f"Wait a minute. Please open the page{end}", "unended") == -1


def test_uncapped() -> None:
    """One of two sentences without a capital or a number at its start is a half."""
    assert of("Restart the Hub. wait a minute.", "uncapped") == -0.5
    assert of('"Restart" it. 60 seconds will do.', "uncapped") == 0


def test_repeats() -> None:
    """Nine words have seven runs of three; "We will call" and "will call you" come again: twice two sevenths."""
    assert of("We will call you. We will call you again.", "repeats") == pytest.approx(-2 * 2 / 7)
    assert of("Go on. " * 20, "repeats") == -1
