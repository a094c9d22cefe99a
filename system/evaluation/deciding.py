"""How good the decisions are: accuracy, confusion, ROC AUC, calibration error, risk against coverage.

Takes decisions and labels; must not know how the decisions were made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

from system.evaluation.statistics import effective_n, rate_interval
from system.records import Action, Complaint, Decision

BINS = 5  # equal counts; with about 140 cases, more bins would measure noise


def calibration_error(probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal count (Nguyen and O'Connor 2015).

    Mean over the cases of |mean probability - share of true outcomes| of the case's bin. Raises ValueError if empty.
    """
    if not probabilities:
        raise ValueError("calibration error of no cases is not defined")
    parts = equal_bins(list(zip(probabilities, outcomes, strict=True)), bins)
    return sum(abs(sum(p for p, _ in part) - sum(y for _, y in part)) for part in parts) / len(probabilities)


def equal_bins(pairs: Sequence[tuple[float, bool]], bins: int = BINS) -> list[list[tuple[float, bool]]]:
    """Pairs of probability and outcome in order, in parts of equal count; empty parts are left out."""
    ordered = sorted(pairs)
    edges = [round(n * len(ordered) / bins) for n in range(bins + 1)]
    return [ordered[first:last] for first, last in pairwise(edges) if last > first]


def roc_auc(scores: Sequence[float], outcomes: Sequence[bool]) -> float:
    """Probability that a true case scores above a false one, ties half (Mann-Whitney).

    Raises ValueError if all outcomes are alike.
    """
    yes = [s for s, y in zip(scores, outcomes, strict=True) if y]
    no = [s for s, y in zip(scores, outcomes, strict=True) if not y]
    if not yes or not no:
        raise ValueError("ROC AUC needs true and false cases")
    return sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / (len(yes) * len(no))


def risk_coverage(confidences: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(coverage, risk) when only the most confident cases are decided, from the first to all (El-Yaniv 2010)."""
    order = sorted(range(len(right)), key=lambda n: -confidences[n])
    curve, wrong = [], 0
    for count, n in enumerate(order, start=1):
        wrong += not right[n]
        curve.append((count / len(order), wrong / count))
    return curve


def decision_report(complaints: Sequence[Complaint], decisions: Sequence[Decision]) -> str:
    """Everything about the decisions as Markdown. RAG against DIRECT is judged where neither side is ESCALATE."""
    right = [d.action == c.action for d, c in zip(decisions, complaints, strict=True)]
    size = effective_n([float(r) for r in right], [c.cluster for c in complaints])
    interval = rate_interval(sum(right), len(right), effective_n=size)
    table = Counter((c.action, d.action) for c, d in zip(complaints, decisions, strict=True))
    actions = get_args(Action)
    answered = [
        (d.score, c.action == "RAG")
        for c, d in zip(complaints, decisions, strict=True)
        if c.action != "ESCALATE" and d.action != "ESCALATE"
    ]
    scores, outcomes = [s for s, _ in answered], [y for _, y in answered]
    curve = risk_coverage([abs(s - 0.5) for s in scores], [(s >= 0.5) == y for s, y in answered])
    lines = [
        f"Accuracy {sum(right) / len(right):.3f} ({interval.low:.3f} to {interval.high:.3f}), n {len(right)}.",
        "",
        f"| labelled | {' | '.join(f'decided {a}' for a in actions)} |",
        f"| --- |{' --- |' * len(actions)}",
        *(f"| {label} | {' | '.join(str(table[label, a]) for a in actions)} |" for label in actions),
        "",
        f"Evidence score, RAG against DIRECT, n {len(answered)}: ROC AUC {roc_auc(scores, outcomes):.3f}, "
        f"expected calibration error {calibration_error(scores, outcomes):.3f} ({BINS} bins of equal count).",
        "",
        "| coverage, most confident first | risk |",
        "| --- | --- |",
    ]
    for share in (0.25, 0.5, 0.75, 0.9, 1.0):
        coverage, risk = curve[max(round(share * len(curve)) - 1, 0)]
        lines.append(f"| {coverage:.2f} | {risk:.3f} |")
    return "\n".join(lines) + "\n"
