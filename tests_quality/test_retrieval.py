"""Retrieval: the right article is among the first two passages, and mostly the first."""

from __future__ import annotations

METRICS = {"hit@1", "hit@2"}


def test_retrieval(requirement, variant, judge, enforce):
    """A variant that retrieves finds the article that holds the answer."""
    enforce(judge(requirement, variant))
