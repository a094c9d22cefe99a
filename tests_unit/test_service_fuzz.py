"""The service under fuzzing: whatever is sent, it answers in its own form, never with a server error, and goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fixtures.service import Running
from system.service.shield import HEADERS, Limits

schemathesis = pytest.importorskip("schemathesis")
Serve = Callable[..., AbstractContextManager[Running]]
STEADY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ORANGE = "The hub shows an orange light and the internet is down."
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_turn = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "x"]), "content": _values})
_chat = st.fixed_dictionaries(
    {"messages": st.lists(_turn, max_size=5) | _values},
    optional={"model": _values, "stream": _values, "metadata": _values, "temperature": _values},
)


def check(status: int, headers: dict[str, str], body: bytes) -> None:
    """A reply is no server error, has the security headers, and is an error in the documented form if it is one."""
    assert status < 500 or b'"no_answer"' in body, (status, body[:300])
    for name, value in HEADERS.items():
        assert headers[name.lower()] == value
    if status >= 400:
        assert set(json.loads(body)["error"]) == {"message", "type", "code"}


@pytest.fixture
def running(serve: Serve) -> Running:
    """A service that lives as long as the test."""
    with serve(limits=Limits(rate="1000000/second")) as up:
        yield up


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_operation_of_the_schema(running: Running, mode: str) -> None:
    """Bodies, queries and paths made from the service's own OpenAPI schema, fitting it and not."""
    from schemathesis.generation import GenerationMode

    schema = schemathesis.openapi.from_dict(running.client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 9
    for operation in operations:

        @STEADY
        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def send(case) -> None:  # type: ignore[no-untyped-def]
            answer = case.call(base_url=running.url)
            headers = {name.lower(): ", ".join(values) for name, values in answer.headers.items()}
            check(answer.status_code, headers, answer.content)

        try:
            send()
        except Exception as error:
            if "Unsatisfiable" not in type(error).__name__:  # an operation without parameters has no wrong ones
                raise
    assert running.ask(ORANGE).status_code == 200


def test_bodies_of_any_shape(running: Running) -> None:
    """Chats of any JSON are answered or refused."""

    @STEADY
    @given(body=_chat | _values)
    def send(body: object) -> None:
        content = json.dumps(body).encode()
        answer = running.client.post(
            "/v1/chat/completions", content=content, headers={"Content-Type": "application/json"}
        )
        check(answer.status_code, dict(answer.headers), answer.content)

    send()
    assert running.ask(ORANGE).status_code == 200


def test_customers_of_any_tongue(running: Running) -> None:
    """Any text that JSON can carry is answered or refused by name, streamed or not."""

    @STEADY
    @given(text=st.text(max_size=200), stream=st.booleans())
    def send(text: str, stream: bool) -> None:
        answer = running.ask(text, stream=stream)
        check(answer.status_code, dict(answer.headers), answer.content)

    send()
    assert running.ask(ORANGE).status_code == 200


def test_bytes_that_are_no_http(running: Running) -> None:
    """Garbage on the wire ends its connection and nobody else's."""
    port = int(running.url.rpartition(":")[2])

    @STEADY
    @given(sent=st.binary(min_size=1, max_size=300))
    def send(sent: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
            wire.sendall(sent + b"\r\n\r\n")
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(4096):
                pass

    send()
    assert running.ask(ORANGE).status_code == 200
