"""What may be asked: checks of a complaint's text and of the labelled complaint file.

Knows records and rows; must not know retrieval, prompts or models.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from system.errors import RowsError, TextError
from system.records import Complaint, Split
from system.rows import read_rows

MAX_CHARACTERS = 4000  # about four times the longest complaint in data/complaints.jsonl
REFERENCE_WORDS = range(40, 111)


def check_text(text: str) -> str:
    """Return the text in the form that is answered: NFC, without surrounding space.

    Raises TextError for a text that is empty, too long, holds control characters, has no letters, or is
    written mostly in another script than Latin, which the embedded models cannot read.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise TextError("the text is empty; write what the problem is")
    if len(text) > MAX_CHARACTERS:
        raise TextError(f"the text has {len(text):,} characters; shorten it to {MAX_CHARACTERS:,} or fewer")
    control = sorted({c for c in text if _is_not_text(c)})
    if control:
        raise TextError(f"the text holds the character U+{ord(control[0]):04X}, which is not text; remove it")
    letters = [c for c in text if c.isalpha()]
    if not letters:
        raise TextError("the text has no letters; describe the problem in words")
    latin = sum(unicodedata.name(c, "").startswith(("LATIN", "FULLWIDTH LATIN")) for c in letters)
    if latin * 2 < len(letters):
        raise TextError("the text is mostly in another script than Latin; write it in English")
    return text


def _is_not_text(character: str) -> bool:
    """Control, surrogate, private and non-characters. Unassigned ones are newer emoji than this Python knows."""
    kind = unicodedata.category(character)
    return (kind in ("Cc", "Cs", "Co") and character not in "\n\r\t") or (
        kind == "Cn" and (ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF)
    )


def text_problems(complaint: Complaint) -> Iterator[str]:
    """Name what keeps a complaint's text from being answered."""
    try:
        check_text(complaint.text)
    except TextError as error:
        yield f"id {complaint.id!r}: {error}"


def label_problems(complaint: Complaint, articles: Iterable[str]) -> Iterator[str]:
    """Name what is wrong with the labels of a complaint, given the stems of the knowledge base's articles."""
    yield from text_problems(complaint)
    name = f"id {complaint.id!r}"
    if complaint.action is None:
        yield f"{name}: action is missing; give RAG, DIRECT or ESCALATE"
    if not complaint.cluster:
        yield f"{name}: cluster is missing; paraphrases share one, others have their own"
    for stem in sorted(set(complaint.relevant) - set(articles)):
        yield f"{name}: relevant article {stem!r} is not in the knowledge base"
    if complaint.action == "RAG" and not (complaint.relevant and complaint.facts):
        yield f"{name}: a RAG row needs at least one relevant article and one fact"
    if complaint.action == "DIRECT" and (complaint.relevant or complaint.facts):
        yield f"{name}: a DIRECT row has neither relevant articles nor facts"
    words = len(complaint.reference.split())
    if words not in REFERENCE_WORDS:
        yield f"{name}: the reference has {words} words; it needs {REFERENCE_WORDS[0]} to {REFERENCE_WORDS[-1]}"
    for fact in complaint.facts:
        if fact.lower() not in complaint.reference.lower():
            yield f"{name}: the fact {fact!r} does not stand in the reference"


def read_complaints(path: Path, split: Split | None = None) -> list[Complaint]:
    """Read complaints that are to be answered, their texts as ``check_text`` returns them; labels are optional.

    Raises RowsError listing every bad row.
    """
    rows = read_rows(path, Complaint, text_problems)
    return [replace(row, text=check_text(row.text)) for row in rows if split in (None, row.split)]


def read_labelled(path: Path, articles: Sequence[str]) -> list[Complaint]:
    """Read the labelled complaints, checking every label, and that no cluster spans the two splits."""
    rows = read_rows(path, Complaint, lambda row: label_problems(row, articles))
    home: dict[str, Complaint] = {}
    spanning = [
        f"{path}: id {row.id!r}: cluster {row.cluster!r} is also in split {home[row.cluster].split!r}"
        for row in rows
        if home.setdefault(row.cluster, row).split != row.split
    ]
    if spanning:
        raise RowsError(spanning)
    return rows
