"""The service over HTTP: what clients get, what is refused and how, and what is remembered."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fixtures.fakes import ScriptedGenerator, make_response
from fixtures.service import ANSWER, Running
from system.errors import SettingsError
from system.generation import Completion
from system.records import Complaint
from system.service.rating import PairTable
from system.service.shield import HEADERS, Limits, is_loopback

Serve = Callable[..., AbstractContextManager[Running]]
ORANGE = "The hub shows an orange light and the internet is down."
SMOKE = "There is smoke coming out of the hub!"
KEY = "a-key-of-sixteen-or-more"


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The events of a stream; the last line must be [DONE]."""
    *lines, done = [line for line in answer.text.split("\n\n") if line]
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal, which must be in the form that clients of OpenAI's API expect."""
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "code"}
    assert told["message"]
    assert "\n" not in told["message"]
    return answer.status_code, told["code"]


# Answers


def test_a_whole_answer(serve: Serve) -> None:
    """A completion in OpenAI's form, with the decision and the passages that the model read."""
    with serve() as running:
        answer = running.ask(ORANGE)
    found = answer.json()
    assert answer.status_code == 200
    assert found["object"] == "chat.completion"
    assert found["choices"][0]["message"] == {"role": "assistant", "content": ANSWER}
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["total_tokens"] == sum(found["usage"][f"{k}_tokens"] for k in ("prompt", "completion"))
    support = found["support"]
    assert support["decision"]["action"] == "RAG"
    first = support["sources"][0]
    assert (first["doc"], first["title"], first["heading"], first["used"]) == ("lights", "Lights", "Orange light", True)


def test_a_streamed_answer(serve: Serve) -> None:
    """The pieces make the answer; decision and sources come first, so that a page can show them at once."""
    with serve() as running:
        answer = running.ask(ORANGE, stream=True)
    first, *pieces, last = events(answer)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert first["choices"][0]["delta"] == {"role": "assistant"}
    assert first["support"]["decision"]["action"] == "RAG"
    assert "".join(piece["choices"][0]["delta"]["content"] for piece in pieces) == ANSWER
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["support"]["removed"] == 0
    assert "text" not in last["support"]
    assert {event["id"] for event in (first, *pieces, last)} == {first["id"]}


def test_a_person_takes_over(serve: Serve) -> None:
    """An escalation is a scripted reply that has no source."""
    with serve() as running:
        found = running.ask(SMOKE).json()
    assert found["support"]["decision"]["action"] == "ESCALATE"
    assert not any(source["used"] for source in found["support"]["sources"])


def test_a_follow_up_knows_what_went_before(serve: Serve) -> None:
    """The history of a request counts; a client's own instructions do not."""
    model = ScriptedGenerator(ANSWER)
    turns = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": ORANGE},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "And after that?"},
    ]
    with serve(model) as running:
        found = running.client.post("/v1/chat/completions", json={"messages": turns}).json()
    assert found["support"]["earlier_messages"] == 1
    assert ORANGE in model.asked[0]
    assert "pirate" not in model.asked[0]


def test_another_variant_answers_when_asked(serve: Serve) -> None:
    """``model`` names a variant; without the agent nothing is retrieved."""
    with serve() as running:
        found = running.ask(ORANGE, model="prompt-friendly").json()
        assert found["model"] == "prompt-friendly"
        assert found["support"]["sources"] == []
        assert error(running.ask(ORANGE, model="gpt-9")) == (404, "unknown_model")


def test_nobody_gets_anothers_answer(serve: Serve) -> None:
    """Many clients at once, streamed and not: each gets the words to its own message."""
    model = ScriptedGenerator(lambda prompt: f"You wrote {re.findall(r'light (N[0-9]+E)', prompt)[-1]}.")
    wrong: list[str] = []
    with serve(model, waiting=100) as running:

        def ask(n: int) -> None:
            answer = running.ask(f"The hub shows an orange light N{n}E.", stream=bool(n % 2))
            if f"You wrote N{n}E." not in answer.text or answer.text.count("You wrote") != 1:
                wrong.append(answer.text)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(60)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


