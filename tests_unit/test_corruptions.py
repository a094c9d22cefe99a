"""Wrecks of a readable text: each does what it says, is drawn from the seed, and is never the text itself."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.evaluation.readability import readability
from system.sentences import split_sentences
from system.training import corruptions
from system.training.corruptions import CORRUPTIONS, FEWEST_WORDS, Corruption, corrupt

TEXT = (
    "I am sorry that your evening was lost. Please unplug the Hub, and wait for one minute. Then plug it in again! "
    "Is the light white after five minutes? If not, write to us and we will send somebody on the next working day."
)
SEEDS = range(60)


def wrecks(corruption: Corruption) -> list[str]:
    """The text wrecked with many seeds."""
    return [corruption(TEXT, random.Random(seed)) for seed in SEEDS]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_each_is_drawn_from_the_seed(corruption: Corruption) -> None:
    """Equal seeds give equal wrecks; several wrecks are possible; each differs from the text."""
    found = wrecks(corruption)
    assert found == wrecks(corruption)
    assert len(set(found)) >= 3
    assert all(wreck.split() != TEXT.split() for wreck in found)
    assert TEXT.endswith("working day.")  # it was not changed itself


def test_shuffle_sentences() -> None:
    """All sentences stay, each as it was, in another order."""
    for wreck in wrecks(corruptions.shuffle_sentences):
        assert sorted(split_sentences(wreck)) == sorted(split_sentences(TEXT))
        assert wreck != TEXT


def test_cut() -> None:
    """The text's beginning, two to nine tenths of it, without a stop at its end."""
    count = len(TEXT.split())
    for wreck in wrecks(corruptions.cut):
        assert TEXT.startswith(wreck)
        assert count // 5 <= len(wreck.split()) <= count * 9 // 10
        assert wreck[-1] not in ".!?"
        assert readability(wreck)["unended"] == -1


def test_run_on() -> None:
    """The same words in the same order, with nothing that tells where a sentence ends."""
    bare = [word.strip(".,!?").lower() for word in TEXT.split()]
    for wreck in wrecks(corruptions.run_on):
        assert wreck == wreck.lower() and not set(wreck) & set(".,;:!?\n")
        words = wreck.split()
        assert [word for word in words if word not in ("and", "then")] == [w for w in bare if w not in ("and", "then")]
        assert len(words) >= len(bare)


def test_shuffle_words() -> None:
    """The same words, some of them elsewhere."""
    for wreck in wrecks(corruptions.shuffle_words):
        assert Counter(wreck.split()) == Counter(TEXT.split())
        moved = sum(a != b for a, b in zip(wreck.split(), TEXT.split(), strict=True)) / len(TEXT.split())
        assert 0 < moved <= 0.6


def test_drop_words() -> None:
    """Some words are missing, the others keep their order; on average between a seventh and a third are gone."""
    gone = []
    for wreck in wrecks(corruptions.drop_words):
        rest = iter(TEXT.split())
        assert all(word in rest for word in wreck.split())
        gone.append(1 - len(wreck.split()) / len(TEXT.split()))
    assert 1 / 7 <= sum(gone) / len(gone) <= 1 / 3
    assert min(gone) > 0


def test_stutter() -> None:
    """No sentence is missing, none is new, and at least one comes again."""
    own = split_sentences(TEXT)
    for wreck in wrecks(corruptions.stutter):
        found = split_sentences(wreck)
        assert set(found) == set(own) and len(found) > len(own)
        assert list(dict.fromkeys(found)) == own
        assert readability(wreck)["repeats"] < 0


def test_talk_shop() -> None:
    """Two unexplained terms or more, inside the text; without them it is the text."""
    for wreck in wrecks(corruptions.talk_shop):
        phrases = [phrase for phrase in corruptions._JARGON if phrase in wreck]
        assert len(phrases) >= 2
        assert wreck.startswith(TEXT.split()[0])
        for phrase in phrases:
            wreck = wreck.replace(f" {phrase}", "", 1)
        assert wreck == TEXT


def test_ramble() -> None:
    """A detour for each sentence; no sentence of the text is missing."""
    for wreck in wrecks(corruptions.ramble):
        found = split_sentences(wreck)
        assert len(found) == 2 * len(split_sentences(TEXT))
        assert set(split_sentences(TEXT)) < set(found)


def test_each_is_used() -> None:
    """Every way is drawn; none is forgotten in the list."""
    assert len(set(CORRUPTIONS)) == len(CORRUPTIONS) == 8
    drawn = Counter(random.Random(seed).choice(CORRUPTIONS) for seed in range(400))
    assert set(drawn) == set(CORRUPTIONS)
    for seed in SEEDS:
        draw = random.Random(seed)
        assert corrupt(TEXT, random.Random(seed)) == draw.choice(CORRUPTIONS)(TEXT, draw)


def test_short_texts_are_left_alone() -> None:
    """A text of fewer words than can be wrecked gives nothing."""
    text = " ".join(["Go"] * (FEWEST_WORDS - 1))
    assert all(corrupt(text, random.Random(seed)) is None for seed in SEEDS)
    assert corrupt("", random.Random(0)) is None


def test_what_cannot_be_wrecked_gives_nothing() -> None:
    """A single sentence has no other order: where a way changes nothing there is no wreck, and never the text again."""
    text = "Please " + "wait " * FEWEST_WORDS + "for us."
    found = [corrupt(text, random.Random(seed)) for seed in SEEDS]
    assert None in found
    assert all(wreck is None or wreck.split() != text.split() for wreck in found)


@given(st.text(max_size=300), st.integers(0, 1000))
@settings(derandomize=True, database=None, deadline=None, max_examples=200)
def test_a_wreck_is_never_the_text(text: str, seed: int) -> None:
    """Whatever the text: other words or another order, or nothing; the judge must not prefer a text to itself."""
    wreck = corrupt(text, random.Random(seed))
    assert wreck is None or wreck.split() != text.split()
