"""Promptfoo's side: the provider's replies, its cases and columns, and what is made of a results file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fixtures.fakes import ScriptedGenerator, make_response
from fixtures.options import ROOT
from system import promptfoo_provider as provider
from system.__main__ import main
from system.assistant import Assistant
from system.complaints import read_complaints
from system.errors import InputError, SettingsError
from system.evaluation.gatefile import load_gates
from system.promptfoo import tool
from system.promptfoo.commands import columns
from system.promptfoo.results import figures, page, read_results, verdicts_of
from system.promptfoo_provider import Clerk, cases, chosen, variant_of
from system.records import Complaint
from system.rows import encode
from system.variants import VARIANTS

COMPLAINTS = read_complaints(ROOT / "data" / "complaints.jsonl", "test")
REQUIREMENTS = [
    r
    for r in load_gates(ROOT / "tests_quality" / "gates.toml").requirements
    if r.metric not in ("helpfulness", "clarity", "empathy", "safety")
]


@pytest.fixture
def clerk(monkeypatch: pytest.MonkeyPatch) -> Clerk:
    """A clerk whose model is a script and whose requirements need no judge."""
    found = Clerk()
    generator = ScriptedGenerator(lambda prompt: "Please restart the Hub and wait for 5 minutes.")
    assistant = Assistant(knowledge_base=ROOT / "knowledge_base", generators={None: generator})  # type: ignore[dict-item]
    monkeypatch.setattr(found, "assistant", assistant, raising=False)
    monkeypatch.setattr(found, "_requirements", REQUIREMENTS, raising=False)
    return found


def request_of(complaint: Complaint, variant: str = "rag", **changes: str) -> dict[str, str]:
    asked = {
        "variant": variant,
        "template": "",
        "text": complaint.text,
        "id": complaint.id,
        "replay": "",
        "judge": "local",
    }
    return {**asked, **changes}


def test_the_configuration_is_three_templates_times_five_variants() -> None:
    """Every declared variant has a column of its own; the others vary its template."""
    found = columns()
    assert len(found) == 15 and len({column.variant.name for column in found}) == 15
    assert set(VARIANTS) <= {column.variant.name for column in found}


def test_no_threshold_stands_in_the_configuration() -> None:
    """Every assertion shows a verdict of gates.toml that exists, and every shown one is asserted."""
    config = yaml.safe_load((ROOT / "promptfooconfig.yaml").read_text())
    assertions = config["defaultTest"]["assert"]
    assert {a["metric"] for a in assertions if "metric" in a} == {*provider.SHOWN, provider.TIME}
    assert all(a.get("weight", 1) > 0 for a in assertions)  # Promptfoo lets no assertion of weight 0 fail
    assert set(provider.SHOWN) <= {r.name for r in load_gates(ROOT / "tests_quality" / "gates.toml").requirements}
    for assertion in assertions:
        assert "threshold" not in assertion
        assert "metric" not in assertion or f"gates['{assertion['metric']}']" in assertion["value"]


def test_cases_are_the_test_complaints(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, or as many as are asked for, spread over the file."""
    assert [case["vars"]["id"] for case in cases()] == [complaint.id for complaint in COMPLAINTS]
    monkeypatch.setenv("PROMPTFOO_CASES", "4")
    assert [case["vars"]["id"] for case in cases()] == [COMPLAINTS[n].id for n in (0, 39, 78, 117)]
    assert chosen(COMPLAINTS, 1000) == COMPLAINTS
    assert not any(case["assert"] for case in cases())


