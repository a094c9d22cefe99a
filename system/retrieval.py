"""From a complaint to passages: BM25, dense and hybrid retrieval over one index.

A retriever is anything with ``search``; the three here share an ``Index``, whose parts are made when they are first
needed. Must not know decisions, prompts, labels or how texts are embedded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from system.embeddings import Embed
from system.errors import KnowledgeBaseError, SettingsError
from system.records import Hit, Passage

RRF_CONSTANT = 60  # Cormack, Clarke and Buettcher 2009: reciprocal rank fusion, k = 60

# Words that a complaint and any article share; without them a match means something.
STOPWORDS = frozenset(
    "a about after again all am an and any are as at be because been before but by can could did do does for from get "
    "got had has have he her here him his how i if in is it its just me my no not now of on or our out she so some "
    "than that the their them then there they this to too up us was we were what when where which who why will with "
    "would you your".split()
)


class Retriever(Protocol):
    """Finds passages for texts."""

    def search(self, texts: Sequence[str], k: int) -> list[list[Hit]]:
        """The k best passages of each text, best first; ties go to the earlier passage."""
        ...


def words(text: str) -> list[str]:
    """Lower-case words and numbers without stop words, plural and possessive endings cut."""
    tokens = re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower().replace("\u2019", "'"))
    stems = (re.sub(r"(?:'s|(?<=[a-z]{3})(?<!s)s)$", "", t) for t in tokens if t not in STOPWORDS)
    return [stem for stem in stems if stem not in STOPWORDS]  # "what's" is one only now


def indexed_text(passage: Passage) -> str:
    """What is searched: the passage with its article's title and heading, which name its subject."""
    return f"{passage.title}\n{passage.heading}\n{passage.text}"


class Index:
    """Passages with their BM25 statistics and embeddings; both are made on first use."""

    def __init__(self, passages: Sequence[Passage], knowledge_hash: str, embedder: Embed):
        self.passages = tuple(passages)
        self.knowledge_hash = knowledge_hash
        self.embed = embedder

    @cached_property
    def _bm25(self):  # type: ignore[no-untyped-def]  # rank_bm25 has no types
        from rank_bm25 import BM25Okapi

        corpus = [words(indexed_text(p)) for p in self.passages]
        if not any(corpus):
            raise KnowledgeBaseError(
                "the articles hold no English word to search for; add some, or use --retriever dense"
            )
        return BM25Okapi(corpus)

    @cached_property
    def embeddings(self) -> np.ndarray:
        """Unit vectors, shape (passages, width)."""
        return self.embed([indexed_text(passage) for passage in self.passages])

    def lexical_scores(self, texts: Sequence[str]) -> np.ndarray:
        """BM25 scores, shape (texts, passages)."""
        return np.array([self._bm25.get_scores(words(text)) for text in texts])

    def dense_scores(self, texts: Sequence[str]) -> np.ndarray:
        """Cosine similarities, shape (texts, passages)."""
        return cast(np.ndarray, self.embed(texts) @ self.embeddings.T)

    def hits(self, scores: np.ndarray, k: int) -> list[list[Hit]]:
        """Turn a (texts, passages) matrix of scores into the k best hits of each text."""
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [[_hit(self.passages[n], float(row[n])) for n in best] for row, best in zip(scores, order, strict=True)]


class LexicalRetriever:
    """BM25 (Robertson et al. 1994) over stemmed words; needs no model."""

    def __init__(self, index: Index):
        self._index = index

    def search(self, texts: Sequence[str], k: int) -> list[list[Hit]]:
        """See Retriever; the score is BM25's."""
        return self._index.hits(self._index.lexical_scores(texts), k)


class DenseRetriever:
    """Cosine similarity of sentence embeddings."""

    def __init__(self, index: Index):
        self._index = index

    def search(self, texts: Sequence[str], k: int) -> list[list[Hit]]:
        """See Retriever; the score is the cosine."""
        return self._index.hits(self._index.dense_scores(texts), k)


class HybridRetriever:
    """Reciprocal rank fusion of BM25 and dense retrieval: sum of 1 / (60 + rank)."""

    def __init__(self, index: Index):
        self._index = index

    def search(self, texts: Sequence[str], k: int) -> list[list[Hit]]:
        """See Retriever; the score is the fused one, at most 2 / 61."""
        lexical, dense = self._index.lexical_scores(texts), self._index.dense_scores(texts)
        # A passage that shares no word with the text was not found by BM25; its rank there is its place in the folder.
        fused = np.where(lexical > 0, _reciprocal_ranks(lexical), 0.0) + _reciprocal_ranks(dense)
        return self._index.hits(fused, k)


def make_retriever(name: str, index: Index) -> Retriever:
    """The retriever of that name. Raises SettingsError for an unknown one."""
    kinds: dict[str, Callable[[Index], Retriever]] = {
        "bm25": LexicalRetriever,
        "dense": DenseRetriever,
        "hybrid": HybridRetriever,
    }
    if name not in kinds:
        raise SettingsError(f"retriever {name!r} is unknown; choose one of {', '.join(kinds)}")
    return kinds[name](index)


def _reciprocal_ranks(scores: np.ndarray) -> np.ndarray:
    """1 / (60 + rank) of every score in its row, the highest of rank 1."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
    return cast(np.ndarray, 1.0 / (RRF_CONSTANT + 1 + ranks))


def _hit(passage: Passage, score: float) -> Hit:
    return Hit(doc=passage.doc, passage=passage.id, score=score, heading=passage.heading, text=passage.text)
