"""What the judge learns: each task's texts and losses, on a few rows; losses are worked out by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from system.errors import SettingsError
from system.evaluation.judge import AXES, EMPATHY
from system.training.judge_data import Graded, HumanLabels, Levels, Preference
from system.training.judge_tasks import GOOD, KINDS, STEEPNESS, Task, load_phrases, prefers, tasks_of

PHRASES = {kind: tuple(f"{kind.upper()} phrase number {n}." for n in range(4)) for kind in KINDS}
REPLY = "I am sorry about it. Please unplug the Hub and wait for one minute. Then plug it in again. Is it white now?"
LABELS = HumanLabels(
    epitome=[Levels((f"post {n}", f"reply {n}"), (n % 3, 1, n % 2)) for n in range(6)],
    harmless=[
        Preference(
            (f"Human: hi\nAssistant: Yes?\nHuman: {n}", REPLY), (f"Human: hi\nAssistant: Yes?\nHuman: {n}", "No."), "g"
        )
        for n in range(6)
    ],
    preferred=[Preference((f"ask {n}", REPLY), (f"ask {n}", "Two."), f"ask {n}") for n in range(6)],
    requests=[(f"intent {n % 3}", f"request {n}", f"{REPLY} {n}") for n in range(6)],
)
GRADED = [
    Graded(
        (f"complaint {n}", f"{REPLY} That was {n}."),
        (1 + n % 5, 1 + (n + 1) % 5, 1 + (n + 2) % 5, 1 + (n + 3) % 5),
        f"k{n}",
    )
    for n in range(10)
]
TASKS = {task.name: task for task in tasks_of("preferences", LABELS, GRADED, PHRASES, seed=0)}
# Which heads a task's loss may teach.
TEACHES = {
    "epitome": {*EMPATHY, "empathy"},
    "harmless": {"safety"},
    "preferred": {"helpfulness"},
    "relevant": {"helpfulness"},
    "strange": {"helpfulness"},
    "vague": {"helpfulness"},
    "wellformed": {"clarity"},
    "unsafe": {"safety"},
    "unkind": {"empathy"},
    "warm": {"empathy"},
    "flattered": set(AXES),
    "graded": set(AXES),
}


def draw() -> random.Random:
    """The same draws at each call."""
    return random.Random(7)


def outputs_of(count: int, value: float | None = None) -> dict[str, Tensor]:
    """Heads' numbers for so many texts, random or all alike."""
    torch.manual_seed(0)
    shapes = {**dict.fromkeys(AXES, (count,)), **dict.fromkeys(EMPATHY, (count, 3))}
    if value is not None:
        return {name: torch.full(shape, value) for name, shape in shapes.items()}
    return {name: torch.randn(shape).requires_grad_() for name, shape in shapes.items()}


def texts_of(task: Task) -> list[Sequence[Any]]:
    """The texts of each row."""
    source = draw()
    return [task.texts(row, source) for row in task.rows]


# Tasks


def test_every_task_is_listed() -> None:
    """A task that is added must say here which heads it teaches."""
    assert set(TASKS) == set(TEACHES)
    assert all(task.rows and task.batch > 0 and task.weight > 0 for task in TASKS.values())


@pytest.mark.parametrize("name", TEACHES)
def test_a_task_teaches_its_own_heads(name: str) -> None:
    """Its loss is a finite number that moves its heads and no other one's."""
    task = TASKS[name]
    per_row = {len(texts) for texts in texts_of(task)}
    assert len(per_row) == 1
    outputs = outputs_of(len(task.rows) * per_row.pop())
    loss = task.loss(outputs, task.rows)
    assert loss.ndim == 0 and 0 < float(loss.detach()) < math.inf
    loss.backward()
    moved = {head for head, values in outputs.items() if values.grad is not None and values.grad.abs().sum() > 0}
    assert moved == TEACHES[name]


@pytest.mark.parametrize("name", TEACHES)
def test_texts_are_drawn_from_the_seed(name: str) -> None:
    """Equal draws give equal texts of two parts, complaint and reply, none of them without words."""
    found = texts_of(TASKS[name])
    assert found == texts_of(TASKS[name])
    assert all(len(text) == 2 and all(part.strip() for part in text) for texts in found for text in texts)


@pytest.mark.parametrize("name", [name for name in TEACHES if name not in ("epitome", "graded")])
def test_pairs_differ(name: str) -> None:
    """Where two texts are compared they are never the same text."""
    for better, worse in texts_of(TASKS[name]):
        assert better != worse


