"""The engine: a bounded queue, one batch for who waits, nobody's answer mixed up, and an end that loses nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.fakes import ScriptedGenerator
from fixtures.service import AGENT, ANSWER, scripted_assistant
from fixtures.small_world import write_world
from system.generation import Completion
from system.service.engine import Begun, ClosedError, Done, Engine, Event, Failed, Piece, Question, QueueFullError

ORANGE = "The hub shows an orange light and the internet is down."


class Gate(ScriptedGenerator):
    """A model that begins to write when it is let go, and notes the batches that it was given."""

    def __init__(self, script: Any = ANSWER) -> None:
        super().__init__(script)
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[int] = []

    def generate(self, prompts: Any, decoding: Any, on_text: Any = None) -> Iterator[tuple[int, Completion]]:
        self.batches.append(len(prompts))
        self.begun.set()
        assert self.go.wait(10)
        yield from super().generate(prompts, decoding, on_text)


class Listener:
    """Keeps the events of one question."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.over = threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Done | Failed):
            self.over.set()

    def last(self) -> Event:
        """The final event, once it is there."""
        assert self.over.wait(10)
        return self.events[-1]


@pytest.fixture
def engines(own_folder: Path) -> Iterator[Callable[..., Engine]]:
    """Makes engines over the small world; they are closed afterwards."""
    write_world(own_folder)
    made: list[Engine] = []

    def make(generator: Any, keep: Any = lambda *_: None, **options: int) -> Engine:
        made.append(Engine(scripted_assistant(generator), keep, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.close(5)


def test_events_of_an_answer(engines: Callable[..., Engine]) -> None:
    """The decision comes first, then sentences that make the answer, then the answer, which was kept before."""
    kept: list[str] = []
    listener = Listener()
    engine = engines(ScriptedGenerator(ANSWER), lambda ticket, response: kept.append(response.text))
    engine.submit(Question(ORANGE, AGENT), listener)
    done = listener.last()
    first, *pieces, last = listener.events
    assert isinstance(first, Begun)
    assert first.draft.decision.action == "RAG"
    assert isinstance(done, Done)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == done.response.text == ANSWER
    assert len(pieces) > 1
    assert kept == [ANSWER]
    assert last is done


def test_who_waits_is_answered_in_one_batch_and_gets_its_own(engines: Callable[..., Engine]) -> None:
    """Questions that wait while another is answered are answered together, each with its own words."""
    model = Gate(lambda prompt: next(f"You wrote number {n}." for n in range(7) if f"light {n}" in prompt))
    engine = engines(model, batch=4)
    listeners = [Listener() for _ in range(7)]
    engine.submit(Question("The hub shows an orange light 0.", AGENT), listeners[0])
    assert model.begun.wait(10)
    for n in range(1, 7):
        engine.submit(Question(f"The hub shows an orange light {n}.", AGENT), listeners[n])
    assert engine.waiting == 6
    model.go.set()
    texts = [listener.last().response.text for listener in listeners]  # type: ignore[union-attr]  # all are Done
    assert texts == [f"You wrote number {n}." for n in range(7)]
    assert model.batches == [1, 4, 2]


def test_a_full_queue_refuses(engines: Callable[..., Engine]) -> None:
    """One more than may wait is refused at once, and there is room again when the queue has moved."""
    model = Gate()
    engine = engines(model, waiting=2, batch=1)
    listeners = [Listener() for _ in range(4)]
    engine.submit(Question(ORANGE, AGENT), listeners[0])
    assert model.begun.wait(10)
    for listener in listeners[1:3]:
        engine.submit(Question(ORANGE, AGENT), listener)
    with pytest.raises(QueueFullError, match="2 requests wait already"):
        engine.submit(Question(ORANGE, AGENT), listeners[3])
    model.go.set()
    assert all(isinstance(listener.last(), Done) for listener in listeners[:3])
    engine.submit(Question(ORANGE, AGENT), listeners[3])
    assert isinstance(listeners[3].last(), Done)


def test_a_failure_is_told_and_the_next_is_answered(engines: Callable[..., Engine]) -> None:
    """A model that breaks takes its own batch with it and no other."""
    broken = [True]

    def script(prompt: str) -> str:
        if broken:
            broken.clear()
            raise MemoryError("no room")
        return ANSWER

    engine = engines(ScriptedGenerator(script))
    first, second = Listener(), Listener()
    engine.submit(Question(ORANGE, AGENT), first)
    assert first.last() == Failed("MemoryError: no room")
    engine.submit(Question(ORANGE, AGENT), second)
    assert isinstance(second.last(), Done)


def test_what_cannot_be_kept_is_not_said(engines: Callable[..., Engine]) -> None:
    """An answer that the store refuses is a failure: nothing is acknowledged that is not on disk."""

    def full(*_: object) -> None:
        raise OSError("disk full")

    listener = Listener()
    engines(ScriptedGenerator(ANSWER), full).submit(Question(ORANGE, AGENT), listener)
    assert listener.last() == Failed("OSError: disk full")


def test_an_abandoned_batch_ends(engines: Callable[..., Engine]) -> None:
    """When nobody waits any more the model stops writing, and who cancelled in the queue is never begun."""
    model = Gate(" ".join(f"Sentence number {n} of many." for n in range(10_000)))
    engine = engines(model, batch=1)
    first, second, third = Listener(), Listener(), Listener()
    ticket = engine.submit(Question(ORANGE, AGENT), first)
    assert model.begun.wait(10)
    engine.submit(Question(ORANGE, AGENT), second).cancel()
    ticket.cancel()
    model.script = ANSWER
    engine.submit(Question(ORANGE, AGENT), third)
    model.go.set()
    assert isinstance(third.last(), Done)
    assert model.batches == [1, 1]
    assert second.events == []
    assert not any(isinstance(event, Done) for event in first.events)


def test_a_follow_up_is_asked_with_what_went_before(engines: Callable[..., Engine]) -> None:
    """What means nothing alone is answered from the article of the message before."""
    model = ScriptedGenerator(ANSWER)
    engine = engines(model)
    listener = Listener()
    engine.submit(Question("And after that?", AGENT, earlier=(ORANGE,)), listener)
    begun = listener.events[0] if isinstance(listener.last(), Done) else None
    assert isinstance(begun, Begun)
    assert begun.asked.earlier == 1
    assert f"{ORANGE}\n\nAnd after that?" in model.asked[0]


def test_closing_answers_who_waits_and_refuses_who_comes(engines: Callable[..., Engine]) -> None:
    """A shutdown finishes what was accepted; a question after it is refused."""
    model = Gate()
    engine = engines(model, batch=1)
    listeners = [Listener() for _ in range(3)]
    for listener in listeners:
        engine.submit(Question(ORANGE, AGENT), listener)
    threading.Timer(0.2, model.go.set).start()
    engine.close(10)
    assert all(isinstance(listener.last(), Done) for listener in listeners)
    with pytest.raises(ClosedError):
        engine.submit(Question(ORANGE, AGENT), Listener())


def test_closing_gives_up_on_what_hangs(engines: Callable[..., Engine]) -> None:
    """Who still waits when the time for closing is over hears of it."""
    model = Gate()
    engine = engines(model, batch=1)
    first, second = Listener(), Listener()
    engine.submit(Question(ORANGE, AGENT), first)
    assert model.begun.wait(10)
    engine.submit(Question(ORANGE, AGENT), second)
    began = time.monotonic()
    engine.close(0.2)
    assert time.monotonic() - began < 5
    assert second.last() == Failed("the service was shut down")
    model.go.set()
