"""Who may learn from which row: fixed for ever by the row's group, in the shares that were chosen."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from system.training.splits import SHARES, purpose


def test_shares_are_whole() -> None:
    """Each data set's shares add up to 100; labels of replies go to no generator, instructions to no judge."""
    assert all(sum(shares.values()) == 100 for shares in SHARES.values())
    assert all(SHARES[name]["generator"] == 0 for name in ("pandalm", "epitome"))
    assert SHARES["alpaca"]["generator"] == 100


def test_purpose_by_hand() -> None:
    """The first eight bytes of sha256 over name and group, modulo 100, against the shares in their order."""
    digest = hashlib.sha256(b"hh_harmless\nHuman: hi").digest()
    place = int.from_bytes(digest[:8], "big") % 100
    expected = "judge" if place < 74 else "judge-heldout" if place < 88 else "generator"
    assert purpose("hh_harmless", "Human: hi") == expected


# Worked out once; another answer would deal all rows anew, and a judge be examined on what it has learned.
FIXED = {
    ("hh_harmless", "group 0"): "judge",
    ("hh_harmless", "group 3"): "judge-heldout",
    ("hh_harmless", "group 4"): "generator",
    ("bitext", "group 0"): "generator",
    ("bitext", "group 4"): "judge",
    ("pandalm", "group 4"): "judge-heldout",
    ("epitome", "group 7"): "judge-heldout",
}


def test_purposes_never_change() -> None:
    """These rows fall where they always fell."""
    assert {row: purpose(*row) for row in FIXED} == FIXED


def test_white_space_does_not_count() -> None:
    """The same words fall on the same side however they were laid out on the Hub or in the local file."""
    for n in range(50):
        assert purpose("bitext", f"reply  number\n\n{n} ") == purpose("bitext", f"reply number {n}")


@pytest.mark.parametrize("dataset", SHARES)
def test_shares_are_kept(dataset: str) -> None:
    """Of many groups each part gets its share, within four standard errors."""
    count = 4000
    found = Counter(purpose(dataset, f"group {n}") for n in range(count))
    for part, share in SHARES[dataset].items():
        expected = share / 100
        assert abs(found[part] / count - expected) <= 4 * (expected * (1 - expected) / count) ** 0.5


def test_data_sets_are_dealt_apart() -> None:
    """The same group may fall differently in two data sets of like shares: the name is part of the hash."""
    groups = [f"group {n}" for n in range(200)]
    assert [purpose("epitome", g) for g in groups] != [purpose("pandalm", g) for g in groups]


def test_unknown_data_set() -> None:
    """A data set without shares is an error, not a training set."""
    with pytest.raises(KeyError):
        purpose("clinc150", "group")
