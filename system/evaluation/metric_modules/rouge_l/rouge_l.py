"""ROUGE-L by rouge-score, as a metric module for Hugging Face ``evaluate``, loaded from this file by its path.

F1 of the longest common subsequence of words: P = LCS / words of the text, R = LCS / words of the reference,
F1 = 2PR / (P + R) (Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, with beta = 1). From 0 to 1.
Words are runs of a-z and 0-9 of the lower-cased text, without stemming.
Must not know who calls it: ``evaluate`` runs a copy of this file, in which nothing of the project can be relied on.
"""

from __future__ import annotations

from typing import Any

import datasets  # type: ignore[import-untyped,unused-ignore]
import evaluate  # type: ignore[import-untyped]
from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]


class RougeL(evaluate.Metric):  # type: ignore[misc]
    """ROUGE-L of every text."""

    def _info(self) -> Any:
        return evaluate.MetricInfo(
            description="ROUGE-L F1, computed by rouge-score, from 0 to 1.",
            citation="Lin 2004",
            inputs_description="One text and one reference a case.",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, list[float]]:
        """``{"rouge-l": [...]}``: a value a case."""
        ruler = RougeScorer(["rougeL"], use_stemmer=False)
        pairs = zip(references, predictions, strict=True)
        return {"rouge-l": [float(ruler.score(*pair)["rougeL"].fmeasure) for pair in pairs]}
