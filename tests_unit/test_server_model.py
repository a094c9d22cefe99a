"""Answers from an OpenAI-compatible server: a real HTTP server on this machine plays it, its faults included."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from fixtures.embedding import HashedEmbedder
from fixtures.servers import KEY, ChatServer, Sent, failed, said
from system.answering import answer_into
from system.assistant import Assistant
from system.cache import open_cache
from system.errors import ModelError, SettingsError
from system.generation import Completion, load_generator
from system.models import resolve_model
from system.records import Complaint, Decoding
from system.runlog import read_run
from system.server_model import CONCURRENCY, RETRIES, ServerGenerator
from system.variants import Variant

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

GOOD = {"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
PROMPT = Variant(name="prompt", template="empathetic", policy="never")


def generator_of(server: ChatServer) -> ServerGenerator:
    """The generator under test, which notes its pauses instead of sleeping."""
    return ServerGenerator(resolve_model(f"openai:some-model@{server.url}"), pause=server.pauses.append)


def ask(server: ChatServer, *texts: str, decoding: Decoding | None = None) -> list[Completion]:
    """One completion for each text, in order; checks that each position was answered exactly once."""
    generator = generator_of(server)
    prompts = [generator.chat("Be kind.", text) for text in texts]
    found = list(generator.generate(prompts, decoding or Decoding()))
    assert sorted(index for index, _ in found) == list(range(len(texts)))
    return [completion for _, completion in sorted(found, key=lambda pair: pair[0])]


def choice(**fields: Any) -> Sent:
    """A good status with one choice."""
    return Sent(200, {"choices": [fields]})


@pytest.mark.parametrize(
    ("replies", "text", "tokens", "stopped", "error", "pauses"),
    [
        pytest.param([Sent(200, GOOD)], "Hello.", 2, True, None, 0, id="good"),
        pytest.param(
            [choice(message={"content": "Hel"}, finish_reason="length")],
            *("Hel", 0, False, None, 0),
            id="cut at the limit",
        ),
        pytest.param([Sent(200, GOOD | {"usage": None})], "Hello.", 0, True, None, 0, id="no usage"),
        pytest.param([Sent(200, GOOD | {"usage": {}})], "Hello.", 0, True, None, 0, id="empty usage"),
        pytest.param(
            [Sent(200, GOOD | {"usage": {"completion_tokens": None}})], "Hello.", 0, True, None, 0, id="null usage"
        ),
        pytest.param([choice(message={"content": ""}, finish_reason="stop")], "", 0, True, None, 0, id="empty text"),
        pytest.param([choice(message={"content": "Hm"})], "Hm", 0, False, None, 0, id="no finish reason"),
        pytest.param([failed(500), failed(500), Sent(200, GOOD)], "Hello.", 2, True, None, 2, id="500 twice"),
        pytest.param([failed(429, {"error": "slow"}), Sent(200, GOOD)], "Hello.", 2, True, None, 1, id="429 once"),
        *[
            pytest.param(
                [failed(status)], "", 0, False, f"ServerError: status {status}", RETRIES - 1, id=f"{status} for ever"
            )
            for status in (408, 429, 500, 502, 503, 504)
        ],
        *[
            pytest.param(
                [failed(status, {"error": "no"})], "", 0, False, f"RequestRefused: status {status}", 0, id=f"{status}"
            )
            for status in (301, 400, 401, 403, 404, 422, 501)
        ],
        pytest.param([failed(503), failed(401)], "", 0, False, "RequestRefused: status 401", 1, id="503, then 401"),
        *[
            pytest.param([Sent(200, body)], "", 0, False, "MalformedReply: not a chat completion", 0, id=name)
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
    server: ChatServer, replies: list[Sent], text: str, tokens: int, stopped: bool, error: str | None, pauses: int
) -> None:
    """Each reply becomes a completion, a broken one with a named error, and the others are answered as ever."""
    server.script["odd"] = replies
    before, odd, after = ask(server, "one", "odd", "two")
    assert (odd.text, odd.tokens, odd.stopped, odd.error) == (text, tokens, stopped, error)
    assert (before.text, before.error, after.text, after.error) == ("You said one", None, "You said two", None)
    assert len(server.pauses) == pauses


def test_pauses_grow(server: ChatServer) -> None:
    """A struggling server is asked again after longer and longer pauses, and no more than the tries allow."""
    server.script["odd"] = [failed(500)]
    ask(server, "odd")
    assert server.pauses == sorted(set(server.pauses))
    assert len(server.bodies) == RETRIES


def test_what_is_sent(server: ChatServer) -> None:
    """The request holds the model, the messages and every decoding setting that a server understands."""
    ask(server, "Grüße, “quoted”", decoding=Decoding(max_new_tokens=33, seed=7))
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
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, value: str, sent: str | None
) -> None:
    """The key is sent as it is meant, without the line end of the file it came from; without one none is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", value)
    assert ask(server, "one")[0].error is None
    assert server.headers[0].get("Authorization") == sent


