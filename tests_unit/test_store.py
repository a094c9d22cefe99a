"""The store: what it has acknowledged is on disk, and what was forgotten is gone from the file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from fixtures.options import ROOT
from system.errors import SettingsError
from system.service.store import Kept, Rating, Store

ANSWER = Kept(
    id="a1",
    conversation="c1",
    time="2026-11-30T12:00:00.000+00:00",
    variant="agent-rag",
    complaint="My bill is wrong.",
    answer="I am sorry. Check the due date.",
    action="RAG",
    reason="evidence 0.93 >= 0.50",
    score=0.93,
    threshold=0.5,
    sources=("billing_faq#3", "billing_faq#1"),
    seconds=1.5,
)
WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from system.service.store import Rating, Store
from tests_unit.test_store import ANSWER
store = Store(Path(sys.argv[1]))
for n in range(100_000):
    store.add(replace(ANSWER, id=f"a{n}"))
    store.thumb(f"a{n}", "up", "")
    store.rate([Rating(f"p{n}", "Kim", "rag", axis, 4) for axis in ("helpfulness", "clarity")])
    print(n, flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    made = Store(tmp_path / "service.sqlite")
    yield made
    made.close()


def test_what_was_added_comes_back_newest_first(store: Store) -> None:
    """An answer comes back as it was given, and pages go from the newest to the oldest without a gap."""
    many = [replace(ANSWER, id=f"a{n}") for n in range(5)]
    for answer in many:
        store.add(answer)
    assert store.answers(2) == [many[4], many[3]]
    assert store.answers(2, before="a3") == [many[2], many[1]]
    assert store.answers(50, before="a0") == []
    assert store.answers(50, before="nobody") == []


def test_thumbs_are_set_replaced_and_taken_back(store: Store) -> None:
    """The last thumb counts; one for an answer that is not there is told."""
    store.add(ANSWER)
    for thumb, counted in (("up", {"up": 1}), ("down", {"down": 1}), (None, {})):
        assert store.thumb("a1", thumb, "because")
        assert store.answers()[0].thumb == thumb
        assert store.thumbs() == counted
    assert not store.thumb("a2", "up", "")


def test_forgotten_words_are_not_in_the_file(tmp_path: Path) -> None:
    """What is forgotten cannot be read from the file or its log any more; other conversations stay."""
    path = tmp_path / "service.sqlite"
    store = Store(path)
    store.add(replace(ANSWER, complaint="aardvark " * 50, answer="albatross " * 50))
    store.add(replace(ANSWER, id="a2", conversation="c2", complaint="buffalo"))
    assert store.forget("c1") == 1
    assert store.forget("c1") == 0
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"aardvark" not in files
    assert b"albatross" not in files
    assert b"buffalo" in files
    store.close()


def test_retention_deletes_by_age(store: Store) -> None:
    """What is older than the days given goes, the rest stays."""
    now = datetime.now(timezone.utc)
    for days in (1, 29, 31, 400):
        then = (now - timedelta(days=days)).isoformat(timespec="milliseconds")
        store.add(replace(ANSWER, id=f"d{days}", time=then))
    assert store.expire(30) == 2
    assert {answer.id for answer in store.answers()} == {"d1", "d29"}


def test_a_grade_given_again_replaces_the_first(store: Store) -> None:
    """A rater has one grade for each answer and axis."""
    store.rate([Rating("T-001", "Kim", "rag", "clarity", 2), Rating("T-001", "Lee", "rag", "clarity", 3)])
    store.rate([Rating("T-001", "Kim", "rag", "clarity", 5)])
    assert sorted(rating.value for rating in store.ratings()) == [3, 5]


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    """Customers' words are nobody else's on the machine."""
    Store(tmp_path / "service.sqlite").close()
    assert (tmp_path / "service.sqlite").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """A foreign file is named and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes, which are longer than a header of SQLite would be " * 20)
    with pytest.raises(SettingsError, match=r"notes.txt: cannot keep answers .*--store-file"):
        Store(path)
    assert path.read_text().startswith("my notes")


@pytest.mark.parametrize("after", [1, 17, 60])
def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path, after: int) -> None:
    """A process killed with SIGKILL at any moment leaves every answer, thumb and rating that it acknowledged."""
    path = tmp_path / "service.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(after)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().split()]
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    store = Store(path)
    kept = {answer.id: answer for answer in store.answers(1_000_000)}
    rated = {rating.pair for rating in store.ratings()}
    assert len(acknowledged) >= after
    for n in acknowledged:
        assert kept[f"a{n}"].thumb == "up"
        assert f"p{n}" in rated
    store.close()
