"""Hard rules: no answer may break one; every case is a test of its own."""

from __future__ import annotations

import pytest

from system.evaluation.rules import RULES
from system.evaluation.scores import score
from tests_quality.conftest import requirements

METRICS = {*RULES, "hard_rules"}


def test_rules(requirement, variant, judge, enforce):
    """No answer of the variant breaks the rule; a variant known to break it is expected to, with its figure."""
    enforce(judge(requirement, variant))


def test_answer(variant, case, run, complaints, official):
    """One answer breaks none of the rules that bind its variant."""
    (complaint,) = [c for c in complaints if c.id == case]
    response = next((r for r in run.get(variant, []) if r.id == case), None)
    assert response is not None, f"{variant} has no answer to {case}"
    binding = [r.metric for r in requirements() if r.metric in RULES and variant in r.variants]
    broken = [s for m in binding if (s := score(m, response, complaint, official)) and (s.error or s.value)]
    if broken:
        why = "\n  ".join(f"{s.metric}: {s.error or s.explanation}" for s in broken)
        pytest.fail(f"{variant} {case}: {complaint.text!r}\n  answered: {response.text!r}\n  {why}", pytrace=False)