# What cannot be answered


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, (400, "bad_request")),
        ({"messages": []}, (400, "bad_request")),
        ({"messages": [{"role": "user", "content": ""}]}, (400, "bad_text")),
        ({"messages": [{"role": "user", "content": "??!"}]}, (400, "bad_text")),
        ({"messages": [{"role": "user", "content": "a" * 4001}]}, (400, "bad_text")),
        ({"messages": [{"role": "user", "content": "bell \x07"}]}, (400, "bad_text")),
        ({"messages": [{"role": "user", "content": "half \ud800 pair"}]}, (400, "bad_request")),
        ({"messages": [{"role": "user", "content": ["a part"]}]}, (400, "bad_request")),
        ({"messages": [{"role": "king", "content": "Hello."}]}, (400, "bad_request")),
        ({"messages": [{"role": "assistant", "content": "Hello."}]}, (400, "no_question")),
        ({"messages": [{"role": "user", "content": "Hi."}] * 101}, (400, "bad_request")),
        (
            {"messages": [{"role": "user", "content": "Hi."}], "metadata": {"conversation": "../x"}},
            (400, "bad_request"),
        ),
        ([], (400, "bad_request")),
    ],
)
def test_a_bad_request_is_named(serve: Serve, body: Any, refused: tuple[int, str]) -> None:
    """A body that cannot be answered is refused in one sentence."""
    with serve() as running:
        sent = json.dumps(body).encode("ascii")
        answer = running.client.post("/v1/chat/completions", content=sent, headers={"Content-Type": "application/json"})
    assert error(answer) == refused


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 50_000, b"nul", b'{"messages": NaN}'])
def test_a_broken_body_is_named(serve: Serve, content: bytes) -> None:
    """What is no JSON is refused, however it is broken."""
    with serve() as running:
        answer = running.client.post(
            "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
        )
    assert error(answer) == (400, "bad_request")


def test_personal_data_is_not_repeated_in_a_refusal(serve: Serve) -> None:
    """A refusal tells where a body is wrong, not what it holds."""
    with serve() as running:
        answer = running.client.post("/feedback", json={"answer": "secret words of mine", "thumb": "sideways"})
    assert error(answer) == (400, "bad_request")
    assert "secret words" not in answer.text
    assert "answer" in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_is_told_without_details(serve: Serve, stream: bool) -> None:
    """A customer learns that there is no answer, and nothing of the inside; the next request is answered."""
    failures = [Completion("", 0, False, 0.0, "ServerError: status 500 at /home/secret")]
    model = ScriptedGenerator(lambda _: failures.pop() if failures else ANSWER)
    with serve(model) as running:
        answer = running.ask(ORANGE, stream=stream)
        assert "secret" not in answer.text
        told = events(answer)[-1] if stream else answer.json()
        assert told["error"]["code"] == "no_answer"
        assert running.ask(ORANGE).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_given_up(serve: Serve, stream: bool) -> None:
    """After the time that an answer may take the client hears so."""
    hold = threading.Event()
    model = ScriptedGenerator(lambda _: ANSWER if hold.wait(5) else "")
    with serve(model, timeout=0.3) as running:
        began = time.monotonic()
        answer = running.ask(ORANGE, stream=stream)
        hold.set()
    assert time.monotonic() - began < 5
    told = events(answer)[-1] if stream else answer.json()
    assert told["error"]["code"] == "timeout"


