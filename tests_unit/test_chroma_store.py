"""Chroma: the same hits as in memory, embedded and served; nothing stale, nothing twice, nothing lost to a kill."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fixtures.embedding import HashedEmbedder
from system import chroma_store
from system.chroma_store import ChromaIndex, ChromaStore, open_store
from system.errors import KnowledgeBaseError, SettingsError
from system.records import Hit, Passage
from system.retrieval import Index, Store, Where, make_retriever, read_filters

NAMES = ("bm25", "dense", "hybrid")
QUERIES = ("the bill is wrong", "router light", "roaming bill abroad", "engineer visit refund", "nothing of the kind")
SUBJECTS = "bill refund router light roaming abroad email password engineer visit charge phone tv speed tower".split()
FILTERS: list[Where] = [
    {"doc": ["a1"]},
    {"doc": ["a1", "a2"], "heading": ["h0", "h3"]},
    {"title": ["T2"]},
    {"doc": ["nobody"]},
]


def knowledge(count: int = 60) -> list[Passage]:
    """Passages of four articles, some of which say the same."""
    draw = np.random.default_rng(1)
    texts = [" ".join(draw.choice(SUBJECTS, 6)) for _ in range(count)]
    texts[count // 2] = texts[3]
    return [
        Passage(id=f"a{n % 4}#{n // 4 + 1}", doc=f"a{n % 4}", title=f"T{n % 4}", heading=f"h{n % 5}", text=text)
        for n, text in enumerate(texts)
    ]


def in_memory(passages: Sequence[Passage]) -> Index:
    """The yardstick."""
    return Index(passages, "kb", HashedEmbedder())


def ranking(store: Store, name: str, k: int = 5, where: Where | None = None) -> list[list[str]]:
    """Passages found for the queries."""
    return [[hit.passage for hit in hits] for hits in make_retriever(name, store).search(QUERIES, k, where)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The option for a Chroma server of this machine's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    code = "from chromadb.cli.cli import app; app()"
    command = [sys.executable, "-c", code, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield f"chroma+http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.fixture(scope="module", params=["folder", "server"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaIndex]:
    """The knowledge in Chroma, in a folder and on a server."""
    is_folder = request.param == "folder"
    place = f"chroma:{tmp_path_factory.mktemp('kept')}" if is_folder else request.getfixturevalue("server")
    store = open_store(place, HashedEmbedder())
    yield store.index(knowledge(), "kb")
    store.client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for one test; what is open there is closed."""
    from chromadb.api.shared_system_client import SharedSystemClient

    yield tmp_path / "chroma"
    SharedSystemClient.clear_system_cache()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 5, 59, 60, 61, 1000])
