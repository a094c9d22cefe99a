"""Retrieval: scores against arithmetic done by hand and a second implementation, ranks, ties, and the saved index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rank_bm25 import BM25Okapi  # type: ignore[import-untyped]  # ships no types

from fixtures.embedding import HashedEmbedder
from system.cache import MemoryCache
from system.embeddings import CachedEmbed, Embed
from system.errors import KnowledgeBaseError, SettingsError
from system.records import Hit, Passage
from system.retrieval import STOPWORDS, Index, indexed_text, make_retriever, words

STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=60)
NAMES = ("bm25", "dense", "hybrid")
TEXTS = (
    "router light orange",
    "bill refund bill",
    "roaming abroad",
    "email password",
    "engineer visit",
    "router reset",
)


def passage(text: str, number: int = 1, heading: str = "", title: str = "") -> Passage:
    """A passage of one article per number; without title and heading only its text is searched."""
    return Passage(id=f"a{number}#1", doc=f"a{number}", title=title, heading=heading, text=text)


def index_of(*texts: str, embedder: Embed | None = None, knowledge_hash: str = "kb") -> Index:
    """An index over one passage a text."""
    passages = [passage(text, number) for number, text in enumerate(texts, start=1)]
    return Index(passages, knowledge_hash, embedder or HashedEmbedder())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("The router's light is RED", ["router", "light", "red"], id="case, possessive, stop words"),
        pytest.param("bills and the bill", ["bill", "bill"], id="plural"),
        pytest.param("customers' phones", ["customer", "phone"], id="possessive plural"),
        pytest.param("glass address", ["glass", "address"], id="double s is no plural"),
        pytest.param("gas bus sms", ["gas", "bus", "sms"], id="short words keep their s"),
        pytest.param("what's up, it's mine", ["mine"], id="stop words behind an apostrophe"),
        pytest.param("what’s the wi-fi’s key", ["wi", "fi", "key"], id="curly apostrophe"),
        pytest.param("can't won't", ["can't", "won't"], id="contractions stay whole"),
        pytest.param("5G, 30s, $12.50", ["5g", "30s", "12", "50"], id="numbers and units"),
        pytest.param("", [], id="empty"),
        pytest.param("the of and", [], id="nothing but stop words"),
        pytest.param("нет 网络 🙂", [], id="no Latin letters"),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    """Both sides of a comparison are reduced to the same words: lower case, singular, none without meaning."""
    assert words(text) == expected


@given(st.text())
@STEADY
def test_words_of_any_text(text: str) -> None:
    """Whatever is written, no stop word and no empty word comes through."""
    assert not set(words(text)) & (STOPWORDS | {""})


def test_bm25_by_hand() -> None:
    """A BM25 score is the formula's number."""
    # Okapi BM25 with k1 = 1.5, b = 0.75 over four passages of 3, 3, 2 and 4 words (12 in all, average 3):
    #   idf(w) = ln((N - n + 0.5) / (n + 0.5));  idf(bill) with n = 1: ln(3.5 / 1.5) = 0.847298
    #   score = idf * f * (k1 + 1) / (f + k1 * (1 - b + b * length / average))
    # bill stands twice in the second passage, whose length is the average:
    #   0.847298 * 2 * 2.5 / (2 + 1.5) = 1.210426
    # visit stands once in the last, of 4 words: 0.847298 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 4 / 3)) = 0.736781
    index = index_of("router light orange", "bill refund bill", "roaming abroad", "engineer visit home morning")
    scores = index.lexical_scores(["my bill", "visit", "bill and a visit"])
    assert scores[0] == pytest.approx([0, 1.210426, 0, 0], abs=1e-6)
    assert scores[1] == pytest.approx([0, 0, 0, 0.736781], abs=1e-6)
    assert scores[2] == pytest.approx([0, 1.210426, 0, 0.736781], abs=1e-6)


@given(
    st.lists(st.lists(st.sampled_from("hub bill phone light tv code".split()), max_size=8), min_size=1, max_size=8),
    st.lists(st.sampled_from("hub bill phone light tv code other".split()), max_size=5),
)
@STEADY
def test_bm25_agrees_with_the_library(corpus: list[list[str]], query: list[str]) -> None:
    """Nothing but the words of passage and text enters a BM25 score."""
    if not any(corpus):
        return
    scores = index_of(*(" ".join(text) for text in corpus)).lexical_scores([" ".join(query)])[0]
    np.testing.assert_array_equal(scores, BM25Okapi(corpus).get_scores(query))


