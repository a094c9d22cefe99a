"""No evaluation complaint, in these or other words, in what the generator learns from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fixtures.embedding import HashedEmbedder
from system.cache import MemoryCache
from system.complaints import read_complaints
from system.embeddings import CachedEmbed, Embed, Embedder
from system.training.custom import ROOT, load_examples, load_passages
from system.training.leaks import near_duplicates
from system.training.public import load_turns
from system.training.sources import FILES

SHARED = ROOT.parent / "shared" / "data"
COMPLAINT = "My bill went up by nine dollars after I moved to the new flat and nobody told me why"


@pytest.mark.parametrize(
    ("text", "is_leak"),
    [
        pytest.param(COMPLAINT, True, id="the same"),
        pytest.param(COMPLAINT.upper() + "!!", True, id="shouted"),
        pytest.param("Hi. " * 20 + COMPLAINT, True, id="in a frame"),
        pytest.param(" ".join(reversed(COMPLAINT.split())), True, id="mixed"),
        pytest.param("The box in the hall blinks orange since the storm", False, id="another problem"),
        pytest.param("bill", False, id="one word of it"),
    ],
)
def test_a_leak_is_seen_by_one_ruler_or_the_other(text: str, is_leak: bool) -> None:
    assert bool(near_duplicates([text], ["some other complaint", COMPLAINT], HashedEmbedder())) is is_leak


def test_a_leak_names_the_complaint() -> None:
    (leak,) = near_duplicates(["fine", COMPLAINT], ["some other complaint", COMPLAINT], HashedEmbedder())
    assert (leak.text, leak.complaint) == (1, 1) and leak.cosine > 0.99 and leak.shared == 1


@pytest.fixture(scope="module")
def embed() -> Embed:
    return CachedEmbed(Embedder(), MemoryCache())


@pytest.fixture(scope="module")
def evaluation() -> list[str]:
    return [complaint.text for complaint in read_complaints(ROOT / "data" / "complaints.jsonl")]


def test_custom_examples_hold_no_evaluation_complaint(embed: Embed, evaluation: list[str]) -> None:
    examples = load_examples(load_passages())
    leaks = near_duplicates([example.complaint for example in examples], evaluation, embed)
    assert [(examples[leak.text].id, evaluation[leak.complaint]) for leak in leaks] == []


@pytest.mark.parametrize("name", ["alpaca", "bitext", "hh_harmless"])
def test_public_rows_hold_no_evaluation_complaint(name: str, embed: Embed, evaluation: list[str]) -> None:
    if not (SHARED / FILES[name]).is_file():
        pytest.skip(f"{FILES[name]} is not beside the project")
    messages = [turn.message for turn in load_turns(name, Path(SHARED), Counter())]
    leaks = near_duplicates(messages, evaluation, embed)
    assert [(messages[leak.text], evaluation[leak.complaint]) for leak in leaks] == []
