"""The comparison table: every verdict stands in it, and what is not met is marked."""

from __future__ import annotations

import re

import pytest

from system.evaluation.table import claims, comparison
from system.records import Status, Verdict
from system.variants import VARIANTS


def verdict(requirement: str, variant: str, status: Status = "PASS", **changes: object) -> Verdict:
    """A verdict on a rate."""
    fields = {"threshold": 0.7, "value": 0.8125, "low": 0.7514, "high": 0.8617, "n": 156, **changes}
    return Verdict(requirement=requirement, variant=variant, status=status, **fields)  # type: ignore[arg-type]


def cells(table: str, requirement: str) -> list[str]:
    """The cells of a requirement's row."""
    (row,) = [line for line in table.splitlines() if requirement in line]
    return [cell.strip() for cell in row.strip("│┃| ").split("│")][1:]


@pytest.mark.parametrize(
    ("status", "changes", "cell"),
    [
        ("PASS", {}, "0.812 (0.751-0.862)"),
        ("FAIL", {}, "0.812 (0.751-0.862) !"),
        ("INCONCLUSIVE", {}, "0.812 (0.751-0.862) ?"),
        ("ERROR", {"value": None, "low": None, "high": None}, "ERROR"),
        ("PASS", {"threshold": 0.0, "value": 0.0, "low": None, "high": None}, "0/156"),
        ("FAIL", {"threshold": 0.0, "value": 33.0, "low": None, "high": None}, "33/156 !"),
        # A mean whose clusters are too few for an interval is no count of cases.
        ("INCONCLUSIVE", {"threshold": 3.0, "value": 4.25, "low": None, "high": None, "n": 4}, "4.250 (no interval) ?"),
    ],
)
def test_a_cell_says_value_and_status(status: Status, changes: dict[str, object], cell: str) -> None:
    """A rate or mean shows its interval, a zero-tolerance rule its cases; FAIL, INCONCLUSIVE and ERROR are marked."""
    assert cells(comparison([verdict("quality", "rag", status, **changes)]), "quality") == [cell]


def test_every_verdict_has_its_place() -> None:
    """Requirements and variants stand there once each, in the order of their first verdict; gaps stay empty."""
    verdicts = [
        verdict("second", "rag"),
        verdict("first", "agent-rag", "FAIL"),
        verdict("second", "agent-rag", "INCONCLUSIVE"),
    ]
    table = comparison(verdicts)
    for name in ("first", "second"):
        assert len(re.findall(rf"\b{name}\b", table)) == 1
    head = next(line for line in table.splitlines() if "requirement" in line)
    assert re.findall(r"[\w-]*rag", head) == ["rag", "agent-rag"]
    assert table.index("second") < table.index("first")
    assert cells(table, "second") == ["0.812 (0.751-0.862)", "0.812 (0.751-0.862) ?"]
    assert cells(table, "first") == ["", "0.812 (0.751-0.862) !"]


@pytest.mark.parametrize("width", [0, 80, 120, 200])
def test_all_variants_fit(width: int) -> None:
    """With all variants on a narrow terminal no figure and no mark is cut off."""
    verdicts = [verdict("decision-accuracy", name, "INCONCLUSIVE") for name in VARIANTS]
    table = comparison(verdicts, width)
    assert "…" not in table
    for part in ("0.812", "(0.751-0.862)"):
        assert table.count(part) == len(VARIANTS)
    assert table.count("?") == len(VARIANTS) + 1  # and once in the legend


def test_what_does_not_fit_stands_below() -> None:
    """Each table is as wide as the terminal at most, and says again which requirement a row is about."""
    names = [f"a-variant-with-a-long-name-{n}" for n in range(7)]
    table = comparison([verdict("decision-accuracy", name) for name in names], 120)
    assert max(map(len, table.splitlines())) <= 120
    assert table.count("decision-accuracy") == table.count("┏") == 3
    assert all(table.count(name) == 1 for name in names)
    assert table.count("undecided") == 1


def test_the_marks_are_explained() -> None:
    """The table says itself what its marks mean."""
    table = " ".join(comparison([verdict("quality", "rag")]).split())
    assert "! requirement missed" in table
    assert "? undecided" in table


def test_no_verdicts() -> None:
    """An empty run gives an empty table rather than an error."""
    assert "requirement" in comparison([])


@pytest.mark.parametrize(
    ("status", "changes", "row"),
    [
        ("PASS", {}, ["rag > plain", "0.812 (0.751-0.862)", "0", "156"]),
        ("FAIL", {"threshold": 0.05}, ["rag > plain", "0.812 (0.751-0.862) !", "0.05", "156"]),
        ("INCONCLUSIVE", {"low": None, "high": None}, ["rag > plain", "0.812 (no interval) ?", "0", "156"]),
        ("ERROR", {"value": None, "low": None, "high": None}, ["rag > plain", "ERROR", "0", "156"]),
    ],
)
def test_a_claim_has_a_row(status: Status, changes: dict[str, object], row: list[str]) -> None:
    """A claim's row says what is claimed, by how much, and the difference with its mark; 0 is a margin, not a rule."""
    table = claims([verdict("articles-help", "rag > plain", status, **{"threshold": 0.0, **changes})])
    assert cells(table, "articles-help") == row
    assert "! refuted" in " ".join(table.split())