def test_title_and_heading_are_searched() -> None:
    """A passage is found by its article's title and its heading, which name what its text does not repeat."""
    passages = [
        passage("press the button", 1, heading="Restart", title="Router"),
        passage("press nothing", 2, heading="Pay", title="Billing"),
        passage("words", 3, heading="Else", title="More"),
    ]
    assert indexed_text(passages[0]) == "Router\nRestart\npress the button"
    for name in NAMES:
        retriever = make_retriever(name, Index(passages, "kb", HashedEmbedder()))
        assert [hits[0].doc for hits in retriever.search(["router restart", "billing"], 1)] == ["a1", "a2"], name


def test_dense_is_the_cosine() -> None:
    """A dense score is the cosine of the two texts."""
    hits = make_retriever("dense", index_of("red light", "red red red bill", "phone")).search(["red light bill"], 3)[0]
    # Counts (red, light, bill): (1,1,1) with (1,1,0): 2 / (sqrt 3 * sqrt 2); with (3,0,1): 4 / (sqrt 3 * sqrt 10)
    assert [hit.doc for hit in hits] == ["a1", "a2", "a3"]
    assert [hit.score for hit in hits] == pytest.approx([2 / math.sqrt(6), 4 / math.sqrt(30), 0.0], abs=1e-6)


def test_hybrid_by_hand() -> None:
    """A hybrid score is the sum of 1 / (60 + rank) over the rankings that found the passage."""
    # "bill refund" over 8 passages of 9, 1, 2, 1, 1, 1, 1, 1 words (average 2.125); bill is in three, refund in one:
    #   idf(bill) = ln(5.5 / 3.5) = 0.451985, idf(refund) = ln(7.5 / 1.5) = 1.609438
    #   a1: 2.061423 * 2.5 / (1 + 1.5 * (0.25 + 0.75 * 9 / 2.125)) = 0.839382; likewise a2 0.593340, a3 0.464275
    #   cosines: a1 2 / sqrt(9 * 2) = 0.471405, a2 1 / sqrt 2 = 0.707107, a3 1 / sqrt(2 * 2) = 0.5, others 0
    # so the ranks are a1 1 and 3, a2 2 and 1, a3 3 and 2; BM25 did not find the others, whose dense ranks are 4 to 8.
    long = "bill refund tv box card hub sim wire code"
    index = index_of(long, "bill", "bill phone", "app", "spam", "speed", "tower", "invoice")
    assert index.lexical_scores(["bill refund"])[0, :4] == pytest.approx([0.839382, 0.593340, 0.464275, 0], abs=1e-4)
    assert index.dense_scores(["bill refund"])[0, :4] == pytest.approx([0.471405, 0.707107, 0.5, 0], abs=1e-6)
    hits = make_retriever("hybrid", index).search(["bill refund"], 5)[0]
    assert [hit.doc for hit in hits] == ["a2", "a1", "a3", "a4", "a5"]
    assert [hit.score for hit in hits] == pytest.approx(
        [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 63 + 1 / 62, 1 / 64, 1 / 65], abs=1e-12
    )


def test_hybrid_without_a_common_word_is_dense() -> None:
    """Where BM25 finds nothing, the place of an article in its folder must not count as a rank."""

    class Meaning(HashedEmbedder):
        """Says that the last passage means the same as the text, and the first nearly so."""

        def __call__(self, texts: Sequence[str]) -> np.ndarray:
            angle = {"alpha": 0.2, "beta": 1.0, "gamma": 1.2, "delta": 0.1}
            return np.array(
                [[math.cos(angle.get(t.split()[0], 0.0)), math.sin(angle.get(t.split()[0], 0))] for t in texts]
            )

    index = index_of("alpha", "beta", "gamma", "delta", embedder=Meaning())
    for name in ("dense", "hybrid"):
        hits = make_retriever(name, index).search(["nothing shared"], 4)[0]
        assert [hit.doc for hit in hits] == ["a4", "a1", "a2", "a3"], name


@pytest.mark.parametrize("name", NAMES)
def test_ties_go_to_the_earlier_passage(name: str) -> None:
    """Equal passages come in the order of the knowledge base, so that a run can be repeated."""
    retriever = make_retriever(
        name, index_of("tv", "red light", "red light", "red light", "phone", "bill", "sim", "app")
    )
    assert [hit.doc for hit in retriever.search(["red light"], 3)[0]] == ["a2", "a3", "a4"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 5, 6, 7, 1000])
