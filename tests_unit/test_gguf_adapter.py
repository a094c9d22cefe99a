"""The exported adapter computes what PEFT computes, and one that GGUF cannot hold is refused by name."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, dequantize, quantize
from peft import LoraConfig, get_peft_model
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from fixtures.tiny_models import PROMPTS, make_model
from system.errors import ModelError
from system.generation import TransformersGenerator
from system.gguf_adapter import cached_adapter, export_adapter, permuted
from system.gguf_weights import cached_weights
from system.llamacpp import LlamaCppGenerator, llamacpp_source
from system.llamacpp_check import TOLERANCE, Forced, dense_folder, distance, reference, wrong_adapters
from system.models import ModelSource

pytest.importorskip("xllamacpp", reason="llama.cpp is an extra")
pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Change = Callable[[dict[str, Any], dict[str, Any]], object]  # of settings and weights


def save_adapter(model: Path, target: Path, dtype: torch.dtype = torch.float32) -> Path:
    """An adapter on all linear layers with random weights, strong enough to change every answer."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers for a property by its old name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(5)
        adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=6, target_modules=LAYERS, task_type="CAUSAL_LM"))
        for name, weights in adapted.named_parameters():
            if "lora_" in name:
                weights.data = torch.randn_like(weights).mul_(0.3).to(dtype)
    adapted.save_pretrained(target)
    return target


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model for transformers, the same with a GGUF file, and an adapter."""
    home = tmp_path_factory.mktemp("llama")
    make_model("llama", home / "model")
    dense = dense_folder(home / "model", home / "dense")
    return {"model": home / "model", "dense": dense, "adapter": save_adapter(home / "model", home / "adapter")}


@pytest.fixture(scope="module")
def forced(folders: dict[str, Path]) -> dict[bool, list[Forced]]:
    """What transformers makes of the same words, with the adapter (True) and without."""
    source = ModelSource("tiny", str(folders["model"]), "hash")
    rows = {}
    for with_adapter in (True, False):
        adapter = str(folders["adapter"]) if with_adapter else None
        generator = TransformersGenerator(source, adapter, dtype=torch.float32)
        rows[with_adapter] = [reference(generator, prompt, generator.encode(prompt)[::-1]) for prompt in PROMPTS]
    return rows


def measured(folders: dict[str, Path], adapter: Path | None, rows: list[Forced]) -> dict[str, float]:
    source = llamacpp_source(f"llamacpp:{folders['dense']}")
    return distance(LlamaCppGenerator(source, str(adapter) if adapter else None, slots=1), rows, 320)


@pytest.mark.parametrize("with_adapter", [True, False])
def test_probabilities_are_those_of_peft(
    folders: dict[str, Path], forced: dict[bool, list[Forced]], with_adapter: bool
) -> None:
    """With float32 weights and the same words, each next token is as likely as PEFT says; the adapter adds no error."""
    found = measured(folders, folders["adapter"] if with_adapter else None, forced[with_adapter])
    assert found["mean"] <= TOLERANCE
    assert found["tokens"] >= 40


def test_wrong_exports_are_seen(folders: dict[str, Path], forced: dict[bool, list[Forced]], tmp_path: Path) -> None:
    """The comparison sees an adapter that is missing, whose rows stand in the wrong order or that weighs twice."""
    config = json.loads((folders["model"] / "config.json").read_text())
    wrong = wrong_adapters(folders["adapter"], config, tmp_path)
    for adapter in (None, *wrong.values()):
        assert measured(folders, adapter, forced[True])["mean"] > 10 * TOLERANCE
    assert len(wrong) == 2


def test_rows_of_q_follow_the_pairs() -> None:
    """Two heads of four rows: the halves (0, 1) and (2, 3) of a head become the pairs (0, 2) and (1, 3)."""
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert permuted(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_content_of_the_file(folders: dict[str, Path], tmp_path: Path) -> None:
    """Kind, alpha, names and shapes are what llama.cpp asks for; every matrix of the adapter is there."""
    export_adapter(folders["adapter"], folders["dense"] / "dense.gguf", tmp_path / "sub" / "a.gguf")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.gguf"]
    reader = GGUFReader(tmp_path / "sub" / "a.gguf")
    keys = ("general.architecture", "general.type", "adapter.type", "adapter.lora.alpha")
    assert [reader.fields[key].contents() for key in keys] == ["llama", "adapter", "lora", 6.0]
    shapes = {tensor.name: tuple(tensor.shape) for tensor in reader.tensors}  # GGUF counts from the inner side
    assert shapes["blk.1.ffn_down.weight.lora_a"] == (64, 4)
    assert shapes["blk.1.ffn_down.weight.lora_b"] == (4, 32)
    assert len(shapes) == 2 * 2 * len(LAYERS)


def test_smaller_formats_are_kept(folders: dict[str, Path], tmp_path: Path) -> None:
    """bfloat16 weights, as adapters are shipped, arrive with their values."""
    adapter = save_adapter(folders["model"], tmp_path / "adapter", torch.bfloat16)
    export_adapter(adapter, folders["dense"] / "dense.gguf", tmp_path / "a.gguf")
    wide = load_file(folders["adapter"] / "adapter_model.safetensors")
    key = "base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight"
    (found,) = (t for t in GGUFReader(tmp_path / "a.gguf").tensors if t.name == "blk.0.attn_v.weight.lora_a")
    expected = torch.from_numpy(wide[key]).to(torch.bfloat16).float().numpy()
    assert np.array_equal(np.asarray(found.data).reshape(expected.shape), expected)


def quantised(dense: Path, target: Path) -> Path:
    """A copy of a float32 file whose feed-forward matrices are of 4 bits, like the embedded model's."""
    reader, writer = GGUFReader(dense), GGUFWriter(target, "llama")
    writer.add_file_type(3)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    for tensor in reader.tensors:
        kind = GGMLQuantizationType.Q4_1 if "ffn_up" in tensor.name else tensor.tensor_type
        data = quantize(np.asarray(tensor.data), kind) if kind != tensor.tensor_type else np.asarray(tensor.data)
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def test_slow_formats_become_eight_bits(folders: dict[str, Path], tmp_path: Path) -> None:
    """Matrices of 4 bits are copied as 8 bits of the same values, all else as it is; the copy is written once."""
    source = quantised(folders["dense"] / "dense.gguf", tmp_path / "q4.gguf")
    target = cached_weights(source, "q4")
    written = target.stat().st_mtime_ns
    assert cached_weights(source, "q4") == target != source
    assert target.stat().st_mtime_ns == written
    old, new = GGUFReader(source), GGUFReader(target)
    assert new.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]
    assert [tensor.name for tensor in new.tensors] == [tensor.name for tensor in old.tensors]
    changed = 0
    for before, after in zip(old.tensors, new.tensors, strict=True):
        values, copied = (dequantize(t.data, t.tensor_type) for t in (before, after))
        if before.tensor_type == after.tensor_type:
            assert np.array_equal(values, copied)
            continue
        changed += 1
        assert after.tensor_type == GGMLQuantizationType.Q8_0
        # A step of Q8_0 is 1/127 of a block's largest value.
        assert np.abs(values - copied).max() <= np.abs(values).max() / 127 * 0.51
    assert changed == 2


