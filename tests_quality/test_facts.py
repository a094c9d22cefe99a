"""What the answers state: the facts that they should hold, and whether their claims stand in their sources."""

from __future__ import annotations

METRICS = {"fact_coverage", "groundedness", "unsupported_claim", "bertscore-f1", "perplexity"}


def test_facts(requirement, variant, judge, enforce):
    """The variant's answers state what the customer needs, and nothing that nobody told them."""
    enforce(judge(requirement, variant))
