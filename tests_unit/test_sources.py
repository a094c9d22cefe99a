"""The public data sets have the same columns from a local folder and as they are published; nothing is fetched here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from system.errors import RowsError, SettingsError
from system.training.sources import FILES, PUBLISHED, rows, source_hashes
from system.training.splits import SHARES

Row = dict[str, Any]
MECHANISMS = ("emotional-reactions", "interpretations", "explorations")


def epitome_row(post: str, reply: str, level: int | str) -> Row:
    """A row as published: one of the three CSV files."""
    texts = {"seeker_post": f"post {post}", "response_post": f"reply {reply}"}
    return {"sp_id": post, "rp_id": reply, **texts, "level": level, "rationales": "|"}


def pandalm_row(votes: tuple[int, int, int], **more: Any) -> Row:
    """A row of testset-v1.json as published."""
    fixed = {"motivation_app": "Gmail", "cmp_key": "opt_bloom", "instruction": "Rewrite.", "input": "A text."}
    replies = {"response1": "One.", "response2": "Two."}
    return {**fixed, **replies, **{f"annotator{n}": vote for n, vote in enumerate(votes, start=1)}, **more}


class Hub:
    """Plays datasets.load_dataset; ``asked`` keeps what it was asked for."""

    def __init__(self, give: Callable[..., list[Row]]):
        self.give, self.asked = give, []

    def __call__(self, place: str, **options: Any) -> list[Row]:
        """The rows of one data set."""
        self.asked.append((place, options))
        return self.give(place, **options)


# Local files


def test_a_local_file(tmp_path: Path) -> None:
    """Rows come as they stand in the file, in their order; blank lines are none."""
    (tmp_path / "pandalm.jsonl").write_text('{"id": 2}\n\n{"id": 1, "x": "é"}\n', encoding="utf-8")
    assert rows("pandalm", tmp_path) == [{"id": 2}, {"id": 1, "x": "é"}]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85"])
def test_line_ends_inside_a_text(tmp_path: Path, mark: str) -> None:
    """A character that some call the end of a line may stand inside a text, and cuts no row."""
    (tmp_path / "epitome.jsonl").write_text(f'{{"post": "a{mark}b"}}\n', encoding="utf-8")
    assert rows("epitome", tmp_path) == [{"post": f"a{mark}b"}]


def test_bad_lines(tmp_path: Path) -> None:
    """Every line that cannot be read is named with its file and number, bytes that are no text included."""
    path = tmp_path / "alpaca.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": \n{"b": 2}\nno\n{"c": "\xff"}\n')
    with pytest.raises(RowsError) as caught:
        rows("alpaca", tmp_path)
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [f"{path}:{n}" for n in (2, 4, 5)]


def test_no_file(tmp_path: Path) -> None:
    """A folder without the file is one line that says how to name another; the Hub is not asked instead."""
    hub = Hub(lambda *_, **__: [])
    with pytest.raises(SettingsError, match=r"hh_harmless\.jsonl: cannot be read .*--data-dir"):
        rows("hh_harmless", tmp_path, hub)
    assert hub.asked == []


def test_source_hashes(tmp_path: Path) -> None:
    """The hash of each file that is there, by name; without a folder there is none."""
    (tmp_path / "alpaca.jsonl").write_bytes(b"abc")
    (tmp_path / "other.jsonl").write_bytes(b"abc")
    assert source_hashes(tmp_path) == {"alpaca.jsonl": hashlib.sha256(b"abc").hexdigest()[:16]}
    assert source_hashes(None) == {}


# The Hub


def test_every_data_set_has_both_ways() -> None:
    """What can be read locally can be fetched by name, and has shares."""
    assert set(FILES) == {*PUBLISHED, "epitome"} == set(SHARES)


@pytest.mark.parametrize(
    ("name", "place", "options"),
    [
        ("alpaca", "tatsu-lab/alpaca", {"split": "train"}),
        ("bitext", "bitext/Bitext-customer-support-llm-chatbot-training-dataset", {"split": "train"}),
        ("hh_harmless", "Anthropic/hh-rlhf", {"data_dir": "harmless-base", "split": "test"}),
    ],
)
def test_hub_names(name: str, place: str, options: Row) -> None:
    """A data set of the Hub is asked for by its name, part and split, once, and its rows stay as they are."""
    hub = Hub(lambda *_, **__: [{"chosen": "a", "rejected": "b"}])
    assert rows(name, None, hub) == [{"chosen": "a", "rejected": "b"}]
    assert hub.asked == [(place, options)]


def test_epitome_as_published() -> None:
    """Three files, one a mechanism, become one row for each reply, with the columns of the local file."""
    levels = {"emotional-reactions": 2, "interpretations": 0, "explorations": 1}

    def give(place: str, data_files: str, split: str) -> list[Row]:
        assert (place, split) == ("csv", "train")
        (mechanism,) = [name for name in MECHANISMS if data_files.endswith(f"/dataset/{name}-reddit.csv")]
        found = [epitome_row("p1", "r1", levels[mechanism]), epitome_row("p1", "r2", str(2 - levels[mechanism]))]
        return found[::-1] if mechanism == "explorations" else found  # files need not agree on the order

    hub = Hub(give)
    assert rows("epitome", None, hub) == [
        {
            **{"id": "p1-r1", "post": "post p1", "response": "reply r1"},
            **{"emotional_reactions": 2, "interpretations": 0, "explorations": 1},
        },
        {
            **{"id": "p1-r2", "post": "post p1", "response": "reply r2"},
            **{"emotional_reactions": 0, "interpretations": 2, "explorations": 1},
        },
    ]
    assert len(hub.asked) == 3
    assert all(options["data_files"].startswith("https://") for _, options in hub.asked)


def test_epitome_needs_all_three() -> None:
    """A reply that one of the files lacks has no label of that mechanism, and is left out rather than given a 0."""

    def give(place: str, data_files: str, split: str) -> list[Row]:
        both = [epitome_row("p1", "r1", 1), epitome_row("p2", "r2", 1)]
        return both[:1] if "interpretations" in data_files else both

    assert [row["id"] for row in rows("epitome", None, Hub(give))] == ["p1-r1"]


@pytest.mark.parametrize(
    ("votes", "preferred"),
    [
        ((1, 1, 1), 1),
        ((2, 1, 2), 2),
        ((0, 1, 1), 1),
        ((0, 0, 2), 0),  # a tie
        ((0, 1, 2), 0),  # no majority
        (("2", "2", "1"), 2),
    ],
)
def test_pandalm_as_published(votes: Any, preferred: int) -> None:
    """Two votes of three are the label; without them nothing is preferred. The columns are the local file's."""
    hub = Hub(lambda *_, **__: [pandalm_row(votes, idx=7), pandalm_row(votes)])
    first, second = rows("pandalm", None, hub)
    assert first == {
        **{"id": 7, "instruction": "Rewrite.", "input": "A text.", "response1": "One.", "response2": "Two."},
        **{"preferred": preferred, "votes": [int(vote) for vote in votes]},
    }
    assert second["id"] == 1  # without an id its place
    ((place, options),) = hub.asked
    assert place == "json" and options["data_files"].endswith("/data/testset-v1.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("error", [OSError("no route\nto host"), ValueError(""), ConnectionError("refused")])
def test_the_hub_cannot_be_reached(name: str, error: Exception) -> None:
    """One line that names the data set, the reason, and the way out."""

    def give(*_: Any, **__: Any) -> list[Row]:
        raise error

    with pytest.raises(SettingsError, match=rf"^data set {name}: cannot be fetched \(.+\).*--data-dir$") as caught:
        rows(name, None, Hub(give))
    assert "\n" not in str(caught.value)
