"""Sentence embeddings: texts in, unit vectors out, each text embedded once and for all.

    embed = CachedEmbed(Embedder(), open_cache())
    embed(["my bill", "my hub"])            float32, shape (2, width)

A model is loaded when the first text comes that the cache does not know. Must not know what is embedded or why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, cast

import numpy as np

from system.cache import Cache, key_of, made_by
from system.models import resolve_embedder

LIBRARIES = "sentence-transformers tokenizers torch transformers"
_WIDTH_BYTES = 4


class Embed(Protocol):
    """Turns texts into unit vectors, shape (texts, width)."""

    @property
    def sha256(self) -> str:
        """Hash of the model; vectors are saved under it and never served to another model."""
        ...

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of the texts, in their order."""
        ...


class Embedder:
    """all-MiniLM-L6-v2 or another sentence-transformers model, loaded at its first use."""

    def __init__(self, name: str | None = None):
        self.source = resolve_embedder(name)
        self.sha256 = self.source.sha256

    @cached_property
    def _model(self) -> Callable[..., np.ndarray]:
        import transformers
        from sentence_transformers import SentenceTransformer

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        return cast("Callable[..., np.ndarray]", SentenceTransformer(self.source.location, device="cpu").encode)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors, float32, shape (texts, width)."""
        return self._model(list(texts), normalize_embeddings=True, show_progress_bar=False, batch_size=32)


class CachedEmbed:
    """An Embed that asks another one only for the texts that the cache does not know, all of them at once."""

    def __init__(self, embed: Embed, cache: Cache):
        self._embed = embed
        self._cache = cache

    @property
    def sha256(self) -> str:
        """See Embed."""
        return self._embed.sha256

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """See Embed; float32, as stored."""
        if not texts:
            return self._embed(texts)
        made = made_by("embeddings", LIBRARIES)
        keys = [key_of(self.sha256, made, text) for text in texts]
        stored = zip(keys, self._cache.get_many("embedding", keys), strict=True)
        vectors = {key: vector for key, value in stored if (vector := _vector(value)) is not None}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in vectors}
        if missing:
            rows = np.asarray(self._embed(list(missing.values())), dtype="<f4")
            vectors |= zip(missing, rows, strict=True)
            width = rows.shape[1].to_bytes(_WIDTH_BYTES, "little")
            self._cache.put_many(
                "embedding", {key: width + row.tobytes() for key, row in zip(missing, rows, strict=True)}
            )
        return np.stack([vectors[key] for key in keys])


def _vector(value: bytes | None) -> np.ndarray | None:
    """The vector of a stored value; None if it is not whole or not of length 1, so that it is made anew."""
    if value is None or len(value) != _WIDTH_BYTES * (1 + int.from_bytes(value[:_WIDTH_BYTES], "little")):
        return None
    vector = np.frombuffer(value, dtype="<f4", offset=_WIDTH_BYTES)
    return vector if abs(float(vector @ vector) - 1.0) < 1e-3 else None
