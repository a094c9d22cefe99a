"""A run log as a page to read: every complaint with the answers of all variants below it, and their grades.

page = side_by_side(responses, ("agent-rag", "agent-rag-fine-tuned"), read_grades(Path("scores.jsonl")))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from system.errors import InputError
from system.records import Response
from system.rows import UNREADABLE, read_lines

SHOWN = {  # metrics of a graded page, and what they are called on it
    "helpfulness": "helpfulness",
    "clarity": "clarity",
    "empathy": "empathy",
    "safety": "safety",
    "fact_coverage": "facts stated",
    "groundedness": "claims supported",
}
Grades = Mapping[tuple[str, str], Mapping[str, float]]  # by case and variant, then by metric


def read_grades(path: Path) -> Grades:
    """What ``python -m system score`` wrote. Raises InputError for a file that holds something else."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for number, line in read_lines(path):
        try:
            row: Any = msgspec.json.decode(line)
            values = {name: float(row[name]) for name in SHOWN if row.get(name) is not None}
            found[row["id"], row["variant"]] = values
        except (*UNREADABLE, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}:{number}: is no line that python -m system score writes; give its --out"
            ) from error
    if not any(found.values()):
        names = ", ".join(SHOWN)
        raise InputError(f"{path}: holds no grade ({names}); give what python -m system score wrote")
    return found


def side_by_side(responses: Sequence[Response], order: Sequence[str] = (), grades: Grades | None = None) -> str:
    """Markdown; complaints by id, variants in ``order`` or alphabetical, whichever was answered first."""
    lines: list[str] = []
    places = {variant: place for place, variant in enumerate(order)}
    for case in sorted({response.id for response in responses}):
        answers = sorted((r for r in responses if r.id == case), key=lambda r: (places.get(r.variant, 0), r.variant))
        lines += [f"## {case}", "", *_quoted(answers[0].complaint)]
        for answer in answers:
            decision = f"{answer.decision.action}: {answer.decision.reason}"
            lines += ["", f"**{answer.variant}** ({decision})", "", answer.text or f"*{answer.error}*"]
            if answer.removed:
                lines += ["", "Taken out by the guard:", *(f"- {' '.join(text.split())}" for text in answer.removed)]
            if values := (grades or {}).get((case, answer.variant)):
                lines += ["", f"*{', '.join(f'{SHOWN[name]} {value:.2f}' for name, value in values.items())}*"]
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> list[str]:
    return [f"> {line}" for line in text.splitlines()]
