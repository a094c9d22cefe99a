"""A run log as a page: order, grades, and what is no score file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.fakes import make_response
from system.errors import InputError
from system.evaluation.reading import read_grades, side_by_side
from system.records import Complaint

LATE = Complaint(id="T-2", text="My bill came late.\nAgain.")
LINE = '{"id":"T-2","variant":"rag","helpfulness":3.456,"fact_coverage":null,"bleu-1":0.2}\n'


def test_nothing_to_read_is_an_empty_page() -> None:
    """A run without responses is an empty page, not an error."""
    assert side_by_side([]) == ""


def test_variants_stand_in_the_order_asked_for() -> None:
    """Alphabetical without an order; the complaint is quoted line by line."""
    responses = [make_response(LATE, f"I am {name}.", variant=name) for name in ("rag", "fine-tuned")]
    page = side_by_side(responses)
    assert page.startswith("## T-2\n\n> My bill came late.\n> Again.\n\n**fine-tuned** (RAG: made by hand)")
    assert page.index("I am fine-tuned.") < page.index("I am rag.")
    page = side_by_side(responses, ["rag", "fine-tuned"])
    assert page.index("I am rag.") < page.index("I am fine-tuned.")


def test_grades_stand_below_their_answer(tmp_path: Path) -> None:
    """Only what a reader of answers wants, rounded; an answer without grades has no line for them."""
    scores = tmp_path / "scores.jsonl"
    scores.write_text(LINE)
    responses = [make_response(LATE, "Sorry.", variant=name) for name in ("rag", "fine-tuned")]
    page = side_by_side(responses, grades=read_grades(scores))
    assert page.endswith("**rag** (RAG: made by hand)\n\nSorry.\n\n*helpfulness 3.46*\n")
    assert page.count("helpfulness") == 1


@pytest.mark.parametrize("line", ["[]", "{}", '{"id":"a"}', '{"id":"a","variant":"rag","clarity":"high"}', "no"])
def test_what_score_did_not_write_is_refused(line: str, tmp_path: Path) -> None:
    """File and line are named."""
    (tmp_path / "scores.jsonl").write_text(LINE + line)
    with pytest.raises(InputError, match=r"scores\.jsonl:2: is no line that python -m system score writes"):
        read_grades(tmp_path / "scores.jsonl")


@pytest.mark.parametrize("text", ["", '{"id":"T-2","variant":"rag","text":"Sorry."}\n'], ids=["empty", "a run log"])
def test_a_file_without_grades_is_refused(text: str, tmp_path: Path) -> None:
    """Nothing would be shown, and nobody would know why."""
    (tmp_path / "scores.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"scores\.jsonl: holds no grade \(helpfulness, "):
        read_grades(tmp_path / "scores.jsonl")
