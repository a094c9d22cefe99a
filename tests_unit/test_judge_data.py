"""The judge's labels: each row becomes what people said of it, better before worse, in one part only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from system.errors import RowsError, SettingsError
from system.evaluation.judge import Pair
from system.training.judge_data import (
    Calibrated,
    Graded,
    HumanLabels,
    Levels,
    Preference,
    last_turn,
    load_calibration_pairs,
    load_graded,
    load_human_labels,
    split_dialogue,
    swapped_requests,
)
from system.training.sources import FILES
from system.training.splits import Purpose, purpose

PARTS: tuple[Purpose, ...] = ("judge", "judge-heldout", "generator")
GRADED = {
    **{"id": "a", "complaint": "c", "response": "r", "profile": "p", "cluster": "k"},
    **{"helpfulness": 1, "clarity": 2.5, "empathy": 3, "safety": 4},
}
CALIBRATION = {**GRADED, "half": "fit", "context": "Articles.", "graders": [[1, 2, 3, 4], [1, 3, 3, 4]]}


def dialogue(question: str, reply: str) -> str:
    """A dialogue of HH with one turn."""
    return f"\n\nHuman: {question}\n\nAssistant: {reply}"


def write(folder: Path, **found: list[dict[str, Any]]) -> Path:
    """Local files with these rows; those not given are empty."""
    for name, file in FILES.items():
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in found.get(name, [])))
    return folder


def every_part(folder: Path) -> dict[Purpose, HumanLabels]:
    """The labels of each part."""
    return {part: load_human_labels(folder, part) for part in PARTS}


# Human labels


def test_epitome(tmp_path: Path) -> None:
    """Levels come in the order of the mechanisms; all replies to one post stay together."""
    levels = {"explorations": 0, "emotional_reactions": 2, "interpretations": 1}
    found = [
        {"id": f"p{n}-r{m}", "post": f"post {n}", "response": f"reply {n} {m}", **levels}
        for n in range(30)
        for m in range(3)
    ]
    parts = every_part(write(tmp_path, epitome=found))
    assert parts["judge"].epitome[0].levels == (2, 1, 0)
    assert isinstance(parts["judge"].epitome[0], Levels)
    posts = {part: {row.text[0] for row in labels.epitome} for part, labels in parts.items()}
    assert posts["judge"].isdisjoint(posts["judge-heldout"]) and posts["judge-heldout"]
    assert posts["generator"] == set()
    assert sum(len(labels.epitome) for labels in parts.values()) == 90
    for part, labels in parts.items():
        assert all(purpose("epitome", f"p{row.text[0].split()[1]}") == part for row in labels.epitome)


def test_harmless(tmp_path: Path) -> None:
    """The chosen reply is the better one; pairs of unlike dialogues or like replies are no preference."""
    found = [
        {"chosen": dialogue("hi", "Hello."), "rejected": dialogue("hi", "Go away.")},
        {"chosen": dialogue("hi", "Same."), "rejected": dialogue("hi", "Same.")},
        {"chosen": dialogue("hi", "Hello."), "rejected": dialogue("ho", "Go away.")},
    ]
    labels = every_part(write(tmp_path, hh_harmless=found))
    assert [row for part in labels.values() for row in part.harmless] == [
        Preference(("Human: hi", "Hello."), ("Human: hi", "Go away."), "Human: hi")
    ]


def test_dialogues_of_one_opening_stay_together(tmp_path: Path) -> None:
    """However a dialogue goes on, its first line decides its part."""
    found = [
        {
            "chosen": f"\n\nHuman: opening {n}\n\nAssistant: Yes?\n\nHuman: more {m}\n\nAssistant: Fine.",
            "rejected": f"\n\nHuman: opening {n}\n\nAssistant: Yes?\n\nHuman: more {m}\n\nAssistant: No.",
        }
        for n in range(40)
        for m in range(2)
    ]
    parts = every_part(write(tmp_path, hh_harmless=found))
    groups = [{row.group for row in labels.harmless} for labels in parts.values()]
    assert all(groups) and sum(len(group) for group in groups) == len(set.union(*groups)) == 40
    assert sum(len(labels.harmless) for labels in parts.values()) == 80


def test_preferred(tmp_path: Path) -> None:
    """The preferred reply comes first, weighed by the votes that agree; a tie is no preference."""
    row = {"instruction": "Rewrite.", "input": "A text.", "response1": "One.", "response2": "Two."}
    found = [
        {**row, "id": 0, "preferred": 1, "votes": [1, 1, 1]},
        {**row, "id": 1, "preferred": 2, "votes": [2, 1, 2]},
        {**row, "id": 2, "preferred": 0, "votes": [0, 1, 2]},
        {**row, "id": 3, "input": "", "preferred": 2, "votes": [2, 2, 0]},
    ]
    labels = every_part(write(tmp_path, pandalm=found))
    message = "Rewrite.\nA text."
    assert [one for part in labels.values() for one in part.preferred] == [
        Preference((message, "One."), (message, "Two."), "Rewrite.", 1.0),
        Preference((message, "Two."), (message, "One."), "Rewrite.", pytest.approx(2 / 3)),
        Preference(("Rewrite.", "Two."), ("Rewrite.", "One."), "Rewrite.", pytest.approx(2 / 3)),
    ]


def test_requests(tmp_path: Path) -> None:
    """Placeholders are said in words, in request and reply alike: a judge must not learn from braces."""
    row = {"intent": "track", "instruction": "where is {{Order Number}}", "response": "See {{Website URL}}."}
    labels = every_part(write(tmp_path, bitext=[row]))
    assert [one for part in labels.values() for one in part.requests] == [
        ("track", "where is our order number", "See our website url.")
    ]


def test_a_file_is_missing(tmp_path: Path) -> None:
    """Labels that cannot be read are named; a judge is not trained on the rest."""
    write(tmp_path)
    (tmp_path / FILES["pandalm"]).unlink()
    with pytest.raises(SettingsError, match=r"pandalm\.jsonl: cannot be read"):
        load_human_labels(tmp_path, "judge")


# Dialogues and requests


def test_split_dialogue() -> None:
    """The last reply is what is judged; everything before it is the message, speakers named."""
    text = "\n\nHuman: hi\n\nAssistant: Hello.\n\nHuman: my bill\n\nAssistant: It says:\n\n20 euros. "
    assert split_dialogue(text) == ("Human: hi\nAssistant: Hello.\nHuman: my bill", "It says:\n\n20 euros.")


def test_last_turn() -> None:
    """What the person said last, whatever went before; a text without speakers is itself."""
    assert last_turn("Human: hi\nAssistant: Hello.\nHuman: my bill\nis wrong") == "my bill\nis wrong"
    assert last_turn("my bill") == "my bill"
    assert last_turn("Human: ") == "Human: "


def test_swapped_requests() -> None:
    """The better pair is the row's own; the worse one keeps the request or the reply and takes the other elsewhere."""
    requests = [(f"intent {n % 4}", f"request {n}", f"reply {n}") for n in range(200)]
    pairs = swapped_requests(requests, seed=1)
    kept_request = 0
    for n, pair in enumerate(pairs):
        (request, reply), (other_request, other_reply) = pair.better, pair.worse
        assert (request, reply) == (f"request {n}", f"reply {n}")
        assert (other_request == request) != (other_reply == reply)
        stranger = other_reply if other_request == request else other_request
        assert int(stranger.split()[1]) % 4 != n % 4  # of another intent
        kept_request += other_request == request
    assert 70 <= kept_request <= 130
    assert swapped_requests(requests, seed=1) == pairs != swapped_requests(requests, seed=2)