@pytest.mark.parametrize("count", ["abc", "-1", "0", "1.5"])
def test_a_number_of_cases_that_is_none(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    """Refused, in the environment and on the command line."""
    monkeypatch.setenv("PROMPTFOO_CASES", count)
    with pytest.raises(SettingsError, match="give a number from 1 on"):
        cases()
    with pytest.raises(SystemExit):
        main(["promptfoo", "evaluate", "--cases", count])


def test_answers_that_are_missing_are_told_before_promptfoo_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line names the first and how to get them."""
    log = tmp_path / "run.jsonl"
    log.write_bytes(encode(make_response(COMPLAINTS[0], "Hello.", variant="prompt-empathetic")))
    monkeypatch.setenv("PROMPTFOO_REPLAY", str(log))
    assert main(["promptfoo", "evaluate", "--cases", "1"]) == 2
    told = capsys.readouterr().err
    assert "lacks 14 of 15 answers, prompt-structured to T-001 is the first" in told
    assert "promptfoo answer --cases 1" in told


def test_a_judge_that_is_none_is_told_before_promptfoo_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promptfoo", "evaluate", "--judge", "bogus"]) == 2
    assert "judge 'bogus' is unknown" in capsys.readouterr().err


def test_a_few_cases_have_no_interval(tmp_path: Path) -> None:
    """The page says so; the figures stay JSON."""
    scores = {(name, "T-1"): score for name, score in (("prompt-only", 0.5), ("rag", 0.6))}
    results = read_results(results_file(tmp_path / "results.json", scores))
    assert "20 % higher than prompt-only / empathetic (no interval)" in page(results)
    assert figures(results)["gains"][0]["low"] is None


def test_a_remote_judge_brings_its_rubric(monkeypatch: pytest.MonkeyPatch) -> None:
    """With SUPPORT_JUDGE every axis has an llm-rubric by that server, beside the judge's grade."""
    monkeypatch.setenv("SUPPORT_JUDGE", "openai:m@http://127.0.0.1:9/v1")
    monkeypatch.setenv("PROMPTFOO_CASES", "1")
    (case,) = cases()
    assert len(case["assert"]) == 4
    for assertion in case["assert"]:
        assert assertion["type"] == "llm-rubric" and assertion["weight"] == 0
        assert assertion["provider"]["id"] == "openai:chat:m"
        assert assertion["provider"]["config"]["apiBaseUrl"] == "http://127.0.0.1:9/v1"
        assert "5: " in assertion["value"]


def test_a_template_is_the_prompts_label() -> None:
    """A label that is no template's name leaves the variant as it is; an unknown variant is refused."""
    asked = {"variant": "rag", "template": "structured"}
    assert variant_of(asked).name == "rag+structured"
    assert variant_of({**asked, "template": "my own prompt"}).name == "rag"
    with pytest.raises(SettingsError, match="unknown variant 'nonesuch'"):
        variant_of({**asked, "variant": "nonesuch"})


def test_live_answers_come_together_and_carry_their_verdicts(clerk: Clerk) -> None:
    """One batch for all that wait; a bad request is an error of its own."""
    first, second = COMPLAINTS[0], COMPLAINTS[5]
    replies = clerk.answer_all(
        [
            request_of(first),
            request_of(first, text="   "),
            request_of(second, "nonesuch"),
            request_of(second, "agent-rag"),
        ]
    )
    assert replies[0]["output"] == "Please restart the Hub and wait for 5 minutes."
    assert replies[1] == {"error": "the text is empty; write what the problem is"}
    assert "unknown variant" in replies[2]["error"]
    assert replies[3]["metadata"]["variant"] == "agent-rag"
    gates = replies[0]["metadata"]["gates"]
    assert gates["rude"]["pass"] and gates["rude"]["score"] == 1.0 and not gates["rude"]["case"]["binds"]
    assert gates["hit-at-2"]["case"]["binds"]
    assert replies[0]["tokenUsage"]["total"] > 0


def test_a_message_of_ones_own_is_held_to_its_words_alone(clerk: Clerk) -> None:
    """Without a label there is no right article and no right decision."""
    (reply,) = clerk.answer_all([request_of(Complaint(id="mine", text="My line is dead."), "agent-rag")])
    assert not {"hit-at-2", "decision-accuracy", "fact-coverage"} & set(reply["metadata"]["gates"])
    # A known id with another text is not that complaint.
    (other,) = clerk.answer_all([request_of(COMPLAINTS[0], text="My line is dead.")])
    assert "hit-at-2" not in other["metadata"]["gates"]


def test_replay_looks_up_and_asks_no_model(clerk: Clerk, tmp_path: Path) -> None:
    """Stored answers come back as they are; one that is not there is an error that says so."""
    log = tmp_path / "run.jsonl"
    stored = make_response(COMPLAINTS[0], "You are stupid.", variant="rag", cached=True)
    log.write_bytes(encode(stored))
    replies = clerk.answer_all([request_of(COMPLAINTS[n], replay=str(log)) for n in (0, 1)])
    assert replies[0]["output"] == "You are stupid." and replies[0]["cached"]
    assert not replies[0]["metadata"]["gates"]["rude"]["pass"]
    assert replies[1] == {"error": "run.jsonl holds no answer of rag to T-002"}


def test_the_others_are_one_result() -> None:
    """Requirements without an assertion of their own pass together or name what is missed."""

    def gate(met: bool, binds: bool = True) -> dict[str, Any]:
        return {"pass": met, "score": float(met), "reason": "cut-off 1", "case": {"binds": binds}}

    assert provider.others({"empathy": gate(False), "empty": gate(True)})["pass"]
    missed = provider.others({"empty": gate(True), "cut-off": gate(False), "repetitive": gate(False, binds=False)})
    assert (missed["pass"], missed["score"], missed["reason"]) == (False, 0.5, "cut-off 1")


@pytest.mark.parametrize(
    ("seconds", "passed"),
    [
        ({"retrieval": 0.1, "decision": 0.1, "generation": 1.0}, True),
        ({"retrieval": 0.1, "decision": 0.2, "generation": 1.0}, False),
        ({"retrieval": 0.1, "decision": 0.1, "generation": 0.0}, None),  # from the cache, or a script
    ],
)
def test_the_time_of_an_answer(seconds: dict[str, float], passed: bool | None) -> None:
    """What comes on top of the model's own time is held to the budget of whole answers."""
    budgets = load_gates(ROOT / "tests_quality" / "gates.toml").budgets
    found = provider.answer_time(make_response(COMPLAINTS[0], "Hello.", seconds=seconds), budgets)
    assert (found[provider.TIME]["pass"] if found else None) is passed


def results_file(path: Path, scores: dict[tuple[str, str], float]) -> Path:
    """A results file with a cell for each (provider, case); the score is the cell's and its fact coverage."""
    order = list(dict.fromkeys(name for name, _ in scores))
    rows = []
    for (name, case), score in scores.items():
        known = {"metric": "fact_coverage", "cluster": case, "value": score, "binds": True}
        gate = {"pass": score >= 0.5, "score": score, "reason": "r", "case": known}
        rows.append(
            {
                "promptIdx": order.index(name),
                "provider": {"label": name},
                "prompt": {"label": "empathetic"},
                "vars": {"id": case},
                "score": score,
                "success": score >= 0.5,
                "gradingResult": {"componentResults": [{"pass": True, "score": 1, "assertion": {"metric": "rude"}}]},
                "response": {"metadata": {"variant": name, "gates": {"fact-coverage": gate}}},
            }
        )
    path.write_text(json.dumps({"results": {"results": rows}}))
    return path


def test_results_become_scores_and_verdicts(tmp_path: Path) -> None:
    """The page tells by how much the best column beats the plain prompt, in points and with its interval."""
    scores = {("prompt-only", f"T-{n}"): 0.4 + n % 3 / 100 for n in range(30)}
    scores |= {("rag", f"T-{n}"): 0.6 + n % 2 / 100 for n in range(30)}
    results = read_results(results_file(tmp_path / "results.json", dict(reversed(scores.items()))))
    assert results[0].asserted == {"rude": (True, 1.0)}
    facts = [r for r in REQUIREMENTS if r.name == "fact-coverage"]
    verdicts = verdicts_of(results, facts)
    assert verdicts["fact-coverage", "rag"].status == "PASS"
    assert verdicts["fact-coverage", "prompt-only"].status == "FAIL"
    text = page(results)
    assert (
        "rag / empathetic scores 48 % higher than prompt-only / empathetic (47 % to 48 %): 0.605 against 0.410" in text
    )


def test_an_answer_that_is_missing_makes_the_verdict_an_error(tmp_path: Path) -> None:
    """A cell that Promptfoo could not fill is expected, and not there."""
    path = results_file(tmp_path / "results.json", {("rag", f"T-{n}"): 0.9 for n in range(9)})
    content = json.loads(path.read_text())
    content["results"]["results"][3] |= {"response": None, "error": "no answer of rag"}
    path.write_text(json.dumps(content))
    results = read_results(path)
    assert [r.case for r in results if r.error] == ["T-3"]
    facts = [r for r in REQUIREMENTS if r.name == "fact-coverage"]
    verdict = verdicts_of(results, facts)["fact-coverage", "rag"]
    assert verdict.status == "ERROR" and "T-3" in verdict.reason


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"results": {"results": []}}', b'{"results": {"results": [1]}}']
)
def test_a_file_that_is_none_of_promptfoos(tmp_path: Path, content: bytes) -> None:
    """Refused in one line."""
    path = tmp_path / "results.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"results\.json: (is no results file|holds no result)"):
        read_results(path)


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("v20.20.2", True),
        ("v20.19.9", False),
        ("v21.9.0", False),
        ("v22.21.0", False),
        ("v22.22.0", True),
        ("v24.1.0", True),
        ("", False),
    ],
)
def test_which_node_is_new_enough(version: str, enough: bool) -> None:
    """As Promptfoo's package says."""
    assert tool.new_enough(version) is enough


def test_without_the_tool_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    """Nothing is run where nothing is installed."""
    with pytest.raises(SettingsError, match="python -m system promptfoo install"):
        tool.evaluate([], {}, folder=tmp_path)


@pytest.mark.parametrize(("npm", "told"), [(None, "npm is not installed"), ("false", "exit status 1")])
def test_what_keeps_the_tool_from_being_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, npm: str | None, told: str
) -> None:
    """One line, and no traceback."""
    find = {"npm": npm and shutil.which(npm), "node": None}
    monkeypatch.setattr(tool.shutil, "which", lambda name: find.get(name))
    with pytest.raises(SettingsError, match=told):
        tool.install(tmp_path / "folder")


def test_results_survive_a_round_trip(tmp_path: Path) -> None:
    """What the provider hands over is JSON that the report can read again."""
    stored = make_response(COMPLAINTS[0], "Please call us.", variant="rag")
    own = Clerk()
    own.__dict__["_requirements"] = REQUIREMENTS
    reply = own._reply(replace(stored), request_of(COMPLAINTS[0]))
    assert msgspec.json.decode(msgspec.json.encode(reply)) == reply
