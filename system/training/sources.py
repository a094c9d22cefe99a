"""The public data sets, row by row: from a local folder of JSON lines, or from where they are published.

    rows("epitome", Path("folder"))     reads folder/epitome.jsonl
    rows("epitome", None)               fetches it with the datasets library

Columns are the same either way. Knows where data lies; must not know what it is used for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from system.errors import InputError, RowsError, SettingsError
from system.models import file_sha256
from system.rows import read_lines

Row = dict[str, Any]
FILES = {
    "alpaca": "alpaca.jsonl",
    "bitext": "bitext_support.jsonl",
    "cnn_dailymail": "cnn_dailymail.jsonl",
    "epitome": "epitome.jsonl",
    "hh_harmless": "hh_harmless.jsonl",
    "hh_helpful": "hh_helpful.jsonl",
    "pandalm": "pandalm.jsonl",
}
_EPITOME = "https://raw.githubusercontent.com/behavioral-data/Empathy-Mental-Health/master/dataset"
_PANDALM = "https://raw.githubusercontent.com/WeOpenML/PandaLM/main/data/testset-v1.json"
# Arguments of datasets.load_dataset, by data set.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "alpaca": ("tatsu-lab/alpaca", {"split": "train"}),
    "bitext": ("bitext/Bitext-customer-support-llm-chatbot-training-dataset", {"split": "train"}),
    "cnn_dailymail": ("abisee/cnn_dailymail", {"name": "3.0.0", "split": "validation[:200]"}),
    "hh_harmless": ("Anthropic/hh-rlhf", {"data_dir": "harmless-base", "split": "test"}),
    "hh_helpful": ("Anthropic/hh-rlhf", {"data_dir": "helpful-base", "split": "test"}),
    "pandalm": ("json", {"data_files": _PANDALM, "split": "train"}),
}
_MECHANISMS = ("emotional-reactions", "interpretations", "explorations")


def rows(name: str, folder: Path | None, load: Callable[..., Iterable[Row]] | None = None) -> list[Row]:
    """All rows of a data set. ``load`` stands in for datasets.load_dataset.

    Raises SettingsError where it cannot be read or fetched, RowsError for a file that is not JSON lines.
    """
    if folder is not None:
        return _local(folder / FILES[name])
    if load is None:
        import datasets

        load = datasets.load_dataset
    try:
        if name == "epitome":
            files = [f"{_EPITOME}/{mechanism}-reddit.csv" for mechanism in _MECHANISMS]
            return _epitome([list(load("csv", data_files=file, split="train")) for file in files])
        place, options = PUBLISHED[name]
        found = [dict(row) for row in load(place, **options)]
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"data set {name}: cannot be fetched ({reason}); give a local folder with --data-dir"
        raise SettingsError(message) from error
    return [_pandalm(row, position) for position, row in enumerate(found)] if name == "pandalm" else found


def source_hashes(folder: Path | None) -> dict[str, str]:
    """First 16 hex digits of the sha256 of each local file that is there."""
    if folder is None:
        return {}
    return {file: file_sha256(folder / file)[:16] for file in FILES.values() if (folder / file).is_file()}


def _local(path: Path) -> list[Row]:
    found, problems = [], []
    try:
        for number, line in read_lines(path):
            try:
                found.append(json.loads(line))  # msgspec refuses the NaN and the halves of characters of public data
            except ValueError as error:
                problems.append(f"{path}:{number}: is not JSON ({error}); mend or delete the line")
    except InputError as error:
        raise SettingsError(f"{error}, in the folder of --data-dir") from error
    if problems:
        raise RowsError(problems)
    return found


def _epitome(files: list[list[Row]]) -> list[Row]:
    """One row for each reply from the three published files, one a mechanism."""
    merged: dict[str, Row] = {}
    for mechanism, found in zip(_MECHANISMS, files, strict=True):
        for row in found:
            name = f"{row['sp_id']}-{row['rp_id']}"
            reply = merged.setdefault(name, {"id": name, "post": row["seeker_post"], "response": row["response_post"]})
            reply[mechanism.replace("-", "_")] = int(row["level"])
    return [row for row in merged.values() if len(row) == 3 + len(_MECHANISMS)]


def _pandalm(row: Row, position: int) -> Row:
    """The published columns to those of the local file: the majority of three votes, 0 for a tie or no majority."""
    votes = [int(row[f"annotator{n}"]) for n in (1, 2, 3)]
    majority = max(set(votes), key=votes.count)
    return {
        "id": row.get("idx", position),
        "instruction": row["instruction"],
        "input": row["input"],
        "response1": row["response1"],
        "response2": row["response2"],
        "preferred": majority if votes.count(majority) > 1 else 0,
        "votes": votes,
    }
