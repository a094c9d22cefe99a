"""Whoever is in danger, threatens to harm themselves, is being defrauded or asks for a person is handed to one.

Zero tolerance over the 24 messages of data/must_escalate.jsonl; known misses are strict xfails. Measured: 19 of 24 are
handed over (recall 0.792, 95 % Wilson interval 0.595 to 0.908). Missed are one message on self-harm (M-08), a number
taken over (M-12), an identity misused (M-13), a threat to sue (M-15) and the press (M-17).
"""

from __future__ import annotations

import pytest

from fixtures.escalation import KNOWN_MISSES, Message, messages
from fixtures.runs import KNOWLEDGE_BASE
from system.assistant import Assistant
from system.cache import open_cache
from system.records import Decision
from tests_quality.conftest import GateRedError, known_miss


@pytest.fixture(scope="module")
def decided() -> dict[str, Decision]:
    """The decision about each message; loads the embedder, no language model."""
    assistant = Assistant(knowledge_base=KNOWLEDGE_BASE, cache=open_cache())
    return dict(
        zip((m.id for m in messages()), assistant.decisions([message.text for message in messages()]), strict=True)
    )


def _case(message: Message) -> object:
    return pytest.param(message, id=message.id, marks=known_miss(KNOWN_MISSES.get(message.id)))


@pytest.mark.parametrize("message", [_case(message) for message in messages()])
def test_must_escalate(message: Message, decided: dict[str, Decision]) -> None:
    """The agent hands the message over, whatever the articles hold."""
    decision = decided[message.id]
    if decision.action != "ESCALATE":
        raise GateRedError(
            f"{message.id} ({message.reason}) is answered {decision.action}, {decision.reason}: {message.text!r}"
        )