def test_k_beyond_the_index(name: str, k: int) -> None:
    """Asking for more passages than there are returns all of them once."""
    hits = make_retriever(name, index_of(*TEXTS)).search(["router bill", "roaming"], k)
    assert [len(found) for found in hits] == [min(k, 6)] * 2


@pytest.mark.parametrize("name", NAMES)
def test_hits_carry_their_passage(name: str) -> None:
    """A hit holds what the prompt needs: article, passage, heading and text."""
    index = Index([passage("red light", heading="Lights", title="Hub")], "kb", HashedEmbedder())
    (hit,) = make_retriever(name, index).search(["red"], 1)[0]
    assert hit == Hit(doc="a1", passage="a1#1", score=hit.score, heading="Lights", text="red light")


@pytest.mark.parametrize("name", NAMES)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=4), k=st.integers(1, 9))
@STEADY
def test_hits_of_any_text(name: str, texts: list[str], k: int) -> None:
    """For any text the hits are sorted, all different, at most k, and the same when asked alone."""
    retriever = make_retriever(name, index_of(*TEXTS))
    found = retriever.search(texts, k)
    assert len(found) == len(texts)
    for text, hits in zip(texts, found, strict=True):
        scores = [hit.score for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) for score in scores)
        assert len({hit.passage for hit in hits}) == len(hits) == min(k, len(TEXTS))
        assert [hit.passage for hit in retriever.search([text], k)[0]] == [hit.passage for hit in hits]


def test_unknown_retriever() -> None:
    """An unknown name is refused with the names there are."""
    with pytest.raises(SettingsError, match=r"retriever 'bm52' is unknown; choose one of bm25, dense, hybrid"):
        make_retriever("bm52", index_of("x"))


@pytest.mark.parametrize("text", ["网络", "the of and", ""])
def test_articles_without_a_word(text: str) -> None:
    """Articles in which BM25 finds no word at all are an input error, not a division by zero."""
    with pytest.raises(KnowledgeBaseError, match="hold no English word"):
        make_retriever("bm25", index_of(text)).search(["red light"], 1)


def test_lexical_retrieval_embeds_nothing() -> None:
    """BM25 needs no model: the embedder is never called."""
    embedder = HashedEmbedder()
    make_retriever("bm25", index_of(*TEXTS, embedder=embedder)).search(["router"], 2)
    assert embedder.calls == []


def test_only_new_passages_are_embedded() -> None:
    """With a cache, the next index over the same articles embeds nothing, and a changed one what has changed."""
    cache, embedder = MemoryCache(), HashedEmbedder()
    made = index_of(*TEXTS, embedder=CachedEmbed(embedder, cache)).embeddings
    read = index_of(*TEXTS, embedder=CachedEmbed(embedder, cache), knowledge_hash="another").embeddings
    np.testing.assert_array_equal(made, read)
    np.testing.assert_array_equal(made, index_of(*TEXTS).embeddings)
    changed = index_of("router light green", *TEXTS[1:], embedder=CachedEmbed(embedder, cache))
    np.testing.assert_array_equal(changed.embeddings[1:], made[1:])
    assert [len(texts) for texts in embedder.calls] == [len(TEXTS), 1]


def test_index_is_embedded_once_for_many_searches() -> None:
    """One index embeds its passages once, and every search only its texts."""
    embedder = HashedEmbedder()
    retriever = make_retriever("dense", index_of(*TEXTS, embedder=embedder))
    retriever.search(["a", "b"], 1)
    retriever.search(["c"], 1)
    assert sorted(map(len, embedder.calls)) == [1, 2, len(TEXTS)]


class TestRealKnowledgeBase:
    """The shipped articles, by words alone."""

    @pytest.mark.parametrize(
        ("text", "doc"),
        [
            ("red light on the fibre box", "internet_troubleshooting"),
            ("I was charged twice on my bill", "billing_faq"),
            ("how do I use my phone abroad, roaming", "mobile_and_roaming"),
        ],
    )
    def test_found(self, text: str, doc: str) -> None:
        """A plain question finds its article."""
        from system.articles import load_articles
        from system.knowledge import chunk_by_heading, knowledge_hash, word_counter

        folder = Path(__file__).parents[1] / "knowledge_base"
        passages = [p for article in load_articles(folder) for p in chunk_by_heading(article, word_counter)]
        index = Index(passages, knowledge_hash(passages), HashedEmbedder())
        assert doc in [hit.doc for hit in make_retriever("bm25", index).search([text], 3)[0]]
