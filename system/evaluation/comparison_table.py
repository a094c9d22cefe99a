"""Variants side by side: a row a variant, a column a metric, and what differs from a variant of reference.

    table = build({"facts": {"rag": [...], "agent-rag": [...]}, ...}, against="rag")
    print(render_text(table))          # or render_markdown(table), to_json(table)

A mark says that a variant scores higher or lower than the reference on the same cases: a paired two-sided test,
corrected by Holm over all cells of the table. Higher is not always better: that is the reader's to know.
Knows records and statistics; must not know how scores were made. Verdicts on requirements are ``table.py``'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from system.errors import SettingsError
from system.evaluation import statistics
from system.evaluation.gates import clusters_of, find_faults, value_of
from system.evaluation.paired import ALPHA, ByVariant, PairedResult, compare_variants, holm_adjusted, pairing_faults
from system.evaluation.table import grid, markdown, spread
from system.records import Score

LEVEL = 0.95
HIGHER, LOWER = "▲", "▼"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One metric of one variant. ``value`` is None where a case was not scored (``error`` names it) or none applies."""

    n: int
    value: float | None = None
    low: float | None = None  # None where there is no interval
    high: float | None = None
    error: str | None = None
    paired: PairedResult | None = None  # this variant - the reference, with raw p-values
    p: float | None = None  # two-sided, corrected over the table
    incomparable: str | None = None  # why there is no test against the reference, naming the cases

    @property
    def mark(self) -> str:
        """Which way the variant differs from the reference; empty where that is not shown."""
        if self.paired is None or self.p is None or self.p > ALPHA:
            return ""
        # The side comes from the test and not from the mean, which may be 0 or tell the other way in a skewed sample.
        return HIGHER if self.paired.p < self.paired.p_counter else LOWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The table: cells by variant and metric. A cell that was not asked for is not there."""

    metrics: tuple[str, ...]
    variants: tuple[str, ...]
    against: str | None
    tests: int  # family of the correction
    cells: Mapping[tuple[str, str], Cell] = field(default_factory=dict)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is wrong with a cell, or keeps it from being compared, with the names of the cases."""
        found = []
        for (variant, metric), cell in self.cells.items():
            if cell.error:
                found.append(f"{metric} of {variant}: {cell.error}")
            elif cell.incomparable:
                found.append(f"{metric} of {variant} is not compared with {self.against}: {cell.incomparable}")
        return tuple(found)


def build(scores: Mapping[str, ByVariant], against: str | None) -> Comparison:
    """The table of scores by metric and variant, in their order. Raises SettingsError for an unknown reference.

    A metric whose scores are all 0 or 1 is a rate with the interval of its gate, any other a mean. A comparison
    that cannot be made counts in the correction as p = 1, so that a broken cell makes no other one significant.
    """
    variants = tuple(dict.fromkeys(variant for by_variant in scores.values() for variant in by_variant))
    if against is not None and against not in variants:
        raise SettingsError(f"variant {against!r} has no scores to compare with; known are {', '.join(variants)}")
    plain = {
        (variant, metric): _cell(variant, by_variant[variant], _is_rate(by_variant))
        for metric, by_variant in scores.items()
        for variant in variants
        if variant in by_variant
    }
    wanted = [key for key in plain if against is not None and key[0] != against]
    faults, results = {}, {}
    for variant, metric in wanted:
        if not scores[metric].get(str(against)):
            faults[variant, metric] = f"{against} has no case"  # to name every other one would tell no more
            continue
        found, _ = pairing_faults(scores[metric], metric, variant, str(against))
        if found:
            faults[variant, metric] = "; ".join(found)
        else:
            (results[variant, metric],) = compare_variants(scores[metric], metric, [(variant, str(against))])
    adjusted = holm_adjusted([r.p_two_sided for r in results.values()], len(wanted))
    p_values = dict(zip(results, adjusted, strict=True))
    cells = {
        key: Cell(
            **cell, paired=results.get(key), p=p_values.get(key), incomparable=faults.get(key) if cell["n"] else None
        )
        for key, cell in plain.items()
    }
    return Comparison(metrics=tuple(scores), variants=variants, against=against, tests=len(wanted), cells=cells)


