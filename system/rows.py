"""JSON lines in and out: strict reading that reports every bad row at once, whole-line appending.

Knows files and records, not what a row is used for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from system.errors import InputError, RowsError

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, line) of every line that is not blank. Raises InputError if there is no such file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give an existing JSON-lines file") from error
    for number, line in enumerate(content.split(b"\n"), start=1):
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
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
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


class LineWriter:
    """Appends records to a file so that every line is whole, also after a kill.

    Each record is one ``write`` of one line to a descriptor opened for appending. A torn last line, which only a
    power cut can leave, is closed with a newline on opening so that the next record starts a line of its own.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def write(self, record: Any) -> None:
        """Append one record."""
        os.write(self._descriptor, encode(record))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> LineWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
