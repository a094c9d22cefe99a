"""A judge behind an OpenAI-compatible server: ``openai:MODEL@BASE_URL``, prompted with data/judge_rubric.toml.

    judge = RemoteJudge("openai:gpt-4o-mini@https://api.openai.com/v1")
    judge.grade(pairs) -> [Grade(values={"helpfulness": 4.0, ...}, explanation="the judge's reason")]
    judge.compare("…complaint…", "…reply…", "…other reply…") -> Preference("first", consistent=True, ...)
    judge.usage -> Usage(requests=2, prompt_tokens=3120, completion_tokens=118, uncounted=0, dollars=0.00054)

The words and the quoting are ``system.evaluation.judge_prompt``'s, requests and retries ``system.openai_client``'s. The
key is read from OPENAI_API_KEY, the price from JUDGE_PRICE_PER_MILLION. An answer that is not exactly one object of the
right shape is a named error and never half a grade. Knows no gate, no variant and no complaint's labels.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from system.errors import ModelError, SettingsError
from system.evaluation.judge import AXES, HIGHEST, LOWEST, OPENAI_PREFIX, RUBRIC, Pair, read_rubric
from system.evaluation.judge_prompt import (
    COMPARE_TASK,
    GRADE_TASK,
    RULES,
    answer_format,
    material_of,
    only_object,
    rendered,
)
from system.evaluation.scorers import Grade
from system.models import file_sha256, resolve_model, without_login
from system.openai_client import CONCURRENCY, RETRIES, TIMEOUT_SECONDS, ChatClient, Reply
from system.privacy import company_values, mask

TEMPERATURE = 0
MAX_TOKENS = 800  # of an answer; about twice the longest that the schema allows
JUSTIFICATION_CHARS = 400
CONTEXT_CHARS = 48_000  # all articles of the knowledge base, about 12,000 tokens
QUIET = 20  # requests; more show a progress bar
PRICE = "JUDGE_PRICE_PER_MILLION"


class Usage(NamedTuple):
    """What a judge has used since it was made. ``dollars`` is None without a price."""

    requests: int = 0  # answered ones; a failed try is not counted
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0  # answers that did not state their tokens: above 0, the rest is a lower bound
    dollars: float | None = None


class Preference(NamedTuple):
    """Which of two replies is better, asked in both orders; ``winner`` is None where there is an error."""

    winner: Literal["first", "second", "tie"] | None
    consistent: bool = False  # both orders gave the same answer
    explanation: str = ""
    error: str | None = None


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    """The judge's answer on two replies."""

    justification: str
    better: Literal["A", "B", "tie"]


Marks: Any = msgspec.defstruct(
    "Marks", [("justification", str), *((axis, int) for axis in AXES)], forbid_unknown_fields=True
)
T = TypeVar("T")


