"""The routes: an OpenAI-compatible chat, its page, feedback, the decision log, blind ratings, health and metrics.

    app = create_app(Service(engine, store, variant), Limits(key="..."))

Blocking work (SQLite, grading) is in plain functions, which the framework runs on threads; the chat itself only waits
for events of the engine. Must not know how an answer is made.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from system.complaints import check_text
from system.errors import TextError
from system.evaluation.judge import AXES
from system.models import without_login
from system.privacy import masked
from system.records import Response
from system.service import wire
from system.service.engine import (
    Begun,
    ClosedError,
    Done,
    Engine,
    Event,
    Failed,
    Piece,
    Question,
    QueueFullError,
    Ticket,
)
from system.service.metrics import Metrics
from system.service.rating import PairTable, agreement
from system.service.shield import Limits, Shield
from system.service.store import Rating, Store
from system.service.wire import ChatRequest, FeedbackRequest, RatingRequest, ServiceError
from system.variants import VARIANTS, Variant

STATIC = Path(__file__).parent / "static"
ANSWER_SECONDS = 120.0
_log = logging.getLogger(__name__)
Grading = Callable[[Sequence[Response]], list[dict[str, float]]]


@dataclass
class Service:
    """What the routes work with."""

    engine: Engine
    store: Store
    variant: Variant  # answers where a request names none
    variants: dict[str, Variant] = field(default_factory=lambda: dict(VARIANTS))
    timeout: float = ANSWER_SECONDS  # of an answer, from its request on
    pairs: PairTable | None = None  # for the A/B page
    judge: Grading = lambda responses: []
    metrics: Metrics = field(default_factory=Metrics)
    ready: bool = True


def create_app(service: Service, limits: Limits | None = None) -> FastAPI:
    """The application over a service; closing the engine and the store is the caller's."""
    app = FastAPI(title="Support assistant", docs_url=None, redoc_url=None)
    app.add_middleware(Shield, limits=limits or Limits())
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    _add_pages(app, service)
    _add_chat(app, service)
    _add_log(app, service)
    _add_rating(app, service)
    _add_errors(app)
    return app


