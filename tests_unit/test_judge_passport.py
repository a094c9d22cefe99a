"""The exam: judges whose faults are known are played, and each fault must show in its own figure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from fixtures.judges import ScriptedJudge
from system.errors import ModelError
from system.evaluation import agreement
from system.evaluation.defects import DEFECTS, plant_all, read_bases, read_phrases
from system.evaluation.judge import AXES, EMPATHY, Pair
from system.evaluation.passport import Floor, floor_faults
from system.evaluation.scorers import Grade
from system.training.judge_data import Calibrated, HumanLabels, Levels, Preference, swapped_requests
from system.training.judge_passport import (
    MOVED,
    SEED,
    Examined,
    calibrated,
    defects,
    examine,
    flattery,
    human_labels,
    length,
)
from system.training.records import typed

WORDS = "please wait the hub will be back soon we are sorry for the late bill and your line".split()
PREFERENCES = (
    "safety: HH harmless, pair accuracy",
    "helpfulness: PandaLM, pair accuracy",
    "helpfulness: Bitext, own reply against another's, pair accuracy",
)
SPEARMAN = "empathy: EPITOME, Spearman with the sum of levels"
BASES = read_bases()
PLANTED = plant_all(BASES, SEED)


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    """Fewer draws for each interval: the subject is which grades are measured, not how wide the interval is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(agreement, "RESAMPLES", 10)
        yield


def some_labels(seed: int = 0) -> HumanLabels:
    """Labels as the data sets have them, with texts of their own."""
    draw = random.Random(seed)

    def levels() -> tuple[int, int, int]:
        return draw.randrange(3), draw.randrange(3), draw.randrange(3)

    return HumanLabels(
        epitome=[Levels((f"post {n // 3}", f"reply {n}"), levels()) for n in range(120)],
        harmless=[Preference((f"ask {n}", f"kind {n}"), (f"ask {n}", f"harm {n}"), f"ask {n}") for n in range(80)],
        preferred=[Preference((f"do {n}", f"good {n}"), (f"do {n}", f"bad {n}"), f"do {n}") for n in range(80)],
        requests=[(f"intent {n % 5}", f"request {n}", f"own {n}") for n in range(80)],
    )


def some_calibration(seed: int = 0) -> list[Calibrated]:
    """Graded pairs, five to a complaint, of all lengths; grades do not depend on the length."""
    draw = random.Random(seed)

    def row(n: int) -> Calibrated:
        grades = tuple(draw.choice([1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 5.0]) for _ in AXES)
        reply = f"{n} {' '.join(draw.choices(WORDS, k=draw.randint(5, 90)))}"
        half = "fit" if n % 10 < 5 else "held-out"
        return Calibrated(Pair(f"complaint {n // 5}", reply, "Articles."), grades, f"c{n // 5}", half)  # type: ignore[arg-type]

    return [row(n) for n in range(200)]


LABELS, CALIBRATION = some_labels(), some_calibration()
HELD_OUT = [row for row in CALIBRATION if row.half == "held-out"]


def knowing() -> tuple[dict[Pair, dict[str, float]], dict[Pair, tuple[int, int, int]]]:
    """The grade of every text of every exam that a judge without fault gives, and the levels."""
    grades: dict[Pair, dict[str, float]] = {}

    def know(pair: Pair, **values: float) -> None:
        key = plain(pair)
        grades[key] = {**dict.fromkeys(AXES, 3.0), **grades.get(key, {}), **values}

    for row in LABELS.epitome:
        know(Pair(*row.text), empathy=1 + sum(row.levels) / 2)
    for pairs, axis in (
        (LABELS.harmless, "safety"),
        (LABELS.preferred, "helpfulness"),
        (swapped_requests(LABELS.requests, SEED), "helpfulness"),
    ):
        for preference in pairs:
            know(Pair(*preference.worse), **{axis: 2.0})
        for preference in pairs:
            know(Pair(*preference.better), **{axis: 4.0})
    for calibrated_row in CALIBRATION:
        know(calibrated_row.pair, **dict(zip(AXES, calibrated_row.grades, strict=True)))
    for base in BASES:
        know(Pair(base.complaint, base.response), **dict.fromkeys(AXES, 5.0))
    for planted in PLANTED:
        know(Pair(planted.complaint, planted.bad), **dict.fromkeys(AXES, 5.0))
    for planted in PLANTED:  # a defect is one of its own axis
        know(Pair(planted.complaint, planted.bad), **{planted.axis: 1.0})
    return grades, {Pair(*row.text): row.levels for row in LABELS.epitome}


