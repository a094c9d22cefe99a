"""Retrieval from 100,000 passages, in Chroma and in memory: ``python -m system.scale``; writes reports/scale.json.

    python -m system.scale --passages 10000 --out FILE

Measured: indexing, disk, time of a search (median and 95th percentile, one complaint at a time, embedding left out),
and how many of the exact five hits Chroma's approximate graph finds. A passage is five sentences of the articles, three
of them of one passage. Its vector is the mean of its sentences' real vectors with a little noise: embedding 100,000
texts takes longer than all the rest and says nothing of a store. Searched for are the dev complaints, with their real
vectors. Not a test: time on an idle machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from system.assistant import Assistant
from system.cache import open_cache
from system.chroma_store import BATCH, DEPTH, GRAPH, open_store
from system.embeddings import Embed
from system.records import Complaint, Hit, Passage
from system.retrieval import Index, Store, indexed_text, make_retriever
from system.rows import read_rows, write_whole
from system.sentences import split_sentences

ROOT = Path(__file__).resolve().parents[1]
PASSAGES = 100_000
OWN, FOREIGN = 3, 2  # sentences of a passage: of one passage, and of any
NOISE = 0.1  # length of what is added to a unit vector, so that no two are the same
K = 5
SEED = 0


class Known:
    """An embedder that was told all vectors beforehand, so that no search waits for a model."""

    sha256 = "known"

    def __init__(self, vectors: dict[str, np.ndarray]):
        self._vectors = vectors

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """See Embed."""
        return np.stack([self._vectors[text] for text in texts])


def corpus(count: int, passages: Sequence[Passage], embed: Embed) -> tuple[list[Passage], np.ndarray]:
    """Passages recombined from the sentences of others, with unit vectors of shape (count, width)."""
    draw = np.random.default_rng(SEED)
    sentences = [(n, s) for n, p in enumerate(passages) for s in split_sentences(p.text)]
    vectors = embed([sentence for _, sentence in sentences])
    own = [[m for m, (owner, _) in enumerate(sentences) if owner == n] for n in range(len(passages))]
    made, rows = [], np.empty((count, vectors.shape[1]), dtype=np.float32)
    for n in range(count):
        source = int(draw.integers(len(passages)))
        picks = [*draw.choice(own[source], OWN), *draw.integers(len(sentences), size=FOREIGN)]
        noise = draw.normal(size=vectors.shape[1])
        row = vectors[picks].mean(axis=0)
        row = row / np.linalg.norm(row) + NOISE * noise / np.linalg.norm(noise)
        rows[n] = row / np.linalg.norm(row)
        text = " ".join(sentences[m][1] for m in picks)
        origin = passages[source]
        made.append(Passage(id=f"{origin.doc}#{n}", doc=origin.doc, title=origin.title, heading=f"No. {n}", text=text))
    return made, rows


def timed(store: Store, name: str, texts: Sequence[str]) -> tuple[dict[str, float], list[list[Hit]]]:
    """Milliseconds of a search for one text, median and 95th percentile; and what was found."""
    retriever = make_retriever(name, store)
    began = perf_counter()
    retriever.search([texts[0]], K)  # reads or builds what it searches in
    first = perf_counter() - began
    found, times = [], []
    for text in texts:
        began = perf_counter()
        found += retriever.search([text], K)
        times.append(1000 * (perf_counter() - began))
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2), "first_seconds": round(first, 2)}, found


def recall(found: Sequence[Sequence[Hit]], exact: Sequence[Sequence[Hit]]) -> float:
    """Share of the exact hits that were found."""
    shares = [
        len({h.passage for h in ours} & {h.passage for h in theirs}) / len(theirs)
        for ours, theirs in zip(found, exact, strict=True)
    ]
    return round(float(np.mean(shares)), 4)


def measure(count: int, queries: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures for so many passages and searches."""
    assistant = Assistant(knowledge_base=ROOT / "knowledge_base", cache=open_cache())
    complaints = [c for c in read_rows(ROOT / "data" / "complaints.jsonl", Complaint) if c.split == "dev"]
    texts = [complaint.text for complaint in complaints][:queries]
    passages, rows = corpus(count, assistant.passages, assistant.embed)
    vectors = dict(zip(map(indexed_text, passages), rows, strict=True))
    embed = Known(vectors | dict(zip(texts, assistant.embed(texts), strict=True)))
    figures: dict[str, Any] = {
        "passages": count,
        "searches": len(texts),
        "chroma": {"version": version("chromadb"), "graph": GRAPH, "batch": BATCH, "depth": DEPTH},
        "memory": {},
    }
    with TemporaryDirectory() as folder:
        began = perf_counter()
        kept = open_store(f"chroma:{folder}", embed).index(passages, f"scale {count}")
        seconds = perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        figures["chroma"] |= {
            "indexing_seconds": round(seconds, 1),
            "passages_per_second": round(count / seconds),
            "disk_megabytes": round(size / 1e6),
        }
        say(json.dumps(figures["chroma"]))
        in_memory = Index(passages, f"scale {count}", embed)
        for name in ("dense", "hybrid"):
            figures["memory"][name], exact = timed(in_memory, name, texts)
            figures["chroma"][name], found = timed(kept, name, texts)
            figures["chroma"][name][f"recall_at_{K}"] = recall(found, exact)
            say(f"{name}: memory {figures['memory'][name]}, chroma {figures['chroma'][name]}")
    return figures


def main() -> None:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m system.scale", description="Retrieval from many passages")
    parser.add_argument("--passages", type=int, default=PASSAGES, metavar="N")
    parser.add_argument("--queries", type=int, default=100, metavar="N")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "scale.json", metavar="FILE")
    options = parser.parse_args()
    figures = measure(options.passages, options.queries, lambda line: print(line, flush=True))
    write_whole(options.out, json.dumps(figures, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
