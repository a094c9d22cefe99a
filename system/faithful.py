"""Answers that nothing supports are written again, and if that does not help, replaced by what the article says.

    unsupported_words("It takes 2 hours.", sources)     ("2 hours",)
    safe_answer(replies, hits)                          the passage in its own words, and the offer of a person

A number, price, time, link, phone number or name counts as supported where a source of the answer holds it. The guard
would take the sentence out and leave the rest, which was written by a model that had begun to invent. Must not know
models or how an answer is generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from system.evaluation.coverage import ungrounded
from system.guard import whole_sentences, without_signature
from system.manners import out_of_role
from system.records import Hit

QUOTED = 600  # characters of the passage in a safe answer


def unsupported_words(text: str, sources: Iterable[str]) -> tuple[str, ...]:
    """The concrete claims of a model's words that none of the sources holds."""
    return tuple(ungrounded(whole_sentences(without_signature(text)), sources))


def safe_answer(replies: Mapping[str, str], hits: Sequence[Hit]) -> str:
    """What is said in the place of an answer that cannot be vouched for; with no article, that a person can."""
    if not hits:
        return replies["unsure"]
    best = hits[0]
    quote = best.text if len(best.text) <= QUOTED else whole_sentences(best.text[:QUOTED]) or best.text[:QUOTED]
    heading = f'"{best.heading}"' if out_of_role(best.heading) else best.heading  # "How do I pay?" is the customer's
    return f"{replies['unsure_with_source']}\n\n{heading}\n{quote}\n\n{replies['offer_person']}"
