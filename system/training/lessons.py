"""What the generator is trained on, as prompts exactly as the assistant renders them, each with its reply.

    curriculum = Curriculum.load(format, embed, folder, recipe)
    lessons = curriculum.epoch(1)       drawn anew for each epoch: facts, passages beside the right one, public rows
    lessons = curriculum.validation()   the same every time

Whole topics are kept for validation. Must not know models, losses or the evaluation's complaints.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from system.chat_format import Format
from system.embeddings import Embed
from system.evaluation.coverage import ungrounded
from system.prompts import load_template, render
from system.records import Hit
from system.training.custom import Example, PracticePassage, load_examples, load_passages
from system.training.public import Preferred, Turn, load_preferred, load_turns
from system.training.redraw import redrawn

PLAIN_SYSTEM = "You are a helpful assistant."
NEIGHBOURS = 3
PREFERRED = ("hh_harmless", "hh_helpful")  # sets that hold a worse reply beside the better one
VALIDATION_SHARE = 10  # percent of the topics, and of the public rows
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt in the model's own format, and the reply to learn."""

    prompt: str
    reply: str
    source: str  # data set, or kind of custom example
    bad: str = ""  # of a pair: the reply to turn away from


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an epoch is made of."""

    grounded: bool = True  # with the examples that answer from passages
    unanswered: float = 0.25  # share of the examples whose passages do not hold the answer; with all of them, a small
    # model says so where they do
    redraw: float = 0.85  # share of the examples whose facts are redrawn
    beside: float = 0.4  # share of the grounded prompts with further passages after the right one
    misplaced: float = 0.1  # share of them with a wrong passage before it
    public: Mapping[str, int] = field(default_factory=lambda: {"alpaca": 700, "hh_harmless": 40, "bitext": 100})
    examples: int = 0  # custom examples an epoch; 0: all
    held_out: int = 0  # custom examples of the validation; 0: all
    seed: int = 0


@dataclass(frozen=True)
class Curriculum:
    """All rows, split; see the module."""

    format: Format
    recipe: Recipe
    passages: Mapping[str, PracticePassage]
    neighbours: Mapping[str, tuple[str, ...]]  # of each example: the passages nearest to its message, without its own
    train: Sequence[Example]
    held_out: Sequence[Example]
    public: Mapping[str, Sequence[Turn]]
    held_out_public: Mapping[str, Sequence[Turn]]
    dropped: Mapping[str, Counter[str]]
    preferred: Sequence[Preferred] = ()
    held_out_preferred: Sequence[Preferred] = ()

    @classmethod
    def load(cls, format: Format, embed: Embed, folder: Path | None, recipe: Recipe) -> Curriculum:
        """Read and split everything. Raises SettingsError, RowsError or InputError for bad data."""
        passages = load_passages()
        examples = load_examples(passages)
        train, held_out = _parted(examples, lambda example: _topic(example, passages))
        dropped: dict[str, Counter[str]] = {}
        public, held_out_public = {}, {}
        for name in recipe.public:
            dropped[name] = Counter()
            turns = load_turns(name, folder, dropped[name])
            public[name], held_out_public[name] = _parted(turns, lambda turn: turn.group)
        chosen = [name for name in PREFERRED if name in recipe.public]
        pairs = [pair for name in chosen for pair in load_preferred(name, folder, Counter())]
        return cls(
            format,
            recipe,
            passages,
            _neighbours(examples, passages, embed),
            train,
            held_out,
            public,
            held_out_public,
            dropped,
            *_parted(pairs, lambda pair: pair.group),
        )

    def epoch(self, number: int) -> list[Lesson]:
        """The lessons of one epoch, 1 or higher. Public rows come in turn, so that later epochs bring others."""
        draw = random.Random(self.recipe.seed * 1000 + number)
        examples = [example for example in self.train if self.recipe.grounded or example.kind != "grounded"]
        examples = list(self._some(examples, self.recipe.examples))
        silent = [example for example in examples if not example.answered]
        kept = draw.sample(silent, round(self.recipe.unanswered * len(silent)))
        examples = [example for example in examples if example.answered or example in kept]
        lessons = self._all(examples, draw)
        for name, count in self.recipe.public.items():
            rows = list(self.public[name])
            random.Random(self.recipe.seed).shuffle(rows)
            first = (number - 1) * count
            chosen = [rows[place % len(rows)] for place in range(first, first + min(count, len(rows)))]
            lessons += [self.lesson(turn) for turn in chosen]
        return lessons

    def validation(self, public: int = 40) -> list[Lesson]:
        """The lessons that are never trained on: custom examples of held-out topics, some rows of each public set."""
        draw = random.Random(self.recipe.seed)
        lessons = self._all(self._some(self.held_out, self.recipe.held_out), draw)
        for turns in self.held_out_public.values():
            lessons += [self.lesson(turn) for turn in turns[:public]]
        return lessons

    def pairs(self, number: int) -> list[Lesson]:
        """The pairs of a good and a bad reply, with facts redrawn for this epoch, and HH's."""
        draw = random.Random(self.recipe.seed * 1000 + number)
        own = self._all([example for example in self.train if example.kind == "pair"], draw)
        return [*own, *(self._preferred(pair) for pair in self.preferred)]

    def held_out_pairs(self) -> list[Lesson]:
        """The pairs that are never trained on: those of held-out topics, and of the public sets."""
        draw = random.Random(self.recipe.seed)
        own = self._all([example for example in self.held_out if example.kind == "pair"], draw)
        return [*own, *(self._preferred(pair) for pair in self.held_out_preferred)]

    def _preferred(self, pair: Preferred) -> Lesson:
        return Lesson(self.plain(pair.message), pair.reply, pair.source, pair.bad)

    def _some(self, examples: Sequence[Example], count: int) -> Sequence[Example]:
        """As many examples, the same in every epoch; all for 0."""
        return random.Random(self.recipe.seed).sample(examples, min(count, len(examples))) if count else examples

    def _all(self, examples: Sequence[Example], draw: random.Random) -> list[Lesson]:
        return [lesson for example in examples if (lesson := self._custom(example, draw))]

    def _custom(self, example: Example, draw: random.Random) -> Lesson | None:
        """One example with its facts redrawn and passages around it, as the assistant renders it.

        None where its passages are too long to stand in one prompt: the reply would then be made up.
        """
        own, beside = list(example.passages), list[str]()
        place = draw.random()
        if own and example.answered and place < self.recipe.beside + self.recipe.misplaced:
            beside = draw.sample(self.neighbours[example.id], draw.randint(1, 2))
        names = [*own, *beside]
        texts = [text for name in names for text in (self.passages[name].heading, self.passages[name].text)]
        message, reply, bad = len(texts), len(texts) + 1, len(texts) + 2
        texts += [example.complaint, example.reply, example.bad]
        if own and draw.random() < self.recipe.redraw:
            other = redrawn(texts, message, draw)
            if len(ungrounded(other[reply], other[:reply])) <= len(ungrounded(texts[reply], texts[:reply])):
                texts = other
        hits = [
            Hit(doc=name, passage=name, score=0.0, heading=texts[2 * n], text=texts[2 * n + 1])
            for n, name in enumerate(names)
        ]
        template = load_template(example.template)
        ordered = [*hits[len(own) :], *hits[: len(own)]] if place < self.recipe.misplaced else hits
        prompt = render(template, texts[message], ordered, self.format)
        if not set(own) <= set(prompt.passages):  # the passages before it have left no room for the right one
            prompt = render(template, texts[message], hits, self.format)
            if not set(own) <= set(prompt.passages):
                return None
        return Lesson(prompt.text, texts[reply], f"custom {example.kind}", texts[bad])

    def lesson(self, turn: Turn) -> Lesson:
        """A public row as a lesson."""
        template = load_template("empathetic") if turn.source == "bitext" else None
        if template:
            return Lesson(render(template, turn.message, (), self.format).text, turn.reply, turn.source)
        return Lesson(self.plain(turn.message), turn.reply, turn.source)

    def plain(self, message: str) -> str:
        """The prompt of a message that has nothing to do with support."""
        return self.format.chat(PLAIN_SYSTEM, self.format.neutralise(message))


