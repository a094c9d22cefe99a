"""JSON lines: every bad row is named at once, and every written line is whole."""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.complaints import text_problems
from system.errors import InputError, RowsError
from system.records import Complaint
from system.rows import LineWriter, encode, read_lines, read_rows

ROOT = Path(__file__).resolve().parents[1]
STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=60)
GOOD = b'{"id": "a", "text": "My hub is dead."}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be written."""
    return tmp_path / "rows.jsonl"


def problems(file: Path, content: bytes) -> tuple[str, ...]:
    """What is said about the rows of a file with this content, without the file's name."""
    file.write_bytes(content)
    with pytest.raises(RowsError) as caught:
        read_rows(file, Complaint, text_problems)
    assert str(caught.value) == "\n".join(caught.value.problems)
    assert all(problem.startswith(f"{file}:") for problem in caught.value.problems)
    return tuple(problem.removeprefix(f"{file}:") for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"{bad", "JSON is malformed"),
        (b'{"id": "b", "text": "cut o', "Input data was truncated"),
        (b'[{"id": "b"}]', "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"id": "b", "text": "x y", "txet": 1}', "unknown key 'txet'; known are ['action', 'category',"),
        (b'{"id": "b", "text": null}', "Expected `str`, got `null` - at `$.text`"),
        (b'{"id": 7, "text": "x y"}', "Expected `str`, got `int` - at `$.id`"),
        (b'{"id": "b", "text": "x y", "category": "sales"}', "Invalid enum value 'sales' - at `$.category`"),
        (b'{"id": "b", "text": "x y", "relevant": "billing_faq"}', "Expected `array`, got `str` - at `$.relevant`"),
        (b'{"text": "x y"}', "missing required field `id`"),
        (b'{"id": "b"}', "missing required field `text`"),
        (b'{"id": "", "text": "x y"}', "the id is empty"),
        (b'{"id": "a", "text": "x y"}', "id 'a' was used in line 1; ids must differ"),
        (b'{"id": "b", "text": "caf\xe9"}', "can't decode byte 0xe9"),
        (b'{"id": "b", "text": "\xc3"}', "can't decode byte 0xc3"),
        (b'{"id": "b", "text": "x\x00y"}', "JSON is malformed"),
        (b'{"id": "b", "text": "x\\u0000y"}', "id 'b': the text holds the character U+0000"),
        (b'{"id": "b", "text": "x\\ud800"}', "truncated"),  # half of a character
        (b'{"id": "b", "text": ""}', "id 'b': the text is empty"),
        (b'{"id": "b", "text": "  \\n"}', "id 'b': the text is empty"),
        (b'{"id": "b", "text": "' + b"x" * 100_000 + b'"}', "id 'b': the text has 100,000 characters"),
        ('{"id": "b", "text": "😡😡😡"}'.encode(), "id 'b': the text has no letters"),
        ('{"id": "b", "text": "Интернет не работает"}'.encode(), "id 'b': the text is mostly in another script"),
        ('{"id": "b", "text": "我的网络断了"}'.encode(), "id 'b': the text is mostly in another script"),
        ('{"id": "b", "text": "الإنترنت لا يعمل"}'.encode(), "id 'b': the text is mostly in another script"),
        (b'{"id": "b", "text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion depth"),
        (b'\xef\xbb\xbf{"id": "b", "text": "x y"}', "JSON is malformed"),  # a byte order mark in the middle
    ],
)
def test_a_bad_row_is_named(file: Path, row: bytes, problem: str) -> None:
    """Whatever is wrong with a row is an error that names the line and the fault, never a traceback or a guess."""
    (found,) = problems(file, GOOD + b"\n" + row + b"\n")
    assert found.startswith("2: ")
    assert problem in found


def test_all_bad_rows_are_listed_at_once(file: Path) -> None:
    """A file with many defects needs one round of mending: all lines, also several problems of one line."""
    rows = [b"{bad", GOOD, b"[]", GOOD, b'{"id": "", "text": ""}', b'{"id": "b", "text": 1, "x": 1, "y": 1}']
    found = problems(file, b"\n".join(rows))
    assert [problem.split(":")[0] for problem in found] == ["1", "3", "4", "5", "5", "6", "6", "6"]


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD + b"\n",
        b"\n\n" + GOOD + b"\n \t\n\n",
        GOOD + b"\r\n\r\n",
        b"\xef\xbb\xbf" + GOOD + b"\r\n",  # as Windows editors save it
    ],
    ids=["no last newline", "plain", "blank lines", "CRLF", "byte order mark"],
)
def test_what_editors_do_to_a_file_is_tolerated(file: Path, content: bytes) -> None:
    """Blank lines, line ends of Windows and a byte order mark at the head change nothing."""
    file.write_bytes(content)
    assert read_rows(file, Complaint) == [Complaint(id="a", text="My hub is dead.")]


def test_line_numbers_are_those_of_an_editor(file: Path) -> None:
    """Blank lines are skipped but counted, and a carriage return alone ends no line."""
    file.write_bytes(b"\n" + GOOD + b"\r\n\n\rx")
    assert [number for number, _ in read_lines(file)] == [2, 4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.jsonl", "cannot be read (No such file or directory); give an existing JSON-lines file"),
        (".", "cannot be read (Is a directory)"),
        ("empty.jsonl", "has no rows; give at least one JSON object a line"),
        ("blank.jsonl", "has no rows"),
    ],
)
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """A missing file, a folder and an empty file are named as what they are."""
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_bytes(b"\n \n")
    with pytest.raises(InputError, match=r"^\S+: ") as caught:
        read_rows(tmp_path / name, Complaint)
    assert message in str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
