"""Floors and passports: a judge below a floor, or examined under other weights, may not be used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from system.errors import ModelError, SettingsError
from system.evaluation.agreement import Measured
from system.evaluation.judge import AXES
from system.evaluation.passport import Floor, floor_faults, load_floors, read_passport

ROOT = Path(__file__).resolve().parents[1]
TABLE = '[[floor]]\naxis = "{axis}"\nfigure = ["exam", "{axis}"]\nfloor = 0.5\nreason = "chance is 0.5"\n'
FLOORS = tuple(Floor(axis, ("exam", axis), 0.5, "chance is 0.5") for axis in AXES)


def figure(low: float) -> Measured:
    """A figure with this lower bound."""
    return Measured(value=0.7, low=low, high=0.9, n=10)


def passport(**lows: float) -> dict[str, Any]:
    """A passport of the judge "mine" whose lower bounds are 0.6, but for those that are given."""
    return {"judge": "mine", "exam": {axis: figure(lows.get(axis, 0.6)) for axis in AXES}}


def gates(folder: Path, text: str) -> Path:
    """A gates file."""
    path = folder / "gates.toml"
    path.write_text(text)
    return path


def everything() -> str:
    """Floors for all axes."""
    return "".join(TABLE.format(axis=axis) for axis in AXES)


# Floors


def test_floors_are_read(tmp_path: Path) -> None:
    """What stands in the file is what is enforced; other tables of the file are not a floor's business."""
    assert load_floors(gates(tmp_path, everything() + '[[requirement]]\nname = "rude"\n')) == FLOORS


def test_an_axis_may_have_several_floors(tmp_path: Path) -> None:
    """Each of them is kept."""
    assert len(load_floors(gates(tmp_path, everything() + TABLE.format(axis="safety")))) == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no [[floor]] for the axis 'clarity'; a judge without a floor proves nothing"),
        (everything().replace('"safety"', '"kindness"', 1), "axis is 'kindness'"),
        (everything() + 'more = "x"\n', "floor number 4: unknown key 'more'"),
        (everything().replace("floor = 0.5", 'floor = "high"', 1), "floor number 1: key 'floor' must be of type float"),
        (everything().replace("floor = 0.5\n", "", 1), "floor number 1: key 'floor' is missing"),
        (everything().replace('reason = "chance is 0.5"\n', "", 1), "floor number 1: key 'reason' is missing"),
        (everything().replace('["exam", "clarity"]', '"exam"'), "floor number 2: key 'figure' must be of type list"),
        ("floor = 3\n", "floor is no table"),
        ("floor = [1]\n", "floor is no table"),
    ],
)
def test_wrong_floors(tmp_path: Path, text: str, problem: str) -> None:
    """A floor that is missing, misspelt or without a reason is named with its file; none is silently left out."""
    path = gates(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_floors(path)
    lines = str(caught.value).splitlines()
    assert any(problem in line for line in lines), lines
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every fault of every floor is told in one go."""
    text = everything().replace("floor = 0.5\n", "").replace('"clarity"\nfigure', '"lucidity"\nfigure')
    with pytest.raises(SettingsError) as caught:
        load_floors(gates(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 6  # four floors, one axis unknown and one without a floor


# The passport


def test_passport_is_read(tmp_path: Path) -> None:
    """What was written is what is held against the floors."""
    (tmp_path / "passport.json").write_text(json.dumps(passport()))
    assert read_passport(tmp_path) == passport()


@pytest.mark.parametrize("content", [None, "", "{", "no"])
def test_no_passport(tmp_path: Path, content: str | None) -> None:
    """A judge that was never examined is no judge: one line with the command that examines it."""
    if content is not None:
        (tmp_path / "passport.json").write_text(content)
    with pytest.raises(ModelError, match=r"is no passport .*python train\.py judge --only passport"):
        read_passport(tmp_path)


def test_above_every_floor() -> None:
    """Nothing is at fault; a lower bound that is the floor itself reaches it."""
    assert floor_faults(FLOORS, passport(), "mine") == {}
    assert floor_faults(FLOORS, passport(safety=0.5), "mine") == {}


def test_the_lower_bound_counts() -> None:
    """A figure above the floor whose interval reaches below it is a lucky exam; only its axis is at fault."""
    found = floor_faults(FLOORS, passport(empathy=0.49), "mine")
    assert found == {"empathy": ["exam: empathy is 0.7 (0.49 to 0.9), its lower bound below the floor 0.5"]}


def test_other_weights() -> None:
    """A passport of another judge says nothing about this one, however good: every axis is at fault."""
    found = floor_faults(FLOORS, passport(), "another")
    assert set(found) == set(AXES)
    assert all("belongs to another judge" in fault for faults in found.values() for fault in faults)
    assert set(floor_faults(FLOORS, {"exam": passport()["exam"]}, "mine")) == set(AXES)


@pytest.mark.parametrize("broken", [None, 0.7, {}, {"low": None}, {"low": "0.9"}, {"value": 0.9}])
def test_a_figure_that_is_not_there(broken: Any) -> None:
    """A floor under a figure that was not measured is not met."""
    known = passport()
    known["exam"]["clarity"] = broken
    assert floor_faults(FLOORS, known, "mine") == {"clarity": ["the passport has no figure 'exam: clarity'"]}
    assert set(floor_faults(FLOORS, {"judge": "mine"}, "mine")) == set(AXES)


def test_not_a_number_meets_no_floor() -> None:
    """A judge that says the same of everything has no correlation, which is not above any floor."""
    assert set(floor_faults(FLOORS, passport(safety=math.nan), "mine")) == {"safety"}


def test_the_shipped_floors() -> None:
    """The project's own gates file has floors for each axis, none below what guessing reaches in its exam."""
    floors = load_floors(ROOT / "tests_quality" / "gates.toml")
    assert {floor.axis for floor in floors} == set(AXES)
    for floor in floors:
        half = "accuracy" in floor.figure[-1] or floor.figure[0] == "planted defects"
        assert floor.floor >= 0.5 if half else floor.floor > 0, floor
        assert floor.reason.strip()
