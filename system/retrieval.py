"""From a complaint to passages: BM25, dense and hybrid retrieval over one index.

A retriever is anything with ``search``; the three here share a ``Store``: the ``Index`` in memory, whose parts are made
when they are first needed, or a database of vectors (``chroma_store.py``). A filter narrows a search to the passages of
some articles, titles or headings: ``{"doc": ["billing_faq"]}``. Must not know decisions, prompts, labels or how texts
are embedded.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from system.embeddings import Embed
from system.errors import KnowledgeBaseError, SettingsError
from system.records import Hit, Passage

RRF_CONSTANT = 60  # Cormack, Clarke and Buettcher 2009: reciprocal rank fusion, k = 60

FILTERS = ("doc", "title", "heading")  # fields of a passage that a search may be narrowed by

# A passage is left in if each field named has one of its values; what is left is ranked as if it were all there is,
# but words are weighed by how rare they are in the whole knowledge base.
Where = Mapping[str, Collection[str]]

# Words that a complaint and any article share; without them a match means something.
STOPWORDS = frozenset(
    "a about after again all am an and any are as at be because been before but by can could did do does for from get "
    "got had has have he her here him his how i if in is it its just me my no not now of on or our out she so some "
    "than that the their them then there they this to too up us was we were what when where which who why will with "
    "would you your".split()
)


class Retriever(Protocol):
    """Finds passages for texts."""

    def search(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
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


def read_filters(options: Iterable[str]) -> dict[str, list[str]]:
    """The filter that FIELD=VALUE options make: a field may be given several values.

    Raises SettingsError for an option of another form and for a field that passages do not have.
    """
    where: dict[str, list[str]] = {}
    for option in options:
        field, equals, value = option.partition("=")
        if not (equals and value):
            raise SettingsError(f"filter {option!r}: write FIELD=VALUE, such as doc=billing_faq")
        where.setdefault(field, []).append(value)
    check_filter(where)
    return where


def check_filter(where: Where) -> None:
    """Raise SettingsError if passages have no such field."""
    for field in where:
        if field not in FILTERS:
            raise SettingsError(f"filter {field!r}: passages have no such field; choose one of {', '.join(FILTERS)}")


class Store(ABC):
    """What retrievers search: passages, with the statistics of their words made on first use."""

    passages: tuple[Passage, ...]
    knowledge_hash: str
    embed: Embed

    @abstractmethod
    def dense_scores(self, texts: Sequence[str], where: Where | None = None) -> np.ndarray:
        """Cosine similarities, shape (texts, passages); -inf for a passage that was not found or is left out."""

    @abstractmethod
    def nearest(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """The k hits of the highest cosine of each text."""

    @abstractmethod
    def best_cosines(self, vectors: np.ndarray) -> np.ndarray:
        """The highest cosine of any passage to each unit vector, shape (vectors,)."""

    @cached_property
    def _bm25(self):  # type: ignore[no-untyped-def]  # rank_bm25 has no types
        from rank_bm25 import BM25Okapi

        corpus = [words(indexed_text(p)) for p in self.passages]
        if not any(corpus):
            raise KnowledgeBaseError(
                "the articles hold no English word to search for; add some, or use --retriever dense"
            )
        return BM25Okapi(corpus)

    def lexical_scores(self, texts: Sequence[str], where: Where | None = None) -> np.ndarray:
        """BM25 scores, shape (texts, passages); -inf for a passage that the filter leaves out."""
        return self._narrowed(np.array([self._bm25.get_scores(words(text)) for text in texts]), where)

    def hits(self, scores: np.ndarray, k: int) -> list[list[Hit]]:
        """Turn a (texts, passages) matrix of scores into the k best hits of each text; -inf is no hit."""
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [make_hit(self.passages[n], float(row[n])) for n in best if row[n] > -np.inf]
            for row, best in zip(scores, order, strict=True)
        ]

    def _narrowed(self, scores: np.ndarray, where: Where | None) -> np.ndarray:
        """The scores with -inf for passages that the filter leaves out."""
        if not where:
            return scores
        check_filter(where)
        kept = [all(getattr(p, field) in values for field, values in where.items()) for p in self.passages]
        return np.where(kept, scores, -np.inf)


class Index(Store):
    """A Store in memory: compares a text with every passage. Embeddings are made on first use."""

    def __init__(self, passages: Sequence[Passage], knowledge_hash: str, embedder: Embed):
        self.passages = tuple(passages)
        self.knowledge_hash = knowledge_hash
        self.embed = embedder

    @cached_property
    def embeddings(self) -> np.ndarray:
        """Unit vectors, shape (passages, width)."""
        return self.embed([indexed_text(passage) for passage in self.passages])

    def dense_scores(self, texts: Sequence[str], where: Where | None = None) -> np.ndarray:
        """See Store."""
        return self._narrowed(self.embed(texts) @ self.embeddings.T, where)

    def nearest(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Store."""
        return self.hits(self.dense_scores(texts, where), k)

    def best_cosines(self, vectors: np.ndarray) -> np.ndarray:
        """See Store; one vector at a time, so that a complaint's cosine does not depend on the others."""
        return np.array([(vector @ self.embeddings.T).max() for vector in vectors])


class LexicalRetriever:
    """BM25 (Robertson et al. 1994) over stemmed words; needs no model."""

    def __init__(self, index: Store):
        self._index = index

    def search(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Retriever; the score is BM25's."""
        return self._index.hits(self._index.lexical_scores(texts, where), k)


class DenseRetriever:
    """Cosine similarity of sentence embeddings."""

    def __init__(self, index: Store):
        self._index = index

    def search(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Retriever; the score is the cosine."""
        return self._index.nearest(texts, k, where)


class HybridRetriever:
    """Reciprocal rank fusion of BM25 and dense retrieval: sum of 1 / (60 + rank)."""

    def __init__(self, index: Store):
        self._index = index

    def search(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Retriever; the score is the fused one, at most 2 / 61."""
        lexical, dense = self._index.lexical_scores(texts, where), self._index.dense_scores(texts, where)
        # A passage that shares no word with the text was not found by BM25; its rank there is its place in the folder.
        by_words = np.where(lexical > 0, _reciprocal_ranks(lexical), 0.0)
        fused = by_words + np.where(dense > -np.inf, _reciprocal_ranks(dense), 0.0)
        return self._index.hits(np.where(lexical > -np.inf, fused, -np.inf), k)


def make_retriever(name: str, index: Store) -> Retriever:
    """The retriever of that name. Raises SettingsError for an unknown one."""
    kinds: dict[str, Callable[[Store], Retriever]] = {
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


def make_hit(passage: Passage, score: float) -> Hit:
    """A passage as a hit with this score."""
    return Hit(doc=passage.doc, passage=passage.id, score=score, heading=passage.heading, text=passage.text)
