"""Every figure that the report may tell, by name, read from logs; and the words in which it is told.

    facts = facts_of(logs)                 see gather.py
    facts.told("{helpfulness@rag}")        "2.54 (2.33 to 2.76)"
    facts.told("{helpfulness@rag|value}")  "2.54";  |percent "54 %";  |n, |low, |high, |threshold

Names: REQUIREMENT@VARIANT and the claims' names (verdicts), and PLACE/NAME for what other logs hold. Prose itself may
hold no digit besides those of names such as hit@2. Raises ReportError for every figure that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from system.errors import InputError
from system.records import Verdict

PLACEHOLDER = re.compile(r"\{([^{}|]+)(?:\|(\w+))?\}")
NAMES_WITH_DIGITS = re.compile(
    r"hit@[1-5]|BLEU-[1-4]|F1\b|SmolLM2-135M(?:-Instruct)?|all-MiniLM-L6-v2|p50|p95|p99|BM25"
)


class ReportError(InputError):
    """The report would say what no log says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A figure, its 95 % interval where it has one, and what it was measured on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    threshold: float | None = None
    status: str | None = None
    places: int = 2


@dataclass
class Facts:
    """Figures by name."""

    figures: dict[str, Fact] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Fact:
        if name not in self.figures:
            near = [known for known in self.figures if known.partition("@")[0] == name.partition("@")[0]]
            hint = f"; there are {', '.join(sorted(near)[:5])}" if near else ""
            raise ReportError(f"the report names {name!r}, which no log holds{hint}")
        return self.figures[name]

    def add(self, name: str, value: float, **others: object) -> None:
        """Put a figure in."""
        self.figures[name] = Fact(value=float(value), **others)  # type: ignore[arg-type]

    def add_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Put verdicts in, claims under their own name."""
        for verdict in verdicts:
            name = verdict.requirement if verdict.is_claim else f"{verdict.requirement}@{verdict.variant}"
            if verdict.value is None:
                raise ReportError(f"{name} is an ERROR in the run; a report would leave it out")
            self.figures[name] = Fact(
                value=verdict.value,
                low=verdict.low,
                high=verdict.high,
                n=verdict.n,
                threshold=verdict.threshold,
                status=verdict.status,
                places=2 if verdict.low is not None or verdict.threshold else 0,  # a count of broken cases is whole
            )

    def add_tree(self, place: str, tree: Mapping[str, object]) -> None:
        """Put in every {"value", "low", "high", "n"} of a passport, named by its path."""
        for name, found in tree.items():
            if isinstance(found, Mapping):
                if isinstance(found.get("value"), (int, float)):
                    known = {key: found.get(key) for key in ("value", "low", "high", "n")}
                    self.figures[f"{place}/{name}"] = Fact(**known)  # type: ignore[arg-type]
                else:
                    self.add_tree(f"{place}/{name}", found)

    def told(self, text: str) -> str:
        """The text with its placeholders filled in. Raises ReportError for a digit of its own or an unknown figure."""
        bare = NAMES_WITH_DIGITS.sub("", PLACEHOLDER.sub("", text))
        if found := re.search(r"\S*\d\S*", bare):
            raise ReportError(f"the report's prose holds a number of its own, {found[0]!r}, in {text[:60]!r}")
        return PLACEHOLDER.sub(lambda match: self.shown(match[1], match[2] or "interval"), text)

    def shown(self, name: str, style: str = "interval") -> str:
        """One figure as text."""
        fact = self[name]
        places = fact.places
        if style == "interval" and fact.low is not None and fact.high is not None:
            return f"{_number(fact.value, places)} ({_number(fact.low, places)} to {_number(fact.high, places)})"
        if style in ("interval", "value"):
            return _number(fact.value, places)
        if style == "percent":
            return f"{100 * fact.value:.0f} %"
        chosen = {"n": fact.n, "low": fact.low, "high": fact.high, "threshold": fact.threshold}.get(style)
        if chosen is None:
            raise ReportError(f"{name} has no {style}")
        return f"{chosen:,.0f}" if style == "n" else _number(chosen, places)


def _number(value: float, places: int) -> str:
    return f"{value:,.{places}f}"
