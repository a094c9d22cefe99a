"""Turns gates.toml into parametrized tests: one case per requirement and variant, or per variant and complaint."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import pytest

from fixtures.options import ROOT, RUN_LOG
from fixtures.runs import Run
from fixtures.verdicts import note
from system.cache import open_cache
from system.complaints import read_complaints
from system.errors import InputError, ModelError, SettingsError
from system.evaluation.cause import explain_lines
from system.evaluation.comparisons import Claim, judge_claims
from system.evaluation.gatefile import Gates, load_gates
from system.evaluation.gates import error_verdict, message
from system.evaluation.judge import AXES, passport_folder
from system.evaluation.judging import judge_scores
from system.evaluation.measuring import Rulers
from system.evaluation.passport import floor_faults, read_passport
from system.evaluation.requirements import Requirement
from system.models import DEFAULT_MODEL, without_login
from system.records import Complaint, Score, Verdict
from system.runlog import read_run
from system.variants import VARIANTS, find_variants

HERE = Path(__file__).parent
Judge = Callable[[Requirement, str], Verdict]


class GateRedError(AssertionError):
    """A requirement is not met. Known misses are expected to raise this and nothing else."""


class GateBrokenError(Exception):
    """A requirement could not be judged: no known miss excuses that."""


@lru_cache(maxsize=1)
def gates() -> Gates:
    """The tables of gates.toml. Raises SettingsError, also for a requirement that no test here would judge."""
    found = load_gates(HERE / "gates.toml")
    modules = [import_module(f"tests_quality.{path.stem}") for path in HERE.glob("test_*.py")]
    judged = {metric for module in modules for metric in getattr(module, "METRICS", ())}
    if unjudged := [r.name for r in found.requirements if r.metric not in judged]:
        raise SettingsError(f"{HERE / 'gates.toml'}: {', '.join(unjudged)}: no test_*.py has the metric in its METRICS")
    return found


def requirements() -> tuple[Requirement, ...]:
    """The requirements of gates.toml."""
    return gates().requirements


def claims() -> tuple[Claim, ...]:
    """The comparisons of gates.toml, all of them: they are one family, whichever are asked for."""
    return gates().claims


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by ``requirement`` and ``variant`` (modules name their METRICS), or by ``variant`` and ``case``."""
    try:
        _parametrize(metafunc)
    except InputError as error:
        raise pytest.UsageError(str(error)) from error