def test_a_full_queue_says_when_to_come_back(serve: Serve) -> None:
    """Beyond the queue a request is refused at once with 429 and a time; those that were accepted are answered."""
    hold, begun = threading.Event(), threading.Event()

    def script(_: str) -> str:
        begun.set()
        assert hold.wait(10)
        return ANSWER

    answers: list[httpx.Response] = []
    with serve(ScriptedGenerator(script), waiting=1, batch=1) as running:
        threads = [threading.Thread(target=lambda: answers.append(running.ask(ORANGE))) for _ in range(2)]
        threads[0].start()
        assert begun.wait(10)
        threads[1].start()
        while not running.service.engine.waiting:
            time.sleep(0.01)
        refused = running.ask(ORANGE)
        hold.set()
        for thread in threads:
            thread.join()
    assert error(refused) == (429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert [answer.status_code for answer in answers] == [200, 200]


def test_who_goes_away_frees_the_model(serve: Serve) -> None:
    """A client that closes its connection is noticed, and the model stops writing for it."""
    model = ScriptedGenerator(" ".join(f"Sentence number {n} of very many." for n in range(3000)))
    with serve(model, batch=1, timeout=60) as running:
        with running.client.stream(
            "POST",
            "/v1/chat/completions",
            json={"messages": [{"role": "user", "content": ORANGE}], "stream": True},
        ) as answer:
            next(answer.iter_bytes())
        model.script = ANSWER
        assert running.ask(ORANGE).json()["choices"][0]["message"]["content"] == ANSWER


# The shield


def test_headers_of_every_reply(serve: Serve) -> None:
    """Every reply, refusals and unknown paths included, forbids framing, sniffing and foreign code."""
    with serve() as running:
        replies = [running.client.get(path) for path in ("/health", "/nowhere", "/decisions", "/static/none.js")]
        replies.append(running.client.post("/feedback", content=b"{}"))
        replies.append(running.client.request("TRACE", "/"))
    for reply in replies:
        for name, value in HEADERS.items():
            assert reply.headers[name] == value, (reply.url, name)
    assert replies[0].headers["cache-control"] == "no-store"
    assert "'unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, (403, "cross_site")),
        ({"Sec-Fetch-Site": "same-site"}, (403, "cross_site")),
        ({"Origin": "https://evil.example"}, (403, "cross_site")),
        ({"Origin": "null"}, (403, "cross_site")),
        ({"Content-Type": "text/plain"}, (415, "not_json")),
        ({"Content-Type": "application/x-www-form-urlencoded"}, (415, "not_json")),
    ],
)
def test_other_sites_are_kept_out(serve: Serve, headers: dict[str, str], refused: tuple[int, str]) -> None:
    """What a page of another site can make a browser send is refused."""
    with serve() as running:
        content = json.dumps({"messages": [{"role": "user", "content": ORANGE}]})
        sent = {"Content-Type": "application/json", **headers}
        answer = running.client.post("/v1/chat/completions", content=content, headers=sent)
    assert error(answer) == refused


