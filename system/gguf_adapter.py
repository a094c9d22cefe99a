"""A PEFT LoRA adapter as a GGUF file, which llama.cpp puts on a base model without changing its weights.

    export_adapter(Path("adapters/support-lora"), embedded_gguf(), Path("support-lora.gguf"))

Both hold W + alpha / r * B A; what differs is names, and the order of the rows of q and k: llama.cpp turns neighbouring
pairs of a head by one angle, transformers the pairs (n, n + width / 2), so a GGUF file of the Llama family keeps
these rows in another order, and B must follow. An adapter that says more than this file can is refused by name.
Must not know prompts or answers. Needs neither torch nor PEFT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from system.cache import key_of, made_by
from system.errors import ModelError
from system.gguf_weights import write_whole_file
from system.models import adapter_folder, adapter_hash, cache_folder

Matrix = npt.NDArray[np.float32]
ARCHITECTURE = "llama"
# Settings of PEFT that are met here, or that matter to training alone. Any other must be empty: a new kind of adapter
# is then an error and not a wrong answer.
MET = frozenset(
    "peft_type r lora_alpha target_modules task_type auto_mapping base_model_name_or_path revision peft_version "
    "inference_mode lora_dropout exclude_modules layers_to_transform layers_pattern rank_pattern "
    "init_lora_weights megatron_core qalora_group_size".split()
)
EMPTY: tuple[object, ...] = (None, False, "none", "", {}, [])
PREFIX = "base_model.model."
ENDS = {"lora_A.weight": "lora_a", "lora_B.weight": "lora_b"}


def cached_adapter(name: str, base_gguf: Path, base_sha256: str) -> Path:
    """The exported file of an adapter; found again by the hashes of adapter, base and the code that wrote it."""
    key = key_of(adapter_hash(name), base_sha256, made_by("gguf_adapter", "gguf"))
    target = cache_folder() / "models" / f"adapter-{key[:32]}.gguf"
    if not target.exists():
        export_adapter(adapter_folder(name), base_gguf, target)
    return target


def export_adapter(folder: Path, base_gguf: Path, target: Path) -> None:
    """Write the adapter of a PEFT folder for a base model's GGUF file. Raises ModelError for one it cannot hold."""
    import gguf

    settings = _settings(folder)
    reader = gguf.GGUFReader(base_gguf)
    base = {str(tensor.name): tuple(int(n) for n in reversed(tensor.shape)) for tensor in reader.tensors}
    architecture = _field(reader, "general.architecture", base_gguf)
    if architecture != ARCHITECTURE:
        raise ModelError(f"{base_gguf.name}: architecture is {architecture!r}; adapters go on {ARCHITECTURE!r} only")
    heads = int(_field(reader, f"{ARCHITECTURE}.attention.head_count", base_gguf))
    key_heads = int(_field(reader, f"{ARCHITECTURE}.attention.head_count_kv", base_gguf))
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH.LLAMA, int(_field(reader, f"{ARCHITECTURE}.block_count", base_gguf))
    )
    pairs: dict[str, dict[str, Matrix]] = {}
    for key, matrix in float32_weights(folder, "adapter_model.safetensors").items():
        layer, end = _parts(key, folder)
        name = names.get_name(layer)
        if name is None or f"{name}.weight" not in base:
            raise ModelError(f"adapter {folder}: {base_gguf.name} has no layer {layer!r}; give the adapter's own base")
        if end == "lora_b" and name.endswith(("attn_q", "attn_k")):
            matrix = permuted(matrix, heads if name.endswith("attn_q") else key_heads)
        pairs.setdefault(f"{name}.weight", {})[end] = matrix
    if not pairs:
        raise ModelError(f"adapter {folder}: holds no LoRA weights; train one")
    for name, pair in pairs.items():
        _check(folder, name, pair, base[name])
    write_whole_file(target, lambda path: _write(pairs, float(settings["lora_alpha"]), path))


def permuted(matrix: Matrix, heads: int) -> Matrix:
    """Rows of q or k, head after head, from transformers' halves (x..., y...) to GGUF's pairs (x, y, x, y, ...)."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _settings(folder: Path) -> Mapping[str, Any]:
    """The adapter's settings. Raises ModelError for a kind that this file cannot hold."""
    path = folder / "adapter_config.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"adapter {folder} is not a PEFT folder ({path.name}: {error}); train one") from error
    wrong = {key: value for key, value in settings.items() if key not in MET and value not in EMPTY}
    if settings.get("peft_type") != "LORA":
        wrong["peft_type"] = settings.get("peft_type")
    if settings.get("init_lora_weights", True) not in (True, False, "gaussian"):  # others change the base model, too
        wrong["init_lora_weights"] = settings["init_lora_weights"]
    if wrong:
        told = ", ".join(f"{key} {value!r}" for key, value in sorted(wrong.items()))
        raise ModelError(f"adapter {folder}: {told} cannot be written as GGUF; use the transformers backend")
    return settings


def _field(reader: Any, key: str, path: Path) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ModelError(f"{path.name}: {key} is missing; give a GGUF file of a language model")
    return field.contents()


def float32_weights(folder: Path, name: str) -> dict[str, Matrix]:
    """All weights of a safetensors file as float32, which holds the smaller formats without loss. Raises ModelError."""
    from safetensors import SafetensorError, deserialize

    try:
        stored = deserialize((folder / name).read_bytes())  # type: ignore[no-untyped-call]  # the library has no types
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: {name} cannot be read ({error}); give a folder written by save_pretrained"
        ) from error
    return {key: _float32(folder, key, entry) for key, entry in stored}


def _float32(folder: Path, name: str, entry: Mapping[str, Any]) -> Matrix:
    data, dtype = bytes(entry["data"]), entry["dtype"]
    if dtype == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    elif dtype in ("F16", "F32"):
        values = np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32)
    else:
        raise ModelError(f"{folder}: {name} is of type {dtype}; save it as F32, F16 or BF16")
    return values.reshape(entry["shape"])


def _parts(key: str, folder: Path) -> tuple[str, str]:
    """The layer's name in transformers and which of the pair it is. Raises ModelError for weights of another kind."""
    for end, name in ENDS.items():
        if key.startswith(PREFIX) and key.endswith(f".{end}"):
            return key.removeprefix(PREFIX).removesuffix(f".{end}"), name
    raise ModelError(f"adapter {folder}: {key} is no LoRA weight and cannot be written as GGUF; use transformers")


def _check(folder: Path, name: str, pair: Mapping[str, Matrix], shape: tuple[int, ...]) -> None:
    """Whether both matrices are there and their product has the shape of the weight that it is added to."""
    if set(pair) != set(ENDS.values()):
        raise ModelError(f"adapter {folder}: {name} has {', '.join(pair)} only; save it whole")
    a, b = pair["lora_a"], pair["lora_b"]
    if name == "token_embd.weight" or (b.shape[0], a.shape[1]) != shape or a.shape[0] != b.shape[1]:
        raise ModelError(f"adapter {folder}: {name} is {shape}, not {b.shape} x {a.shape}; give the adapter's own base")


def _write(pairs: Mapping[str, Mapping[str, Matrix]], alpha: float, path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for name, pair in sorted(pairs.items()):
        for end, matrix in sorted(pair.items()):
            writer.add_tensor(f"{name}.{end}", np.ascontiguousarray(matrix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
