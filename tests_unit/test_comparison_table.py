"""Variants side by side: the figures, the marks and their correction, and what each of the three renderings says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from system.errors import SettingsError
from system.evaluation import statistics
from system.evaluation.comparison_table import Comparison, build, render_markdown, render_text, to_json
from system.evaluation.gates import judge_rate
from system.evaluation.paired import compare_variants
from system.records import Score
from system.variants import VARIANTS

NORMAL = list(np.random.default_rng(0).normal(0, 1, size=40))


def make(variant: str, metric: str, values: Sequence[float], clusters: Sequence[str] | None = None) -> list[Score]:
    """Scores of cases t-000, t-001, ...; without clusters each case stands alone."""
    names = clusters if clusters is not None else [""] * len(values)
    return [
        Score(case=f"t-{i:03}", variant=variant, metric=metric, value=float(value), cluster=name)
        for i, (value, name) in enumerate(zip(values, names, strict=True))
    ]


def scores(**metrics: Mapping[str, Sequence[float]]) -> dict[str, dict[str, list[Score]]]:
    """Scores by metric and variant, from their values."""
    return {m: {v: make(v, m, values) for v, values in by_variant.items()} for m, by_variant in metrics.items()}


def sample() -> dict[str, dict[str, list[Score]]]:
    """A rate and a mean of three variants: rag is better than plain, loud is worse, and the rates are much alike."""
    return scores(
        hit={"plain": [1, 0] * 20, "rag": [1, 0] * 19 + [1, 1], "loud": [0, 1] * 20},
        empathy={"plain": [0.0] * 40, "rag": [v + 1 for v in NORMAL], "loud": [v - 1 for v in NORMAL]},
    )


def test_values_and_intervals() -> None:
    """A column of 0 and 1 is a rate with the interval of its gate, any other a mean with the bootstrap's."""
    clusters = [f"c{i // 2}" for i in range(40)]
    rates, means = make("rag", "hit", [1, 1, 0] * 13 + [1], clusters), make("rag", "empathy", NORMAL, clusters)
    table = build({"hit": {"rag": rates}, "empathy": {"rag": means}}, None)
    rate, mean = table.cells["rag", "hit"], table.cells["rag", "empathy"]
    gate = judge_rate("q", "rag", rates, 0.5)
    assert (rate.value, rate.low, rate.high, rate.n) == (gate.value, gate.low, gate.high, 40)
    assert rate.value == pytest.approx(27 / 40)
    interval = statistics.mean_interval(NORMAL, clusters)
    assert mean.value == pytest.approx(sum(NORMAL) / 40)
    assert (mean.low, mean.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_one_column_has_one_kind_of_interval() -> None:
    """Counts that happen to be 0 or 1 for one variant are a mean there, too, as they are for its neighbour."""
    table = build(scores(rude={"a": [0, 1] * 20, "b": [0, 2] * 20}), None)
    interval = statistics.mean_interval([0, 1] * 20, [f"{i:02}" for i in range(40)])
    assert (table.cells["a", "rude"].low, table.cells["a", "rude"].high) == pytest.approx((interval.low, interval.high))


def test_marks_say_higher_and_lower() -> None:
    """A variant is marked where the paired test finds it higher or lower than the reference, and nowhere else."""
    table = build(sample(), "plain")
    marks = {key: cell.mark for key, cell in table.cells.items()}
    assert marks == {
        ("plain", "hit"): "",
        ("rag", "hit"): "",
        ("loud", "hit"): "",
        ("plain", "empathy"): "",
        ("rag", "empathy"): "▲",
        ("loud", "empathy"): "▼",
    }
    assert (table.metrics, table.variants, table.against, table.tests) == (
        ("hit", "empathy"),
        ("plain", "rag", "loud"),
        "plain",
        4,
    )
    reverse = build(sample(), "rag")
    assert (reverse.cells["plain", "empathy"].mark, reverse.cells["loud", "empathy"].mark) == ("▼", "▼")


def test_p_values_are_two_sided_and_corrected_over_the_table() -> None:
    """Each cell's p is twice the smaller one-sided one, times Holm's factor over all cells."""
    differences = [1.0] * 10 + [-1.0]  # 12 of 2048 sign patterns give such a sum: two-sided 24 / 2048 = 0.0117
    one = scores(a={"plain": [0.0] * 11, "rag": differences})
    assert build(one, "plain").cells["rag", "a"].p == pytest.approx(24 / 2048)
    assert build(one, "plain").cells["rag", "a"].mark == "▲"
    four = scores(**{m: {"plain": [0.0] * 11, "rag": differences} for m in "abcd"})
    assert [cell.p for key, cell in build(four, "plain").cells.items() if key[0] == "rag"] == pytest.approx(
        [4 * 24 / 2048] * 4
    )
    assert all(cell.mark for key, cell in build(four, "plain").cells.items() if key[0] == "rag")
    five = scores(**{m: {"plain": [0.0] * 11, "rag": differences} for m in "abcde"})
    assert not any(cell.mark for cell in build(five, "plain").cells.values())  # 5 * 0.0117 > 0.05
    del five["b"]["rag"][0], five["d"]["plain"][0]
    assert build(five, "plain").cells["rag", "a"].p == pytest.approx(5 * 24 / 2048)  # what is broken still counts


def test_without_a_reference() -> None:
    """Without a reference there are figures and neither tests nor marks."""
    table = build(sample(), None)
    assert (table.against, table.tests) == (None, 0)
    assert all(cell.paired is None and cell.p is None and not cell.mark for cell in table.cells.values())
    assert "than" not in render_text(table)


def test_unknown_reference() -> None:
    """A reference without scores is the user's error, and the known ones are named."""
    with pytest.raises(SettingsError, match="variant 'rga' has no scores to compare with; known are plain, rag, loud"):
        build(sample(), "rga")


def spoilt() -> dict[str, dict[str, list[Score]]]:
    """The sample, in which one case of rag has no score and one of loud is missing."""
    some = sample()
    some["empathy"]["rag"][3] = replace(some["empathy"]["rag"][3], value=None, error="time-out")
    del some["empathy"]["loud"][5]
    return some


def test_nothing_vanishes() -> None:
    """An unscored case makes its cell an ERROR; other cases than the reference's make it incomparable; both named."""
    table = build(spoilt(), "plain")
    rag, loud = table.cells["rag", "empathy"], table.cells["loud", "empathy"]
    assert (rag.value, rag.low, rag.mark) == (None, None, "")
    assert loud.value is not None and (loud.p, loud.mark) == (None, "")
    assert table.notes == (
        "empathy of rag: 1 of 40 cases are unscored: t-003 (time-out)",
        "empathy of loud is not compared with plain: loud: cases are missing: t-005",
    )
    assert table.tests == 4  # what could not be tested stays in the family
    untouched = build(sample(), "plain")
    for key in (("rag", "hit"), ("loud", "hit")):
        assert (table.cells[key].p or 0) >= (untouched.cells[key].p or 1)
    for rendered in (render_text(table, 200), render_markdown(table), to_json(table)):
        assert all(note in rendered for note in table.notes)


def test_metrics_of_some_variants() -> None:
    """A cell that was not asked for stays empty, one to which no case applies says so, and neither is compared."""
    some = sample()
    del some["hit"]["loud"]
    some["empathy"]["loud"] = []
    table = build(some, "plain")
    assert ("loud", "hit") not in table.cells
    assert markdown(table)["loud"] == ["", "no case"]
    assert table.notes == ()
    reverse = build(some, "loud")
    assert reverse.notes == tuple(
        f"{metric} of {variant} is not compared with loud: loud has no case"
        for variant, metric in (("plain", "hit"), ("rag", "hit"), ("plain", "empathy"), ("rag", "empathy"))
    )


def markdown(table: Comparison) -> dict[str, list[str]]:
    """The cells of the Markdown table by variant."""
    lines = [line for line in render_markdown(table).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["variant", *table.metrics]
    assert rows[1] == ["---"] * len(rows[0])
    return {row[0]: row[1:] for row in rows[2:]}


def test_markdown() -> None:
    """Markdown holds each variant's values with interval and mark, and explains the marks."""
    table = build(sample(), "plain")
    rows = markdown(table)
    assert list(rows) == ["plain", "rag", "loud"]
    # Wilson of 20 of 40: half 1.959964 / 1.096036 * sqrt(0.25 / 40 + 3.841459 / 6400) = 0.147996
    assert rows["plain"] == ["0.500 (0.352-0.648)", "0.000 (no interval)"]
    cell = table.cells["rag", "empathy"]
    assert rows["rag"][1] == f"{cell.value:.3f} ({cell.low:.3f}-{cell.high:.3f}) ▲"
    assert rows["loud"][1].endswith(" ▼")
    assert "▲ higher, ▼ lower than plain on the same cases (paired test, Holm over 4, 5 %)" in render_markdown(table)
    assert "≠" not in render_markdown(table)
    assert markdown(build(spoilt(), "plain"))["rag"][1] == "ERROR"
    assert markdown(build(spoilt(), "plain"))["loud"][1].endswith(" ≠")
    piped = build(scores(**{"a|b": {"rag": [1.0, 0.0]}}), None)
    assert "| variant | a\\|b |" in render_markdown(piped)


@pytest.mark.parametrize("width", [0, 80, 200])
def test_text_fits(width: int) -> None:
    """With all variants and many metrics on a narrow terminal no figure and no mark is cut off."""
    values = {name: [v + 3 + i for v in NORMAL] for i, name in enumerate(VARIANTS)}
    table = build(scores(**{f"metric-{k}": values for k in range(4)}), next(iter(VARIANTS)))
    text = render_text(table, width)
    assert "…" not in text
    for cell in table.cells.values():
        assert f"{cell.value:.3f}" in text and f"{cell.low:.3f}-{cell.high:.3f}" in text
    assert text.count("▲") == 4 * (len(VARIANTS) - 1) + 1  # and once in the legend


def test_json() -> None:
    """JSON holds every figure unrounded, and null where there is none: nothing that is not JSON."""
    table = build(sample(), "plain")
    content = json.loads(to_json(table), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert {key: content[key] for key in ("against", "level", "alpha", "tests", "notes")} == {
        "against": "plain",
        "level": 0.95,
        "alpha": 0.05,
        "tests": 4,
        "notes": [],
    }
    assert [row["variant"] for row in content["variants"]] == ["plain", "rag", "loud"]
    plain, rag, _ = (row["metrics"] for row in content["variants"])
    assert (plain["empathy"]["low"], plain["empathy"]["against"]) == (None, None)
    cell = table.cells["rag", "empathy"]
    assert cell.value == rag["empathy"]["value"] == math.fsum(v + 1 for v in NORMAL) / 40
    (paired,) = compare_variants(sample()["empathy"], "empathy", [("rag", "plain")])
    assert rag["empathy"]["against"] == {
        "difference": paired.difference,
        "low": paired.low,
        "high": paired.high,
        "p": paired.p_two_sided,
        "p_holm": cell.p,
        "mark": "higher",
        "d_z": paired.d_z,
        "superiority": paired.superiority,
        "mde": paired.mde,
        "clusters": 40,
    }
    assert rag["hit"]["against"]["mark"] is None
    few = build(scores(a={"plain": [0.0], "rag": [1.0]}), "plain")
    assert json.loads(to_json(few))["variants"][1]["metrics"]["a"]["against"]["mde"] is None


def test_nothing_to_compare() -> None:
    """No scores give an empty table rather than an error."""
    table = build({}, None)
    assert (table.cells, table.notes) == ({}, ())
    assert "variant" in render_text(table) and "variant" in render_markdown(table)
    assert json.loads(to_json(table))["variants"] == []