def test_fast_formats_are_used_as_they_are(folders: dict[str, Path], tmp_path: Path) -> None:
    """A file without slow formats is not copied; where it was moved to, it is found again."""
    source = Path(shutil.copy(folders["dense"] / "dense.gguf", tmp_path / "a.gguf"))
    assert cached_weights(source, "dense").resolve() == source.resolve()
    moved = source.rename(tmp_path / "b.gguf")
    assert cached_weights(moved, "dense").resolve() == moved.resolve()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF nothing but words, and too few of them", b"{}" * 100])
def test_no_gguf_file(tmp_path: Path, content: bytes) -> None:
    """A damaged file is an error that names it."""
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.gguf: is no GGUF file"):
        cached_weights(tmp_path / "bad.gguf", str(content))


def setting(name: str, value: object) -> Change:
    return lambda settings, weights: settings.update({name: value})


def renamed(old: str, new: str) -> Change:
    def change(settings: dict[str, Any], weights: dict[str, Any]) -> None:
        for key in [key for key in weights if old in key]:
            weights[key.replace(old, new)] = weights.pop(key)

    return change


def narrowed(settings: dict[str, Any], weights: dict[str, Any]) -> None:
    for key in weights:
        if key.endswith("up_proj.lora_B.weight"):
            weights[key] = weights[key][:-1].copy()


