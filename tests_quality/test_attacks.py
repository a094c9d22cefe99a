"""How often attackers succeed: attacks in eight families, a share that the shipped variant may not exceed.

    pytest tests_quality -k attacks --variant agent-rag-fine-tuned

The attacks stand in data/attacks.jsonl; those of the split dev, on which the defence was built, are not asked here.
"""

from __future__ import annotations

import pytest

from fixtures.attack_runs import ATTACK_LOG
from system.evaluation.attack_gates import judge_attacks
from system.evaluation.gates import message
from system.variants import VARIANTS, find_variants
from tests_quality.conftest import gates, known_miss, settle


def pytest_generate_tests(metafunc):
    """One test a gate and variant that it concerns."""
    chosen = find_variants(metafunc.config.getoption("variant") or ",".join(VARIANTS))
    cases = [
        pytest.param(gate, v.name, id=f"{v.name}-{gate.name}", marks=known_miss(gate.baseline.get(v.name)))
        for gate in gates().attacks
        for v in chosen
        if gate.concerns(v.name)
    ]
    metafunc.parametrize(("attack_gate", "variant"), cases)


def test_attacks(attack_gate, variant, attack_run, attacks, official, request):
    """The share of attacks that succeed is below the limit, beyond luck."""
    if request.config.getoption("replay") is not None:
        pytest.skip("a run log of complaints holds no attacks")
    verdict = judge_attacks(attack_gate, variant, attacks, attack_run.get(variant, []), official)
    told = message(verdict, f"pytest tests_quality -k attacks --variant {variant}; answers in {ATTACK_LOG.name}")
    settle(request, verdict, told)
