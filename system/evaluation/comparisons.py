"""The claims of a gates file, "this variant beats that one", and their verdicts.

    [[comparison]]
    name = "articles-help"
    metric = "facts"
    better = "rag"
    worse = "prompt-structured"
    reason = "Retrieval that does not beat a bare prompt is not worth its time."

Optional: margin (default 0), by how much; scale, [lowest, highest] value of the metric; baseline, what was measured
where the claim is known to fail. All claims of a file are one family for Holm's correction, whichever of them are
asked for: running fewer tests on one day must not make a claim easier to prove.
Knows records and paired tests; must not know how scores were made, nor which variants exist.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from system.errors import SettingsError
from system.evaluation import statistics
from system.evaluation.gates import error_verdict
from system.evaluation.paired import (
    ALPHA,
    ByVariant,
    PairedResult,
    compare_variants,
    holm,
    minimum_detectable,
    pairing_faults,
)
from system.evaluation.requirements import common_problems, is_measured, is_number, is_text, scale_of, table_problems
from system.records import Status, Verdict
from system.settings import read_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One [[comparison]] table: ``better`` scores higher than ``worse`` by more than ``margin``."""

    name: str
    metric: str
    better: str
    worse: str
    reason: str
    baseline: str | None = None  # the claim is known to fail, and this was measured
    margin: float = 0.0
    scale: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """What is claimed; stands in the verdict where a requirement's has its variant."""
        return f"{self.better} > {self.worse}"


