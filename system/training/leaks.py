"""Whether a training text is an evaluation complaint in other words.

    leaks = near_duplicates(texts, complaints, embed)

Two rulers, because each is blind where the other sees: the embedder finds the same problem in other words, n-grams find
the same words in another frame. Must not know where either text comes from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from system.embeddings import Embed

COSINE = 0.75  # a copy with changed words; two people's words for one problem reach 0.59 at most, 0.33 in the median
GRAM = 6  # words in a row that two people seldom write by chance
SHARED = 0.25  # of the shorter text's runs of GRAM words


@dataclass(frozen=True, slots=True)
class Leak:
    """A training text and the complaint that it repeats."""

    text: int  # place in the texts
    complaint: int  # place in the complaints
    cosine: float
    shared: float  # share of the shorter one's n-grams


def near_duplicates(texts: Sequence[str], complaints: Sequence[str], embed: Embed) -> list[Leak]:
    """Every text that is nearer to a complaint than either limit allows, with the complaint nearest to it."""
    if not texts:
        return []
    cosines = embed(texts) @ embed(complaints).T
    grams = [_grams(complaint) for complaint in complaints]
    leaks = []
    for place, (text, row) in enumerate(zip(texts, cosines, strict=True)):
        own = _grams(text)
        overlaps = np.array([_overlap(own, other) for other in grams])
        worst = int(np.argmax(np.maximum(row / COSINE, overlaps / SHARED)))
        if row[worst] >= COSINE or overlaps[worst] >= SHARED:
            leaks.append(Leak(place, worst, float(row[worst]), float(overlaps[worst])))
    return leaks


def _grams(text: str) -> frozenset[tuple[str, ...]]:
    """Runs of GRAM words; of a shorter text all its words as one."""
    words = re.findall(r"[^\W_]+", text.lower())
    return frozenset(tuple(words[n : n + GRAM]) for n in range(max(1, len(words) - GRAM + 1)))


def _overlap(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    return len(one & other) / min(len(one), len(other))
