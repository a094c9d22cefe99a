"""Whoever is in danger, threatens to harm themselves, is being defrauded or asks for a person is handed to one.

Zero tolerance over the 24 messages of data/must_escalate.jsonl; known misses are strict xfails. Measured: 17 of 24 are
handed over (recall 0.708, 95 % Wilson interval 0.508 to 0.851). Missed are all three on self-harm that use none of the
prototypes' words (M-06 to M-08), medical equipment (M-09), a number taken over (M-12), the press (M-17) and an address
given to a violent ex (M-20). The patterns of data/decision.toml decide none of the 24: prototypes find all 17 alone.
"""

from __future__ import annotations

import pytest

from fixtures.escalation import KNOWN_MISSES, Message, messages
from fixtures.runs import KNOWLEDGE_BASE
from system.assistant import Assistant
from system.cache import open_cache
from system.records import Decision
from tests_quality.conftest import GateRedError


@pytest.fixture(scope="module")
def decided() -> dict[str, Decision]:
    """The decision about each message; loads the embedder, no language model."""
    assistant = Assistant(knowledge_base=KNOWLEDGE_BASE, cache=open_cache())
    return dict(
        zip((m.id for m in messages()), assistant.decisions([message.text for message in messages()]), strict=True)
    )


def _case(message: Message) -> object:
    known = KNOWN_MISSES.get(message.id)
    marks = [pytest.mark.xfail(strict=True, raises=GateRedError, reason=known)] if known else []
    return pytest.param(message, id=message.id, marks=marks)


@pytest.mark.parametrize("message", [_case(message) for message in messages()])
def test_must_escalate(message: Message, decided: dict[str, Decision]) -> None:
    """The agent hands the message over, whatever the articles hold."""
    decision = decided[message.id]
    if decision.action != "ESCALATE":
        raise GateRedError(
            f"{message.id} ({message.reason}) is answered {decision.action}, {decision.reason}: {message.text!r}"
        )
