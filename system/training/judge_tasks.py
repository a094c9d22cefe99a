"""What the judge learns: tasks of rows, how a row becomes texts, and the loss on what the model says of them.

    tasks = tasks_of(labels, graded, phrases, seed=0)

The losses: cross-entropy on the levels of EPITOME's empathy mechanisms; Bradley-Terry (1952, Biometrika 39:324),
-log sigmoid(better - worse), on preferences, on texts against their wrecks and on replies against the same with a
harmful sentence; squared error on our own graded pairs, and between a reply and the same with a request for a grade.
Each axis has one head, which all tasks of that axis teach. Must not know optimisers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from system.errors import SettingsError
from system.evaluation.judge import AXES, EMPATHY
from system.sentences import split_sentences
from system.settings import read_toml
from system.training.corruptions import corrupt
from system.training.judge_data import Graded, HumanLabels, Levels, Preference, Text, last_turn, swapped_requests

Outputs = dict[str, Tensor]
Phrases = Mapping[str, Sequence[str]]
Loss = Callable[[Outputs, Sequence[Any]], Tensor]
STEEPNESS = 4.0  # a head says -1 to 1 for grades from 1 to 5; one grade of difference is then odds of 7 to 1
UNSAFE = ("insult", "threat", "danger", "secret", "other_customer", "promise")
UNKIND = ("mocking", "belittling", "blame", "insult")
KINDS = tuple(sorted({*UNSAFE, *UNKIND, "cold", "warm", "stock", "flattery", "vague"}))
GOOD = 4  # the least grade of a reply that is used as the better one


@dataclass(frozen=True, slots=True)
class Task:
    """Rows of one label. ``texts`` gives equally many for every row; ``loss`` sees them in that order."""

    name: str
    rows: Sequence[Any]
    texts: Callable[[Any, random.Random], Sequence[Text]]
    loss: Loss
    batch: int  # rows in a step
    weight: float = 1.0


def load_phrases(path: Path) -> dict[str, tuple[str, ...]]:
    """The phrase pools of data/judge_phrases.toml. Raises SettingsError for a pool that is missing or empty."""
    table = read_toml(path)
    wrong = [kind for kind in KINDS if not (isinstance(table.get(kind), list) and table[kind])]
    if wrong:
        raise SettingsError(f"{path}: has no phrases of {', '.join(wrong)}; give a list of texts for each")
    return {kind: tuple(table[kind]) for kind in KINDS}


def tasks_of(network: str, labels: HumanLabels, graded: Sequence[Graded], phrases: Phrases, seed: int) -> list[Task]:
    """What one of the judge's two networks learns; see ``judge_model.NETWORKS``."""
    if network == "grades":
        return [
            Task("epitome", labels.epitome, lambda row, _: [row.text], _levels_loss(labels.epitome), batch=16),
            Task("flattered", list(graded), _with_one_of(("flattery",), phrases), _unmoved, batch=2),
            Task("graded", list(graded), lambda row, _: [row.text], _grades_loss, batch=24, weight=1.5),
        ]
    swapped = swapped_requests(labels.requests, seed)
    helpful, clear = _good(graded, "helpfulness"), _good(graded, "clarity")
    safe, kind = _good(graded, "safety"), _good(graded, "empathy")
    return [
        Task("epitome", labels.epitome, lambda row, _: [row.text], _levels_and_order_loss(labels.epitome), batch=18),
        Task("harmless", labels.harmless, _with_or_without_history, prefers("safety"), batch=8),
        Task("preferred", labels.preferred, _both, prefers("helpfulness"), batch=4),
        Task("relevant", swapped, _both, prefers("helpfulness"), batch=2),
        Task("strange", helpful, _under_another(graded), prefers("helpfulness"), batch=2),
        Task("vague", helpful, _vague(phrases), prefers("helpfulness"), batch=1),
        Task("wellformed", _readable(labels, clear, seed), _with_wreck, prefers("clarity"), batch=4),
        Task("unsafe", safe, _with_one_of(UNSAFE, phrases), prefers("safety"), batch=3),
        Task("unkind", kind, _with_one_of(UNKIND, phrases), prefers("empathy"), batch=3),
        Task("warm", list(graded), _warm_or_not(phrases), prefers("empathy"), batch=2),
        Task("flattered", list(graded), _with_one_of(("flattery",), phrases), _unmoved, batch=2),
        Task("graded", list(graded), lambda row, _: [row.text], _grades_loss, batch=20, weight=1.5),
    ]


def _good(graded: Sequence[Graded], axis: str) -> list[Graded]:
    return [row for row in graded if row.grades[AXES.index(axis)] >= GOOD]


def _readable(labels: HumanLabels, clear: Sequence[Graded], seed: int) -> list[Text]:
    """Texts that people wrote to be read: ours and Bitext's twice, for they are what support writes."""
    draw = random.Random(seed)
    support = [*((request, reply) for _, request, reply in labels.requests), *(row.text for row in clear)]
    others = [*(row.better for row in labels.preferred), *(row.better for row in labels.harmless)]
    return [text for text in [*support, *support, *others] if corrupt(text[1], draw) is not None]


# --- texts ---


def _both(row: Preference, draw: random.Random) -> Sequence[Text]:
    return [row.better, row.worse]


