"""Scorers: rulers that judge many answers at once, state a signature, and are asked only once for each answer.

    scorer = Scorer(("bleu-1", "bleu-2"), signature, inputs, compute)
    score_many(scorer, responses, complaints, official, cache) -> {"bleu-1": [Score, ...], "bleu-2": [...]}

``compute`` sees nothing of a case but its ``inputs``, a tuple of texts. The cache key is therefore complete by
construction: the signature (everything the ruler is made of) and the inputs (everything it was shown).
Reads records; must not know gates or how an answer was made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec

from system.cache import Cache, key_of
from system.records import Complaint, Response, Score

Inputs = tuple[str, ...]


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer says of one case: a value per metric, or the named error that kept it from saying anything."""

    values: dict[str, float] = {}
    explanation: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Scorer:
    """One ruler and the metrics that it yields."""

    metrics: tuple[str, ...]
    signature: str  # versions, tokenizer, model, layer: whatever the value depends on besides the inputs
    inputs: Callable[[Response, Complaint, str], Inputs | None]  # None: the metric does not apply to the case
    compute: Callable[[Sequence[Inputs]], Iterable[Grade]]  # one grade an input, in order


_decoder = msgspec.json.Decoder(Grade)


def grade_many(scorer: Scorer, inputs: Sequence[Inputs], cache: Cache) -> list[Grade]:
    """The grade of each input: read where it is known, computed once where it is not. Failures are not kept."""
    keys = [key_of(scorer.signature, scorer.metrics, one) for one in inputs]
    stored = zip(keys, cache.get_many("score", keys), strict=True)
    grades = {key: grade for key, value in stored if (grade := _read(value)) is not None}
    wanted = {key: one for key, one in zip(keys, inputs, strict=True) if key not in grades}
    fresh: dict[str, bytes] = {}
    for key, grade in zip(wanted, scorer.compute(list(wanted.values())) if wanted else (), strict=True):
        grades[key] = grade
        if grade.error is None and all(map(math.isfinite, grade.values.values())):
            fresh[key] = msgspec.json.encode(grade)
    if fresh:
        cache.put_many("score", fresh)
    return [grades[key] for key in keys]


def _read(value: bytes | None) -> Grade | None:
    """A stored grade; None if there is none, or if an older version wrote it."""
    try:
        return None if value is None else _decoder.decode(value)
    except msgspec.DecodeError:
        return None


def score_many(
    scorer: Scorer, responses: Iterable[Response], complaints: Sequence[Complaint], official: str, cache: Cache
) -> dict[str, list[Score]]:
    """Scores by metric. A response that is an error scores as that error; a value that is no number is one too."""
    by_id = {complaint.id: complaint for complaint in complaints}
    cases = [
        (response, by_id[response.id], inputs)
        for response in responses
        if response.id in by_id and (inputs := scorer.inputs(response, by_id[response.id], official)) is not None
    ]
    sound = [inputs for response, _, inputs in cases if response.error is None]
    grades = iter(grade_many(scorer, sound, cache))
    scores: dict[str, list[Score]] = {metric: [] for metric in scorer.metrics}
    for response, complaint, _ in cases:
        grade = Grade(error=response.error) if response.error is not None else next(grades)
        for metric in scorer.metrics:
            value = grade.values.get(metric, math.nan)
            error = grade.error or (None if math.isfinite(value) else f"NotANumber: {metric} is {value}")
            scores[metric].append(
                Score(
                    case=complaint.id,
                    variant=response.variant,
                    metric=metric,
                    value=None if error else value,
                    cluster=complaint.cluster,
                    explanation=grade.explanation,
                    error=error,
                    signature=scorer.signature,
                )
            )
    return scores
