"""What an adapter is worth on the dev complaints: the measure by which settings are chosen.

    responses = dev_responses(variant, complaints, assistant)
    scores = dev_scores(responses, complaints, rulers)    {"helpfulness": {"mean", "low", "high", "n"}, ...}

Test complaints are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from system.assistant import Assistant
from system.errors import SettingsError
from system.evaluation.judge import AXES
from system.evaluation.measuring import Rulers
from system.evaluation.statistics import mean_interval
from system.records import Complaint, Response
from system.variants import Variant

METRICS = (*AXES, "fact_coverage", "groundedness", "unsupported_claim", "bertscore-f1", "repetitive", "hard_rules")


def dev_responses(variant: Variant, complaints: Sequence[Complaint], assistant: Assistant) -> list[Response]:
    """The variant's answers, in the order of the complaints. Raises SettingsError for one of the test split."""
    if any(complaint.split != "dev" for complaint in complaints):
        raise SettingsError("settings are chosen on dev complaints only; a test complaint is among them")
    answers = {response.id: response for response in assistant.answer(assistant.drafts(complaints, variant))}
    return [answers[complaint.id] for complaint in complaints]


def dev_scores(
    responses: Sequence[Response],
    complaints: Sequence[Complaint],
    rulers: Rulers,
    metrics: Sequence[str] = METRICS,
) -> dict[str, dict[str, float]]:
    """Mean of each metric with its 95 % interval (paraphrases kept together) and the number of cases."""
    found = {}
    for metric in metrics:
        scores, _ = rulers.score(metric, responses, complaints)
        known = [score for score in scores if score.value is not None]
        values = [float(score.value) for score in known if score.value is not None]
        interval = mean_interval(values, [score.cluster or score.case for score in known])
        mean = sum(values) / len(values)
        found[metric] = {"mean": mean, "low": interval.low, "high": interval.high, "n": len(values)}
    return found
