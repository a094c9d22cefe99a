"""Requests to OpenAI-compatible servers (vLLM, Ollama, llama.cpp, OpenAI): time-outs, retries, key, broken replies.

    client = ChatClient("MODEL@BASE_URL")
    for position, reply in client.ask_all([{"messages": [...], "temperature": 0}]): ...

The only place that retries such a request. The key, if the server wants one, is read from OPENAI_API_KEY, and the most
tokens that a client may spend from SUPPORT_TOKEN_BUDGET. A request that fails after its retries becomes a reply with a
named error: one broken answer must not take the others with it.
Must not know what is asked, or what the answer means.
"""

from __future__ import annotations

import email.utils
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any, NamedTuple

import httpx

from system.errors import SettingsError

CONCURRENCY = 8
TIMEOUT_SECONDS = 120.0
RETRIES = 3  # tries in all
BUDGET = "SUPPORT_TOKEN_BUDGET"
LONGEST_PAUSE = 60.0  # seconds; caps what a server may ask for by Retry-After
RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
SHORTEST_KEY = 8  # characters; "none" or "x", as keyless servers are given, are words that a reply may hold
CONTROL_MARKERS = (
    *("<|", "|>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    *("<s>", "</s>", "<start_of_turn>", "<end_of_turn>"),
)


class Reply(NamedTuple):
    """The first choice of a chat completion, or the named error that took its place."""

    text: str | None = None
    finish: str = ""  # finish_reason; empty where the server does not say
    refusal: str = ""
    prompt_tokens: int = 0  # 0 where the server does not say
    completion_tokens: int = 0
    error: str | None = None


class ChatClient:
    """One model behind one base URL. ``timeout`` is in seconds and bounds each try as a whole."""

    def __init__(
        self,
        location: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        tries: int = RETRIES,
        concurrency: int = CONCURRENCY,
        pause: Callable[[float], None] = time.sleep,
    ):
        """``location`` is MODEL@BASE_URL; ``pause`` waits for a number of seconds. Raises SettingsError."""
        self.model, _, address = location.partition("@")
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL()
        if not url.host or url.query or url.fragment:  # a path cannot be added behind a query
            raise SettingsError(f"base URL of model {self.model!r} cannot be used; give http(s)://HOST[:PORT]/PATH")
        # Apart from the address, so that neither an error nor httpx's log can hold the password.
        self._login = (url.username, url.password) if url.userinfo else None
        self.base_url = str(url.copy_with(userinfo=b"")).rstrip("/")
        self._timeout, self._tries, self._concurrency, self._pause = timeout, tries, concurrency, pause
        self._spending = _Spending(os.environ.get(BUDGET, ""))

    def ask_all(self, bodies: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Reply]]:
        """Send the requests, several at a time; yield (position, reply) as each arrives.

        ``model`` is added to each. Raises SettingsError, before anything is sent, for a key that no header can carry.
        """
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (key.isascii() and key.isprintable()):  # httpx would quote the key in its error
            raise SettingsError("OPENAI_API_KEY holds a character that no HTTP header can carry; set it anew")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with (
            httpx.Client(headers=headers, auth=self._login, timeout=self._timeout) as client,
            ThreadPoolExecutor(self._concurrency) as pool,
        ):
            jobs = {pool.submit(self._ask, client, body, key): n for n, body in enumerate(bodies)}
            try:
                for job in as_completed(jobs):
                    yield jobs[job], job.result()
            finally:  # Ctrl-C, or a caller who has heard enough: what was not sent yet costs nothing
                pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, client: httpx.Client, body: Mapping[str, Any], key: str) -> Reply:
        """One request with retries."""
        content = json.dumps({"model": self.model, **body}).encode()  # ASCII, so that half a surrogate pair is no error
        error, asked = "", ""
        if self._spending.is_over:
            return Reply(error=f"BudgetSpent: {self._spending.tokens:,} tokens; {BUDGET} allows no more")
        for attempt in range(self._tries):
            if attempt:
                self._pause(pause_seconds(asked, attempt))
            asked = ""
            try:
                status, asked, data = self._post(client, content)
            except httpx.TimeoutException:
                error = f"TimeOut: no answer within {self._timeout:g} s"
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                error = f"ConnectionFailed: {' '.join(str(problem).split()) or type(problem).__name__}"
                continue
            if status in RETRY_STATUS:
                error = f"ServerError: status {status}"
                continue
            if status != 200:
                return Reply(error=f"RequestRefused: status {status}")
            reply = _parse(data)
            self._spending.add(reply.prompt_tokens + reply.completion_tokens)
            if len(key) >= SHORTEST_KEY:  # a server that repeats the key must not get it into a log
                text = reply.text and reply.text.replace(key, "[key]")
                reply = reply._replace(text=text, refusal=reply.refusal.replace(key, "[key]"))
            return reply
        return Reply(error=error)

    def _post(self, client: httpx.Client, content: bytes) -> tuple[int, str, bytes]:
        """One try: (status, Retry-After, body). httpx limits only the silence between two pieces, this the whole."""
        deadline = time.monotonic() + self._timeout
        with client.stream("POST", f"{self.base_url}/chat/completions", content=content) as answer:
            pieces = []
            for piece in answer.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer trickles in")
            return answer.status_code, answer.headers.get("Retry-After", ""), b"".join(pieces)


class _Spending:
    """Tokens that a client has spent, by what servers say, held against the budget; requests under way are not."""

    def __init__(self, budget: str):
        if budget and not (budget.isdecimal() and int(budget) > 0):
            raise SettingsError(f"{BUDGET}={budget!r}: give a number of tokens above 0")
        self._budget = int(budget) if budget else None
        self._lock = threading.Lock()
        self.tokens = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more may be asked."""
        return self._budget is not None and self.tokens >= self._budget

    def add(self, tokens: int) -> None:
        """Note what a reply has cost."""
        with self._lock:
            self.tokens += tokens


def pause_seconds(retry_after: str, attempt: int) -> float:
    """Seconds to wait before try ``attempt`` (1 is the first repetition): 1, 2, 4, ... or longer if the server asks.

    ``retry_after`` is in seconds or an HTTP date. Up to half the back-off is added at random, so that requests
    refused together do not come back together.
    """
    backoff = 2.0 ** (attempt - 1)
    asked = 0.0
    with suppress(ValueError, OverflowError):
        date = email.utils.parsedate_tz(retry_after)
        asked = email.utils.mktime_tz(date) - time.time() if date else float(retry_after)
    asked = asked if asked > 0 else 0.0  # a date gone by, and "nan", which compares with nothing
    return max(backoff, min(asked, LONGEST_PAUSE)) + random.uniform(0, backoff / 2)


def neutralise(text: str) -> str:
    """Break up the control tokens of the common chat formats; the server's tokenizer is out of reach."""
    for marker in CONTROL_MARKERS:
        text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text


def _parse(data: bytes) -> Reply:
    """Take the first choice out of a chat completion; anything else is a named error."""
    try:
        found = json.loads(data)
        choice = found["choices"][0]
        message, usage = choice["message"], found.get("usage") or {}
        text, refusal = message.get("content"), message.get("refusal") or ""
        asked, answered = (usage.get(f"{kind}_tokens") or 0 for kind in ("prompt", "completion"))
        if not (isinstance(text, str | None) and isinstance(refusal, str)):
            raise TypeError
        if not (isinstance(asked, int) and isinstance(answered, int)):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return Reply(error="MalformedReply: not a chat completion")
    return Reply(text, str(choice.get("finish_reason") or ""), refusal, asked, answered)
