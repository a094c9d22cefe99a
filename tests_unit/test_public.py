"""Public rows: what is used, what is dropped, and that nothing of the judge's is touched."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from system.training.public import load_preferred, load_turns
from system.training.splits import purpose

REPLY = " ".join(["This is how you change the address of your order in the shop today."] * 2)


def written(folder: Path, file: str, rows: list[dict[str, Any]]) -> Path:
    (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def ours(name: str, text: str) -> str:
    """The text with a number added that makes it the generator's."""
    return next(f"{text} {n}" for n in range(999) if purpose(name, f"{text} {n}") == "generator")


def theirs(name: str, text: str) -> str:
    return next(f"{text} {n}" for n in range(999) if purpose(name, f"{text} {n}") != "generator")


def test_alpaca_joins_instruction_and_input(tmp_path: Path) -> None:
    rows = [{"instruction": "Sort these.", "input": "b a", "output": "First comes a, then comes b."}]
    turns = load_turns("alpaca", written(tmp_path, "alpaca.jsonl", rows), Counter())
    assert [(turn.message, turn.reply) for turn in turns] == [("Sort these.\n\nb a", "First comes a, then comes b.")]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("Too short.", "reply too short", id="short"),
        pytest.param("word " * 200, "reply too long", id="long"),
        pytest.param("As an AI language model I cannot do this for you.", "speaks as a model", id="model"),
        pytest.param("Dear [Your Name], this is the letter you asked for.", "speaks as a model", id="placeholder"),
    ],
)
def test_a_row_is_dropped_with_its_reason(tmp_path: Path, output: str, reason: str) -> None:
    dropped = Counter[str]()
    rows = [{"instruction": "Do it.", "input": "", "output": output}]
    assert load_turns("alpaca", written(tmp_path, "alpaca.jsonl", rows), dropped) == []
    assert [why.startswith(reason) for why in dropped] == [True]


def test_what_was_said_before_is_dropped(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Name it!", "input": "", "output": f"It is the {n} thing you named."} for n in ("one", "two")
    ]
    dropped = Counter[str]()
    assert len(load_turns("alpaca", written(tmp_path, "alpaca.jsonl", rows), dropped)) == 1
    assert dropped == {"said before": 1}


def test_a_placeholder_of_the_customer_is_filled_alike_in_both(tmp_path: Path) -> None:
    reply = ours("bitext", f"Your order {{{{Order Number}}}} can be changed. {REPLY}")
    rows = [{"instruction": "change {{Order Number}}", "response": reply, "intent": "x"}]
    (turn,) = load_turns("bitext", written(tmp_path, "bitext_support.jsonl", rows), Counter())
    number = turn.message.removeprefix("change ")
    assert number.isdigit() and f"order {number} can" in turn.reply


def test_a_reply_with_a_company_fact_is_dropped(tmp_path: Path) -> None:
    reply = ours("bitext", f"Call {{{{Customer Support Phone Number}}}}. {REPLY}")
    dropped = Counter[str]()
    rows = [{"instruction": "whom do i call", "response": reply, "intent": "x"}]
    assert load_turns("bitext", written(tmp_path, "bitext_support.jsonl", rows), dropped) == []
    assert dropped == {"the reply's placeholder stands for a company fact": 1}


def test_rows_of_the_judge_are_left_to_it(tmp_path: Path) -> None:
    dropped = Counter[str]()
    rows = [{"instruction": "hello there", "response": theirs("bitext", REPLY), "intent": "x"}]
    assert load_turns("bitext", written(tmp_path, "bitext_support.jsonl", rows), dropped) == []
    assert dropped == {"kept for the judge": 1}


def dialogue(opening: str, reply: str, more: str = "") -> str:
    return f"\n\nHuman: {opening}{more}\n\nAssistant: {reply}"


def test_hh_gives_single_turns_for_replies_and_whole_ones_for_pairs(tmp_path: Path) -> None:
    more = "\n\nAssistant: What is it about?\n\nHuman: A loud neighbour, every single night."
    good, bad = (
        "I am sorry to hear that. You could talk to your neighbour.",
        "Scream back until they move away from you.",
    )
    opening = next(o for n in range(999) if purpose("hh_harmless", f"Human: {(o := f'help me {n}')}") == "generator")
    rows = [
        {"chosen": dialogue(opening, good), "rejected": dialogue(opening, bad)},
        {"chosen": dialogue(opening, good, more), "rejected": dialogue(opening, bad, more)},
    ]
    folder = written(tmp_path, "hh_harmless.jsonl", rows)
    assert [turn.message for turn in load_turns("hh_harmless", folder, Counter())] == [opening]
    pairs = load_preferred("hh_harmless", folder, Counter())
    assert len(pairs) == 2 and {pair.bad for pair in pairs} == {bad}
    assert "A loud neighbour" in pairs[1].message
