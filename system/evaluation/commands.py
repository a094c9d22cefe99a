"""The commands that measure: judge, score and compare; one function a command, given its parsed options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.cache import Cache, MemoryCache, open_cache
from system.complaints import read_labelled
from system.errors import InputError, ModelError
from system.evaluation import overlap, perplexity, semantic
from system.evaluation.judge import AXES, Pair, load_judge, pair_scorer, passport_folder
from system.evaluation.measuring import Rulers, known_metrics
from system.evaluation.passport import read_passport
from system.evaluation.rules import RULES
from system.evaluation.scorers import grade_many
from system.records import Complaint, Response, Score
from system.rows import read_rows, write_rows, write_whole
from system.runlog import by_variant, read_run

SCORED = (
    *(*overlap.METRICS, *semantic.METRICS, perplexity.METRICS[0], *AXES),
    *("fact_coverage", "groundedness", "claims", *RULES),
)
COMPARED = ("helpfulness", "clarity", "empathy", "safety", "fact_coverage", "groundedness", "bertscore-f1", "bleu-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """A row of a pairs file."""

    id: str
    complaint: str
    response: str
    context: str = ""


def judge(options: argparse.Namespace) -> int:
    """Grade a file of pairs on the four axes; a pair that cannot be graded carries a named error."""
    rows = read_rows(options.pairs, PairRow)
    ruler = load_judge(options.judge)
    official = _official(options.kb) if options.kb else ""
    pairs = [Pair(row.complaint, row.response, row.context or official) for row in rows]
    for fault in _unfit(options.judge, ruler.signature):
        print(f"warning: {fault}", file=sys.stderr)
    grades = grade_many(pair_scorer(ruler), pairs, _cache(options))
    write_rows(
        options.out,
        (
            {"id": row.id, **(grade.values if grade.error is None else dict.fromkeys(AXES)), "error": grade.error}
            | ({"explanation": grade.explanation} if grade.explanation else {})
            for row, grade in zip(rows, grades, strict=True)
        ),
    )
    if not official and any(_invented(grade.explanation) for grade in grades):
        print("note: without --kb, phone numbers and links of the company count as invented", file=sys.stderr)
    usage = getattr(ruler, "usage", None)
    if usage is not None:
        print(usage, file=sys.stderr)
    wrong = sum(grade.error is not None for grade in grades)
    if wrong:
        first = next(grade.error for grade in grades if grade.error is not None)
        print(f"{wrong} of {len(rows)} pairs could not be graded; the first: {first}", file=sys.stderr)
    return 1 if wrong else 0


def _invented(explanation: str) -> bool:
    return explanation.startswith(("phone:", "link:")) or "; phone:" in explanation or "; link:" in explanation


def _unfit(judge: str, signature: str) -> list[str]:
    """Why nobody knows what these grades are worth."""
    try:
        passport = read_passport(passport_folder(judge))
    except ModelError as error:
        return [str(error)]
    return (
        []
        if passport.get("judge") == signature
        else ["the judge's passport belongs to another judge; examine this one"]
    )


def score(options: argparse.Namespace) -> int:
    """Every metric of every response of a run, a line a response."""
    run, complaints, rulers = _material(options)
    metrics = _metrics(options.metrics, SCORED)
    scores: dict[tuple[str, str], dict[str, Score]] = {}
    for responses in run.values():
        for metric in metrics:
            for one in rulers.score(metric, responses, complaints)[0]:
                scores.setdefault((one.variant, one.case), {})[metric] = one
    write_rows(options.out, (_scored(case, variant, found) for (variant, case), found in scores.items()))
    signatures = {one.signature for found in scores.values() for one in found.values() if one.signature}
    print("\n".join(sorted(signatures)), file=sys.stderr)
    return 0


def compare(options: argparse.Namespace) -> int:
    """Variants side by side with intervals, and marks where one differs from the reference variant."""
    from system.evaluation import comparison_table as table

    run, complaints, rulers = _material(options)
    if options.against and options.against not in run:
        raise InputError(f"--against {options.against!r}: {options.run} holds {', '.join(run)}")
    scores = {
        metric: {variant: rulers.score(metric, responses, complaints)[0] for variant, responses in run.items()}
        for metric in _metrics(options.metrics, COMPARED)
    }
    comparison = table.build(scores, options.against)
    render = {"text": table.render_text, "markdown": table.render_markdown, "json": table.to_json}[options.format]
    text = render(comparison).rstrip("\n") + "\n"
    if options.out:
        write_whole(options.out, text.encode())
    else:
        print(text, end="")
    return 0


def changes(options: argparse.Namespace) -> int:
    """What the verdicts of a run say that those of the baseline did not."""
    from system.evaluation.verdicts import changes, read_verdicts

    text = changes(read_verdicts(options.baseline), read_verdicts(options.verdicts))
    if options.out:
        write_whole(options.out, text.encode())
    else:
        print(text, end="")
    return 0


def _material(options: argparse.Namespace) -> tuple[dict[str, list[Response]], list[Complaint], Rulers]:
    """The run's responses by variant, the labelled complaints that they answer, and the rulers."""
    official = _official(options.kb)  # first: without articles every label would be wrong
    run = by_variant(read_run(options.run))
    if not run:
        raise InputError(f"{options.run}: holds no response; make one with python -m system run")
    answered = {response.id for responses in run.values() for response in responses}
    stems = [path.stem for path in options.kb.iterdir()]
    complaints = [c for c in read_labelled(options.references, stems) if c.id in answered]
    if not complaints:
        raise InputError(
            f"{options.references}: holds no complaint that {options.run} answers; give the run's own file"
        )
    rulers = Rulers(official, _cache(options), options.judge, options.base_model)
    return run, complaints, rulers


def _metrics(asked: str | None, default: Iterable[str]) -> list[str]:
    if asked is None:
        return list(default)
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if not names:
        raise InputError(f"--metrics {asked!r}: names no metric; leave it out for the usual ones")
    if unknown := [name for name in names if name not in known_metrics()]:
        raise InputError(f"--metrics: {', '.join(unknown)}: unknown; known are {', '.join(known_metrics())}")
    return names


def _scored(case: str, variant: str, found: dict[str, Score]) -> dict[str, Any]:
    errors = {metric: one.error for metric, one in found.items() if one.error}
    values = {metric: one.value for metric, one in found.items()}
    return {"id": case, "variant": variant, **values, **({"errors": errors} if errors else {})}


def _cache(options: argparse.Namespace) -> Cache:
    return MemoryCache() if options.no_cache else open_cache()


def _official(folder: Path) -> str:
    from system.articles import official_text

    return official_text(folder)