def _parametrize(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    variants = find_variants(config.getoption("variant") or ",".join(VARIANTS))
    chosen = [variant.name for variant in variants]
    if "requirement" in metafunc.fixturenames:
        metafunc.parametrize(("requirement", "variant"), list(_gates(metafunc.module.METRICS, chosen)))
    elif "claim" in metafunc.fixturenames:
        asked = [claim for claim in claims() if {claim.better, claim.worse} <= set(chosen)]
        metafunc.parametrize("claim", [pytest.param(c, id=c.name, marks=known_miss(c.baseline)) for c in asked])
    elif "adapter_gate" in metafunc.fixturenames:
        asked = gates().adapters if any(variant.adapter for variant in variants) else ()
        metafunc.parametrize("adapter_gate", [pytest.param(g, id=g.name, marks=known_miss(g.baseline)) for g in asked])
    elif "case" in metafunc.fixturenames:
        bound = {v for r in requirements() if r.metric in metafunc.module.METRICS for v in r.variants}
        cases = [(v, c) for v in chosen if v in bound for c in _case_ids(config.getoption("replay"))]
        metafunc.parametrize(("variant", "case"), [pytest.param(v, c, id=f"{v}-{c}") for v, c in cases])


def known_miss(measured: str | None) -> tuple[pytest.MarkDecorator, ...]:
    """A known miss is expected to be red, and turns red itself when it is met; an undecided one may go either way."""
    if not measured:
        return ()
    is_miss = not measured.startswith("undecided")
    return (pytest.mark.xfail(strict=is_miss, raises=GateRedError, reason=measured),)


def _gates(metrics: set[str], chosen: list[str]) -> Iterator[object]:
    for requirement in requirements():
        if requirement.metric not in metrics:
            continue
        for variant in chosen:
            name = f"{variant}-{requirement.name}"
            if requirement.concerns(variant):
                yield pytest.param(requirement, variant, id=name, marks=known_miss(requirement.baseline.get(variant)))


def _case_ids(replay: Path | None) -> list[str]:
    """Ids of the complaints to judge one by one."""
    if replay is not None:
        return list(dict.fromkeys(response.id for response in read_run(replay)))
    return [complaint.id for complaint in read_complaints(ROOT / "data" / "complaints.jsonl", "test")]


@pytest.fixture(scope="session")
def rulers(request: pytest.FixtureRequest, official: str) -> Rulers:
    """Every metric by name, cached on disk."""
    options = request.config.option
    return Rulers(official, open_cache(), judge=options.judge, base_model=options.base_model)


@pytest.fixture(scope="session")
def unfit(rulers: Rulers) -> dict[str, list[str]]:
    """Why the judge may not be used, by axis: its passport is held against the floors of gates.toml."""
    try:
        passport = read_passport(passport_folder(rulers.judge))
    except ModelError as error:
        return {axis: [str(error)] for axis in AXES}
    return floor_faults(gates().floors, passport, rulers.scorer(AXES[0]).signature)


@pytest.fixture(scope="session")
def judge(run: Run, complaints: list[Complaint], rulers: Rulers, request: pytest.FixtureRequest) -> Judge:
    """Judge one requirement of one variant on the run."""

    def judge(requirement: Requirement, variant: str) -> Verdict:
        scores, expected = rulers.score(requirement.metric, run.get(variant, []), complaints)
        verdict = judge_scores(requirement, variant, scores, expected)
        if requirement.metric in AXES and (faults := request.getfixturevalue("unfit").get(requirement.metric)):
            verdict = error_verdict(requirement.name, variant, scores, requirement.threshold, faults)
        return verdict

    return judge


@pytest.fixture(scope="session")
def judge_claim(
    run: Run, complaints: list[Complaint], rulers: Rulers, request: pytest.FixtureRequest
) -> Callable[[Claim], Verdict]:
    """Judge one claim of the run, corrected for all of gates.toml."""
    scores: dict[str, dict[str, list[Score]]] = {}
    expected: dict[str, dict[str, list[str]]] = {}
    for claim in claims():
        for variant in (claim.better, claim.worse):
            if variant not in scores.setdefault(claim.metric, {}):
                found, wanted = rulers.score(claim.metric, run.get(variant, []), complaints)
                scores[claim.metric][variant] = found
                expected.setdefault(claim.metric, {})[variant] = wanted
    verdicts = dict(zip(claims(), judge_claims(claims(), scores, expected), strict=True))

    def judge_claim(claim: Claim) -> Verdict:
        verdict = verdicts[claim]
        if claim.metric in AXES and (faults := request.getfixturevalue("unfit").get(claim.metric)):
            verdict = error_verdict(claim.name, claim.text, [], claim.margin, faults)
        return verdict

    return judge_claim


def settle(request: pytest.FixtureRequest, verdict: Verdict, text: str) -> None:
    """Note a verdict, and raise with the text unless it is PASS; INCONCLUSIVE is red unless --inconclusive=warn."""
    note(request, verdict)
    if verdict.status == "ERROR":
        raise GateBrokenError(text)
    # A known miss that is undecided today is still no pass: its test expects to be red.
    excused = request.node.get_closest_marker("xfail") is not None
    if verdict.status == "INCONCLUSIVE" and request.config.getoption("inconclusive") == "warn" and not excused:
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # the suite's own filter makes errors of warnings
            warnings.warn(text, stacklevel=1)
    elif verdict.status != "PASS":
        raise GateRedError(text)


@pytest.fixture
def enforce(request: pytest.FixtureRequest, run: Run, complaints: list[Complaint]) -> Callable[[Verdict], None]:
    """Settle verdicts on answers to complaints, with what ``explain`` would look at first."""
    base_model = request.config.getoption("base_model")
    options = "" if base_model == DEFAULT_MODEL else f"--base-model {shlex.quote(without_login(base_model))}"
    log = request.config.getoption("replay") or RUN_LOG

    def enforce(verdict: Verdict) -> None:
        variants = verdict.variant.replace(" > ", ",")
        where = f"--variant {variants} -k {verdict.requirement} --replay {os.path.relpath(log)}"
        causes = explain_lines(verdict, run.get(verdict.variant, []), complaints, options)
        settle(request, verdict, "\n".join([message(verdict, f"pytest tests_quality {where}"), *causes]))

    return enforce
