"""Condolences where nobody died and cheer where somebody complains, in words; neither where they belong."""

from __future__ import annotations

import pytest

from system.tone import condolences, misplaced

BILL = "You charged me twice and I want it back."


@pytest.mark.parametrize(
    "reply",
    [
        "I'm sorry for your loss, but we can help.",
        "I am so sorry for your great loss.",
        "I’m SORRY for\u00a0your loss.",
        "Please accept our deepest condolences.",
        "My heartfelt sympathies to you.",
        "May she rest in peace.",
        "Our thoughts and prayers are with you.",
        "So sorry to hear about the passing of your loved one.",
        "We are with you in this time of deep grief.",
    ],
)
def test_condolences(reply: str) -> None:
    """They are misplaced over a bill, and right where the message speaks of a death."""
    ((kind, words),) = misplaced(BILL, reply)
    assert kind == "condolence" and words
    for message in ("My husband died in May.", "It was my late mother's line.", "We lost our dad, cancel his plan."):
        assert misplaced(message, reply) == []


@pytest.mark.parametrize("reply", ["Great news! I looked it up.", "What a wonderful day!", "Yay 🎉", "How exciting!"])
def test_cheer(reply: str) -> None:
    """It is misplaced where somebody complains, and right where somebody is glad."""
    assert {kind for kind, _ in misplaced(BILL, reply)} == {"cheer"}
    assert misplaced("You were brilliant, it works again, thanks!", reply) == []


@pytest.mark.parametrize(
    "reply",
    [
        "I am sorry about the loss of signal.",
        "I am sorry for your loss of service.",
        "I am sorry that you lost your connection.",
        "I am glad that you wrote; that sounds annoying.",
        "The data loss is not your fault, and I am sorry.",
        "It is great that you kept the receipt.",
    ],
)
def test_what_fits(reply: str) -> None:
    """A loss of signal is no bereavement, and kindness no cheer."""
    assert misplaced(BILL, reply) == []


def test_the_words_are_given() -> None:
    """As they stand in the reply, for whoever reads the explanation."""
    assert condolences(BILL, "Oh. I'm so sorry for your loss!") == ["so sorry for your loss"]
