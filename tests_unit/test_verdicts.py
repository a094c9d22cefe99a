"""Verdicts of two runs compared, and what GitHub is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.verdicts import annotation, in_order
from system.__main__ import main
from system.errors import InputError
from system.evaluation.verdicts import VerdictFile, changes, made_from, read_verdicts, summary, write_verdicts
from system.records import Score, Status, Verdict

ORIGIN = {"complaints": "1", "articles": "2", "judge": "3", "rulers": "4"}


def verdict_of(status: Status = "PASS", value: float | None = 4.2, **changes: Any) -> Verdict:
    """A verdict on empathy of rag."""
    fields: dict[str, Any] = {
        "requirement": "empathy",
        "variant": "rag",
        "threshold": 4.0,
        "low": 4.1,
        "high": 4.3,
        "n": 156,
    }
    return Verdict(status=status, value=value, **{**fields, **changes})


RUDE = verdict_of(requirement="rude", value=0.0, low=None, high=None, threshold=0.0)


def compared(was: Verdict, now: Verdict) -> str:
    return changes(VerdictFile(made_from=ORIGIN, verdicts=[was]), VerdictFile(made_from=ORIGIN, verdicts=[now]))


@pytest.mark.parametrize(
    ("was", "now", "mark"),
    [
        (verdict_of(), verdict_of("FAIL", 3.5, low=3.4, high=3.6), "▼ worse"),
        (verdict_of("FAIL", 3.5, low=3.4, high=3.6), verdict_of(), "▲ better"),
        (verdict_of(), verdict_of("INCONCLUSIVE", 4.1, low=3.9, high=4.25), "▼ worse"),
        (verdict_of(), verdict_of("ERROR", None, low=None, high=None), "▼ worse"),
        (RUDE, replace(RUDE, status="FAIL", value=1.0), "▼ worse"),
        (replace(RUDE, status="FAIL", value=3.0), replace(RUDE, status="FAIL", value=1.0), "▲ better"),
        # The status changed, the intervals meet: told, and called neither.
        (verdict_of("INCONCLUSIVE", 4.05, low=3.9, high=4.2), verdict_of(), "|  | empathy"),
    ],
)
def test_what_changed(was: Verdict, now: Verdict, mark: str) -> None:
    """Beyond the noise of its interval, or in its status."""
    text = compared(was, now)
    assert "1 verdicts compared, 1 changed" in text and mark in text


@pytest.mark.parametrize(
    ("was", "now"),
    [(verdict_of(), verdict_of(value=4.25, low=4.15, high=4.35)), (RUDE, RUDE)],
)
def test_what_did_not(was: Verdict, now: Verdict) -> None:
    """A value that moves within its interval is no change."""
    assert "1 verdicts compared, 0 changed" in compared(was, now)


def test_what_is_not_judged_any_more_is_named() -> None:
    """A gate that was dropped is not a gate that passed."""
    before = VerdictFile(made_from=ORIGIN, verdicts=[verdict_of(), RUDE])
    text = changes(before, VerdictFile(made_from=ORIGIN, verdicts=[RUDE]))
    assert "Not judged now: empathy of rag" in text


@pytest.mark.parametrize("name", list(ORIGIN))
def test_other_data_or_rulers_are_refused(name: str) -> None:
    """Nothing can be said of the product then."""
    one, other = (VerdictFile(made_from={**ORIGIN, name: text}, verdicts=[RUDE]) for text in "ab")
    with pytest.raises(InputError, match=f"with other {name}, so nothing"):
        changes(one, other)


def test_a_file_comes_back_without_customers_words(tmp_path: Path) -> None:
    """The worst cases stay out of it."""
    path = tmp_path / "verdicts.json"
    worst = (Score(case="T-1", variant="rag", metric="empathy", value=1.0, explanation="my PIN is 1234"),)
    write_verdicts(path, [replace(verdict_of(), worst=worst)], ORIGIN)
    assert "1234" not in path.read_text()
    assert read_verdicts(path) == VerdictFile(made_from=ORIGIN, verdicts=[verdict_of()])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m system changes`` prints what changed; other rulers are exit status 2."""
    for name, origin in (("before", ORIGIN), ("now", ORIGIN), ("foreign", {**ORIGIN, "rulers": "other"})):
        write_verdicts(tmp_path / name, [RUDE], origin)
    command = ["changes", "--baseline", str(tmp_path / "before"), "--verdicts"]
    assert main([*command, str(tmp_path / "now")]) == 0
    assert "1 verdicts compared, 0 changed" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "foreign")]) == 2
    assert "with other rulers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "make it with pytest"), ("[]", "no file of verdicts"), ("x", "no file")]
)
def test_a_file_that_is_none(tmp_path: Path, content: str | None, problem: str) -> None:
    """One line says so."""
    path = tmp_path / "verdicts.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_verdicts(path)


def test_the_origin_follows_articles_and_judge() -> None:
    """Each in its place."""
    one = made_from("articles", "judge")
    assert {k for k in one if one[k] != made_from("other", "judge")[k]} == {"articles"}
    assert {k for k in one if one[k] != made_from("articles", "other")[k]} == {"judge"}


def test_the_summary_is_a_table() -> None:
    """Requirements by variants, claims below."""
    claim = verdict_of(
        requirement="warmer", variant="rag > prompt-friendly", value=0.3, low=0.1, high=0.5, threshold=0.0
    )
    text = summary([verdict_of(), RUDE, claim])
    assert "| requirement | rag |" in text
    assert "| rude | 0/156 |" in text
    assert "| warmer: rag > prompt-friendly | 0.300 (0.100-0.500) |" in text


def test_an_annotation_points_at_the_gates_table() -> None:
    """GitHub shows it there; line ends and commas cannot end the command."""
    text = annotation(verdict_of("FAIL"), "FAIL: empathy\n  100 % sure")
    assert text.startswith("::error file=tests_quality/gates.toml,line=")
    assert not text.startswith("::error file=tests_quality/gates.toml,line=1,")
    assert text.endswith("title=FAIL empathy of rag::FAIL: empathy%0A  100 %25 sure")


def test_verdicts_of_parallel_workers_are_put_in_order() -> None:
    """As gates.toml and the variants stand; what neither knows comes last."""
    other = replace(RUDE, requirement="nonesuch")
    agent = replace(RUDE, variant="agent-rag")
    assert in_order([other, verdict_of(), agent, RUDE]) == [RUDE, agent, verdict_of(), other]
