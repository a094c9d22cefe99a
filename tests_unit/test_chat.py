"""The terminal chat: answers line by line, remembers what was said before, and shows what stands behind an answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.command_line import Run, refusal
from fixtures.fakes import ScriptedGenerator
from fixtures.service import AGENT, ANSWER, scripted_assistant
from fixtures.small_world import write_world
from system.chat import HELP, Talk
from system.generation import Completion

ORANGE = "The hub shows an orange light and the internet is down."


@pytest.fixture
def talk(own_folder: Path) -> Callable[..., tuple[Talk, io.StringIO]]:
    """Makes a conversation over the small world, and what it prints."""
    write_world(own_folder)

    def make(model: ScriptedGenerator, sources: bool = False) -> tuple[Talk, io.StringIO]:
        out = io.StringIO()
        return Talk(scripted_assistant(model), AGENT, own_folder / "log.jsonl", out, sources), out

    return make


def test_an_answer_and_what_stands_behind_it(talk: Callable[..., tuple[Talk, io.StringIO]]) -> None:
    """/why shows the decision and the passages that the model read, and nothing before there was an answer."""
    conversation, out = talk(ScriptedGenerator(ANSWER))
    conversation.take("/why")
    assert out.getvalue() == "nothing was answered yet\n"
    conversation.take(ORANGE)
    assert out.getvalue().endswith(f"{ANSWER}\n")
    conversation.take("/why")
    assert "[RAG: evidence" in out.getvalue()
    assert "lights#1  Orange light" in out.getvalue()


def test_sources_can_be_shown_always(talk: Callable[..., tuple[Talk, io.StringIO]]) -> None:
    """With --sources every answer is followed by what stands behind it."""
    conversation, out = talk(ScriptedGenerator(ANSWER), sources=True)
    conversation.take(ORANGE)
    assert "lights#1" in out.getvalue()


def test_a_follow_up_and_a_new_conversation(talk: Callable[..., tuple[Talk, io.StringIO]]) -> None:
    """What was said before counts, until a new conversation begins."""
    model = ScriptedGenerator(ANSWER)
    conversation, _ = talk(model)
    for line in (ORANGE, "And after that?", "/new", "And after that?"):
        assert conversation.take(line)
    _, second, third = model.asked
    assert f"{ORANGE}\n\nAnd after that?" in second
    assert ORANGE not in third


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/help", HELP),
        ("/wy", "unknown command /wy"),
        ("??", "(the text has no letters"),
        ("   ", ""),
    ],
)
def test_lines_that_are_no_complaint(talk: Callable[..., tuple[Talk, io.StringIO]], line: str, told: str) -> None:
    """Commands, slips and texts that cannot be answered ask no model and end nothing."""
    model = ScriptedGenerator(ANSWER)
    conversation, out = talk(model)
    assert conversation.take(line)
    assert out.getvalue().startswith(told)
    assert model.asked == []


@pytest.mark.parametrize("line", ["/quit", "/exit", " /quit "])
def test_the_end(talk: Callable[..., tuple[Talk, io.StringIO]], line: str) -> None:
    """The customer ends the conversation."""
    assert not talk(ScriptedGenerator(ANSWER))[0].take(line)


def test_a_failure_is_told_and_not_remembered(talk: Callable[..., tuple[Talk, io.StringIO]]) -> None:
    """Without an answer there is nothing that a follow-up could refer to."""
    said = [Completion("", 0, False, 0.0, "TimeOut: no answer"), ANSWER]
    model = ScriptedGenerator(lambda _: said.pop(0))
    conversation, out = talk(model)
    conversation.take(ORANGE)
    assert "(no answer: TimeOut: no answer)" in out.getvalue()
    conversation.take("And after that?")
    assert ORANGE not in model.asked[1]


def test_the_log_is_masked(talk: Callable[..., tuple[Talk, io.StringIO]], own_folder: Path) -> None:
    """Every answer leaves a line in the decision log, without personal data."""
    conversation, _ = talk(ScriptedGenerator("I am sorry, Ann Lee. Please restart the hub."))
    conversation.take("I am Ann Lee. The hub shows an orange light.")
    (line,) = (own_folder / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["response"] == "I am sorry, [name 1]. Please restart the hub."


def test_wrong_options_are_refused(call: Run) -> None:
    """Two variants cannot both answer, and a model must exist."""
    assert "chat takes one variant" in refusal(call("chat", "--variant", "rag,agent-rag"))
    assert "'nobody'" in refusal(call("chat", "--base-model", "nobody"))