def render_text(comparison: Comparison, width: int = 120) -> str:
    """The table for a terminal, its notes below."""
    table = grid(["variant", *comparison.metrics], _rows(comparison), _caption(comparison), width)
    return table + "".join(f"{note}\n" for note in comparison.notes)


def render_markdown(comparison: Comparison) -> str:
    """The table in GitHub's Markdown, its caption and notes below."""
    lines = markdown(["variant", *comparison.metrics], _rows(comparison))
    notes = [f"- {note}" for note in comparison.notes]
    return "\n".join([*lines, "", _caption(comparison), *(["", *notes] if notes else [])]) + "\n"


def to_json(comparison: Comparison) -> str:
    """Everything the table knows, every number unrounded; what is infinite or not there is null."""
    rows = [
        {"variant": v, "metrics": {m: _fields(c) for m in comparison.metrics if (c := comparison.cells.get((v, m)))}}
        for v in comparison.variants
    ]
    head = {"against": comparison.against, "level": LEVEL, "alpha": ALPHA, "tests": comparison.tests}
    content = {**head, "variants": rows, "notes": comparison.notes}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _is_rate(by_variant: ByVariant) -> bool:
    # Asked of the whole column: one variant's mean beside another's rate could not be read together.
    return all(score.value in (0, 1) for scores in by_variant.values() for score in scores if score.value is not None)


def _cell(variant: str, scores: Sequence[Score], is_rate: bool) -> dict[str, Any]:
    """The fields of a cell that need no other variant."""
    if not scores:
        return {"n": 0}
    faults, _ = find_faults(variant, scores, None, lambda _: "")
    if faults:
        return {"n": len(scores), "error": "; ".join(faults)}
    n, values, clusters = len(scores), [value_of(s) for s in scores], clusters_of(scores)
    if is_rate:
        size = statistics.effective_n(values, clusters, LEVEL)
        interval = statistics.rate_interval(sum(values), n, LEVEL, size)
    else:
        interval = statistics.mean_interval(values, clusters, LEVEL)
    return {"n": n, "value": math.fsum(values) / n, "low": finite(interval.low), "high": finite(interval.high)}


def finite(number: float | None) -> float | None:
    """The number, None where it is infinite or none: what JSON can say."""
    return number if number is not None and math.isfinite(number) else None


def _rows(comparison: Comparison) -> list[list[str]]:
    return [
        [variant, *(_text(comparison.cells.get((variant, metric))) for metric in comparison.metrics)]
        for variant in comparison.variants
    ]


def _text(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.value is None:
        return "ERROR" if cell.error else "no case"
    return f"{spread(cell.value, cell.low, cell.high)} {cell.mark or ('≠' if cell.incomparable else '')}".rstrip()


def _caption(comparison: Comparison) -> str:
    caption = f"value ({100 * LEVEL:g} % interval)"
    if comparison.tests:
        caption += f"   {HIGHER} higher, {LOWER} lower than {comparison.against} on the same cases"
        caption += f" (paired test, Holm over {comparison.tests}, {100 * ALPHA:g} %)"
    if any(cell.incomparable for cell in comparison.cells.values()):
        caption += "   ≠ other cases, not compared"
    return caption


def _fields(cell: Cell) -> dict[str, object]:
    paired = None
    if (result := cell.paired) is not None:
        paired = {
            "difference": result.difference,
            "low": finite(result.low),
            "high": finite(result.high),
            "p": result.p_two_sided,
            "p_holm": cell.p,
            "mark": {HIGHER: "higher", LOWER: "lower"}.get(cell.mark),
            "d_z": result.d_z,
            "superiority": result.superiority,
            "mde": finite(result.mde),
            "clusters": result.clusters,
        }
    return {
        **{"value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n},
        **{"error": cell.error, "incomparable": cell.incomparable, "against": paired},
    }
