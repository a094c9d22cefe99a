"""How fast training is, beside what the processor could do at best; and how long it will take.

Counted are the products with weights: 2 operations a weight and token forward, 2 backward for the activations, 2 more
for weights that learn (Kaplan et al. 2020, arXiv 2001.08361, section 2.1). Attention and everything elementwise are
left out, so that the share of the peak is understated a little.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from system.generation import compute_dtype

PROBE = 2048  # rows and columns of the product that measures the peak
USUAL_SHARE = 0.3  # of the peak, for the estimate before anything was measured


def matrix_peak(repeats: int = 5) -> float:
    """Operations per second of a square product in the format of training; the best of some repeats."""
    one, other = (torch.randn(PROBE, PROBE).to(compute_dtype()) for _ in range(2))
    best = float("inf")
    for _ in range(repeats + 1):  # the first warms up
        began = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - began)
    return 2 * PROBE**3 / best


def operations_per_token(model: Any, reply_share: float) -> float:
    """Operations of training on one token of a causal model, of whose tokens ``reply_share`` need logits."""
    frozen = learning = head = 0
    for name, weights in model.named_parameters():
        if weights.requires_grad:
            learning += weights.numel()
        elif "lm_head" in name:
            head += weights.numel()
        elif weights.dim() == 2 and "embed" not in name:
            frozen += weights.numel()
    # A head that shares its weights with the embedding is listed under the embedding's name.
    head = head or model.get_output_embeddings().weight.numel()
    return 4.0 * (frozen + head * reply_share) + 6.0 * learning


def told(seconds: float) -> str:
    """A time as people say it."""
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def estimate(model: Any, rows: Sequence[dict[str, list[int]]], epochs: int) -> float:
    """Print how long training on encoded rows will take; returns the measured matrix peak in operations per second."""
    tokens = sum(len(row["input_ids"]) for row in rows)
    learned = sum(label >= 0 for row in rows for label in row["labels"])
    peak = matrix_peak()
    seconds = epochs * tokens * operations_per_token(model, learned / tokens) / (USUAL_SHARE * peak)
    print(
        f"{len(rows)} rows and {tokens:,} tokens an epoch, {epochs} epochs: about {told(seconds)} at "
        f"{USUAL_SHARE:.0%} of the matrix peak of {peak / 1e9:.0f} GFLOPS",
        flush=True,
    )
    return peak


def speed(model: Any, record: dict[str, Any], peak: float) -> dict[str, Any]:
    """Tokens a second of a run and the share of the peak; None for both where a resumed run had nothing left to do."""
    seconds = sum(record["seconds"])
    if not seconds:
        return {"tokens_per_second": None, "share_of_matrix_peak": None}
    rate = sum(record["tokens"]) / seconds
    share = rate * operations_per_token(model, record["reply_share"]) / peak
    return {"tokens_per_second": round(rate), "share_of_matrix_peak": float(f"{share:.3g}")}
