"""The desk: one host for several processes, who waits is answered together, and nobody waits for a dead host."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fixtures.options import ROOT
from system import desk
from system.desk import Desk, Reply, Request, ask_desk

GUEST = """
import os, sys
from pathlib import Path
from system.desk import ask_desk
class Clerk:
    def answer_all(self, requests):
        return [{"process": os.getpid(), "asked": request["n"]} for request in requests]
for n in range(2):
    print(*ask_desk(Path(sys.argv[1]), Clerk, {"n": n}).values(), flush=True)
if len(sys.argv) > 2:
    sys.stdin.read()
"""


class Clerk:
    """Notes its batches; the first one takes until it is let go."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()

    def answer_all(self, requests: Sequence[Request]) -> list[Reply]:
        self.batches.append(len(requests))
        assert self.go.wait(10)
        return [{"asked": request["n"], "process": os.getpid()} for request in requests]


def test_who_waits_is_answered_together() -> None:
    """Eight threads ask while the first is being answered: each gets its own reply, in two batches."""
    clerk = Clerk()
    counter, replies = Desk(clerk), {}

    def ask(n: int) -> None:
        replies[n] = counter.answer({"n": n})["asked"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(9)]
    threads[0].start()
    while not clerk.batches:
        time.sleep(0.001)
    for thread in threads[1:]:
        thread.start()
    while len(counter._waiting) < 8:
        time.sleep(0.001)
    clerk.go.set()
    for thread in threads:
        thread.join()
    assert replies == {n: n for n in range(9)}
    assert clerk.batches == [1, 8]


def test_a_clerk_that_fails_is_heard_of() -> None:
    """An error becomes a reply, and the next request is answered."""

    class Failing:
        def answer_all(self, requests: Sequence[Request]) -> list[Reply]:
            if requests[0]["n"] == 0:
                raise RuntimeError("no model")
            return [{"fine": True}]

    counter = Desk(Failing())
    assert counter.answer({"n": 0}) == {"error": "RuntimeError: no model"}
    assert counter.answer({"n": 1}) == {"fine": True}


@pytest.mark.skipif(sys.platform == "win32", reason="sockets of this kind are Unix's")
def test_the_first_process_hosts_and_the_next_takes_over(tmp_path: Path) -> None:
    """A second process is answered by the first; when that is killed, the next one hosts."""
    command = (sys.executable, "-c", GUEST, str(tmp_path))
    host = subprocess.Popen((*command, "stay"), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    assert host.stdout.readline().split() == [str(host.pid), "0"]
    guest = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert guest == [str(host.pid), "0", str(host.pid), "1"]
    assert (tmp_path / "desk.json").stat().st_mode & 0o077 == 0
    host.kill()
    host.communicate()
    later = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert later[0] == later[2] != str(host.pid)


def test_a_connection_that_broke_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest whose host has gone asks again, and hosts if need be."""
    clerk = Clerk()
    clerk.go.set()

    class Broken:
        def answer(self, request: Request) -> Reply:
            raise EOFError

    monkeypatch.setattr(desk, "_known", {tmp_path: Broken()})
    assert ask_desk(tmp_path, lambda: clerk, {"n": 5}) == {"asked": 5, "process": os.getpid()}
