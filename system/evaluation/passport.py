"""A judge's passport: what it was measured to be worth, and the floors below which no gate may use it.

    faults = floor_faults(load_floors(gates_toml), read_passport(folder), judge.signature)
    {"empathy": ["..."]}    an axis that is named here turns every gate that uses it into an ERROR

The lower bound of a figure's interval is held against the floor, so that a lucky exam does not pass. Reads files;
the exam itself is ``system.training.judge_passport``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from system.errors import ModelError, SettingsError
from system.evaluation.judge import AXES
from system.settings import read_toml, require_keys


@dataclass(frozen=True, slots=True)
class Floor:
    """One [[floor]] table of a gates file: the figure of the passport, by its path, and the least it may be."""

    axis: str
    figure: tuple[str, ...]
    floor: float
    reason: str


def load_floors(path: Path) -> tuple[Floor, ...]:
    """The floors of a gates file; every axis has one. Raises SettingsError that lists every problem."""
    tables = read_toml(path).get("floor", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise SettingsError(f"{path}: floor is no table; write [[floor]]")
    problems = [
        f"floor number {number}: {problem}"
        for number, table in enumerate(tables, start=1)
        for problem in _problems(table)
    ]
    missing = sorted(set(AXES) - {table.get("axis") for table in tables})
    problems += [f"no [[floor]] for the axis {axis!r}; a judge without a floor proves nothing" for axis in missing]
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return tuple(Floor(t["axis"], tuple(t["figure"]), float(t["floor"]), t["reason"]) for t in tables)


def read_passport(folder: Path, command: str = "judge --only passport") -> dict[str, Any]:
    """The passport in a folder; ``command`` of train.py makes one. Raises ModelError where there is none."""
    path = folder / "passport.json"
    try:
        passport: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: is no passport ({error}); make it with python train.py {command}") from error
    return passport


def floor_faults(floors: Sequence[Floor], passport: Mapping[str, Any], signature: str) -> dict[str, list[str]]:
    """By axis, why the judge may not be used; empty where it may.

    A passport of other weights says nothing about these: then every axis is at fault.
    """
    if passport.get("judge") != signature:
        return {axis: ["the passport belongs to another judge; examine this one"] for axis in AXES}
    faults: dict[str, list[str]] = defaultdict(list)
    for floor in floors:
        figure: Any = passport
        for key in floor.figure:
            figure = figure.get(key) if isinstance(figure, Mapping) else None
        name = ": ".join(floor.figure)
        if not isinstance(figure, Mapping) or not isinstance(figure.get("low"), (int, float)):
            faults[floor.axis].append(f"the passport has no figure {name!r}")
        elif not figure["low"] >= floor.floor:
            measured = f"{figure['value']} ({figure['low']} to {figure['high']})"
            faults[floor.axis].append(f"{name} is {measured}, its lower bound below the floor {floor.floor}")
    return dict(faults)


def _problems(table: dict[str, Any]) -> Iterator[str]:
    kinds = {"axis": str, "figure": list, "floor": float, "reason": str}
    for key in table.keys() - kinds.keys():
        yield f"unknown key {key!r}"
    for key, kind in kinds.items():
        yield from require_keys({key: table[key]} if key in table else {}, [key], kind)
    if table.get("axis") not in AXES:
        yield f"axis is {table.get('axis')!r}; give one of {', '.join(AXES)}"
