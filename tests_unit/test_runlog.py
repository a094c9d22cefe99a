"""The run log: the last answer counts, broken lines are named, and keys change with every ingredient."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.fakes import make_hits, make_response
from system.errors import InputError, RowsError
from system.records import Complaint, Decoding, Identity, Response
from system.rows import LineWriter, encode
from system.runlog import read_run, read_usable, response_key
from system.variants import Variant

ROOT = Path(__file__).resolve().parents[1]


def answer(number: int, text: str = "Please wait.", **changes: object) -> Response:
    """The response to a complaint of this number."""
    return make_response(Complaint(id=f"T-{number}", text="My hub is dead."), text, **changes)  # type: ignore[arg-type]


def write(path: Path, *parts: Response | bytes) -> Path:
    """A run log of these responses and raw lines."""
    path.write_bytes(b"".join(part if isinstance(part, bytes) else encode(part) for part in parts))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file to be written."""
    return tmp_path / "run.jsonl"


def test_responses_come_back_equal(log: Path) -> None:
    """A run log holds everything: hits, decision, prompt, removed sentences and errors are read as they were."""
    responses = [
        answer(1, hits=make_hits(["a", "b"]), removed=("It costs $9.",)),
        answer(2, "", finish="error", error="TimeOut: no answer within 120 s"),
    ]
    with LineWriter(log) as writer:
        for response in responses:
            writer.write(response)
    assert read_run(log) == responses


def test_the_last_answer_counts(log: Path) -> None:
    """Of several lines with one variant and id the last counts; other variants and ids are other answers."""
    other = answer(1, "Other.", variant="rag")
    write(log, answer(1, "First."), answer(2), other, answer(1, "Last."))
    assert read_run(log) == [answer(1, "Last."), answer(2), other]


TORN = encode(answer(3))[:200] + b"\n"
BROKEN = [
    (TORN, "Input data was truncated"),
    (b"{}\n", "missing required field"),
    (b"[1, 2]\n", "Expected `object`, got `array`"),
    (b'{"id": "T-1", "text": "a complaint, not a response"}\n', "missing required field"),
    (encode(answer(3)).replace(b'"stop"', b'"ended"'), "Invalid enum value 'ended' - at `$.finish`"),
    (encode(answer(3)).replace(b"Please", b"Pl\xffase"), "can't decode byte 0xff"),
    (b"\x00\x00\x00\n", "malformed"),  # what a power cut leaves
    (b"[" * 100_000 + b"\n", "got `array`"),
]


@pytest.mark.parametrize(("line", "problem"), BROKEN)
def test_a_broken_line_is_named(log: Path, line: bytes, problem: str) -> None:
    """A torn or foreign line is an error with its number: no case vanishes from a replay unnoticed."""
    write(log, answer(1), b"\n", line, answer(2))
    with pytest.raises(RowsError) as caught:
        read_run(log)
    (found,) = caught.value.problems
    assert found.startswith(f"{log}:3: is not a response of this version: ")
    assert problem in found
    assert found.endswith("; delete the line or the file")


def test_all_broken_lines_are_named_at_once(log: Path) -> None:
    """A log with several broken lines needs one round of mending."""
    write(log, answer(1), *(line for line, _ in BROKEN))
    with pytest.raises(RowsError) as caught:
        read_run(log)
    assert len(caught.value.problems) == len(BROKEN)


def test_a_file_that_is_no_run_log(log: Path) -> None:
    """A README given by mistake is one line of complaint, not one for each of its own."""
    write(log, b"# Title\n", b"\n", b"words\n", b"more words\n")
    told = r"is not a run log: .*:1: is not a response.* \(and 2 further lines\)$"
    with pytest.raises(RowsError, match=told) as caught:
        read_run(log)
    assert len(caught.value.problems) == 1


def test_broken_lines_are_answered_anew(log: Path) -> None:
    """For resuming, a torn or foreign line is as good as none, and costs no other answer."""
    write(log, answer(1), *(line for line, _ in BROKEN), answer(2))
    assert read_usable(log) == {(r.id, r.key): r for r in (answer(1), answer(2))}


