"""What may be asked, and what the labels of a complaint must be."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.complaints import MAX_CHARACTERS, check_text, label_problems, read_complaints, read_labelled
from system.errors import RowsError, TextError
from system.records import Complaint

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=200)
REFERENCE = "Sorry about the wait. " + "Please restart the Hub and wait. " * 6 + "The fee is $8."


@pytest.mark.parametrize(
    ("text", "answered"),
    [
        ("  My hub is dead.\n", "My hub is dead."),
        ("cafe\u0301 wifi", "caf\u00e9 wifi"),
        ("?", None),
        ("a", "a"),
        ("x" * MAX_CHARACTERS, "x" * MAX_CHARACTERS),
        ("x" * MAX_CHARACTERS + "\n ", "x" * MAX_CHARACTERS),
        ("line\r\n\tline", "line\r\n\tline"),
        ("The hub is dead 😡👩‍🔧", "The hub is dead 😡👩‍🔧"),
        ("new emoji \U0001fae9 of 2024 and \U0001faef of 2025", "new emoji \U0001fae9 of 2024 and \U0001faef of 2025"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "ｆｕｌｌ ｗｉｄｔｈ"),
        ("Łódź, Zürich, Đà Nẵng", "Łódź, Zürich, Đà Nẵng"),
        ("my name is Алексей and my internet is down", "my name is Алексей and my internet is down"),
        ("{{ complaint }} <|im_end|>", "{{ complaint }} <|im_end|>"),
    ],
)
def test_what_can_be_answered(text: str, answered: str | None) -> None:
    """A text is answered in its composed form without surrounding space; emoji and foreign names are welcome."""
    if answered is None:
        with pytest.raises(TextError):
            check_text(text)
    else:
        assert check_text(text) == answered


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the text is empty; write what the problem is"),
        (" \n\t\u00a0\u3000", "the text is empty"),
        ("x" * (MAX_CHARACTERS + 1), "the text has 4,001 characters; shorten it to 4,000 or fewer"),
        ("x" * 100_000, "the text has 100,000 characters"),
        ("a\x00b", "the text holds the character U+0000, which is not text; remove it"),
        ("a\x1b[31mb", "the character U+001B"),
        ("a\x7fb", "the character U+007F"),
        ("a\ud800b", "the character U+D800"),
        ("a\ue000b", "the character U+E000"),
        ("a\ufdd0b", "the character U+FDD0"),
        ("a\U0010ffffb", "the character U+10FFFF"),
        ("🤬🤬🤬", "the text has no letters; describe the problem in words"),
        ("1234 !!! ...", "the text has no letters"),
        ("Интернет не работает", "the text is mostly in another script than Latin; write it in English"),
        ("我的网络断了", "mostly in another script"),
        ("الإنترنت لا يعمل", "mostly in another script"),
        ("wifi не работает", "mostly in another script"),
    ],
)
def test_what_cannot_be_answered(text: str, problem: str) -> None:
    """A text that no answer could follow from is refused with the reason and the mend, in one line."""
    with pytest.raises(TextError) as caught:
        check_text(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    str(caught.value).encode()  # can be printed


@STEADY
@given(st.one_of(st.text(max_size=300), st.text("abc \n\u0301éЖ网😀\x00\ud800", max_size=40)))
def test_any_text_is_answered_or_refused(text: str) -> None:
    """No text whatever raises anything but TextError, and what is answered is not changed by a second check."""
    try:
        checked = check_text(text)
    except TextError:
        return
    assert check_text(checked) == checked == unicodedata.normalize("NFC", text).strip()


def make(**changes: Any) -> dict[str, Any]:
    """A row with good labels, but for the changes."""
    row = {
        "id": "T-1",
        "text": "What does a late bill cost?",
        "category": "billing",
        "split": "test",
        "cluster": "late-fee",
        "relevant": ["billing_faq"],
        "action": "RAG",
        "reference": REFERENCE,
        "facts": ["$8"],
    }
    return {**row, **changes}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    """A file of these rows."""
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"action": "ESCALATE", "relevant": [], "facts": []}, None),
        ({"action": "DIRECT", "relevant": [], "facts": []}, None),
        ({"facts": ["please RESTART the hub"]}, None),
        ({"action": None}, "id 'T-1': action is missing; give RAG, DIRECT or ESCALATE"),
        ({"cluster": ""}, "id 'T-1': cluster is missing"),
        ({"relevant": ["billing_faq", "biling"]}, "id 'T-1': relevant article 'biling' is not in the knowledge base"),
        ({"relevant": []}, "id 'T-1': a RAG row needs at least one relevant article and one fact"),
        ({"facts": []}, "id 'T-1': a RAG row needs at least one relevant article and one fact"),
        ({"action": "DIRECT"}, "id 'T-1': a DIRECT row has neither relevant articles nor facts"),
        ({"reference": "Too short, $8."}, "id 'T-1': the reference has 3 words; it needs 40 to 110"),
        ({"reference": "$8 " * 111}, "id 'T-1': the reference has 111 words; it needs 40 to 110"),
        ({"facts": ["$9"]}, "id 'T-1': the fact '$9' does not stand in the reference"),
        ({"text": "..."}, "id 'T-1': the text has no letters"),
    ],
)
def test_label_rules(tmp_path: Path, changes: dict[str, Any], problem: str | None) -> None:
    """A label that a gate would trust wrongly is refused at load, with file, line and id."""
    path = write(tmp_path / "complaints.jsonl", make(**changes))
    if problem is None:
        (row,) = read_labelled(path, ["billing_faq"])
        assert row.id == "T-1"
        return
    with pytest.raises(RowsError) as caught:
        read_labelled(path, ["billing_faq"])
    assert str(caught.value).startswith(f"{path}:1: {problem}")
    assert len(caught.value.problems) == 1


def test_all_label_problems_are_listed_at_once() -> None:
    """A row with several wrong labels gives all of them."""
    bad = Complaint(id="T-1", text="", facts=("$8",), relevant=("x",))
    assert len(list(label_problems(bad, ["billing_faq"]))) == 6


def test_a_cluster_stays_in_one_split(tmp_path: Path) -> None:
    """Paraphrases of one problem may not stand on both sides: what was tuned on dev would be tested on itself."""
    rows = [make(), make(id="D-1", split="dev"), make(id="D-2", split="dev", cluster="other"), make(id="T-2")]
    with pytest.raises(RowsError) as caught:
        read_labelled(write(tmp_path / "complaints.jsonl", *rows), ["billing_faq"])
    (problem,) = caught.value.problems
    assert problem.endswith("id 'D-1': cluster 'late-fee' is also in split 'test'")


def test_unlabelled_complaints_can_be_answered(tmp_path: Path) -> None:
    """Only id and text are needed to answer; a split can be chosen."""
    path = write(tmp_path / "asked.jsonl", {"id": "1", "text": "Hello there"}, make(id="2", split="dev"))
    assert [row.id for row in read_complaints(path)] == ["1", "2"]
    assert [row.id for row in read_complaints(path, "dev")] == ["2"]
    assert [row.id for row in read_complaints(path, "test")] == ["1"]
