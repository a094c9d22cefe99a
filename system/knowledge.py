"""The knowledge base as numbered passages, cut by heading (the default) or by meaning.

Must not know retrieval, complaints or prompts; numpy loads only when used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from system.articles import Article
from system.errors import ModelError, SettingsError
from system.records import Passage
from system.sentences import LIST_ITEM, sentence_spans

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Embed = Callable[[Sequence[str]], npt.NDArray[np.floating[Any]]]

CountTokens = Callable[[str], int]

BUDGET = 180  # tokens; leaves room for title and heading in the 256 that the embedder reads
OVERLAP = 30
TINY = 25  # tokens; a passage below this says too little to be found by itself


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or some words of one, as a span of its section's text.

    Units of one list share a ``block`` and units of one list item an ``item``; other sentences have their own.
    """

    section: int
    start: int
    end: int
    block: int
    item: int


class _Text:
    """The units of one article, and passages' texts made of runs of them, measured against a token budget."""

    def __init__(self, article: Article, count_tokens: CountTokens, budget: int):
        if budget < 1:
            raise SettingsError(f"budget {budget}: a passage needs room for at least 1 token; give a larger budget")
        self.article = article
        self.count_tokens = count_tokens
        self.budget = budget
        self.units = self._units()

    def _units(self) -> list[_Unit]:
        units: list[_Unit] = []
        block = item = 0
        for number, section in enumerate(self.article.sections):
            kind = ""  # of the list that is open
            last = 0
            for start, end in sentence_spans(section.text):
                at_line_start = not section.text[section.text.rfind("\n", 0, start) + 1 : start].strip()
                marker = LIST_ITEM.match(section.text, start, end) if at_line_start else None
                if marker:
                    found = "numbered" if marker["number"] else "bulleted"
                    if found != kind or marker["number"] == "1":
                        block += 1
                        # "Do this:" belongs to the steps that follow.
                        if not kind and last and section.text[last - 1] == ":":
                            units[-1] = replace(units[-1], block=block)
                    kind = found
                    item += 1
                elif not kind or re.search(r"\n\s*\n", section.text[last:start]):
                    kind = ""
                    block += 1
                    item += 1
                units.append(_Unit(number, start, end, block, item))
                last = end
        return units

    def render(self, units: Sequence[_Unit]) -> str:
        """The text of a run of units as it stands in the article; a section that begins inside shows its heading."""
        parts: list[str] = []
        for before, unit in zip((None, *units), units, strict=False):
            section = self.article.sections[unit.section]
            if before and before.section == unit.section:
                parts.append(section.text[before.end : unit.start])
            elif before:
                parts.append(f"\n\n{section.heading}\n" if section.heading else "\n\n")
            parts.append(section.text[unit.start : unit.end])
        return "".join(parts)

    def tokens(self, units: Sequence[_Unit]) -> int:
        return self.count_tokens(self.render(units))

    def fits(self, units: Sequence[_Unit]) -> bool:
        return self.tokens(units) <= self.budget

    def merge_tiny(self, runs: Iterable[list[_Unit]]) -> list[list[_Unit]]:
        """Join runs below TINY tokens with the next one, the last with the one before it.

        A run that fits the budget by itself is not pushed over it: then the tiny one stays alone.
        """
        merged: list[list[_Unit]] = []
        waiting: list[_Unit] = []
        for run in runs:
            if waiting and self.fits(run) and not self.fits(waiting + run):
                merged.append(waiting)
                waiting = []
            waiting = waiting + run
            if self.tokens(waiting) >= TINY:
                merged.append(waiting)
                waiting = []
        if waiting and merged and self.fits(merged[-1] + waiting):
            merged[-1] = merged[-1] + waiting
        elif waiting:
            merged.append(waiting)
        return merged

    def pieces(self, run: list[_Unit], overlap: int) -> Iterator[list[_Unit]]:
        """Cut a run into pieces within the budget, each opening with the last sentences of the one before."""
        piece: list[_Unit] = []
        for block in [run] if self.fits(run) else self._blocks(run):
            if piece and not self.fits(piece + block):
                yield piece
                piece = self._tail(piece, block, overlap)
            piece = piece + block
        yield piece

    def _blocks(self, run: list[_Unit]) -> Iterator[list[_Unit]]:
        """The largest parts that should stay whole and fit: a list, else its items, else sentences, else words."""
        for block in _groups(run, "block"):
            if self.fits(block):
                yield block
                continue
            for item in _groups(block, "item"):
                if self.fits(item):
                    yield item
                    continue
                for unit in item:
                    yield from ([part] for part in self._words(unit))

    def _words(self, unit: _Unit) -> Iterator[_Unit]:
        if self.fits([unit]):
            yield unit
            return
        text = self.article.sections[unit.section].text
        part: _Unit | None = None
        for word in re.compile(r"\S+").finditer(text, unit.start, unit.end):
            longer = replace(part or unit, start=part.start if part else word.start(), end=word.end())
            if part and not self.fits([longer]):
                yield part
                longer = replace(longer, start=word.start())
            part = longer
        if part:
            yield part

    def _tail(self, piece: list[_Unit], block: list[_Unit], overlap: int) -> list[_Unit]:
        """The last whole sentences of ``piece`` that come nearest to ``overlap`` tokens and fit beside ``block``."""
        tail: list[_Unit] = []
        distance = overlap
        for unit in reversed(piece):
            longer = [unit, *tail]
            further = abs(self.tokens(longer) - overlap)
            if unit.section != block[0].section or further >= distance or not self.fits(longer + block):
                break
            tail, distance = longer, further
        return tail

    def passages(self, pieces: Iterable[list[_Unit]]) -> tuple[Passage, ...]:
        article = self.article
        return tuple(
            Passage(
                id=f"{article.stem}#{number}",
                doc=article.stem,
                title=article.title,
                heading=article.sections[piece[0].section].heading or article.title,
                text=self.render(piece),
            )
            for number, piece in enumerate(pieces, start=1)
        )