def test_the_own_page_is_let_in(serve: Serve) -> None:
    """The page's own requests carry its origin and are answered."""
    with serve() as running:
        headers = {"Origin": running.url, "Sec-Fetch-Site": "same-origin"}
        answer = running.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": ORANGE}]}, headers=headers
        )
        linked = running.client.get("/health", headers={"Sec-Fetch-Site": "cross-site"})
        read = running.client.get("/decisions", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert linked.status_code == 200
    assert error(read) == (403, "cross_site")


def test_a_name_that_only_resolves_here_is_refused(serve: Serve) -> None:
    """Bound to this machine, the service answers to this machine's names alone (DNS rebinding)."""
    with serve(limits=Limits(hosts=("127.0.0.1", "localhost"))) as running:
        for host, status in (("evil.example", 421), ("localhost:99", 200), ("127.0.0.1", 200), ("", 421)):
            assert running.client.get("/health", headers={"Host": host}).status_code == status, host


def test_a_key_is_asked_for(serve: Serve) -> None:
    """With a key nothing but pages and health is open, and only the whole key opens."""
    with serve(limits=Limits(key=KEY)) as running:
        get = running.client.get
        assert get("/health").status_code == 200
        for path in ("/decisions", "/metrics", "/ab/next?rater=Kim", "/openapi.json"):
            assert error(get(path)) == (401, "no_key"), path
        for header in (
            "",
            KEY,
            f"Basic {KEY}",
            f"Bearer {KEY[:-1]}",
            f"Bearer {KEY}x",
            "Bearer \xe9".encode("latin-1"),
        ):
            assert error(get("/decisions", headers={"Authorization": header})) == (401, "no_key")  # type: ignore[dict-item]
        assert get("/decisions", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_too_many_requests_are_slowed_down(serve: Serve) -> None:
    """A client beyond its rate is told how long to wait; pages and health do not count."""
    with serve(limits=Limits(rate="3/minute")) as running:
        for _ in range(5):
            assert running.client.get("/health").status_code == 200
        assert [running.client.get("/decisions").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = running.client.get("/decisions")
    assert error(refused) == (429, "too_many")
    assert 1 <= int(refused.headers["retry-after"]) <= 61


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(serve: Serve, chunked: bool) -> None:
    """More bytes than allowed are refused, whether they are announced or come in pieces without end."""

    def pieces() -> Iterator[bytes]:
        for _ in range(400):
            yield b" " * 1000

    with serve(limits=Limits(body_bytes=100_000)) as running:
        content: Any = pieces() if chunked else b" " * 100_001
        try:
            answer = running.client.post(
                "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
            )
            assert error(answer) == (413, "too_large")
        except httpx.WriteError:  # refused and closed while the rest was still being sent
            assert chunked
        assert running.ask(ORANGE).status_code == 200


def test_a_body_that_trickles_is_cut_off(serve: Serve) -> None:
    """A client that sends its body slower than allowed is refused and holds nobody up."""
    with serve(limits=Limits(body_seconds=0.3)) as running:
        port = int(running.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as slow:
            head = "POST /feedback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
            slow.sendall(head.encode())
            assert running.ask(ORANGE).status_code == 200
            slow.settimeout(10)
            assert slow.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "example.com", "")),
    ],
)
def test_what_counts_as_this_machine(host: str, local: bool) -> None:
    """Only loopback addresses are out of others' reach."""
    assert is_loopback(host) == local


