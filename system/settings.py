"""Settings files: TOML read strictly, with every problem of a file named at once.

Must not know what the settings mean.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from system.errors import InputError, SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:  # the standard library has no TOML reader before Python 3.11
    import tomli as tomllib


def read_toml(path: Path, error: type[InputError] = SettingsError) -> dict[str, Any]:
    """The content of a TOML file. Raises ``error`` if it is missing or malformed."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); give an existing TOML file") from problem
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise error(f"{path}: is not TOML ({problem})") from problem
    return table


def stamp(path: Path) -> tuple[int, int] | None:
    """What tells whether a file may have changed: time of its last change and size; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def require_keys(table: dict[str, Any], keys: Iterable[str], kind: type = str) -> list[str]:
    """Problems with a table that must have exactly these keys, all of one type."""
    wanted = list(keys)
    problems = [f"unknown key {key!r}" for key in table if key not in wanted]
    problems += [f"key {key!r} is missing" for key in wanted if key not in table]
    problems += [
        f"key {key!r} must be of type {kind.__name__}"
        for key in wanted
        if key in table and not isinstance(table[key], kind)
    ]
    return problems
