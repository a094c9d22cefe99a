"""The judge's own data: what it learns from, what its scale is fitted on and what examines it share no text."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import pytest
from sklearn.metrics import cohen_kappa_score

from system.complaints import read_complaints
from system.evaluation.defects import read_bases, read_phrases
from system.evaluation.judge import AXES
from system.rows import read_rows
from system.settings import read_toml
from system.training.judge_data import CalibrationRow, GradedRow, HumanLabels, load_human_labels
from system.training.judge_tasks import KINDS, load_phrases
from system.training.sources import FILES
from system.training.splits import Purpose

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
PUBLIC = Path(os.environ.get("SUPPORT_DATA_DIR", ROOT.parent / "shared" / "data"))
HALVES = ("fit", "held-out")
PARTS: tuple[Purpose, ...] = ("judge", "judge-heldout", "generator")
LONG, SHORT = 8, 6  # words of a run that two complaints, and two phrases, must not share
GRAM, SHARE = (
    5,
    0.35,
)  # as in test_data: more than this share of the shorter text's runs of five words is nearly the same
FEWEST = 10  # pairs of each grade on each axis, that every part of the scale is seen
# Runs of eight words that a test complaint shares with a training or calibration complaint and that say nothing.
IDIOMS = {("T-002", "what are you going to do about it")}


def words(text: str) -> tuple[str, ...]:
    """The words of a text without case, apostrophes and punctuation."""
    return tuple(re.findall(r"[a-z0-9]+", re.sub("['’]", "", text.lower())))


def runs(text: str, length: int) -> set[str]:
    """All runs of so many words."""
    told = words(text)
    return {" ".join(told[n : n + length]) for n in range(len(told) - length + 1)}


def shared(some: Iterable[str], others: Iterable[str], length: int) -> set[tuple[str, str]]:
    """Each text of the first with each run of words that stands in one of the second."""
    known = set().union(*(runs(text, length) for text in others))
    return {(text, run) for text in some for run in runs(text, length) & known}


@pytest.fixture(scope="module")
def training() -> list[GradedRow]:
    """The pairs that the judge learns from."""
    return read_rows(DATA / "judge_training.jsonl", GradedRow)


@pytest.fixture(scope="module")
def calibration() -> list[CalibrationRow]:
    """The pairs that its scale is fitted on, and measured against."""
    return read_rows(DATA / "judge_calibration.jsonl", CalibrationRow)


def texts(rows: Iterable[GradedRow]) -> Iterator[str]:
    """Every complaint and reply."""
    for row in rows:
        yield from (row.complaint, row.response)


def grades(row: GradedRow) -> tuple[float, ...]:
    """The grades in the order of the axes."""
    return tuple(getattr(row, axis) for axis in AXES)


# Calibration pairs


def test_size(calibration: list[CalibrationRow]) -> None:
    """260 pairs, half to fit on and half to measure on."""
    assert Counter(row.half for row in calibration) == dict.fromkeys(HALVES, 130)


def test_halves_are_apart(calibration: list[CalibrationRow]) -> None:
    """The halves share no cluster, no complaint and no reply, not even nearly."""
    fit, held_out = ([row for row in calibration if row.half == half] for half in HALVES)
    assert {row.cluster for row in fit}.isdisjoint(row.cluster for row in held_out)
    for name in ("complaint", "response"):
        assert {words(getattr(row, name)) for row in fit}.isdisjoint(words(getattr(row, name)) for row in held_out)
    assert nearly_the_same(texts(fit), texts(held_out)) == []


@pytest.mark.parametrize("axis", AXES)
def test_every_grade_is_there(calibration: list[CalibrationRow], axis: str) -> None:
    """Each grade of each axis, halves rounded up, has enough pairs, and some in each half."""
    for part, fewest in ((calibration, FEWEST), *(([r for r in calibration if r.half == h], 3) for h in HALVES)):
        found = Counter(int(getattr(row, axis) + 0.5) for row in part)
        assert set(found) == {1, 2, 3, 4, 5}
        assert min(found.values()) >= fewest, found


def test_the_grade_is_the_mean(calibration: list[CalibrationRow]) -> None:
    """Two graders, whole grades from 1 to 5; the pair's grade is their mean."""
    for row in calibration:
        assert len(row.graders) == 2, row.id
        assert all(1 <= mark <= 5 for marks in row.graders for mark in marks), row.id
        assert grades(row) == tuple(sum(marks) / 2 for marks in zip(*row.graders, strict=True)), row.id


