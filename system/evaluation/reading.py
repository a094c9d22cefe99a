"""A run log as a page to read: every complaint with the answers of all variants below it."""

from __future__ import annotations

from collections.abc import Sequence

from system.records import Response


def side_by_side(responses: Sequence[Response]) -> str:
    """Markdown; complaints and variants in alphabetical order, whichever was answered first."""
    lines: list[str] = []
    for case in sorted({response.id for response in responses}):
        answers = sorted((r for r in responses if r.id == case), key=lambda response: response.variant)
        lines += [f"## {case}", "", *_quoted(answers[0].complaint)]
        for answer in answers:
            decision = f"{answer.decision.action}: {answer.decision.reason}"
            lines += ["", f"**{answer.variant}** ({decision})", "", answer.text or f"*{answer.error}*"]
            if answer.removed:
                lines += ["", "Taken out by the guard:", *(f"- {' '.join(text.split())}" for text in answer.removed)]
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> list[str]:
    return [f"> {line}" for line in text.splitlines()]
