"""The report's pages: prose and figures as a document; the short one for print, the long one with appendices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from system.evaluation.table import plain_cell, variants_of
from system.records import Action, Response, Verdict
from system.report.document import Block, Bullets, Document, Paragraph, Picture, Section, Table
from system.report.facts import Facts, ReportError
from system.report.gather import SHIPPED, Logs
from system.settings import read_toml
from system.variants import VARIANTS

PROSE = Path(__file__).with_name("prose.toml")
EXAMPLES = 5
DECISIONS = 24
COLUMNS = {
    "helpfulness": "helpfulness",
    "clarity": "clarity",
    "empathy": "empathy",
    "safety": "safety",
    "fact-coverage": "facts stated",
    "groundedness": "claims supported",
    "hard-rules": "break a rule",
}


class Words:
    """The prose, with its figures filled in and what it rests on checked."""

    def __init__(self, facts: Facts, path: Path = PROSE):
        self._facts = facts
        self._prose = read_toml(path)

    def title(self) -> str:
        """The document's title."""
        return self._facts.told(self._prose["title"])

    def subtitle(self) -> str:
        """The line below it."""
        return self._facts.told(self._prose["subtitle"])

    def findings(self) -> Bullets:
        """The top findings. Raises ReportError if a verdict that one rests on is another."""
        return Bullets([self._borne_out(finding) for finding in self._prose["finding"]])

    def paragraph(self, name: str) -> Paragraph:
        """The text of a table."""
        return Paragraph(self._borne_out(self._prose[name]))

    def bullets(self, name: str) -> Bullets:
        """The items of a table."""
        return Bullets([self._facts.told(item) for item in self._prose[name]["items"]])

    def _borne_out(self, table: Mapping[str, Any]) -> str:
        for need in table.get("needs", ()):
            name, _, wanted = need.partition(" = ")
            if (status := self._facts[name].status) != wanted:
                raise ReportError(f"the report's prose rests on {need}, and the run says {status}; mend {PROSE.name}")
        return self._facts.told(table["text"])


def short_report(words: Words, facts: Facts, logs: Logs, charts: Mapping[str, Path]) -> Document:
    """One to two pages."""
    return Document(
        words.title(),
        words.subtitle(),
        (
            Section("Summary", [words.findings()]),
            Section(
                "Architecture",
                [words.paragraph("architecture"), Picture(charts["flow"], "What the agent does with a message.", 0.6)],
            ),
            Section("Data", [words.paragraph("data")]),
            Section("How it is evaluated", [words.paragraph("setup")]),
            Section(
                "Variants",
                [
                    variant_table(facts),
                    Picture(
                        charts["variants"], "Every variant's figures with their intervals; dashed: what is required."
                    ),
                ],
            ),
            Section("Claims", [words.paragraph("claims"), claim_table(logs.verdicts, SHIPPED)]),
            Section("Parts", [words.paragraph("promptfoo"), words.paragraph("retrieval"), words.paragraph("tuning")]),
            Section(
                "Hyper-parameters",
                [
                    words.paragraph("search"),
                    Picture(
                        charts["search"], "The search's trials by learning rate: loss and helpfulness on dev.", 0.72
                    ),
                ],
            ),
            Section("Time", [words.paragraph("time"), latency_table(logs, SHIPPED)]),
            Section("What worked", [words.bullets("worked")]),
            Section("What is hard", [words.bullets("challenges")]),
            Section("What next", [words.bullets("recommendations")]),
        ),
    )


def variant_table(facts: Facts) -> Table:
    """Every variant with its main figures."""
    rows = []
    for variant in VARIANTS:
        cells = [facts.shown(f"{requirement}@{variant}") for requirement in COLUMNS]
        rows.append([f"**{variant}**" if variant == SHIPPED else variant, *cells])
    answers = facts.shown(f"hard-rules@{SHIPPED}", "n")
    return Table(
        ["variant", *COLUMNS.values()], rows, f"Grades of the local judge, 1 to 5; shares; answers of {answers}."
    )


def appendices(logs: Logs, charts: Mapping[str, Path]) -> tuple[Section, ...]:
    """What does not fit two pages."""
    shipped = [r for r in logs.run[SHIPPED] if r.id in logs.complaints]
    return (
        Section("Appendix: all verdicts", [verdict_table(logs.verdicts), claim_table(logs.verdicts)]),
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


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Requirements by variants."""
    own = [v for v in verdicts if " > " not in v.variant]
    cells = {(v.requirement, v.variant): plain_cell(v) for v in own}
    variants = variants_of(own)
    rows = [[r, *(cells.get((r, v), "") for v in variants)] for r in dict.fromkeys(v.requirement for v in own)]
    return Table(
        ["requirement", *variants],
        rows,
        "! missed, ? undecided; value (95 % interval), or cases breaking the rule / cases.",
    )


def claim_table(verdicts: Sequence[Verdict], better: str = "") -> Table:
    """Claims that one variant beats another; of one variant, if it is named."""
    chosen = [v for v in verdicts if " > " in v.variant and v.variant.startswith(better)]
    rows = [[v.requirement, v.variant, plain_cell(v), str(v.n)] for v in chosen]
    return Table(["claim", "variants", "difference", "n"], rows)


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


def latency_table(logs: Logs, variant: str = "") -> Table:
    """Milliseconds of every stage and variant, or of one, and the ratio that its budget limits."""
    rows = [
        [
            r["stage"],
            r["variant"],
            *(f"{1000 * r[p]:,.1f}" for p in ("p50", "p95", "p99")),
            f"{r['ratio']:.2f}",
            f"{r['budget']:g}",
            str(r["n"]),
        ]
        for r in logs.tables["reports/latency.json"]
        if variant in ("", r["variant"])
    ]
    return Table(["stage", "variant", "p50 (ms)", "p95 (ms)", "p99 (ms)", "ratio to reference", "budget", "n"], rows)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"
