"""The suite tests itself: a broken product turns the gate red that must see it, a harmless change turns none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

from fixtures import escalation
from fixtures.exemplary_run import exemplary_run
from fixtures.generation_mutants import SUBSETS, subset
from fixtures.judging import judge_claim, judge_material
from fixtures.mutant_options import PROPERTY
from fixtures.mutants import HARMFUL, HARMLESS, SURVIVORS, UNSTEADY
from fixtures.mutation import Gate, Judge, Material, Mutant, Outcome, hunt, spare
from fixtures.reference_run import reference_run
from fixtures.runs import Run
from fixtures.stage_mutants import product_stages
from system.evaluation.comparisons import Claim
from system.evaluation.gates import error_verdict
from system.evaluation.judge import AXES
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Requirement
from system.records import Complaint, Verdict
from system.variants import find_variants
from tests_quality.conftest import claims, requirements

WRITTEN = ("agent-rag", "agent-rag-fine-tuned")  # the variants under whose names the runs stand that people wrote


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a harmful mutant, one a harmless mutant and variant."""
    if "mutant" in metafunc.fixturenames:
        rows = HARMFUL if metafunc.function is test_harmful else HARMLESS
        metafunc.parametrize(("mutant", "variant"), list(_cases(rows, metafunc.config)))


def _cases(mutants: tuple[Mutant, ...], config: pytest.Config) -> Iterator[object]:
    chosen = config.getoption("variant")
    names = [variant.name for variant in find_variants(chosen)] if chosen else None
    for mutant in mutants:
        if mutant.needs == "model" and config.getoption("mutants") != "all":
            continue
        for variant in mutant.variants:
            if names is None or variant in names:
                name = mutant.name if mutant.kind == "harmful" else f"{mutant.name}-{variant}"
                yield pytest.param(mutant, variant, id=f"{mutant.needs}-{name}", marks=_known(name))


def _known(name: str) -> tuple[pytest.MarkDecorator, ...]:
    if name in UNSTEADY:
        return (pytest.mark.xfail(strict=False, raises=pytest.fail.Exception, reason=UNSTEADY[name]),)
    if name not in SURVIVORS:
        return ()
    return (pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason=SURVIVORS[name]),)


@pytest.fixture(scope="module")
def judge_once(rulers: Rulers, run: Run, request: pytest.FixtureRequest) -> Judge:
    """The gates' judge, which remembers what it said of a material that is still there."""
    known: dict[tuple[str, int], tuple[Material, Verdict]] = {}

    def judge(gate: Gate, material: Material) -> Verdict:
        key = (gate.name, id(material))
        if key not in known:
            if gate.metric in AXES and (faults := request.getfixturevalue("unfit").get(gate.metric)):
                verdict = error_verdict(gate.name, material.variant, [], 0.0, faults)
            elif gate is escalation.GATE:
                verdict = escalation.judge_escalation(material)
            elif isinstance(gate, Claim):
                verdict = judge_claim(gate, claims(), material, run, rulers, request.getfixturevalue("unfit"))
            else:
                verdict = judge_material(gate, material, rulers)
            known[key] = (material, verdict)
        return known[key][1]

    return judge


@pytest.fixture(scope="module")
def starts_of(run: Run, complaints: list[Complaint], official: str):  # type: ignore[no-untyped-def]
    """The runs that a mutant may break, by variant: the product's, parts of it, and those that people wrote."""
    made: dict[str, dict[str, Material]] = {}

    def starts(variant: str) -> dict[str, Material]:
        if variant not in made:
            product = Material(
                variant=variant, responses=tuple(run.get(variant, [])), complaints=tuple(complaints), official=official
            )
            made[variant] = {"product": product, **{name: subset(product, size) for name, size in SUBSETS.items()}}
            if variant in WRITTEN:
                stages = product_stages()
                references = reference_run(complaints, stages.passages, variant)
                chosen, exemplary = exemplary_run(complaints, stages.passages, variant)
                decisions = stages.decisions([message.text for message in escalation.messages()])
                made[variant] |= {
                    "reference": replace(product, responses=tuple(references)),
                    "exemplary": replace(product, responses=tuple(exemplary), complaints=tuple(chosen)),
                    "must-escalate": escalation.escalation_material(decisions, variant, official),
                }
        return made[variant]

    return starts


def test_harmful(mutant, variant, starts_of, judge_once, request):
    """The mutant's gate is green without the mutant and red with it."""
    gates = (*requirements(), *claims(), escalation.GATE)
    outcome = hunt(mutant, gates, starts_of(variant), judge_once)
    request.node.user_properties.append((PROPERTY, msgspec.json.encode(outcome).decode()))
    if not outcome.is_wanted:
        pytest.fail(_told(outcome), pytrace=False)


def test_harmless(mutant, variant, starts_of, judge_once, request):
    """No gate changes its colour."""

    def looks(requirement: Requirement, start: str) -> bool:
        """What the judge must grade anew is held to a part: the exemplary run, where its gates are green."""
        if requirement.metric in AXES and mutant.needs == "records":
            return start in ("subset", "exemplary")
        return start in mutant.starts

    outcome = spare(mutant, variant, requirements(), starts_of(variant), judge_once, looks)
    request.node.user_properties.append((PROPERTY, msgspec.json.encode(outcome).decode()))
    if not outcome.is_wanted:
        pytest.fail(_told(outcome), pytrace=False)


def _told(outcome: Outcome) -> str:
    return (
        f"{outcome.mutant} {outcome.result}: {outcome.broken}\n"
        f"  gate {outcome.requirement} of {outcome.variant}, start {outcome.start or 'none'}\n"
        f"  before {outcome.before or 'none'}, after {outcome.after or 'none'}\n"
        f"  {outcome.note}"
    )
