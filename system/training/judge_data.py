"""The judge's human labels: EPITOME, HH harmless, PandaLM, Bitext, and our own graded pairs.

    data = load_human_labels(folder, "judge")          what it learns from
    data = load_human_labels(folder, "judge-heldout")  what it is only ever measured on

From a local folder of JSON lines, or from the Hugging Face Hub by name where no folder is given. Reads and splits;
must not know models or losses.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.errors import RowsError, SettingsError
from system.evaluation.judge import AXES
from system.evaluation.judge_model import EMPATHY
from system.training.splits import Purpose, purpose

Text = tuple[str, str]  # complaint, reply
FILES = {
    "epitome": "epitome.jsonl",
    "hh_harmless": "hh_harmless.jsonl",
    "pandalm": "pandalm.jsonl",
    "bitext": "bitext_support.jsonl",
}


@dataclass(frozen=True, slots=True)
class Levels:
    """A reply with the human labels of its three empathy mechanisms, 0 to 2 each, in the order of EMPATHY."""

    text: Text
    levels: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Preference:
    """Two replies to one message, of which people prefer the first. ``group`` ties what shares a message."""

    better: Text
    worse: Text
    group: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Graded:
    """A pair of our own with its grades, 1 to 5, in the order of AXES."""

    text: Text
    grades: tuple[float, float, float, float]
    cluster: str


@dataclass(frozen=True, slots=True)
class HumanLabels:
    """What the public data sets say, each for the head that it teaches."""

    epitome: list[Levels]
    harmless: list[Preference]
    preferred: list[Preference]
    requests: list[tuple[str, str, str]]  # Bitext: intent, request, reply


def load_human_labels(folder: Path, part: Purpose) -> HumanLabels:
    """The rows of one part. Raises SettingsError for a missing file, RowsError for a bad row."""
    return HumanLabels(
        epitome=[
            Levels((row["post"], row["response"]), tuple(int(row[name]) for name in EMPATHY))  # type: ignore[arg-type]
            for row in _rows(folder, "epitome")
            if purpose("epitome", row["id"].split("-")[0]) == part
        ],
        harmless=list(_harmless(_rows(folder, "hh_harmless"), part)),
        preferred=list(_preferred(_rows(folder, "pandalm"), part)),
        requests=[
            (row["intent"], _filled(row["instruction"]), _filled(row["response"]))
            for row in _rows(folder, "bitext")
            if purpose("bitext", row["response"]) == part
        ],
    )


def _harmless(rows: Iterable[dict[str, Any]], part: Purpose) -> Iterator[Preference]:
    for row in rows:
        prompt, chosen = split_dialogue(row["chosen"])
        other, rejected = split_dialogue(row["rejected"])
        opening = prompt.split("\n", 1)[0]
        if prompt == other and chosen != rejected and purpose("hh_harmless", opening) == part:
            yield Preference((prompt, chosen), (prompt, rejected), opening)


def _preferred(rows: Iterable[dict[str, Any]], part: Purpose) -> Iterator[Preference]:
    for row in rows:
        if not row["preferred"] or purpose("pandalm", row["instruction"]) != part:
            continue
        message = f"{row['instruction']}\n{row['input']}".strip()
        replies = [(message, str(row["response1"])), (message, str(row["response2"]))]
        better, worse = replies if row["preferred"] == 1 else reversed(replies)
        agreed = row["votes"].count(row["preferred"]) / len(row["votes"])
        yield Preference(better, worse, row["instruction"], agreed)


def load_graded(paths: Iterable[Path]) -> list[Graded]:
    """Graded pairs of these files."""
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        Graded((row["complaint"], row["response"]), tuple(float(row[a]) for a in AXES), row["cluster"])  # type: ignore[arg-type]
        for row in rows
    ]


def split_dialogue(text: str) -> Text:
    """A dialogue of HH as what came before the last reply, speakers named, and that reply."""
    before, _, reply = text.rpartition("\n\nAssistant:")
    turns = re.sub(r"\n\n(Human|Assistant): ?", r"\n\1: ", before).strip()
    return turns, reply.strip()


def last_turn(dialogue: str) -> str:
    """What the person said last, without the history."""
    return dialogue.rpartition("Human: ")[2].strip() or dialogue


_SLOT = re.compile(r"\{\{([^{}]+)\}\}")


def _filled(text: str) -> str:
    """Bitext's placeholders as the words that they stand for: a judge must not learn from braces."""
    return _SLOT.sub(lambda slot: f"our {slot.group(1).lower()}", text)


def swapped_requests(requests: list[tuple[str, str, str]], seed: int) -> list[Preference]:
    """Each reply under its own request, better, and under one of another intent, worse; either side may be kept.

    Half of the pairs keep the request and swap the reply, half keep the reply and swap the request.
    """
    draw = random.Random(seed)
    pairs = []
    for intent, request, reply in requests:
        _, strange_request, strange_reply = draw.choice([other for other in requests if other[0] != intent])
        worse = (request, strange_reply) if draw.random() < 0.5 else (strange_request, reply)
        pairs.append(Preference((request, reply), worse, request))
    return pairs


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / FILES[name]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the folder with --data-dir") from error
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise RowsError([f"{path}: is not JSON lines: {error}"]) from error
