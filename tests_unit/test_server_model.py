"""Answers from an OpenAI-compatible server: a real HTTP server on this machine plays it, its faults included."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from system.errors import ModelError, SettingsError
from system.generation import Completion, load_generator
from system.models import resolve_model
from system.records import Decoding
from system.server_model import CONCURRENCY, RETRIES, ServerGenerator

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

KEY = "sk-made-up-0123456789"
GOOD = {"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
Reply = tuple[int, Any]  # status and body; a str is sent as it is, anything else as JSON


@dataclass
class Server:
    """The server. ``script`` maps a customer's text to the replies it gets in turn; the last one is repeated."""

    url: str = ""
    script: dict[str, list[Reply]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    gate: threading.Barrier | None = None

    def answer(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> Reply:
        """Note the request and give the next scripted reply, or one that repeats the customer's text."""
        self.paths.append(path)
        self.headers.append(headers)
        self.bodies.append(body)
        text = body["messages"][-1]["content"]
        if self.gate:
            self.gate.wait(timeout=5)
        replies = self.script.get(text)
        if replies:
            return replies.pop(0) if len(replies) > 1 else replies[0]
        return 200, {"choices": [{"message": {"content": f"You said {text}"}, "finish_reason": "stop"}]}

    def generator(self) -> ServerGenerator:
        """The generator under test, which notes its pauses instead of sleeping."""
        return ServerGenerator(resolve_model(f"openai:some-model@{self.url}"), pause=self.pauses.append)

    def ask(self, *texts: str, decoding: Decoding | None = None) -> list[Completion]:
        """One completion for each text, in order; checks that each position was answered exactly once."""
        generator = self.generator()
        prompts = [generator.chat("Be kind.", text) for text in texts]
        found = list(generator.generate(prompts, decoding or Decoding()))
        assert sorted(index for index, _ in found) == list(range(len(texts)))
        return [completion for _, completion in sorted(found, key=lambda pair: pair[0])]


@pytest.fixture(name="server")
def _server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # a proxy of the environment would not reach this machine
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            status, body = server.answer(self.path, dict(self.headers), json.loads(sent))
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Httpd(ThreadingHTTPServer):
        request_queue_size = 4 * CONCURRENCY  # a connection beyond the queue would wait for a second

    httpd = Httpd(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    yield server
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def choice(**fields: Any) -> Reply:
    """A good status with one choice."""
    return 200, {"choices": [fields]}


@pytest.mark.parametrize(
    ("replies", "text", "tokens", "stopped", "error", "pauses"),
    [
        pytest.param([(200, GOOD)], "Hello.", 2, True, None, 0, id="good"),
        pytest.param(
            [(200, {"choices": [{"message": {"content": "Hel"}, "finish_reason": "length"}]})],
            *("Hel", 0, False, None, 0),
            id="cut at the limit",
        ),
        pytest.param([(200, GOOD | {"usage": None})], "Hello.", 0, True, None, 0, id="no usage"),
        pytest.param([(200, GOOD | {"usage": {}})], "Hello.", 0, True, None, 0, id="empty usage"),
        pytest.param(
            [(200, GOOD | {"usage": {"completion_tokens": None}})], "Hello.", 0, True, None, 0, id="null usage"
        ),
        pytest.param([choice(message={"content": ""}, finish_reason="stop")], "", 0, True, None, 0, id="empty text"),
        pytest.param([choice(message={"content": "Hm"})], "Hm", 0, False, None, 0, id="no finish reason"),
        pytest.param([(500, ""), (500, ""), (200, GOOD)], "Hello.", 2, True, None, 2, id="500 twice"),
        pytest.param([(429, {"error": "slow"}), (200, GOOD)], "Hello.", 2, True, None, 1, id="429 once"),
        *[
            pytest.param(
                [(status, "")], "", 0, False, f"ServerError: status {status}", RETRIES - 1, id=f"{status} for ever"
            )
            for status in (408, 429, 500, 502, 503, 504)
        ],
        *[
            pytest.param(
                [(status, {"error": "no"})], "", 0, False, f"RequestRefused: status {status}", 0, id=f"{status}"
            )
            for status in (301, 400, 401, 403, 404, 422, 501)
        ],
        pytest.param([(503, ""), (401, "")], "", 0, False, "RequestRefused: status 401", 1, id="503, then 401"),
        *[
            pytest.param([(200, body)], "", 0, False, "MalformedReply: not a chat completion", 0, id=name)
            for name, body in {
                "no JSON": "<html>",
                "empty body": "",
                "half a JSON": '{"choices": [',
                "no choices": {"id": "x"},
                "empty choices": {"choices": []},
                "choices null": {"choices": None},
                "choice a text": {"choices": ["Hello"]},
                "a list": [GOOD],
                "a text": '"Hello"',
                "null": "null",
                "no message": {"choices": [{"text": "Hello"}]},
                "message null": {"choices": [{"message": None}]},
                "content null": {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
                "content parts": {"choices": [{"message": {"content": [{"type": "text", "text": "Hello"}]}}]},
                "usage a list": GOOD | {"usage": [3]},
                "tokens a text": GOOD | {"usage": {"completion_tokens": "2"}},
            }.items()
        ],
    ],
)
def test_reply(
    server: Server, replies: list[Reply], text: str, tokens: int, stopped: bool, error: str | None, pauses: int
) -> None:
    """Each reply becomes a completion, a broken one with a named error, and the others are answered as ever."""
    server.script["odd"] = replies
    before, odd, after = server.ask("one", "odd", "two")
    assert (odd.text, odd.tokens, odd.stopped, odd.error) == (text, tokens, stopped, error)
    assert (before.text, before.error, after.text, after.error) == ("You said one", None, "You said two", None)
    assert len(server.pauses) == pauses


def test_pauses_grow(server: Server) -> None:
    """A struggling server is asked again after longer and longer pauses, and no more than the tries allow."""
    server.script["odd"] = [(500, "")]
    server.ask("odd")
    assert server.pauses == sorted(set(server.pauses))
    assert len(server.bodies) == RETRIES


def test_what_is_sent(server: Server) -> None:
    """The request holds the model, the messages and every decoding setting that a server understands."""
    server.ask("Grüße, “quoted”", decoding=Decoding(max_new_tokens=33, seed=7))
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies == [
        {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Grüße, “quoted”"},
            ],
            "max_tokens": 33,
            "temperature": 0,
            "seed": 7,
        }
    ]


@pytest.mark.parametrize(("value", "sent"), [(KEY, f"Bearer {KEY}"), (f" {KEY}\r\n", f"Bearer {KEY}"), ("", None)])
def test_key_comes_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, value: str, sent: str | None
) -> None:
    """The key is sent as it is meant, without the line end of the file it came from; without one none is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", value)
    assert server.ask("one")[0].error is None
    assert server.headers[0].get("Authorization") == sent


def test_key_is_never_told(server: Server, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    """No error holds the key, not even where the server repeats it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script = {
        "refused": [(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})],
        "broken": [(500, KEY)],
        "malformed": [(200, f"<html>{KEY}")],
    }
    errors = [str(completion.error) for completion in server.ask(*server.script)]
    server.url = f"http://127.0.0.1:{closed_port}/v1"
    errors.append(str(server.ask("one")[0].error))
    assert [error.partition(":")[0] for error in errors] == [
        *("RequestRefused", "ServerError", "MalformedReply", "ConnectionFailed")
    ]
    assert not [error for error in errors if KEY in error]


@pytest.mark.parametrize("value", [f"{KEY}\nX-More: 1", f"{KEY}\x1b", f"{KEY}’"], ids=["line end", "escape", "quote"])
def test_key_that_no_header_can_carry(server: Server, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A mistyped key is one clear error that does not repeat it, and nothing is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY holds a character") as caught:
        server.ask("one")
    assert KEY not in str(caught.value)
    assert server.bodies == []


@pytest.fixture(name="closed_port")
def _closed_port() -> Iterator[int]:
    with socket.socket() as taken:  # bound, so that nobody else takes it, but not listening
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_nobody_listens(server: Server, closed_port: int) -> None:
    """A server that cannot be reached is tried again, then every completion names the failure."""
    server.url = f"http://127.0.0.1:{closed_port}/v1"
    found = server.ask("one", "two")
    assert [(done.text, done.stopped) for done in found] == [("", False)] * 2
    assert all(str(done.error).startswith("ConnectionFailed: ") for done in found)
    assert len(server.pauses) == 2 * (RETRIES - 1)


def test_time_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps silent is given up after the time limit, with that name."""
    monkeypatch.setattr("system.server_model.TIMEOUT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        server.url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        done = server.ask("one")[0]
    assert str(done.error).startswith("TimeOut: ")
    assert len(server.pauses) == RETRIES - 1


def test_requests_run_side_by_side(server: Server) -> None:
    """As many requests as allowed are under way at once, and each position gets its own answer exactly once."""
    texts = [f"complaint {n}" for n in range(3 * CONCURRENCY)]
    server.gate = threading.Barrier(CONCURRENCY)  # lets nobody through before all of them wait
    assert [done.text for done in server.ask(*texts)] == [f"You said {text}" for text in texts]


def test_seconds_are_measured(server: Server) -> None:
    """Each completion carries the time since the batch began."""
    assert all(0 < done.seconds < 60 for done in server.ask("one", "two"))


def test_nothing_to_ask(server: Server) -> None:
    """No prompts, no requests."""
    assert server.ask() == []
    assert server.bodies == []


def test_on_text_hears_whole_answers(server: Server) -> None:
    """The callback gets each answer once; a failed request has no text to tell."""
    server.script["odd"] = [(400, "")]
    generator, heard = server.generator(), []
    prompts = [generator.chat("", text) for text in ("one", "odd")]
    list(generator.generate(prompts, Decoding(), on_text=lambda index, text: heard.append((index, text))))
    assert heard == [(0, "You said one")]


@pytest.mark.parametrize(
    "marker",
    [
        *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        *("<s>", "</s>", "<start_of_turn>", "<end_of_turn>"),
    ],
)
def test_control_tokens_are_broken_up(server: Server, marker: str) -> None:
    """What a customer writes holds none of the usual control tokens afterwards, and every letter of it."""
    text = server.generator().neutralise(f"a{marker}b {marker}{marker}")
    assert marker not in text
    assert text.replace(" ", "") == f"a{marker}b{marker}{marker}"


def test_plain_text_stays_as_it_is(server: Server) -> None:
    """Ordinary text, brackets and comparisons included, is not touched."""
    text = "My bill [3 pages] is < 40 | > 30 € </p>"
    assert server.generator().neutralise(text) == text


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fives", 2)])
def test_count_tokens_is_an_estimate(server: Server, text: str, tokens: int) -> None:
    """Four characters count as a token, a rest as one more."""
    assert server.generator().count_tokens(text) == tokens


def test_load_generator_by_name(server: Server) -> None:
    """The name openai:MODEL@BASE_URL gives this generator, and a server takes no adapter."""
    name = f"openai:some-model@{server.url}/"
    generator = load_generator(name)
    assert isinstance(generator, ServerGenerator)
    assert (generator.source.name, generator.adapter, generator.adapter_hash) == (name, None, None)
    assert next(iter(generator.generate([generator.chat("", "hi")], Decoding())))[1].text == "You said hi"
    with pytest.raises(ModelError, match=r"is a server and cannot take the adapter 'folder'; drop one"):
        load_generator(name, "folder")
