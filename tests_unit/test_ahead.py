"""Reading ahead: every beginning once, only while nobody is answered, and never where the model forgets at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fixtures.fakes import ScriptedGenerator
from fixtures.service import AGENT, ANSWER, scripted_assistant
from fixtures.small_world import write_world
from system.assistant import Assistant
from system.generation import Completion
from system.records import Complaint
from system.service.ahead import beginnings, read_ahead
from system.service.engine import Engine, Question
from system.variants import VARIANTS

ORANGE = "The hub shows an orange light and the internet is down."


class Keeper(ScriptedGenerator):
    """A model that notes what it was let read, and whether it was answering then; it answers once it may."""

    def __init__(self) -> None:
        super().__init__(ANSWER)
        self.seen: list[str] = []
        self.answering = 0
        self.read_while_answering = False
        self.begun, self.go = threading.Event(), threading.Event()

    def read(self, beginnings: Sequence[str]) -> None:
        self.seen += beginnings
        self.read_while_answering |= bool(self.answering)

    def generate(self, prompts: Any, decoding: Any, on_text: Any = None) -> Iterator[tuple[int, Completion]]:
        self.answering += 1
        self.begun.set()
        assert self.go.wait(10)
        yield from super().generate(prompts, decoding, on_text)
        self.answering -= 1


@pytest.fixture
def keeper() -> Keeper:
    """The model."""
    return Keeper()


@pytest.fixture
def assistant(keeper: Keeper, own_folder: Path) -> Assistant:
    """The small world, answered by it."""
    write_world(own_folder)
    return scripted_assistant(keeper)


@pytest.fixture
def engine(assistant: Assistant) -> Iterator[Engine]:
    """An engine that is closed afterwards."""
    made = Engine(assistant)
    yield made
    made.close(5)


def test_prompts_begin_with_what_was_read(assistant: Assistant) -> None:
    """Whatever is asked, one of them has its prompt up to the end of the best passage, or up to the message."""
    found = beginnings(assistant, AGENT)
    assert len(found) == len(set(found)) == 1 + len(assistant.passages)
    for text in (ORANGE, "Hello there!"):
        (draft,) = assistant.drafts([Complaint(id="x", text=text)], AGENT)
        assert draft.prompt is not None
        before, known, _ = draft.prompt.text.partition(draft.hits[0].text if draft.prompt.passages else text)
        assert known
        wanted = before + known if draft.prompt.passages else before
        assert any(beginning.startswith(wanted) for beginning in found)


@pytest.mark.parametrize(("name", "count"), [("prompt-friendly", 1), ("rag", None)])
def test_variants_that_never_or_always_retrieve(assistant: Assistant, name: str, count: int | None) -> None:
    """A variant reads ahead what it can come to need, and nothing else."""
    assert len(beginnings(assistant, VARIANTS[name])) == (count or len(assistant.passages))


def test_all_is_read_once(engine: Engine, keeper: Keeper) -> None:
    """Where nobody asks, every beginning is read."""
    assert read_ahead(engine, AGENT) == len(keeper.seen) == len(beginnings(engine.assistant, AGENT))


def test_who_asks_comes_first(engine: Engine, keeper: Keeper) -> None:
    """Nothing is read while an answer is given, and everything after it."""
    engine.submit(Question(ORANGE, AGENT), lambda event: None)
    assert keeper.begun.wait(10)
    reading = threading.Thread(target=read_ahead, args=(engine, AGENT))
    reading.start()
    time.sleep(0.3)
    assert keeper.seen == []
    keeper.go.set()
    reading.join(10)
    assert len(keeper.seen) == len(beginnings(engine.assistant, AGENT))
    assert not keeper.read_while_answering


def test_a_closed_engine_ends_it(engine: Engine, keeper: Keeper) -> None:
    """Shutting down does not wait for what is still to be read."""
    engine.close(5)
    assert read_ahead(engine, AGENT) == 0
    assert keeper.seen == []


def test_a_model_that_keeps_nothing_reads_nothing(own_folder: Path) -> None:
    """transformers would read in vain."""
    write_world(own_folder)
    engine = Engine(scripted_assistant(ScriptedGenerator(ANSWER)))
    try:
        assert read_ahead(engine, AGENT) == 0
    finally:
        engine.close(5)
