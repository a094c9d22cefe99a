"""The ruler of load: answers are counted, and one that is another's, refused or lost is seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fixtures.fakes import ScriptedGenerator
from fixtures.service import serving
from fixtures.small_world import write_world
from system.service.load import run

TEXTS = ["The hub shows an orange light.", "My bill is higher than last month.", "How do I pay my bill?"]


@contextmanager
def broken(fault: str) -> Iterator[str]:
    """A service that answers each question with its own words when asked alone, and later as the fault says."""
    asked: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = body["messages"][-1]["content"]
            said = text
            if not body.get("stream"):
                said = TEXTS[TEXTS.index(text) - 1] if fault == "mixed up" else text
            if fault == "refused" and text in asked and not body.get("stream"):
                asked.discard(text)
                self.reply(429, b"{}", ("Retry-After", "0"))
                return
            asked.add(text)
            if fault == "lost" and not body.get("stream"):
                self.connection.close()
                return
            if body.get("stream"):
                event = {"choices": [{"delta": {"content": said}}]}
                self.reply(200, b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n")
            else:
                self.reply(200, json.dumps({"choices": [{"message": {"content": said}}]}).encode())

        def reply(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(status)
            for name, value in (("Content-Length", str(len(content))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


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


@pytest.mark.parametrize(
    ("fault", "outcome"), [("mixed up", "mixed up"), ("refused", "refused, 429"), ("lost", "lost: RemoteProtocolError")]
)
def test_faults_are_seen(fault: str, outcome: str) -> None:
    """What goes wrong is counted as what it is, and a refused question is asked again."""
    with broken(fault) as url:
        figures = run(url, TEXTS, clients=2, seconds=0.3)
    assert figures["outcomes"][outcome] > 0
    assert bool(figures["lost"]) == (fault == "lost")
    assert bool(figures["mixed_up"]) == (fault == "mixed up")
    assert bool(figures["answers"]) == (fault != "lost")
