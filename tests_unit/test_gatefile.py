"""A gates file whose tables name what does not exist is refused, every name at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.options import ROOT
from system.errors import SettingsError
from system.evaluation.gatefile import load_gates
from system.evaluation.measuring import known_metrics

GATES = (ROOT / "tests_quality" / "gates.toml").read_text()


def test_the_gates_of_the_project() -> None:
    """They hold together, and every table of the file is there."""
    gates = load_gates(ROOT / "tests_quality" / "gates.toml")
    assert len(gates.requirements) == GATES.count("[[requirement]]")
    assert len(gates.claims) == GATES.count("[[comparison]]")
    assert len(gates.floors) == GATES.count("[[floor]]")
    assert len(gates.adapters) == GATES.count("[[adapter]]")


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ('metric = "rude"', 'metric = "rued"', "rude: metric 'rued' is unknown; known are hit@1"),
        (
            'variants = ["rag", "agent-rag",',
            'variants = ["rag", "agnt-rag",',
            "hit-at-2: variant 'agnt-rag' is unknown",
        ),
        ('\nrag = "', '\nrga = "', "variant 'rga' is unknown; known are prompt-empathetic"),
        ('worse = "prompt-empathetic"', 'worse = "prompt-emphatic"', "variant 'prompt-emphatic' is unknown"),
    ],
)
def test_a_misspelt_name(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    """A gate on a metric or variant that nobody knows would vanish without a word; the file is refused instead."""
    assert right in GATES
    path = tmp_path / "gates.toml"
    path.write_text(GATES.replace(right, wrong, 1))
    with pytest.raises(SettingsError) as caught:
        load_gates(path)
    assert told in str(caught.value)


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Two wrong names are two lines."""
    path = tmp_path / "gates.toml"
    path.write_text(GATES.replace('metric = "rude"', 'metric = "rued"').replace('metric = "empty"', 'metric = "emtpy"'))
    with pytest.raises(SettingsError) as caught:
        load_gates(path)
    assert len(str(caught.value).splitlines()) == 2


def test_known_metrics() -> None:
    """No name twice, and a ruler of each family among them."""
    names = known_metrics()
    assert len(set(names)) == len(names)
    assert {"rude", "hit@2", "empathy", "bleu-1", "bertscore-f1", "perplexity", "not_as_declared"} <= set(names)
