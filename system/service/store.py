"""What the service remembers: answers with their decisions, thumbs, and ratings, in one SQLite file.

    store = Store(Path("runs/service.sqlite"))
    store.add(Kept(...)); store.thumb("4f1c", "up", ""); store.forget("conversation id"); store.expire(days=30)

Every text is masked by the caller before it comes here. A method that has returned has written to disk
(write-ahead log, synchronous FULL), so that a process killed at any moment loses nothing that it acknowledged; what is
deleted is overwritten. Must not know HTTP, models or what a text means.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

from system.errors import InputError, SettingsError

Thumb = Literal["up", "down"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, conversation TEXT NOT NULL, time TEXT NOT NULL,
  variant TEXT NOT NULL, complaint TEXT NOT NULL, answer TEXT NOT NULL, action TEXT NOT NULL, reason TEXT NOT NULL,
  score REAL NOT NULL, threshold REAL NOT NULL, sources TEXT NOT NULL, seconds REAL NOT NULL,
  thumb TEXT, comment TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS answers_by_conversation ON answers (conversation);
CREATE TABLE IF NOT EXISTS ratings (
  pair TEXT NOT NULL, rater TEXT NOT NULL, variant TEXT NOT NULL, axis TEXT NOT NULL, value INTEGER NOT NULL,
  time TEXT NOT NULL, PRIMARY KEY (pair, rater, variant, axis));
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer as it is remembered; ``sources`` are the passages that the model read."""

    id: str
    conversation: str
    time: str  # ISO 8601, UTC
    variant: str
    complaint: str
    answer: str
    action: str
    reason: str
    score: float
    threshold: float
    sources: tuple[str, ...]
    seconds: float
    thumb: Thumb | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Rating:
    """One grade that a person gave to one variant's answer."""

    pair: str
    rater: str
    variant: str
    axis: str
    value: int


class Store:
    """One file, one connection, one statement at a time. Raises SettingsError where the file is no such store."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            path.chmod(0o600)  # customers' words are nobody else's
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "busy_timeout=5000"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise SettingsError(f"{path}: cannot keep answers ({error}); give another --store-file") from error

    def add(self, answer: Kept) -> None:
        """Remember an answer."""
        row = {**asdict(answer), "sources": json.dumps(answer.sources)}
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        with self._writing() as connection:
            connection.execute(f"INSERT INTO answers ({names}) VALUES ({marks})", row)  # noqa: S608  # our own names

    def thumb(self, answer: str, thumb: Thumb | None, comment: str) -> bool:
        """Set, replace or take back what a customer thought of an answer; False if there is no such answer."""
        with self._writing() as connection:
            found = connection.execute(
                "UPDATE answers SET thumb = ?, comment = ? WHERE id = ?", (thumb, comment, answer)
            )
            return found.rowcount > 0

    def answers(self, limit: int = 50, before: str = "") -> list[Kept]:
        """The newest answers, newest first; ``before`` is the id of an answer, of which only earlier ones are given."""
        names = ", ".join(field.name for field in fields(Kept))
        older = "WHERE number < (SELECT number FROM answers WHERE id = ?)" if before else "WHERE ? = ''"
        query = f"SELECT {names} FROM answers {older} ORDER BY number DESC LIMIT ?"  # noqa: S608  # our own names
        return [
            Kept(**{**row, "sources": tuple(json.loads(row["sources"]))}) for row in self._rows(query, before, limit)
        ]

    def thumbs(self) -> dict[str, int]:
        """How many answers have each thumb."""
        rows = self._rows("SELECT thumb, count(*) AS n FROM answers WHERE thumb IS NOT NULL GROUP BY thumb")
        return {row["thumb"]: row["n"] for row in rows}

    def forget(self, conversation: str) -> int:
        """Delete a conversation with its thumbs and comments; how many answers there were."""
        return self._delete("conversation = ?", conversation)

    def expire(self, days: float) -> int:
        """Delete every answer that is older; how many there were."""
        oldest = datetime.now(timezone.utc) - timedelta(days=days)
        return self._delete("time < ?", oldest.isoformat(timespec="milliseconds"))

    def rate(self, ratings: Iterable[Rating]) -> None:
        """Remember grades, all or none; a grade given again replaces the one before."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO ratings (pair, rater, variant, axis, value, time) VALUES (?, ?, ?, ?, ?, ?)",
                [(r.pair, r.rater, r.variant, r.axis, r.value, now) for r in ratings],
            )

    def ratings(self) -> list[Rating]:
        """Every grade that was given."""
        return [Rating(**row) for row in self._rows("SELECT pair, rater, variant, axis, value FROM ratings")]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _delete(self, condition: str, value: str) -> int:
        with self._writing() as connection:
            gone = connection.execute(f"DELETE FROM answers WHERE {condition}", (value,)).rowcount  # noqa: S608
        with self._lock:  # the write-ahead log still holds what was deleted
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    def _rows(self, query: str, *values: object) -> list[Mapping[str, Any]]:
        with self._lock:
            cursor = self._connection.execute(query, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is on disk when the block ends, or none."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise InputError(f"{self._path}: cannot be written ({error}); make room or give another") from error
                raise
