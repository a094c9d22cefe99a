"""Fills a run log: asks an assistant for what the log does not hold yet, and notes each decision beside it.

    answer_into(Path("run.jsonl"), Path("decisions.jsonl"), assistant, complaints, variants)

Apart from ``system.runlog``, which only reads, because whoever replays a log needs no assistant. Imports none either:
it is given one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from system.records import Complaint, Response
from system.rows import LineWriter
from system.runlog import read_usable

if TYPE_CHECKING:  # the command line is up before an assistant is needed
    from system.assistant import Assistant, Draft
    from system.variants import Variant


def answer_into(
    out: Path, log: Path, assistant: Assistant, complaints: Sequence[Complaint], variants: Iterable[Variant]
) -> None:
    """Answer what a run log does not hold yet; every response is on disk before the next one is awaited."""
    from tqdm import tqdm

    done = read_usable(out)
    drafts: list[Draft] = []
    for variant in variants:
        keys = assistant.keys(variant, complaints)
        missing = [c for c, key in zip(complaints, keys, strict=True) if (c.id, key) not in done]
        drafts += assistant.drafts(missing, variant) if missing else []
    with LineWriter(out) as writer, LineWriter(log) as decisions:
        for response in tqdm(assistant.answer(drafts), total=len(drafts), unit="answer", disable=len(drafts) < 2):
            writer.write(response)
            decisions.write(decision_line(response, assistant.company_values))


def decision_line(response: Response, ours: Collection[str] = ()) -> dict[str, Any]:
    """The decision log's line: what was decided about which complaint, why, and what was said.

    Personal data is masked; ``ours`` are the company's own numbers and links, which stay.
    """
    from system.privacy import mask  # its patterns take a tenth of a second, which most commands need not spend

    complaint = mask(response.complaint, ours)
    return {
        "time": response.time,
        "id": response.id,
        "variant": response.variant,
        "action": response.decision.action,
        "reason": complaint.hide(response.decision.reason),
        "score": response.decision.score,
        "threshold": response.decision.threshold,
        "signals": response.decision.signals,
        "hits": [{"passage": hit.passage, "score": hit.score} for hit in response.hits],
        "response": complaint.hide(response.text),
    }
