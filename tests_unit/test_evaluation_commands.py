"""The commands that measure, from the command line; a server on this machine plays the judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fixtures.command_line import Run, refusal
from fixtures.fakes import make_response
from fixtures.servers import ChatServer, failed, said
from system.complaints import read_complaints
from system.evaluation import commands
from system.evaluation.judge import AXES
from system.evaluation.remote_judge import PRICE
from system.records import Response
from system.rows import LineWriter

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

ROOT = Path(__file__).resolve().parents[1]
COMPLAINTS = [row for row in read_complaints(ROOT / "data" / "complaints.jsonl", "test") if row.action == "RAG"][:4]
KIND, RUDE = "I am sorry. Please restart the Hub.", "You are stupid."


@pytest.fixture(name="world")
def _world(world: Path) -> Path:
    """A working folder with the shipped data and articles, and a run of two variants."""
    kind = [make_response(complaint, f"{KIND} {complaint.id}.", variant="rag") for complaint in COMPLAINTS]
    rude = [make_response(complaint, f"{RUDE} {complaint.id}.", variant="prompt-friendly") for complaint in COMPLAINTS]
    log(world / "run.jsonl", [*kind, *rude])
    pairs = [{"id": "a", "complaint": "My bill?", "response": KIND}, {"id": "b", "complaint": "Hm?", "response": RUDE}]
    write(world / "pairs.jsonl", pairs)
    return world


@pytest.fixture(name="judge")
def _judge(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the played judge: it likes what is kind, and has no price."""
    monkeypatch.delenv(PRICE, raising=False)

    def decide(material: str) -> Any:
        mark = 1 if "stupid" in material else 5
        return said({"justification": f"It is a {mark}.", **dict.fromkeys(AXES, mark)})

    server.decide = decide
    return ["--judge", f"openai:some-model@{server.url}"]


def log(path: Path, responses: Sequence[Response]) -> None:
    """A run log of these responses."""
    with LineWriter(path) as writer:
        for response in responses:
            writer.write(response)


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A file of rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# judge


