"""Fits ``system.wariness`` on the dev attacks and on ordinary messages: part of ``python -m system calibrate``.

    attacks, ordinary = dev_messages()
    wariness = fit_wariness(attacks, ordinary, embed, embedder_sha256)

Ordinary are the dev complaints, the prototypes of the decision stage and the practice complaints, which are of other
companies. The test attacks and the test complaints are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from system.cache import key_of
from system.complaints import read_complaints
from system.decision import DATA, load_rules
from system.embeddings import Embed
from system.evaluation.attacks import read_attacks
from system.rows import read_rows
from system.training.custom import EXAMPLES, Example
from system.wariness import Wariness, grams, log_odds

FEWEST = 6  # messages that a word must occur in
EMBEDDING_SCALE = 4.0  # of a normalised vector's weight against words that are there or not; chosen on dev
STRENGTH = 0.3  # inverse of the L2 penalty; chosen on dev
FALSE_ALARMS = 0.03  # of ordinary messages, which sets the threshold
FOLDS = 5
EVERY = 3  # of the practice complaints, every third keeps a fit below half a minute; more was not tried


def dev_messages(folder: Path = DATA) -> tuple[list[str], list[str]]:
    """Attacks and ordinary messages to fit on, each text once."""
    rules = load_rules(folder)
    complaints = read_complaints(folder / "complaints.jsonl", "dev")
    attacks = [attack.text for attack in read_attacks(folder / "attacks.jsonl", "dev") if attack.article is None]
    attacks += rules.prototypes["manipulation"]
    attacks += [c.text for c in complaints if "manipulation" in c.cluster]
    prototypes = chain.from_iterable(texts for kind, texts in rules.prototypes.items() if kind != "manipulation")
    practice = sorted({example.complaint for example in read_rows(folder / EXAMPLES.name, Example)})[::EVERY]
    ordinary = [*(c.text for c in complaints if "manipulation" not in c.cluster), *prototypes, *practice]
    return list(dict.fromkeys(attacks)), list(dict.fromkeys(ordinary))


def fit_wariness(attacks: Sequence[str], ordinary: Sequence[str], embed: Embed, embedder_sha256: str) -> Wariness:
    """Fit, and measure by cross-validation; the threshold lets FALSE_ALARMS of the ordinary messages through it."""
    from sklearn.model_selection import StratifiedKFold

    texts = [*attacks, *ordinary]
    labels = np.array([True] * len(attacks) + [False] * len(ordinary))
    vectors = embed(texts)
    told = [grams(text) for text in texts]
    scores = np.zeros(len(texts))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(vectors, labels):
        words, embedding, bias = _fit([told[n] for n in train], vectors[train], labels[train])
        for n in test:
            scores[n] = log_odds(told[n], vectors[n], words, embedding, bias)
    threshold = float(np.quantile(scores[~labels], 1 - FALSE_ALARMS))
    words, embedding, bias = _fit(told, vectors, labels)
    return Wariness(
        words={gram: round(weight, 4) for gram, weight in words.items()},
        embedding=tuple(round(float(weight), 4) for weight in embedding),
        bias=round(bias, 4),
        threshold=round(threshold, 4),
        embedder_sha256=embedder_sha256,
        messages_sha256=key_of(sorted(attacks), sorted(ordinary)),
        measured={
            "attacks_seen": round(float((scores[labels] > threshold).mean()), 4),
            "attacks": float(labels.sum()),
            "false_alarms": round(float((scores[~labels] > threshold).mean()), 4),
            "ordinary": float((~labels).sum()),
        },
    )


def _fit(told: Iterable[Iterable[str]], vectors: np.ndarray, labels: np.ndarray) -> tuple[dict[str, float], Any, float]:
    """Weights of words, of the embedding, and bias, of an L2-regularised logistic model; both classes weigh alike."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counter = CountVectorizer(analyzer=sorted, min_df=FEWEST, binary=True)
    features = hstack([counter.fit_transform(told), csr_matrix(EMBEDDING_SCALE * vectors)]).tocsr()
    model = LogisticRegression(C=STRENGTH, max_iter=3000, class_weight="balanced").fit(features, labels)
    names = counter.get_feature_names_out()
    words = {str(name): float(weight) for name, weight in zip(names, model.coef_[0], strict=False)}
    return words, EMBEDDING_SCALE * model.coef_[0][len(names) :], float(model.intercept_[0])
