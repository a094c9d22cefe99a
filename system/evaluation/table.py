"""Tables of verdicts as text: requirements against variants, and the claims that one variant beats another."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from system.records import Verdict
from system.variants import VARIANTS

NARROWEST = 100  # columns of a terminal that tables are made for
FRAME = 3  # of a column: a space on either side and a line
_MARK = {"PASS": "", "FAIL": " !", "INCONCLUSIVE": " ?", "ERROR": " ERROR"}


def comparison(verdicts: Sequence[Verdict], width: int = 120) -> str:
    """Verdicts as a table. Rates and means show their interval, zero-tolerance rules how many cases break them."""
    head, rows = by_variant(verdicts)
    caption = "! requirement missed   ? undecided   value (95 % interval), or cases breaking the rule / cases"
    return grid(head, rows, caption, width)


def by_variant(verdicts: Sequence[Verdict]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: a requirement a row, a variant a column, empty where nothing was judged."""
    variants = variants_of(verdicts)
    cells = {(v.requirement, v.variant): plain_cell(v) for v in verdicts}
    rows = [[r, *(cells.get((r, v), "") for v in variants)] for r in dict.fromkeys(v.requirement for v in verdicts)]
    return ["requirement", *variants], rows


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Cells as the lines of a table in GitHub's Markdown; a cell's own bars and line ends stay in it."""
    lines = (head, ["---"] * len(head), *rows)
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in line) + " |" for line in lines]


def variants_of(verdicts: Sequence[Verdict]) -> list[str]:
    """The variants of verdicts: the declared ones in their order, then any other."""
    found = dict.fromkeys(v.variant for v in verdicts)
    return [*(name for name in VARIANTS if name in found), *(name for name in found if name not in VARIANTS)]


def claims(verdicts: Sequence[Verdict], width: int = 120) -> str:
    """Verdicts of ``comparisons.judge_claims`` as a table: a claim, not a variant, is what each is about."""
    rows = [[v.requirement, v.variant, _marked(v), f"{v.threshold:.3g}", str(v.n)] for v in verdicts]
    caption = "! refuted   ? undecided   mean difference of the same cases (95 % interval)"
    return grid(["comparison", "claim", "difference", "margin", "n"], rows, caption, width)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, width: int = 120) -> str:
    """Cells as a table for the terminal, the first column to the left; no word or figure is cut off.

    Columns for which there is no room stand in further tables below, each with the first column again.
    """
    from rich.console import Console
    from rich.table import Table

    room = max(width, NARROWEST)
    needs = [_need(cells) for cells in zip(head, *rows, strict=True)]
    tables = []
    for columns in _parts(needs, room):
        table = Table()
        slack = max(0, room - 1 - sum(needs[column] for column in columns)) // len(columns)
        for column in columns:
            widest = max(len(cells[column]) for cells in (head, *rows))
            table.add_column(
                head[column], justify="right" if column else "left", width=min(needs[column] - FRAME + slack, widest)
            )
        for row in rows:
            table.add_row(*(row[column] for column in columns))
        tables.append(table)
    tables[-1].caption = caption
    out = io.StringIO()
    for table in tables:
        Console(file=out, width=room, color_system=None).print(table)
    return out.getvalue()


def _need(cells: Sequence[str]) -> int:
    """Characters that a column takes at least: its longest word, the space around it and a line."""
    return max(len(word) for cell in cells for word in cell.split() or [""]) + FRAME


def _parts(needs: Sequence[int], room: int) -> list[list[int]]:
    """The columns of each table: the first column, and as many of the others as fit."""
    parts = [[0]]
    for column in range(1, len(needs)):
        if len(parts[-1]) > 1 and sum(needs[n] for n in parts[-1]) + needs[column] > room - 1:
            parts.append([0])
        parts[-1].append(column)
    return parts


def spread(value: float, low: float | None, high: float | None) -> str:
    """A value and its interval, as every table writes them."""
    if low is None or high is None:
        return f"{value:.3f} (no interval)"
    return f"{value:.3f} ({low:.3f}{' to ' if low < 0 else '-'}{high:.3f})"  # no hyphen beside a minus


def plain_cell(verdict: Verdict) -> str:
    """A verdict in a few letters: its value with its interval, or cases breaking the rule / cases; and its mark."""
    # Zero tolerance has threshold 0 and no interval; a mean without one has too few clusters.
    if verdict.value is None or verdict.threshold or verdict.low is not None:
        return _marked(verdict)
    return f"{verdict.value:.0f}/{verdict.n}{_MARK[verdict.status]}"


def _marked(verdict: Verdict) -> str:
    if verdict.value is None:
        return "ERROR"
    return spread(verdict.value, verdict.low, verdict.high) + _MARK[verdict.status]
