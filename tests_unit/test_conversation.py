"""Follow-ups: asked together with what went before where that helps, and alone where it does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.complaints import MAX_CHARACTERS
from system.conversation import CHARACTERS, TURNS, bounded, in_context
from system.records import Decision


def played(alone: float, together: float, *, scope: float = 0.1, reply: str = "", joined_reply: str = ""):  # type: ignore[no-untyped-def]
    """A decision stage that finds the message this close to a passage, alone and with the earlier ones."""

    def decide(texts: Sequence[str]) -> list[Decision]:
        assert len(texts) == 2
        scores = zip((alone, together), (reply, joined_reply), strict=True)
        return [
            Decision(
                action="RAG",
                reason="",
                score=0.9,
                threshold=0.5,
                signals={"scope": scope, "retrieval": retrieval},
                reply=r or None,
            )
            for retrieval, r in scores
        ]

    return decide


@pytest.mark.parametrize(
    ("decide", "earlier"),
    [
        pytest.param(played(0.2, 0.9), 1, id="means nothing alone"),
        pytest.param(played(0.9, 0.8), 0, id="another matter"),
        pytest.param(played(0.2, 0.9, scope=-0.1), 0, id="thanks"),
        pytest.param(played(0.2, 0.9, reply="manipulation"), 0, id="an attack"),
        pytest.param(played(0.2, 0.9, joined_reply="danger"), 0, id="danger is over"),
    ],
)
def test_when_the_earlier_words_count(decide, earlier: int) -> None:  # type: ignore[no-untyped-def]
    """Earlier words are added where the articles answer better with them, and never to what needs no article."""
    asked = in_context(decide, ["My bill is higher."], "When do I get it back?")
    assert asked.earlier == earlier
    assert asked.text == ("My bill is higher.\n\n" if earlier else "") + "When do I get it back?"


def test_a_first_message_is_asked_as_it_is() -> None:
    """Nothing is decided twice where there is nothing to add."""
    assert in_context(lambda texts: pytest.fail("asked"), [], "Hello.").text == "Hello."


def test_a_joined_text_stays_within_what_may_be_asked() -> None:
    """A message that fills the limit by itself is asked alone."""
    text = "a" * (MAX_CHARACTERS - 5)
    assert in_context(played(0.1, 0.9), ["My bill is higher."], text).text == text


@given(st.lists(st.text(max_size=900), max_size=12))
def test_history_is_bounded(messages: list[str]) -> None:
    """The history is the latest messages, whole, within both bounds, and as many of them as fit."""
    kept = bounded(messages)
    assert kept == messages[len(messages) - len(kept) :]
    assert len(kept) <= TURNS
    assert sum(map(len, kept)) <= CHARACTERS
    if len(kept) < min(TURNS, len(messages)):
        assert sum(map(len, messages[-len(kept) - 1 :])) > CHARACTERS
