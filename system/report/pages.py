"""The report's two pages: prose with its figures filled in, and the tables beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from system.evaluation.table import plain_cell
from system.records import Verdict
from system.report.document import Bullets, Document, Paragraph, Picture, Section, Table
from system.report.facts import Facts, ReportError
from system.report.gather import SHIPPED, Logs
from system.settings import read_toml
from system.variants import VARIANTS

PROSE = Path(__file__).with_name("prose.toml")
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


def claim_table(verdicts: Sequence[Verdict], better: str = "") -> Table:
    """Claims that one variant beats another; of one variant, if it is named."""
    chosen = [v for v in verdicts if v.is_claim and v.variant.startswith(better)]
    rows = [[v.requirement, v.variant, plain_cell(v), str(v.n)] for v in chosen]
    return Table(["claim", "variants", "difference", "n"], rows)


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
