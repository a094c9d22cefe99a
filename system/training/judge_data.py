"""The judge's human labels: EPITOME, HH harmless, PandaLM, Bitext, and our own graded pairs.

    data = load_human_labels(folder, "judge")          what it learns from
    data = load_human_labels(folder, "judge-heldout")  what it is only ever measured on

From a local folder of JSON lines, or from the Hugging Face Hub by name where no folder is given. Reads and splits;
must not know models or losses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from system.evaluation.judge import EMPATHY, Pair
from system.rows import read_rows
from system.training.sources import rows
from system.training.splits import Purpose, purpose

Text = tuple[str, str]  # complaint, reply


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
class Calibrated:
    """A calibration pair: the mean grade of two graders per axis, in the order of AXES."""

    pair: Pair
    grades: tuple[float, float, float, float]
    cluster: str
    half: str  # "fit" or "held-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedRow:
    """A row of data/judge_training.jsonl."""

    id: str
    complaint: str
    response: str
    profile: str
    cluster: str
    helpfulness: float
    clarity: float
    empathy: float
    safety: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRow(GradedRow):
    """A row of data/judge_calibration.jsonl: the mean of two graders, what each of them gave, and the half."""

    half: Literal["fit", "held-out"]
    context: str
    graders: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class HumanLabels:
    """What the public data sets say, each for the head that it teaches."""

    epitome: list[Levels]
    harmless: list[Preference]
    preferred: list[Preference]
    requests: list[tuple[str, str, str]]  # Bitext: intent, request, reply


def load_human_labels(folder: Path | None, part: Purpose) -> HumanLabels:
    """The rows of one part. Raises SettingsError for a missing file, RowsError for a bad row."""
    return HumanLabels(
        epitome=[
            Levels((row["post"], row["response"]), tuple(int(row[name]) for name in EMPATHY))  # type: ignore[arg-type]
            for row in rows("epitome", folder)
            if purpose("epitome", row["id"].split("-")[0]) == part
        ],
        harmless=load_harmless(folder, part),
        preferred=list(_preferred(rows("pandalm", folder), part)),
        requests=[
            (row["intent"], _filled(row["instruction"]), _filled(row["response"]))
            for row in rows("bitext", folder)
            if purpose("bitext", row["response"]) == part
        ],
    )


def load_harmless(folder: Path | None, part: Purpose) -> list[Preference]:
    """The pairs of HH of one part; a group is the opening of its dialogue."""
    return list(_harmless(rows("hh_harmless", folder), part))


def _harmless(found: Iterable[dict[str, Any]], part: Purpose) -> Iterator[Preference]:
    for row in found:
        prompt, chosen = split_dialogue(row["chosen"])
        other, rejected = split_dialogue(row["rejected"])
        opening = prompt.split("\n", 1)[0]
        if prompt == other and chosen != rejected and purpose("hh_harmless", opening) == part:
            yield Preference((prompt, chosen), (prompt, rejected), opening)


def _preferred(found: Iterable[dict[str, Any]], part: Purpose) -> Iterator[Preference]:
    for row in found:
        if not row["preferred"] or purpose("pandalm", row["instruction"]) != part:
            continue
        message = f"{row['instruction']}\n{row['input']}".strip()
        replies = [(message, str(row["response1"])), (message, str(row["response2"]))]
        better, worse = replies if row["preferred"] == 1 else reversed(replies)
        agreed = row["votes"].count(row["preferred"]) / len(row["votes"])
        yield Preference(better, worse, row["instruction"], agreed)


def load_graded(path: Path) -> list[Graded]:
    """The pairs of data/judge_training.jsonl. Raises RowsError."""
    return [
        Graded((row.complaint, row.response), (row.helpfulness, row.clarity, row.empathy, row.safety), row.cluster)
        for row in read_rows(path, GradedRow)
    ]


def load_calibration_pairs(path: Path) -> list[Calibrated]:
    """The pairs of data/judge_calibration.jsonl. Raises RowsError."""
    return [
        Calibrated(
            Pair(row.complaint, row.response, row.context),
            (row.helpfulness, row.clarity, row.empathy, row.safety),
            row.cluster,
            row.half,
        )
        for row in read_rows(path, CalibrationRow)
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
