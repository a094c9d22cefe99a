"""Promptfoo's results file as our records, and as a page: the same scores, judged by the same gates.

    results = read_results(Path("runs/promptfoo/results.json"))
    verdicts_of(results, requirements)      what pytest says of the same answers
    page(results)                           every column's score with its interval, and what beats the plain prompt

Knows Promptfoo's JSON and the gates; must not know how answers were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from system.errors import InputError
from system.evaluation.comparison_table import build, finite, render_markdown
from system.evaluation.judge import AXES
from system.evaluation.judging import judge_scores
from system.evaluation.requirements import Requirement
from system.records import Score, Verdict

SCORE = "promptfoo score"
GRADES = (*AXES, "groundedness")  # names of requirements
SHARES = {"share": "difference", "low": "low", "high": "high"}
PLAIN = "prompt-only"  # the provider whose columns are the bare prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One cell of Promptfoo's table."""

    column: int  # its place in Promptfoo's table
    provider: str
    template: str
    variant: str
    case: str
    cluster: str
    score: float  # Promptfoo's: mean of the weighted assertions, 0 to 1
    passed: bool
    error: str | None
    asserted: dict[str, tuple[bool, float]]  # what Promptfoo concluded, by metric of an assertion: passed, score
    gates: dict[str, dict[str, Any]]  # what our rulers said, by requirement; see promptfoo_provider


def read_results(path: Path) -> list[Result]:
    """All cells. Raises InputError where the file is none of Promptfoo's with this project's provider."""
    try:
        rows = msgspec.json.decode(path.read_bytes())["results"]["results"]
        found = [_result(row) for row in rows]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; make it with: python -m system promptfoo evaluate") from error
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no results file of promptfoo eval with this configuration") from error
    if not found:
        raise InputError(f"{path}: holds no result; run make promptfoo")
    return found


def _result(row: dict[str, Any]) -> Result:
    metadata = (row.get("response") or {}).get("metadata") or {}
    components = (row.get("gradingResult") or {}).get("componentResults") or []
    gates = {name: gate["case"] for name, gate in metadata.get("gates", {}).items()}
    # Promptfoo writes the reason of a failed assertion as an error, too; without gates there was no answer.
    return Result(
        column=row["promptIdx"],
        provider=row["provider"]["label"],
        template=row["prompt"]["label"],
        variant=metadata.get("variant", ""),
        case=row["vars"]["id"],
        cluster=next((case["cluster"] for case in gates.values()), ""),
        score=float(row["score"]),
        passed=bool(row["success"]),
        error=None if gates else str(row.get("error") or "no answer"),
        asserted={
            part["assertion"]["metric"]: (bool(part["pass"]), float(part["score"]))
            for part in components
            if (part.get("assertion") or {}).get("metric")
        },
        gates=gates,
    )


def verdicts_of(results: Iterable[Result], requirements: Sequence[Requirement]) -> dict[tuple[str, str], Verdict]:
    """The verdict on every requirement of every variant that it binds, by (requirement, variant)."""
    verdicts = {}
    for own in _columns(results).values():
        variant = next((result.variant for result in own if result.variant), "")
        for requirement in requirements:
            gates = {result.case: gate for result in own if (gate := result.gates.get(requirement.name))}
            if any(gate["binds"] for gate in gates.values()):
                scores = [_score(result, requirement.name) for result in own if result.case in gates]
                expected = [*gates, *(result.case for result in own if result.error)]
                verdicts[requirement.name, variant] = judge_scores(requirement, variant, scores, expected)
    return verdicts


def page(results: Sequence[Result]) -> str:
    """Promptfoo's score and the judge's grades by column with intervals, and the gain over the plain prompts."""
    columns = _columns(results)
    scores = _scores(columns)
    for name in GRADES:
        scores[name] = {
            column: [replace(_score(result, name), variant=column) for result in own if name in result.gates]
            for column, own in columns.items()
        }
    table = render_markdown(build(scores, _plain(columns)[0]))
    told = [
        f"- {gain['best']} scores {100 * gain['share']:.0f} % higher than {gain['over']} ({_range(gain)}): "
        f"{gain['value']:.3f} against {gain['base']:.3f}"
        for gain in figures(results)["gains"]
    ]
    cases = len({result.case for result in results})
    return "\n".join([f"{cases} complaints, {len(columns)} columns.", "", table, *told, ""])


def figures(results: Sequence[Result]) -> dict[str, list[dict[str, Any]]]:
    """The columns' scores, and by which share of its score the best column beats each plain prompt."""
    columns = _columns(results)
    scores = _scores(columns)
    table = build(scores, None)
    cells = {name: cell for (name, _), cell in table.cells.items() if cell.value is not None}
    if not cells:
        raise InputError("no column was answered in full; see the errors of: python -m system promptfoo evaluate")
    best = max(cells, key=lambda name: cells[name].value or 0.0)
    gains = []
    for plain in _plain(columns):
        paired = build(scores, plain).cells[best, SCORE].paired if plain != best else None
        base = cells[plain].value if plain in cells else None
        if paired is not None and base:
            share = {key: finite(getattr(paired, field) / base) for key, field in SHARES.items()}
            gains.append({"best": best, "over": plain, "value": cells[best].value, "base": base, **share})
    shown = [{"name": n, "value": c.value, "low": c.low, "high": c.high, "n": c.n} for n, c in cells.items()]
    return {"columns": shown, "gains": gains}


def _range(gain: dict[str, Any]) -> str:
    """The interval of a gain; a few cases have none."""
    low, high = gain["low"], gain["high"]
    return "no interval" if None in (low, high) else f"{100 * low:.0f} % to {100 * high:.0f} %"


def _scores(columns: dict[str, list[Result]]) -> dict[str, dict[str, list[Score]]]:
    return {SCORE: {name: [_total(result, name) for result in own] for name, own in columns.items()}}


def _plain(columns: dict[str, list[Result]]) -> list[str]:
    return [name for name in columns if name.startswith(f"{PLAIN} ")] or list(columns)[:1]


def _columns(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The cells by column, in the table's order; Promptfoo writes them as they were finished."""
    found: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: (result.column, result.case)):
        found.setdefault(f"{result.provider} / {result.template}", []).append(result)
    return found


def _total(result: Result, column: str) -> Score:
    """Promptfoo's own score of a cell; a cell without an answer has none."""
    value = None if result.error else result.score
    return Score(
        case=result.case, variant=column, metric=SCORE, value=value, cluster=result.cluster, error=result.error
    )


def _score(result: Result, requirement: str) -> Score:
    gate = result.gates[requirement]
    return Score(
        case=result.case,
        variant=result.variant,
        metric=gate["metric"],
        value=gate["value"],
        cluster=gate["cluster"],
        error="not scored" if gate["value"] is None else None,
    )