FLATTERY = read_phrases().pools["flattery"]


def is_flattered(pair: Pair) -> bool:
    """Whether the reply asks for a grade."""
    return any(phrase in pair.response for phrase in FLATTERY)


def plain(pair: Pair) -> Pair:
    """The pair without requests for a grade, and without the spaces that they leave."""
    text = pair.response
    for phrase in FLATTERY:
        text = text.replace(phrase, "")
    return pair._replace(response=" ".join(text.split()))


GRADES, LEVELS = knowing()


def perfect() -> ScriptedJudge:
    """A judge that says what people say, and hears no flattery."""
    return ScriptedJudge(lambda pair: GRADES[plain(pair)], lambda pair: LEVELS[pair])


def guessing(seed: int = 0) -> ScriptedJudge:
    """A judge that draws its grades and levels."""

    def draw(pair: Pair) -> random.Random:
        return random.Random(f"{seed} {pair}")

    return ScriptedJudge(
        lambda pair: {axis: draw(pair).uniform(1, 5) + n for n, axis in enumerate(AXES)},
        lambda pair: [draw(pair).randrange(3) for _ in EMPATHY],
    )


def bent(bend: Callable[[Pair, str], float]) -> ScriptedJudge:
    """The perfect judge, each grade of each axis changed by this much."""
    knows = perfect().grades
    return ScriptedJudge(
        lambda pair: {axis: value + bend(pair, axis) for axis, value in knows(pair).items()}, lambda pair: LEVELS[pair]
    )


def value(found: Any, *path: str) -> float:
    """A figure's value by its path."""
    for key in path:
        found = found[key]
    return float(found["value"])


# No fault


def test_a_perfect_judge() -> None:
    """Every figure of the whole exam is at its best, and has its interval and number of cases."""
    found = examine(perfect(), LABELS, CALIBRATION)
    assert set(found) == {"human labels", "calibration, held-out half", "planted defects", "length", "flattery"}
    human = found["human labels"]
    assert all(value(human, name) == 1.0 for name in (*PREFERENCES, SPEARMAN))
    assert all(
        value(human, f"empathy: EPITOME {name}, {kind}") == 1.0 for name in EMPATHY for kind in ("macro-F1", "accuracy")
    )
    for axis in AXES:
        graded = found["calibration, held-out half"][axis]
        assert [value(graded, name) for name in ("spearman", "weighted kappa", "pair accuracy")] == [1.0, 1.0, 1.0]
        assert value(graded, "mean absolute error") == 0.0
        assert value(found, "planted defects", axis) == 1.0
        for replies in ("good replies", "bad replies"):
            flattered = found["flattery"][replies][axis]
            assert value(flattered, "mean change") == value(flattered, "share raised") == flattered["largest rise"] == 0
    assert value(found, "planted defects", "all") == 1.0
    assert set(found["planted defects"]["each"].values()) == {1.0}
    figure = human[SPEARMAN]
    assert (figure["low"], figure["high"], figure["n"]) == (1.0, 1.0, 120)


def test_a_judge_without_length_bias() -> None:
    """Errors that have nothing to do with the number of words have no correlation with it."""
    noise = {row.pair: random.Random(n).gauss(0, 0.3) for n, row in enumerate(HELD_OUT)}
    found = length(HELD_OUT, Examined(bent(lambda pair, axis: noise[pair])))
    assert all(abs(value(found, axis)) < 0.25 for axis in AXES)  # two standard errors of 100 cases are 0.2


# Known faults


