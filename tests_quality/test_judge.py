"""What the judge says: helpfulness, clarity, empathy and safety, 1 to 5."""

from __future__ import annotations

from system.evaluation.judge import AXES

METRICS = set(AXES)


def test_judge(requirement, variant, judge, enforce):
    """The variant's answers reach the grade on average, beyond luck; a judge below its floors is an error."""
    enforce(judge(requirement, variant))
