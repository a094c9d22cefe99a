"""Scores per case: what each metric says of one response to one labelled complaint.

    score("hit@2", response, complaint, official) -> Score, or None where the metric does not apply to the case

Reads records only; never imports the assistant, so that every score replays from a run log. The explanation of a bad
score names the first stage that is at fault, as far as the labels tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from system.errors import SettingsError
from system.evaluation.cause import likely_cause
from system.evaluation.coverage import claim_count, fact_coverage, groundedness, unsupported_claim
from system.evaluation.declared import not_as_declared
from system.evaluation.rules import RULES
from system.records import Complaint, Response, Score

COMPANY_FACTS = ("invented_phone", "invented_link", "invented_price", "invented_deadline")
Judged = tuple[float, str]  # value and explanation
Metric = Callable[[Response, Complaint, str], "Judged | None"]


_judged: dict[tuple[str, str, str, str, str], tuple[str, ...]] = {}


def _violations(name: str, response: Response, complaint: str, official: str) -> tuple[str, ...]:
    """What a rule finds; remembered, because several requirements ask for the same rule on the same answer."""
    key = (name, response.text, response.prompt.system if response.prompt else "", complaint, official)
    if key not in _judged:
        _judged[key] = RULES[name](response, f"{official}\n\n{complaint}".strip())
    return _judged[key]


def _counted(found: Sequence[str], response: Response, complaint: Complaint) -> Judged:
    """The number of violations. Their cause is looked for: a wrong decision invents facts for want of an article."""
    return float(len(found)), f"cause {likely_cause(response, complaint)}: {'; '.join(found)}" if found else ""


def hit_at(k: int) -> Metric:
    """1 if one of the first k hits is from a relevant article; applies where the articles hold the answer."""

    def metric(response: Response, complaint: Complaint, official: str) -> Judged | None:
        if complaint.action != "RAG":
            return None
        found = [hit.doc for hit in response.hits[:k]]
        right = any(doc in complaint.relevant for doc in found)
        return float(right), "" if right else f"cause retrieval: wanted {' or '.join(complaint.relevant)}, got {found}"

    return metric


def decision_accuracy(response: Response, complaint: Complaint, official: str) -> Judged | None:
    """1 if the action is the labelled one."""
    right = response.decision.action == complaint.action
    taken = f"{response.decision.action} ({response.decision.reason})"
    return float(right), "" if right else f"cause decision: wanted {complaint.action}, got {taken}"


def rule(name: str) -> Metric:
    """Number of violations of a hard rule; everything in the articles and in the complaint may be said."""

    def metric(response: Response, complaint: Complaint, official: str) -> Judged:
        found = _violations(name, response, complaint.text, official)
        return _counted(found, response, complaint)

    return metric


def hard_rules(response: Response, complaint: Complaint, official: str) -> Judged:
    """Number of violations of all hard rules together."""
    found = [text for name in RULES for text in _violations(name, response, complaint.text, official)]
    return _counted(found, response, complaint)


def direct_facts(response: Response, complaint: Complaint, official: str) -> Judged | None:
    """Number of company facts in a DIRECT answer, which has read no article and can only have made them up."""
    if response.decision.action != "DIRECT":
        return None
    found = [text for name in COMPANY_FACTS for text in _violations(name, response, complaint.text, "")]
    return _counted(found, response, complaint)


METRICS: dict[str, Metric] = {
    **{f"hit@{k}": hit_at(k) for k in (1, 2, 3, 5)},
    "decision_accuracy": decision_accuracy,
    "not_as_declared": not_as_declared,
    "direct_facts": direct_facts,
    "fact_coverage": fact_coverage,
    "groundedness": groundedness,
    "claims": claim_count,
    "unsupported_claim": unsupported_claim,
    "hard_rules": hard_rules,
    **{name: rule(name) for name in RULES},
}

# Metrics that need an answer, not only a decision.
OF_TEXT = frozenset(
    {*RULES, "direct_facts", "hard_rules", "fact_coverage", "groundedness", "claims", "unsupported_claim"}
)


def score(metric: str, response: Response, complaint: Complaint, official: str) -> Score | None:
    """One metric on one response. A response that is an error scores as that error, not as a number.

    Raises SettingsError for an unknown metric.
    """
    if metric not in METRICS:
        raise SettingsError(f"metric {metric!r} is unknown; known are {', '.join(METRICS)}")
    judged = METRICS[metric](response, complaint, official)
    if judged is None:
        return None
    value, explanation = judged
    return Score(
        case=complaint.id,
        variant=response.variant,
        metric=metric,
        value=None if response.error and metric in OF_TEXT else value,
        cluster=complaint.cluster,
        explanation=explanation,
        error=response.error if metric in OF_TEXT else None,
    )


def score_all(
    metric: str, responses: Iterable[Response], complaints: Sequence[Complaint], official: str
) -> tuple[list[Score], list[str]]:
    """The scores of a variant's responses, and the ids of the cases that must be among them.

    A complaint without a response is expected but not scored, so that the gate sees it missing.
    """
    by_id = {response.id: response for response in responses}
    scores: list[Score] = []
    expected: list[str] = []
    for complaint in complaints:
        response = by_id.get(complaint.id)
        if response is None:
            expected.append(complaint.id)
        elif (one := score(metric, response, complaint, official)) is not None:
            expected.append(complaint.id)
            scores.append(one)
    return scores, expected
