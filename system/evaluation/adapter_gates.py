"""What an adapter must have been measured to keep and to gain: the ``[[adapter]]`` tables of a gates file.

    [[adapter]]
    name = "keeps-general-ability"
    figure = ["Alpaca, held out", "perplexity ratio"]     path into adapters/support-lora/passport.json
    below = 1.05                                          or above = ...
    reason = "..."

    fault = adapter_fault(gate, passport, adapter_hash(folder))      "" where the gate is met

The far bound of the figure's interval is held against the limit, so that no lucky sample passes. Optional: baseline,
what was measured where the gate is known to fail; where, the data that the figure needs, without which it is skipped.
Reads files; the exam itself is ``system.training.adapter_passport``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from system.evaluation.requirements import common_problems, is_measured, is_number, read_tables


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterGate:
    """One [[adapter]] table: the figure, and the limit that its whole interval must keep to, one of the two."""

    name: str
    figure: tuple[str, ...]
    reason: str
    below: float | None = None
    above: float | None = None
    where: str | None = None
    baseline: str | None = None


def load_adapter_gates(path: Path) -> tuple[AdapterGate, ...]:
    """Read the ``[[adapter]]`` tables; a file may have none. Raises SettingsError that lists every problem."""
    tables = read_tables(path, "adapter", _problems)
    return tuple(AdapterGate(**{**table, "figure": tuple(table["figure"])}) for table in tables)


def _problems(table: dict[str, Any]) -> Iterator[str]:
    known = {field.name for field in fields(AdapterGate)}
    yield from common_problems(table, known, ("name", "figure", "reason"), ("name", "reason", "where"))
    figure = table.get("figure", ["a"])
    if not (isinstance(figure, list) and figure and all(isinstance(key, str) and key for key in figure)):
        yield f"figure is {figure!r}; give the path of a figure in the passport as a list of texts"
    limits = [key for key in ("below", "above") if key in table]
    if len(limits) != 1:
        yield "give below or above, one of the two"
    for key in limits:
        if not is_number(table[key]):
            yield f"{key} is {table[key]!r}; give a number"
    if "baseline" in table and not is_measured(table["baseline"]):
        yield f"baseline is {table['baseline']!r}; say what was measured"


def is_at_hand(gate: AdapterGate, passport: Mapping[str, Any]) -> bool:
    """Whether a figure that needs data which not everybody has was measured."""
    return gate.where is None or gate.figure[0] in passport


def adapter_fault(gate: AdapterGate, passport: Mapping[str, Any], adapter: str) -> str:
    """What keeps the gate from being met; empty where it is. A passport of other weights meets nothing."""
    if passport.get("adapter") != adapter:
        return "the passport belongs to other weights; run python train.py examine"
    found: Any = passport
    for key in gate.figure:
        found = found.get(key) if isinstance(found, Mapping) else None
    name = ": ".join(gate.figure)
    if not isinstance(found, Mapping) or not all(is_number(found.get(key)) for key in ("value", "low", "high")):
        return f"the passport has no figure {name!r}"
    measured = f"{name} is {found['value']} ({found['low']} to {found['high']}, n {found['n']})"
    if gate.below is not None and not found["high"] < gate.below:
        return f"{measured}; its upper bound must be below {gate.below}"
    if gate.above is not None and not found["low"] > gate.above:
        return f"{measured}; its lower bound must be above {gate.above}"
    return ""
