"""The comparison table: one row a requirement, one column a variant, as text."""

from __future__ import annotations

import io
from collections.abc import Sequence

from system.records import Verdict

_MARK = {"PASS": "", "FAIL": " !", "INCONCLUSIVE": " ?", "ERROR": " ERROR"}


def comparison(verdicts: Sequence[Verdict], width: int = 120) -> str:
    """Verdicts as a table. Rates and means show their interval, zero-tolerance rules how many cases break them."""
    from rich.console import Console
    from rich.table import Table

    variants = list(dict.fromkeys(v.variant for v in verdicts))
    cells = {(v.requirement, v.variant): _cell(v) for v in verdicts}
    table = Table(
        caption="! requirement missed   ? undecided   value (95 % interval), or cases breaking the rule / cases"
    )
    table.add_column("requirement")
    for variant in variants:
        table.add_column(variant, justify="right")
    for requirement in dict.fromkeys(v.requirement for v in verdicts):
        table.add_row(requirement, *(cells.get((requirement, variant), "") for variant in variants))
    out = io.StringIO()
    Console(file=out, width=max(width, 100, 20 * (len(variants) + 1)), color_system=None).print(table)
    return out.getvalue()


def _cell(verdict: Verdict) -> str:
    if verdict.value is None:
        return "ERROR"
    if verdict.low is None or verdict.high is None:
        if verdict.threshold:  # zero tolerance has threshold 0: this is a mean of too few clusters
            return f"{verdict.value:.3f} (no interval){_MARK[verdict.status]}"
        return f"{verdict.value:.0f}/{verdict.n}{_MARK[verdict.status]}"
    return f"{verdict.value:.3f} ({verdict.low:.3f}-{verdict.high:.3f}){_MARK[verdict.status]}"
