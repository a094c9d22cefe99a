"""Claims of a gates file: what is read, what is refused, and which verdict a paired result earns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.errors import SettingsError
from system.evaluation.comparisons import Claim, judge_better, judge_claims, load_claims
from system.evaluation.gates import message
from system.evaluation.paired import PairedResult, compare_variants, holm, minimum_detectable
from system.evaluation.requirements import load_requirements
from system.records import Score, Verdict

ROOT = Path(__file__).parents[1]
REQUIREMENT = """
[[requirement]]
name = "rude"
kind = "zero"
metric = "rude"
variants = ["rag"]
reason = "One is one too many."
"""
GOOD = """
[[comparison]]
name = "articles-help"
metric = "facts"
better = "rag"
worse = "plain"
reason = "Retrieval that does not beat a bare prompt is not worth its time."

[[comparison]]
name = "tuning-helps"
metric = "empathy"
better = "tuned"
worse = "plain"
margin = 0.5
scale = [1, 5]
reason = "Half a point is what a reader notices."
baseline = "0.1 (-0.2 to 0.4), n 156, 2025-11-20"
"""


def make(variant: str, values: Sequence[float], metric: str = "facts") -> list[Score]:
    """Scores of cases t-000, t-001, ..., each alone."""
    return [
        Score(case=f"t-{i:03}", variant=variant, metric=metric, value=float(v), explanation=f"why {i}")
        for i, v in enumerate(values)
    ]


def result(differences: Sequence[float], family: int = 1, **options: object) -> PairedResult:
    """The corrected result of "rag beats plain" with these differences, one of so many claims."""
    scores = {"rag": make("rag", differences), "plain": make("plain", [0.0] * len(differences))}
    return holm(compare_variants(scores, "facts", [("rag", "plain")], **options), family)[0]  # type: ignore[arg-type]


def claim(name: str, better: str = "rag", worse: str = "plain", **changes: object) -> Claim:
    """A claim about facts."""
    return Claim(name=name, metric="facts", better=better, worse=worse, reason="why", **changes)  # type: ignore[arg-type]


NORMAL = list(np.random.default_rng(0).normal(0, 1, size=40))  # mean -0.03, standard deviation 0.9
SHIFTED = [v + 0.45 for v in NORMAL]


@pytest.mark.parametrize(
    ("differences", "options", "family", "status", "said"),
    [
        pytest.param([v + 1 for v in NORMAL], {}, 1, "PASS", "better: ", id="better"),
        pytest.param([v - 1 for v in NORMAL], {}, 1, "FAIL", "not better: ", id="worse"),
        pytest.param(NORMAL, {}, 1, "INCONCLUSIVE", "neither shown nor refuted (", id="no difference"),
        pytest.param([v + 1 for v in NORMAL], {"margin": 0.5}, 1, "PASS", "better: ", id="beyond the margin"),
        pytest.param([v + 1 for v in NORMAL], {"margin": 0.9}, 1, "INCONCLUSIVE", "neither", id="at the margin"),
        pytest.param([v + 1 for v in NORMAL], {"margin": 2.0}, 1, "FAIL", "not better", id="better, but too little"),
        pytest.param(SHIFTED, {}, 1, "PASS", "better: ", id="alone"),
        pytest.param(SHIFTED, {}, 100, "INCONCLUSIVE", "lies on one side, but with so many", id="of a hundred"),
        pytest.param([-v for v in SHIFTED], {}, 1, "FAIL", "not better: ", id="worse, alone"),
        pytest.param([-v for v in SHIFTED], {}, 100, "INCONCLUSIVE", "lies on one side", id="worse, of a hundred"),
        pytest.param([1.0] * 7, {}, 1, "INCONCLUSIVE", "the 7 clusters are too few", id="few"),
        pytest.param([1.0] * 50, {}, 1, "INCONCLUSIVE", "or all alike", id="alike, no scale"),
        pytest.param([1.0] * 50, {"scale": (0, 1)}, 1, "PASS", "no spread", id="alike, on a scale"),
        pytest.param([0.0] * 50, {"scale": (0, 1)}, 1, "INCONCLUSIVE", "nothing tells", id="the same variant"),
    ],
)
def test_verdicts(differences: list[float], options: dict[str, object], family: int, status: str, said: str) -> None:
    """A claim passes or fails only if the corrected p and the whole interval agree; p is of the side that is told."""
    one = result(differences, family, **options)
    verdict = judge_better("articles-help", one)
    assert (verdict.status, verdict.requirement, verdict.variant) == (status, "articles-help", "rag > plain")
    assert said in verdict.reason
    assert (verdict.value, verdict.threshold, verdict.n) == (one.difference, one.margin, len(differences))
    p = one.p_counter if status == "FAIL" else one.p
    assert f"sign-flip p {p:.2g}, by Holm over {family} claims" in verdict.reason
    for bound in (verdict.low, verdict.high):
        assert bound is None or math.isfinite(bound)
    if status != "INCONCLUSIVE" or "nothing tells" in verdict.reason:
        assert verdict.needed is None
    else:
        assert verdict.needed is not None and verdict.needed > 0


def test_both_guards_are_needed() -> None:
    """Neither a small p with an interval across the margin nor the interval alone with a large p is a PASS."""
    sound = result([v + 1 for v in NORMAL])
    assert judge_better("q", sound).status == "PASS"
    assert judge_better("q", replace(sound, low=-0.01)).status == "INCONCLUSIVE"
    assert judge_better("q", replace(sound, low=0.0)).status == "INCONCLUSIVE"  # touching is not clearing
    assert judge_better("q", replace(sound, p_holm=0.06)).status == "INCONCLUSIVE"
    assert judge_better("q", replace(sound, p_holm=0.05)).status == "PASS"
    beyond, short = result([v + 1 for v in NORMAL], margin=0.5), result([v + 1 for v in NORMAL], margin=2.0)
    assert judge_better("q", replace(beyond, low=0.4)).status == "INCONCLUSIVE"  # better, but by the margin?
    assert judge_better("q", replace(short, high=2.1)).status == "INCONCLUSIVE"
    bad = result([v - 1 for v in NORMAL])
    assert judge_better("q", replace(bad, high=0.01)).status == "INCONCLUSIVE"
    assert judge_better("q", replace(bad, p_counter_holm=0.06)).status == "INCONCLUSIVE"


def test_an_uncorrected_result_is_refused() -> None:
    """A raw p never becomes a verdict."""
    (raw,) = compare_variants({"rag": make("rag", [1, 1]), "plain": make("plain", [0, 0])}, "facts", [("rag", "plain")])
    with pytest.raises(ValueError, match="articles-help: p is not corrected"):
        judge_better("articles-help", raw)


@settings(derandomize=True, database=None, deadline=None, max_examples=40)
@given(st.lists(st.integers(-2, 4), min_size=1, max_size=30), st.sampled_from([1, 2, 6]))
def test_a_claim_passes_exactly_if_its_reverse_fails(values: list[int], family: int) -> None:
    """PASS and FAIL are mirror images: no bar is lower on one side."""
    there = result(values, family, resamples=999)
    back = replace(
        there,
        difference=-there.difference,
        low=-there.high,
        high=-there.low,
        p=there.p_counter,
        p_counter=there.p,
        p_holm=there.p_counter_holm,
        p_counter_holm=there.p_holm,
    )
    mirror = {"PASS": "FAIL", "FAIL": "PASS", "INCONCLUSIVE": "INCONCLUSIVE"}
    assert judge_better("q", back).status == mirror[judge_better("q", there).status]


def test_needed_by_hand() -> None:
    """The detectable effect, at the level that the strictest condition asks for, must shrink to the difference."""
    values = [1.0, -1.0] * 20 + [1.0] * 2  # mean 2/42
    for family, level in ((1, 0.025), (2, 0.025), (10, 0.005)):
        one = result(values, family)
        detectable = minimum_detectable(one.error, 42, level)
        needed = math.floor(42 * (detectable / (2 / 42)) ** 2) + 1 - 42
        assert judge_better("q", one).needed == needed
        assert needed > 1000
    # sd = sqrt(42 / 41 * (1 - (2 / 42) ** 2)), quantiles with 41 degrees of freedom 2.019541 and 0.850452
    error = math.sqrt(42 / 41 * (1 - (2 / 42) ** 2)) / math.sqrt(42)
    assert minimum_detectable(error, 42, 0.025) == pytest.approx((2.019541 + 0.850452) * error, rel=1e-5)
    assert judge_better("q", result([1.0, -1.0] * 20)).needed is None  # the difference sits on the margin


def test_needed_cases_decide() -> None:
    """With as many more cases of the same kind as were asked for, the claim is decided."""
    values = [v + 0.25 for v in NORMAL]
    needed = judge_better("q", result(values, 3)).needed
    assert needed is not None and 40 < needed < 1000
    again = values * math.ceil((40 + needed) / 40)
    assert judge_better("q", result(again, 3)).status == "PASS"
    assert judge_better("q", result([-v for v in again], 3)).status == "FAIL"


def scores() -> dict[str, dict[str, list[Score]]]:
    """Facts of three variants: rag far better than plain, tuned hardly."""
    plain = list(np.random.default_rng(5).normal(0, 1, size=40))
    values = {"rag": [p + 1 + v for p, v in zip(plain, NORMAL, strict=True)], "plain": plain}
    values["tuned"] = [p + v / 10 + 0.035 for p, v in zip(plain, NORMAL[::-1], strict=True)]
    return {"facts": {variant: make(variant, ones) for variant, ones in values.items()}}


def test_all_claims_are_one_family() -> None:
    """A claim that holds alone need not hold among others, and asking for it alone is not offered."""
    tuned = claim("tuning-helps", "tuned")
    (alone,) = judge_claims([tuned], scores())
    others = [claim(f"reverse {i}", "plain", "rag") for i in range(9)]
    verdicts = judge_claims([*others[:5], tuned, *others[5:]], scores())
    assert [v.requirement for v in verdicts] == [f"reverse {i}" for i in range(5)] + ["tuning-helps"] + [
        f"reverse {i}" for i in range(5, 9)
    ]
    assert {v.status for v in verdicts if v.requirement != "tuning-helps"} == {"FAIL"}
    assert (alone.status, verdicts[5].status) == ("PASS", "INCONCLUSIVE")
    assert "by Holm over 10 claims" in verdicts[5].reason
    assert (verdicts[5].value, verdicts[5].low) == (alone.value, alone.low)


def test_a_claim_without_its_cases_is_an_error() -> None:
    """Cases that one of both lacks are named; the other claims are judged as strictly as if it had been tested."""
    broken = scores()
    broken["facts"]["tuned"][7] = replace(broken["facts"]["tuned"][7], value=None, error="time-out")
    del broken["facts"]["tuned"][9]
    claims = [claim("tuning-helps", "tuned"), claim("articles-help")]
    bad, good = judge_claims(claims, broken)
    assert (bad.status, bad.variant, bad.value, bad.low, bad.n) == ("ERROR", "tuned > plain", None, None, 39)
    assert bad.reason == "tuned: 1 of 39 cases are unscored: t-007 (time-out); tuned: cases are missing: t-009"
    assert [s.case for s in bad.worst] == ["t-007"]
    assert good.status == "PASS" and "by Holm over 2 claims" in good.reason


def test_nothing_scored_is_an_error() -> None:
    """A metric or variant without scores, or a case expected of one of the two, gives no verdict but a name."""
    verdicts = judge_claims([claim("a"), replace(claim("b"), metric="bleu"), claim("c", "new")], scores())
    assert [v.status for v in verdicts] == ["PASS", "ERROR", "ERROR"]
    assert verdicts[1].reason == "rag: no case was scored; plain: no case was scored"
    assert verdicts[2].reason.startswith("new: no case was scored; new: cases are missing: t-000, t-001")
    asked = {"rag": [f"t-{i:03}" for i in range(41)], "new": ["t-999"]}
    (verdict,) = judge_claims([claim("a")], scores(), {"facts": asked})
    assert verdict.reason == "rag: cases are missing: t-040; plain: cases are missing: t-040"
    assert judge_claims([], {}) == []


def test_margin_and_scale_are_the_claims_own() -> None:
    """Each claim is judged by its margin, and on its scale a value outside is an error."""
    near, far, off = judge_claims(
        [claim("near", margin=0.5), claim("far", margin=2.0), claim("off", scale=(0.0, 1.0))], scores()
    )
    assert (near.status, near.threshold, far.status, far.threshold) == ("PASS", 0.5, "FAIL", 2.0)
    assert off.status == "ERROR" and "is outside the scale 0 to 1" in off.reason


def test_message_of_a_claim() -> None:
    """The message names the claim, the difference, the margin, and the cases that speak most against it."""
    values = [*[v + 0.25 for v in NORMAL], -3.0]
    lines = message(judge_better("articles-help", result(values)), "replay it").splitlines()
    assert lines[0] == "INCONCLUSIVE: articles-help of rag > plain"
    assert lines[1].startswith("  value ") and lines[1].endswith(", threshold 0, n 41")
    assert "  worst: t-040, -3, -3 of rag (why 40) against 0 of plain (why 40)" in lines
    assert any(
        line.startswith("  about ") and line.endswith("further cases would decide, if the value stays")
        for line in lines
    )


def test_claims_are_read(tmp_path: Path) -> None:
    """A gates file gives its claims in order, beside its requirements; one without any gives none."""
    path = tmp_path / "gates.toml"
    path.write_text(REQUIREMENT + GOOD, encoding="utf-8")
    helps, tuning = load_claims(path)
    assert helps == Claim(
        name="articles-help",
        metric="facts",
        better="rag",
        worse="plain",
        reason="Retrieval that does not beat a bare prompt is not worth its time.",
    )
    assert (helps.text, helps.margin, helps.baseline, helps.scale) == ("rag > plain", 0.0, None, None)
    assert (tuning.margin, tuning.scale) == (0.5, (1.0, 5.0))
    assert tuning.baseline == "0.1 (-0.2 to 0.4), n 156, 2025-11-20"
    assert [r.name for r in load_requirements(path)] == ["rude"]
    path.write_text(REQUIREMENT, encoding="utf-8")
    assert load_claims(path) == ()


def test_the_projects_own_claims_are_sound() -> None:
    """The gates file of the suite loads, with both readers."""
    gates = ROOT / "tests_quality" / "gates.toml"
    assert load_requirements(gates)
    assert all(c.better != c.worse for c in load_claims(gates))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('metric = "facts"', "", "comparison 'articles-help': metric is missing"),
        ('better = "rag"', "", "comparison 'articles-help': better is missing"),
        ('worse = "plain"', "", "comparison 'articles-help': worse is missing"),
        ('name = "articles-help"', "", "comparison number 1: name is missing"),
        ('name = "articles-help"', "name = 7", "comparison 7: name is 7; give a text"),
        ('name = "articles-help"', 'name = "tuning-helps"', "comparison 'tuning-helps': 2 tables have this name"),
        ('name = "articles-help"', 'name = "rude"', "comparison 'rude': a requirement has this name"),
        ('worse = "plain"', 'worse = "rag"', "better and worse are both 'rag'; a variant cannot beat itself"),
        ('worse = "plain"', 'worse = ["plain"]', "worse is ['plain']; give a text"),
        ("margin = 0.5", "margin = -0.5", "comparison 'tuning-helps': margin is -0.5; give a number of at least 0"),
        ("margin = 0.5", 'margin = "0.5"', "margin is '0.5'; give a number"),
        ("margin = 0.5", "margin = inf", "margin is inf; give a number"),
        ("margin = 0.5", "margn = 0.5", "unknown key 'margn'; known are baseline, better, margin, metric, name, rea"),
        ("margin = 0.5", "threshold = 0.5", "unknown key 'threshold'"),
        ("scale = [1, 5]", "scale = [5, 1]", "scale is [5, 1]; give [lowest, highest]"),
        ('baseline = "0.1 (-0.2 to 0.4), n 156, 2025-11-20"', 'baseline = "known"', "baseline is 'known'; say the"),
        ('baseline = "0.1 (-0.2 to 0.4), n 156, 2025-11-20"', "baseline = {rag = 'n 5'}", "baseline is {'rag': 'n 5'}"),
        (GOOD, "[comparison]\nname = 'x'", "comparison is no table; write [[comparison]]"),
        (REQUIREMENT + GOOD, "comparison = 3", "comparison is no table"),
        ("[[comparison]]", "[[comparison", "is not TOML"),
    ],
)
def test_bad_claims_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Every defect of a comparison is refused at load, with the file, the comparison and what to do."""
    path = tmp_path / "gates.toml"
    content = REQUIREMENT + GOOD
    assert old in content
    path.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_claims(path)
    assert problem in str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    """A file with several defects needs one round of mending."""
    path = tmp_path / "gates.toml"
    path.write_text(GOOD.replace('worse = "plain"', "").replace("margin", "margn"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_claims(path)
    told = str(caught.value)
    assert told.count("worse is missing") == 2 and "unknown key 'margn'" in told


def test_verdicts_are_replayed() -> None:
    """The same scores in another order give the same verdicts to the last digit."""
    claims, first = [claim("articles-help"), claim("tuning-helps", "tuned")], scores()
    shuffled = {"facts": {variant: ones[::-1] for variant, ones in first["facts"].items()}}
    verdicts: list[Verdict] = judge_claims(claims, first)
    assert judge_claims(claims, shuffled) == verdicts
