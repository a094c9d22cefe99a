"""The cache under stress: parallel writers, kill -9, forks, threads, damaged files. A wrong value is never served."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from system.__main__ import main, parser
from system.cache import Cache, DiskCache, MemoryCache, key_of, made_by, open_cache
from system.commands import assistant_of
from system.errors import SettingsError

ROOT = Path(__file__).parents[1]
BATCH = 20


def entries(batch: object) -> dict[str, bytes]:
    """A transaction's worth of entries; the values follow from the keys, small ones and such as need many pages."""
    return {f"{batch}-{n}": value(f"{batch}-{n}") for n in range(BATCH)}


def value(key: str) -> bytes:
    """What must be stored under a key."""
    return key.encode() * random.Random(key).choice((1, 50, 2000))


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python code that may use this module; it ends by itself within seconds or is killed by the test."""
    head = "import os, signal, sys, threading, time\nfrom pathlib import Path\nfrom tests_unit.test_cache import *\n"
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """The output of a process that must end well."""
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


def batches(cache: Cache, names: list[object]) -> list[bool]:
    """Which batches are there, each of them whole and right or not at all."""
    there = []
    for name in names:
        wanted = entries(name)
        found = cache.get_many("score", list(wanted))
        assert found in (list(wanted.values()), [None] * BATCH), f"batch {name} is neither whole nor absent"
        there.append(found[0] is not None)
    return there


@pytest.mark.parametrize("make", [DiskCache, lambda _: MemoryCache()])
def test_what_was_put_is_got(make: Callable[[Path], Cache], tmp_path: Path) -> None:
    """Values come back in the order of the keys, None for the unknown, and no kind sees another's."""
    cache = make(tmp_path)
    cache.put_many("score", {"b": b"2", "a": b"", "c": bytes(100_000)})
    assert cache.get_many("score", ["a", "x", "b", "a", "c"]) == [b"", None, b"2", b"", bytes(100_000)]
    assert cache.get_many("embedding", ["a", "b"]) == [None, None]
    assert cache.get_many("score", []) == []
    cache.put_many("score", {})


def test_what_was_put_stays(tmp_path: Path) -> None:
    """The next process finds what this one has stored, and a deleted folder is an empty one."""
    DiskCache(tmp_path / "c").put_many("score", entries(1))
    assert batches(DiskCache(tmp_path / "c"), [1]) == [True]
    for path in (tmp_path / "c").iterdir():
        path.unlink()
    assert batches(DiskCache(tmp_path / "c"), [1]) == [False]


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    """Processes that open a new cache together and write the same and different keys lose and mix nothing."""
    code = """
cache = DiskCache(Path(sys.argv[1]))
for n in range(25):
    cache.put_many("score", entries(f"both{n}"))
    cache.put_many("score", entries(f"{sys.argv[2]}{n}"))
"""
    for process in [run(code, tmp_path, name) for name in "abc"]:
        finish(process)
    names = [f"{name}{n}" for name in ("a", "b", "c", "both") for n in range(25)]
    assert all(batches(DiskCache(tmp_path), names))


@pytest.mark.parametrize("after", [1, 2, 5, 9, 14])
def test_kill(tmp_path: Path, after: int) -> None:
    """After kill -9 in the middle of writing, all that was committed is whole, nothing is half there, writing works."""
    code = """
cache = DiskCache(Path(sys.argv[1]))
for n in range(10_000):
    cache.put_many("score", entries(n))
    print(n, flush=True)
"""
    writer = run(code, tmp_path)
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(after)]
    time.sleep(random.Random(after).random() / 100)  # so that the kill falls anywhere in a transaction
    writer.send_signal(signal.SIGKILL)
    said += writer.communicate()[0].splitlines()
    cache = DiskCache(tmp_path)
    there = batches(cache, list(range(len(said) + 2)))
    assert there[: len(said)] == [True] * len(said)
    assert there[len(said) + 1] is False
    cache.put_many("score", entries("after"))
    assert batches(cache, ["after"]) == [True]


def test_readers_during_writes(tmp_path: Path) -> None:
    """A reader sees the whole of a transaction or none of it, at any moment, and does not wait for the writer."""
    code = """
cache = DiskCache(Path(sys.argv[1]))
for n in range(60):
    cache.put_many("score", entries(n))
"""
    cache = DiskCache(tmp_path)
    writer = run(code, tmp_path)
    seen: list[bool] = []
    while writer.poll() is None:
        now = batches(cache, list(range(60)))
        assert all(new or not old for old, new in zip(seen, now, strict=False)), "what was there is gone"
        seen = now
    finish(writer)
    assert all(batches(cache, list(range(60))))