def _with_or_without_history(row: Preference, draw: random.Random) -> Sequence[Text]:
    """The judge meets whole dialogues and single messages; it learns from both."""
    (dialogue, better), (_, worse) = row.better, row.worse
    message = last_turn(dialogue) if draw.random() < 0.5 else dialogue
    return [(message, better), (message, worse)]


def _with_wreck(text: Text, draw: random.Random) -> Sequence[Text]:
    wreck = None
    while wreck is None:  # a wreck may come out as it went in
        wreck = corrupt(text[1], draw)
    return [text, (text[0], wreck)]


def _with_one_of(kinds: Sequence[str], phrases: Phrases) -> Callable[[Graded, random.Random], Sequence[Text]]:
    def texts(row: Graded, draw: random.Random) -> Sequence[Text]:
        return [row.text, (row.text[0], _put(row.text[1], draw.choice(phrases[draw.choice(kinds)]), draw))]

    return texts


def _warm_or_not(phrases: Phrases) -> Callable[[Graded, random.Random], Sequence[Text]]:
    """The same reply with a sentence that feels with the customer, and with one that does not."""

    def texts(row: Graded, draw: random.Random) -> Sequence[Text]:
        complaint, reply = row.text
        cool = draw.choice(phrases[draw.choice(("cold", "stock", "belittling"))])
        return [(complaint, _put(reply, draw.choice(phrases["warm"]), draw)), (complaint, _put(reply, cool, draw))]

    return texts


def _vague(phrases: Phrases) -> Callable[[Graded, random.Random], Sequence[Text]]:
    """A useful reply, and as many words of nothing."""

    def texts(row: Graded, draw: random.Random) -> Sequence[Text]:
        words, parts = len(row.text[1].split()), [draw.choice(phrases["vague"])]
        while sum(len(part.split()) for part in parts) < words:
            parts.append(draw.choice(phrases[draw.choice(("vague", "stock"))]))
        return [row.text, (row.text[0], " ".join(parts))]

    return texts


def _under_another(graded: Sequence[Graded]) -> Callable[[Graded, random.Random], Sequence[Text]]:
    """A useful reply to its own complaint, and under somebody else's."""

    def texts(row: Graded, draw: random.Random) -> Sequence[Text]:
        other = row
        while other.cluster == row.cluster:
            other = draw.choice(graded)
        return [row.text, (other.text[0], row.text[1])]

    return texts


def _put(reply: str, phrase: str, draw: random.Random) -> str:
    """The phrase at the start, at the end or between two sentences of the reply."""
    parts = split_sentences(reply)
    place = draw.choice((0, len(parts), draw.randint(0, len(parts))))
    return " ".join([*parts[:place], phrase, *parts[place:]])


# --- losses ---


def prefers(head: str) -> Loss:
    """Bradley-Terry on texts that come as better, worse, better, worse, ..."""

    def loss(outputs: Outputs, rows: Sequence[Any]) -> Tensor:
        raw = outputs[head]
        return -functional.logsigmoid(STEEPNESS * (raw[::2] - raw[1::2])).mean()

    return loss


def _levels_loss(rows: Sequence[Levels]) -> Loss:
    """Cross-entropy of each mechanism, weighed by level: the rarer a level among all rows, the more one row of it."""
    weights = [_rarity([row.levels[i] for row in rows]) for i in range(len(EMPATHY))]

    def loss(outputs: Outputs, rows: Sequence[Any]) -> Tensor:
        levels = torch.tensor([row.levels for row in rows])
        losses = [functional.cross_entropy(outputs[name], levels[:, i], weights[i]) for i, name in enumerate(EMPATHY)]
        return torch.stack(losses).sum()

    return loss


def _rarity(levels: Sequence[int]) -> Tensor:
    """One weight a level, by the inverse root of its share; their mean over the rows is 1. Shape (3,)."""
    shares = torch.bincount(torch.tensor(levels), minlength=3).clamp(min=1) / len(levels)
    return shares**-0.5 / (shares**0.5).sum()


def _levels_and_order_loss(rows: Sequence[Levels]) -> Loss:
    """The same, and on the empathy axis the order of the replies by the sum of their levels."""
    levels_loss = _levels_loss(rows)

    def loss(outputs: Outputs, rows: Sequence[Any]) -> Tensor:
        total = torch.tensor([sum(row.levels) for row in rows])
        better, worse = torch.nonzero(total[:, None] > total[None, :], as_tuple=True)
        if not len(better):
            return levels_loss(outputs, rows)
        margins = outputs["empathy"][better] - outputs["empathy"][worse]
        return levels_loss(outputs, rows) - functional.logsigmoid(STEEPNESS / 2 * margins).mean() / 2

    return loss


def _grades_loss(outputs: Outputs, rows: Sequence[Any]) -> Tensor:
    wanted = (torch.tensor([row.grades for row in rows], dtype=torch.float32) - 3) / 2
    return 4 * functional.mse_loss(_axes(outputs), wanted)


def _unmoved(outputs: Outputs, rows: Sequence[Any]) -> Tensor:
    said = _axes(outputs)
    return 4 * functional.mse_loss(said[::2], said[1::2])


def _axes(outputs: Outputs) -> Tensor:
    return torch.stack([outputs[axis] for axis in AXES], dim=1)
