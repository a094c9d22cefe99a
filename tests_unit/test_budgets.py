"""Budgets of time: ratios, their interval, and a file that is read strictly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from system.errors import SettingsError
from system.evaluation.budgets import Budget, judge_budget, load_budgets, median_interval

BUDGET = Budget(name="render-time", stage="render", against="embedding", ratio=2.0, reason="r")
TABLE = """
[[budget]]
name = "render-time"
stage = "render"
against = "embedding"
ratio = 2
reason = "because"
"""


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6], "PASS"),
        ([2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7], "FAIL"),
        ([1.0, 1.5, 1.8, 1.9, 2.2, 2.4, 3.0], "INCONCLUSIVE"),
        ([1.0, 1.0, 1.0], "INCONCLUSIVE"),  # too few for an interval, fast as they are
        ([2.0] * 9, "PASS"),
        ([], "ERROR"),
        ([float("nan")] * 9, "ERROR"),
    ],
)
def test_the_whole_interval_decides(seconds: list[float], status: str) -> None:
    """Of a median of ratios; the reference took half a second, and so everything is doubled."""
    verdict = judge_budget(BUDGET, "rag", [s / 2 for s in seconds], [0.5] * len(seconds))
    assert verdict.status == status
    assert verdict.threshold == 2.0 and verdict.n == len(seconds)


def test_stage_and_reference_are_of_the_same_cases() -> None:
    """A case more of one than of the other is a mistake of whoever timed them."""
    with pytest.raises(ValueError, match=r"shorter|longer"):
        judge_budget(BUDGET, "rag", [1.0], [1.0, 1.0])


@pytest.mark.parametrize("n", [6, 7, 9, 12, 30, 60, 101])
def test_the_interval_covers_and_is_not_wider_than_needed(n: int) -> None:
    """Its ranks have at least 95 %; one rank further in would have less."""
    low, high = median_interval(list(range(1, n + 1)))
    rank = int(low)
    assert high == n + 1 - rank
    assert 1 - 2 * binom.cdf(rank - 1, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(rank, n, 0.5) < 0.95


def test_too_few_for_an_interval() -> None:
    """Five values can all lie on one side of the median more often than once in twenty times."""
    assert median_interval([1, 2, 3, 4, 5]) == (-np.inf, np.inf)
    assert median_interval([1, 2, 3, 4, 5, 6]) == (1, 6)


def test_a_file_is_read(tmp_path: Path) -> None:
    """Tables in their order; a file may have none."""
    path = tmp_path / "gates.toml"
    path.write_text(TABLE)
    assert load_budgets(path) == (
        Budget(name="render-time", stage="render", against="embedding", ratio=2.0, reason="because"),
    )
    path.write_text("")
    assert load_budgets(path) == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("ratio = 2", "ratio = 0", "ratio is 0; give a number above 0"),
        ("ratio = 2", 'ratio = "2"', "ratio is '2'"),
        ("ratio = 2", "", "ratio is missing"),
        ("stage =", "stag =", "unknown key 'stag'"),
        ('reason = "because"', 'reason = ""', "reason is ''"),
        ("ratio = 2", 'ratio = 2\nbaseline = "slow"', "baseline is 'slow'; say what was measured"),
        ("[[budget]]", "[budget]", "budget is no table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """With the file's name."""
    path = tmp_path / "gates.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(SettingsError, match=r"gates\.toml: ") as caught:
        load_budgets(path)
    assert problem in str(caught.value)
