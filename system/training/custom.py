"""The examples that were written for this project, and the practice articles that they are about.

    data/custom_support.jsonl    a customer's message and the reply of a good agent; see ``Example``
    data/custom_passages.jsonl   sections of help articles of an invented company that exist for practice only

No passage of the knowledge base is among them: what the adapter learns is to read, and the articles it is measured on
are new to it. Reads and checks; must not know models, prompts or splits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from system.rows import read_rows

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "data" / "custom_support.jsonl"
PASSAGES = ROOT / "data" / "custom_passages.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class PracticePassage:
    """One section of a practice article. ``topic`` ties neighbours, which are kept on one side of every split."""

    id: str
    topic: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One message with a good reply.

    grounded: the reply takes its facts from ``passages``; ``answered`` is False where they do not hold the answer.
    reply: no passages. pair: with a bad reply and what is bad about it, with or without passages.
    """

    id: str
    kind: Literal["grounded", "reply", "pair"]
    complaint: str
    reply: str
    template: Literal["empathetic", "structured", "friendly", "chat"] = "empathetic"
    passages: tuple[str, ...] = ()
    answered: bool = True
    bad: str = ""
    defect: Literal["", "rude", "evasive", "invented-fact", "asks-for-secret"] = ""


def load_passages(path: Path = PASSAGES) -> dict[str, PracticePassage]:
    """The practice passages by id. Raises RowsError or InputError."""
    return {passage.id: passage for passage in read_rows(path, PracticePassage)}


def load_examples(passages: Mapping[str, PracticePassage], path: Path = EXAMPLES) -> list[Example]:
    """The examples; each is checked against its kind and the passages. Raises RowsError or InputError."""
    return read_rows(path, Example, lambda example: _problems(example, passages))


def _problems(example: Example, passages: Mapping[str, PracticePassage]) -> Iterator[str]:
    for name in example.passages:
        if name not in passages:
            yield f"passage {name!r} does not exist"
    for field in ("complaint", "reply"):
        if not getattr(example, field).strip():
            yield f"{field} is empty"
    if example.kind == "grounded" and not example.passages:
        yield "is grounded but names no passages"
    if example.kind == "reply" and example.passages:
        yield "is a reply without an article but names passages"
    if (example.kind == "pair") != bool(example.bad.strip() and example.defect):
        yield "a pair has a bad reply and its defect, and only a pair has them"
