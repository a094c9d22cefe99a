"""Reading ahead: a model that keeps what it has read reads what its prompts begin with before anybody asks.

    read_ahead(engine, variant)     after the service is ready, on a thread of its own

A prompt begins with the instructions and the best passage, and both are known beforehand; only the second passage and
the message are left to be read when a customer waits. It stands back while anybody is answered. Must not know HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

from system.assistant import Assistant
from system.records import Action, Decision, Hit
from system.retrieval import make_hit
from system.service.engine import Engine
from system.variants import Variant

PASSAGES = 100  # read ahead at most; each keeps 5 to 9 MB of the model's cache
MESSAGE = "(the message)"  # where a prompt has it, what is known beforehand ends
PAUSE = 0.1  # seconds between two looks at whether anybody is answered


@runtime_checkable
class Reader(Protocol):
    """A model that keeps what it has read; ``system.llamacpp`` has one."""

    def read(self, beginnings: Sequence[str]) -> None:
        """Read what many prompts begin with. Raises ModelError."""


def beginnings(assistant: Assistant, variant: Variant) -> list[str]:
    """What the prompts of a variant begin with: one for each passage that may come first, and one without passages."""
    cases: list[tuple[str, Decision, Sequence[Hit]]] = []
    if variant.policy != "always":
        cases.append((MESSAGE, _decision("DIRECT"), ()))
    if variant.policy != "never":
        hits = (make_hit(passage, 1.0) for passage in islice(assistant.passages, PASSAGES))
        cases += [(MESSAGE, _decision("RAG"), [hit]) for hit in hits]
    prompts = [prompt for prompt, _ in assistant.prompts(variant, cases) if prompt]
    return [prompt.text[: prompt.text.rindex(MESSAGE)] for prompt in prompts]


def read_ahead(engine: Engine, variant: Variant) -> int:
    """Let the model read ahead while nobody is answered, until all is read or the engine closes; how many it has read.

    A model that keeps nothing reads nothing. Raises ModelError.
    """
    model = engine.assistant.generator(variant.adapter)
    if not isinstance(model, Reader):
        return 0
    read = 0
    for beginning in beginnings(engine.assistant, variant):
        while not (engine.is_idle or engine.is_closed):
            time.sleep(PAUSE)
        if engine.is_closed:
            break
        model.read([beginning])
        read += 1
    return read


def _decision(action: Action) -> Decision:
    return Decision(action=action, reason="read ahead", score=1.0, threshold=0.0)
