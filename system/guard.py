"""From a model's words to an answer: whole sentences only, none with a fact that nobody gave it, none unseemly.

Pure functions over text; must not know models, variants or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from system.claims import unsupported
from system.demands import hands_back, is_demanded, vouches
from system.manners import out_of_role, placeholders, rudeness, secret_requests
from system.recital import markers, own_turn, recitals
from system.sentences import LIST_ITEM, sentence_spans, split_sentences
from system.tone import condolences

RUN = 5  # words in a row that two sentences share by repetition, hardly by chance
_ENDS_WHOLE = re.compile(r"[.!?][\"')\]*_”’]*$")
_BARE_MARKER = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s*$")
_NAME = r"(?:\s*\n[^.!?:\n]{1,40}\.?){0,2}"  # and department; "Thanks!" may also open a last line that says something
_SIGN_OFF = re.compile(
    r"\s*^(?:(?:(?:kind|best|warm|many) ?)?"
    rf"(?:(?:regards|wishes|sincerely|yours \w+|love)[,!.]?|(?:thanks|cheers),?)[ \t]*{_NAME}"
    r"|(?:many )?(?:thanks|cheers)[!.])\s*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_ANNOUNCES = re.compile(r":\s*$")


def whole_sentences(text: str) -> str:
    """The text up to its last whole sentence; empty if there is none.

    A list item that the token limit cut off is dropped with its number, and so is a line that only announces it.
    """
    kept = split_sentences(text)
    while kept and (not _ENDS_WHOLE.search(kept[-1]) or _BARE_MARKER.match(kept[-1])):
        kept.pop()
    return _cut_after(text, kept)


def without_signature(text: str) -> str:
    """The text without a closing such as "Best regards, Alex": the assistant has no name to sign with."""
    return _SIGN_OFF.sub("", text)


def guard(text: str, sources: Iterable[str], message: str = "", instructions: str = "") -> tuple[str, tuple[str, ...]]:
    """Take out the sentences that no agent could stand by.

    These claim a price, deadline, phone number or link found in none of the sources, are rude, ask for a secret,
    speak as a language model or as the customer, still hold a placeholder such as "[Your Name]", mourn a loss that
    the customer's message does not speak of, recite the instructions that the model was given, do what an attacker
    wants of an answer (see ``system.demands``), or say again what a sentence before them said; and all that follows
    where the model goes on with a turn of the customer's.

    Returns the remaining text with its line breaks, and the sentences taken out. A sentence that ends in a colon is
    taken out too when nothing that it announced is left.
    """
    known = tuple(sources)
    company = tuple(source for source in known if source != message)
    spans = sentence_spans(text)
    sentences = [text[start:end] for start, end in spans]
    gaps = [text[end:start] for (_, end), (start, _) in zip([(0, 0), *spans], spans, strict=False)]  # before each
    again = _repeats(sentences)
    end = own_turn(text)
    bad = [
        spans[n][0] >= end
        or again[n]
        or _is_unseemly(sentence, message, instructions)
        or bool(unsupported(sentence, known))
        or is_demanded(sentence, message)
        or hands_back(sentence, message)
        or vouches(sentence, company, message)
        for n, sentence in enumerate(sentences)
    ]
    for n in range(len(sentences) - 1, -1, -1):
        announces_nothing = _ANNOUNCES.search(sentences[n]) and all(bad[n + 1 : _end_of_announced(n, sentences, gaps)])
        bad[n] = bad[n] or bool(announces_nothing) or bool(_BARE_MARKER.match(sentences[n]))
    rest, gap = "", ""
    for n, sentence in enumerate(sentences):
        gap = max(gap, gaps[n], key=lambda g: (g.count("\n"), len(g)))
        if not bad[n]:
            if n and bad[n - 1] and "\n" in gap and not LIST_ITEM.match(sentence):
                gap = "\n\n"  # what is left of a list item or paragraph does not join the one before it
            rest += gap + sentence
            gap = ""
    removed = tuple(s for s, drop in zip(sentences, bad, strict=True) if drop)
    return re.sub(r"\n{3,}", "\n\n", rest).strip(), removed


def _end_of_announced(n: int, sentences: list[str], gaps: list[str]) -> int:
    """Where what sentence ``n`` announces with its colon ends: after the list that follows, or the next sentence."""
    end = n + 2
    if end <= len(sentences) and LIST_ITEM.match(sentences[n + 1]):
        while end < len(sentences) and (LIST_ITEM.match(sentences[end]) or "\n" not in gaps[end]):
            end += 1
    return end


def _repeats(sentences: list[str]) -> list[bool]:
    """Which sentences have half or more of their runs of RUN words from the sentences before them."""
    seen: set[tuple[str, ...]] = set()
    found = []
    for sentence in sentences:
        words = re.findall(r"[^\W_]+", sentence.lower())
        runs = {tuple(words[n : n + RUN]) for n in range(len(words) - RUN + 1)}
        found.append(bool(runs) and 2 * len(runs & seen) >= len(runs))
        seen |= runs
    return found


def _is_unseemly(sentence: str, message: str, instructions: str) -> bool:
    return bool(
        placeholders(sentence)
        or rudeness(sentence)
        or secret_requests(sentence)
        or out_of_role(sentence)
        or condolences(message, sentence)
        or markers(sentence)
        or recitals(sentence, instructions)
    )


def _cut_after(text: str, kept: list[str]) -> str:
    """The original text up to the end of the last kept sentence."""
    position = 0
    for sentence in kept:
        position = text.index(sentence, position) + len(sentence)
    return text[:position].strip()
