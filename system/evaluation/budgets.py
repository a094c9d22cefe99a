"""How long a stage may take: the ``[[budget]]`` tables of a gates file, as ratios to a reference of the same run.

    [[budget]]
    name = "retrieval-time"
    stage = "retrieval"        what is timed, see fixtures/stages.py
    against = "embedding"      the reference, timed on the same complaint right before
    ratio = 1.5
    reason = "..."

    verdict = judge_budget(budget, "rag", seconds, reference_seconds)

A ratio holds on any machine, seconds do not. Each complaint gives one ratio; the median of them must keep to the
budget with its whole interval. Knows numbers; must not know what was timed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from system.evaluation.requirements import common_problems, is_measured, is_number, read_tables
from system.records import Status, Verdict

LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """One [[budget]] table."""

    name: str
    stage: str
    against: str
    ratio: float
    reason: str
    baseline: str | None = None  # the budget is known to be missed, and this was measured


def load_budgets(path: Path) -> tuple[Budget, ...]:
    """Read the ``[[budget]]`` tables; a file may have none. Raises SettingsError that lists every problem."""
    tables = read_tables(path, "budget", _problems)
    return tuple(Budget(**{**table, "ratio": float(table["ratio"])}) for table in tables)


def _problems(table: dict[str, Any]) -> Iterator[str]:
    known = {field.name for field in fields(Budget)}
    texts = ("name", "stage", "against", "reason")
    yield from common_problems(table, known, known - {"baseline"}, texts)
    ratio = table.get("ratio", 1)
    if not (is_number(ratio) and ratio > 0):
        yield f"ratio is {ratio!r}; give a number above 0"
    if "baseline" in table and not is_measured(table["baseline"]):
        yield f"baseline is {table['baseline']!r}; say what was measured"


def judge_budget(budget: Budget, variant: str, seconds: Sequence[float], reference: Sequence[float]) -> Verdict:
    """PASS where the whole interval of the median ratio lies at or below the budget, FAIL where it lies above.

    ``seconds`` and ``reference`` are of the same cases in the same order. Raises ValueError if their lengths differ.
    """
    ratios = np.array([took / base for took, base in zip(seconds, reference, strict=True)])
    low, high = median_interval(ratios)
    status: Status = "PASS" if high <= budget.ratio else "FAIL" if low > budget.ratio else "INCONCLUSIVE"
    if not (len(ratios) and np.isfinite(ratios).all()):
        status = "ERROR"
    value = float(np.median(ratios)) if len(ratios) else None
    return Verdict(
        requirement=budget.name,
        variant=variant,
        status=status,
        threshold=budget.ratio,
        value=value,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        n=len(ratios),
        reason=f"median of {budget.stage} over {budget.against}, at most {budget.ratio:g} (95 % by order statistics)",
    )


def median_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a median by order statistics; infinite where the values are too few (below six).

    Distribution-free: the ranks are binomial quantiles with p = 1/2 (Hahn and Meeker 1991, section 5.3).
    """
    from scipy.stats import binom

    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    rank = int(binom.ppf((1 - LEVEL) / 2, n, 0.5)) if n else 0
    # The coverage of ranks r and n + 1 - r is 1 - 2 P(X < r); the quantile itself may be one too high.
    while rank > 0 and 2 * binom.cdf(rank - 1, n, 0.5) > 1 - LEVEL:
        rank -= 1
    if rank < 1:
        return -math.inf, math.inf
    return float(ordered[rank - 1]), float(ordered[n - rank])
