"""Examines an adapter beside its base model: what it has gained, and what it may have lost elsewhere.

    exams = examine_adapter(model, tuned, curriculum, data_dir, losses)

Nothing here was learned from: replies of held-out topics, held-out Alpaca rows, prompts of Anthropic HH that are kept
for examining, news of CNN/DailyMail. The figures are held against the [[adapter]] tables of the gates file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from system.errors import ModelError
from system.evaluation import agreement
from system.evaluation.agreement import Measured
from system.evaluation.judge import Judge, Pair
from system.evaluation.overlap import overlap
from system.evaluation.perplexity import Surprise
from system.generation import Generator, TransformersGenerator
from system.models import resolve_model
from system.prompts import load_template, render
from system.records import Decoding
from system.training.judge_data import load_harmless
from system.training.lessons import Curriculum, Lesson
from system.training.sources import rows

PROMPTS = 120  # of HH that are answered
ALPACA = 200  # rows whose output's perplexity is measured
NEWS = 40
NEWS_WORDS = 350  # of an article that the model is shown
SUMMARISE = "Summarise this news article in three sentences."


@dataclass(frozen=True)
class Examinee:
    """The base model, or the base model with the adapter: it answers prompts, and texts surprise it."""

    generator: Generator
    surprise: Surprise
    decoding: Decoding

    @classmethod
    def load(cls, base_model: str, adapter: str | None, decoding: Decoding) -> Examinee:
        """Two copies of the weights, for one reads with the attention that the other leaves to its decoder."""
        source = resolve_model(base_model)
        return cls(TransformersGenerator(source, adapter), Surprise(TransformersGenerator(source, adapter)), decoding)

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """One answer a prompt, in order."""
        done = dict(self.generator.generate(prompts, self.decoding))
        return [done[number].text for number in range(len(prompts))]


def examine_adapter(
    base: Examinee,
    tuned: Examinee,
    curriculum: Curriculum,
    judge: Judge,
    data_dir: Path | None,
    losses: Sequence[float],
) -> dict[str, Any]:
    """All figures of an adapter's passport, by exam. ``losses``: on validation, by epoch, up to the chosen one.

    CNN/DailyMail is left out where a local folder does not hold it.
    """
    own = [lesson for lesson in curriculum.validation(0) if lesson.source.startswith("custom")]
    alpaca = [curriculum.lesson(turn) for turn in curriculum.held_out_public["alpaca"][:ALPACA]]
    exams: dict[str, Any] = {
        "validation loss": {"largest change": largest_change(losses)},
        "replies of held-out topics": {"perplexity ratio": perplexity_ratio(base, tuned, own)},
        "Alpaca, held out": {"perplexity ratio": perplexity_ratio(base, tuned, alpaca)},
        "HH prompts, held out": safety(base, tuned, curriculum, judge, data_dir),
    }
    if data_dir is None or (data_dir / "cnn_dailymail.jsonl").exists():
        exams["CNN/DailyMail"] = summaries(base, tuned, curriculum, rows("cnn_dailymail", data_dir)[:NEWS])
    return exams


def largest_change(losses: Sequence[float]) -> Measured:
    """The largest change from one epoch's validation loss to the next, in nats per token; below 0 where all fall."""
    if len(losses) < 2:
        raise ModelError("the training record holds fewer than two validation losses; nothing can be said to fall")
    worst = round(max(later - earlier for earlier, later in pairwise(losses)), 4)
    return Measured(value=worst, low=worst, high=worst, n=len(losses))


def perplexity_ratio(base: Examinee, tuned: Examinee, lessons: Sequence[Lesson]) -> Measured:
    """Perplexity of the replies, given their prompts: the tuned model's over the base model's."""
    texts, prompts = [lesson.reply for lesson in lessons], [lesson.prompt for lesson in lessons]
    changes, tokens = [], []
    for before, after in zip(
        base.surprise.measure(texts, prompts), tuned.surprise.measure(texts, prompts), strict=True
    ):
        if isinstance(before, tuple) and isinstance(after, tuple):
            changes.append(after[0] - before[0])
            tokens.append(float(before[1]))
    return agreement.perplexity_ratio(changes, tokens, [str(number) for number in range(len(tokens))])


def safety(
    base: Examinee, tuned: Examinee, curriculum: Curriculum, judge: Judge, data_dir: Path | None
) -> dict[str, Measured]:
    """The judge's safety of the answers to prompts that ask for harm, as small talk would be answered."""
    held_out = load_harmless(data_dir, "judge-heldout")
    openings = dict.fromkeys(row.group.removeprefix("Human: ") for row in held_out)
    messages = list(openings)[:PROMPTS]
    chat = load_template("chat")
    prompts = [render(chat, message, (), curriculum.format).text for message in messages]
    graded = [_grades(judge, messages, one.answers(prompts), "safety") for one in (base, tuned)]
    changes = [after - before for before, after in zip(*graded, strict=True)]
    return {
        "base": agreement.mean(graded[0], messages),
        "tuned": agreement.mean(graded[1], messages),
        "change": agreement.mean(changes, messages),
    }


def summaries(
    base: Examinee, tuned: Examinee, curriculum: Curriculum, news: Sequence[dict[str, Any]]
) -> dict[str, Measured]:
    """ROUGE-L of summaries of news articles, against what their editors wrote."""
    articles = [" ".join(row["article"].split()[:NEWS_WORDS]) for row in news]
    prompts = [curriculum.plain(f"{SUMMARISE}\n\n{article}") for article in articles]
    found = []
    for one in (base, tuned):
        pairs = [(text, row["highlights"]) for text, row in zip(one.answers(prompts), news, strict=True)]
        grades = overlap().compute(pairs)
        found.append([float((grade.values or {}).get("rouge-l", 0.0)) for grade in grades])
    clusters = [str(number) for number in range(len(news))]
    changes = [after - before for before, after in zip(*found, strict=True)]
    return {
        "base ROUGE-L": agreement.mean(found[0], clusters),
        "tuned ROUGE-L": agreement.mean(found[1], clusters),
        "change": agreement.mean(changes, clusters),
    }


def _grades(judge: Judge, messages: Sequence[str], answers: Sequence[str], axis: str) -> list[float]:
    """One grade a pair; an empty answer has the lowest."""
    grades = judge.grade([Pair(*pair) for pair in zip(messages, answers, strict=True)])
    return [(grade.values or {}).get(axis, 1.0) for grade in grades]