def _add_pages(app: FastAPI, service: Service) -> None:
    @app.get("/", include_in_schema=False)
    def chat_page() -> FileResponse:
        return FileResponse(STATIC / "chat.html")

    @app.get("/rate", include_in_schema=False)
    def rate_page() -> FileResponse:
        return FileResponse(STATIC / "rate.html")

    @app.get("/health")
    def health() -> JSONResponse:
        """Whether answers can be given: 200, or 503 while the model is being loaded."""
        found = {
            "status": "ok" if service.ready else "starting",
            "model": without_login(service.engine.assistant.base_model),
            "variant": service.variant.name,
            "variants": list(service.variants),
            "waiting": service.engine.waiting,
            "rating": service.pairs is not None,
        }
        return JSONResponse(found, 200 if service.ready else 503)

    @app.get("/metrics")
    def metrics() -> PlainTextResponse:
        """Prometheus' text format."""
        text = service.metrics.text(service.engine.waiting, service.store.thumbs())
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_chat(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def complete(body: ChatRequest) -> Any:
        """One answer; see OpenAI's chat completions. ``support`` holds decision and sources."""
        conversation = (body.metadata and body.metadata.conversation) or uuid.uuid4().hex
        try:
            question = _question(service, body, conversation)
            events = Listening(service, question)
        except ServiceError as error:
            service.metrics.refused.labels(error.code).inc()
            raise
        if body.stream:
            return StreamingResponse(events.stream(), media_type="text/event-stream")
        return JSONResponse(await events.whole())


def _question(service: Service, body: ChatRequest, conversation: str) -> Question:
    """What is asked. Raises ServiceError for a variant that does not exist and for a text that cannot be answered."""
    variant = service.variants.get(body.model) if body.model else service.variant
    if variant is None:
        known = ", ".join(service.variants)
        raise ServiceError(404, "unknown_model", f"model is unknown; leave it out, or give one of {known}")
    *before, last = body.messages
    if last.role != "user":
        raise ServiceError(400, "no_question", "the last message must be the user's")
    try:
        text = check_text(last.content)
    except TextError as error:
        raise ServiceError(400, "bad_text", str(error)) from error
    earlier = []
    for message in before:
        with suppress(TextError):  # what could not be answered then says nothing now
            earlier += [check_text(message.content)] if message.role == "user" else []
    return Question(text, variant, conversation, tuple(earlier))


class Listening:
    """One request's events, taken from the engine's thread into the event loop."""

    def __init__(self, service: Service, question: Question):
        """Submits the question. Raises ServiceError where the queue is full or the service ends."""
        loop = asyncio.get_running_loop()
        self._service, self._conversation = service, question.conversation
        self._end = loop.time() + service.timeout
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._variant = question.variant.name

        def on_event(event: Event) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, event)

        try:
            self._ticket: Ticket = service.engine.submit(question, on_event)
        except QueueFullError as error:
            wait = math.ceil(service.metrics.typical_seconds())
            raise ServiceError(429, "queue_full", str(error), retry_after=wait) from error
        except ClosedError as error:
            raise ServiceError(503, "closing", str(error), retry_after=60) from error

    async def whole(self) -> dict[str, Any]:
        """The finished answer. Raises ServiceError."""
        extra: dict[str, Any] = {}
        async for event in self._all():
            if isinstance(event, Begun):
                extra = self._support(event)
            elif isinstance(event, Done):
                return wire.completion(self._ticket.id, event.response, extra | _ending(event))
        raise AssertionError("the events ended without an answer")  # _all raises where there is none

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as server-sent events."""
        shown = ""
        extra: dict[str, Any] = {}
        try:
            async for event in self._all():
                if isinstance(event, Begun):
                    extra = self._support(event)
                    yield self._chunk({"role": "assistant"}, extra)
                elif isinstance(event, Piece):
                    shown += event.text
                    yield self._chunk({"content": event.text})
                elif isinstance(event, Done):
                    replaced = {"text": event.response.text} if shown != event.response.text else {}
                    yield self._chunk({}, extra | _ending(event) | replaced, "stop")
        except ServiceError as error:
            yield _sse(error.body())
        yield b"data: [DONE]\n\n"

    async def _all(self) -> AsyncIterator[Event]:
        """The events up to Done. Raises ServiceError for a failure and when time is up."""
        loop = asyncio.get_running_loop()
        metrics = self._service.metrics
        first = True
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), max(0.0, self._end - loop.time()))
                except asyncio.TimeoutError:
                    metrics.failed.labels("timeout").inc()
                    wait = f"no answer within {self._service.timeout:g} s; please try again"
                    raise ServiceError(504, "timeout", wait, retry_after=10) from None
                if isinstance(event, Failed):
                    _log.error("no answer: %s", event.reason)
                    metrics.failed.labels(event.reason.partition(":")[0]).inc()
                    raise ServiceError(500, "no_answer", "the assistant could not answer this; please try again")
                if isinstance(event, Piece) and first:
                    first = False
                    metrics.first_text.observe(self._service.timeout - (self._end - loop.time()))
                if isinstance(event, Done):
                    metrics.answered(event.response, event.seconds)
                    yield event
                    return
                yield event
        finally:
            self._ticket.cancel()

    def _support(self, event: Begun) -> dict[str, Any]:
        return wire.support(event.draft, event.asked, self._conversation, self._service.engine.titles)

    def _chunk(self, delta: dict[str, str], extra: dict[str, Any] | None = None, finish: str | None = None) -> bytes:
        return _sse(wire.chunk(self._ticket.id, self._variant, delta, extra, finish))


def _ending(event: Done) -> dict[str, Any]:
    return {"removed": len(event.response.removed), "seconds": round(event.seconds, 3)}


def _sse(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _add_log(app: FastAPI, service: Service) -> None:
    @app.post("/feedback")
    def feedback(body: FeedbackRequest) -> dict[str, Any]:
        """Thumbs of an answer: up, down, or null to take them back."""
        if not service.store.thumb(body.answer, body.thumb, masked(body.comment)):
            raise ServiceError(404, "unknown_answer", "there is no such answer; it may have been forgotten")
        return {"answer": body.answer, "thumb": body.thumb}

    @app.get("/decisions")
    def decisions(limit: int = Query(50, ge=1, le=500), before: wire.Id | None = None) -> dict[str, Any]:
        """What was decided and said, newest first; personal data is masked."""
        return {"decisions": service.store.answers(limit, before or "")}

    @app.delete("/conversations/{conversation}")
    def forget(conversation: wire.Id) -> dict[str, Any]:
        """Delete everything that is kept of a conversation."""
        return {"conversation": conversation, "forgotten": service.store.forget(conversation)}


def _add_rating(app: FastAPI, service: Service) -> None:
    def table() -> PairTable:
        if service.pairs is None:
            raise ServiceError(404, "no_pairs", "the service was started without answers to rate; see serve --pairs")
        return service.pairs

    def done_by(rater: str) -> set[str]:
        return {r.pair for r in service.store.ratings() if r.rater == rater} & set(table().pairs)

    @app.get("/ab/next")
    def next_pair(rater: str = Query(pattern=r"^[\w. -]{1,40}$")) -> dict[str, Any]:
        """The next pair that this person has not rated, without the variants' names."""
        done = done_by(rater)
        counts = {"done": len(done), "total": len(table().pairs)}
        shown = table().next(rater, done)
        if shown is None:
            return {"pair": None, **counts}
        return {"pair": shown.pair, "complaint": shown.complaint, "left": shown.left, "right": shown.right, **counts}

    @app.post("/ab/ratings")
    def rate(body: RatingRequest) -> dict[str, Any]:
        """The grades of one pair by one person; given again they replace the earlier ones."""
        shown = table().show(body.pair, body.rater)
        if shown is None:
            raise ServiceError(404, "unknown_pair", "there is no such pair")
        service.store.rate(
            Rating(body.pair, body.rater, variant, axis, getattr(grades, axis))
            for variant, grades in zip(shown.variants, (body.left, body.right), strict=True)
            for axis in AXES
        )
        return {"pair": body.pair, "done": len(done_by(body.rater)), "total": len(table().pairs)}

    @app.get("/ab/agreement")
    def agree() -> dict[str, Any]:
        """Krippendorff's alpha between raters and with the judge, and preferences. It names the variants."""
        return agreement(service.store.ratings(), table(), service.judge)


def _add_errors(app: FastAPI) -> None:
    async def refused(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, RequestValidationError):
            error = ServiceError(400, "bad_request", wire.what_is_wrong(error.errors()))
        elif isinstance(error, HTTPException):
            error = ServiceError(error.status_code, HTTPStatus(error.status_code).name.lower(), str(error.detail))
        elif not isinstance(error, ServiceError):
            raise error
        return error.reply()

    for kind in (ServiceError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, refused)