def test_a_guessing_judge() -> None:
    """Guesses reach what chance reaches: half of the pairs, a third of the levels, no correlation."""
    found = examine(guessing(), LABELS, CALIBRATION)
    human = found["human labels"]
    assert all(0.35 < value(human, name) < 0.65 for name in PREFERENCES)
    assert abs(value(human, SPEARMAN)) < 0.25
    for name in EMPATHY:
        assert 0.2 < value(human, f"empathy: EPITOME {name}, macro-F1") < 0.47
        assert 0.2 < value(human, f"empathy: EPITOME {name}, accuracy") < 0.47
    for axis in AXES:
        graded = found["calibration, held-out half"][axis]
        assert abs(value(graded, "spearman")) < 0.3
        assert abs(value(graded, "weighted kappa")) < 0.3
        assert 0.35 < value(graded, "pair accuracy") < 0.65
        assert value(graded, "mean absolute error") > 1
        assert 0.3 < value(found, "planted defects", axis) < 0.7
    assert 0.42 < value(found, "planted defects", "all") < 0.58


def test_a_judge_that_never_changes() -> None:
    """One grade for everything is a tie everywhere: half of every pair, and no correlation at all."""
    found = examine(ScriptedJudge(lambda pair: dict.fromkeys(AXES, 3.0), lambda pair: (0, 0, 0)), LABELS, CALIBRATION)
    assert all(value(found, "human labels", name) == 0.5 for name in PREFERENCES)
    assert all(value(found, "planted defects", axis) == 0.5 for axis in ("all", *AXES))
    floors = [Floor(axis, ("calibration, held-out half", axis, "spearman"), 0.0, "chance") for axis in AXES]
    assert set(floor_faults(floors, {"judge": "j", **found}, "j")) == set(AXES)


def test_a_length_loving_judge() -> None:
    """A judge whose grade rises with the number of words shows it in every axis' length, one that falls too."""
    for sign in (1, -1):
        judge = bent(lambda pair, axis, sign=sign: sign * len(pair.response.split()) / 50)
        found = length(HELD_OUT, Examined(judge))
        assert all(sign * value(found, axis) > 0.9 for axis in AXES)


def test_length_is_of_the_axis() -> None:
    """Only the axis that is biased is accused."""
    noise = {row.pair: random.Random(n).gauss(0, 0.3) for n, row in enumerate(HELD_OUT)}
    judge = bent(lambda pair, axis: len(pair.response.split()) if axis == "clarity" else noise[pair])
    found = length(HELD_OUT, Examined(judge))
    assert {axis for axis in AXES if value(found, axis) > 0.9} == {"clarity"}


def test_a_judge_that_follows_length_rightly() -> None:
    """Where people themselves prefer the longer reply, a judge that agrees with them has no length bias."""
    rows = [
        Calibrated(row.pair, (min(5.0, 1 + len(row.pair.response.split()) / 20),) * 4, row.cluster, row.half)  # type: ignore[arg-type]
        for row in HELD_OUT
    ]
    noise = {row.pair: random.Random(n).gauss(0, 0.1) for n, row in enumerate(rows)}
    truth = {row.pair: row.grades[0] for row in rows}
    found = length(rows, Examined(ScriptedJudge(lambda pair: dict.fromkeys(AXES, truth[pair] + noise[pair]))))
    assert all(abs(value(found, axis)) < 0.25 for axis in AXES)


@pytest.mark.parametrize("axis", AXES)
def test_a_flattered_judge(axis: str) -> None:
    """A judge that adds 0.5 to one axis where it is asked to shows exactly that, on that axis alone."""
    found = flattery(Examined(bent(lambda pair, one: 0.5 if is_flattered(pair) and one == axis else 0.0)), BASES)
    for one in AXES:
        lifted = one == axis
        assert value(found[one], "mean change") == (0.5 if lifted else 0.0)
        assert value(found[one], "share raised") == (1.0 if lifted else 0.0)
        assert found[one]["largest rise"] == (0.5 if lifted else 0.0)


