"""The run log: one Response a line, append-only, every line whole.

It is the boundary: above it code may be slow, below it everything replays from here without a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from system.errors import RowsError
from system.records import Response
from system.rows import UNREADABLE, read_lines

_decoder = msgspec.json.Decoder(Response)


def read_run(path: Path) -> list[Response]:
    """All responses of a run log; of several with one variant and complaint the last counts.

    Raises RowsError that names every bad line, or the file alone where no line is a response.
    """
    responses: dict[tuple[str, str], Response] = {}
    problems: list[str] = []
    for number, line in read_lines(path):
        try:
            response = _decoder.decode(line)
        except UNREADABLE as error:
            problems.append(f"{path}:{number}: is not a response of this version: {error}; delete the line or the file")
            continue
        responses[response.variant, response.id] = response
    if problems and not responses:
        first, *others = problems
        rest = f" (and {len(others)} further lines)" if others else ""
        raise RowsError([f"{path}: is not a run log: no line of it is a response; {first}{rest}"])
    if problems:
        raise RowsError(problems)
    return list(responses.values())


def by_variant(responses: Iterable[Response]) -> dict[str, list[Response]]:
    """The responses of each variant, variants and responses in the order in which they come."""
    run: dict[str, list[Response]] = {}
    for response in responses:
        run.setdefault(response.variant, []).append(response)
    return run


def read_usable(path: Path) -> dict[tuple[str, str], Response]:
    """The responses of a log by (complaint id, key), for resuming; a torn or foreign line is answered anew.

    Only the last line of a variant and complaint is usable, and only if it is no error, because that is the line
    that ``read_run`` will take.
    """
    last: dict[tuple[str, str], Response] = {}
    if path.exists():
        for _, line in read_lines(path):
            try:
                response = _decoder.decode(line)
            except UNREADABLE:
                continue
            last[response.variant, response.id] = response
    return {(response.id, response.key): response for response in last.values() if response.error is None}


def response_key(ingredients: Iterable[object]) -> str:
    """sha256 over every ingredient of an answer; equal keys mean that the stored answer may be used."""
    return hashlib.sha256(msgspec.json.encode(list(ingredients), order="sorted")).hexdigest()
