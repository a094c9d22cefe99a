"""BLEU by sacrebleu, as a metric module for Hugging Face ``evaluate``, loaded from this file by its path.

BLEU-n = BP * exp(mean of log p_1 ... log p_n), p_i the clipped precision of i-grams and BP = min(1, exp(1 - r / c)) the
brevity penalty for c words against r in the reference (Papineni et al. 2002, ACL). From 0 to 1. A text of fewer than n
words is scored, as a sentence, over the orders that it has (effective order), so that a perfect short answer is 1.
Must not know who calls it: ``evaluate`` runs a copy of this file, in which nothing of the project can be relied on.
"""

from __future__ import annotations

from typing import Any

import datasets  # type: ignore[import-untyped,unused-ignore]
import evaluate  # type: ignore[import-untyped]
from sacrebleu.metrics.bleu import BLEU


class Bleu(evaluate.Metric):  # type: ignore[misc]
    """BLEU of every sentence, or of all of them as one corpus."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="BLEU up to a given order, computed by sacrebleu, from 0 to 1.",
            citation="Papineni et al. 2002; Post 2018",
            inputs_description="One text and one reference a case; order; corpus; sacrebleu's tokenize, smooth_method.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], order: int = 4, corpus: bool = False, **settings: Any
    ) -> dict[str, list[float]]:
        """``{"bleu": [...]}``: a value a case, or one value for the corpus."""
        ruler = BLEU(max_ngram_order=order, effective_order=not corpus, **settings)
        if corpus:
            scores = [ruler.corpus_score(list(predictions), [list(references)]).score]
        else:
            pairs = zip(predictions, references, strict=True)
            scores = [ruler.sentence_score(text, [reference]).score for text, reference in pairs]
        return {"bleu": [min(score / 100, 1.0) for score in scores]}  # rounding makes 100.00000000000004 of a match
