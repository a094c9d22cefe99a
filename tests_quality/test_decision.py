"""The agent's decision: answer from the articles, directly, or hand over to a person."""

from __future__ import annotations

METRICS = {"decision_accuracy", "direct_facts"}


def test_decision(requirement, variant, judge, enforce):
    """The agent decides as a support lead would, and states no company facts where it read no article."""
    enforce(judge(requirement, variant))