@pytest.mark.parametrize("position", range(len(AXES)), ids=AXES)
def test_graders_agree(calibration: list[CalibrationRow], position: int) -> None:
    """The two graders agree, by quadratic weighted kappa, so well that their mean is something to agree with."""
    first, second = ([row.graders[grader][position] for row in calibration] for grader in (0, 1))
    assert cohen_kappa_score(first, second, weights="quadratic") >= 0.9
    assert first != second  # and were not copied


def test_length_tells_nothing(calibration: list[CalibrationRow]) -> None:
    """No axis can be graded by counting words: a judge that loved length would be found out."""
    from scipy.stats import spearmanr

    lengths = [len(row.response.split()) for row in calibration]
    for axis in AXES:
        assert abs(spearmanr(lengths, [getattr(row, axis) for row in calibration]).statistic) < 0.7, axis


# Training pairs


def test_training_pairs(training: list[GradedRow]) -> None:
    """Enough pairs, each with grades from 1 to 5, every grade of every axis among them, none there twice."""
    assert len(training) >= 400
    assert all(1 <= grade <= 5 for row in training for grade in grades(row))
    for axis in AXES:
        assert (
            min(Counter(int(getattr(row, axis) + 0.5) for row in training).get(mark, 0) for mark in range(1, 6)) >= 20
        )
    twice = [key for key, n in Counter((words(r.complaint), words(r.response)) for r in training).items() if n > 1]
    assert twice == []


def test_ids_differ(training: list[GradedRow], calibration: list[CalibrationRow]) -> None:
    """An id and a cluster belong to one of the two files."""
    for name in ("id", "cluster"):
        assert {getattr(row, name) for row in training}.isdisjoint(getattr(row, name) for row in calibration)


# What must not be shared