# Our own pairs


def test_graded(tmp_path: Path) -> None:
    """Grades come in the order of the axes."""
    path = tmp_path / "graded.jsonl"
    path.write_text(json.dumps(GRADED))
    assert load_graded(path) == [Graded(("c", "r"), (1, 2.5, 3, 4), "k")]


def test_calibration(tmp_path: Path) -> None:
    """A calibration pair has a context, a half, and the mean grades."""
    path = tmp_path / "calibration.jsonl"
    path.write_text(json.dumps(CALIBRATION))
    assert load_calibration_pairs(path) == [Calibrated(Pair("c", "r", "Articles."), (1, 2.5, 3, 4), "k", "fit")]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"half": "train"}, "half"),
        ({"safety": "high"}, "safety"),
        ({"graders": [[1, 2, 3]]}, "graders"),
        ({"humour": 3}, "unknown key 'humour'"),
        ({"id": ""}, "id is empty"),
    ],
)
def test_bad_rows(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    """A row that is not of this form is named with file and line."""
    path = tmp_path / "calibration.jsonl"
    path.write_text(json.dumps(CALIBRATION) + "\n" + json.dumps({**CALIBRATION, "id": "b", **changes}))
    with pytest.raises(RowsError, match=f"calibration.jsonl:2: .*{problem}"):
        load_calibration_pairs(path)
