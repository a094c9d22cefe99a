"""Likeness of meaning between an answer and its reference: BERTScore precision, recall and F1.

    bertscore()                                        -> Scorer
    python -m system.evaluation.semantic choose-layer  -> reports/bertscore_layers.json, from which LAYER is taken

Each token of one text is matched with the token of the other whose vector is most alike (cosine). Precision is the
mean over the answer's tokens, recall over the reference's, F1 = 2PR / (P + R) (Zhang et al. 2020, ICLR, arXiv
1904.09675). By the authors' library, with the embedder's vectors after LAYER layers, no idf weights, no rescaling:
mostly 0.4 to 1, and only differences mean anything. Texts beyond 512 tokens are cut. An answer without words scores 0.

LAYER was chosen on the references of the dev complaints alone: how often F1 puts the better of two texts first, by
question (``questions``; 30 of facts, 1147 of topic, 144 of words; in reports/bertscore_layers.json):

    layer      1      2      3      4      5      6
    facts   1.000  1.000  1.000  1.000  0.933  0.900
    topic   0.930  0.941  0.953  0.952  0.909  0.932
    words   0.938  1.000  1.000  1.000  1.000  1.000

Layers 3 and 4 are one case in a thousand apart; 3 is the faster. The last layers were trained to be alike for texts on
one topic, and lose the figures.

A changed fact moves the score little: what is right and what is not, ``system.evaluation.coverage`` tells.
Must not know gates or how an answer was made. torch is imported when a pair is first scored.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from system.evaluation.scorers import Grade, Inputs, Scorer
from system.models import ModelSource, cache_folder, file_sha256, resolve_embedder, write_atomically
from system.records import Complaint, Response

METRICS = ("bertscore-precision", "bertscore-recall", "bertscore-f1")
LAYER = 3
CHUNK = 64  # pairs at a time: bounds the memory, and moves the progress bar
BATCH = 32  # texts in one pass of the model
LONG = 200  # pairs from which on a progress bar is shown
ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "reports" / "bertscore_layers.json"


def bertscore(layer: int = LAYER, embedder: str | None = None) -> Scorer:
    """The ruler of response.text against complaint.reference; a complaint without a reference is not measured.

    ``embedder`` is a folder or Hub name, by default the embedded model. Raises ModelError where there is none.
    """
    source = resolve_embedder(embedder)
    libraries = "; ".join(f"{name} {version(name)}" for name in ("bert-score", "transformers", "torch"))
    signature = (
        f"bertscore; {libraries}; model {source.name} {source.sha256}; layer {layer}; no idf; no rescaling; "
        f"{Path(__file__).name} {file_sha256(Path(__file__))[:16]}"
    )
    return Scorer(METRICS, signature, _inputs, lambda pairs: _compute(source, layer, pairs))


def _inputs(response: Response, complaint: Complaint, official: str) -> Inputs | None:
    return (response.text, complaint.reference) if complaint.reference else None


def _compute(source: ModelSource, layer: int, pairs: Sequence[Inputs]) -> Iterator[Grade]:
    # The library cannot encode an empty text with this version of transformers.
    full = [n for n, pair in enumerate(pairs) if all(re.search(r"\w", text) for text in pair)]
    scores = dict(zip(full, _score(source, layer, [pairs[n] for n in full]), strict=True))
    for n in range(len(pairs)):
        # Rounded, because the last digits of a float32 vary with the batch that a pair happens to be in.
        values = [round(float(value), 6) for value in scores[n]] if n in scores else [0.0] * len(METRICS)
        why = "" if n in scores else "a text without words is like nothing"
        yield Grade(values=dict(zip(METRICS, values, strict=True)), explanation=why)


def _score(source: ModelSource, layer: int | None, pairs: Sequence[Inputs]) -> list[Any]:
    """Precision, recall and F1 of each pair: a tensor of shape (3,), or (layers + 1, 3) for layer None."""
    if not pairs:
        return []
    from tqdm import tqdm

    model, tokenizer, library = _load(source.location, layer)
    weights = defaultdict(lambda: 1.0, {tokenizer.cls_token_id: 0.0, tokenizer.sep_token_id: 0.0})
    # By reference: the library embeds a text once in a chunk, and the answers of all variants share a reference.
    order = sorted(range(len(pairs)), key=lambda n: (len(pairs[n][1]), pairs[n][1], len(pairs[n][0])))
    found: list[Any] = [None] * len(pairs)
    for first in tqdm(range(0, len(order), CHUNK), "BERTScore", file=sys.stderr, disable=len(pairs) <= LONG):
        part = order[first : first + CHUNK]
        texts, references = [pairs[n][0] for n in part], [pairs[n][1] for n in part]
        scores = library.bert_cos_score_idf(
            model, references, texts, tokenizer, weights, False, BATCH, "cpu", all_layers=layer is None
        )
        for n, score in zip(part, scores if layer is not None else scores.transpose(0, 1), strict=True):
            found[n] = score
    return found


@lru_cache(maxsize=1)
def _load(location: str, layer: int | None) -> tuple[Any, Any, Any]:
    """The embedder cut after ``layer`` layers (None: all, with each layer's vectors), its tokenizer, the library."""
    # bert-score imports matplotlib, which would write its list of fonts to the home folder.
    os.environ.setdefault("MPLCONFIGDIR", str((cache_folder() / "matplotlib").resolve()))
    import torch
    import transformers
    from bert_score import utils  # type: ignore[import-untyped]

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # Not the library's BERTScorer: it takes any path that holds "t5" for a T5 model.
    model: Any = transformers.AutoModel.from_pretrained(location, dtype=torch.float32).eval()
    if layer is not None:
        if not 1 <= layer <= len(model.encoder.layer):
            raise ValueError(f"layer {layer} of {location}: give 1 to {len(model.encoder.layer)}")
        model.encoder.layer = model.encoder.layer[:layer]
    return model, transformers.AutoTokenizer.from_pretrained(location), utils


# --- choice of the layer ---


def _changed(text: str, facts: Iterable[str]) -> str:
    """The text with each of the facts made another: every digit of it counted up by three."""
    for fact in facts:
        other = re.sub(r"\d", lambda digit: str((int(digit.group()) + 3) % 10), fact)
        text = text.replace(fact, other)
    return text


def questions(complaints: Sequence[Complaint]) -> Iterator[tuple[str, str, str, str]]:
    """(question, reference, better text, worse text): triples that a good ruler puts in this order.

    topic: a paraphrase's reference is better than that of another problem of the same category;
    facts: a paraphrase's reference is better than itself with the figures that both share changed;
    words: the reference with its sentences in another order is better than with its words in another order.
    """
    from system.sentences import split_sentences

    draw = random.Random(0)
    for one in complaints:
        sentences, words = split_sentences(one.reference), one.reference.split()
        if len(sentences) > 1:
            mixed = " ".join(draw.sample(sentences, len(sentences)))
            yield "words", one.reference, mixed, " ".join(draw.sample(words, len(words)))
        for twin in (c for c in complaints if c.cluster == one.cluster and c.id != one.id):
            shared = [fact for fact in one.facts if fact in twin.reference and re.search(r"\d", fact)]
            if shared:
                yield "facts", one.reference, twin.reference, _changed(twin.reference, shared)
            for other in (c for c in complaints if c.category == one.category and c.cluster != one.cluster):
                yield "topic", one.reference, twin.reference, other.reference


def choose_layer(complaints: Sequence[Complaint], source: ModelSource) -> dict[str, Any]:
    """By layer, how often F1 puts the better text first, by question and on average; and the best layer."""
    triples = list(questions(complaints))
    pairs = list(dict.fromkeys((text, ref) for _, ref, *texts in triples for text in texts))
    f1 = {pair: score[:, 2].tolist() for pair, score in zip(pairs, _score(source, None, pairs), strict=True)}
    right: dict[str, list[list[bool]]] = defaultdict(list)
    for question, ref, better, worse in triples:
        right[question].append([a > b for a, b in zip(f1[better, ref], f1[worse, ref], strict=True)])
    rows = []
    for layer in range(1, len(f1[pairs[0]])):
        shares = {name: sum(row[layer] for row in found) / len(found) for name, found in sorted(right.items())}
        rows.append({"layer": layer, **shares, "mean": sum(shares.values()) / len(shares)})
    best = max(rows, key=lambda row: row["mean"])
    return {"best": best["layer"], "n": {name: len(found) for name, found in right.items()}, "layers": rows}


def main(arguments: Sequence[str]) -> int:
    """``choose-layer``: measure the layers on the dev references and write the report."""
    from system.complaints import read_complaints

    if list(arguments) != ["choose-layer"]:
        print("usage: python -m system.evaluation.semantic choose-layer", file=sys.stderr)
        return 2
    data, source = ROOT / "data" / "complaints.jsonl", resolve_embedder()
    report = choose_layer(read_complaints(data, "dev"), source)
    report |= {"data": file_sha256(data), "split": "dev", "model": source.name, "model_sha256": source.sha256}
    write_atomically(REPORT, json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
