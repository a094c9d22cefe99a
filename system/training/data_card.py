"""What the training data is, in figures: counts, lengths, what was dropped and why.

print(data_card(curriculum))        also the table of docs/DATA.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from system.training.lessons import Curriculum
from system.training.sources import PUBLISHED

LICENCES = {
    "alpaca": "CC BY-NC 4.0",
    "hh_harmless": "MIT",
    "hh_helpful": "MIT",
    "bitext": "CDLA-Sharing-1.0",
    "cnn_dailymail": "Apache-2.0",
    "custom": "this project's",
}


def data_card(curriculum: Curriculum) -> str:
    """A Markdown table of every set and the reasons for what was dropped, one line each."""
    rows = [("set", "licence", "train", "validation", "dropped", "words of message", "words of reply")]
    kinds = Counter(f"custom {example.kind}" for example in curriculum.train)
    held_out = Counter(f"custom {example.kind}" for example in curriculum.held_out)
    for kind in sorted(kinds):
        chosen = [e for e in (*curriculum.train, *curriculum.held_out) if f"custom {e.kind}" == kind]
        lengths = _words([e.complaint for e in chosen]), _words([e.reply for e in chosen])
        rows.append((kind, LICENCES["custom"], str(kinds[kind]), str(held_out[kind]), "0", *lengths))
    for name, turns in curriculum.public.items():
        other = curriculum.held_out_public[name]
        all_turns = [*turns, *other]
        lengths = _words([turn.message for turn in all_turns]), _words([turn.reply for turn in all_turns])
        dropped = str(sum(curriculum.dropped[name].values()))
        rows.append((name, LICENCES[name], str(len(turns)), str(len(other)), dropped, *lengths))
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    lines = [head, f"|{'---|' * len(rows[0])}", *body, ""]
    for name, reasons in curriculum.dropped.items():
        told = "; ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        lines.append(f"{name} ({PUBLISHED[name][0]}), dropped: {told or 'nothing'}")
    lines.append(
        f"practice passages: {len(curriculum.passages)}, {_words([p.text for p in curriculum.passages.values()])} words"
    )
    return "\n".join(lines)


def _words(texts: Sequence[str]) -> str:
    """Median and range of the number of words."""
    counts = [len(text.split()) for text in texts]
    return f"{median(counts):.0f} ({min(counts)} to {max(counts)})" if counts else "none"
