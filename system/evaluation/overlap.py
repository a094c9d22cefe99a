"""Overlap of an answer with its reference: BLEU-1 to BLEU-4 and ROUGE-L F1, from 0 to 1.

    overlap()                              -> Scorer of bleu-1, bleu-2, bleu-3, bleu-4 and rouge-l
    corpus_bleu(4, texts, references)      -> BLEU of all texts as one corpus, as papers report it

Sentence BLEU: sacrebleu, tokenizer 13a, case kept, effective order; the k-th order without a match counts 1 / 2^k
matches (smoothing ``exp``, NIST's; method 3 of Chen and Cherry 2014), since without smoothing most answers would be 0.
ROUGE-L: rouge-score, lower-cased, no stemming. The formulas stand in the two metric modules, which Hugging Face
``evaluate`` loads by their paths, so that nothing is ever fetched.
A low value is no fault in itself: a good answer may share few words with the reference. Compare variants, not cases.
Must not know gates, models or how an answer was made.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from system.cache import key_of
from system.errors import SettingsError
from system.evaluation.scorers import Grade, Inputs, Scorer
from system.models import cache_folder, file_sha256
from system.records import Complaint, Response

MODULES = Path(__file__).parent / "metric_modules"
BLEU_SETTINGS: dict[str, Any] = {"tokenize": "13a", "smooth_method": "exp"}
BLEU_ORDERS = (1, 2, 3, 4)
METRICS = (*(f"bleu-{order}" for order in BLEU_ORDERS), "rouge-l")


def overlap() -> Scorer:
    """The ruler of response.text against complaint.reference; a complaint without a reference is not measured."""
    return Scorer(METRICS, _signature(), _inputs, _compute)


def corpus_bleu(order: int, texts: Sequence[str], references: Sequence[str]) -> float:
    """BLEU-``order`` of all texts as one corpus, 0 to 1: counts are added up before they are divided.

    Differs from the mean of the sentences' BLEU: long answers weigh more, and hardly anything is smoothed.
    Raises ValueError for no texts or for unequal numbers of texts and references.
    """
    if not texts or len(texts) != len(references):
        raise ValueError(f"{len(texts)} texts and {len(references)} references; give one reference for each text")
    pairs = {"predictions": list(texts), "references": list(references)}
    return float(_module("bleu").compute(**pairs, order=order, corpus=True, **BLEU_SETTINGS)["bleu"][0])


def _inputs(response: Response, complaint: Complaint, official: str) -> Inputs | None:
    return (response.text, complaint.reference) if complaint.reference else None


def _compute(pairs: Sequence[Inputs]) -> Iterable[Grade]:
    if not pairs:
        return []
    texts = {"predictions": [text for text, _ in pairs], "references": [reference for _, reference in pairs]}
    columns = [_module("bleu").compute(**texts, order=order, **BLEU_SETTINGS)["bleu"] for order in BLEU_ORDERS]
    columns.append(_module("rouge_l").compute(**texts)["rouge-l"])
    return [Grade(values=dict(zip(METRICS, row, strict=True))) for row in zip(*columns, strict=True)]


def _source(name: str) -> Path:
    return MODULES / name / f"{name}.py"


@lru_cache(maxsize=1)
def _signature() -> str:
    from sacrebleu.metrics.bleu import BLEU

    ruler = BLEU(effective_order=True, **BLEU_SETTINGS)
    ruler.sentence_score("a", ["a"])  # sacrebleu states the number of references once it has seen them
    parts = [f"{name} {version(name)}" for name in ("evaluate", "rouge-score")]
    parts += [f"{path.name} {file_sha256(path)[:16]}" for path in (_source("bleu"), _source("rouge_l"), Path(__file__))]
    return f"overlap; sacrebleu {ruler.get_signature()}; {'; '.join(parts)}"


@lru_cache(maxsize=2)
def _module(name: str) -> Any:
    """A metric module, loaded once a process; ``evaluate`` takes seconds to import, so only what is computed waits."""
    import datasets  # type: ignore[import-untyped,unused-ignore]
    import evaluate  # type: ignore[import-untyped]

    # evaluate runs a copy of the file. It trusts a copy that it finds and hashes no comments, so the hash of the whole
    # files is in the path; and its own choice of path is in the home folder, which may be read-only.
    folder = (cache_folder() / "evaluate" / key_of(*(file_sha256(_source(n)) for n in ("bleu", "rouge_l")))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    before, evaluate.config.HF_MODULES_CACHE = evaluate.config.HF_MODULES_CACHE, folder
    try:
        module = evaluate.load(str(_source(name)), cache_dir=str(folder / "data"), keep_in_memory=True)
    finally:
        evaluate.config.HF_MODULES_CACHE = before
    copy = Path(inspect.getfile(type(module)))
    if file_sha256(copy) != file_sha256(_source(name)):  # left half written by a process that was killed
        raise SettingsError(f"{copy} is not a copy of {_source(name)}; delete the folder {folder}")
    return module
