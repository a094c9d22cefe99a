"""Public rows that the generator learns from: filtered, de-duplicated, in one shape; and what was dropped and why.

    alpaca        instruction and output, natural language
    hh_harmless, hh_helpful   the chosen reply to a person's last turn, as it is: to reword it would be to invent data
    bitext        support requests and replies, placeholders filled where the customer names what they stand for

A Bitext reply that holds a placeholder of its own (a telephone number, an address, opening hours) is dropped: whatever
it were filled with, the model would learn to state company facts that nobody gave it. Only rows that
``training.splits`` gives to the generator are kept. Must not know models or prompts.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.manners import out_of_role, placeholders, rudeness, secret_requests
from system.training.judge_data import last_turn, split_dialogue
from system.training.sources import rows
from system.training.splits import purpose

WORDS = {"alpaca": (5, 130), "hh_harmless": (8, 110), "hh_helpful": (8, 110), "bitext": (15, 110)}  # of a reply
MESSAGE_WORDS = 150
_SLOT = re.compile(r"\{\{([^{}]+)\}\}")
_TOO_HUMAN = re.compile(r"\bas an? (?:ai|artificial)\b|\blanguage model\b", re.IGNORECASE)
# What stands for a placeholder of the customer's own; drawn once a row, for request and reply alike.
_FILLERS: dict[str, Callable[[random.Random], str]] = {
    "Order Number": lambda draw: f"{draw.randrange(10_000, 99_999)}",
    "Invoice Number": lambda draw: f"{draw.randrange(100_000, 999_999)}",
    "Account Type": lambda draw: draw.choice(("basic", "family", "business", "premium")),
    "Account Category": lambda draw: draw.choice(("basic", "family", "business", "premium")),
    "Person Name": lambda draw: draw.choice(("Ada Novak", "Jonas Lind", "Mei Tran", "Omar Haddad", "Ruth Bell")),
    "Delivery City": lambda draw: draw.choice(("Ashford", "Millbrook", "Port Ellen", "Westhaven")),
    "Delivery Country": lambda draw: draw.choice(("Canada", "Ireland", "Portugal", "Norway")),
    "Refund Amount": lambda draw: f"{draw.randrange(12, 90)}",
    "Currency Symbol": lambda draw: "$",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """A message and a reply. ``group`` ties rows that share a prompt."""

    message: str
    reply: str
    source: str
    group: str


@dataclass(frozen=True, slots=True)
class Preferred:
    """Two replies to a message of which people prefer ``reply``."""

    message: str
    reply: str
    bad: str
    source: str
    group: str


def load_turns(name: str, folder: Path | None, dropped: Counter[str], seed: int = 0) -> list[Turn]:
    """The usable rows of one data set. ``dropped`` counts the others by reason. Raises SettingsError, RowsError."""
    draw = random.Random(seed)
    shape = {"alpaca": _alpaca, "bitext": _bitext}.get(name, _hh)
    found, seen = [], set[str]()
    for row in rows(name, folder):
        turn = shape(row, name, draw)
        reason = turn if isinstance(turn, str) else _objection(turn, seen)
        if isinstance(turn, str) or reason:
            dropped[str(reason)] += 1
            continue
        seen.add(_plain(turn.message))
        seen.add(_plain(turn.reply))
        found.append(turn)
    return found


def load_preferred(name: str, folder: Path | None, dropped: Counter[str]) -> list[Preferred]:
    """HH's chosen and rejected replies for the generator: helpful against evasive or harmful."""
    found = []
    for row in rows(name, folder):
        chosen, rejected = _hh(row, name, random.Random(0), whole=True), split_dialogue(row["rejected"])[1]
        if isinstance(chosen, str):
            dropped[chosen] += 1
        elif reason := _objection(chosen, set()):
            dropped[reason] += 1
        elif not rejected or rejected == chosen.reply or len(rejected.split()) > WORDS[name][1]:
            dropped["rejected reply missing, equal or too long"] += 1
        else:
            found.append(Preferred(chosen.message, chosen.reply, rejected, name, chosen.group))
    return found


def _alpaca(row: dict[str, Any], name: str, draw: random.Random) -> Turn | str:
    message = f"{row['instruction']}\n\n{row['input']}".strip()
    group = row["instruction"]
    return Turn(message, row["output"].strip(), name, group) if _is_ours(name, group) else "kept for the judge"


def _hh(row: dict[str, Any], name: str, draw: random.Random, whole: bool = False) -> Turn | str:
    """``whole``: with the turns before the last, which a reply seldom makes sense without."""
    dialogue, reply = split_dialogue(row["chosen"])
    group = dialogue.split("\n", 1)[0]
    if not _is_ours(name, group):
        return "kept for the judge"
    if whole:
        return Turn(dialogue.removeprefix("Human: "), reply, name, group)
    if dialogue.count("Human:") > 1:
        return "needs the turns before it"
    return Turn(last_turn(dialogue), reply, name, group)


def _bitext(row: dict[str, Any], name: str, draw: random.Random) -> Turn | str:
    if not _is_ours(name, row["response"]):
        return "kept for the judge"
    asked, answered = set(_SLOT.findall(row["instruction"])), set(_SLOT.findall(row["response"]))
    if answered - asked:
        return "the reply's placeholder stands for a company fact"
    if asked - set(_FILLERS):
        return "the request's placeholder is not known"
    values = {slot: _FILLERS[slot](draw) for slot in sorted(asked)}
    message, reply = (_SLOT.sub(lambda slot: values[slot.group(1)], row[key]) for key in ("instruction", "response"))
    return Turn(message.strip(), reply.strip(), name, row["response"])


def _is_ours(name: str, group: str) -> bool:
    return purpose(name, group) == "generator"


def _objection(turn: Turn, seen: set[str]) -> str:
    """Why a row is not used; empty if it is."""
    low, high = WORDS[turn.source]
    words = len(turn.reply.split())
    if not turn.message or not turn.reply:
        return "empty"
    if words < low or words > high:
        return "reply too short" if words < low else "reply too long"
    if len(turn.message.split()) > MESSAGE_WORDS:
        return "message too long"
    if _plain(turn.message) in seen or _plain(turn.reply) in seen:
        return "said before"
    if _TOO_HUMAN.search(turn.reply) or placeholders(turn.reply):
        return "speaks as a model or holds a placeholder"
    if turn.source != "alpaca" and (rudeness(turn.reply) or secret_requests(turn.reply) or out_of_role(turn.reply)):
        return "rude, asks for a secret or leaves its role"
    return ""


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def by_group(turns: Iterable[Turn]) -> list[str]:
    """The groups of the rows, each once, in order."""
    return list(dict.fromkeys(turn.group for turn in turns))