def test_a_judge_that_flattery_offends() -> None:
    """A grade that falls is a change but no rise; one that rises by less than counts is not raised."""
    offended = flattery(Examined(bent(lambda pair, axis: -0.5 if is_flattered(pair) else 0.0)), BASES)
    touched = flattery(Examined(bent(lambda pair, axis: MOVED / 2 if is_flattered(pair) else 0.0)), BASES)
    for axis in AXES:
        assert (value(offended[axis], "mean change"), value(offended[axis], "share raised")) == (-0.5, 0.0)
        assert (value(touched[axis], "mean change"), value(touched[axis], "share raised")) == (MOVED / 2, 0.0)


def test_a_judge_blind_to_one_defect() -> None:
    """A defect that is not seen is half of its own figure; other defects and axes keep theirs."""
    blind = {Pair(p.complaint, p.bad) for p in PLANTED if p.defect == "threat"}
    found = defects(Examined(bent(lambda pair, axis: 4.0 if pair in blind and axis == "safety" else 0.0)), PLANTED)
    assert found["each"]["safety: threat"] == 0.5
    assert {name for name, figure in found["each"].items() if figure != 1.0} == {"safety: threat"}
    assert value(found, "safety") < 1.0 == value(found, "clarity") == value(found, "empathy")
    assert set(found["each"]) == {f"{axis}: {kind}" for axis, kinds in DEFECTS.items() for kind in kinds}


def test_a_judge_that_likes_defects() -> None:
    """One that ranks every spoilt reply above the good one gets nothing, not half."""
    upside_down = ScriptedJudge(lambda pair: {axis: 6 - grade for axis, grade in GRADES[plain(pair)].items()})
    assert value(defects(Examined(upside_down), PLANTED), "all") == 0.0


def test_a_generous_judge() -> None:
    """Two grades too high for everybody: the ranks stay, the weighted kappa and the error tell."""
    found = calibrated(Examined(bent(lambda pair, axis: 2.0)), HELD_OUT)
    for axis in AXES:
        assert value(found[axis], "spearman") == value(found[axis], "pair accuracy") == 1.0
        assert value(found[axis], "weighted kappa") < 0.75
        assert value(found[axis], "mean absolute error") == 2.0


def test_axes_that_were_swapped() -> None:
    """A judge that gives one axis the grades of another fails on that axis."""
    knows = perfect().grades
    swapped = ScriptedJudge(lambda pair: {**knows(pair), "clarity": knows(pair)["empathy"]})
    found = calibrated(Examined(swapped), HELD_OUT)
    assert value(found["empathy"], "spearman") == 1.0
    assert value(found["clarity"], "spearman") < 0.4


def test_pairs_are_of_one_complaint() -> None:
    """A judge that is stricter with some complaints still ranks the replies to each: that is the pair accuracy."""
    shift = {row.cluster: random.Random(row.cluster).uniform(-9, 9) for row in HELD_OUT}
    of = {row.pair: row.cluster for row in HELD_OUT}
    found = calibrated(Examined(bent(lambda pair, axis: shift[of[pair]])), HELD_OUT)
    for axis in AXES:
        assert value(found[axis], "pair accuracy") == 1.0
        assert value(found[axis], "spearman") < 0.6


# What is asked


def test_only_the_held_out_half() -> None:
    """The half that the scale was fitted on is never graded in the exam."""
    judge = perfect()
    examine(judge, LABELS, CALIBRATION)
    fit = {row.pair for row in CALIBRATION if row.half == "fit"}
    assert fit and fit.isdisjoint(judge.asked)
    assert {row.pair for row in HELD_OUT} <= set(judge.asked)


def test_each_text_is_read_once() -> None:
    """A text that stands in several exams is graded once; grades come back in the order asked, repeats included."""
    judge = ScriptedJudge(lambda pair: dict.fromkeys(AXES, float(len(pair.response))))
    grade = Examined(judge)
    pairs = [Pair("c", "a"), Pair("c", "bbb"), Pair("c", "a"), Pair("c", "cc")]
    assert [one["safety"] for one in grade(pairs)] == [1.0, 3.0, 1.0, 2.0]
    assert [one["safety"] for one in grade(pairs[1:2])] == [3.0]
    assert judge.asked == [pairs[0], pairs[1], pairs[3]]
    whole = perfect()
    examine(whole, LABELS, CALIBRATION)
    assert len(whole.asked) == len(set(whole.asked))


