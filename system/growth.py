"""How cost grows with size: ``python -m system.growth``; writes reports/growth.json and reports/figures/growth.svg.

Retrieval of five passages for one complaint from 1,000, 10,000 and 100,000, embedding left out; hard rules and the gate
on 100, 1,000 and 10,000 stored answers. The exponent is the slope of log seconds over log size, by least squares: 1 is
proportional. Passages are drawn from the articles' words, vectors at random. Not a test: time on an idle machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from system.articles import official_text
from system.evaluation.gates import judge_zero
from system.evaluation.scores import score_all
from system.records import Complaint, Passage, Response
from system.retrieval import Index, make_retriever
from system.rows import write_whole
from system.runlog import read_run

ROOT = Path(__file__).resolve().parents[1]
PASSAGES = (1_000, 10_000, 100_000)
ANSWERS = (100, 1_000, 10_000)
WORDS = 80  # of a passage, about as many as an article's
WIDTH = 384  # of the embedder's vectors
ROUNDS = 5
LONG = 5.0  # seconds beside which a first run's warming up does not count


class RandomVectors:
    """An embedder without a model: unit vectors, the same for the same number of texts."""

    sha256 = "random"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of shape (texts, width)."""
        vectors: np.ndarray = np.random.default_rng(len(texts)).normal(size=(len(texts), WIDTH)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def seconds_of(work: Callable[[], object]) -> float:
    """Median time of the work, the first run left out; work that takes long is timed once."""
    times: list[float] = []
    while len(times) <= ROUNDS:
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
        if times[0] > LONG:
            return times[0]
    return median(times[1:])


def retrieval_growth() -> dict[str, list[tuple[int, float]]]:
    """By retriever: (passages, seconds)."""
    pool = official_text(ROOT / "knowledge_base").split()
    draw = np.random.default_rng(0)
    points: dict[str, list[tuple[int, float]]] = {"dense": [], "bm25": [], "hybrid": []}
    for size in PASSAGES:
        picks = draw.integers(len(pool), size=(size, WORDS))
        passages = [
            Passage(id=f"a#{n}", doc="a", title="", heading="", text=" ".join(pool[w] for w in row))
            for n, row in enumerate(picks)
        ]
        index = Index(passages, "random", RandomVectors())
        for name, found in points.items():
            retriever = make_retriever(name, index)
            retriever.search(["bill"], 1)  # builds what it searches in
            found.append((size, seconds_of(lambda r=retriever: r.search(["my bill is too high and late"], 5))))  # type: ignore[misc]
    return points


def gate_growth(answers: Sequence[Response]) -> list[tuple[int, float]]:
    """(stored answers, seconds) of all hard rules and the verdict; every answer's text is another."""
    official = official_text(ROOT / "knowledge_base")
    points = []
    for size in ANSWERS:
        complaints = [Complaint(id=f"C-{n}", text=answers[n % len(answers)].complaint) for n in range(size)]
        round_of = iter(range(10_000))

        def judge(complaints: list[Complaint] = complaints, round_of=round_of) -> object:  # type: ignore[no-untyped-def]
            again = next(round_of)  # rules remember what they judged; a new text each time keeps them honest
            responses = [
                replace(answers[n % len(answers)], id=c.id, text=f"{answers[n % len(answers)].text} It is {n} {again}.")
                for n, c in enumerate(complaints)
            ]
            scores, expected = score_all("hard_rules", responses, complaints, official)
            return judge_zero("hard-rules", "all", scores, expected=expected)

        points.append((size, seconds_of(judge)))
    return points


def exponent(points: Sequence[tuple[int, float]]) -> float:
    """Slope of log seconds over log size."""
    sizes, seconds = np.log([n for n, _ in points]), np.log([s for _, s in points])
    return float(np.polyfit(sizes, seconds, 1)[0])


def main() -> None:
    """Measure, write the figures, draw."""
    from system.report.charts import draw_growth

    stored = [r for r in read_run(ROOT / "runs" / "quality.jsonl") if r.variant == "agent-rag-fine-tuned"]
    points = {**retrieval_growth(), "gates": gate_growth(stored)}
    content = {"points": points, "exponents": {name: round(exponent(found), 3) for name, found in points.items()}}
    write_whole(ROOT / "reports" / "growth.json", json.dumps(content, indent=1).encode() + b"\n")
    draw_growth(content, ROOT / "reports" / "figures" / "growth.svg")
    print(json.dumps(content["exponents"]))


if __name__ == "__main__":
    main()
