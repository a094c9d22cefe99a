"""Verdicts: what passes, what fails, what is undecided, what is no verdict at all, and how often luck passes a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from system.errors import SettingsError
from system.evaluation.gates import judge_mean, judge_rate, judge_zero, message
from system.evaluation.requirements import Requirement, load_requirements
from system.evaluation.statistics import Method
from system.records import Score, Verdict

ORDER = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=60)


def make(values: Sequence[float | None], clusters: Sequence[str] | None = None) -> list[Score]:
    """Scores of cases t-000, t-001, ...; without clusters each case stands alone."""
    names = clusters if clusters is not None else [""] * len(values)
    return [
        Score(case=f"t-{i:03}", variant="rag", metric="hit@2", value=value, cluster=name, explanation=f"why {i}")
        for i, (value, name) in enumerate(zip(values, names, strict=True))
    ]


def rate(successes: int, n: int, threshold: float = 0.7) -> Verdict:
    """The verdict on so many successes of independent cases."""
    return judge_rate("retrieval", "rag", make([1.0] * successes + [0.0] * (n - successes)), threshold)


def mean(values: Sequence[float], threshold: float, scale: tuple[float, float] | None = None) -> Verdict:
    """The verdict on the mean of independent cases."""
    return judge_mean("empathy", "rag", make(values), threshold, scale=scale, resamples=2000)


Judge = Callable[[Sequence[Score]], Verdict]
JUDGES: dict[str, Judge] = {
    "rate": lambda scores: judge_rate("q", "rag", scores, 0.5),
    "mean": lambda scores: judge_mean("q", "rag", scores, 0.5, scale=(0, 1), resamples=200),
    "zero": lambda scores: judge_zero("q", "rag", scores),
}


@pytest.mark.parametrize(
    ("successes", "n", "threshold", "status", "needed"),
    [
        (81, 100, 0.70, "PASS", None),  # low bound 0.722212
        (81, 100, 0.73, "INCONCLUSIVE", 19),  # 3.841459 * 0.73 * 0.27 / 0.08^2 = 118.3, so 119 in all
        (81, 100, 0.87, "INCONCLUSIVE", 21),  # high bound 0.874853; 3.841459 * 0.87 * 0.13 / 0.06^2 = 120.7
        (81, 100, 0.88, "FAIL", None),
        (81, 100, 0.81, "INCONCLUSIVE", None),  # the value sits on the threshold
        (10, 10, 0.72, "PASS", None),  # low bound 0.722467
        (10, 10, 0.90, "INCONCLUSIVE", 25),  # 3.841459 * 0.09 / 0.01 = 34.6
        (0, 10, 0.25, "INCONCLUSIVE", 2),  # high bound 0.277533; 3.841459 * 0.1875 / 0.0625 = 11.5
        (0, 10, 0.30, "FAIL", None),
        (1, 1, 0.90, "INCONCLUSIVE", 34),  # one success is no proof
    ],
)
def test_rate_by_hand(successes: int, n: int, threshold: float, status: str, needed: int | None) -> None:
    """A rate passes or fails only if its whole interval lies on that side; else the missing cases are counted."""
    verdict = rate(successes, n, threshold)
    assert (verdict.status, verdict.needed, verdict.n) == (status, needed, n)
    assert verdict.value == pytest.approx(successes / n)


def test_rate_with_clusters_is_stricter() -> None:
    """The same answers pass as unrelated cases and do not pass as paraphrases of a third as many problems."""
    values = [1.0] * 81 + [0.0] * 18
    alone = judge_rate("q", "rag", make(values), 0.72)
    told_thrice = judge_rate("q", "rag", make(values, [f"c{i // 3}" for i in range(99)]), 0.72)
    assert (alone.status, told_thrice.status) == ("PASS", "INCONCLUSIVE")
    # Design effect (3 * 33 - 1) / 32 = 3.0625; Student quantiles 1.984467 (98) and 2.036933 (32):
    # 99 / 3.0625 * 0.949150 = 30.68
    assert "99 cases in 33 clusters count as 30.7" in told_thrice.reason
    assert told_thrice.needed is not None


def test_all_succeed_counts_clusters() -> None:
    """Thirty paraphrases of one problem are one success, however many are right."""
    scores = make([1.0] * 30, ["one"] * 30)
    verdict = judge_rate("q", "rag", scores, 0.7)
    # Wilson of 1 of 1: 1 / (1 + 3.841459)
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.low == pytest.approx(0.206549, abs=1e-6)


def test_cluster_and_case_of_one_name_stay_apart() -> None:
    """A case without a cluster is not drawn into a cluster that happens to be named like it."""
    scores = make([1.0, 1.0, 1.0], ["", "t-000", ""])
    assert "clusters" not in judge_rate("q", "rag", scores, 0.5).reason


def test_exact_method_is_named_and_wider() -> None:
    """The exact interval may be asked for and says so."""
    scores = make([1.0] * 81 + [0.0] * 19)
    wilson, exact = (judge_rate("q", "rag", scores, 0.7, method=method) for method in ("wilson", "exact"))
    assert "Wilson" in wilson.reason
    assert "Clopper-Pearson" in exact.reason
    assert wilson.low is not None and exact.low is not None and exact.low < wilson.low


@pytest.mark.parametrize(
    ("values", "threshold", "scale", "status"),
    [
        pytest.param([3, 4, 5] * 20, 3.7, (1, 5), "PASS", id="clears"),
        pytest.param([3, 4, 5] * 20, 3.9, (1, 5), "INCONCLUSIVE", id="holds"),
        pytest.param([3, 4, 5] * 20, 4.3, (1, 5), "FAIL", id="below"),
        pytest.param([5] * 100, 4.8, (1, 5), "PASS", id="all at the top"),  # 5 - 4 * (1 - 0.025^0.01) = 4.855
        pytest.param([5] * 3, 4.8, (1, 5), "INCONCLUSIVE", id="three at the top"),
        pytest.param([5] * 100, 4.8, None, "INCONCLUSIVE", id="no spread and no scale"),
        pytest.param([4, 5, 4], 3.0, (1, 5), "INCONCLUSIVE", id="three cases"),
        pytest.param([1] * 100, 4.0, (1, 5), "FAIL", id="all at the bottom"),
    ],
)
def test_mean_verdicts(values: list[float], threshold: float, scale: tuple[float, float] | None, status: str) -> None:
    """A mean passes or fails only if its whole interval lies on that side, and never for want of spread."""
    verdict = mean(values, threshold, scale)
    assert verdict.status == status
    assert verdict.value == pytest.approx(sum(values) / len(values))
    for bound in (verdict.low, verdict.high):
        assert bound is None or math.isfinite(bound)


@pytest.mark.parametrize("threshold", [4.2, 4.5])
def test_mean_needed_by_hand(threshold: float) -> None:
    """The side of the interval that faces the threshold says how many cases a mean lacks."""
    verdict = mean([5, 5, 5, 5, 5, 5, 5, 4, 4, 1] * 4, threshold, (1, 5))  # mean 4.4, long tail below
    assert verdict.low is not None and verdict.high is not None
    assert 4.4 - verdict.low > 1.3 * (verdict.high - 4.4)
    width = 4.4 - verdict.low if threshold < 4.4 else verdict.high - 4.4
    assert verdict.needed == max(1, math.floor(40 * (width / (threshold - 4.4)) ** 2) + 1 - 40)


@pytest.mark.parametrize(
    ("values", "scale", "reason"),
    [
        ([3.0, 4.0] * 10, (1, 5), "(95 % bootstrap interval over 20 clusters)"),
        ([3.0, 4.0, 3.0], (1, 5), "(no interval but the whole scale: 3 clusters are too few)"),
        (
            [3.0, 4.0, 3.0],
            None,
            "(no interval: the 3 clusters are too few or all alike, and the scale of the values is",
        ),
    ],
)
def test_mean_says_what_its_interval_is(values: list[float], scale: tuple[float, float] | None, reason: str) -> None:
    """A verdict tells an interval that was measured from one that is only all there can be."""
    assert reason in mean(values, 3.5, scale).reason


@pytest.mark.parametrize(
    ("values", "status", "value", "worst"),
    [
        ([0.0] * 5, "PASS", 0.0, []),
        ([0.0, 1.0, 0.0], "FAIL", 1.0, ["t-001"]),
        ([1.0, 3.0, 0.0, 1.0, 2.0], "FAIL", 4.0, ["t-001", "t-004", "t-000"]),
    ],
)
def test_zero_tolerance(values: list[float], status: str, value: float, worst: list[str]) -> None:
    """One violation fails the gate, names the case and has no interval to hide behind."""
    verdict = judge_zero("no rude word", "rag", make(values))
    assert (verdict.status, verdict.value, verdict.low, verdict.high) == (status, value, None, None)
    assert [score.case for score in verdict.worst] == worst
    assert all(case in verdict.reason for case in worst)


@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"value": None}, "t-007 (no value)", id="none"),
        pytest.param({"value": math.nan}, "t-007 (value nan)", id="nan"),
        pytest.param({"value": math.inf}, "t-007 (value inf)", id="infinite"),
        pytest.param({"error": "time-out\nafter 60 s"}, "t-007 (time-out after 60 s)", id="error"),
        pytest.param({"error": ""}, "t-007 (unnamed error)", id="empty error"),
        pytest.param({"value": -1.0}, "t-007 (value -1 is ", id="no such value"),
        pytest.param({"case": "t-008"}, "scored more than once: t-008", id="twice"),
        pytest.param({"variant": "fine-tuned"}, "another variant: fine-tuned", id="other variant"),
        pytest.param({"metric": "empathy"}, "several metrics: empathy, hit@2", id="other metric"),
    ],
)
def test_unscored_is_an_error(kind: str, change: dict[str, object], named: str) -> None:
    """A case without a usable score makes the verdict an ERROR that names it, however good the others are."""
    scores = make([0.0 if kind == "zero" else 1.0] * 50)
    assert JUDGES[kind](scores).status == "PASS"
    scores[7] = replace(scores[7], **change)  # type: ignore[arg-type]  # a table of changes has one value type
    verdict = JUDGES[kind](scores)
    assert (verdict.status, verdict.value, verdict.low, verdict.high, verdict.n) == ("ERROR", None, None, None, 50)
    assert named in verdict.reason


@pytest.mark.parametrize("kind", JUDGES)
def test_no_scores_are_an_error(kind: str) -> None:
    """A gate over nothing is not a gate that passed."""
    verdict = JUDGES[kind]([])
    assert (verdict.status, verdict.n, verdict.reason) == ("ERROR", 0, "no case was scored")


@pytest.mark.parametrize(
    ("expected", "named"),
    [
        (["t-000", "t-001", "t-002"], None),
        (["t-000", "t-001", "t-002", "t-004", "t-003"], "cases are missing: t-003, t-004"),
        (["t-000", "t-001"], "cases are not among the expected: t-002"),
    ],
)
def test_every_expected_case_is_scored(expected: list[str], named: str | None) -> None:
    """A gate is judged on exactly the cases it was made for."""
    rate_scores, clean = make([1.0, 1.0, 1.0]), make([0.0, 0.0, 0.0])
    for verdict in (
        judge_rate("q", "rag", rate_scores, 0.1, expected=expected),
        judge_mean("q", "rag", rate_scores, 0.1, scale=(0, 1), expected=expected),
        judge_zero("q", "rag", clean, expected=expected),
    ):
        assert (verdict.status == "ERROR") == (named is not None)
        assert named is None or named in verdict.reason


def test_all_faults_are_named_at_once() -> None:
    """Whoever mends a broken run sees all that is wrong with it."""
    scores = [*make([1.0, None, 0.5]), make([1.0])[0]]
    verdict = judge_rate("q", "rag", scores, 0.5, expected=["t-000", "t-001", "t-002", "t-009"])
    assert verdict.reason == (
        "2 of 4 cases are unscored: t-001 (no value), t-002 (value 0.5 is neither 0 nor 1); "
        "cases are missing: t-009; cases are scored more than once: t-000"
    )
    assert [score.case for score in verdict.worst] == ["t-001", "t-002"]


def test_worst_cases_in_a_fixed_order() -> None:
    """The three worst cases come worst first, ties by id, whatever the order of scoring; successes are not among."""
    scores = make([4.0, 2.0, 5.0, 2.0, 1.0, 3.0])
    worst = judge_mean("q", "rag", scores[::-1], 3.0).worst
    assert [score.case for score in worst] == ["t-004", "t-001", "t-003"]
    assert [score.case for score in rate(9, 10).worst] == ["t-009"]


def test_message_of_an_undecided_gate() -> None:
    """A message names variant, requirement, value, interval, threshold, n, worst cases with reasons, and the replay."""
    scores = make([1.0] * 81 + [0.0] * 19)
    scores[81] = replace(scores[81], explanation="expected billing_faq,\n  got " + "email_access " * 40)
    scores[82] = replace(scores[82], explanation="")
    verdict = judge_rate("retrieval hit@2", "rag", scores, 0.73)
    lines = message(verdict, "pytest tests_quality -k retrieval").splitlines()
    assert lines[:4] == [
        "INCONCLUSIVE: retrieval hit@2 of rag",
        "  value 0.81, interval 0.7222 to 0.8749, threshold 0.73, n 100",
        "  the interval holds the threshold (95 % Wilson interval)",
        "  about 19 further cases would decide, if the value stays",
    ]
    assert lines[4].startswith("  worst: t-081, 0, expected billing_faq, got email_access")
    assert len(lines[4]) < 250
    assert lines[5:] == [
        "  worst: t-082, 0, no explanation",
        "  worst: t-083, 0, why 83",
        "  replay: pytest tests_quality -k retrieval",
    ]


def test_message_of_an_error() -> None:
    """The message of a gate without a verdict names every unscored case, in short lines, and shows no number."""
    scores = [replace(score, value=None, error="generation: time-out") for score in make([None] * 40)]
    text = message(judge_rate("q", "rag", scores, 0.7), "replay it")
    assert all(f"t-{i:03}" in text for i in range(40))
    assert "  value none, threshold 0.7, n 40\n" in text
    assert "  worst: t-000, none, generation: time-out: why 0\n" in text
    assert max(map(len, text.splitlines())) <= 110


@STEADY
@given(st.data(), st.integers(2, 60), st.floats(0.1, 0.95))
def test_more_successes_never_turn_pass_into_fail(data: st.DataObject, n: int, threshold: float) -> None:
    """One more right answer never fails a gate that passed, and without clusters never lowers any verdict."""
    values = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n).filter(lambda v: 0.0 in v))
    clusters = data.draw(st.lists(st.sampled_from("abcdefgh"), min_size=n, max_size=n))
    better = list(values)
    better[values.index(0.0)] = 1.0
    before, after = (judge_rate("q", "rag", make(v, clusters), threshold).status for v in (values, better))
    assert (before, after) != ("PASS", "FAIL")
    before, after = (judge_rate("q", "rag", make(v), threshold).status for v in (values, better))
    assert ORDER[before] <= ORDER[after]


@STEADY
@given(st.lists(st.sampled_from([0.0, 1.0, None, math.nan]), max_size=30), st.sampled_from(sorted(JUDGES)))
def test_never_pass_with_an_unscored_case(values: list[float | None], kind: str) -> None:
    """Whatever the other scores are, one unscored case and the verdict is an ERROR; none and it is not."""
    verdict = JUDGES[kind](make(values))
    complete = bool(values) and all(value is not None and math.isfinite(value) for value in values)
    assert (verdict.status == "ERROR") == (not complete)


@STEADY
@given(st.permutations(range(20)))
def test_order_of_scoring_does_not_matter(order: list[int]) -> None:
    """Scores that arrive in another order, as from parallel workers, give the same verdict to the last digit."""
    rates = make([float(i % 3 > 0) for i in range(20)], [f"c{i // 2}" for i in range(20)])
    means = make([float(i % 5 + 1) for i in range(20)], [f"c{i // 2}" for i in range(20)])
    for judge, scores in ((JUDGES["rate"], rates), (lambda s: judge_mean("q", "rag", s, 3.0, resamples=50), means)):
        assert judge([scores[i] for i in order]) == judge(scores)


# How often luck passes a gate. The true value is put exactly on the threshold, where a PASS is as wrong as it can be;
# at 95 % it may happen in 2.5 % of all evaluations.

ALLOWED = 0.025


def lucky(problems: int, told: int, clustered: bool, method: Method = "wilson", truth: float = 0.7) -> float:
    """Probability of PASS when every problem is right with probability ``truth`` and is told ``told`` times.

    Paraphrases that always agree leave one binomial number, so that the sum over it is exact: no simulation.
    """
    clusters = [f"c{i // told}" if clustered else "" for i in range(problems * told)]
    total = 0.0
    for successes in range(problems + 1):
        right = successes * told
        scores = make([1.0] * right + [0.0] * (problems * told - right), clusters)
        if judge_rate("q", "rag", scores, truth, method=method).status == "PASS":
            total += float(stats.binom.pmf(successes, problems, truth))
    return total


def test_luck_of_independent_cases() -> None:
    """With independent cases Wilson passes by luck in 2.5 % on average over n, the exact interval for every n."""
    sizes = (40, 72, 100, 129, 156)
    wilson, exact = ([lucky(n, 1, False, method) for n in sizes] for method in ("wilson", "exact"))
    assert sum(wilson) / len(sizes) <= ALLOWED
    assert max(wilson) <= 0.032  # a whole number of successes cannot hit 2.5 %; Wilson errs to both sides of it
    assert max(exact) <= ALLOWED


def test_luck_of_identical_paraphrases() -> None:
    """With problems told three times luck passes no more often, and ignoring the clusters would let it pass often."""
    assert lucky(52, 3, clustered=True) <= ALLOWED
    assert lucky(52, 3, clustered=False) > 4 * ALLOWED


def pass_rates(draw: Callable[[], Sequence[float]], sizes: Sequence[int], judge: Judge, runs: int) -> list[float]:
    """Share of PASS over simulated evaluations, with the clusters as they are and with clusters ignored."""
    clusters = [f"c{i}" for i, size in enumerate(sizes) for _ in range(size)]
    passed = np.zeros(2)
    for _ in range(runs):
        values = draw()
        passed += [judge(make(values, names)).status == "PASS" for names in (clusters, None)]
    return list(passed / runs)


def margin(runs: int) -> float:
    """Three standard errors of a simulated share of 2.5 %."""
    return 3 * math.sqrt(ALLOWED * (1 - ALLOWED) / runs)


@pytest.mark.parametrize(
    ("sizes", "harm"),
    [
        pytest.param([3] * 52, 2 * ALLOWED, id="triples"),
        pytest.param([1] * 104 + [2] * 23 + [3] * 2, 0.0, id="test split"),  # few paraphrases: little harm done
    ],
)
def test_luck_of_similar_paraphrases(sizes: list[int], harm: float) -> None:
    """With paraphrases that agree more than chance, luck still passes 2.5 %; ignoring clusters it passes more."""
    rng, runs = np.random.default_rng(20), 600
    each = np.array(sizes)

    def draw() -> list[float]:
        # Beta-binomial: mean 0.7 / (0.7 + 0.3), correlation within a cluster 1 / (0.7 + 0.3 + 1) = 0.5.
        chances = rng.beta(0.7, 0.3, size=len(each))
        return [float(v) for v in rng.random(each.sum()) < np.repeat(chances, each)]

    with_clusters, without = pass_rates(draw, sizes, lambda scores: judge_rate("q", "rag", scores, 0.7), runs)
    assert with_clusters <= ALLOWED + margin(runs)
    assert without > max(harm, with_clusters)


def test_luck_of_a_bootstrapped_mean() -> None:
    """A mean of scores in clusters passes by luck about as often as it says; ignoring clusters far more often."""
    rng, runs, problems = np.random.default_rng(8), 250, 40

    def draw() -> list[float]:
        # A problem's level and a paraphrase's deviation from it: mean 3, correlation 1.05 / (1.05 + 0.25) = 0.81.
        levels = rng.choice([1.5, 2.5, 3.5, 4.5], p=[0.2, 0.3, 0.3, 0.2], size=problems)
        noise = rng.choice([-0.5, 0.5], size=(problems, 3))
        return [float(v) for v in (levels[:, None] + noise).ravel()]

    def judge(scores: Sequence[Score]) -> Verdict:
        return judge_mean("q", "rag", scores, 3.0, scale=(1, 5), resamples=400)

    with_clusters, without = pass_rates(draw, [3] * problems, judge, runs)
    assert with_clusters <= ALLOWED + margin(runs)
    assert without > 3 * ALLOWED


GOOD = """
[[requirement]]
name = "retrieval"
kind = "rate"
metric = "hit@2"
threshold = 0.7
variants = ["rag", "agent-rag-fine-tuned"]
reason = "Below this an answer is more often than not without its article."

