"""Who may learn from which row: no text that the generator is trained on may train or examine a judge.

A row's group (its dialogue, post, instruction or intent wording) is hashed, so that the same row falls on the same
side wherever it is loaded from, and rows that share a prompt stay together. Standard library only.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Purpose = Literal["judge", "judge-heldout", "generator"]

# Shares in percent. PandaLM and EPITOME are labels of replies, which only a judge can use.
SHARES: dict[str, dict[Purpose, int]] = {
    "hh_harmless": {"judge": 74, "judge-heldout": 14, "generator": 12},
    "hh_helpful": {"judge": 0, "judge-heldout": 0, "generator": 100},
    "bitext": {"judge": 25, "judge-heldout": 5, "generator": 70},
    "pandalm": {"judge": 75, "judge-heldout": 25, "generator": 0},
    "epitome": {"judge": 85, "judge-heldout": 15, "generator": 0},
    "cnn_dailymail": {"judge": 0, "judge-heldout": 0, "generator": 100},
    "alpaca": {"judge": 0, "judge-heldout": 0, "generator": 100},
}


def purpose(dataset: str, group: str) -> Purpose:
    """What a row of a data set may be used for. Raises KeyError for an unknown data set."""
    place = int.from_bytes(hashlib.sha256(f"{dataset}\n{' '.join(group.split())}".encode()).digest()[:8], "big") % 100
    for name, share in SHARES[dataset].items():
        if place < share:
            return name
        place -= share
    raise AssertionError(f"the shares of {dataset} do not add up to 100")
