"""How long each stage takes, in pytest-benchmark, and whether it keeps to its budget.

    make latency                                                       all stages of all variants, saved and compared
    pytest tests_quality --benchmark-enable -k "retrieval and rag"

Without --benchmark-enable it is left out; named as a path, every stage then runs once, untimed. Times are per
complaint, one at a time, nothing cached. The seconds are the machine's, the budgets of gates.toml are ratios to a
reference timed on the same complaint.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from fixtures.stages import applies, draft_of, make_reference, make_stage
from system.evaluation.budgets import judge_budget
from system.variants import VARIANTS, find_variants
from tests_quality.conftest import gates, known_miss

ROUNDS = {"first token": 12, "answer": 9}  # those that ask the model; nine bear one outlier
MANY = 60


def pytest_generate_tests(metafunc):
    """One test a budget and variant that has the stage."""
    chosen = find_variants(metafunc.config.getoption("variant") or ",".join(VARIANTS))
    cases = [
        pytest.param(budget, variant.name, id=f"{budget.stage}-{variant.name}", marks=known_miss(budget.baseline))
        for budget in gates().budgets
        for variant in chosen
        if applies(budget.stage, variant)
    ]
    metafunc.parametrize(("budget", "variant"), cases)


def test_latency(budget, variant, benchmark, run, complaints, enforce):
    """The stage's median ratio to its reference is within the budget, beyond luck."""
    answered = {response.id: response for response in run[variant]}
    asked = [c for c in complaints if answered[c.id].prompt is not None and c.action == "RAG"]
    stage = make_stage(budget.stage, VARIANTS[variant], answered)
    reference = make_reference(budget.against, VARIANTS[variant], answered)
    count = ROUNDS.get(budget.stage, MANY) if benchmark.enabled else 1
    chosen = [asked[n * len(asked) // count] for n in range(count)]
    for warm_up in (reference, stage):
        warm_up(chosen[0])
    bases = []

    def one_more():
        """Time the reference on the next complaint, and hand that to the stage."""
        complaint = chosen[len(bases) % count]
        draft_of(variant, complaint)
        began = perf_counter()
        reference(complaint)
        bases.append(perf_counter() - began)
        return (complaint,), {}

    benchmark.group = budget.stage
    benchmark.pedantic(stage, setup=one_more, rounds=count)
    if not benchmark.enabled:
        assert len(bases) == 1
        pytest.skip("ran once, untimed: --benchmark-enable times it")
    seconds = benchmark.stats.stats.data
    percentiles = np.percentile(seconds, (50, 95, 99))
    benchmark.extra_info |= {"variant": variant, "n": len(seconds), "reference": float(np.median(bases))}
    benchmark.extra_info |= {f"p{p}": float(s) for p, s in zip((50, 95, 99), percentiles, strict=True)}
    verdict = judge_budget(budget, variant, seconds, bases)
    benchmark.extra_info |= {"ratio": verdict.value, "low": verdict.low, "high": verdict.high, "budget": budget.ratio}
    enforce(verdict)
