"""Base models behind an OpenAI-compatible server (vLLM, Ollama, llama.cpp, OpenAI): ``openai:MODEL@BASE_URL``.

The requests, their retries and the key are ``system.openai_client``'s.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence

from system.generation import Completion
from system.models import ModelSource
from system.openai_client import CONCURRENCY, RETRIES, TIMEOUT_SECONDS, ChatClient, Reply, neutralise
from system.records import Decoding


class ServerGenerator:
    """A Generator whose prompt is the JSON of the chat messages."""

    def __init__(self, source: ModelSource, pause: Callable[[float], None] = time.sleep):
        self.source = source
        self.adapter: str | None = None
        self.adapter_hash: str | None = None
        self._client = ChatClient(
            source.location, timeout=TIMEOUT_SECONDS, tries=RETRIES, concurrency=CONCURRENCY, pause=pause
        )

    def chat(self, system: str, user: str) -> str:
        """The messages as JSON; the server applies the model's chat format."""
        turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return json.dumps(turns, ensure_ascii=False)

    def neutralise(self, text: str) -> str:
        """Break up the control tokens of the common chat formats."""
        return neutralise(text)

    def count_tokens(self, text: str) -> int:
        """An estimate: English has about four characters a token in the usual vocabularies."""
        return (len(text) + 3) // 4

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """Ask the server, several requests at a time; yield (position, completion) as each arrives."""
        bodies = [
            {
                "messages": json.loads(prompt),
                "max_tokens": decoding.max_new_tokens,
                "temperature": 0,
                "seed": decoding.seed,
            }
            for prompt in prompts
        ]
        began = time.perf_counter()
        for position, reply in self._client.ask_all(bodies):
            done = _completion(reply, time.perf_counter() - began)
            if on_text and done.text:
                on_text(position, done.text)
            yield position, done


def _completion(reply: Reply, seconds: float) -> Completion:
    """The reply as a completion; one without text, as to a request for a tool, is a named error."""
    if reply.error is not None or reply.text is None:
        return Completion("", 0, False, seconds, reply.error or "MalformedReply: not a chat completion")
    return Completion(reply.text, reply.completion_tokens, reply.finish == "stop", seconds)
