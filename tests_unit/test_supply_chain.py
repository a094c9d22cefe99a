"""What the project is made of: weights that hold no code, pinned files, and packages whose licences are known."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from fixtures.options import ROOT
from system.errors import ModelError
from system.licences import PERMISSIVE, licence, packages
from system.models import adapter_hash, resolve_embedder, resolve_model
from system.settings import read_toml

PICKLED = ("pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle")
WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".npz", ".onnx", ".joblib")


def test_shipped_weights_are_safetensors() -> None:
    """Every file of weights in the project is in a format that holds numbers alone."""
    found = [p for folder in ("adapters", "data", "system") for p in (ROOT / folder).rglob("*") if p.suffix in WEIGHTS]
    assert len(found) >= 3
    assert {path.suffix for path in found} == {".safetensors"}


def test_nothing_is_unpickled() -> None:
    """No module reads pickled objects: no import of such a library, and no torch.load but of weights alone."""
    for path in [*(ROOT / "system").rglob("*.py"), ROOT / "train.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & set(PICKLED), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "numpy.load", "np.load"):
                assert "weights_only=True" in ast.unparse(node) or "allow_pickle" not in ast.unparse(node), path


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "weights.pth", "adapter_model.bin"])
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    """A folder whose only weights are pickled is not loaded, as a model, an embedder or an adapter."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for resolve in (resolve_model, resolve_embedder, adapter_hash):
        with pytest.raises(ModelError, match=f"{name}.*safetensors"):
            resolve(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    for resolve in (resolve_model, resolve_embedder, adapter_hash):
        resolve(str(tmp_path))


def test_passports_name_the_weights_that_are_shipped() -> None:
    """What was measured of an adapter belongs to the file that lies beside it."""
    passport = json.loads((ROOT / "adapters" / "support-lora" / "passport.json").read_text())
    assert adapter_hash("adapters/support-lora") in json.dumps(passport)


def test_every_dependency_is_bounded_and_has_its_reason() -> None:
    """A direct dependency has an upper bound or an exact version; what changes an answer or a score is exact."""
    project = read_toml(ROOT / "pyproject.toml")["project"]
    wanted = [*project["dependencies"], *(n for e in project["optional-dependencies"].values() for n in e)]
    exact = {"torch", "transformers", "sentence-transformers", "peft", "bert-score", "sacrebleu", "gguf", "trl"}
    for text in wanted:
        name = re.split(r"[^\w-]", text)[0]
        if name in ("support-assistant", "types-tqdm", "types-PyYAML", "tomli"):
            continue
        assert "==" in text or "<" in text, text
        if name in exact:
            assert "==" in text, text


def test_every_licence_is_known() -> None:
    """Each package that is installed with the project states a permissive licence, and stands in docs/LICENCES.md."""
    table = (ROOT / "docs" / "LICENCES.md").read_text(encoding="utf-8")
    found = packages()
    assert len(found) > 60
    assert [name for name, package in found.items() if not PERMISSIVE.search(licence(package))] == []
    direct = {
        re.split(r"[^\w-]", text)[0].lower() for text in read_toml(ROOT / "pyproject.toml")["project"]["dependencies"]
    }
    assert {name for name in direct if f"| {name} |" not in table} <= {"tomli"}
