"""How far answers of llama.cpp are from those of transformers, and whether the exported adapter is the trained one.

    python -m system.llamacpp_check --out reports/llamacpp.json

The same words are put into the mouth of both, and the probabilities of each next token compared, with the adapter and
without. Weights unpacked to float32 tell an error of the export from the rounding to eight bits; two exports that
are wrong on purpose show that the comparison would see one. Time on an otherwise idle machine.
Not a test: it loads the real model. torch is imported when the reference is computed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from system.gguf_adapter import Matrix, float32_weights, permuted
from system.llamacpp import LlamaCppGenerator, llamacpp_source
from system.models import DEFAULT_MODEL, resolve_model
from system.models import LLAMACPP_PREFIX as PREFIX

TOLERANCE = 0.005  # nats, mean; keys and values are kept in 16 bits, all else in float32
LIKELIEST = 2000  # tokens asked for; without its adapter the model finds some of the words unlikely
HEAD = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json", "generation_config.json")


@dataclass(frozen=True, slots=True)
class Forced:
    """A prompt's tokens, the answer's, and what the reference makes of each of the answer's."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    likeliest: tuple[int, ...]


def reference(generator: Any, prompt: str, answer: Sequence[int]) -> Forced:
    """Log-probabilities of an answer's tokens by a TransformersGenerator, in one pass."""
    import torch

    ids = generator.encode(prompt)
    read = torch.tensor([[*ids, *answer]])
    later = torch.full((1, 1, read.shape[1], read.shape[1]), float("-inf")).triu(1)  # its attention wants to be told
    with torch.inference_mode():
        logits = generator._model(read, attention_mask=later).logits[0, len(ids) - 1 : -1].float()
    logs = logits.log_softmax(-1)
    chosen = logs[torch.arange(len(answer)), torch.tensor(answer)]
    return Forced(tuple(ids), tuple(answer), tuple(chosen.tolist()), tuple(logs.argmax(-1).tolist()))


def distance(generator: LlamaCppGenerator, forced: Sequence[Forced], count: int = LIKELIEST) -> dict[str, float]:
    """Mean and largest |difference| of log-probabilities in nats, and the share of equal likeliest tokens.

    A token that is not among the ``count`` likeliest counts as the last of them.
    """
    gaps, agreed = [], []
    for row in forced:
        for n, token in enumerate(row.answer):
            found = generator.likeliest([*row.prompt, *row.answer[:n]], count)
            gaps.append(abs(found.get(token, min(found.values())) - row.log_probabilities[n]))
            agreed.append(next(iter(found)) == row.likeliest[n])
    return {
        "mean": statistics.fmean(gaps),
        "largest": max(gaps),
        "top_1": statistics.fmean(agreed),
        "tokens": len(gaps),
    }


