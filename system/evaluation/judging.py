"""Scores held against a requirement: all cases of a variant with an interval, or one case alone.

    judge_scores(requirement, "rag", scores, expected) -> Verdict(status="INCONCLUSIVE", low=..., high=..., ...)
    judge_case(requirement, binds, score) -> CaseVerdict(met=False, value=3.1, share=0.53, ...)

A case is held to the same threshold and proves nothing about its variant; tools that show answers one by one need it.
Knows records, requirements and gates; must not know how answers were made, nor who shows the verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from system.evaluation.gates import judge_mean, judge_rate, judge_zero
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Requirement
from system.records import Complaint, Response, Score, Verdict

OF_LABELS = ("decision_accuracy", "hit@1", "hit@2", "hit@3", "hit@5")  # say nothing of a message without a label


def judge_scores(requirement: Requirement, variant: str, scores: Sequence[Score], expected: Collection[str]) -> Verdict:
    """The verdict of the requirement's kind; ``expected`` are the ids of the cases that must be scored."""
    name, threshold = requirement.name, requirement.threshold
    if requirement.kind == "rate":
        return judge_rate(name, variant, scores, threshold, expected=expected)
    if requirement.kind == "mean":
        return judge_mean(name, variant, scores, threshold, scale=requirement.scale, expected=expected)
    return judge_zero(name, variant, scores, expected=expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVerdict:
    """Whether one answer alone meets a requirement. ``share`` is its value from 0, the worst, to 1, the best."""

    requirement: str
    metric: str
    case: str
    cluster: str
    met: bool
    share: float
    value: float | None  # None: not scored, which is not met; ``reason`` names the error
    threshold: float
    binds: bool  # whether the requirement is a gate of the variant, or a known miss
    reason: str


def judge_case(requirement: Requirement, binds: bool, score: Score) -> CaseVerdict:
    """A rate's case must be 1, a mean's reach the threshold, and nothing forbidden may be counted."""
    value = score.value
    met, share = False, 0.0
    if value is not None and requirement.kind == "rate":
        met, share = value == 1, value
    elif value is not None and requirement.kind == "mean":
        bottom, top = requirement.scale or (0.0, 1.0)
        met, share = value >= requirement.threshold, (value - bottom) / (top - bottom)
    elif value is not None:
        met, share = value == 0, float(value == 0)
    shown = "not scored" if value is None else f"{value:.4g}"
    wanted = "none allowed" if requirement.kind == "zero" else f"threshold {requirement.threshold:g}"
    detail = score.error or score.explanation
    return CaseVerdict(
        requirement=requirement.name,
        metric=requirement.metric,
        case=score.case,
        cluster=score.cluster,
        met=met,
        share=min(1.0, max(0.0, share)),
        value=value,
        threshold=requirement.threshold,
        binds=binds,
        reason=f"{requirement.name} {shown}, {wanted}" + (f"; {detail}" if detail else ""),
    )


def judge_answer(
    response: Response, complaint: Complaint, requirements: Sequence[Requirement], variant: str, rulers: Rulers
) -> list[CaseVerdict]:
    """The verdict of every requirement that says something of this answer of ``variant``.

    Requirements on words are asked of every answer, so that variants can be compared by them; one on retrieval or
    decision only where it binds the variant, and never of a message without labels.
    """
    verdicts = []
    for requirement in requirements:
        is_bound = requirement.concerns(variant)
        if requirement.metric in OF_LABELS and (complaint.action is None or not is_bound):
            continue
        scores, _ = rulers.score(requirement.metric, [response], [complaint])
        verdicts += [judge_case(requirement, is_bound, score) for score in scores]
    return verdicts