def test_key_is_never_told(server: ChatServer, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    """No error holds the key, not even where the server repeats it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script = {
        "refused": [failed(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}})],
        "broken": [failed(500, KEY)],
        "malformed": [Sent(200, f"<html>{KEY}")],
    }
    errors = [str(completion.error) for completion in ask(server, *server.script)]
    server.url = f"http://127.0.0.1:{closed_port}/v1"
    errors.append(str(ask(server, "one")[0].error))
    assert [error.partition(":")[0] for error in errors] == [
        *("RequestRefused", "ServerError", "MalformedReply", "ConnectionFailed")
    ]
    assert not [error for error in errors if KEY in error]


def test_password_of_the_address_is_sent_and_not_recorded(server: ChatServer, world: Path) -> None:
    """A user and password in the base URL reach the server and no file, key or error; without them all is the same."""
    server.decide = lambda text: said("You said it.")
    keys = []
    for login in ("user:hush@", ""):
        played = Assistant(
            f"openai:some-model@{server.url.replace('//', f'//{login}')}", embedder=HashedEmbedder(), cache=open_cache()
        )
        out = world / f"run{len(keys)}.jsonl"
        answer_into(out, world / "decisions.jsonl", played, [Complaint(id="odd", text="Why?")], [PROMPT])
        (response,) = read_run(out)
        assert (response.text, response.identity.model) == ("You said it.", f"openai:some-model@{server.url}")
        keys.append(response.key)
    assert server.headers[0]["Authorization"] == "Basic dXNlcjpodXNo"
    assert keys[0] == keys[1]
    assert not [path for path in world.rglob("*") if path.is_file() and b"hush" in path.read_bytes()]
    with pytest.raises(ModelError, match="is a server and cannot take the adapter") as caught:
        load_generator("openai:some-model@http://user:hush@127.0.0.1:1/v1", "folder")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", [f"{KEY}\nX-More: 1", f"{KEY}\x1b", f"{KEY}’"], ids=["line end", "escape", "quote"])
def test_key_that_no_header_can_carry(server: ChatServer, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A mistyped key is one clear error that does not repeat it, and nothing is sent."""
    monkeypatch.setenv("OPENAI_API_KEY", value)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY holds a character") as caught:
        ask(server, "one")
    assert KEY not in str(caught.value)
    assert server.bodies == []


def test_nobody_listens(server: ChatServer, closed_port: int) -> None:
    """A server that cannot be reached is tried again, then every completion names the failure."""
    server.url = f"http://127.0.0.1:{closed_port}/v1"
    found = ask(server, "one", "two")
    assert [(done.text, done.stopped) for done in found] == [("", False)] * 2
    assert all(str(done.error).startswith("ConnectionFailed: ") for done in found)
    assert len(server.pauses) == 2 * (RETRIES - 1)


def test_time_out(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps silent is given up after the time limit, with that name."""
    monkeypatch.setattr("system.server_model.TIMEOUT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        server.url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        done = ask(server, "one")[0]
    assert str(done.error).startswith("TimeOut: ")
    assert len(server.pauses) == RETRIES - 1


def test_requests_run_side_by_side(server: ChatServer) -> None:
    """As many requests as allowed are under way at once, and each position gets its own answer exactly once."""
    texts = [f"complaint {n}" for n in range(3 * CONCURRENCY)]
    everyone, echo = threading.Barrier(CONCURRENCY), server.decide

    def decide(text: str) -> Sent:
        everyone.wait(timeout=5)  # lets nobody through before all of them wait
        return echo(text)

    server.decide = decide
    assert [done.text for done in ask(server, *texts)] == [f"You said {text}" for text in texts]


def test_seconds_are_measured(server: ChatServer) -> None:
    """Each completion carries the time since the batch began."""
    assert all(0 < done.seconds < 60 for done in ask(server, "one", "two"))


def test_nothing_to_ask(server: ChatServer) -> None:
    """No prompts, no requests."""
    assert ask(server) == []
    assert server.bodies == []


def test_on_text_hears_whole_answers(server: ChatServer) -> None:
    """The callback gets each answer once; a failed request has no text to tell."""
    server.script["odd"] = [failed(400)]
    generator, heard = generator_of(server), []
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
def test_control_tokens_are_broken_up(server: ChatServer, marker: str) -> None:
    """What a customer writes holds none of the usual control tokens afterwards, and every letter of it."""
    text = generator_of(server).neutralise(f"a{marker}b {marker}{marker}")
    assert marker not in text
    assert text.replace(" ", "") == f"a{marker}b{marker}{marker}"


def test_plain_text_stays_as_it_is(server: ChatServer) -> None:
    """Ordinary text, brackets and comparisons included, is not touched."""
    text = "My bill [3 pages] is < 40 | > 30 € </p>"
    assert generator_of(server).neutralise(text) == text


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fives", 2)])
def test_count_tokens_is_an_estimate(server: ChatServer, text: str, tokens: int) -> None:
    """Four characters count as a token, a rest as one more."""
    assert generator_of(server).count_tokens(text) == tokens


def test_load_generator_by_name(server: ChatServer) -> None:
    """The name openai:MODEL@BASE_URL gives this generator, and a server takes no adapter."""
    name = f"openai:some-model@{server.url}/"
    generator = load_generator(name)
    assert isinstance(generator, ServerGenerator)
    assert (generator.source.name, generator.adapter, generator.adapter_hash) == (name, None, None)
    assert next(iter(generator.generate([generator.chat("", "hi")], Decoding())))[1].text == "You said hi"
    with pytest.raises(ModelError, match=r"is a server and cannot take the adapter 'folder'; drop one"):
        load_generator(name, "folder")


def test_a_budget_ends_the_spending(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the tokens of the budget are spent nothing more is sent, and what is left unasked says why."""
    monkeypatch.setenv("SUPPORT_TOKEN_BUDGET", "300")
    generator = generator_of(server)
    done = [next(generator.generate([generator.chat("Be kind.", f"Question {n}.")], Decoding()))[1] for n in range(5)]
    assert len(server.bodies) == 3  # at 110 tokens each
    assert [completion.error for completion in done[:3]] == [None] * 3
    assert done[3].error == "BudgetSpent: 330 tokens; SUPPORT_TOKEN_BUDGET allows no more"


@pytest.mark.parametrize("budget", ["0", "-1", "lots", "1e6"])
def test_a_budget_that_is_none_is_refused(server: ChatServer, monkeypatch: pytest.MonkeyPatch, budget: str) -> None:
    """A budget that cannot be read would be no budget."""
    monkeypatch.setenv("SUPPORT_TOKEN_BUDGET", budget)
    with pytest.raises(SettingsError, match="SUPPORT_TOKEN_BUDGET"):
        generator_of(server)
