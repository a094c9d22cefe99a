"""JSON lines in and out: strict reading that reports every bad row at once, whole-line appending.

Knows files and records, not what a row is used for.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from system.errors import InputError, RowsError

T = TypeVar("T")
# What msgspec raises for a line that is no record; the last for one nested deeper than the interpreter's stack.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # Windows editors put it at the head of UTF-8 files
_encoder = msgspec.json.Encoder()


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) of every line that is not blank. Raises InputError if there is no such file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give an existing JSON-lines file") from error
    for number, line in enumerate(content.removeprefix(_BYTE_ORDER_MARK).split(b"\n"), start=1):
        if line.strip():
            yield number, line


def read_rows(path: Path, kind: type[T], check: Callable[[T], Iterable[str]] = lambda _: ()) -> list[T]:
    """Read a JSON-lines file of records that have a unique ``id``.

    ``check`` names what is wrong with one record, nothing if it is good. Raises RowsError that lists every
    problem of every row with file and line, InputError for a file that is missing or has no rows.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    decoder = msgspec.json.Decoder(kind)
    rows: list[T] = []
    problems: list[str] = []
    first_use: dict[str, int] = {}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            raw = msgspec.json.decode(line)
            if not isinstance(raw, dict):
                problems.append(f"{where}: is not a JSON object")
                continue
            problems += [f"{where}: unknown key {key!r}; known are {sorted(known)}" for key in sorted(set(raw) - known)]
            row = decoder.decode(line)
        except UNREADABLE as error:
            problems.append(f"{where}: {error}")
            continue
        identifier: str = row.id  # type: ignore[attr-defined]
        if not identifier:
            problems.append(f"{where}: the id is empty; give every row an id of its own")
        elif identifier in first_use:
            problems.append(f"{where}: id {identifier!r} was used in line {first_use[identifier]}; ids must differ")
        first_use.setdefault(identifier, number)
        problems += [f"{where}: {problem}" for problem in check(row)]
        rows.append(row)
    if problems:
        raise RowsError(problems)
    if not rows:
        raise InputError(f"{path}: has no rows; give at least one JSON object a line")
    return rows


def encode(record: Any) -> bytes:
    """One record as one JSON line, newline included."""
    return _encoder.encode(record) + b"\n"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines; see ``write_whole``."""
    write_whole(path, b"".join(encode(row) for row in rows))


def write_whole(path: Path, content: bytes) -> None:
    """Write an output file as a whole: a reader never sees half of it. Devices and pipes are written to directly.

    Raises InputError if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        temporary = path.with_name(path.name + ".part")
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another --out") from error


class LineWriter:
    """Appends records to a file so that every line is whole, also after a kill and with several writers.

    Each record is one ``write`` of one line to a descriptor opened for appending, under a lock that dies with its
    process. A kill in the middle of that leaves a torn last line, as does a full disk; the next writer takes it away,
    or closes it with a newline if only that is missing, so that its own record starts a line.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._cannot(error.strerror) from error

    def write(self, record: Any) -> None:
        """Append one record. Raises InputError if the file system does not take it."""
        line = encode(record)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            self._mend()
            if os.write(self._descriptor, line) < len(line):
                raise self._cannot("no space left for a whole line")
        except OSError as error:
            raise self._cannot(error.strerror) from error
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _mend(self) -> None:
        """Make the file end in a whole line."""
        size = os.fstat(self._descriptor).st_size
        if not size or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return
        last = self._path.read_bytes().rpartition(b"\n")[2]
        try:
            msgspec.json.decode(last)
        except UNREADABLE:
            os.ftruncate(self._descriptor, size - len(last))
        else:
            os.write(self._descriptor, b"\n")

    def _cannot(self, why: str | None) -> InputError:
        return InputError(f"{self._path}: cannot be written ({why}); give another file or make room")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> LineWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