def dense_folder(folder: Path, target: Path) -> Path:
    """A model folder of the Llama family as one with a GGUF file of float32 weights beside its tokenizer."""
    import gguf

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    target.mkdir(parents=True)
    for name in HEAD:
        if (folder / name).exists():
            shutil.copy(folder / name, target / name)
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    writer = gguf.GGUFWriter(target / "dense.gguf", "llama")
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"] or config["hidden_size"] // heads)
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")), config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    for key, matrix in float32_weights(folder, "model.safetensors").items():
        name = str(names.get_name(key, try_suffixes=(".weight",)))
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            matrix = permuted(matrix, heads if "attn_q" in name else config["num_key_value_heads"])
        writer.add_tensor(name, np.ascontiguousarray(matrix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _add_tokenizer(writer: Any, tokenizer: dict[str, Any], config: dict[str, Any]) -> None:
    """llama.cpp wants a vocabulary before it runs; prompts go to it as ids, so that only the end token matters."""
    import gguf

    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    by_id = {number: token for token, number in {**tokenizer["model"]["vocab"], **added}.items()}
    named = config["eos_token_id"]
    ends = named if isinstance(named, list) else [named]
    kinds = dict.fromkeys([*added.values(), *ends], gguf.TokenType.CONTROL)
    size = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([by_id.get(n, f"[unused{n}]") for n in range(size)])
    writer.add_token_types([kinds.get(n, gguf.TokenType.NORMAL) for n in range(size)])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(ends[0])
    writer.add_add_bos_token(False)


def wrong_adapters(adapter: Path, config: dict[str, Any], target: Path) -> dict[str, Path]:
    """Copies of an adapter whose exports are wrong: rows of q and k in transformers' order; alpha twice."""
    from safetensors.numpy import save_file

    rows, double = (Path(shutil.copytree(adapter, target / name)) for name in ("rows", "alpha"))
    weights = float32_weights(adapter, "adapter_model.safetensors")
    for key, matrix in weights.items():
        if key.endswith(("q_proj.lora_B.weight", "k_proj.lora_B.weight")):
            heads = config["num_attention_heads" if "q_proj" in key else "num_key_value_heads"]
            weights[key] = _unpermuted(matrix, heads)
    save_file(weights, rows / "adapter_model.safetensors")
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    settings["lora_alpha"] *= 2
    (double / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return {"rows not in llama.cpp's order": rows, "alpha twice": double}


def _unpermuted(matrix: Matrix, heads: int) -> Matrix:
    """What ``permuted`` turns into the matrix itself."""
    rows, columns = matrix.shape
    return np.ascontiguousarray(
        matrix.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


def _prompts(count: int) -> list[str]:
    """Prompts of the shipped variant for dev complaints that are answered from the articles, spread over all."""
    from system.assistant import Assistant
    from system.complaints import read_complaints
    from system.variants import VARIANTS

    complaints = [c for c in read_complaints(Path("data/complaints.jsonl"), "dev") if c.action == "RAG"]
    drafts = Assistant().drafts(complaints, VARIANTS["agent-rag-fine-tuned"])
    texts = [draft.prompt.text for draft in drafts if draft.prompt]
    return texts[:: max(1, len(texts) // count)][:count]


def _rows(prompts: Sequence[str], limit: int) -> Iterator[tuple[str, dict[str, float]]]:
    import torch

    from system.generation import TransformersGenerator
    from system.variants import ADAPTER, COPYING

    source = resolve_model(DEFAULT_MODEL)
    config = json.loads((Path(source.location) / "config.json").read_text(encoding="utf-8"))
    made: dict[str | None, list[Forced]] = {}
    answers: dict[int, str] = {}
    for adapter in (ADAPTER, None):
        generator = TransformersGenerator(source, adapter, dtype=torch.float32)
        if not answers:
            answers = {n: done.text for n, done in generator.generate(prompts, COPYING)}
        forced = [generator.encode(answers[n])[:limit] for n in range(len(prompts))]
        made[adapter] = [reference(generator, prompt, answer) for prompt, answer in zip(prompts, forced, strict=True)]
    del generator
    embedded = f"{PREFIX}{DEFAULT_MODEL}"
    with tempfile.TemporaryDirectory() as temporary:
        dense = f"{PREFIX}{dense_folder(Path(source.location), Path(temporary) / 'dense')}"
        wrong = wrong_adapters(Path(ADAPTER), config, Path(temporary))
        arms: list[tuple[str, str, str | None, str | None]] = [
            ("float32, base", dense, None, None),
            ("float32, adapter", dense, ADAPTER, ADAPTER),
            ("eight bits, base", embedded, None, None),
            ("eight bits, adapter", embedded, ADAPTER, ADAPTER),
            *((f"float32, {name}", dense, str(folder), ADAPTER) for name, folder in wrong.items()),
        ]
        for name, model, adapter, against in arms:
            ours = LlamaCppGenerator(llamacpp_source(model), adapter, slots=1)
            row = distance(ours, made[against])
            if adapter == ADAPTER:
                texts = {n: done.text for n, done in ours.generate(prompts, COPYING)}
                row["equal_answers"] = statistics.fmean(texts[n] == answers[n] for n in answers)
            del ours
            yield name, row


def main() -> int:
    """Compare, print a table, and say by the exit code whether the export is right: 0 yes, 1 no."""
    options = argparse.ArgumentParser(
        prog="python -m system.llamacpp_check", description=(__doc__ or "").split("\n")[0]
    )
    options.add_argument("--prompts", type=int, default=40, help="dev complaints (default: %(default)s)")
    options.add_argument("--tokens", type=int, default=12, help="first tokens of each answer (default: %(default)s)")
    options.add_argument("--out", type=Path, help="write the figures as JSON")
    chosen = options.parse_args()
    figures: dict[str, dict[str, float]] = {}
    print(f"{'llama.cpp against transformers':40}{'mean':>9}{'largest':>9}{'top-1':>8}{'equal answers':>15}")
    for name, row in _rows(_prompts(chosen.prompts), chosen.tokens):
        figures[name] = row
        equal = f"{row['equal_answers']:15.1%}" if "equal_answers" in row else f"{'':>15}"
        print(f"{name:40}{row['mean']:9.4f}{row['largest']:9.4f}{row['top_1']:8.1%}{equal}", flush=True)
    right = figures["float32, adapter"]["mean"] <= TOLERANCE
    seen = all(row["mean"] > TOLERANCE for name, row in figures.items() if "twice" in name or "order" in name)
    print(f"the exported adapter is {'' if right else 'not '}the trained one: tolerance {TOLERANCE} nats")
    if chosen.out:
        content = {"prompts": chosen.prompts, "tokens": chosen.tokens, "tolerance": TOLERANCE, "rows": figures}
        chosen.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if right and seen else 1


if __name__ == "__main__":
    sys.exit(main())
