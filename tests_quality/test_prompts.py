"""What the model was given: the instructions, passages, words and settings that the variant declares."""

from __future__ import annotations

METRICS = {"not_as_declared"}


def test_prompts(requirement, variant, judge, enforce):
    """Every answer of the variant was made as the variant says."""
    enforce(judge(requirement, variant))
