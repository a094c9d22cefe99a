"""The requirements of a gates file: its ``[[requirement]]`` tables, read strictly, every problem named at once.

Must not know how a requirement is judged, nor which variants exist. The ``[[comparison]]`` tables of the same file
belong to ``comparisons.py``, which shares ``table_problems`` and ``common_problems``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from system.errors import SettingsError
from system.settings import read_toml

Kind = Literal["rate", "mean", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One row of gates.toml: what must hold, for which variants, and why the threshold is what it is."""

    name: str
    kind: Kind
    metric: str
    threshold: float  # 0.0 for zero tolerance
    variants: tuple[str, ...]  # the gate binds these
    reason: str
    baseline: dict[str, str] = field(default_factory=dict)  # variants known to miss it, and what was measured
    scale: tuple[float, float] | None = None  # lowest and highest possible value of a mean

    def concerns(self, variant: str) -> bool:
        """Whether it is measured on the variant, which it binds or which is known to miss it."""
        return variant in self.variants or variant in self.baseline


def load_requirements(path: Path) -> tuple[Requirement, ...]:
    """Read the ``[[requirement]]`` tables of a TOML file, in their order.

    Keys: name, kind, metric, threshold (not for kind zero), variants, reason; optional: baseline, a table of
    variants that are known to miss the requirement with the measured value, and for means scale, [lowest, highest].
    Raises SettingsError that lists every problem of the file, or says why it cannot be read.
    """
    document = read_toml(path)
    tables = document.pop("requirement", None)
    document.pop("comparison", None)  # checked and read by comparisons.py
    document.pop("floor", None)  # and by passport.py
    document.pop("adapter", None)  # and by adapter_gates.py
    document.pop("budget", None)  # and by budgets.py
    document.pop("attack", None)  # and by attack_gates.py
    kinds = "[[requirement]], [[comparison]], [[floor]], [[adapter]], [[budget]] and [[attack]]"
    problems = [f"unknown key {key!r}; a gates file has {kinds} tables only" for key in document]
    if not (isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)):
        tables = []
        problems.append("has no [[requirement]] table; a suite without requirements proves nothing")
    problems += table_problems("requirement", tables, _requirement_problems)
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return tuple(
        Requirement(
            name=table["name"],
            kind=table["kind"],
            metric=table["metric"],
            threshold=float(table.get("threshold", 0.0)),
            variants=tuple(table["variants"]),
            reason=table["reason"],
            baseline=dict(table.get("baseline", {})),
            scale=scale_of(table),
        )
        for table in tables
    )


def read_tables(path: Path, title: str, check: Callable[[dict[str, Any]], Iterator[str]]) -> list[dict[str, Any]]:
    """The ``[[title]]`` tables of a gates file, which may have none. Raises SettingsError that lists every problem."""
    tables = read_toml(path).get(title, [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise SettingsError(f"{path}: {title} is no table; write [[{title}]]")
    if problems := table_problems(title, tables, check):
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return tables


def table_problems(
    title: str, tables: Sequence[dict[str, Any]], check: Callable[[dict[str, Any]], Iterator[str]]
) -> list[str]:
    """Name everything that is wrong with the tables of one title, each problem labelled with its table."""
    problems = []
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        label = f"{title} {name!r}" if name else f"{title} number {number}"
        problems += [f"{label}: {problem}" for problem in check(table)]
    names = Counter(table["name"] for table in tables if isinstance(table.get("name"), str))
    for name in (name for name, times in names.items() if times > 1):
        problems.append(f"{title} {name!r}: {names[name]} tables have this name; give each its own")
    return problems


def common_problems(
    table: dict[str, Any], known: Collection[str], needed: Collection[str], texts: Sequence[str]
) -> Iterator[str]:
    """Name the unknown and the missing keys, the texts that are none, and a malformed scale."""
    for key in sorted(set(table) - set(known)):
        yield f"unknown key {key!r}; known are {', '.join(sorted(known))}"
    for key in sorted(set(needed) - set(table)):
        yield f"{key} is missing"
    for key in texts:
        if key in table and not is_text(table[key]):
            yield f"{key} is {table[key]!r}; give a text"
    if "scale" in table and not is_scale(table["scale"]):
        yield f"scale is {table['scale']!r}; give [lowest, highest]"


def _requirement_problems(table: dict[str, Any]) -> Iterator[str]:
    """Name everything that is wrong with one [[requirement]] table."""
    kind, threshold = table.get("kind"), table.get("threshold")
    scale: Any = table.get("scale")
    known = {f.name for f in fields(Requirement)}
    needed = known - {"baseline", "scale"} - ({"threshold"} if kind == "zero" else set())
    yield from common_problems(table, known, needed, ("name", "metric", "reason"))
    if "kind" in table and kind not in get_args(Kind):
        yield f"kind is {kind!r}; give one of {', '.join(get_args(Kind))}"
    if "scale" in table and kind != "mean":
        yield "scale is for kind mean only; remove it"
    if "threshold" in table:
        if kind == "zero":
            yield "threshold is given; zero tolerance has none, remove it"
        elif not is_number(threshold):
            yield f"threshold is {threshold!r}; give a number"
        elif kind == "rate" and not 0 < cast(float, threshold) < 1:
            yield f"threshold is {threshold!r}; a rate's lies between 0 and 1, and no interval ever reaches 1"
        elif kind == "mean" and is_scale(scale) and not scale[0] < cast(float, threshold) < scale[1]:
            yield f"threshold is {threshold!r}; it must lie inside the scale {scale!r}"
    variants, baseline = table.get("variants", []), table.get("baseline", {})
    if not (isinstance(variants, list) and all(map(is_text, variants))):
        yield f"variants is {variants!r}; give a list of names"
        variants = []
    elif "variants" in table and not variants and not baseline:
        yield "variants is empty and there is no baseline; the requirement binds nothing"
    for variant in sorted(v for v, k in Counter(variants).items() if k > 1):
        yield f"variant {variant!r} stands in variants more than once"
    if not isinstance(baseline, dict):
        yield f"baseline is {baseline!r}; give a table of variant = measured value, number of cases and date"
        return
    for variant, measured in baseline.items():
        if not is_measured(measured):
            yield f"baseline of {variant!r} is {measured!r}; say the measured value, number of cases and date"
        if variant in variants:
            yield f"variant {variant!r} stands in variants and in baseline; the gate binds it or excuses it, not both"


def scale_of(table: dict[str, Any]) -> tuple[float, float] | None:
    """The scale of a checked table, lowest and highest; None where it names none."""
    return (float(table["scale"][0]), float(table["scale"][1])) if "scale" in table else None


def is_text(value: object) -> bool:
    """Whether a value of a table is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_measured(value: object) -> bool:
    """Whether a value of a table tells what was measured: a text with a figure."""
    return isinstance(value, str) and any(c.isdigit() for c in value)


def is_number(value: object) -> bool:
    """Whether a value of a table is a finite number; TOML's true is none, though Python's is."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_scale(value: object) -> bool:
    """Whether a value of a table is [lowest, highest]."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]
