"""The service's words: requests as they are checked, answers as they are sent.

The chat's are OpenAI's, so that any client of such a server can talk to it; what a support team wants besides (the
decision, the sources) stands in ``support``. Must not know threads, files or how a request came.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse

from system.assistant import Draft
from system.complaints import MAX_CHARACTERS
from system.conversation import Asked
from system.decision import passages_behind
from system.records import Response
from system.service.store import Thumb

MESSAGES = 100  # of one conversation
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Grade = Annotated[int, Field(ge=1, le=5, strict=True)]


class ServiceError(Exception):
    """A request that is refused: its HTTP status, its kind as OpenAI names it, and one sentence for the client."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None):
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after

    def reply(self) -> JSONResponse:
        """The reply that refuses the request."""
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return JSONResponse(self.body(), self.status, headers)

    def body(self) -> dict[str, Any]:
        """The JSON of the reply."""
        kinds = {401: "authentication_error", 429: "rate_limit_error", 503: "overloaded_error"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "code": self.code}}


class _Foreign(BaseModel):
    """A body in OpenAI's form, which may hold settings that mean nothing here."""

    model_config = ConfigDict(extra="ignore")


class _Own(BaseModel):
    """A body in this service's own form, in which an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid")


class Message(_Foreign):
    """One turn. A system message is accepted and not used: the assistant's instructions are its own."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, StringConstraints(max_length=4 * MAX_CHARACTERS)]


class Metadata(_Foreign):
    """What a client may say about its request."""

    conversation: Id | None = None


class ChatRequest(_Foreign):
    """The body of /v1/chat/completions. ``model`` is the name of a variant."""

    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES)]
    stream: bool = False
    metadata: Metadata | None = None


class FeedbackRequest(_Own):
    """The body of /feedback."""

    answer: Id
    thumb: Thumb | None
    comment: Annotated[str, StringConstraints(max_length=1000)] = ""


class Grades(_Own):
    """One answer's grades on the four axes."""

    helpfulness: Grade
    clarity: Grade
    empathy: Grade
    safety: Grade


class RatingRequest(_Own):
    """The body of /ab/ratings."""

    pair: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    rater: Annotated[str, StringConstraints(pattern=r"^[\w. -]{1,40}$")]
    left: Grades
    right: Grades


def support(draft: Draft, asked: Asked, conversation: str, titles: Mapping[str, str]) -> dict[str, Any]:
    """What a support team sees of an answer: the decision and the passages, ``used`` if they were read or quoted."""
    decision = draft.decision
    used = passages_behind(decision, draft.prompt, draft.hits)
    return {
        "conversation": conversation,
        "earlier_messages": asked.earlier,
        "decision": {
            "action": decision.action,
            "reason": decision.reason,
            "score": round(decision.score, 4),
            "threshold": round(decision.threshold, 4),
        },
        "sources": [
            {
                "passage": hit.passage,
                "doc": hit.doc,
                "title": titles[hit.passage],
                "heading": hit.heading,
                "text": hit.text,
                "score": round(hit.score, 4),
                "used": hit.passage in used,
            }
            for hit in draft.hits
        ],
    }


def completion(identifier: str, response: Response, extra: dict[str, Any]) -> dict[str, Any]:
    """A chat.completion object."""
    asked, said = response.tokens["prompt"], response.tokens["completion"]
    return {
        "id": identifier,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": response.variant,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": response.text}, "finish_reason": "stop"},
        ],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
        "support": extra,
    }


def chunk(
    identifier: str, model: str, delta: dict[str, str], extra: dict[str, Any] | None = None, finish: str | None = None
) -> dict[str, Any]:
    """A chat.completion.chunk object."""
    return {
        "id": identifier,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | ({"support": extra} if extra is not None else {})


def what_is_wrong(problems: Sequence[Any]) -> str:
    """One sentence about a body that does not fit; values are not repeated, for they may be personal."""
    where = [".".join(str(part) for part in problem["loc"][1:]) or "body" for problem in problems]
    return "; ".join(f"{place}: {problem['msg']}" for place, problem in zip(where, problems, strict=True))[:600]
