"""The appendices: all verdicts, decisions, answers, passports and mutants, as tables and charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from system.cache import open_cache
from system.evaluation.comparison_table import Cell, build
from system.evaluation.gatefile import load_gates
from system.evaluation.measuring import Rulers
from system.evaluation.table import by_variant, spread
from system.records import Action, Response, Verdict
from system.report.document import Block, Paragraph, Picture, Section, Table
from system.report.facts import Facts
from system.report.gather import ROOT, SHIPPED, Logs
from system.report.pages import claim_table, latency_table
from system.variants import VARIANTS

TEXT_METRICS = ("bleu-1", "bleu-2", "bleu-3", "rouge-l", "bertscore-f1")
LIKELIHOOD = "reference_log_likelihood"
GATES = ROOT / "tests_quality" / "gates.toml"
EXAMPLES = 5
DECISIONS = 24


def appendices(logs: Logs, charts: Mapping[str, Path]) -> tuple[Section, ...]:
    """What does not fit two pages."""
    shipped = logs.shipped
    return (
        Section("Appendix: all verdicts", [verdict_table(logs.verdicts), claim_table(logs.verdicts)]),
        Section("Appendix: text metrics", [text_metrics(logs)]),
        Section(
            "Appendix: how the agent decides",
            [Picture(charts["flow"], "What the agent does with a message."), *decision_patterns(shipped, logs)],
        ),
        Section("Appendix: decisions", [decision_table(shipped, logs)]),
        Section("Appendix: example answers of all variants", example_answers(logs)),
        Section(
            "Appendix: is the evidence score calibrated?",
            [Picture(charts["reliability"], "Share of messages answered by the articles, over the evidence score.")],
        ),
        Section(
            "Appendix: training",
            [
                Picture(charts["training"], "Training and validation losses of the shipped adapter."),
                passport_table("adapters/support-lora/passport.json", logs),
            ],
        ),
        Section("Appendix: the judge's passport", [passport_table("adapters/judge/passport.json", logs)]),
        Section("Appendix: mutants", [mutant_table(logs)]),
        Section(
            "Appendix: time",
            [latency_table(logs), Picture(charts["growth"], "Seconds over size, with fitted exponents.")],
        ),
    )


def text_metrics(logs: Logs) -> Table:
    """Likeness to the references, and how likely they are, by variant with intervals."""
    rulers = Rulers(cache=open_cache())
    asked = {r.id for responses in logs.run.values() for r in responses}
    complaints = [complaint for case, complaint in logs.complaints.items() if case in asked]
    claimed = {v for c in load_gates(GATES).claims if c.metric == LIKELIHOOD for v in (c.better, c.worse)}
    scores = {
        metric: {
            variant: rulers.score(metric, logs.run[variant], complaints)[0]
            for variant in VARIANTS
            # A model must read every reference for this one: shown where a gate asked for it, and so has paid.
            if metric != LIKELIHOOD or variant in claimed
        }
        for metric in (*TEXT_METRICS, LIKELIHOOD)
    }
    cells = build(scores, None).cells
    rows = [[v, *(_cell(cells.get((v, metric))) for metric in scores)] for v in VARIANTS]
    caption = f"Means; {LIKELIHOOD}: nats per token of the reference, the negative logarithm of its perplexity."
    return Table(["variant", *scores], rows, caption)


def _cell(cell: Cell | None) -> str:
    return "" if cell is None else "ERROR" if cell.value is None else spread(cell.value, cell.low, cell.high)


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Requirements by variants."""
    caption = "! missed, ? undecided; value (95 % interval), or cases breaking the rule / cases."
    return Table(*by_variant([v for v in verdicts if not v.is_claim]), caption)


def decision_patterns(responses: Sequence[Response], logs: Logs) -> list[Block]:
    """Actions by category, and against the labels."""
    actions = get_args(Action)
    by_category = Counter((logs.complaints[r.id].category, r.decision.action) for r in responses)
    by_label = Counter((logs.complaints[r.id].action, r.decision.action) for r in responses)
    categories = sorted({category for category, _ in by_category})
    return [
        Table(
            ["labelled", *(f"decided {a}" for a in actions)],
            [[a, *(str(by_label[a, b]) for b in actions)] for a in actions],
        ),
        Table(["category", *actions], [[c, *(str(by_category[c, a]) for a in actions)] for c in categories]),
    ]


def decision_table(responses: Sequence[Response], logs: Logs) -> Table:
    """Some of the agent's decisions with their reasons, spread over the run."""
    chosen = [responses[n * len(responses) // DECISIONS] for n in range(min(DECISIONS, len(responses)))]
    rows = [
        [r.id, _short(r.complaint, 120), r.decision.action, logs.complaints[r.id].action or "", r.decision.reason]
        for r in chosen
    ]
    return Table(["case", "message", "decided", "labelled", "reason"], rows)


def example_answers(logs: Logs) -> list[Block]:
    """Some messages with the answers of all variants."""
    by_id = {name: {r.id: r for r in responses} for name, responses in logs.run.items()}
    ids = [r.id for r in logs.run[SHIPPED] if r.prompt is not None]
    blocks: list[Block] = []
    for case in (ids[n * len(ids) // EXAMPLES] for n in range(EXAMPLES)):
        blocks.append(Paragraph(f"**{case}**: {by_id[SHIPPED][case].complaint}"))
        rows = [[name, by_id[name][case].text] for name in VARIANTS if case in by_id.get(name, {})]
        blocks.append(Table(["variant", "answer"], rows))
    return blocks


def passport_table(path: str, logs: Logs) -> Table:
    """Every figure of a passport."""
    facts = Facts()
    facts.add_tree("", logs.tables[path])
    rows = [[name.lstrip("/"), facts.shown(name), str(fact.n or "")] for name, fact in facts.figures.items()]
    return Table(["figure", "value (95 % interval)", "n"], rows)


def mutant_table(logs: Logs) -> Table:
    """What was broken, and whether the gate saw it."""
    rows = [
        [m["mutant"], m["broken"], m["requirement"], m["result"]]
        for m in logs.tables["reports/mutants.json"]["mutants"]
        if m["kind"] == "harmful"
    ]
    return Table(["mutant", "what is broken", "gate that must turn red", "result"], rows)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