def test_threads(tmp_path: Path) -> None:
    """Threads share one cache."""
    cache, wrong = DiskCache(tmp_path), []

    def work(name: str) -> None:
        try:
            for n in range(6):
                cache.put_many("score", entries(f"{name}{n}"))
                assert all(batches(cache, [f"{name}{m}" for m in range(n + 1)]))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fork(tmp_path: Path) -> None:
    """A child reads and writes through a file of its own, while the parent's threads go on with theirs."""
    code = """
import multiprocessing
cache = DiskCache(Path(sys.argv[1]))
cache.put_many("score", entries("parent"))
done = threading.Event()
wrong = []

def busy():
    try:
        while not done.is_set():
            assert batches(cache, ["parent"]) == [True]
            cache.put_many("score", entries("thread"))
    except BaseException as error:
        wrong.append(error)

def child(n):
    assert batches(cache, ["parent"]) == [True]
    cache.put_many("score", entries(f"child{n}"))
    assert batches(cache, [f"child{n}"]) == [True]

thread = threading.Thread(target=busy)
thread.start()
for n in range(8):
    process = multiprocessing.get_context("fork").Process(target=child, args=(n,))
    process.start()
    process.join(20)
    assert process.exitcode == 0, n
done.set()
thread.join()
assert not wrong, wrong
names = ["parent", "thread"] + [f"child{n}" for n in range(8)]
assert all(batches(cache, names))
"""
    finish(run(code, tmp_path))


def test_killed_readers_leave_their_places(tmp_path: Path) -> None:
    """Readers that were killed while they read do not use up the places of those who come later."""
    code = """
import system.cache
system.cache.READERS = 5
ready, tell = os.pipe()
if (holder := os.fork()) == 0:  # with nobody there, LMDB would clear all places by itself
    cache = DiskCache(Path(sys.argv[1]))
    cache.put_many("score", entries(1))
    os.write(tell, b"x")
    time.sleep(60)
os.read(ready, 1)
for _ in range(20):
    if (child := os.fork()) == 0:
        with DiskCache(Path(sys.argv[1]))._transaction() as transaction:
            transaction.get(b"score/1-1")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
assert batches(DiskCache(Path(sys.argv[1])), [1]) == [True]
os.kill(holder, signal.SIGKILL)
"""
    finish(run(code, tmp_path))


# Unusable and damaged files


def data_file(folder: Path) -> Path:
    """The file of a cache with some entries, which nobody has open."""
    cache = DiskCache(folder)
    for n in range(5):
        cache.put_many("score", entries(n))
    return folder / "data.mdb"


def damaged(path: Path, start: float, length: int) -> None:
    """Write noise over a part of a file; ``start`` is a share of its size."""
    with path.open("r+b") as file:
        file.seek(int(start * path.stat().st_size))
        file.write(random.Random(int(start * 100)).randbytes(length))


def refused(folder: Path) -> str:
    """The one line with which a cache is refused at the latest when all is read from it."""
    with pytest.raises(SettingsError) as caught:
        batches(DiskCache(folder), list(range(5)))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{folder}: the cache cannot be used (")
    assert line.endswith("; delete the folder, or name another by SUPPORT_CACHE=FOLDER")
    return line


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    """A file in the folder's place, or above it, is an error that names it."""
    (tmp_path / "file").write_text("x")
    assert "File exists" in refused(tmp_path / "file")
    assert "Not a directory" in refused(tmp_path / "file" / "below")


def test_unwritable_folder(tmp_path: Path) -> None:
    """A folder that may not be written to is an error that names it."""
    refused(Path("/proc/support"))  # where not even root may make a folder
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert "Permission denied" in refused(tmp_path / "locked")


@pytest.mark.parametrize("change", ["overwritten", "begins wrong", "text"])
def test_file_that_is_no_cache(tmp_path: Path, change: str) -> None:
    """A data file whose head is not LMDB's is an error that names the folder."""
    path = data_file(tmp_path)
    if change == "text":
        path.write_text("not a cache" * 1000)
    else:
        damaged(path, 0, path.stat().st_size if change == "overwritten" else 8192)
    refused(tmp_path)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.99])