class Failing:
    """A judge that gives no grade but an error."""

    signature = "failing"

    def __init__(self, error: str):
        self.error = error

    def grade(self, pairs: Sequence[Pair]) -> list[Grade]:
        """See Judge."""
        return [Grade(error=self.error) for _ in pairs]


def test_a_judge_that_fails() -> None:
    """An exam with a pair that was not graded is no exam; a reply without a word is the worst, not a failure."""
    with pytest.raises(ModelError, match=r"the judge did not grade 'Fine.': NotJson: prose; examine it again"):
        Examined(Failing("NotJson: prose"))([Pair("c", "Fine.")])
    assert Examined(Failing("EmptyAnswer: no word"))([Pair("c", "...")]) == [dict.fromkeys(AXES, 1.0)]


class GradesOnly:
    """A judge without levels, as a remote one is."""

    signature = "grades only"

    def __init__(self, judge: ScriptedJudge):
        self.grade = judge.grade


def test_a_judge_without_levels() -> None:
    """A judge that only grades is examined on its grades; figures of levels are left out, not made up."""
    judge = GradesOnly(perfect())
    found: dict[str, Any] = dict(human_labels(judge, Examined(judge), LABELS))
    assert set(found) == {*PREFERENCES, SPEARMAN}
    assert value(found, SPEARMAN) == 1.0


def test_figures_state_their_cases() -> None:
    """The number of cases is that of the labels, of the pairs within a complaint, of the planted replies."""
    judge: Any = perfect()
    human: dict[str, Any] = dict(human_labels(judge, Examined(judge), LABELS))
    assert [human[name]["n"] for name in PREFERENCES] == [80, 80, 80]
    graded = calibrated(Examined(judge), HELD_OUT)
    pairs = agreement.pairs_within([row.grades[0] for row in HELD_OUT], [row.cluster for row in HELD_OUT])
    assert graded["helpfulness"]["pair accuracy"]["n"] == len(pairs)
    assert graded["helpfulness"]["spearman"]["n"] == len(HELD_OUT) == 100
    assert defects(Examined(judge), PLANTED)["all"]["n"] == len(PLANTED)


def clusters_seen(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> list[Sequence[str]]:
    """The clusters that each figure of a run is drawn by."""
    seen: list[Sequence[str]] = []
    for name in ("pair_accuracy", "mean", "spearman"):
        measure = getattr(agreement, name)

        def spy(*given: Any, measure: Any = measure) -> Any:
            seen.append(given[-1])
            return measure(*given)

        monkeypatch.setattr(agreement, name, spy)
    run()
    return seen


def test_intervals_are_drawn_by_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """All defects of one base are one cluster, all flattery of it too: they are no independent cases."""
    grade = Examined(perfect())
    bases = {base.id for base in BASES}
    assert set(clusters_seen(monkeypatch, lambda: defects(grade, PLANTED))[0]) == bases
    assert set(clusters_seen(monkeypatch, lambda: flattery(grade, BASES))[-1]) == bases


def test_bad_replies_are_drawn_by_the_complaint_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flattered replies with different defects of one base are one cluster: no interval is drawn by the defect."""
    bases = {base.id for base in BASES}
    flattered = clusters_seen(monkeypatch, lambda: examine(perfect(), LABELS, CALIBRATION))[-4 * len(AXES) :]
    good, bad = flattered[: 2 * len(AXES)], flattered[2 * len(AXES) :]  # two figures an axis
    assert all(set(clusters) == bases for clusters in good)
    assert all(set(clusters) <= bases and len(clusters) > 3 * len(set(clusters)) for clusters in bad)


def test_the_command_on_record_holds_no_password() -> None:
    """A passport tells how it was made, but neither a password of the judge's server nor a folder of the machine."""
    judge = "openai:m@http://user:hush@host/v1"
    shown = "openai:m@http://host/v1"
    assert typed(["judge", "--judge", judge, f"--judge={judge}", "--data-dir", "/home/me/data"]) == (
        f"python train.py judge --judge {shown} --judge={shown} --data-dir"
    )
