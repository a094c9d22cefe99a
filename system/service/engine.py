"""Threads that answer: a bounded queue in front, batches behind, events out while an answer grows.

    engine = Engine(assistant, keep=store.add)
    ticket = engine.submit(Question("My bill is wrong.", variant), on_event)     raises QueueFull
    on_event(Begun(...)), on_event(Piece("I am sorry.")), ..., on_event(Done(response))     from an engine thread

Everything that waits when a lane becomes free is answered as one batch, because a batch costs little more than one of
it; a backend that mixes requests by itself gets several lanes of one request each. ``keep`` has returned before Done
is sent: what a client was told is on disk. Knows the assistant; must not know HTTP.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from system.assistant import Assistant, Draft
from system.conversation import Asked, in_context
from system.errors import SupportError
from system.records import Complaint, Response
from system.streaming import SentenceStream
from system.variants import Variant

BATCH = 8  # requests answered together; more would keep the first of them waiting for the longest
WAITING = 32  # requests in the queue; four batches are about half a minute on two cores


class QueueFullError(SupportError):
    """As many requests wait as may wait."""


class ClosedError(SupportError):
    """The engine is shutting down and takes no more requests."""


class _AbandonedError(Exception):
    """Nobody listens to this batch any more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a customer wrote, and before that in the same conversation."""

    text: str
    variant: Variant
    conversation: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The decision is taken and the passages are found."""

    draft: Draft
    asked: Asked


@dataclass(frozen=True, slots=True)
class Piece:
    """Further whole sentences of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The whole answer. It is what the pieces make, unless it had to be replaced."""

    response: Response
    seconds: float  # since it was asked


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer, and why, in words for the log; a customer is told less."""

    reason: str


Event = Begun | Piece | Done | Failed


@dataclass
class Ticket:
    """One request on its way. ``cancel`` it when nobody waits for the answer."""

    question: Question
    on_event: Callable[[Event], None]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    asked_at: float = field(default_factory=time.monotonic)
    cancelled: bool = False

    def cancel(self) -> None:
        """No event is sent from now on; a batch in which everybody cancelled ends."""
        self.cancelled = True

    def send(self, event: Event) -> None:
        """Hand an event to whoever asked."""
        if not self.cancelled:
            with suppress(RuntimeError):  # the listener's event loop has ended
                self.on_event(event)


class Engine:
    """Answers questions on threads of its own. Close it, or its threads live as long as the process."""

    def __init__(
        self,
        assistant: Assistant,
        keep: Callable[[Ticket, Response], None] = lambda *_: None,
        *,
        lanes: int = 1,
        batch: int = BATCH,
        waiting: int = WAITING,
    ):
        self.assistant = assistant
        self._keep, self._batch, self._room = keep, batch, waiting
        self._waiting: deque[Ticket] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._answering = 0  # batches
        self._reading = threading.Lock()  # retrieval and decision share one embedder
        self._threads = [threading.Thread(target=self._lane, daemon=True) for _ in range(lanes)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for a lane."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nobody is being answered."""
        with self._news:
            return not self._waiting and not self._answering

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._closed

    @cached_property
    def titles(self) -> dict[str, str]:
        """The title of each passage's article, by the passage's id."""
        return {passage.id: passage.title for passage in self.assistant.passages}

    def submit(self, question: Question, on_event: Callable[[Event], None]) -> Ticket:
        """Put a question into the queue. Raises QueueFullError or ClosedError."""
        ticket = Ticket(question, on_event)
        with self._news:
            if self._closed:
                raise ClosedError("the service is shutting down; ask again in a minute")
            if len(self._waiting) >= self._room:
                raise QueueFullError(f"{self._room} requests wait already; try again in a little while")
            self._waiting.append(ticket)
            self._news.notify()
        return ticket

    def warm_up(self, variant: Variant) -> None:
        """Load everything that an answer needs, by answering."""
        complaint = Complaint(id="warm-up", text="My internet connection is slow.")
        list(self.assistant.answer(self.assistant.drafts([complaint], variant)))

    def close(self, seconds: float = 30.0) -> None:
        """Take no more requests, answer those that wait, and end the threads; after ``seconds`` give up on them."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        while self._waiting:
            self._waiting.popleft().send(Failed("the service was shut down"))

    def _lane(self) -> None:
        while tickets := self._next():
            try:
                self._answer(tickets)
            except _AbandonedError:
                continue
            except Exception as error:  # the next ones must be answered, whatever these ran into
                for ticket in tickets:
                    ticket.send(Failed(f"{type(error).__name__}: {error}"))
            finally:
                with self._news:
                    self._answering -= 1

    def _next(self) -> list[Ticket]:
        """What waits, at most a batch of it, once there is any; empty when the engine is closed and all is done."""
        with self._news:
            while True:
                taken: list[Ticket] = []
                while self._waiting and len(taken) < self._batch:
                    ticket = self._waiting.popleft()
                    if not ticket.cancelled:
                        taken.append(ticket)
                if taken or self._closed:
                    self._answering += bool(taken)
                    return taken
                self._news.wait()

    def _answer(self, tickets: Sequence[Ticket]) -> None:
        by_id = {ticket.id: ticket for ticket in tickets}
        streams: dict[str, SentenceStream] = {}
        asked: dict[str, Asked] = {}
        drafts: list[Draft] = []
        with self._reading:
            for ticket in tickets:
                question = ticket.question
                asked[ticket.id] = in_context(self.assistant.decisions, question.earlier, question.text)
                complaint = Complaint(id=ticket.id, text=asked[ticket.id].text)
                drafts += self.assistant.drafts([complaint], question.variant)
        for draft in drafts:
            streams[draft.complaint.id] = SentenceStream(draft)
            by_id[draft.complaint.id].send(Begun(draft, asked[draft.complaint.id]))

        def grow(draft: Draft, text: str) -> None:
            if all(ticket.cancelled for ticket in tickets):
                raise _AbandonedError
            if piece := streams[draft.complaint.id].grow(text):
                by_id[draft.complaint.id].send(Piece(piece))

        for response in self.assistant.answer(drafts, grow):
            ticket = by_id[response.id]
            if response.error:
                ticket.send(Failed(response.error))
                continue
            self._keep(ticket, response)
            if piece := streams[response.id].finish(response):
                ticket.send(Piece(piece))
            ticket.send(Done(response, time.monotonic() - ticket.asked_at))