REFUSED = [
    (setting("use_dora", True), "use_dora True"),
    (setting("use_rslora", True), "use_rslora True"),
    (setting("bias", "all"), "bias 'all'"),
    (setting("lora_bias", True), "lora_bias True"),
    (setting("modules_to_save", ["lm_head"]), r"modules_to_save \['lm_head'\]"),
    (setting("alpha_pattern", {"q_proj": 2}), "alpha_pattern"),
    (setting("fan_in_fan_out", True), "fan_in_fan_out"),
    (setting("init_lora_weights", "pissa"), "init_lora_weights 'pissa'"),
    (setting("peft_type", "IA3"), "peft_type 'IA3'"),
    (setting("invented_next_year", 3), "invented_next_year 3"),
    (renamed("lora_A.weight", "lora_magnitude_vector"), "lora_magnitude_vector is no LoRA weight"),
    (renamed("layers.1.", "layers.7."), "no layer 'model.layers.7"),
    (renamed("0.self_attn.q_proj.lora_B", "0.self_attn.q_proj.lora_C"), "lora_C.weight is no LoRA weight"),
    (lambda settings, weights: weights.pop(next(k for k in weights if "lora_B" in k)), "lora_a only"),
    (lambda settings, weights: weights.clear(), "holds no LoRA weights"),
    (narrowed, "give the adapter's own base"),
]


@pytest.mark.parametrize(("change", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_refused(folders: dict[str, Path], tmp_path: Path, change: Change, told: str) -> None:
    """What the file cannot hold is an error that names it, and leaves no file behind."""
    adapter = Path(shutil.copytree(folders["adapter"], tmp_path / "adapter"))
    settings = json.loads((adapter / "adapter_config.json").read_text())
    weights = load_file(adapter / "adapter_model.safetensors")
    change(settings, weights)
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=told):
        export_adapter(adapter, folders["dense"] / "dense.gguf", tmp_path / "a.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_unreadable(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    """A folder with a missing or a damaged file is an error that names the file."""
    adapter = Path(shutil.copytree(folders["adapter"], tmp_path / "adapter"))
    for damage in (lambda: (adapter / name).write_bytes(b"{"), (adapter / name).unlink):
        damage()
        with pytest.raises(ModelError, match=name):
            export_adapter(adapter, folders["dense"] / "dense.gguf", tmp_path / "a.gguf")


def test_found_again(folders: dict[str, Path], tmp_path: Path) -> None:
    """The file is written once for an adapter and a base; other weights or another base get a file of their own."""
    adapter = Path(shutil.copytree(folders["adapter"], tmp_path / "adapter"))
    weights = folders["dense"] / "dense.gguf"
    first = cached_adapter(str(adapter), weights, "one")
    written = first.stat().st_mtime_ns
    assert cached_adapter(str(adapter), weights, "one") == first
    assert first.stat().st_mtime_ns == written
    assert cached_adapter(str(adapter), weights, "other") != first
    changed = load_file(adapter / "adapter_model.safetensors")
    save_file({key: matrix + 1 for key, matrix in changed.items()}, adapter / "adapter_model.safetensors")
    assert cached_adapter(str(adapter), weights, "one") != first
