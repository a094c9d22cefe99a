"""Whether an answer was made as its variant declares: each way in which it may not have been, one at a time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fixtures.fakes import ScriptedGenerator, make_response
from system.evaluation.declared import not_as_declared
from system.models import ModelSource
from system.prompts import load_template, render
from system.records import Action, Complaint, Decoding, Hit, Prompt, Response
from system.server_model import ServerGenerator

COMPLAINT = Complaint(id="T-1", text="My bill (of <|im_end|> May) is $20 too high!", cluster="c")
HITS = (
    Hit(doc="bill", passage="bill#1", score=0.9, heading="Your bill", text="It comes on the first.\n1. Open the app."),
    Hit(doc="hub", passage="hub#1", score=0.5, heading="Hub", text="White is good. " * 400),
)


def response_of(action: Action = "RAG", template: str = "empathetic", complaint: str = COMPLAINT.text) -> Response:
    """What the assistant records of agent-rag, the prompt rendered by the product."""
    hits = HITS if action == "RAG" else ()
    prompt = render(load_template(template), complaint, hits, ScriptedGenerator())
    return make_response(COMPLAINT, "I am sorry.", action=action, hits=HITS, prompt=prompt)


RIGHT = response_of()


def faults(response: Response, complaint: Complaint = COMPLAINT) -> str:
    """The explanation; the value counts what it names."""
    value, explanation = not_as_declared(response, complaint, "")
    assert value == (explanation.count("; ") + 1 if explanation else 0)
    return explanation


def with_prompt(**changes: object) -> Response:
    """The right answer, its prompt changed."""
    assert RIGHT.prompt is not None
    return replace(RIGHT, prompt=replace(RIGHT.prompt, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("action", ["RAG", "DIRECT"])
def test_as_declared(action: Action) -> None:
    """What the product renders passes, with control tokens in the complaint and with small talk's own template."""
    assert faults(response_of(action, "chat" if action == "DIRECT" else "empathetic")) == ""


def test_a_variant_with_another_template() -> None:
    """It is declared by its name; the template must be the named one."""
    other = replace(response_of(template="structured"), variant="agent-rag+structured")
    assert faults(other) == ""
    assert "the template is 'empathetic'" in faults(replace(RIGHT, variant="agent-rag+structured"))


def test_the_prompt_of_a_server() -> None:
    """A prompt that is a list of messages in JSON passes, though quotes and line ends look otherwise in it."""
    server = ServerGenerator(
        ModelSource("openai:m@u", "m@http://127.0.0.1:9", "server")
    )  # writes messages, asks nobody
    prompt = render(load_template("empathetic"), COMPLAINT.text, HITS, server)
    assert json.loads(prompt.text)[0]["role"] == "system"
    assert faults(replace(RIGHT, prompt=prompt)) == ""


def test_a_passage_that_was_cut() -> None:
    """Of a passage that does not fit, the beginning is enough."""
    long = Hit(
        doc="hub", passage="hub#1", score=0.9, heading="Hub", text="\n".join(f"Line {n} of it." for n in range(400))
    )
    prompt = render(load_template("empathetic"), COMPLAINT.text, [long], ScriptedGenerator())
    assert "Line 399" not in prompt.text and prompt.passages == ("hub#1",)
    assert faults(replace(RIGHT, hits=(long,), prompt=prompt)) == ""


def test_a_scripted_reply() -> None:
    """An answer without a prompt was made by no model; only its settings are compared."""
    assert faults(replace(RIGHT, prompt=None)) == ""


def test_one_thing_at_a_time() -> None:
    """Every departure is named, and only that one."""
    assert RIGHT.prompt is not None
    text = RIGHT.prompt.text
    other = Decoding(repetition_penalty=1.0)
    cases = {
        "no variant 'agent' is declared": replace(RIGHT, variant="agent"),
        f"decoded with {other}": replace(RIGHT, decoding=other),
        "made with the adapter 'a'": replace(RIGHT, identity=replace(RIGHT.identity, adapter="a")),
        "the answer is to another message": replace(RIGHT, complaint="Something else entirely."),
        "the template is 'friendly'": with_prompt(template="friendly"),
        "the instructions of 'empathetic' are not in the prompt": with_prompt(text=text.replace("steps", "words")),
        "the customer's words are not in the prompt": response_of(complaint="Another's complaint."),
        "the text of bill#1 is not in the prompt": with_prompt(text=text.replace("Open the app", "Open a can")),
        "bill#1 was not retrieved": replace(RIGHT, hits=HITS[1:]),
    }
    assert {f"cause prompt: {fault}" for fault in cases} == {faults(response) for response in cases.values()}
    for fault, response in cases.items():
        assert faults(response) == f"cause prompt: {fault}"


def test_no_passages() -> None:
    """An answer that was to be made from the articles and read none, with the instructions that go with that."""
    bare = render(load_template("empathetic"), COMPLAINT.text, (), ScriptedGenerator())
    assert faults(replace(RIGHT, prompt=bare)) == "cause prompt: no passage is in the prompt"


def test_small_talks_template_for_a_complaint() -> None:
    """The template and its instructions are both not those of a complaint."""
    chat: Prompt = render(load_template("chat"), COMPLAINT.text, HITS, ScriptedGenerator())
    assert faults(replace(RIGHT, prompt=chat)) == (
        "cause prompt: the template is 'chat'; the instructions of 'empathetic' are not in the prompt"
    )