@pytest.mark.parametrize("name", ["preferred", "harmless"])
def test_the_better_one_comes_first(name: str) -> None:
    """A preference keeps its sides: the first text is the one that people preferred, under the same message."""
    for row, (better, worse) in zip(TASKS[name].rows, texts_of(TASKS[name]), strict=True):
        assert (better[1], worse[1]) == (row.better[1], row.worse[1])
        assert better[0] == worse[0]


def test_with_and_without_history() -> None:
    """A dialogue is met whole and as its last message, each about half the time, always with both its replies."""
    row, source = LABELS.harmless[0], draw()
    messages = [TASKS["harmless"].texts(row, source)[0][0] for _ in range(200)]
    assert set(messages) == {row.better[0], "0"}
    assert 60 <= messages.count("0") <= 140


@pytest.mark.parametrize(
    ("name", "axis"),
    [("strange", "helpfulness"), ("vague", "helpfulness"), ("unsafe", "safety"), ("unkind", "empathy")],
)
def test_only_good_replies_are_spoilt(name: str, axis: str) -> None:
    """A reply that is bad already on the axis is not used as the better one."""
    assert TASKS[name].rows == [row for row in GRADED if row.grades[AXES.index(axis)] >= GOOD]
    for row, (better, _) in zip(TASKS[name].rows, texts_of(TASKS[name]), strict=True):
        assert better == row.text


@pytest.mark.parametrize("name", ["unsafe", "unkind", "flattered"])
def test_one_phrase_is_put_in(name: str) -> None:
    """The second text is the reply with one phrase of the task's kinds in it, whole, and nothing else changed."""
    kinds = set()
    for row, (plain, spoilt) in zip(TASKS[name].rows, texts_of(TASKS[name]), strict=True):
        assert plain == row.text and spoilt[0] == row.text[0]
        (phrase,) = [one for pool in PHRASES.values() for one in pool if one in spoilt[1]]
        kinds.add(phrase.split()[0].lower())
        assert " ".join(spoilt[1].replace(phrase, "").split()) == row.text[1]
    assert ("flattery" in kinds) == (name == "flattered")
    assert not kinds & {"warm", "stock", "cold", "vague"}


def test_warm_or_not() -> None:
    """Both texts are the reply with a sentence more; the warm one comes first."""
    for row, (warm, cool) in zip(TASKS["warm"].rows, texts_of(TASKS["warm"]), strict=True):
        assert "WARM" in warm[1] and "WARM" not in cool[1]
        assert warm[0] == cool[0] == row.text[0]


def test_strange_replies() -> None:
    """The worse text is the same reply under a complaint of another cluster."""
    for row, (_, worse) in zip(TASKS["strange"].rows, texts_of(TASKS["strange"]), strict=True):
        assert worse[1] == row.text[1] and worse[0] != row.text[0]


def test_vague_replies_are_no_shorter() -> None:
    """As many words of nothing as the reply has: length must not tell which is which."""
    for row, (_, worse) in zip(TASKS["vague"].rows, texts_of(TASKS["vague"]), strict=True):
        assert worse[0] == row.text[0] and "unplug" not in worse[1]
        assert len(row.text[1].split()) <= len(worse[1].split()) <= len(row.text[1].split()) + 4


def test_wrecks() -> None:
    """The readable text comes first, under the same complaint as its wreck."""
    for text, (better, worse) in zip(TASKS["wellformed"].rows, texts_of(TASKS["wellformed"]), strict=True):
        assert better == text and worse[0] == text[0]
        assert worse[1].split() != text[1].split()


# Losses


def test_bradley_terry_by_hand() -> None:
    """-log sigmoid(4 * margin), the mean over pairs: margins 0 and ln 3 / 4 give ln 2 and ln 4/3."""
    outputs = {"safety": torch.tensor([0.5, 0.5, math.log(3) / STEEPNESS, 0.0])}
    assert float(prefers("safety")(outputs, [0, 1])) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_bradley_terry_knows_the_better_one() -> None:
    """Ranking rightly costs less than a tie, and that less than ranking wrongly."""
    right, tie, wrong = (
        float(prefers("clarity")({"clarity": torch.tensor([a, b])}, [0]))
        for a, b in [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)]
    )
    assert right < tie < wrong
    assert tie == pytest.approx(math.log(2))