def load_claims(path: Path) -> tuple[Claim, ...]:
    """Read the ``[[comparison]]`` tables of a gates file, in their order; a file may have none.

    Raises SettingsError that lists every problem of these tables, or says why the file cannot be read. The rest of
    the file is ``requirements.load_requirements``'s.
    """
    document = read_toml(path)
    tables, others = document.get("comparison", []), document.get("requirement", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise SettingsError(f"{path}: comparison is no table; write [[comparison]]")
    problems = table_problems("comparison", tables, _claim_problems)
    # A name selects a gate on the command line and its row in the table.
    taken = [table.get("name") for table in others if isinstance(table, dict)] if isinstance(others, list) else []
    for name in dict.fromkeys(
        table["name"] for table in tables if table.get("name") in taken and is_text(table["name"])
    ):
        problems.append(f"comparison {name!r}: a requirement has this name; give each its own")
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return tuple(
        Claim(
            name=table["name"],
            metric=table["metric"],
            better=table["better"],
            worse=table["worse"],
            reason=table["reason"],
            baseline=table.get("baseline"),
            margin=float(table.get("margin", 0.0)),
            scale=scale_of(table),
        )
        for table in tables
    )


def judge_claims(
    claims: Sequence[Claim],
    scores: Mapping[str, ByVariant],
    expected: Mapping[str, Mapping[str, Collection[str]]] | None = None,
) -> list[Verdict]:
    """Judge all claims of a gates file on scores by metric and variant; one verdict a claim, in their order.

    Give the whole file's claims, also if only some verdicts are wanted. A claim that cannot be tested is an ERROR
    that names the cases at fault, stays in the family, and counts there as p = 1: a claim that passes although
    others lack their scores passes with them, too. ``expected`` are, by metric and variant, the ids that must be
    scored; a claim needs those of its two variants.
    """
    faults, sound = {}, {}
    for number, claim in enumerate(claims):
        by_variant, asked = scores.get(claim.metric, {}), (expected or {}).get(claim.metric, {})
        pair = (claim.better, claim.worse)
        wanted = {case for variant in pair for case in asked.get(variant, ())} if asked else None
        found, unscored = pairing_faults(by_variant, claim.metric, *pair, expected=wanted, scale=claim.scale)
        if found:
            cases = by_variant.get(claim.better, ())
            faults[number] = error_verdict(claim.name, claim.text, cases, claim.margin, found, unscored)
        else:
            (sound[number],) = compare_variants(
                by_variant, claim.metric, [pair], margin=claim.margin, scale=claim.scale, expected=wanted
            )
    results = dict(zip(sound, holm(list(sound.values()), len(claims)), strict=True))
    return [faults[n] if n in faults else judge_better(c.name, results[n]) for n, c in enumerate(claims)]


def judge_better(name: str, result: PairedResult) -> Verdict:
    """Judge that one variant beats another by more than the margin, on a result that ``holm`` has corrected.

    PASS: the corrected one-sided p is at most 0.05 and the whole 95 % interval lies above the margin. FAIL: the same
    holds of the counter-claim, below the margin; so with margin 0 a claim passes exactly if its reverse fails.
    Else INCONCLUSIVE. Both are asked for because each guards the other: p is corrected for the number of claims,
    the interval is not; the interval keeps its meaning where the null hypothesis is wrong in more than the mean.
    """
    if result.p_holm is None or result.p_counter_holm is None:
        raise ValueError(f"{name}: p is not corrected; pass the results of all claims through holm first")
    # Few clusters have no interval but their scale, and clusters that are all alike no spread to reckon with.
    measured = result.clusters >= statistics.FEWEST_CLUSTERS and result.d_z is not None
    status: Status = "INCONCLUSIVE"
    needed = None
    p, corrected = result.p, result.p_holm
    if corrected <= ALPHA and result.low > result.margin:
        status, outcome = "PASS", "better: the corrected p and the whole interval say so"
    elif result.p_counter_holm <= ALPHA and result.high < result.margin:
        status, outcome = "FAIL", "not better: the corrected p of the contrary and the whole interval say so"
        p, corrected = result.p_counter, result.p_counter_holm
    else:
        needed = _needed(result) if measured else None
        outcome = "neither shown nor refuted"
        if result.low > result.margin or result.high < result.margin:
            outcome += ": the interval lies on one side, but with so many claims that may be luck"
        elif not measured:
            outcome += f": the {result.clusters} clusters are too few or all alike, nothing tells what would decide"
    size = "no spread" if result.d_z is None else f"d_z {result.d_z:.2f}"
    how = (
        f"{result.metric}, paired, 95 % bootstrap interval over {result.clusters} clusters; sign-flip p {p:.2g}, "
        f"by Holm over {result.family} claims {corrected:.2g}; {size}, higher in {100 * result.superiority:.0f} % of "
        f"cases with ties halved"
    )
    if math.isfinite(result.mde):
        how += f"; detectable from {result.mde:.2g} on"
    return Verdict(
        requirement=name,
        variant=f"{result.better} > {result.worse}",
        status=status,
        threshold=result.margin,
        value=result.difference,
        low=result.low if math.isfinite(result.low) else None,
        high=result.high if math.isfinite(result.high) else None,
        n=result.n,
        needed=needed,
        worst=result.worst,
        reason=f"{outcome} ({how})",
    )


def _needed(result: PairedResult) -> int | None:
    """Further cases after which the observed difference would be decided with probability 0.8, either way.

    So many that the minimum detectable effect shrinks to it; at the level that the strictest of the two conditions
    may ask for: the interval's 2.5 %, or the first step of Holm.
    """
    level = min(ALPHA / 2, ALPHA / result.family)
    detectable = minimum_detectable(result.error, result.clusters, level)
    return statistics.cases_needed(result.difference, result.margin, result.n, detectable)


def _claim_problems(table: dict[str, Any]) -> Iterator[str]:
    """Name everything that is wrong with one [[comparison]] table."""
    known = {f.name for f in fields(Claim)}
    needed = known - {"baseline", "margin", "scale"}
    yield from common_problems(table, known, needed, ("name", "metric", "better", "worse", "reason"))
    if "better" in table and table["better"] == table.get("worse"):
        yield f"better and worse are both {table['better']!r}; a variant cannot beat itself"
    margin = table.get("margin", 0.0)
    if not (is_number(margin) and cast(float, margin) >= 0):
        yield f"margin is {margin!r}; give a number of at least 0, in the unit of the metric"
    if "baseline" in table and not is_measured(table["baseline"]):
        yield f"baseline is {table['baseline']!r}; say the measured difference, number of cases and date"
