"""Base models behind an OpenAI-compatible server (vLLM, Ollama, llama.cpp, OpenAI): ``openai:MODEL@BASE_URL``.

The key, if the server wants one, is read from OPENAI_API_KEY. A request that fails after its retries becomes a
completion with a named error: one broken answer must not take the others with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx

from system.errors import SettingsError
from system.generation import Completion
from system.models import ModelSource
from system.records import Decoding

CONCURRENCY = 8
TIMEOUT_SECONDS = 120.0
RETRIES = 3
RETRY_STATUS = frozenset({408, 429, 500, 502, 503, 504})
CONTROL_MARKERS = (
    *("<|", "|>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    *("<s>", "</s>", "<start_of_turn>", "<end_of_turn>"),
)


class ServerGenerator:
    """A Generator whose prompt is the JSON of the chat messages."""

    def __init__(self, source: ModelSource, pause: Callable[[float], None] = time.sleep):
        self.source = source
        self.adapter: str | None = None
        self.adapter_hash: str | None = None
        self._model, _, self._url = source.location.partition("@")
        self._pause = pause

    def chat(self, system: str, user: str) -> str:
        """The messages as JSON; the server applies the model's chat format."""
        turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return json.dumps(turns, ensure_ascii=False)

    def neutralise(self, text: str) -> str:
        """Break up the control tokens of the common chat formats; the server's tokenizer is out of reach."""
        for marker in CONTROL_MARKERS:
            text = text.replace(marker, f"{marker[0]} {marker[1:]}")
        return text

    def count_tokens(self, text: str) -> int:
        """An estimate: English has about four characters a token in the usual vocabularies."""
        return (len(text) + 3) // 4

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """Ask the server, several requests at a time; yield (position, completion) as each arrives."""
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not (key.isascii() and key.isprintable()):  # httpx would quote the key in its error
            raise SettingsError("OPENAI_API_KEY holds a character that no HTTP header can carry; set it anew")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        began = time.perf_counter()
        with (
            httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS) as client,
            ThreadPoolExecutor(CONCURRENCY) as pool,
        ):
            jobs = {pool.submit(self._ask, client, prompt, decoding): n for n, prompt in enumerate(prompts)}
            for job in as_completed(jobs):
                text, tokens, stopped, error = job.result()
                if on_text and text:
                    on_text(jobs[job], text)
                yield jobs[job], Completion(text, tokens, stopped, time.perf_counter() - began, error)

    def _ask(self, client: httpx.Client, prompt: str, decoding: Decoding) -> tuple[str, int, bool, str | None]:
        """One request with retries: (text, tokens, stopped, error)."""
        body = {
            "model": self._model,
            "messages": json.loads(prompt),
            "max_tokens": decoding.max_new_tokens,
            "temperature": 0,
            "seed": decoding.seed,
        }
        error = ""
        for attempt in range(RETRIES):
            if attempt:
                self._pause(2.0**attempt / 2)
            try:
                reply = client.post(f"{self._url}/chat/completions", json=body)
            except httpx.TimeoutException:
                error = f"TimeOut: no answer within {TIMEOUT_SECONDS:.0f} s"
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                error = f"ConnectionFailed: {problem}"
                continue
            if reply.status_code in RETRY_STATUS:
                error = f"ServerError: status {reply.status_code}"
                continue
            if reply.status_code != 200:
                return "", 0, False, f"RequestRefused: status {reply.status_code}"
            return _parse(reply)
        return "", 0, False, error


def _parse(reply: httpx.Response) -> tuple[str, int, bool, str | None]:
    """Take the first choice out of a chat completion; anything else is a named error."""
    try:
        data = reply.json()
        choice = data["choices"][0]
        text = choice["message"]["content"]
        tokens = (data.get("usage") or {}).get("completion_tokens") or 0
        if not (isinstance(text, str) and isinstance(tokens, int)):
            raise TypeError
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return "", 0, False, "MalformedReply: not a chat completion"
    return text, tokens, choice.get("finish_reason") == "stop", None
