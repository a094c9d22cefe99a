"""What a prompt is worth: three templates, and to each an example or the advice to think in steps first.

    study_page(run, complaints, rulers) -> Markdown: every prompt's grades, then each variation against its template

The model is the base model without articles, so that nothing but the prompt differs; the complaints are the dev ones.
Knows scores and tables; must not know how answers were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from system.evaluation.comparison_table import build, render_markdown
from system.evaluation.measuring import Rulers
from system.evaluation.paired import PairedResult, compare_variants, holm
from system.records import Complaint, Response, Score

TEMPLATES = ("empathetic", "structured", "friendly")
VARIATIONS = ("few-shot", "step-by-step")
METRICS = ("empathy", "clarity", "helpfulness")
# (the variation, the template that it varies), as variants
PAIRS = tuple(
    (f"prompt-{template}+study/{template}-{variation}", f"prompt-{template}")
    for template in TEMPLATES
    for variation in VARIATIONS
)


def study_page(run: Mapping[str, Sequence[Response]], complaints: Sequence[Complaint], rulers: Rulers) -> str:
    """The templates beside each other, then what each variation changes, corrected by Holm over all of them."""
    names = list(dict.fromkeys(name for pair in PAIRS for name in reversed(pair)))
    scores: dict[str, dict[str, list[Score]]] = {
        metric: {name: rulers.score(metric, run[name], complaints)[0] for name in names}
        for metric in (*METRICS, "hard_rules")
    }
    results = [compare_variants(scores[metric], metric, [pair])[0] for metric in METRICS for pair in PAIRS]
    rows = ["| grade | prompt | against | change | p, corrected |", "| --- | --- | --- | --- | --- |"]
    rows += [_row(result) for result in holm(results)]
    table = render_markdown(build(scores, "prompt-empathetic"))
    return (
        f"{len(complaints)} dev complaints, base model.\n\n{table}\n## Against its own template\n\n"
        + "\n".join(rows)
        + "\n"
    )


def _row(result: PairedResult) -> str:
    higher = result.p <= result.p_counter
    p = result.p_holm if higher else result.p_counter_holm
    sure = p is not None and p <= 0.025  # either direction was open, so each has half of the 5 %
    mark = ("▲" if higher else "▼") if sure else ""
    change = f"{result.difference:+.2f} ({result.low:+.2f} to {result.high:+.2f}) {mark}".rstrip()
    return f"| {result.metric} | `{result.better}` | `{result.worse}` | {change} | {p:.3g} |"
