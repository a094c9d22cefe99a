"""serve and forget on the command line: doors that would stand open are refused, and a signal ends it without loss."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from fixtures.command_line import Run, refusal
from fixtures.options import ROOT
from fixtures.small_world import write_world
from system.errors import InputError, SettingsError
from system.service.commands import KEY, limits_of, pairs_of
from system.service.store import Store
from tests_unit.test_store import ANSWER

PROMPT = ("serve", "--variant", "prompt-friendly", "--base-model", "model")  # without an adapter
GOOD_KEY = "0123456789abcdef"
# The command as a user runs it, with a scripted model and the embedder of the tests in the place of the real ones.
SERVER = """
import sys, time
from fixtures.fakes import ScriptedGenerator
from fixtures.service import AGENT, scripted_assistant
from system import commands, variants
from system.__main__ import main
from system.service import commands as service
def slowly(prompt):
    time.sleep(0.3)
    return "Please restart the hub."
service.assistant_of = lambda options: scripted_assistant(ScriptedGenerator(slowly))
variants.VARIANTS["agent"] = AGENT
sys.exit(main(["serve", "--variant", "agent", "--port", "0", *sys.argv[1:]]))
"""


@pytest.fixture(name="world")
def _world(world: Path) -> Path:
    """A working folder with the shipped data and articles, and a model folder."""
    (world / "model").mkdir()
    (world / "model" / "config.json").write_text("{}")
    return world


def options(**changes: object) -> argparse.Namespace:
    """The options of serve that the limits depend on."""
    return argparse.Namespace(**{"host": "127.0.0.1", "allow_host": [], "rate": "60/minute", **changes})


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "support.example"])
def test_others_are_let_in_with_a_key_only(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Bound to an address that others reach, the service does not start without a key."""
    monkeypatch.delenv(KEY, raising=False)
    with pytest.raises(SettingsError, match=f"{re.escape(host)}: others could reach the service; set {KEY}"):
        limits_of(options(host=host))
    monkeypatch.setenv(KEY, GOOD_KEY)
    assert limits_of(options(host=host)).key == GOOD_KEY


@pytest.mark.parametrize("key", ["short", "with a blank in it", "schlüssel-schlüssel", "x" * 15])
def test_a_weak_key_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A key that could be guessed, or that no header can carry, is no key; it is not repeated."""
    monkeypatch.setenv(KEY, key)
    with pytest.raises(SettingsError, match=KEY) as refused:
        limits_of(options())
    assert key not in str(refused.value)


def test_this_machine_is_known_by_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback only its own names and those allowed are answered to."""
    monkeypatch.delenv(KEY, raising=False)
    assert set(limits_of(options(allow_host=["Desk.example"])).hosts) == {
        *("localhost", "127.0.0.1", "[::1]", "desk.example"),
    }


def test_pairs_need_two_variants(tmp_path: Path) -> None:
    """A blind comparison is between two."""
    assert pairs_of(argparse.Namespace(pairs=None)) is None
    with pytest.raises(InputError, match="name two variants"):
        pairs_of(argparse.Namespace(pairs=tmp_path / "run.jsonl", pair_variants="rag"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--variant", "rag,agent-rag"), "serve answers with one"),
        (("--variant", "nobody"), "unknown variant"),
        (("--rate", "often"), "--rate 'often'"),
        (("--pairs", "none.jsonl"), "none.jsonl"),
        (("--host", "0.0.0.0"), "set SUPPORT_API_KEY"),
        (("--kb", "nowhere", "--base-model", "model"), "nowhere"),
    ],
)
def test_wrong_options_are_refused(
    call: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], told: str
) -> None:
    """What cannot be served is said in one line before anything is bound or loaded."""
    monkeypatch.delenv(KEY, raising=False)
    assert told in refusal(call("serve", *arguments))


def test_a_taken_port_is_refused(call: Run) -> None:
    """A port that somebody else listens on is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port}: cannot be listened on" in refusal(call(*PROMPT, "--port", port))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_times_are_above_nothing(call: Run, value: str) -> None:
    """A time-out or retention that is no time is refused."""
    for option in ("--timeout", "--keep-days"):
        status, _, errors = call("serve", option, value)
        assert status == 2
        assert "is no number above 0" in errors[-1]


def test_forget(call: Run, world: Path) -> None:
    """A conversation, or all that is older, is deleted; what is not there is told by the exit status."""
    path = world / "service.sqlite"
    store = Store(path)
    store.add(ANSWER)
    store.add(replace(ANSWER, id="a2", conversation="c2", time="2020-01-01T00:00:00.000+00:00"))
    store.close()
    assert call("forget", "c1", "--store-file", path)[:2] == (0, "1 answers forgotten\n")
    assert call("forget", "c1", "--store-file", path)[0] == 1
    assert call("forget", "--older-than", "30", "--store-file", path)[:2] == (0, "1 answers forgotten\n")
    assert "give either" in refusal(call("forget", "--store-file", path))
    assert "there is no such file" in refusal(call("forget", "c1", "--store-file", world / "none.sqlite"))
    assert not (world / "none.sqlite").exists()


@pytest.fixture
def started(own_folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service as a process of its own, and its address."""
    write_world(own_folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment.pop(KEY, None)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[0]
    while True:  # up, and the model is loaded
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                break
        except httpx.TransportError:
            time.sleep(0.05)
        time.sleep(0.05)
    yield process, url
    process.kill()
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def ask(url: str, text: str) -> httpx.Response:
    """One question to a service."""
    body = {"messages": [{"role": "user", "content": text}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=30, trust_env=False)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_everybody_is_answered(
    started: tuple[subprocess.Popen[str], str], sign: signal.Signals
) -> None:
    """Answers that are being given are finished, the exit status is 0, and nothing is printed as an error."""
    process, url = started
    answers: list[str] = []
    accepted = threading.Barrier(4)

    def client(n: int) -> None:
        body = {"messages": [{"role": "user", "content": f"The hub shows an orange light {n}."}], "stream": True}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30, trust_env=False) as answer:
            accepted.wait(20)
            answers.append(answer.read().decode())

    threads = [threading.Thread(target=client, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    accepted.wait(20)
    process.send_signal(sign)
    for thread in threads:
        thread.join()
    assert all("Please restart the hub." in answer and "[DONE]" in answer for answer in answers)
    assert len(answers) == 3
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    with pytest.raises(httpx.TransportError):
        ask(url, "Anybody there?")


def test_a_kill_loses_no_answer_that_was_given(started: tuple[subprocess.Popen[str], str], own_folder: Path) -> None:
    """Whatever a client has read is in the log after SIGKILL, and so is the thumb it sent."""
    process, url = started
    given: list[str] = []
    rated: list[str] = []

    def client(n: int) -> None:
        for turn in range(50):
            try:
                answer = ask(url, f"The hub shows an orange light {n} {turn}.").json()
                given.append(answer["id"])
                httpx.post(f"{url}/feedback", json={"answer": answer["id"], "thumb": "down"}, trust_env=False)
                rated.append(answer["id"])
            except (httpx.TransportError, KeyError):
                return

    threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    while len(rated) < 6:
        time.sleep(0.01)
    process.kill()
    for thread in threads:
        thread.join()
    store = Store(own_folder / "runs" / "service.sqlite")
    kept = {answer.id: answer.thumb for answer in store.answers(10_000)}
    store.close()
    assert set(given) <= set(kept)
    assert all(kept[answer] == "down" for answer in rated)
