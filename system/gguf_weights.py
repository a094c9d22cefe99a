"""Weights in a GGUF format that llama.cpp multiplies fast on any processor: eight bits where a file has fewer.

    cached_weights(embedded_gguf(), EMBEDDED_SHA256)

The embedded file's Q4_1 has no matrix kernel without AVX-512; read as Q8_0 a prompt takes little more than half the
time. 4 bits and a step, unpacked and rounded to 8 bits, lose less than bfloat16 would. Knows files, not models.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from system.cache import key_of, made_by
from system.errors import ModelError
from system.models import cache_folder

FAST = ("F32", "F16", "BF16", "Q8_0")  # stay as they are


def cached_weights(source: Path, sha256: str) -> Path:
    """A copy with slow formats in eight bits, or a link to a file that has none; written on first use.

    Raises ModelError for a file that is no GGUF file.
    """
    target = cache_folder() / "models" / f"q8-{key_of(sha256, made_by('gguf_weights', 'gguf'))[:32]}.gguf"
    if target.exists():
        return target
    import gguf

    try:
        reader = gguf.GGUFReader(source)
    except (ValueError, IndexError, OSError) as error:  # what the reader raises for bytes that make no sense
        raise ModelError(f"{source}: is no GGUF file ({error}); give one of a language model") from error
    is_fast = all(tensor.tensor_type.name in FAST for tensor in reader.tensors)
    # Reading the file takes seconds; a link says that it needs no copy.
    write_whole_file(target, lambda path: _link(source, path) if is_fast else _rewrite(reader, path))
    return target


def write_whole_file(target: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a file so that a reader sees a whole one or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    os.close(descriptor)
    try:
        write(Path(temporary))
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _link(source: Path, path: Path) -> None:
    path.unlink()
    path.symlink_to(source.resolve())


def _rewrite(reader: Any, path: Path) -> None:
    """Copy a file, its matrices of other formats as Q8_0."""
    import gguf

    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":  # the writer's own
            continue
        value = int(gguf.LlamaFileType.MOSTLY_Q8_0) if key == "general.file_type" else field.contents()
        inner = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], inner)
    for tensor in reader.tensors:
        kind, data = tensor.tensor_type, tensor.data
        if kind.name not in FAST:
            kind = gguf.GGMLQuantizationType.Q8_0
            data = gguf.quantize(gguf.dequantize(data, tensor.tensor_type), kind)
        writer.add_tensor(tensor.name, np.ascontiguousarray(data), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