def test_hits_are_those_of_the_index_in_memory(filled: ChromaIndex, name: str, k: int) -> None:
    """Wherever the knowledge lies, the same passages are found in the same order, with the same scores and texts."""
    found = make_retriever(name, filled).search(QUERIES, k)
    wanted = make_retriever(name, in_memory(knowledge())).search(QUERIES, k)
    assert [[hit.passage for hit in hits] for hits in found] == [[hit.passage for hit in hits] for hits in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert [hit.score for hit in ours] == pytest.approx([hit.score for hit in theirs], abs=1e-6)
        assert [(h.doc, h.heading, h.text) for h in ours] == [(h.doc, h.heading, h.text) for h in theirs]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_filters(filled: ChromaIndex, name: str, where: Where) -> None:
    """A filter leaves in what has one of the values in every field named, in Chroma as in memory."""
    left = {p.id for p in knowledge() if all(getattr(p, field) in values for field, values in where.items())}
    found = ranking(filled, name, 100, where)
    assert found == ranking(in_memory(knowledge()), name, 100, where)
    assert all(set(ids) == left for ids in found)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_field(filled: ChromaIndex, name: str) -> None:
    """A field that passages do not have is an error, not an empty answer."""
    for store in (filled, in_memory(knowledge())):
        with pytest.raises(SettingsError, match="filter 'topic': passages have no such field; choose one of doc"):
            make_retriever(name, store).search(QUERIES, 5, {"topic": ["bill"]})


def test_best_cosines(filled: ChromaIndex) -> None:
    """The decision stage gets the same evidence from both."""
    vectors = HashedEmbedder()([*QUERIES, knowledge()[7].text])
    assert filled.best_cosines(vectors) == pytest.approx(in_memory(knowledge()).best_cosines(vectors), abs=1e-6)


def test_stored_passages(filled: ChromaIndex) -> None:
    """What comes out of Chroma is what went in, in its order: BM25 is built from it."""
    assert filled.passages == tuple(knowledge())


def test_equal_passages_beyond_k(folder: Path) -> None:
    """Among equal passages the earliest are served, also where Chroma got them in another order."""
    passages = [Passage(id=f"a#{n}", doc="a", title="", heading="", text="red light") for n in range(12)]
    place = open_store(f"chroma:{folder}", HashedEmbedder())
    place.index(passages, "kb")
    (collection,) = place.client.list_collections()
    collection.delete(ids=["a#0", "a#1"])
    store = place.index(passages, "kb")  # stores the two again, behind all others
    assert [hit.passage for hit in store.nearest(["red light"], 3)[0]] == ["a#0", "a#1", "a#2"]


def test_beyond_the_depth_a_passage_has_no_dense_rank(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In hybrid retrieval a passage that Chroma was not asked for counts by its words alone."""
    monkeypatch.setattr(chroma_store, "DEPTH", 1)
    texts = ("red", "red light", "bill", "tv", "app", "sim", "hub", "wire")
    passages = [Passage(id=f"a#{n}", doc="a", title="", heading="", text=text) for n, text in enumerate(texts)]
    store = open_store(f"chroma:{folder}", HashedEmbedder()).index(passages, "kb")
    hits = make_retriever("hybrid", store).search(["red"], 3)[0]
    assert [hit.passage for hit in hits] == ["a#0", "a#1", "a#2"]
    assert [hit.score for hit in hits] == pytest.approx([2 / 61, 1 / 62, 0.0], abs=1e-12)


def test_indexed_once(folder: Path) -> None:
    """A second start embeds nothing; other knowledge and another embedder have collections of their own."""
    embedder = HashedEmbedder()
    first = open_store(f"chroma:{folder}", embedder).index(knowledge(), "kb")
    again = open_store(f"chroma:{folder}", embedder).index(knowledge(), "kb")
    assert len(embedder.calls) == 1
    assert ranking(again, "dense") == ranking(first, "dense")
    changed = open_store(f"chroma:{folder}", embedder).index(knowledge(59), "another")
    assert len(embedder.calls) == 3 + 1  # both rankings embedded their queries
    assert changed.passages == tuple(knowledge(59))
    other = HashedEmbedder(sha256="other", width=64)
    assert open_store(f"chroma:{folder}", other).index(knowledge(), "kb").passages == tuple(knowledge())
    assert len(other.calls) == 1


class Breaking(HashedEmbedder):
    """Ends its process, or raises, at the third batch."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        if len(self.calls) == 2:
            if os.environ.get("KILL_AT_THE_THIRD"):
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("out of memory")
        return super().__call__(texts)


def test_an_interrupted_run_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored is not embedded again, and the whole is served only when it is whole."""
    monkeypatch.setattr(chroma_store, "BATCH", 20)
    with pytest.raises(RuntimeError, match="out of memory"):
        open_store(f"chroma:{folder}", Breaking()).index(knowledge(), "kb")
    embedder = HashedEmbedder()
    store = open_store(f"chroma:{folder}", embedder).index(knowledge(), "kb")
    assert [len(texts) for texts in embedder.calls] == [20]
    assert all(ranking(store, name) == ranking(in_memory(knowledge()), name) for name in NAMES)


def test_a_killed_process_loses_a_batch_at_most(folder: Path) -> None:
    """A process that is killed while it stores leaves whole batches behind."""
    code = (
        "from system import chroma_store; from tests_unit.test_chroma_store import *; chroma_store.BATCH = 20; "
        f"open_store('chroma:{folder}', Breaking()).index(knowledge(), 'kb')"
    )
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "KILL_AT_THE_THIRD": "1"}, check=False)
    assert ended.returncode == -signal.SIGKILL
    embedder = HashedEmbedder()
    store = open_store(f"chroma:{folder}", embedder).index(knowledge(), "kb")
    assert [len(texts) for texts in embedder.calls] == [20]
    assert all(ranking(store, name) == ranking(in_memory(knowledge()), name) for name in NAMES)


def test_two_processes_at_once(folder: Path) -> None:
    """Processes that start together on an empty folder both serve all of it."""
    code = (
        "from tests_unit.test_chroma_store import *; "
        f"store = open_store('chroma:{folder}', HashedEmbedder()).index(knowledge(), 'kb'); "
        "assert all(ranking(store, name) == ranking(in_memory(knowledge()), name) for name in NAMES)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]


def test_one_id_twice(folder: Path) -> None:
    """Passages that share an id would overwrite each other: refused."""
    twice = [*knowledge(4), *knowledge(4)]
    with pytest.raises((SettingsError, KnowledgeBaseError)):
        open_store(f"chroma:{folder}", HashedEmbedder()).index(twice, "kb")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "write chroma:DIR", id="empty"),
        pytest.param("chroma", "write chroma:DIR", id="no colon"),
        pytest.param("chroma:", "write chroma:DIR", id="no folder"),
        pytest.param("faiss:dir", "write chroma:DIR", id="another engine"),
        pytest.param("http://127.0.0.1:8000", "write chroma:DIR", id="address without engine"),
        pytest.param("chroma+http://127.0.0.1", "HOST:PORT", id="no port"),
        pytest.param("chroma+http://:8000", "HOST:PORT", id="no host"),
        pytest.param("chroma+http://127.0.0.1:0", "HOST:PORT", id="port 0"),
        pytest.param("chroma+http://127.0.0.1:99999", "out of range", id="port too high"),
        pytest.param("chroma+http://127.0.0.1:x", "write chroma:DIR", id="port no number"),
        pytest.param("chroma+http://[::1:8000", "write chroma:DIR", id="torn IPv6 address"),
        pytest.param("chroma+ftp://127.0.0.1:8000", "HOST:PORT", id="scheme"),
        pytest.param("chroma+http://127.0.0.1:8000/api", "HOST:PORT", id="path"),
        pytest.param("chroma+http://127.0.0.1:8000?x=1", "HOST:PORT", id="query"),
        pytest.param("chroma+http://127.0. 0.1:8000", "HOST:PORT", id="blank"),
        pytest.param("chroma+http://me:secret@127.0.0.1:8000", "leave user and password out", id="password"),
        pytest.param("chroma+http://me:sec/ret@127.0.0.1:8000", "write chroma:DIR", id="password with a slash"),
    ],
)
def test_malformed_options(text: str, message: str) -> None:
    """A store that cannot be is refused before anything is opened, and a password is never shown."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(text, HashedEmbedder())
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("chroma:some dir/x", "some dir/x"),
        ("chroma:/tmp/a@b", "/tmp/a@b"),
        ("chroma+http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("chroma+https://chroma.example:443", "https://chroma.example:443"),
        ("chroma+http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_options(text: str, location: str) -> None:
    """Folders and addresses are taken as they are."""
    assert open_store(text, HashedEmbedder()).location == location


@pytest.mark.parametrize("kind", ["no server", "a file", "no database", "damaged graph"])
def test_what_cannot_be_used(folder: Path, kind: str) -> None:
    """Whatever Chroma says about its place, the caller reads one line with a remedy."""
    place = f"chroma:{folder}"
    if kind == "no server":
        place = "chroma+http://127.0.0.1:9"
    elif kind == "a file":
        folder.write_text("x")
    elif kind == "no database":
        folder.mkdir()
        (folder / "chroma.sqlite3").write_text("not a database" * 100)
    else:
        place = f"chroma:{_damaged(folder)}"
    with pytest.raises(SettingsError, match=r"Chroma failed \(.*\); start its server, or delete the folder") as caught:
        open_store(place, HashedEmbedder()).index(knowledge(), "kb").nearest(QUERIES, 3)
    assert "\n" not in str(caught.value)


def _damaged(folder: Path) -> Path:
    """A copy of a filled folder whose graph was cut off."""
    passages = [Passage(id=f"a#{n}", doc="a", title="", heading="", text=f"red {n}") for n in range(1200)]
    open_store(f"chroma:{folder}", HashedEmbedder(width=64)).index(passages, "other")
    open_store(f"chroma:{folder}", HashedEmbedder()).index(knowledge(), "kb")
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    with (copy / "chroma.sqlite3").open("r+b") as file:
        file.truncate(8192)
    return copy


def test_passages_without_an_index(folder: Path) -> None:
    """Hits come from Chroma: dense retrieval reads no other passage."""
    store = open_store(f"chroma:{folder}", HashedEmbedder()).index(knowledge(), "kb")
    hit = store.nearest([knowledge()[9].text], 1)[0][0]
    assert isinstance(hit, Hit)
    assert "passages" not in vars(store)


def test_the_environment_does_not_speak(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No collector of traces and no .env file of the working folder is heeded: nothing leaves the machine."""
    (tmp_path / ".env").write_text("CHROMA_OTEL_COLLECTION_ENDPOINT=http://collector.example:4317\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHROMA_OTEL_GRANULARITY", "all")
    monkeypatch.setenv("ANONYMIZED_TELEMETRY", "true")
    settings = ChromaStore(str(folder), HashedEmbedder()).client.get_settings()
    assert settings.chroma_otel_collection_endpoint == ""
    assert settings.chroma_otel_granularity == "none"
    assert settings.anonymized_telemetry is False


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ([], {}),
        (["doc=billing_faq"], {"doc": ["billing_faq"]}),
        (["doc=a", "heading=Late fees = why", "doc=b"], {"doc": ["a", "b"], "heading": ["Late fees = why"]}),
    ],
)
def test_read_filters(options: list[str], where: Where) -> None:
    """FIELD=VALUE, a field as often as wanted; only the first = divides."""
    assert read_filters(options) == where


@pytest.mark.parametrize("option", ["doc", "doc=", "=x", "topic=x", ""])
def test_malformed_filters(option: str) -> None:
    """A filter of another form, or of a field that there is not, is refused."""
    with pytest.raises(SettingsError, match="filter"):
        read_filters([option])
