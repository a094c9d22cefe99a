"""What fine-tuning must have gained, and what it must not have cost: the figures of the adapter's passport."""

from __future__ import annotations

import pytest

from fixtures.options import ROOT
from system.evaluation.adapter_gates import adapter_fault, is_at_hand
from system.evaluation.passport import read_passport
from system.models import adapter_hash
from system.variants import ADAPTER
from tests_quality.conftest import GateRedError


def test_adapter(adapter_gate):
    """The whole interval of the figure keeps to its limit; a passport of other weights is red."""
    folder = ROOT / ADAPTER
    passport = read_passport(folder, "examine")
    if not is_at_hand(adapter_gate, passport):
        pytest.skip(f"not measured: {adapter_gate.where}")
    if fault := adapter_fault(adapter_gate, passport, adapter_hash(ADAPTER)):
        raise GateRedError(f"{adapter_gate.name}: {fault}\n  {adapter_gate.reason}")
