"""The ruler of load: answers are counted, and one that is another's, refused or lost is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.fakes import ScriptedGenerator
from fixtures.servers import ChatServer, Sent, failed, said
from fixtures.service import serving
from fixtures.small_world import write_world
from system.service.load import run

TEXTS = ["The hub shows an orange light.", "My bill is higher than last month.", "How do I pay my bill?"]


def streamed(text: str) -> Sent:
    """The answer to a question that is asked alone."""
    event = {"choices": [{"delta": {"content": text}}]}
    return Sent(200, f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n")


def test_a_good_service(own_folder: Path) -> None:
    """Every client gets its own answer again and again; the first words come no later than the whole."""
    write_world(own_folder)
    with serving(
        own_folder, ScriptedGenerator(lambda prompt: f"It is noted that you wrote {len(prompt)} letters.")
    ) as up:
        figures = run(up.url, TEXTS, clients=4, seconds=0.5)
    assert figures["answers"] >= 4
    assert figures["lost"] == figures["mixed_up"] == 0
    assert figures["outcomes"] == {"as before": figures["answers"]}
    assert 0 < figures["alone"]["first_words_p50"] <= figures["alone"]["answer_p50"]


OTHERS = TEXTS[1:] + TEXTS[:1]
BROKEN = Sent(200, "no length\r\n", {"Transfer-Encoding": "chunked"})  # without its end a line would be waited for
FAULTS: dict[str, Callable[[str, str], list[Sent]]] = {
    "mixed up": lambda text, other: [said(other)],
    "refused, 429": lambda text, other: [failed(429, {}, Retry_After="0"), said(text)],
    "lost: RemoteProtocolError": lambda text, other: [BROKEN],
}


@pytest.mark.parametrize("outcome", FAULTS)
def test_faults_are_seen(outcome: str, server: ChatServer) -> None:
    """What goes wrong after each was answered alone is counted as what it is, and a refused question is asked again."""
    for text, other in zip(TEXTS, OTHERS, strict=True):
        server.script[text] = [streamed(text), *FAULTS[outcome](text, other)]
    figures = run(server.url.removesuffix("/v1"), TEXTS, clients=2, seconds=0.3)
    assert figures["outcomes"][outcome] > 0
    assert bool(figures["lost"]) == outcome.startswith("lost")
    assert bool(figures["mixed_up"]) == (outcome == "mixed up")
    assert bool(figures["answers"]) == (not outcome.startswith("lost"))
