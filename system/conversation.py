"""Several turns as one question: what a follow-up means together with what the customer wrote before.

    asked = in_context(assistant.decisions, ["My bill is $20 higher."], "When will I get it back?")
    asked.text     "My bill is $20 higher.\n\nWhen will I get it back?"

The assistant was trained on single complaints, so a follow-up is asked as one: the customer's earlier words, then the
new ones. A message that speaks for itself is asked alone; so is thanks and small talk, which would be answered with
the steps of the complaint before it. Must not know models, prompts or how a conversation is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from system.complaints import MAX_CHARACTERS
from system.decision import ASK_BACK, QUOTE
from system.records import Decision

TURNS = 4  # earlier messages of the customer that are still looked at
CHARACTERS = 1200  # of them together; a follow-up rarely refers to more, and the model's window is small
# The signal "scope" below which a message is small talk. On the dev dialogues thanks and greetings lie at -0.12 and
# below, follow-ups at -0.02 and above; data/dialogues.jsonl.
SMALL_TALK = -0.07


@dataclass(frozen=True, slots=True)
class Asked:
    """The text that is answered, and how many earlier messages it begins with."""

    text: str
    earlier: int = 0


def bounded(messages: Sequence[str], turns: int = TURNS, characters: int = CHARACTERS) -> list[str]:
    """The last messages that fit, whole ones only, oldest first."""
    kept: list[str] = []
    for message in reversed(messages[-turns:] if turns else ()):
        if sum(map(len, kept)) + len(message) > characters:
            break
        kept.insert(0, message)
    return kept


def in_context(decide: Callable[[Sequence[str]], Sequence[Decision]], earlier: Sequence[str], text: str) -> Asked:
    """What to answer when a customer who wrote ``earlier`` now writes ``text``.

    ``decide`` gives the agent's decision for each of several texts. The message is asked alone where a scripted reply
    answers it, where it needs no article, as thanks do not, or where it comes closer to a passage alone.
    """
    before = bounded(earlier)
    joined = "\n\n".join([*before, text])
    if not before or len(joined) > MAX_CHARACTERS:
        return Asked(text)
    alone, together = decide([text, joined])
    is_small_talk = alone.signals["scope"] < SMALL_TALK
    speaks_for_itself = alone.signals["retrieval"] >= together.signals["retrieval"]
    is_settled = any(decision.reply not in (None, QUOTE, ASK_BACK) for decision in (alone, together))
    if is_settled or is_small_talk or speaks_for_itself:
        return Asked(text)
    return Asked(joined, len(before))