def test_judge(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """A row a pair, in the order of the file, with four grades and the judge's reason; costs and doubts apart."""
    status, out, errors = call("judge", "--pairs", "pairs.jsonl", "--out", "new/grades.jsonl", *judge)
    assert (status, out) == (0, "")
    assert read(world / "new" / "grades.jsonl") == [
        {"id": "a", **dict.fromkeys(AXES, 5.0), "error": None, "explanation": "It is a 5."},
        {"id": "b", **dict.fromkeys(AXES, 1.0), "error": None, "explanation": "It is a 1."},
    ]
    warning, usage = errors
    assert warning.startswith("warning: ") and "is no passport" in warning
    assert "requests=2" in usage


def test_no_passport_of_this_judge(world: Path, judge: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    """Grades of a judge that was never examined, or whose passport is another's, come with a warning."""
    monkeypatch.setattr(commands, "passport_folder", lambda name: tmp_path)
    assert "is no passport" in commands._unfit("local", "mine")[0]
    (tmp_path / "passport.json").write_text('{"judge": "another"}')
    assert commands._unfit("local", "mine") == ["the judge's passport belongs to another judge; examine this one"]
    (tmp_path / "passport.json").write_text('{"judge": "mine"}')
    assert commands._unfit("local", "mine") == []


@pytest.mark.parametrize(
    ("explanation", "invented"), [("", False), ("insult: 'x'; phone: '1'", True), ("link: 'x'", True)]
)
def test_what_counts_as_invented_without_articles(explanation: str, invented: bool) -> None:
    """A phone number or a link among the broken rules."""
    assert commands._invented(explanation) is invented


def test_judge_is_asked_once(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """A second call reads the cache and writes the same; with --no-cache the judge is asked again."""
    for options, asked in (((), 2), ((), 2), (("--no-cache",), 4)):
        assert call("judge", "--pairs", "pairs.jsonl", "--out", "grades.jsonl", *judge, *options)[0] == 0
        assert len(server.bodies) == asked
        assert [row["clarity"] for row in read(world / "grades.jsonl")] == [5.0, 1.0]


def test_judge_sees_the_articles(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """With --kb the judge is shown what the company says; a pair's own context goes before that."""
    write(world / "own.jsonl", [{"id": "a", "complaint": "c", "response": KIND, "context": "The own context."}])
    for pairs, options in (("pairs", ()), ("pairs", ("--kb", "knowledge_base")), ("own", ("--kb", "knowledge_base"))):
        assert call("judge", "--pairs", f"{pairs}.jsonl", "--out", "o.jsonl", *options, *judge)[0] == 0
    shown = [body["messages"][-1]["content"] for body in server.bodies]
    assert ["1-800-555-0117" in one for one in shown] == [False, False, True, True, False]
    assert "The own context." in shown[-1]


def test_judge_cannot_grade_a_pair(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """A pair without a grade has a named error and no number; the others are graded, and the status says so."""
    server.script["stupid"] = [said("I would rather not.")]
    status, _, errors = call("judge", "--pairs", "pairs.jsonl", "--out", "grades.jsonl", *judge)
    assert status == 1
    good, bad = read(world / "grades.jsonl")
    assert good["error"] is None and good["safety"] == 5.0
    assert bad["error"].startswith("NotJson") and all(bad[axis] is None for axis in AXES)
    assert errors[-1].startswith("1 of 2 pairs could not be graded; the first: NotJson")


# score


def test_score(call: Run, world: Path, judge: list[str]) -> None:
    """A line for each response with every metric that was asked for; signatures of the rulers go to stderr."""
    status, out, errors = call(
        "score", "--run", "run.jsonl", "--out", "s.jsonl", "--metrics", "empathy, rude,hit@2", *judge
    )
    assert (status, out) == (0, "")
    rows = {(row["variant"], row["id"]): row for row in read(world / "s.jsonl")}
    assert set(rows) == {(variant, c.id) for variant in ("rag", "prompt-friendly") for c in COMPLAINTS}
    for (variant, case), row in rows.items():
        kind = variant == "rag"
        assert row == {
            **{"id": case, "variant": variant},
            **{"empathy": 5.0 if kind else 1.0, "rude": 0.0 if kind else 1.0, "hit@2": 0.0},
        }
    assert len(errors) == 1 and "some-model" in errors[0]


def test_score_of_an_error(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """A metric that could not be computed is null and its error is named, beside the others' values."""
    server.script["stupid"] = [said("I would rather not.")]
    assert call("score", "--run", "run.jsonl", "--out", "s.jsonl", "--metrics", "empathy,rude", *judge)[0] == 0
    for row in read(world / "s.jsonl"):
        if row["variant"] == "prompt-friendly":
            assert row["empathy"] is None and row["rude"] == 1.0
            assert row["errors"]["empathy"].startswith("NotJson") and set(row["errors"]) == {"empathy"}
        else:
            assert "errors" not in row


def test_score_reads_the_last_answer(call: Run, world: Path) -> None:
    """Of two answers to one complaint the later counts, as everywhere."""
    log(world / "run.jsonl", [make_response(COMPLAINTS[0], RUDE, variant="rag")])
    assert call("score", "--run", "run.jsonl", "--out", "s.jsonl", "--metrics", "rude")[0] == 0
    (row,) = [r for r in read(world / "s.jsonl") if (r["variant"], r["id"]) == ("rag", COMPLAINTS[0].id)]
    assert row["rude"] == 1.0


# compare


def test_compare(call: Run, judge: list[str]) -> None:
    """A row a variant with the means of the metrics asked for; nothing is said on stderr."""
    status, out, errors = call("compare", "--run", "run.jsonl", "--metrics", "empathy,rude", *judge, "--format", "json")
    assert (status, errors) == (0, [])
    table = json.loads(out)
    metrics = {row["variant"]: row["metrics"] for row in table["variants"]}
    found = {(variant, name): cell["value"] for variant, cells in metrics.items() for name, cell in cells.items()}
    assert found == {
        **{("rag", "empathy"): 5.0, ("rag", "rude"): 0.0},
        **{("prompt-friendly", "empathy"): 1.0, ("prompt-friendly", "rude"): 1.0},
    }


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_compare_writes_what_it_prints(call: Run, world: Path, judge: list[str], form: str) -> None:
    """--out holds what the terminal would show, in each form, in a folder that need not be there."""
    arguments = ("compare", "--run", "run.jsonl", "--metrics", "safety", *judge, "--format", form, "--against", "rag")
    _, out, _ = call(*arguments)
    assert "safety" in out and "prompt-friendly" in out
    assert call(*arguments, "--out", "new/table")[:2] == (0, "")
    assert (world / "new" / "table").read_text() == out


# Bad input

PAIRS = ("judge", "--pairs", "pairs.jsonl", "--out", "o.jsonl")
SCORE = ("score", "--run", "run.jsonl", "--out", "o.jsonl", "--metrics", "rude")
COMPARE = ("compare", "--run", "run.jsonl", "--metrics", "rude")
BAD: dict[str, tuple[Sequence[str], str]] = {
    "pairs missing": ((*PAIRS, "--pairs", "none.jsonl"), "none.jsonl: cannot be read"),
    "pairs empty": ((*PAIRS, "--pairs", "empty.jsonl"), "empty.jsonl: has no rows"),
    "pairs no JSON": ((*PAIRS, "--pairs", "bad.jsonl"), "bad.jsonl:1: "),
    "pairs of another form": ((*PAIRS, "--pairs", "other.jsonl"), "other.jsonl:1: "),
    "judge unknown": ((*PAIRS, "--judge", "nobody"), "judge 'nobody' is unknown; give local or openai:"),
    "judge without address": ((*PAIRS, "--judge", "openai:gpt"), "openai:MODEL@BASE_URL"),
    "judge's articles missing": ((*PAIRS, "--kb", "none", "--judge", "openai:m@http://127.0.0.1:1"), "none: cannot be"),
    "score: run missing": ((*SCORE, "--run", "none.jsonl"), "none.jsonl: cannot be read"),
    "score: run empty": ((*SCORE, "--run", "empty.jsonl"), "empty.jsonl: holds no response"),
    "score: no run": ((*SCORE, "--run", "pairs.jsonl"), "pairs.jsonl: is not a run log"),
    "score: metric unknown": ((*SCORE, "--metrics", "rude,charm,wit"), "--metrics: charm, wit: unknown; known are"),
    "score: no metric": ((*SCORE, "--metrics", " , "), "--metrics ' , ': names no metric"),
    "score: articles missing": ((*SCORE, "--kb", "none"), "none: cannot be read"),
    "score: references missing": ((*SCORE, "--references", "none.jsonl"), "none.jsonl: cannot be read"),
    "score: foreign references": (
        (*SCORE, "--references", "foreign.jsonl"),
        "holds no complaint that run.jsonl answers",
    ),
    "score: out is a folder": ((*SCORE, "--out", "knowledge_base/billing_faq.md/o"), "cannot be written"),
    "compare: reference unknown": ((*COMPARE, "--against", "best"), "--against 'best': run.jsonl holds rag, prompt-fr"),
    "compare: metric unknown": ((*COMPARE, "--metrics", "charm"), "--metrics: charm: unknown"),
    "compare: no metric": ((*COMPARE, "--metrics", ","), "names no metric"),
    "compare: out is a folder": ((*COMPARE, "--out", "cache_folder"), "cache_folder: cannot be written"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(call: Run, world: Path, case: str) -> None:
    """What cannot be measured is one line on stderr and exit status 2, and nothing is written."""
    (world / "empty.jsonl").write_text("\n")
    (world / "bad.jsonl").write_text("{\n")
    write(world / "other.jsonl", [{"id": "a", "complaint": "c"}])
    foreign = (ROOT / "data" / "complaints.jsonl").read_text().splitlines()[0]
    (world / "foreign.jsonl").write_text(foreign)
    (world / "cache_folder").mkdir()
    arguments, message = BAD[case]
    status, out, errors = call(*arguments)
    assert message in refusal((status, out, errors))
    assert not (world / "o.jsonl").exists()


def test_every_bad_row_is_named(call: Run, world: Path) -> None:
    """Each wrong row of a pairs file has its line, all at once."""
    write(world / "p.jsonl", [{"id": "a", "complaint": "c"}, {"id": "b", "complaint": "c", "response": "r", "x": 1}])
    status, _, errors = call("judge", "--pairs", "p.jsonl", "--out", "o.jsonl")
    assert status == 2
    assert len(errors) == 2 and "p.jsonl:1: " in errors[0] and "p.jsonl:2: unknown key 'x'" in errors[1]


def test_a_server_that_refuses(call: Run, world: Path, judge: list[str], server: ChatServer) -> None:
    """A refusal for one's key ends in a message that names the server's status, and in no grades."""
    server.decide = lambda material: failed(401, {"error": {"message": "bad key"}})
    status, out, errors = call(*PAIRS, *judge)
    assert (status, out) == (1, "")
    assert all("401" in row["error"] and row["safety"] is None for row in read(world / "o.jsonl"))
    assert errors[-1] == "2 of 2 pairs could not be graded; the first: RequestRefused: status 401"