class RemoteJudge:
    """A Judge. One instance may be asked again and again; ``usage`` sums over all of it."""

    def __init__(
        self,
        name: str,
        *,
        rubric: Path = RUBRIC,
        price: tuple[float, float] | None = None,
        context_chars: int = CONTEXT_CHARS,
        justification_chars: int = JUSTIFICATION_CHARS,
        max_tokens: int = MAX_TOKENS,
        timeout: float = TIMEOUT_SECONDS,
        tries: int = RETRIES,
        concurrency: int = CONCURRENCY,
        pause: Callable[[float], None] = time.sleep,
    ):
        """``price`` is US dollars a million prompt tokens and completion tokens, by default from the environment.

        ``timeout`` is in seconds a try. Raises SettingsError for a malformed name, price or rubric.
        """
        try:
            location = resolve_model(name if name.startswith(OPENAI_PREFIX) else OPENAI_PREFIX).location
        except ModelError:  # its message speaks of a base model
            shown = without_login(name)
            raise SettingsError(f"judge {shown!r}: write openai:MODEL@BASE_URL, an http or https address") from None
        self._client = ChatClient(location, timeout=timeout, tries=tries, concurrency=concurrency, pause=pause)
        self._price = price or _price(os.environ.get(PRICE, ""))
        self._context_chars, self._max_tokens = context_chars, max_tokens
        self._rubric_sha = file_sha256(rubric)
        shown = rendered(read_rubric(rubric))
        self._grade_task = GRADE_TASK.format(rubric=shown, rules=RULES)
        self._compare_task = COMPARE_TASK.format(rubric=shown, rules=RULES)
        marks = {axis: {"type": "integer", "enum": [1, 2, 3, 4, 5]} for axis in AXES}
        self._grade_schema = answer_format("grade", marks, justification_chars)
        better = {"better": {"type": "string", "enum": ["A", "B", "tie"]}}
        self._compare_schema = answer_format("preference", better, justification_chars)
        self._usage = Usage()

    @property
    def signature(self) -> str:
        """Everything the grades depend on besides the pair; the URL without user and password."""
        sample = [self._messages(GRADE_TASK + COMPARE_TASK + RULES, {"reply": "<>"}, "x")]
        parts = {
            "judge": f"{self._client.model}@{self._client.base_url}",
            "rubric": self._rubric_sha[:16],
            "prompt": _sha(sample),
            "context": self._context_chars,
            "temperature": TEMPERATURE,
            "schema": _sha([self._grade_schema, self._compare_schema]),
        }
        return " ".join(f"{name}={value}" for name, value in parts.items())

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost in US dollars since this judge was made."""
        if not self._price:
            return self._usage
        counts = (self._usage.prompt_tokens, self._usage.completion_tokens)
        return self._usage._replace(dollars=sum(n * p for n, p in zip(counts, self._price, strict=True)) / 1e6)

    def grade(self, pairs: Sequence[Pair]) -> list[Grade]:
        """See Judge. Raises SettingsError for a key that no HTTP header can carry."""
        asked = [
            self._messages(self._grade_task, {"complaint": one.complaint, "reply": one.response}, one.context)
            for one in pairs
        ]
        return [_grade(_read(*reply, Marks)) for reply in self._ask(asked, self._grade_schema)]

    def compare(self, complaint: str, first: str, second: str, context: str = "") -> Preference:
        """Which of two replies is better. The orders contradicting each other, it is a tie that is not consistent."""
        return self.compare_many([(complaint, first, second)], context)[0]

    def compare_many(self, triples: Iterable[tuple[str, str, str]], context: str = "") -> list[Preference]:
        """``compare`` for many (complaint, first, second), several requests at a time."""
        asked = [
            self._messages(self._compare_task, {"complaint": complaint, "reply_a": a, "reply_b": b}, context)
            for complaint, first, second in triples
            for a, b in ((first, second), (second, first))
        ]
        found = [_read(*reply, Choice) for reply in self._ask(asked, self._compare_schema)]
        return [_preference(*both) for both in zip(found[::2], found[1::2], strict=True)]

    def _messages(self, task: str, texts: dict[str, str], context: str) -> list[dict[str, str]]:
        """The task, and the material to judge, customers' personal data masked: the server is somebody else's."""
        complaint = mask(texts.get("complaint", ""), _company_values(context))
        texts = {name: complaint.hide(text) for name, text in texts.items()}
        if len(context) > self._context_chars:
            context = f"{context[: self._context_chars]} [cut]"
        company = {"company": context} if context else {}
        # What all pairs share comes first, so that the server can reuse its work.
        return [{"role": "system", "content": task}, {"role": "user", "content": material_of(company | texts)}]

    def _ask(self, asked: list[list[dict[str, str]]], schema: dict[str, Any]) -> list[tuple[Reply, str]]:
        """The replies in order, each with the material it was asked about."""
        from tqdm import tqdm

        same = {"max_tokens": self._max_tokens, "temperature": TEMPERATURE, "seed": 0, "response_format": schema}
        arriving = self._client.ask_all([{"messages": messages, **same} for messages in asked])
        replies = [Reply()] * len(asked)
        for position, reply in tqdm(arriving, total=len(asked), unit="request", disable=len(asked) <= QUIET):
            replies[position] = reply
            if reply.error is None:
                old, tokens = self._usage, (reply.prompt_tokens, reply.completion_tokens)
                self._usage = Usage(
                    old.requests + 1,
                    old.prompt_tokens + tokens[0],
                    old.completion_tokens + tokens[1],
                    old.uncounted + (0 in tokens),
                )
        return [(reply, messages[-1]["content"]) for reply, messages in zip(replies, asked, strict=True)]


def swap_consistency(judge: RemoteJudge, triples: Iterable[tuple[str, str, str]]) -> float:
    """Share of (complaint, first, second) on which the order of the replies does not change the answer, 0 to 1.

    Triples that ended in an error count neither way; nan if all did. ``compare_many`` tells them one by one.
    """
    answered = [one.consistent for one in judge.compare_many(triples) if one.error is None]
    return sum(answered) / len(answered) if answered else math.nan


@lru_cache(maxsize=8)  # all pairs of a run share one text of the company's
def _company_values(context: str) -> frozenset[str]:
    return company_values(context)


def _grade(found: Any) -> Grade:
    """The judge's marks as a Grade; ``found`` is Marks or a named error."""
    if isinstance(found, str):
        return Grade(error=found)
    values = {axis: getattr(found, axis) for axis in AXES}
    for axis, value in values.items():
        if not LOWEST <= value <= HIGHEST:
            return Grade(error=f"OutOfRange: {axis} {value}"[:80])
    return Grade(values={axis: float(value) for axis, value in values.items()}, explanation=found.justification)


def _preference(one: Choice | str, two: Choice | str) -> Preference:
    """Two answers, the second about the replies the other way round, as one."""
    if isinstance(one, str) or isinstance(two, str):
        return Preference(None, error=one if isinstance(one, str) else str(two))
    names: dict[str, Literal["first", "second", "tie"]] = {"A": "first", "B": "second", "tie": "tie"}
    turned = {"A": "B", "B": "A", "tie": "tie"}
    consistent = one.better == turned[two.better]
    explanation = one.justification if consistent else f"{one.justification} / turned round: {two.justification}"
    return Preference(names[one.better] if consistent else "tie", consistent, explanation)


def _read(reply: Reply, material: str, kind: type[T]) -> T | str:
    """What the judge said as a record, or the named error that says why it is none."""
    if reply.error is not None:
        return reply.error
    if reply.refusal or reply.finish == "content_filter":
        return f"Refusal: {' '.join(reply.refusal.split())[:200] or 'content filter'}"
    if reply.finish == "length":
        return "CutOff: the answer reached max_tokens"
    text = (reply.text or "").strip()
    if not text:
        return "EmptyReply: no text"
    try:
        return msgspec.convert(only_object(text, material), kind)
    except msgspec.ValidationError as problem:
        return f"SchemaMismatch: {' '.join(str(problem).split())[:200]}"
    except (ValueError, RecursionError):
        return "NotJson: the answer holds no JSON object that can be read"


def _price(text: str) -> tuple[float, float] | None:
    """The price in US dollars from its text, "IN,OUT"; None where there is none. Raises SettingsError."""
    if not text.strip():
        return None
    try:
        asked, answered = (float(part) for part in text.split(","))
        if not (0 <= asked < math.inf and 0 <= answered < math.inf):
            raise ValueError
    except ValueError:
        raise SettingsError(f"{PRICE}={text!r}: give IN,OUT in US dollars a million tokens, as 0.15,0.60") from None
    return asked, answered


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
