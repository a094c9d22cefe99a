"""Turns gates.toml into parametrized tests: one case per requirement and variant, or per variant and complaint."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest

from fixtures.options import ROOT, RUN_LOG
from fixtures.runs import Run
from system.complaints import read_complaints
from system.errors import InputError
from system.evaluation.gates import judge_mean, judge_rate, judge_zero, message
from system.evaluation.requirements import Requirement, load_requirements
from system.evaluation.scores import score_all
from system.evaluation.table import comparison
from system.records import Complaint, Verdict
from system.runlog import read_run
from system.variants import VARIANTS, find_variants

HERE = Path(__file__).parent
Judge = Callable[[Requirement, str], Verdict]
_verdicts: dict[tuple[str, str], Verdict] = {}


class GateRedError(AssertionError):
    """A requirement is not met. Known misses are expected to raise this and nothing else."""


class GateBrokenError(Exception):
    """A requirement could not be judged: no known miss excuses that."""


@lru_cache(maxsize=1)
def requirements() -> tuple[Requirement, ...]:
    """The requirements of gates.toml."""
    return load_requirements(HERE / "gates.toml")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by ``requirement`` and ``variant`` (modules name their METRICS), or by ``variant`` and ``case``."""
    try:
        _parametrize(metafunc)
    except InputError as error:
        raise pytest.UsageError(str(error)) from error


def _parametrize(metafunc: pytest.Metafunc) -> None:
    config = metafunc.config
    chosen = [v.name for v in find_variants(config.getoption("variant") or ",".join(VARIANTS))]
    if "requirement" in metafunc.fixturenames:
        metafunc.parametrize(("requirement", "variant"), list(_gates(metafunc.module.METRICS, chosen)))
    elif "case" in metafunc.fixturenames:
        bound = {v for r in requirements() if r.metric in metafunc.module.METRICS for v in r.variants}
        cases = [(v, c) for v in chosen if v in bound for c in _case_ids(config.getoption("replay"))]
        metafunc.parametrize(("variant", "case"), [pytest.param(v, c, id=f"{v}-{c}") for v, c in cases])


def _gates(metrics: set[str], chosen: list[str]) -> Iterator[object]:
    for requirement in requirements():
        if requirement.metric not in metrics:
            continue
        for variant in chosen:
            name = f"{variant}-{requirement.name}"
            if variant in requirement.baseline:
                known = pytest.mark.xfail(strict=True, raises=GateRedError, reason=requirement.baseline[variant])
                yield pytest.param(requirement, variant, id=name, marks=known)
            elif variant in requirement.variants:
                yield pytest.param(requirement, variant, id=name)


def _case_ids(replay: Path | None) -> list[str]:
    """Ids of the complaints to judge one by one."""
    if replay is not None:
        return list(dict.fromkeys(response.id for response in read_run(replay)))
    return [complaint.id for complaint in read_complaints(ROOT / "data" / "complaints.jsonl", "test")]


@pytest.fixture(scope="session")
def judge(run: Run, complaints: list[Complaint], official: str) -> Judge:
    """Judge one requirement of one variant on the run."""

    def judge(requirement: Requirement, variant: str) -> Verdict:
        scores, expected = score_all(requirement.metric, run.get(variant, []), complaints, official)
        if requirement.kind == "rate":
            verdict = judge_rate(requirement.name, variant, scores, requirement.threshold, expected=expected)
        elif requirement.kind == "mean":
            verdict = judge_mean(
                requirement.name, variant, scores, requirement.threshold, scale=requirement.scale, expected=expected
            )
        else:
            verdict = judge_zero(requirement.name, variant, scores, expected=expected)
        _verdicts[requirement.name, variant] = verdict
        return verdict

    return judge


@pytest.fixture
def enforce(request: pytest.FixtureRequest) -> Callable[[Verdict], None]:
    """Raise unless a verdict is PASS; INCONCLUSIVE is red unless --inconclusive=warn."""
    log = request.config.getoption("replay") or RUN_LOG

    def enforce(verdict: Verdict) -> None:
        where = f"--variant {verdict.variant} -k {verdict.requirement} --replay {os.path.relpath(log)}"
        text = message(verdict, f"pytest tests_quality {where}")
        if verdict.status == "ERROR":
            raise GateBrokenError(text)
        if verdict.status == "INCONCLUSIVE" and request.config.getoption("inconclusive") == "warn":
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # the suite's own filter makes errors of warnings
                warnings.warn(text, stacklevel=1)
        elif verdict.status != "PASS":
            raise GateRedError(text)

    return enforce


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The comparison table, when the gates of this process were judged."""
    if _verdicts:
        terminalreporter.section("variants compared")
        terminalreporter.write_line(
            comparison(list(_verdicts.values()), terminalreporter.config.get_terminal_writer().fullwidth)
        )