def _topic(example: Example, passages: Mapping[str, PracticePassage]) -> str:
    return passages[example.passages[0]].topic if example.passages else example.id


def _parted(rows: Sequence[Row], group: Callable[[Row], str]) -> tuple[list[Row], list[Row]]:
    """Rows for training and for validation; rows of one group stay together wherever the rows come from."""
    kept: list[Row] = []
    held_out: list[Row] = []
    for row in rows:
        digest = hashlib.sha256(f"validation\n{group(row)}".encode()).digest()
        (held_out if int.from_bytes(digest[:8], "big") % 100 < VALIDATION_SHARE else kept).append(row)
    return kept, held_out


def _neighbours(
    examples: Sequence[Example], passages: Mapping[str, PracticePassage], embed: Embed
) -> dict[str, tuple[str, ...]]:
    """For each example with passages: those nearest to its message that are not its own, nearest first.

    They are what a retriever would put beside the right one.
    """
    names = list(passages)
    grounded = [example for example in examples if example.passages]
    articles = embed([f"{passages[name].heading}\n{passages[name].text}" for name in names])
    scores = embed([example.complaint for example in grounded]) @ articles.T
    near = {}
    for example, row in zip(grounded, scores, strict=True):
        order = (names[place] for place in np.argsort(-row, kind="stable"))
        near[example.id] = tuple(name for name in order if name not in example.passages)[:NEIGHBOURS]
    return near