complaints = st.builds(
    Complaint,
    id=texts.filter(bool),
    text=texts,
    category=st.sampled_from(["billing", "other"]),
    relevant=st.lists(texts, max_size=3).map(tuple),
    action=st.sampled_from(["RAG", "DIRECT", "ESCALATE", None]),
    facts=st.lists(texts, max_size=3).map(tuple),
)


@STEADY
@given(st.lists(complaints, min_size=1, max_size=5, unique_by=lambda c: c.id))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[Complaint]) -> None:
    """Records come back equal from a file, whatever their texts hold: newlines, quotes, any script."""
    path = tmp_path_factory.mktemp("rows") / "out.jsonl"
    with LineWriter(path) as writer:
        for record in records:
            writer.write(record)
    assert read_rows(path, Complaint) == records
    assert path.read_bytes() == b"".join(map(encode, records))


def test_writing_appends(tmp_path: Path) -> None:
    """A second writer goes on after the first; nothing is ever overwritten, and missing folders are made."""
    path = tmp_path / "new" / "folder" / "log.jsonl"
    for n in range(2):
        with LineWriter(path) as writer:
            writer.write({"n": n})
    assert path.read_bytes() == b'{"n":0}\n{"n":1}\n'


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b'{"n":1,"text":"cut o', b""),
        (b'{"n":1', b""),
        (b"{", b""),
        (b'{"n":1,"text":"\xc3', b""),
        (b'{"n":1}', b'{"n":1}\n'),  # whole but for its newline, as an editor leaves it
    ],
)
def test_a_torn_last_line_is_mended(file: Path, tail: bytes, kept: bytes) -> None:
    """A line that a kill tore is taken away before the next one is written; a whole one is kept and closed."""
    file.write_bytes(b'{"n":0}\n' + tail)
    with LineWriter(file) as writer:
        writer.write({"n": 2})
        writer.write({"n": 3})
    assert file.read_bytes() == b'{"n":0}\n' + kept + b'{"n":2}\n{"n":3}\n'


def test_a_line_torn_by_another_writer_is_mended(file: Path) -> None:
    """A writer whose neighbour is killed in the middle of a line does not continue that line."""
    with LineWriter(file) as writer:
        writer.write({"n": 0})
        with file.open("ab") as killed:
            killed.write(b'{"n":1,"te')
        writer.write({"n": 2})
    assert file.read_bytes() == b'{"n":0}\n{"n":2}\n'


WRITE_ON = """
import sys
from pathlib import Path
from system.rows import LineWriter
writer = LineWriter(Path(sys.argv[1]))
for n in range(1_000_000):
    writer.write({"id": str(n), "text": "x" * 20_000})
"""


def test_lines_are_whole_after_a_kill(file: Path) -> None:
    """A writer killed while it writes costs at most its last line: all earlier ones and all later ones are whole."""
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", WRITE_ON, str(file)], cwd=ROOT)
        size = file.stat().st_size if file.exists() else 0
        deadline = time.monotonic() + 20
        while not file.exists() or file.stat().st_size < size + 500_000:
            assert time.monotonic() < deadline, "the writer does not write"
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    with LineWriter(file) as writer:
        writer.write({"id": "last", "text": ""})
    rows = [json.loads(line) for _, line in read_lines(file)]
    numbers = [int(row["id"]) for row in rows[:-1]]
    restarts = [n for n in range(1, len(numbers)) if numbers[n] != numbers[n - 1] + 1]
    assert len(restarts) == 2
    assert all(numbers[n] == 0 for n in (0, *restarts))
    assert rows[-1]["id"] == "last"


def write_many(path: Path, name: str, count: int) -> None:
    """What each of several processes does at once."""
    with LineWriter(path) as writer:
        for n in range(count):
            writer.write({"id": f"{name}-{n}", "text": name * 15_000})


def test_writers_do_not_interleave(file: Path) -> None:
    """Two processes that append at once leave every line whole and in the order of its writer."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(file, name, 200)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    rows = [msgspec.json.decode(line) for _, line in read_lines(file)]
    assert all(row["text"] == row["id"][0] * 15_000 for row in rows)
    for name in "ab":
        assert [row["id"] for row in rows if row["id"][0] == name] == [f"{name}-{n}" for n in range(200)]


FILL = """
import resource, sys
from pathlib import Path
from system.errors import InputError
from system.rows import LineWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
writer = LineWriter(Path(sys.argv[1]))
try:
    for n in range(3):
        writer.write({"n": n, "text": "x" * 600})
except InputError as error:
    sys.exit(f"{n} {error}")
"""


def test_a_full_disk_is_told(file: Path) -> None:
    """A line that the file system takes only in part is an error at once, not a record lost in silence."""
    done = subprocess.run([sys.executable, "-c", FILL, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (
        done.stderr.strip() == f"1 {file}: cannot be written (no space left for a whole line); "
        "give another file or make room"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


@pytest.mark.parametrize("name", [".", "a_file/log.jsonl"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    """A folder, or a path through a file, in place of a log is the user's error, named with the path."""
    (tmp_path / "a_file").touch()
    with pytest.raises(InputError, match="cannot be written") as caught:
        LineWriter(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
