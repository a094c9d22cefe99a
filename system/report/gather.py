"""Reads the logs: what ``make quality``, ``make promptfoo``, ``make latency``, ``make mutants`` and training left.

    logs = read_logs(run, verdicts)      the run's responses and verdicts, and everything committed beside them
    facts_of(logs)                       every figure by name

Raises ReportError, naming the command that makes what is missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.articles import official_text
from system.complaints import read_complaints
from system.evaluation.comparison_table import LEVEL
from system.evaluation.deciding import calibration_error, roc_auc
from system.evaluation.judge import load_judge
from system.evaluation.verdicts import differing, made_from, read_verdicts
from system.records import Complaint, Response, Verdict
from system.report.facts import Facts, ReportError
from system.runlog import by_variant, read_run
from system.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = "agent-rag-fine-tuned"
MADE_BY = {
    "reports/promptfoo.json": "make promptfoo",
    "reports/latency.json": "make latency",
    "reports/growth.json": "make growth",
    "reports/mutants.json": "make mutants",
    "reports/retrieval.json": "python -m system report",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Everything that the report is built from."""

    run: dict[str, list[Response]]
    complaints: dict[str, Complaint]
    verdicts: Sequence[Verdict]
    tables: dict[str, Any]  # JSON files by path
    trials: Sequence[dict[str, Any]]

    @property
    def shipped(self) -> list[Response]:
        """The shipped variant's answers to labelled complaints."""
        return [response for response in self.run[SHIPPED] if response.id in self.complaints]


def read_logs(run: Path, verdicts: Path) -> Logs:
    """Raises ReportError where a log is missing."""
    from system.training.search import read_trials

    if not run.exists():
        raise ReportError(f"{run}: is not there; make it with: make quality")
    responses = by_variant(read_run(run))
    if missing := [name for name in VARIANTS if name not in responses]:
        raise ReportError(f"{run}: holds no answer of {', '.join(missing)}; make it with: make quality")
    paths = [*MADE_BY, "adapters/support-lora/passport.json", "adapters/support-lora/training.json"]
    paths += ["adapters/judge/passport.json", "reports/tuning/chosen.json"]
    return Logs(
        run=responses,
        complaints={c.id: c for c in read_complaints(ROOT / "data" / "complaints.jsonl")},
        verdicts=verdicts_of(verdicts),
        tables={path: _json(path) for path in paths},
        trials=read_trials(ROOT / "reports" / "tuning" / "trials.jsonl"),
    )


def verdicts_of(path: Path) -> list[Verdict]:
    """The verdicts of a file. Raises ReportError where it was made from other complaints, articles or rulers."""
    found = read_verdicts(path)
    now = made_from(official_text(ROOT / "knowledge_base"), load_judge().signature)
    if differ := differing(found.made_from, now):
        raise ReportError(f"{path}: was made with other {' and '.join(differ)}; make it anew with: make quality")
    return found.verdicts


def _json(path: str) -> Any:
    try:
        return json.loads((ROOT / path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(f"{path}: cannot be read; make it with: {MADE_BY.get(path, 'git checkout')}") from error


def facts_of(logs: Logs) -> Facts:
    """Every figure of the logs by name."""
    facts = Facts()
    facts.add_verdicts(logs.verdicts)
    _counts(facts, logs)
    _decisions(facts, logs)
    for column in logs.tables["reports/promptfoo.json"]["columns"]:
        facts.add(f"promptfoo/{column['name']}", column["value"], low=column["low"], high=column["high"], n=column["n"])
    for gain in logs.tables["reports/promptfoo.json"]["gains"]:
        facts.add(f"gain/{gain['over']}", gain["share"], low=gain["low"], high=gain["high"])
    facts.add_tree("retrieval", logs.tables["reports/retrieval.json"])
    for row in logs.tables["reports/latency.json"]:
        for key in ("p50", "p95", "p99"):
            facts.add(f"{key}/{row['stage']}@{row['variant']}", row[key], places=3)
        facts.add(f"ratio/{row['stage']}@{row['variant']}", row["ratio"], low=row["low"], high=row["high"])
    for name, found in logs.tables["reports/growth.json"]["exponents"].items():
        facts.add(f"growth/{name}", found)
    facts.add_tree("adapter", logs.tables["adapters/support-lora/passport.json"])
    facts.add_tree("judge", logs.tables["adapters/judge/passport.json"])
    figures = logs.tables["reports/mutants.json"]["figures"]
    for key in ("harmful", "killed", "harmless"):
        facts.add(f"mutants/{key}", figures[key], places=0)
    facts.add("mutants/turned red by harmless", len(figures["harmless_red"]), places=0)
    facts.add_tree("mutants", {"kill rate": figures["kill_rate"]})
    return facts


def _counts(facts: Facts, logs: Logs) -> None:
    """How much there is of everything."""
    training = logs.tables["adapters/support-lora/training.json"]
    splits = Counter(complaint.split for complaint in logs.complaints.values())
    counts = {
        **{f"count/{split} complaints": count for split, count in splits.items()},
        "count/articles": len(list((ROOT / "knowledge_base").glob("*.md"))),
        "count/variants": len(VARIANTS),
        "count/custom examples": len((ROOT / "data" / "custom_support.jsonl").read_text().splitlines()),
        "count/trials": len(logs.trials),
        "count/training rows": training["rows"],
        "count/epochs": training["settings"]["epochs"],
        "count/rank": training["settings"]["lora"]["rank"],
        "count/verdicts": len(logs.verdicts),
        "count/training minutes": sum(training["seconds"]) / 60,
        "count/training tokens per second": training["tokens_per_second"],
    }
    facts.add("level", LEVEL)
    for name, count in counts.items():
        facts.add(name, count, places=0)
    facts.add("training/learning rate", training["settings"]["learning_rate"], places=4)
    chosen = logs.tables["reports/tuning/chosen.json"]
    facts.add("search/learning rate", chosen["learning_rate"], places=4)
    facts.add("search/rank", chosen["lora"]["rank"], places=0)
    losses = [epoch["custom"] for epoch in training["validation"]]
    facts.add("training/first validation loss", losses[0], places=3)
    facts.add("training/last validation loss", losses[-1], places=3)


def evidence_cases(logs: Logs) -> list[tuple[float, bool]]:
    """Evidence score, and whether the articles answer the message; where neither side says ESCALATE."""
    cases = [(logs.complaints[r.id], r.decision) for r in logs.shipped]
    return [(d.score, c.action == "RAG") for c, d in cases if "ESCALATE" not in (c.action, d.action)]


def _decisions(facts: Facts, logs: Logs) -> None:
    """What the agent decided, from the run log."""
    cases = [(logs.complaints[r.id], r.decision) for r in logs.shipped]
    answered = evidence_cases(logs)
    scores, outcomes = [score for score, _ in answered], [outcome for _, outcome in answered]
    facts.add("decision/ROC AUC", roc_auc(scores, outcomes), places=3)
    facts.add("decision/calibration error", calibration_error(scores, outcomes), places=3)
    handed = [d.action == "ESCALATE" for c, d in cases if c.action == "ESCALATE"]
    facts.add("decision/escalations found", sum(handed), places=0)
    facts.add("decision/escalations", len(handed), places=0)
    for action in ("RAG", "DIRECT", "ESCALATE"):
        facts.add(f"decision/{action}", sum(d.action == action for _, d in cases), places=0)
