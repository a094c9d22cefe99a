"""Claims that one variant beats another on the same complaints."""

from __future__ import annotations


def test_comparison(claim, judge_claim, enforce):
    """The better variant scores higher, beyond luck and the number of claims made."""
    enforce(judge_claim(claim))
