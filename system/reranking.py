"""A second look at what a retriever found: a cross-encoder reads complaint and passage together and orders anew.

    reranker = Reranker(CachedPairs(CrossEncoder(name), open_cache()), make_retriever("hybrid", index))
    reranker.search(texts, 5)            the 5 best of the 20 that hybrid retrieval found

An embedder has read a passage before it knows the complaint; a cross-encoder weighs every word of one against every
word of the other (Nogueira and Cho 2019), which is too slow for all passages. Any sentence-transformers cross-encoder
with one score will do, by folder or Hub name. It is loaded when the first pair comes that the cache does not know.
Must not know decisions, prompts, labels or how the passages were found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

import msgspec
import numpy as np

from system.cache import Cache, key_of, made_by
from system.embeddings import LIBRARIES
from system.errors import ModelError
from system.models import resolve_embedder
from system.records import Hit
from system.retrieval import Retriever, Where

DEPTH = 20  # passages that are read again, unless more are asked for
BATCH = 32  # pairs at a time

Pair = tuple[str, str]  # complaint, passage


class ScorePairs(Protocol):
    """Says how well a passage answers a text."""

    @property
    def sha256(self) -> str:
        """Hash of the model; scores are saved under it and never served for another model."""
        ...

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Scores of the pairs, shape (pairs,), on a scale of the model's own; higher is better."""
        ...


class _Config(msgspec.Struct):
    """What a model says of itself."""

    architectures: tuple[str, ...] = ()
    id2label: dict[str, str] = msgspec.field(default_factory=lambda: {"0": "LABEL_0", "1": "LABEL_1"})  # transformers'


class CrossEncoder:
    """A sentence-transformers cross-encoder with one score, by folder or Hub name.

    Raises ModelError for a model that cannot be found, and for one without a single score: an embedder, for instance,
    would be given a random one.
    """

    def __init__(self, name: str):
        self.source = resolve_embedder(name)
        self.sha256 = self.source.sha256
        try:
            content = msgspec.json.decode((Path(self.source.location) / "config.json").read_bytes(), type=_Config)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelError(
                f"reranker {name!r}: has no readable config.json ({error}); give a cross-encoder"
            ) from error
        kind, scores = (*content.architectures, "nothing")[0], len(content.id2label)
        if not kind.endswith("ForSequenceClassification") or scores != 1:
            raise ModelError(f"reranker {name!r}: is {kind} with {scores} scores; give a cross-encoder with one score")

    @cached_property
    def _score(self) -> Callable[..., np.ndarray]:
        import torch
        import transformers
        from sentence_transformers import CrossEncoder as Model

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model = Model(self.source.location, device="cpu")
        # As the model says it: a sigmoid makes equals of all scores far from 0.
        model.activation_fn = torch.nn.Identity()
        return cast("Callable[..., np.ndarray]", model.predict)

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """See ScorePairs; float32, logits."""
        return self._score(list(pairs), batch_size=BATCH, show_progress_bar=False)


class CachedPairs:
    """A ScorePairs that asks another one only for the pairs that the cache does not know, all of them at once."""

    def __init__(self, scorer: ScorePairs, cache: Cache):
        self._scorer = scorer
        self._cache = cache

    @property
    def sha256(self) -> str:
        """See ScorePairs."""
        return self._scorer.sha256

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """See ScorePairs; float32, as stored."""
        made = made_by("reranking", LIBRARIES)
        keys = [key_of(self.sha256, made, pair) for pair in pairs]
        stored = zip(keys, self._cache.get_many("rerank", keys), strict=True)
        scores = {key: np.frombuffer(value, dtype="<f4")[0] for key, value in stored if value is not None}
        missing = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in scores}
        if missing:
            made_now = np.asarray(self._scorer(list(missing.values())), dtype="<f4")
            scores |= zip(missing, made_now, strict=True)
            self._cache.put_many("rerank", {key: scores[key].tobytes() for key in missing})
        return np.array([scores[key] for key in keys], dtype=np.float32)


class Reranker:
    """A Retriever that takes the first hits of another one and orders them by a cross-encoder."""

    def __init__(self, scorer: ScorePairs, retriever: Retriever, depth: int = DEPTH):
        self._scorer = scorer
        self._retriever = retriever
        self._depth = depth

    def search(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Retriever; the score is the cross-encoder's, and ties go to what was found first."""
        found = self._retriever.search(texts, max(k, self._depth), where)
        pairs = [(text, read_text(hit)) for text, hits in zip(texts, found, strict=True) for hit in hits]
        scores = iter(self._scorer(pairs))  # of all texts at once: full batches
        result = []
        for hits in found:
            rescored = [replace(hit, score=float(next(scores))) for hit in hits]
            result.append(sorted(rescored, key=lambda hit: -hit.score)[:k])
        return result


def read_text(hit: Hit) -> str:
    """What the cross-encoder reads of a passage: its heading, which names the subject, and its text."""
    return f"{hit.heading}\n{hit.text}"