def _groups(units: Iterable[_Unit], key: str) -> Iterator[list[_Unit]]:
    return (list(group) for _, group in groupby(units, attrgetter(key)))


def chunk_by_heading(
    article: Article, count_tokens: CountTokens, budget: int = BUDGET, overlap: int = OVERLAP
) -> tuple[Passage, ...]:
    """Cut an article into passages of at most ``budget`` tokens, one a section where that fits.

    A longer section is cut between sentences or list items, and each further piece repeats about ``overlap`` tokens
    of whole sentences. A list stays in one piece where it can; a sentence above the budget is cut between words, and
    only a single word may exceed it. Sections below TINY tokens join the next one, whose heading then stands in the
    text. Text is neither lost nor reordered. The budget covers the passage's text, not its title and heading.
    Raises SettingsError for a budget below 1 or an overlap that is negative or not below the budget.
    """
    if not 0 <= overlap < max(budget, 1):
        raise SettingsError(f"overlap {overlap}: must be at least 0 and below the budget of {budget} tokens")
    text = _Text(article, count_tokens, budget)
    runs = text.merge_tiny(_groups(text.units, "section"))
    return text.passages(piece for run in runs for piece in text.pieces(run, overlap))


def chunk_semantically(
    article: Article, count_tokens: CountTokens, embed: Embed, budget: int = BUDGET, percentile: float = 80
) -> tuple[Passage, ...]:
    """Cut an article where its subject changes, into passages of at most ``budget`` tokens, without overlap.

    The two sentences before each boundary are compared with the two after it; the article is cut where their cosine
    distance exceeds the given percentile (0 to 100) of all such distances. ``embed`` maps n texts to an array of
    shape (n, dimensions) whose rows have length 1, and is called at most once. A passage's heading is that of the
    section in which it begins. Raises SettingsError for a budget below 1 or a percentile outside 0 to 100, ValueError
    if ``embed`` does not return one row for each text.
    """
    if not 0 <= percentile <= 100:
        raise SettingsError(f"percentile {percentile}: must be from 0 to 100")
    text = _Text(article, count_tokens, budget)
    cuts = _cuts(text, embed, percentile) if len(text.units) > 1 else []
    runs = [text.units[start:end] for start, end in zip((0, *cuts), (*cuts, len(text.units)), strict=True)]
    return text.passages(piece for run in text.merge_tiny(filter(None, runs)) for piece in text.pieces(run, 0))


def _cuts(text: _Text, embed: Embed, percentile: float) -> list[int]:
    import numpy as np

    units = text.units
    groups = [text.render(units[max(i, 0) : i + 2]) for i in range(-1, len(units))]  # group i + 1 begins at unit i
    rows = np.asarray(embed(groups))
    if rows.ndim != 2 or len(rows) != len(groups):
        raise ValueError(f"embed returned shape {rows.shape} for {len(groups)} texts; it must return one row for each")
    distances = 1.0 - np.sum(rows[:-2] * rows[2:], axis=1)
    limit = np.percentile(distances, percentile)
    # Equal texts differ by rounding only, which must not look like a change of subject.
    return [int(i) + 1 for i in np.flatnonzero(distances > limit + 1e-6)]


def knowledge_hash(passages: Iterable[Passage]) -> str:
    """Return the SHA-256 (hex) of ids, titles, headings and texts in the given order; file times play no part."""
    digest = hashlib.sha256()
    for p in passages:
        digest.update(json.dumps([p.id, p.doc, p.title, p.heading, p.text]).encode() + b"\n")
    return digest.hexdigest()


def word_counter(text: str) -> int:
    """Count words and punctuation marks: a stand-in for a tokenizer, 1 to 8 percent low on knowledge_base/."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def embedder_token_counter(tokenizer_file: Path) -> CountTokens:
    """Return a function that counts the tokens of a text by a ``tokenizer.json``, without special tokens.

    Raises ModelError if the file is missing or is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{tokenizer_file}: is not a readable tokenizer ({error}); give a tokenizer.json") from error
    # Files often ask for cutting and padding to a fixed length, which would make every long text count the same.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