def test_file_that_was_cut_off(tmp_path: Path, share: float) -> None:
    """A data file that is too short is refused when it is opened; reading on would kill the process."""
    path = data_file(tmp_path)
    os.truncate(path, int(path.stat().st_size * share))
    assert " bytes" in refused(tmp_path) or share < 0.1


def test_noise_in_the_middle_is_never_served(tmp_path: Path) -> None:
    """Wherever noise is written over the file, a value is the right one, missing, or an error; never another."""
    code = """
path = data_file(Path(sys.argv[1]) / "whole")
outcomes = set()
for n in range(40):
    folder = Path(sys.argv[1]) / str(n)
    folder.mkdir()
    (folder / "data.mdb").write_bytes(path.read_bytes())
    damaged(folder / "data.mdb", 0.1 + n / 50, 6000)
    for batch in range(5):
        for key, wanted in entries(batch).items():
            try:
                found, = DiskCache(folder).get_many("score", [key])
                assert found in (None, wanted), key
                outcomes.add("missing" if found is None else "right")
            except SettingsError:
                outcomes.add("refused")
assert outcomes == {"missing", "right", "refused"}, outcomes
"""
    finish(run(code, tmp_path))


def test_changed_value_is_made_anew(tmp_path: Path) -> None:
    """A value whose bytes have changed on disk counts as missing, and can be stored again."""
    cache = DiskCache(tmp_path)
    cache.put_many("score", {"a": b"a value of some length", "b": b"another one"})
    del cache
    path = tmp_path / "data.mdb"
    content = path.read_bytes()
    assert content.count(b"a value of some") == 1
    path.write_bytes(content.replace(b"a value of some", b"a value of same"))
    cache = DiskCache(tmp_path)
    assert cache.get_many("score", ["a", "b"]) == [None, b"another one"]
    cache.put_many("score", {"a": b"a value"})
    assert cache.get_many("score", ["a", "b"]) == [b"a value", b"another one"]


def test_command_line_names_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command whose cache is damaged says so in one line and exits with 2."""
    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "cache"))
    damaged(data_file(tmp_path / "cache" / "results"), 0, 20_000)
    (tmp_path / "q.jsonl").write_text('{"id": "q", "text": "When is my bill due?"}\n')
    arguments = ["decide", "--queries", str(tmp_path / "q.jsonl"), "--out", str(tmp_path / "o.jsonl")]
    assert main([*arguments, "--kb", str(ROOT / "knowledge_base")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/cache/results: the cache cannot be used (")


def test_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ask and run use the machine's cache unless they are told not to."""
    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "cache"))
    for command in (["ask", "hi"], ["run", "--variant", "rag", "--complaints", "q", "--out", "o"]):
        assert assistant_of(parser().parse_args([*command, "--no-cache"])).cache is None
        assert not (tmp_path / "cache").exists()
    assert assistant_of(parser().parse_args(["ask", "hi"])).cache is open_cache()


# Opening, and keys


def test_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the cache shares one; another cache folder is another cache, wherever one stands."""
    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "one"))
    first = open_cache()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUPPORT_CACHE", "one")
    assert open_cache() is first
    with pytest.raises(SettingsError, match="already open in this process"):
        DiskCache(tmp_path / "one" / "results")
    monkeypatch.setenv("SUPPORT_CACHE", "two")
    second = open_cache()
    second.put_many("score", entries(1))
    assert batches(first, [1]) == [False]
    del second
    assert batches(open_cache(), [1]) == [True]


def test_key_of() -> None:
    """Keys tell apart what differs, also where the pieces run together alike, and no dictionary's order matters."""
    keys = [key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of(["ab", "c"]), key_of("ab", "c", None)]
    keys += [key_of({"a": 1}), key_of({"a": 1.0}), key_of({"a": True}), key_of({"a": "1"}), key_of({"b": 1}), key_of()]
    assert len(set(keys)) == len(keys)
    assert key_of({"a": 1, "b": {"c": 2, "d": 3}}) == key_of({"b": {"d": 3, "c": 2}, "a": 1})


def test_made_by() -> None:
    """The hash of code and libraries differs by each of them, and unknown ones are no silent gap."""
    assert len({made_by("cache", ""), made_by("cache models", ""), made_by("cache", "numpy"), made_by("", "lmdb")}) == 4
    with pytest.raises(FileNotFoundError):
        made_by("nothing", "")
    with pytest.raises(ModuleNotFoundError):
        made_by("", "no-such-library")
