"""Judges: four axes from 1 to 5, helpfulness, clarity, empathy and safety, for a complaint and its answer.

    judge = load_judge("local")                     or "openai:MODEL@URL"
    judge.grade([Pair("…complaint…", "…answer…")]) -> [Grade(values={"helpfulness": 3.2, ...})]

What the grades mean stands in data/judge_rubric.toml. Knows no gate, no variant and no complaint's labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from system.errors import SettingsError
from system.evaluation.scorers import Grade, Inputs, Scorer
from system.records import Complaint, Response
from system.settings import read_toml, require_keys

AXES = ("helpfulness", "clarity", "empathy", "safety")
EMPATHY = ("emotional_reactions", "interpretations", "explorations")  # EPITOME's mechanisms, levels 0 to 2
LOWEST, HIGHEST = 1.0, 5.0
ROOT = Path(__file__).resolve().parents[2]
RUBRIC = ROOT / "data" / "judge_rubric.toml"
LOCAL = "local"
OPENAI_PREFIX = "openai:"


class Pair(NamedTuple):
    """What a judge sees. ``context`` is what the company has said, to tell an invented fact; empty where unknown."""

    complaint: str
    response: str
    context: str = ""


class Judge(Protocol):
    """Anything that grades pairs."""

    @property
    def signature(self) -> str:
        """Everything the grades depend on besides the pair: weights, rubric, versions."""
        ...

    def grade(self, pairs: Sequence[Pair]) -> Iterable[Grade]:
        """One grade a pair, in order, with a value per axis; a pair that cannot be graded becomes a named error."""
        ...


def load_judge(name: str = LOCAL) -> Judge:
    """The judge of this name: ``local`` or ``openai:MODEL@URL``. Raises SettingsError for any other."""
    if name == LOCAL:
        from system.evaluation.local_judge import LocalJudge

        return LocalJudge()
    if name.startswith(OPENAI_PREFIX):
        from system.evaluation.remote_judge import RemoteJudge

        return RemoteJudge(name)
    raise SettingsError(f"judge {name!r} is unknown; give {LOCAL} or {OPENAI_PREFIX}MODEL@BASE_URL")


def passport_folder(name: str) -> Path:
    """Where the passport of a judge lies: beside the local judge's weights, or in a folder named after the model."""
    if name == LOCAL:
        return ROOT / "adapters" / "judge"
    slug = re.sub(r"[^a-z0-9]+", "-", name.rpartition("@")[0].removeprefix(OPENAI_PREFIX).lower()).strip("-")
    return ROOT / "adapters" / f"judge-{slug or 'unnamed'}"


def pair_scorer(judge: Judge) -> Scorer:
    """The judge as a ruler of pairs, whose grades are cached."""

    def inputs(response: Response, complaint: Complaint, official: str) -> Inputs:
        return Pair(complaint.text, response.text, official)

    return Scorer(AXES, judge.signature, inputs, lambda many: judge.grade([Pair(*one) for one in many]))


def read_rubric(path: Path = RUBRIC) -> dict[str, dict[str, str]]:
    """By axis: the question, and what each grade "1" to "5" means. Raises SettingsError."""
    rubric = read_toml(path)
    problems = require_keys(rubric, AXES, dict)
    for axis, table in rubric.items():
        if axis in AXES and isinstance(table, dict):
            problems += [f"{axis}: {problem}" for problem in require_keys(table, ("question", *"12345"))]
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return rubric
