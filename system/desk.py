"""One warm assistant for several processes: the first that asks is its host, the others talk to it.

    ask_desk(Path("runs/promptfoo"), make, {"variant": "rag", ...}) -> {"output": ...}

``make()`` gives the clerk who does the work, in the host's process, whoever asks.

Promptfoo gives every provider a Python process of its own; without this each would load the model. Requests that
wait while others are answered are answered together, because a batch costs little more than one of them.
Knows processes; must not know what is asked. The connection is local, with a key that only this user can read.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import arbitrary_address  # type: ignore[attr-defined]  # typeshed lacks it
from multiprocessing.context import AuthenticationError
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
from filelock import FileLock

Request = dict[str, Any]
Reply = dict[str, Any]
GONE = (OSError, EOFError, AuthenticationError)  # what a connection raises when its host has ended


class Clerk(Protocol):
    """Whoever does the work behind a desk."""

    def answer_all(self, requests: Sequence[Request]) -> Sequence[Reply]:
        """One reply a request, in order; a request that fails is answered with {"error": why}."""
        ...


class Desk:
    """Takes requests from many threads, and hands all that wait to the clerk at once."""

    def __init__(self, clerk: Clerk):
        self._clerk = clerk
        self._turn = threading.Lock()
        self._list = threading.Lock()
        self._waiting: list[tuple[Request, list[Reply]]] = []

    def answer(self, request: Request) -> Reply:
        """The reply to one request. Whoever gets the turn answers for everybody who waits."""
        place: list[Reply] = []
        with self._list:
            self._waiting.append((request, place))
        with self._turn:
            if not place:
                with self._list:
                    batch, self._waiting = self._waiting, []
                for (_, other), reply in zip(batch, self._answered([asked for asked, _ in batch]), strict=True):
                    other.append(reply)
        return place[0]

    def _answered(self, requests: Sequence[Request]) -> Sequence[Reply]:
        try:
            return self._clerk.answer_all(requests)
        except Exception as error:  # whoever waits must hear of it, and the next ones be answered
            return [{"error": f"{type(error).__name__}: {error}"}] * len(requests)


class _Address(msgspec.Struct, frozen=True):
    place: str
    key: str


class _Host(BaseManager):
    """The side that serves the desk."""


class _Guest(BaseManager):
    """The side that asks."""


_Guest.register("desk", exposed=("answer",))
_known: dict[Path, Any] = {}  # this process's desks: its own, or its connections to others'


def ask_desk(folder: Path, make: Callable[[], Clerk], request: Request) -> Reply:
    """The reply of a folder's desk; where nobody hosts it any more, this process does, as long as it lives."""
    if folder in _known:
        try:
            return cast(Reply, _known[folder].answer(request))
        except GONE:
            del _known[folder]
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "desk.json"
    with FileLock(folder / "desk.lock"):
        _known[folder] = _joined(address) or _opened(address, make)
    return cast(Reply, _known[folder].answer(request))


def _joined(address: Path) -> Any:
    """The desk of a host that is alive; None if there is none."""
    try:
        known = msgspec.json.decode(address.read_bytes(), type=_Address)
        guest = _Guest(known.place, bytes.fromhex(known.key))
        guest.connect()
        return guest.desk()  # type: ignore[attr-defined]  # made by register
    except (*GONE, msgspec.DecodeError, ValueError):
        return None


def _opened(address: Path, make: Callable[[], Clerk]) -> Desk:
    """A new desk, served by a thread of this process."""
    desk, key = Desk(make()), secrets.token_bytes(32)
    _Host.register("desk", callable=lambda: desk, exposed=("answer",))
    # In a short temporary folder that goes with the process: a socket's path may have some hundred letters at most.
    place = arbitrary_address("AF_UNIX") if hasattr(socket, "AF_UNIX") else None
    server = _Host(place, key).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    content = msgspec.json.encode(_Address(str(server.address), key.hex()))
    part = address.with_suffix(".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    part.replace(address)
    return desk
