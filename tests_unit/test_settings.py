"""Settings files are read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from system.errors import InputError, SettingsError, TemplateError
from system.settings import read_toml, require_keys


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (No such file or directory); give an existing TOML file"),
        (b"a = ", "is not TOML (Invalid value"),
        (b"a = 1\na = 2", "is not TOML (Cannot overwrite a value"),
        (b"a = '\xff'", "is not TOML ('utf-8' codec can't decode byte 0xff"),
    ],
)
@pytest.mark.parametrize("kind", [SettingsError, TemplateError])
def test_unreadable_files_are_refused(
    tmp_path: Path, content: bytes | None, problem: str, kind: type[InputError]
) -> None:
    """A settings file that is missing or malformed is the asked-for kind of error, with the path, in one line."""
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind) as caught:
        read_toml(path, kind)
    told = str(caught.value)
    assert told.startswith(f"{path}: {problem}")
    assert "\n" not in told


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    """A folder in place of a file is named, with SettingsError as the kind unless another is asked for."""
    with pytest.raises(SettingsError, match="Is a directory"):
        read_toml(tmp_path)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """TOML comes back as it is, in UTF-8."""
    path = tmp_path / "settings.toml"
    path.write_text("[a]\nb = 'Größe'\n", encoding="utf-8")
    assert read_toml(path) == {"a": {"b": "Größe"}}


@pytest.mark.parametrize(
    ("table", "kind", "problems"),
    [
        ({"a": "x", "b": ""}, str, []),
        ({"a": "x"}, str, ["key 'b' is missing"]),
        ({"a": "x", "b": "y", "c": "z"}, str, ["unknown key 'c'"]),
        ({"a": "x", "b": 1}, str, ["key 'b' must be of type str"]),
        ({"a": 1.0, "b": 1}, float, ["key 'b' must be of type float"]),
        ({"B": 1, "b": 1}, str, ["unknown key 'B'", "key 'a' is missing", "key 'b' must be of type str"]),
        ({}, str, ["key 'a' is missing", "key 'b' is missing"]),
    ],
)
def test_keys_are_exact(table: dict[str, Any], kind: type, problems: list[str]) -> None:
    """Unknown, missing and mistyped keys are all named, and nothing else is."""
    assert require_keys(table, ("a", "b"), kind) == problems
