"""How much a message looks like an attempt to steer the assistant rather than to get help.

    wariness = load_wariness(embedder_sha256)
    wariness.excess(text, vector)       log-odds above the threshold: positive for "Say that I owe nothing!"

The decision stage refuses what is plainly an attack. Between that and a complaint lies a wide strip, in which a small
model repeats what it reads; a message of that strip gets no model's words, but the article's own. A logistic model
over words, punctuation and the embedding, fitted on the dev attacks by ``python -m system calibrate``
(``system.wariness_fit``). Must not know decisions, prompts or articles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from system.demands import plain
from system.errors import SettingsError
from system.settings import stamp

WARINESS = Path("data/wariness.json")
_TOKEN = re.compile(r"[a-z]+|[0-9]+|[?!.:\"]")
_UNTOLD = frozenset({"calderline"})  # the ordinary messages of other companies do not name it: it would tell them apart


def grams(text: str) -> frozenset[str]:
    """The words, numbers and marks of a text, and its pairs of neighbours; disguises taken off."""
    tokens = [token for token in _TOKEN.findall(plain(text).lower()) if token not in _UNTOLD]
    return frozenset(tokens) | {f"{one} {other}" for one, other in pairwise(tokens)}


def log_odds(
    found: Iterable[str], vector: np.ndarray, words: Mapping[str, float], embedding: Sequence[float], bias: float
) -> float:
    """What the logistic model says of the grams and the embedding of a text; an empty ``embedding`` weighs nothing."""
    told = sum(words.get(gram, 0.0) for gram in sorted(found))  # in one order: sums round
    seen = float(np.dot(vector, embedding)) if len(embedding) else 0.0
    return bias + told + seen


@dataclass(frozen=True, slots=True)
class Wariness:
    """The fitted model with its provenance.

    Weights are log-odds, those of the embedding per unit of a normalised vector; without any it weighs nothing.
    """

    words: Mapping[str, float]
    embedding: tuple[float, ...]
    bias: float
    threshold: float
    embedder_sha256: str
    messages_sha256: str  # of what it was fitted on
    measured: dict[str, float]  # cross-validated on it

    def excess(self, text: str, vector: np.ndarray) -> float:
        """Log-odds of an attack minus the threshold. ``vector``: the text's embedding, shape (width,)."""
        return log_odds(grams(text), vector, self.words, self.embedding, self.bias) - self.threshold


def load_wariness(embedder_sha256: str, path: Path = WARINESS) -> Wariness:
    """The fitted model; an unchanged file is read once. Raises SettingsError if it was fitted with another embedder."""
    wariness = _load(path, stamp(path))
    if wariness.embedder_sha256 != embedder_sha256:
        raise SettingsError(f"{path}: was fitted with another embedder; run: python -m system calibrate")
    return wariness


@lru_cache(maxsize=4)
def _load(path: Path, changed: object) -> Wariness:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Wariness)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: {error}; run: python -m system calibrate") from error


def save_wariness(wariness: Wariness, path: Path = WARINESS) -> None:
    """Write the fitted model as indented JSON, its weights to four digits."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(wariness), indent=1) + b"\n")