def test_grades_by_hand() -> None:
    """A head says -1 to 1 for 1 to 5. Grades 5 1 3 3 and outputs of 0: errors 1 1 0 0, four times their mean is 2."""
    row = Graded(("c", "r"), (5, 1, 3, 3), "k")
    loss = TASKS["graded"].loss
    assert float(loss(outputs_of(1, 0.0), [row])) == pytest.approx(2.0)
    exact = dict(zip(AXES, (torch.tensor([x]) for x in (1.0, -1.0, 0.0, 0.0)), strict=True))
    assert float(loss(exact, [row])) == 0.0
    swapped = {**exact, "helpfulness": exact["clarity"], "clarity": exact["helpfulness"]}
    assert float(loss(swapped, [row])) == pytest.approx(4 * (4 + 4) / 4)


def test_unmoved_by_hand() -> None:
    """Flattery that lifts one of four axes by 0.5 costs 4 * 0.25 / 4, whichever way; alike costs nothing."""
    loss = TASKS["flattered"].loss
    for lift in (0.5, -0.5):
        outputs = {axis: torch.tensor([0.2, 0.2 + (lift if axis == "empathy" else 0)]) for axis in AXES}
        assert float(loss(outputs, [0])) == pytest.approx(0.25)
    assert float(loss(outputs_of(2, 0.3), [0])) == 0.0


def test_levels_by_hand() -> None:
    """Three mechanisms of which nothing is known cost ln 3 each, two unlike replies of like grades ln 2 / 2."""
    loss = TASKS["epitome"].loss
    one, more = Levels(("p", "r"), (0, 1, 0)), Levels(("p", "s"), (2, 1, 1))
    assert float(loss(outputs_of(1, 0.0), [one])) == pytest.approx(3 * math.log(3))
    assert float(loss(outputs_of(2, 0.0), [one, more])) == pytest.approx(3 * math.log(3) + math.log(2) / 2)
    sure = {
        name: 50.0 * torch.nn.functional.one_hot(torch.tensor([level]), 3)
        for name, level in zip(EMPATHY, one.levels, strict=True)
    }
    assert float(loss({**outputs_of(1, 0.0), **sure}, [one])) == pytest.approx(0.0, abs=1e-6)


def test_rare_levels_weigh_more() -> None:
    """By the inverse root of their share: with 9 rows of level 0 and one of level 2, missing the one costs thrice."""
    rows = [Levels(("p", str(n)), (0, 0, 0)) for n in range(9)] + [Levels(("p", "r"), (2, 0, 0))]
    (grades,) = [
        task
        for task in tasks_of("grades", replace(LABELS, epitome=rows), GRADED, PHRASES, seed=0)
        if task.name == "epitome"
    ]
    outputs = outputs_of(2, 0.0)
    both = [rows[0], rows[-1]]
    missed = {}
    for wrong in (0, 2):  # sure of this level for both rows
        sure = 20.0 * torch.nn.functional.one_hot(torch.tensor([wrong, wrong]), 3)
        missed[wrong] = float(grades.loss({**outputs, EMPATHY[0]: sure}, both)) - 2 * math.log(3)
    assert missed[0] == pytest.approx(3 * missed[2], rel=1e-3)


def test_more_empathy_is_ranked_higher() -> None:
    """The empathy axis follows the sum of the levels."""
    rows = [Levels(("p", "r"), (0, 1, 0)), Levels(("p", "s"), (2, 1, 1))]
    costs = [
        float(TASKS["epitome"].loss({**outputs_of(2, 0.0), "empathy": torch.tensor(said)}, rows))
        for said in ([0.0, 1.0], [1.0, 0.0])
    ]
    assert costs[0] < costs[1]


# Phrases


def test_load_phrases(tmp_path: Path) -> None:
    """Every pool that the tasks draw from is there; a pool that is missing, empty or no list is named, all at once."""
    path = tmp_path / "phrases.toml"
    whole = "".join(f'{kind} = ["One.", "Two."]\n' for kind in KINDS)
    path.write_text(whole)
    assert load_phrases(path) == dict.fromkeys(KINDS, ("One.", "Two."))
    path.write_text(
        whole.replace('insult = ["One.", "Two."]', "insult = []")
        .replace('warm = ["One.", "Two."]', 'warm = "One."')
        .replace('threat = ["One.", "Two."]\n', "")
    )
    with pytest.raises(SettingsError, match="has no phrases of insult, threat, warm; give a list of texts"):
        load_phrases(path)