def nearly_the_same(some: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of texts that share more than SHARE of the shorter one's runs of five words."""
    index: dict[str, set[int]] = {}
    known = list(dict.fromkeys(others))
    sizes = []
    for n, text in enumerate(known):
        found = runs(text, GRAM)
        sizes.append(len(found))
        for run in found:
            index.setdefault(run, set()).add(n)
    close = []
    for text in dict.fromkeys(some):
        mine = runs(text, GRAM)
        common = Counter(n for run in mine for n in index.get(run, ()))
        close += [(text, known[n]) for n, count in common.items() if count > SHARE * min(len(mine), sizes[n])]
    return close


def test_training_and_calibration_are_apart(training: list[GradedRow], calibration: list[CalibrationRow]) -> None:
    """No text of one file stands in the other, word for word or nearly so."""
    assert {words(text) for text in texts(training)}.isdisjoint(words(text) for text in texts(calibration))
    assert nearly_the_same(texts(training), texts(calibration)) == []


def test_no_test_complaint_was_learned(training: list[GradedRow], calibration: list[CalibrationRow]) -> None:
    """No test complaint, and no run of eight words of one, stands in a pair that the judge was made with.

    The exceptions are listed one by one; one that no longer is an exception must leave the list.
    """
    tests = read_complaints(DATA / "complaints.jsonl", "test")
    made_with = [*texts(training), *texts(calibration)]
    assert {words(row.text) for row in tests}.isdisjoint(words(text) for text in made_with)
    ids = {row.text: row.id for row in tests}
    assert {(ids[text], run) for text, run in shared(ids, made_with, LONG)} == IDIOMS
    complaints = [row.complaint for row in (*training, *calibration)]
    assert nearly_the_same(ids, complaints) == []


def test_no_reference_was_learned(training: list[GradedRow]) -> None:
    """No reference of a test complaint stands among the replies, nor nearly so."""
    references = [row.reference for row in read_complaints(DATA / "complaints.jsonl", "test")]
    assert nearly_the_same(references, (row.response for row in training)) == []


def test_no_exam_was_learned(training: list[GradedRow], calibration: list[CalibrationRow]) -> None:
    """No complaint or reply that defects are planted in is a pair that the judge was made with."""
    exam = [text for base in read_bases() for text in (base.complaint, base.response)]
    assert nearly_the_same(exam, [*texts(training), *texts(calibration)]) == []


def planted() -> list[str]:
    """Every phrase of the exam: planted, put in a plain word's place, or taken out."""
    phrases = read_phrases()
    found = [text for pool in phrases.pools.values() for text in pool]
    return [*found, *(text for sentences in phrases.feelings.values() for text in sentences)]


def learned() -> list[str]:
    """Every phrase that the judge learns from."""
    return [text for pool in load_phrases(DATA / "judge_phrases.toml").values() for text in pool]


# Turns of speech that warm sentences of both sides use; the exam takes these sentences out, it does not plant them.
WARM_IDIOMS = ["and i am glad that you", "and i am sorry that it", "is nothing to be ashamed of"]


def test_no_phrase_of_the_exam_was_learned() -> None:
    """A phrase that was seen in training examines nothing: none is in both files, nor a run of six words of one."""
    assert {words(text) for text in learned()}.isdisjoint(words(text) for text in planted())
    assert sorted({run for _, run in shared(learned(), planted(), SHORT)}) == WARM_IDIOMS


def test_phrase_pools() -> None:
    """Every pool has phrases enough that none is learned by heart, none stands in two pools or twice in one."""
    pools = load_phrases(DATA / "judge_phrases.toml")
    assert set(pools) == set(KINDS) == set(read_toml(DATA / "judge_phrases.toml"))
    assert min(len(pool) for pool in pools.values()) >= 30
    assert [text for text, n in Counter(words(text) for text in learned()).items() if n > 1] == []


# Human labels


@pytest.fixture(scope="module")
def human() -> dict[Purpose, HumanLabels]:
    """The public labels by part."""
    missing = [file for name, file in FILES.items() if name != "alpaca" and not (PUBLIC / file).is_file()]
    if missing:
        pytest.skip(f"{PUBLIC} has no {', '.join(missing)}; name the public data by SUPPORT_DATA_DIR")
    return {part: load_human_labels(PUBLIC, part) for part in PARTS}


def prompts(labels: HumanLabels) -> dict[str, set[str]]:
    """By data set, the messages that are answered."""
    return {
        "epitome": {row.text[0] for row in labels.epitome},
        "harmless": {row.better[0] for row in labels.harmless},
        "preferred": {row.better[0] for row in labels.preferred},
        "requests": {request for _, request, _ in labels.requests},
    }


def rows_of(labels: HumanLabels) -> dict[str, set[tuple[str, str]]]:
    """By data set, message and reply of every row."""
    return {
        "epitome": {row.text for row in labels.epitome},
        "harmless": {text for row in labels.harmless for text in (row.better, row.worse)},
        "preferred": {text for row in labels.preferred for text in (row.better, row.worse)},
        "requests": {(request, reply) for _, request, reply in labels.requests},
    }


def test_parts_are_apart(human: dict[Purpose, HumanLabels]) -> None:
    """What one part answers, no other part answers: judge, its exam and the generator share no message and no row."""
    for one, other in combinations(PARTS, 2):
        for kind in ("epitome", "harmless", "preferred", "requests"):
            assert prompts(human[one])[kind].isdisjoint(prompts(human[other])[kind]), (one, other, kind)
            assert rows_of(human[one])[kind].isdisjoint(rows_of(human[other])[kind]), (one, other, kind)
        assert {reply for *_, reply in human[one].requests}.isdisjoint(reply for *_, reply in human[other].requests)


def test_parts_are_large_enough(human: dict[Purpose, HumanLabels]) -> None:
    """Each exam of public labels has at least a hundred cases, and the generator no label of replies."""
    held_out = human["judge-heldout"]
    sizes = [len(rows) for rows in (held_out.epitome, held_out.harmless, held_out.preferred, held_out.requests)]
    assert min(sizes) >= 100
    assert human["generator"].epitome == human["generator"].preferred == []
    assert min(len(human["generator"].requests), len(human["generator"].harmless)) >= 100


def test_nothing_of_ours_is_published(
    human: dict[Purpose, HumanLabels], training: list[GradedRow], calibration: list[CalibrationRow]
) -> None:
    """Our pairs were written for this project: no complaint or reply of theirs is a public row's."""
    own = {words(text) for text in (*texts(training), *texts(calibration))}
    for labels in human.values():
        for rows in rows_of(labels).values():
            assert own.isdisjoint(words(text) for row in rows for text in row if len(words(text)) > 3)