@pytest.mark.parametrize("rate", ["fast", "", "-1/minute", "3/century"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    """A rate is checked when the service starts, not at the first request."""
    with pytest.raises(SettingsError, match="--rate"):
        Limits(rate=rate)


# What is remembered


def test_answers_are_remembered_masked_and_rated(serve: Serve) -> None:
    """The log shows what was decided; personal data is masked; thumbs come and go."""
    with serve() as running:
        text = "My name is Robert Miles, mail me at bob@miles.example. The hub shows an orange light."
        told = running.ask(text).json()
        (kept,) = running.client.get("/decisions").json()["decisions"]
        assert (kept["id"], kept["action"], kept["thumb"]) == (told["id"], "RAG", None)
        assert kept["sources"] == [s["passage"] for s in told["support"]["sources"] if s["used"]]
        assert "orange light" in kept["complaint"]
        assert "Miles" not in json.dumps(kept)
        for thumb in ("up", "down", None):
            given = running.client.post("/feedback", json={"answer": told["id"], "thumb": thumb})
            assert given.json() == {"answer": told["id"], "thumb": thumb}
            assert running.client.get("/decisions").json()["decisions"][0]["thumb"] == thumb
        unknown = running.client.post("/feedback", json={"answer": "nobody", "thumb": "up"})
        assert error(unknown) == (404, "unknown_answer")


def test_a_conversation_is_forgotten(serve: Serve) -> None:
    """A customer can have a conversation forgotten, and nothing of another one."""
    with serve() as running:
        conversation = running.ask(ORANGE).json()["support"]["conversation"]
        running.ask("The hub is red.", metadata={"conversation": conversation})
        running.ask("When is my bill due?")
        gone = running.client.delete(f"/conversations/{conversation}")
        assert gone.json() == {"conversation": conversation, "forgotten": 2}
        left = running.client.get("/decisions").json()["decisions"]
        assert [answer["complaint"] for answer in left] == ["When is my bill due?"]
        assert running.client.delete(f"/conversations/{conversation}").json()["forgotten"] == 0


def test_metrics_count_what_happened(serve: Serve) -> None:
    """Prometheus can read the metrics; they count answers, refusals, failures and thumbs, and hold nobody's words."""
    failures = [Completion("", 0, False, 0.0, "TimeOut: no answer")]
    model = ScriptedGenerator(lambda prompt: failures.pop() if failures and "bill due" in prompt else ANSWER)
    with serve(model) as running:
        told = running.ask(ORANGE).json()
        running.ask(SMOKE)
        running.ask("When is my bill due?")
        running.ask("?")
        running.client.post("/feedback", json={"answer": told["id"], "thumb": "up"})
        text = running.client.get("/metrics").text
    values = {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["support_answers_total", "RAG", "stop", "agent"] == 1
    assert values["support_answers_total", "ESCALATE", "scripted", "agent"] == 1
    assert values["support_failed_total", "TimeOut"] == 1
    assert values["support_refused_total", "bad_text"] == 1
    assert values["support_thumbs", "up"] == 1
    assert values["support_answer_seconds_count",] == 2
    assert "orange" not in text


def test_health_tells_what_answers(serve: Serve) -> None:
    """Health is 200 when answers can be given, and 503 while the model is being loaded."""
    with serve() as running:
        health = running.client.get("/health")
        assert (health.status_code, health.json()["status"], health.json()["rating"]) == (200, "ok", False)
        running.service.ready = False
        assert running.client.get("/health").status_code == 503


# Ratings


def test_blind_ratings(serve: Serve) -> None:
    """A rater gets pairs without names, grades them, and the grades are stored under the right variants."""
    complaints = [Complaint(id=f"T-{n}", text=f"Complaint {n}.") for n in range(3)]
    run = [make_response(c, f"{v} answers.", variant=v) for c in complaints for v in ("rag", "agent-rag")]
    grade = {"helpfulness": 4, "clarity": 4, "empathy": 4, "safety": 4}
    with serve() as running:
        assert error(running.client.get("/ab/next?rater=Kim")) == (404, "no_pairs")
        running.service.pairs = PairTable.from_run(run, ("rag", "agent-rag"))
        running.service.judge = lambda responses: [dict.fromkeys(grade, 3.0 + n % 2) for n, _ in enumerate(responses)]
        for done in range(3):
            shown = running.client.get("/ab/next?rater=Kim").json()
            assert set(shown) == {"pair", "complaint", "left", "right", "done", "total"}
            assert (shown["done"], shown["total"]) == (done, 3)
            high, low = grade, dict.fromkeys(grade, 1)
            sides = (high, low) if shown["left"].startswith("agent-rag") else (low, high)
            body = {"pair": shown["pair"], "rater": "Kim", "left": sides[0], "right": sides[1]}
            assert running.client.post("/ab/ratings", json=body).json()["done"] == done + 1
        assert running.client.get("/ab/next?rater=Kim").json() == {"pair": None, "done": 3, "total": 3}
        assert running.client.get("/ab/next?rater=Lee").json()["done"] == 0
        found = running.client.get("/ab/agreement").json()
        body["pair"] = "T-9"
        assert error(running.client.post("/ab/ratings", json=body)) == (404, "unknown_pair")
        body["left"] = {**grade, "safety": 6}
        assert error(running.client.post("/ab/ratings", json=body)) == (400, "bad_request")
    assert found["axes"]["clarity"]["preference"] == {"rag": 0, "agent-rag": 3, "ties": 0}


def test_a_file_outside_the_static_folder_is_not_given(serve: Serve) -> None:
    """No path leads out of the folder of the page."""
    with serve() as running:
        port = int(running.url.rpartition(":")[2])
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/..%2fapp.py"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                assert raw.makefile("rb").read().startswith(b"HTTP/1.1 404"), path
        assert Path("service.sqlite").exists()