[[requirement]]
name = "empathy"
kind = "mean"
metric = "empathy"
threshold = 3
scale = [1, 5]
variants = ["prompt-empathetic"]
reason = "3 is 'acknowledges the problem' on the rubric."
[requirement.baseline]
rag = "2.7 (n = 156, 2025-11-20)"

[[requirement]]
name = "no rude word"
kind = "zero"
metric = "rude"
variants = ["rag"]
reason = "One is one too many."
"""


def test_requirements_are_read(tmp_path: Path) -> None:
    """A gates file gives its requirements in order, with thresholds as numbers and zero tolerance as zero."""
    path = tmp_path / "gates.toml"
    path.write_text(GOOD, encoding="utf-8")
    retrieval, empathy, rude = load_requirements(path)
    assert retrieval == Requirement(
        name="retrieval",
        kind="rate",
        metric="hit@2",
        threshold=0.7,
        variants=("rag", "agent-rag-fine-tuned"),
        reason="Below this an answer is more often than not without its article.",
    )
    assert (empathy.threshold, empathy.scale) == (3.0, (1.0, 5.0))
    assert empathy.baseline == {"rag": "2.7 (n = 156, 2025-11-20)"}
    assert (rude.kind, rude.threshold, rude.baseline) == ("zero", 0.0, {})


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('metric = "hit@2"', "", "requirement 'retrieval': metric is missing"),
        ('name = "retrieval"', "", "requirement number 1: name is missing"),
        ('name = "retrieval"', "name = 7", "requirement 7: name is 7; give a text"),
        ('name = "retrieval"', 'name = "empathy"', "requirement 'empathy': 2 tables have this name"),
        ('kind = "rate"', 'kind = "median"', "requirement 'retrieval': kind is 'median'; give one of rate, mean, zero"),
        ('kind = "rate"', "", "requirement 'retrieval': kind is missing"),
        ('kind = "rate"', "kind = []", "requirement 'retrieval': kind is []; give one of"),
        ("threshold = 0.7", "", "requirement 'retrieval': threshold is missing"),
        ("threshold = 0.7", "threshold = 70", "threshold is 70; a rate's lies between 0 and 1"),
        ("threshold = 0.7", "threshold = 1.0", "threshold is 1.0; a rate's lies between 0 and 1"),
        ("threshold = 0.7", "threshold = true", "threshold is True; give a number"),
        ("threshold = 0.7", "threshold = nan", "threshold is nan; give a number"),
        ("threshold = 0.7", 'threshold = "0.7"', "threshold is '0.7'; give a number"),
        ("threshold = 3", "threshold = 5", "threshold is 5; it must lie inside the scale [1, 5]"),
        ('metric = "rude"', 'metric = "rude"\nthreshold = 0', "requirement 'no rude word': threshold is given"),
        ("scale = [1, 5]", "scale = [5, 1]", "requirement 'empathy': scale is [5, 1]; give [lowest, highest]"),
        ("scale = [1, 5]", "scale = 5", "scale is 5; give [lowest, highest]"),
        ("threshold = 0.7", "threshold = 0.7\nscale = [0, 1]", "scale is for kind mean only"),
        ("threshold = 0.7", "treshold = 0.7", "requirement 'retrieval': unknown key 'treshold'; known are baseline"),
        ('variants = ["prompt-empathetic"]', "", "requirement 'empathy': variants is missing"),
        ('variants = ["prompt-empathetic"]', 'variants = "rag"', "variants is 'rag'; give a list of names"),
        ('variants = ["prompt-empathetic"]', 'variants = ["rag"]', "variant 'rag' stands in variants and in baseline"),
        ('["rag", "agent-rag-fine-tuned"]', '["rag", "rag"]', "variant 'rag' stands in variants more than once"),
        ('["rag", "agent-rag-fine-tuned"]', "[]", "variants is empty and there is no baseline"),
        ('reason = "One is one too many."', 'reason = " "', "requirement 'no rude word': reason is ' '; give a text"),
        ('rag = "2.7 (n = 156, 2025-11-20)"', 'rag = "known"', "baseline of 'rag' is 'known'; say the measured value"),
        ('rag = "2.7 (n = 156, 2025-11-20)"', "rag = 2.7", "baseline of 'rag' is 2.7; say the measured value"),
        ("scale = [1, 5]", "scale = [1, 5]\nbaseline = 1", "is not TOML"),  # the key and the table exclude each other
        ("threshold = 0.7", "threshold = 0.7\nbaseline = 1", "requirement 'retrieval': baseline is 1; give a table"),
        (GOOD, "", "has no [[requirement]] table"),
        (GOOD, "requirement = 3", "has no [[requirement]] table"),
        (GOOD, "[requirement]\nname = 'x'", "has no [[requirement]] table"),
        ('\n[[requirement]]\nname = "retrieval"', "level = 0.9\n[[requirement]]\nname = 'x'", "unknown key 'level'"),
        ("[[requirement]]", "[[requirement", "is not TOML"),
    ],
)
def test_bad_requirements_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    """Every defect of a gates file is refused at load, with the file, the requirement and what to do."""
    path = tmp_path / "gates.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_requirements(path)
    assert problem in str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    """A gates file with several defects needs one round of mending."""
    path = tmp_path / "gates.toml"
    path.write_text(GOOD.replace("threshold", "treshold").replace('kind = "zero"', 'kind = "none"'), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_requirements(path)
    told = str(caught.value)
    assert told.count("unknown key 'treshold'") == 2
    assert told.count("threshold is missing") == 3  # the kind of the third is unknown, so it needs one like the others
    assert "kind is 'none'" in told


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read (No such file or directory)"), (b"\xff", "is not TOML")]
)
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    """A gates file that is not there, or is no text, is the user's error and no traceback."""
    path = tmp_path / "gates.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_requirements(path)
    assert problem in str(caught.value)
