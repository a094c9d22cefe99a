"""Adapter gates: read strictly, and red for a figure whose interval leaves its limit, is missing or is another's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from system.errors import SettingsError
from system.evaluation.adapter_gates import AdapterGate, adapter_fault, is_at_hand, load_adapter_gates

TABLE = '[[adapter]]\nname = "kept"\nfigure = ["exam", "ratio"]\nbelow = 1.05\nreason = "nothing is lost"\n'
GATE = AdapterGate(name="kept", figure=("exam", "ratio"), below=1.05, reason="nothing is lost")
RISES = AdapterGate(name="safe", figure=("exam", "ratio"), above=-0.2, reason="no harm")


def gates(folder: Path, text: str) -> Path:
    path = folder / "gates.toml"
    path.write_text(text)
    return path


def passport(low: float, high: float) -> dict[str, Any]:
    return {"adapter": "mine", "exam": {"ratio": {"value": (low + high) / 2, "low": low, "high": high, "n": 9}}}


def test_tables_are_read(tmp_path: Path) -> None:
    assert load_adapter_gates(gates(tmp_path, TABLE)) == (GATE,)
    assert load_adapter_gates(gates(tmp_path, "")) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param('adapter = "x"', "adapter is no table; write [[adapter]]", id="no table"),
        pytest.param(TABLE.replace("below = 1.05\n", ""), "'kept': give below or above, one of the two", id="neither"),
        pytest.param(TABLE + "above = 1\n", "'kept': give below or above, one of the two", id="both"),
        pytest.param(TABLE.replace("1.05", "true"), "'kept': below is True; give a number", id="no number"),
        pytest.param(
            TABLE.replace('["exam", "ratio"]', '"exam"'), "'kept': figure is 'exam'; give the path", id="path"
        ),
        pytest.param(TABLE.replace("name", "nome"), "unknown key 'nome'", id="unknown key"),
        pytest.param(TABLE.replace('reason = "nothing is lost"', ""), "'kept': reason is missing", id="no reason"),
        pytest.param(TABLE + 'baseline = "bad"\n', "'kept': baseline is 'bad'; say what was measured", id="no figure"),
        pytest.param(TABLE * 2, "'kept': 2 tables have this name; give each its own", id="twice"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_adapter_gates(gates(tmp_path, text))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("gate", "low", "high", "is_met"),
    [
        (GATE, 0.9, 1.04, True),
        (GATE, 0.9, 1.05, False),  # the limit itself is not below the limit
        (GATE, 0.9, 1.2, False),
        (RISES, -0.1, 0.3, True),
        (RISES, -0.2, 0.3, False),
        (RISES, -0.4, 0.3, False),
    ],
)
def test_the_far_bound_decides(gate: AdapterGate, low: float, high: float, is_met: bool) -> None:
    assert (adapter_fault(gate, passport(low, high), "mine") == "") is is_met


def test_a_fault_says_what_was_measured() -> None:
    fault = adapter_fault(GATE, passport(0.9, 1.3), "mine")
    assert fault == "exam: ratio is 1.1 (0.9 to 1.3, n 9); its upper bound must be below 1.05"


def test_a_passport_of_other_weights_meets_nothing() -> None:
    assert "belongs to other weights" in adapter_fault(GATE, passport(0.9, 1.0), "another's")


@pytest.mark.parametrize("bad", [{}, {"exam": {}}, {"exam": {"ratio": {"value": 1.0}}}, {"exam": 1}])
def test_a_missing_figure_meets_nothing(bad: dict[str, Any]) -> None:
    assert adapter_fault(GATE, {"adapter": "mine", **bad}, "mine") == "the passport has no figure 'exam: ratio'"


def test_only_a_gate_that_names_its_data_may_be_skipped() -> None:
    news = AdapterGate(name="news", figure=("news", "change"), above=0.0, reason="r", where="CNN/DailyMail is at hand")
    assert not is_at_hand(news, {}) and is_at_hand(news, {"news": {}}) and is_at_hand(GATE, {})
