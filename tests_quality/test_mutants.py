"""The suite tests itself: a broken product turns the gate red that must see it, a harmless change turns none."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from fixtures.generation_mutants import subset
from fixtures.judging import judge_material
from fixtures.mutant_options import PROPERTY
from fixtures.mutants import AWAITED, HARMFUL, HARMLESS
from fixtures.mutation import Judge, Material, Mutant, Outcome, hunt, spare
from fixtures.reference_run import reference_run
from fixtures.runs import Run
from fixtures.stage_mutants import product_stages
from system.evaluation.gates import error_verdict
from system.evaluation.judge import AXES
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Requirement
from system.records import Complaint, Verdict
from system.variants import find_variants
from tests_quality.conftest import requirements

REFERENCE = "agent-rag"  # the variant under whose name the reference run stands


class NoSuchRequirementError(AssertionError):
    """The gate that a mutant must turn red is not in gates.toml."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a harmful mutant, one a harmless mutant and variant."""
    if "mutant" in metafunc.fixturenames:
        rows = HARMFUL if metafunc.function is test_harmful else HARMLESS
        metafunc.parametrize(("mutant", "variant"), list(_cases(rows, metafunc.config)))


def _cases(mutants: tuple[Mutant, ...], config: pytest.Config) -> Iterator[object]:
    chosen = config.getoption("variant")
    names = [variant.name for variant in find_variants(chosen)] if chosen else None
    waits = pytest.mark.xfail(strict=True, raises=NoSuchRequirementError, reason="the requirement is not there yet")
    for mutant in mutants:
        if mutant.needs == "model" and config.getoption("mutants") != "all":
            continue
        for variant in mutant.variants:
            if names is None or variant in names:
                name = mutant.name if mutant.kind == "harmful" else f"{mutant.name}-{variant}"
                marks = [waits] if mutant.requirement in AWAITED else []
                yield pytest.param(mutant, variant, id=f"{mutant.needs}-{name}", marks=marks)


@pytest.fixture(scope="module")
def judge_once(rulers: Rulers, request: pytest.FixtureRequest) -> Judge:
    """The gates' judge, which remembers what it said of a material that is still there."""
    known: dict[tuple[str, int], tuple[Material, Verdict]] = {}

    def judge(requirement: Requirement, material: Material) -> Verdict:
        key = (requirement.name, id(material))
        if key not in known:
            verdict = judge_material(requirement, material, rulers)
            if requirement.metric in AXES and (faults := request.getfixturevalue("unfit").get(requirement.metric)):
                verdict = error_verdict(requirement.name, material.variant, [], requirement.threshold, faults)
            known[key] = (material, verdict)
        return known[key][1]

    return judge


@pytest.fixture(scope="module")
def starts_of(run: Run, complaints: list[Complaint], official: str):  # type: ignore[no-untyped-def]
    """The runs that a mutant may break, by variant: the product's, a subset of it, and the references'."""
    made: dict[str, dict[str, Material]] = {}

    def starts(variant: str) -> dict[str, Material]:
        if variant not in made:
            product = Material(
                variant=variant, responses=tuple(run[variant]), complaints=tuple(complaints), official=official
            )
            made[variant] = {"product": product, "subset": subset(product)}
            if variant == REFERENCE:
                references = reference_run(complaints, product_stages().passages, variant)
                made[variant]["reference"] = Material(
                    variant=variant, responses=tuple(references), complaints=tuple(complaints), official=official
                )
        return made[variant]

    return starts


def test_harmful(mutant, variant, starts_of, judge_once, record_property):
    """The mutant's gate is green without the mutant and red with it."""
    outcome = hunt(mutant, requirements(), starts_of(variant), judge_once)
    record_property(PROPERTY, msgspec.json.encode(outcome).decode())
    if outcome.result == "NO SUCH REQUIREMENT":
        raise NoSuchRequirementError(_told(outcome))
    if not outcome.is_wanted:
        pytest.fail(_told(outcome), pytrace=False)


def test_harmless(mutant, variant, starts_of, judge_once, record_property):
    """No gate changes its colour."""
    outcome = spare(mutant, variant, requirements(), starts_of(variant), judge_once)
    record_property(PROPERTY, msgspec.json.encode(outcome).decode())
    if not outcome.is_wanted:
        pytest.fail(_told(outcome), pytrace=False)


def _told(outcome: Outcome) -> str:
    return (
        f"{outcome.mutant} {outcome.result}: {outcome.broken}\n"
        f"  gate {outcome.requirement} of {outcome.variant}, start {outcome.start or 'none'}\n"
        f"  before {outcome.before or 'none'}, after {outcome.after or 'none'}\n"
        f"  {outcome.note}"
    )
