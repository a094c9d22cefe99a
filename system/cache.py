"""The disk cache: what a model computed, under a hash of every ingredient; shared by all processes of a machine.

    cache = open_cache()
    value, = cache.get_many("score", [key])    bytes, or None
    cache.put_many("score", {key: value})      one transaction: all of it or nothing
    key_of(model_hash, made_by("decoding", "torch"), text)

LMDB keeps it: readers never wait, writers take turns, and a process that is killed at any moment leaves the last
whole transaction behind. An entry is never changed, for its key names everything that it was made from; so nothing
has to be invalidated, and deleting the folder is always safe. Values are bytes that the caller encodes, never pickles;
each lies behind a checksum, and one that does not fit is not served. Two processes that miss the same entry both
compute it: nothing waits for another's computation. Must not know what is cached.
"""

from __future__ import annotations

import ast
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache as remember
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet, WeakValueDictionary

import msgspec

from system.errors import SettingsError
from system.models import cache_folder

MAP_BYTES = 2**36  # the most that the file may ever hold; address space, not disk
READERS = 1024  # processes and threads that read at the same moment
CHECK_BYTES = 8


class Cache(Protocol):
    """Bytes under (kind, key)."""

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values in the order of the keys; None where there is none."""
        ...

    def put_many(self, kind: str, entries: Mapping[str, bytes]) -> None:
        """Store all entries at once."""
        ...


class DiskCache:
    """A Cache in a folder, by LMDB. Safe under parallel processes and threads, and across a fork.

    Raises SettingsError where the folder cannot be used or its content is damaged. LMDB forbids a process to open a
    folder twice: use ``open_cache``, which does not.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock = threading.RLock()  # of this process's transactions, so that none is open while it forks
        with self._lock, self._named_errors():
            self._environment: Any = self._opened()
        _alive.add(self)

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """See Cache."""
        names = [f"{kind}/{key}".encode() for key in keys]
        with self._transaction() as transaction:
            found = [transaction.get(name) for name in names]
        return [_unsealed(name, value) for name, value in zip(names, found, strict=True)]

    def put_many(self, kind: str, entries: Mapping[str, bytes]) -> None:
        """See Cache."""
        with self._transaction(write=True) as transaction:
            for key, value in entries.items():
                name = f"{kind}/{key}".encode()
                transaction.put(name, _check(name, value) + value)

    def before_fork(self) -> None:
        """Let go of everything that a child must not inherit, once no thread is in a transaction."""
        self._lock.acquire()
        if self._environment is not None:
            self._environment.close()
        self._environment = None

    def after_fork(self) -> None:
        """Parent and child each open the folder for themselves, when they next need it."""
        self._lock.release()

    @contextmanager
    def _transaction(self, write: bool = False) -> Iterator[Any]:
        with self._lock, self._named_errors():
            if self._environment is None:
                self._environment = self._opened()
            with self._environment.begin(write=write) as transaction:
                yield transaction

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        import lmdb

        try:
            yield
        except (OSError, lmdb.Error) as error:
            raise SettingsError(
                f"{self._folder}: the cache cannot be used ({error}); "
                "delete the folder, or name another by SUPPORT_CACHE=FOLDER"
            ) from error

    def _opened(self) -> Any:
        import lmdb

        self._folder.mkdir(parents=True, exist_ok=True)
        environment = lmdb.open(str(self._folder), map_size=MAP_BYTES, max_dbs=0, metasync=False, max_readers=READERS)
        environment.reader_check()  # frees the places of readers that were killed
        # A file that was cut off would kill the process at the first page that is missing.
        wanted = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if (found := (self._folder / "data.mdb").stat().st_size) < wanted:
            environment.close()
            raise lmdb.CorruptedError(f"data.mdb has {found} of {wanted} bytes")
        return environment


_alive: WeakSet[DiskCache] = WeakSet()
_by_folder: WeakValueDictionary[Path, DiskCache] = WeakValueDictionary()
_opening = threading.Lock()
_forking: list[DiskCache] = []


def _before_fork() -> None:
    _opening.acquire()
    _forking[:] = _alive
    for cache in _forking:
        cache.before_fork()


def _after_fork() -> None:
    while _forking:
        _forking.pop().after_fork()
    _opening.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class MemoryCache:
    """A Cache that is forgotten with the process; for tests, and where nothing may be written."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], bytes] = {}

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """See Cache."""
        return [self.entries.get((kind, key)) for key in keys]

    def put_many(self, kind: str, entries: Mapping[str, bytes]) -> None:
        """See Cache."""
        self.entries.update({(kind, key): value for key, value in entries.items()})


def open_cache() -> DiskCache:
    """The machine's cache, in the cache folder; opened once for as long as somebody holds it."""
    folder = (cache_folder() / "results").resolve()
    with _opening:
        if (cache := _by_folder.get(folder)) is None:
            cache = _by_folder[folder] = DiskCache(folder)
    return cache


def key_of(*ingredients: object) -> str:
    """sha256 over the ingredients, in their order, as JSON; objects are taken field by field."""
    return hashlib.sha256(msgspec.json.encode(ingredients, order="sorted")).hexdigest()


@remember
def made_by(modules: str, libraries: str) -> str:
    """sha256 over the code of modules of ``system`` and the versions of libraries, both separated by blanks.

    Taken over the syntax trees: comments, blank lines and line breaks do not count.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in modules.split():
        digest.update(ast.dump(ast.parse((here / f"{name}.py").read_text(encoding="utf-8"))).encode())
    digest.update(" ".join(f"{name} {version(name)}" for name in libraries.split()).encode())
    return digest.hexdigest()


def _check(name: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=CHECK_BYTES, key=hashlib.sha256(name).digest()).digest()


def _unsealed(name: bytes, stored: bytes | None) -> bytes | None:
    """The value behind its checksum; None if it is not the one that was put there under this name."""
    if stored is None or stored[:CHECK_BYTES] != _check(name, stored[CHECK_BYTES:]):
        return None
    return stored[CHECK_BYTES:]
