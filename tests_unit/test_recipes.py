"""README's "Bring your own": the commands as they are printed, on files made here."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from fixtures.options import ROOT
from fixtures.servers import ChatServer, said
from fixtures.tiny_models import make_model
from system.__main__ import main
from system.runlog import read_run

SECTION = re.compile(r"^## Bring your own\n(.*?)^## ", re.DOTALL | re.MULTILINE)
pytestmark = pytest.mark.usefixtures("own_cache")


def commands() -> dict[str, list[str]]:
    """The commands of each recipe, by its name."""
    match = SECTION.search((ROOT / "README.md").read_text(encoding="utf-8"))
    assert match is not None
    recipes: dict[str, list[str]] = {}
    for part in re.split(r"^\*\*", match[1], flags=re.MULTILINE)[1:]:
        name = part.partition("**")[0].rstrip(".")
        recipes[name] = re.findall(r"^    python -m system (.*?)(?:  #.*)?$", part, flags=re.MULTILINE)
    return recipes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the recipes name, and the project's data and adapters beside it."""
    for name in ("adapters", "data", "knowledge_base", "system", "tests_quality"):
        (tmp_path / name).symlink_to(ROOT / name)
    articles = tmp_path / "my_articles"
    articles.mkdir()
    (articles / "parcels.md").write_text("# Parcels\n\n## Late parcels\n\nA late parcel is refunded within 3 days.\n")
    complaint = {"id": "1", "text": "My parcel is late. When do I get my money back?"}
    (tmp_path / "my_complaints.jsonl").write_text(json.dumps(complaint) + "\n")
    pair = {"id": "1", "complaint": complaint["text"], "response": "Within 3 days, I am sorry for the wait."}
    (tmp_path / "my_pairs.jsonl").write_text(json.dumps(pair) + "\n")
    make_model("llama", tmp_path / "my_model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str) -> int:
    return main(shlex.split(command))


def test_there_are_four() -> None:
    """Each has a command at least."""
    assert list(commands()) == ["Articles", "Complaints", "Model", "Judge"]
    assert all(commands().values())


def test_a_model_and_complaints_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The recipes' commands run; where they would load the embedded model, the tiny one stands in for it."""
    for name in ("Articles", "Complaints", "Model"):
        for command in commands()[name]:
            plain = "--variant" not in command and command.startswith("ask")
            own = (
                " --base-model my_model" if command.startswith(("ask", "run")) and "--base-model" not in command else ""
            )
            asked = f"{command}{own}" + (" --variant agent-rag" if plain else "")
            assert run(asked.replace("agent-rag-fine-tuned", "agent-rag")) == 0, command
    (answer,) = read_run(place / "runs" / "mine.jsonl")
    assert answer.hits[0].doc == "parcels"
    assert "1" in capsys.readouterr().out


def test_a_judge_of_ones_own(place: Path, server: ChatServer) -> None:
    """Any OpenAI-compatible server grades."""
    grades = dict.fromkeys(("helpfulness", "clarity", "empathy", "safety"), 4)
    server.decide = lambda text: said({"justification": "fine", **grades})
    for command in commands()["Judge"]:
        assert run(re.sub(r"openai:\S+", f"openai:m@{server.url}", command)) == 0
    (line,) = (place / "grades.jsonl").read_text().splitlines()
    assert json.loads(line)["empathy"] == 4
