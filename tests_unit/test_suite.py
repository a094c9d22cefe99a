"""The suite itself: what must be red is red, says why, and a perfect run is green. Runs pytest as users do."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.fakes import make_hits, make_response
from system.articles import load_articles
from system.complaints import read_labelled
from system.evaluation.requirements import load_requirements
from system.evaluation.rules import RULES
from system.guard import guard
from system.records import Response
from system.rows import LineWriter
from tests_quality import test_decision, test_retrieval, test_rules

ROOT = Path(__file__).resolve().parents[1]
Perfect = Callable[[], list[Response]]


def suite(*arguments: object) -> tuple[int, str]:
    """Exit status and output of a pytest run from the project's folder."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def perfect() -> list[Response]:
    """Answers of agent-rag to all test complaints that no gate can find fault with: made from the references.

    A reference may work out a sum or repeat the customer's amount; such sentences are taken out.
    """
    articles = load_articles(ROOT / "knowledge_base")
    official = "\n\n".join(f"{s.heading}\n{s.text}" for article in articles for s in article.sections)
    rows = read_labelled(ROOT / "data" / "complaints.jsonl", [article.stem for article in articles])
    responses = []
    for row in rows:
        if row.split == "test":
            sources = (row.text,) if row.action == "DIRECT" else (row.text, official)
            text, _ = guard(row.reference, sources)
            responses.append(make_response(row, text, action=row.action or "RAG", hits=make_hits(row.relevant)))
    return responses


def log(path: Path, responses: list[Response]) -> Path:
    """A run log of these responses."""
    with LineWriter(path) as writer:
        for response in responses:
            writer.write(response)
    return path


def test_all_skipped_is_red(tmp_path: Path) -> None:
    """A suite in which everything was skipped has shown nothing and must not be green; one pass makes it green."""
    skipped = tmp_path / "test_skipped.py"
    skipped.write_text("import pytest\n\n@pytest.mark.skip(reason='no model')\ndef test_one(): ...\n")
    bare = ("-c", ROOT / "pytest.ini", "--rootdir", tmp_path, "-p", "fixtures.options")
    status, output = suite(*bare, skipped)
    assert status == 1, output
    assert "1 skipped" in output
    (tmp_path / "test_passed.py").write_text("def test_two(): ...\n")
    status, output = suite(*bare, tmp_path)
    assert status == 0, output
    assert "1 passed, 1 skipped" in output


def test_an_expected_miss_that_is_met_is_red(tmp_path: Path) -> None:
    """A known miss that no longer is one turns the suite red, so that no excuse outlives its cause."""
    path = tmp_path / "test_known.py"
    path.write_text("import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_one(): ...\n")
    status, output = suite("-c", ROOT / "pytest.ini", "--rootdir", tmp_path, "-p", "fixtures.options", path)
    assert status == 1, output
    assert "XPASS(strict)" in output


def test_a_perfect_run_is_green(tmp_path: Path, perfect: list[Response]) -> None:
    """Answers without fault pass every gate on retrieval, decision and rules, case by case and in sum.

    Not so the gates that the product is known to miss: a run that meets them turns them red.
    """
    modules = (test_decision, test_retrieval, test_rules)
    paths = [Path(str(module.__file__)) for module in modules]
    status, output = suite(*paths, "--variant", "agent-rag", "--replay", log(tmp_path / "run.jsonl", perfect))
    assert status == 0, output
    judged = {metric for module in modules for metric in module.METRICS}
    requirements = load_requirements(ROOT / "tests_quality" / "gates.toml")
    binding = [r for r in requirements if "agent-rag" in r.variants and r.metric in judged]
    assert {r.metric for r in binding} >= {*RULES, "hit@2", "decision_accuracy"}
    assert f"{len(binding) + len(perfect)} passed" in output
    assert not re.search("skipped|xfailed|warning", output)
    for requirement in binding:
        (row,) = [line for line in output.splitlines() if line.startswith(f"│ {requirement.name} ")]
        assert not re.search("[!?]|ERROR", row)


def test_one_rude_answer_is_red(tmp_path: Path, perfect: list[Response]) -> None:
    """One rude answer turns its gate red, which names case, requirement and words, and how to see it again."""
    case = perfect[40]
    spoilt = [*perfect, replace(case, text=f"{case.text} You are stupid.")]  # of one case the last line counts
    path = log(tmp_path / "run.jsonl", spoilt)
    status, output = suite("tests_quality/test_rules.py", "--variant", "agent-rag", "--replay", path)
    assert status == 1, output
    failed = set(re.findall(r"^FAILED \S+\[agent-rag-(\S+)\]", output, re.MULTILINE))
    assert failed == {"rude", "hard-rules", case.id}
    assert "FAIL: rude of agent-rag" in output
    assert f"1 of {len(perfect)} cases break the rule: {case.id}" in output
    assert "'You are stupid'" in output
    (command,) = set(re.findall(r"replay: (pytest tests_quality --variant agent-rag -k rude --replay \S+)", output))
    status, output = suite(*shlex.split(command)[1:], "--variant", "agent-rag")
    assert status == 1, output
    assert "1 failed" in output


def test_a_missing_case_is_an_error(tmp_path: Path, perfect: list[Response]) -> None:
    """A gate of which one case was never answered gives no verdict: an ERROR that names it, neither PASS nor FAIL."""
    gone, kept = perfect[7], perfect[:7] + perfect[8:]
    path = log(tmp_path / "run.jsonl", kept)
    status, output = suite("tests_quality", "--variant", "agent-rag", "--replay", path, "-k", "rude or hit-at-2")
    assert status == 1, output
    assert "2 failed" in output
    for requirement in ("rude", "hit-at-2"):
        assert f"ERROR: {requirement} of agent-rag" in output
    assert output.count(f"cases are missing: {gone.id}") >= 2
    assert "GateBroken" in output


@pytest.mark.parametrize(("option", "expected"), [("fail", 1), ("warn", 0)])
def test_an_undecided_gate(tmp_path: Path, perfect: list[Response], option: str, expected: int) -> None:
    """A gate whose interval holds the threshold is red, unless the user relaxes it, and is told in either case."""
    wrong = round(0.17 * len(perfect))
    answers = [
        replace(r, decision=replace(r.decision, action="RAG" if r.decision.action == "DIRECT" else "DIRECT"))
        if n < wrong
        else r
        for n, r in enumerate(perfect)
    ]
    path = log(tmp_path / "run.jsonl", answers)
    chosen = ("-k", "decision-accuracy", f"--inconclusive={option}")
    status, output = suite("tests_quality", "--variant", "agent-rag", "--replay", path, *chosen)
    assert status == expected, output
    assert "INCONCLUSIVE: decision-accuracy of agent-rag" in output
    assert "further cases would decide" in output
