"""The disk cache: what a model computed, under a hash of every ingredient; shared by all processes of a machine.

    cache = open_cache()
    value = cache.get("score", key)            bytes, or None
    cache.put_many("score", {key: value})      one transaction: all of it or nothing

LMDB keeps it: readers never wait, writers take turns, and a process that is killed at any moment leaves the last
whole transaction behind. An entry is never changed, for its key names everything that it was made from; so nothing
has to be invalidated, and deleting the folder is always safe. Values are bytes that the caller encodes, never pickles.
Must not know what is cached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import msgspec

from system.errors import SettingsError
from system.models import cache_folder

MAP_BYTES = 2**36  # the most that the file may ever hold; address space, not disk


class Cache(Protocol):
    """Bytes under (kind, key)."""

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """The stored values in the order of the keys; None where there is none."""
        ...

    def put_many(self, kind: str, entries: Mapping[str, bytes]) -> None:
        """Store all entries at once."""
        ...


class DiskCache:
    """A Cache in a folder, by LMDB. Safe under parallel processes and threads."""

    def __init__(self, folder: Path):
        import lmdb

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._environment: Any = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=0, metasync=False)
        except (OSError, lmdb.Error) as error:
            raise SettingsError(f"{folder}: the cache cannot be opened ({error}); delete the folder") from error

    def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """See Cache."""
        with self._environment.begin() as transaction:
            return [transaction.get(f"{kind}/{key}".encode()) for key in keys]

    def put_many(self, kind: str, entries: Mapping[str, bytes]) -> None:
        """See Cache."""
        with self._environment.begin(write=True) as transaction:
            for key, value in entries.items():
                transaction.put(f"{kind}/{key}".encode(), value)


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


@lru_cache(maxsize=1)
def open_cache() -> DiskCache:
    """The machine's cache, in the cache folder; opened once, for LMDB forbids a process to open a file twice."""
    return DiskCache(cache_folder() / "results")


def key_of(*ingredients: object) -> str:
    """sha256 over the ingredients, in their order, as JSON; objects are taken field by field."""
    return hashlib.sha256(msgspec.json.encode(ingredients, order="sorted")).hexdigest()
