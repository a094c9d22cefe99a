"""From a model's words to an answer: whole sentences only, none with a fact that nobody gave it, none unseemly.

Pure functions over text; must not know models, variants or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from system.claims import unsupported
from system.manners import rudeness, secret_requests
from system.sentences import split_sentences

_ENDS_WHOLE = re.compile(r"[.!?][\"')\]*_”’]*$")
_BARE_MARKER = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s*$")
_PLACEHOLDER = re.compile(r"\[[A-Z][^\]\n]{1,40}\]")
_SIGN_OFF = re.compile(
    r"\s*^(?:(?:kind|best|warm|many) ?)?(?:regards|wishes|thanks|cheers|sincerely|yours \w+|love)"
    r"[,!.]?[ \t]*(?:\n.*)?\Z",
    re.IGNORECASE | re.MULTILINE,
)
_ANNOUNCES = re.compile(r":\s*$")


def whole_sentences(text: str) -> str:
    """The text up to its last whole sentence; empty if there is none.

    A list item that the token limit cut off is dropped with its number, and so is a line that only announces it.
    """
    kept = split_sentences(text)
    while kept and not _ENDS_WHOLE.search(kept[-1]):
        kept.pop()
    return _cut_after(text, kept)


def without_signature(text: str) -> str:
    """The text without a closing such as "Best regards, Alex": the assistant has no name to sign with."""
    return _SIGN_OFF.sub("", text)


def guard(text: str, sources: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Take out the sentences that no agent could stand by.

    These claim a price, deadline, phone number or link found in none of the sources, are rude, ask for a secret, or
    still hold a placeholder such as "[Your Name]".

    Returns the remaining text with its line breaks, and the sentences taken out. A sentence that ends in a colon is
    taken out too when nothing that it announced is left.
    """
    known = tuple(sources)
    sentences = split_sentences(text)
    bad = [_is_unseemly(sentence) or bool(unsupported(sentence, known)) for sentence in sentences]
    for n in range(len(sentences) - 1, -1, -1):
        announces_nothing = _ANNOUNCES.search(sentences[n]) and all(bad[n + 1 : n + 2] or [True])
        bad[n] = bad[n] or bool(announces_nothing) or bool(_BARE_MARKER.match(sentences[n]))
    if not any(bad):
        return text, ()
    rest, position = "", 0
    for sentence, drop in zip(sentences, bad, strict=True):
        start = text.index(sentence, position)
        if not drop:
            rest += text[position:start] + sentence
        position = start + len(sentence)
    removed = tuple(s for s, drop in zip(sentences, bad, strict=True) if drop)
    return re.sub(r"\n{3,}", "\n\n", rest).strip(), removed


def _is_unseemly(sentence: str) -> bool:
    return bool(_PLACEHOLDER.search(sentence) or rudeness(sentence) or secret_requests(sentence))


def _cut_after(text: str, kept: list[str]) -> str:
    """The original text up to the end of the last kept sentence."""
    position = 0
    for sentence in kept:
        position = text.index(sentence, position) + len(sentence)
    return text[:position].strip()
