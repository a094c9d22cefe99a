"""Lessons are prompts as the assistant renders them; epochs differ, validation does not, topics stay on one side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.embedding import HashedEmbedder
from fixtures.fakes import ScriptedGenerator
from system.evaluation.coverage import ungrounded
from system.prompts import load_template, render
from system.training.custom import Example, PracticePassage
from system.training.lessons import Curriculum, Recipe

NONE = Recipe(public={})
NUMBERS = range(40)


@pytest.fixture(scope="module")
def curriculum() -> Curriculum:
    return Curriculum.load(ScriptedGenerator(), HashedEmbedder(), None, NONE)


def tiny(example: Example, passages: Sequence[PracticePassage], recipe: Recipe, near: Sequence[str] = ()) -> Curriculum:
    known = {passage.id: passage for passage in passages}
    return Curriculum(ScriptedGenerator(), recipe, known, {example.id: tuple(near)}, [example], [], {}, {}, {})


def test_topics_stay_on_one_side(curriculum: Curriculum) -> None:
    def topics(examples: Sequence[Example]) -> set[str]:
        return {curriculum.passages[name].topic for example in examples for name in example.passages[:1]}

    assert topics(curriculum.train) and topics(curriculum.held_out)
    assert not topics(curriculum.train) & topics(curriculum.held_out)


def test_an_epoch_is_the_same_each_time_and_unlike_the_next(curriculum: Curriculum) -> None:
    assert curriculum.epoch(1) == curriculum.epoch(1)
    first, second = curriculum.epoch(1), curriculum.epoch(2)
    assert abs(len(first) - len(second)) < 0.02 * len(first)
    assert len({lesson.prompt for lesson in first} & {lesson.prompt for lesson in second}) < len(first) / 2
    assert curriculum.validation() == curriculum.validation()


def test_a_subset_is_the_same_in_every_epoch(curriculum: Curriculum) -> None:
    some = replace(curriculum, recipe=Recipe(public={}, examples=30, held_out=10, unanswered=1.0, redraw=0.0))
    assert {one.reply for one in some.epoch(1)} == {one.reply for one in some.epoch(2)}
    assert 20 <= len(some.epoch(1)) <= 30 and 5 <= len(some.validation()) <= 10


def test_replies_stay_grounded_when_facts_are_redrawn(curriculum: Curriculum) -> None:
    loose = changed = 0
    lessons = [lesson for lesson in curriculum.epoch(3) if lesson.source == "custom grounded"]
    originals = {example.reply for example in curriculum.train}
    for lesson in lessons:
        loose += bool(ungrounded(lesson.reply, [lesson.prompt, "Calderline"]))
        changed += lesson.reply not in originals
    assert loose <= 0.03 * len(lessons)
    assert changed > 0.6 * len(lessons)


PASSAGE = PracticePassage(id="p", topic="t", heading="Fees", text="The late fee is $30. It is added on day 12.")
OTHER = PracticePassage(id="o", topic="u", heading="Visits", text="A visit costs $90 and takes 40 minutes.")
EXAMPLE = Example(id="x", kind="grounded", complaint="fee?", reply="The late fee is $30.", passages=("p",))


def test_without_redraw_the_prompt_is_the_assistants_own() -> None:
    from system.records import Hit

    recipe = Recipe(public={}, redraw=0, beside=0, misplaced=0)
    (lesson,) = tiny(EXAMPLE, [PASSAGE], recipe).epoch(1)
    hit = Hit(doc="p", passage="p", score=0.0, heading=PASSAGE.heading, text=PASSAGE.text)
    assert lesson.prompt == render(load_template("empathetic"), "fee?", [hit], ScriptedGenerator()).text
    assert lesson.reply == EXAMPLE.reply


@pytest.mark.parametrize(("beside", "misplaced", "first"), [(1.0, 0.0, "Fees"), (0.0, 1.0, "Visits")])
def test_other_passages_come_after_or_before_the_right_one(beside: float, misplaced: float, first: str) -> None:
    recipe = Recipe(public={}, redraw=0, beside=beside, misplaced=misplaced)
    near = PracticePassage(id="n", topic="u", heading="Visits again", text="No visit on Sunday.")
    (lesson,) = tiny(EXAMPLE, [PASSAGE, OTHER, near], recipe, ("o", "n")).epoch(1)
    headings = [line for line in lesson.prompt.splitlines() if line in ("Fees", "Visits", "Visits again")]
    assert "Fees" in headings and len(headings) >= 2
    assert (headings[0] == "Fees") == (first == "Fees")


def test_an_unanswered_example_gets_no_passage_that_may_answer() -> None:
    example = replace(EXAMPLE, reply="It does not say.", passages=("o",), answered=False)
    (lesson,) = tiny(example, [PASSAGE, OTHER], Recipe(public={}, beside=1.0, unanswered=1.0), ("p",)).epoch(1)
    assert "Fees" not in lesson.prompt


def test_public_rows_come_in_turn(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Name thing {n}.", "input": "", "output": f"It is the thing number {n}."} for n in range(40)
    ]
    (tmp_path / "alpaca.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe(public={"alpaca": 10}, examples=1)
    curriculum = Curriculum.load(ScriptedGenerator(), HashedEmbedder(), tmp_path, recipe)
    epochs = [{lesson.reply for lesson in curriculum.epoch(n) if lesson.source == "alpaca"} for n in (1, 2, 3)]
    assert [len(epoch) for epoch in epochs] == [10, 10, 10]
    assert len(set.union(*epochs)) == 30


def test_helpful_pairs_are_learned_from_where_they_are_asked_for(tmp_path: Path) -> None:
    """Helpful against evasive: each set of HH that the recipe names gives its preferences, and no other."""
    rows = [
        {
            "chosen": f"\n\nHuman: How do I fold napkin {n}?\n\nAssistant: Fold napkin {n} twice, then roll it up.",
            "rejected": f"\n\nHuman: How do I fold napkin {n}?\n\nAssistant: I would rather not say that now.",
        }
        for n in range(40)
    ]
    (tmp_path / "hh_helpful.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe(public={"hh_helpful": 10}, examples=1)
    curriculum = Curriculum.load(ScriptedGenerator(), HashedEmbedder(), tmp_path, recipe)
    public = [*curriculum.preferred, *curriculum.held_out_preferred]
    assert len(public) == 40 and {pair.source for pair in public} == {"hh_helpful"}
    assert all("twice" in pair.reply and "rather not" in pair.bad for pair in public)
    none = Curriculum.load(ScriptedGenerator(), HashedEmbedder(), tmp_path, NONE)
    assert not none.preferred
