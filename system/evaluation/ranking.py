"""Rank metrics of retrieval, per query: hit@k, precision@k, reciprocal rank, nDCG@k (Manning et al. 2008, ch. 8).

A hit counts as relevant when its article is; an article has several passages, so several hits may be relevant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

from system.evaluation.statistics import effective_n, rate_interval
from system.records import Complaint, Hit


def hit_at(docs: Sequence[str], relevant: Collection[str], k: int) -> float:
    """1 if one of the first k is relevant, else 0."""
    return float(any(doc in relevant for doc in docs[:k]))


def precision_at(docs: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Share of the first k places that hold a relevant passage; empty places count as irrelevant."""
    return sum(doc in relevant for doc in docs[:k]) / k


def reciprocal_rank(docs: Sequence[str], relevant: Collection[str]) -> float:
    """1 / rank of the first relevant passage, 0 if there is none."""
    return next((1.0 / rank for rank, doc in enumerate(docs, start=1) if doc in relevant), 0.0)


def ndcg_at(docs: Sequence[str], relevant: Collection[str], k: int, available: int) -> float:
    """Discounted cumulative gain of the first k with gains 0 or 1, over the best one possible.

    ``available`` is the number of relevant passages that the index holds. 0 if there is none.
    """
    gain = sum(1.0 / math.log2(rank + 1) for rank, doc in enumerate(docs[:k], start=1) if doc in relevant)
    best = sum(1.0 / math.log2(rank + 1) for rank in range(1, min(k, available) + 1))
    return gain / best if best else 0.0


def hit_at_two(complaints: Sequence[Complaint], found: Sequence[Sequence[Hit]]) -> dict[str, float]:
    """hit@2 of a retriever with its interval: value, low, high, n."""
    twos = [hit_at([hit.doc for hit in hits], c.relevant, 2) for hits, c in zip(found, complaints, strict=True)]
    interval = rate_interval(int(sum(twos)), len(twos), effective_n=effective_n(twos, [c.cluster for c in complaints]))
    return {"value": sum(twos) / len(twos), "low": interval.low, "high": interval.high, "n": len(twos)}


def ranking_report(
    complaints: Sequence[Complaint], hits: Mapping[str, Sequence[Sequence[Hit]]], passages_of: Mapping[str, int]
) -> str:
    """A Markdown table: one row per retriever, then hit@2 per category.

    ``hits`` has, for each retriever, the hits of each complaint; ``passages_of`` the passages of each article.
    """
    lines = [
        f"{len(complaints)} complaints that the articles answer.",
        "",
        "| retriever | hit@1 | hit@2 (95 % interval) | hit@3 | precision@2 | MRR | nDCG@5 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    categories = sorted({c.category for c in complaints})
    by_category = ["", f"| hit@2 by category | {' | '.join(categories)} |", f"| --- |{' --- |' * len(categories)}"]
    for name, found in hits.items():
        docs = [[hit.doc for hit in one] for one in found]

        def mean(metric: Callable[[Sequence[str], Complaint], float], docs: list[list[str]] = docs) -> float:
            return sum(metric(d, c) for d, c in zip(docs, complaints, strict=True)) / len(complaints)

        twos = [hit_at(d, c.relevant, 2) for d, c in zip(docs, complaints, strict=True)]
        two = hit_at_two(complaints, found)
        lines.append(
            f"| {name} | {mean(lambda d, c: hit_at(d, c.relevant, 1)):.3f} "
            f"| {two['value']:.3f} ({two['low']:.3f} to {two['high']:.3f}) "
            f"| {mean(lambda d, c: hit_at(d, c.relevant, 3)):.3f} "
            f"| {mean(lambda d, c: precision_at(d, c.relevant, 2)):.3f} "
            f"| {mean(lambda d, c: reciprocal_rank(d, c.relevant)):.3f} "
            f"| {mean(lambda d, c: ndcg_at(d, c.relevant, 5, sum(passages_of[r] for r in c.relevant))):.3f} |"
        )
        cells = []
        for category in categories:
            some = [hit for hit, c in zip(twos, complaints, strict=True) if c.category == category]
            cells.append(f"{sum(some):.0f}/{len(some)}")
        by_category.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines + by_category) + "\n"
