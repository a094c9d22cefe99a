"""Parity: Promptfoo says of every case, requirement and variant what pytest says, on the same answers."""

from __future__ import annotations

from pathlib import Path

from fixtures.options import RUN_LOG
from fixtures.promptfoo import column_of
from fixtures.servers import KEY, said
from system.evaluation.judge import AXES
from system.evaluation.judging import judge_case, judge_scores
from system.promptfoo.results import verdicts_of
from system.variants import VARIANTS, find_variants
from tests_quality.conftest import requirements


def pytest_generate_tests(metafunc):
    """One run of Promptfoo a variant."""
    chosen = metafunc.config.getoption("variant")
    if "variant" not in metafunc.fixturenames:
        return
    metafunc.parametrize("variant", [v.name for v in find_variants(chosen)] if chosen else list(VARIANTS))


def test_parity(variant, evaluate, run, complaints, rulers, request):
    """No difference in any value or verdict."""
    replay = Path(request.config.getoption("replay") or RUN_LOG).resolve()
    results = {result.case: result for result in evaluate(column_of(variant), replay)}
    assert set(results) == {complaint.id for complaint in complaints}
    gates = verdicts_of(results.values(), requirements())
    compared, differences = 0, []
    for requirement in requirements():
        if not requirement.concerns(variant):
            continue
        scores, expected = rulers.score(requirement.metric, run[variant], complaints)
        scores.sort(key=lambda score: score.case)  # sums of floats depend on their order, in the last digit
        for score in scores:
            result, ours = results[score.case], judge_case(requirement, True, score)
            shown = (
                result.gates[requirement.name]["value"],
                result.asserted.get(requirement.name, (ours.met, ours.share)),
            )
            compared += 1
            if shown != (ours.value, (ours.met, ours.share)):
                differences.append(f"{score.case} {requirement.name}: Promptfoo {shown}, pytest {ours}")
        ours, theirs = judge_scores(requirement, variant, scores, expected), gates[requirement.name, variant]
        if numbers(ours) != numbers(theirs):
            differences.append(f"{requirement.name}: Promptfoo {numbers(theirs)}, pytest {numbers(ours)}")
    assert compared > 1000
    assert not differences


def numbers(verdict):
    """What a verdict says."""
    return verdict.status, verdict.value, verdict.low, verdict.high, verdict.n


def test_llm_rubric(evaluate, server, request):
    """A judge on a server grades through Promptfoo's own llm-rubric, beside the assertions on our verdicts."""
    ours = dict.fromkeys(AXES, 4)
    theirs = {"pass": True, "score": 0.8, "reason": "as the rubric says"}
    server.decide = lambda text: said(theirs if "<Rubric>" in text else {"justification": "fine", **ours})
    replay = Path(request.config.getoption("replay") or RUN_LOG).resolve()
    judge = f"openai:m@{server.url}"
    results = evaluate(
        column_of("rag"), replay, offline=False, SUPPORT_JUDGE=judge, OPENAI_API_KEY=KEY, PROMPTFOO_CASES="2"
    )
    assert len(results) == 2
    for result in results:
        for axis in AXES:
            assert result.asserted[f"{axis} (llm-rubric)"] == (True, 0.8)
            assert result.gates[axis]["value"] == 4
    assert sum("<Rubric>" in str(body) for body in server.bodies) == 2 * len(AXES)