def test_errors_are_not_usable(log: Path) -> None:
    """A case that failed last is asked again, because its last line is the one that is read."""
    failed = answer(1, "", finish="error", error="TimeOut")
    write(log, failed, answer(2), answer(3), answer(3, "", finish="error", error="TimeOut"))
    assert read_usable(log) == {(answer(2).id, answer(2).key): answer(2)}


def test_an_answer_that_was_replaced_is_not_usable(log: Path) -> None:
    """An answer to older ingredients that came back is given anew: the log's last line must be the right one."""
    replaced = replace(answer(1), key="other ingredients")
    write(log, answer(1), replaced)
    assert read_usable(log) == {(replaced.id, "other ingredients"): replaced}


def test_a_missing_log() -> None:
    """There is nothing to resume from a log that is not there, but nothing to replay either."""
    absent = Path("nowhere") / "run.jsonl"
    assert read_usable(absent) == {}
    with pytest.raises(InputError, match="No such file"):
        read_run(absent)


VARIANT = Variant(name="rag", template="empathetic", policy="always", retriever="dense")
IDENTITY = Identity(model="m", model_hash="1", knowledge_base="2")
INGREDIENTS = ("My hub is dead.", VARIANT, IDENTITY, "template", None, {"b": 1.0, "a": 2.0}, frozenset("xyz"))

Change = Callable[[tuple[object, ...]], tuple[object, ...]]


def swapped(place: int, value: object) -> tuple[object, ...]:
    """The ingredients with one of them changed."""
    return (*INGREDIENTS[:place], value, *INGREDIENTS[place + 1 :])


@pytest.mark.parametrize(
    "changed",
    [
        swapped(0, "My hub is dead"),
        swapped(0, "my hub is dead."),
        swapped(1, replace(VARIANT, guard=True)),
        swapped(1, replace(VARIANT, adapter="adapters/x")),
        swapped(1, replace(VARIANT, decoding=Decoding(max_new_tokens=161))),
        swapped(1, replace(VARIANT, decoding=Decoding(repetition_penalty=1.2))),
        swapped(1, replace(VARIANT, decoding=Decoding(seed=1))),
        swapped(2, replace(IDENTITY, model_hash="3")),
        swapped(2, replace(IDENTITY, knowledge_base="3")),
        swapped(2, replace(IDENTITY, adapter_hash="3")),
        swapped(3, "template "),
        swapped(4, "None"),
        swapped(4, "null"),
        swapped(4, ""),
        swapped(4, 0),
        swapped(4, False),
        swapped(5, {"b": 1.0, "a": 2.0000001}),
        swapped(5, {"b": 2.0, "a": 1.0}),
        swapped(6, frozenset("xy")),
        INGREDIENTS[:-1],
        (*INGREDIENTS, None),
        INGREDIENTS[::-1],
        ("My hub is dead.", *INGREDIENTS),
    ],
)
def test_every_ingredient_changes_the_key(changed: tuple[object, ...]) -> None:
    """A stored answer is served only for exactly what it was made from."""
    assert response_key(changed) != response_key(INGREDIENTS)


def test_ingredients_do_not_run_into_each_other() -> None:
    """Moving a letter from one ingredient to the next changes the key."""
    assert len({response_key(pair) for pair in (("ab", "c"), ("a", "bc"), ("abc", ""), ("abc",))}) == 4


def test_what_does_not_matter_does_not_change_the_key() -> None:
    """The order of a mapping or a set, and the kind of the outer iterable, are no ingredients."""
    same = swapped(5, {"a": 2.0, "b": 1.0})
    assert response_key(iter(same)) == response_key(list(swapped(6, frozenset("zyx")))) == response_key(INGREDIENTS)


@pytest.mark.parametrize("seed", ["1", "2"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    """A log written yesterday is found today: nothing of the process, such as its hash seed, enters the key."""
    code = "from tests_unit.test_runlog import *; print(response_key(INGREDIENTS))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == response_key(INGREDIENTS)
