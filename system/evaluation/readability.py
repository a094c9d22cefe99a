"""Signs of clear writing that can be counted; all are negative or zero, and zero is clear.

    readability("Restart the Hub. Wait a minute.") -> {"long_sentences": 0.0, "unended": 0.0, ...}

The bounds are those of plain-language guides: sentences of 15 to 20 words on average (Cutts, Oxford Guide to Plain
English, 2013). Works on strings; must not know complaints or grades.
"""

from __future__ import annotations

import re
from collections import Counter

from system.sentences import split_sentences

EASY_SENTENCE = 20  # words; what lies above counts
EASY_REPLY = 110  # words; a customer on a telephone's screen scrolls from about here on
LONG_WORD = 10  # letters; a stand-in for syllables
_ENDED = re.compile(r"[.!?:)\"'”’*\]]$|[.!?]\W*$")
_INITIALS = re.compile(r"\b[A-Z]{2,6}s?\b")
_KNOWN_INITIALS = frozenset("ID TV PC SMS PIN SIM USB FAQ UK US AM PM OK WPS DVD CD PDF GB MB".split())

SIGNS = ("long_sentences", "longest_sentence", "long_reply", "long_words", "initials", "unended", "uncapped", "repeats")


def readability(text: str) -> dict[str, float]:
    """Each sign of SIGNS as a number from about -1 to 0."""
    sentences = [sentence for part in split_sentences(text) for sentence in part.split("\n") if sentence.strip()]
    words = re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text)
    if not words:
        return dict.fromkeys(SIGNS, -1.0)
    lengths = [len(sentence.split()) for sentence in sentences]
    initials = [word for word in _INITIALS.findall(text) if word.removesuffix("s") not in _KNOWN_INITIALS]
    pairs = Counter(zip(words, words[1:], words[2:], strict=False))
    again = sum(times - 1 for times in pairs.values()) / max(1, len(words) - 2)
    bare = sum(not re.match(r"[\W_]*[A-Z0-9]", sentence) for sentence in sentences) / len(sentences)
    return {
        "long_sentences": -_over(sum(lengths) / len(lengths), EASY_SENTENCE),
        "longest_sentence": -_over(max(lengths), 2 * EASY_SENTENCE),
        "long_reply": -_over(len(words), EASY_REPLY),
        "long_words": -min(1.0, 4 * sum(len(word) >= LONG_WORD for word in words) / len(words)),
        "initials": -min(1.0, 8 * len(initials) / len(words)),
        "unended": 0.0 if _ENDED.search(text.strip()) else -1.0,
        "uncapped": -bare,
        "repeats": -min(1.0, 2 * again),
    }


def _over(value: float, bound: float) -> float:
    """By what share of the bound the value exceeds it, at most 1."""
    return min(1.0, max(0.0, value / bound - 1))
