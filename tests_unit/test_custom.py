"""The examples that were written for this project: each is what its kind says, and a reply that an agent could send."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from system.errors import RowsError
from system.evaluation.coverage import ungrounded
from system.evaluation.self_praise import without_self_praise
from system.manners import out_of_role, placeholders, rudeness, secret_requests
from system.tone import condolences
from system.training.custom import Example, PracticePassage, load_examples, load_passages

PASSAGES = load_passages()
EXAMPLES = load_examples(PASSAGES)
PASSAGE = {"p": PracticePassage(id="p", topic="t", heading="Fees", text="The fee is $3.")}
ROW = {"id": "x", "kind": "grounded", "complaint": "fee?", "reply": "It is $3.", "passages": ["p"]}


def sources(example: Example) -> list[str]:
    return [*(f"{PASSAGES[n].heading}\n{PASSAGES[n].text}" for n in example.passages), example.complaint]


def test_there_are_enough_of_each_kind() -> None:
    kinds = Counter(example.kind for example in EXAMPLES)
    assert len(EXAMPLES) >= 600 and min(kinds[kind] for kind in ("grounded", "reply", "pair")) >= 100
    assert sum(not example.answered for example in EXAMPLES) >= 50
    assert min(Counter(e.defect for e in EXAMPLES if e.kind == "pair").values()) >= 20


def test_wording_varies() -> None:
    openings = Counter(" ".join(example.reply.lower().split()[:12]) for example in EXAMPLES)
    assert len(openings) >= 0.97 * len(EXAMPLES)
    assert len({example.reply for example in EXAMPLES}) == len({e.complaint for e in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize("name", ["rudeness", "secret_requests", "out_of_role", "placeholders"])
def test_no_reply_breaks_a_rule(name: str) -> None:
    rule = {
        "rudeness": rudeness,
        "secret_requests": secret_requests,
        "out_of_role": out_of_role,
        "placeholders": placeholders,
    }[name]
    assert [(example.id, found) for example in EXAMPLES if (found := rule(example.reply))] == []


def test_no_reply_praises_itself() -> None:
    assert [e.id for e in EXAMPLES if without_self_praise(e.reply).split() != e.reply.split()] == []


def test_nobody_is_mourned_who_lives() -> None:
    assert [example.id for example in EXAMPLES if condolences(example.complaint, example.reply)] == []


def test_replies_state_only_what_passages_and_customer_state() -> None:
    loose = {e.id: bare for e in EXAMPLES if (bare := ungrounded(e.reply, [*sources(e), "Calderline"]))}
    # A name in another frame ("Recorder disc" of "the disc of the Recorder") is read as another claim now and then.
    assert len(loose) <= 0.02 * len(EXAMPLES), loose


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"passages": ["q"]}, "passage 'q' does not exist", id="unknown passage"),
        pytest.param({"passages": []}, "is grounded but names no passages", id="no passage"),
        pytest.param({"reply": " "}, "reply is empty", id="empty reply"),
        pytest.param({"complaint": ""}, "complaint is empty", id="empty complaint"),
        pytest.param({"kind": "reply"}, "is a reply without an article but names passages", id="reply with passages"),
        pytest.param({"kind": "pair"}, "a pair has a bad reply and its defect", id="pair without bad"),
        pytest.param({"bad": "Go away.", "defect": "rude"}, "only a pair has them", id="bad without pair"),
        pytest.param({"kind": "poem"}, "Invalid enum value 'poem'", id="unknown kind"),
        pytest.param({"answer": "x"}, "unknown key 'answer'", id="unknown key"),
    ],
)
def test_a_bad_row_is_refused(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ROW, **change}) + "\n")
    with pytest.raises(RowsError, match=rf"rows\.jsonl:1: .*{problem}"):
        load_examples(PASSAGE, path)


def test_a_good_row_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    (example,) = load_examples(PASSAGE, path)
    assert (example.template, example.answered, example.passages) == ("empathetic", True, ("p",))
