"""Throughput of one and the same 64 prompts: ``python -m system.benchmark [--set rag] [--out FILE.json]``.

Compared, all greedy, up to 128 new tokens, each answer ending where its model ends it (with ``--fixed``, every
answer 128 tokens long, so that all methods do equal work):

    one at a time     transformers' generate, one prompt after another
    transformers 64   transformers' generate, one padded batch
    llama.cpp         its own server in this process, 8 slots, the embedded GGUF (needs the ``bench`` extra)
    this project      ``system.decoding``

Each runs in a process of its own, so that peak memory is its own. Not a test: time on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

METHODS = ("one at a time", "transformers 64", "llama.cpp", "this project")
PROMPTS = 64
NEW_TOKENS = 128
SLOTS = 8
FIXED = "--fixed" in sys.argv  # known to the measuring processes too, which are started with the same option


def prompts_of(variant_name: str) -> list[str]:
    """The first 64 test complaints that are answered from the articles, as prompts of a variant."""
    from system.assistant import Assistant
    from system.complaints import read_complaints
    from system.variants import VARIANTS

    complaints = [c for c in read_complaints(Path("data/complaints.jsonl"), "test") if c.action == "RAG"][:PROMPTS]
    drafts = Assistant().drafts(complaints, VARIANTS[variant_name])
    return [draft.prompt.text for draft in drafts if draft.prompt]


def one_at_a_time(prompts: list[str]) -> int:
    """New tokens of transformers' generate, prompt by prompt."""
    model, tokenizer = _transformers()
    return sum(_generate(model, tokenizer, [prompt]) for prompt in prompts)


def transformers_batch(prompts: list[str]) -> int:
    """New tokens of transformers' generate on one left-padded batch."""
    return _generate(*_transformers(), prompts)


def this_project(prompts: list[str]) -> int:
    """New tokens of the project's own decoder."""
    from system.records import Decoding

    generator, decoding = _generator(), Decoding(max_new_tokens=NEW_TOKENS)
    if FIXED:
        generator._decoder._end = frozenset()
    return sum(done.tokens for _, done in generator.generate(prompts, decoding))


def llama_cpp(prompts: list[str]) -> int:
    """New tokens of llama.cpp's server with continuous batching."""
    server = _server()

    def ask(prompt: str) -> int:
        request: dict[str, Any] = {"prompt": prompt, "n_predict": NEW_TOKENS, "temperature": 0.0}
        request |= {"cache_prompt": False, "ignore_eos": FIXED}
        return int(server.handle_completions(request)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(SLOTS) as pool:
        return sum(pool.map(ask, prompts))


RUNNERS: dict[str, Callable[[list[str]], int]] = dict(
    zip(METHODS, (one_at_a_time, transformers_batch, llama_cpp, this_project), strict=True)
)
_loaded: dict[str, Any] = {}


def _transformers() -> tuple[Any, Any]:
    if "transformers" not in _loaded:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from system.generation import compute_dtype
        from system.models import DEFAULT_MODEL, resolve_model

        folder = resolve_model(DEFAULT_MODEL).location
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=compute_dtype()).eval()
        _loaded["transformers"] = model, AutoTokenizer.from_pretrained(folder, padding_side="left")
    model, tokenizer = _loaded["transformers"]
    return model, tokenizer


def _generate(model: Any, tokenizer: Any, prompts: list[str]) -> int:
    import torch

    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        output = model.generate(
            **batch,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS if FIXED else None,
            do_sample=False,
            repetition_penalty=1.1,
        )
    new = output[:, batch.input_ids.shape[1] :].tolist()
    end = None if FIXED else tokenizer.eos_token_id
    return sum(row.index(end) if end in row else len(row) for row in new)


def _generator() -> Any:
    if "ours" not in _loaded:
        from system.generation import load_generator
        from system.models import DEFAULT_MODEL

        _loaded["ours"] = load_generator(DEFAULT_MODEL)
    return _loaded["ours"]


def _server() -> Any:
    if "llama.cpp" not in _loaded:
        import xllamacpp

        from system.models import embedded_gguf

        settings = xllamacpp.CommonParams()
        settings.model.path = str(embedded_gguf())
        settings.n_parallel, settings.n_ctx, settings.n_gpu_layers = SLOTS, SLOTS * 1024, 0
        settings.cont_batching, settings.verbosity = True, -1
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 2
        settings.sampling.penalty_repeat = 1.1
        _loaded["llama.cpp"] = xllamacpp.Server(settings)
    return _loaded["llama.cpp"]


def measure(method: str, prompts: list[str]) -> dict[str, float]:
    """Seconds, new tokens and peak memory of one method, after a warm-up on two prompts."""
    import resource

    run = RUNNERS[method]
    run(prompts[:2])
    began = time.perf_counter()
    tokens = run(prompts)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds, "peak_gib": peak}


def matrix_peak() -> float:
    """Multiply-add rate of a 2048 x 2048 matrix product in the dtype used, in floating-point operations a second."""
    import torch

    from system.generation import compute_dtype

    a, b = (torch.randn(2048, 2048, dtype=compute_dtype()) for _ in range(2))
    best = 0.0
    for _ in range(20):
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began))
    return best


def main() -> int:
    """Measure every method in its own process and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument(
        "--set", default="prompt-empathetic", help="variant whose prompts are used (default: %(default)s)"
    )
    options.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    options.add_argument("--prompts", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--out", type=Path, help="write the figures as JSON")
    options.add_argument("--fixed", action="store_true", help="every answer 128 tokens long")
    chosen = options.parse_args()
    if chosen.method:
        print(json.dumps(measure(chosen.method, json.loads(chosen.prompts.read_text()))))
        return 0
    prompts = prompts_of(chosen.set)
    path = Path("runs") / "benchmark-prompts.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(prompts))
    read = sum(_generator().count_tokens(prompt) for prompt in prompts)
    peak = matrix_peak()
    figures: dict[str, dict[str, float]] = {}
    print(
        f"{len(prompts)} prompts of {chosen.set}, {read / len(prompts):.0f} tokens each; peak {peak / 1e9:.0f} GFLOP/s"
    )
    print(f"{'method':18}{'new tokens':>12}{'seconds':>10}{'tokens/s':>10}{'of peak':>9}{'GiB':>7}")
    for method in METHODS:
        command = [sys.executable, "-m", "system.benchmark", "--method", method, "--prompts", str(path)]
        command += ["--fixed"] * chosen.fixed
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own module
        if done.returncode:
            print(f"{method:18}not measured: {done.stderr.strip().splitlines()[-1]}")
            continue
        row = json.loads(done.stdout.splitlines()[-1])
        # Two operations per weight and token, read or written; attention and the padding are not counted.
        row["share_of_peak"] = 2 * 134.5e6 * (read + row["tokens"]) / row["seconds"] / peak
        figures[method] = row
        print(
            f"{method:18}{row['tokens']:12.0f}{row['seconds']:10.1f}{row['tokens_per_second']:10.0f}"
            f"{row['share_of_peak']:9.1%}{row['peak_gib']:7.2f}",
            flush=True,
        )
    if chosen.out:
        chosen.out.write_text(json.dumps({"set": chosen.set, "peak_flops": peak, "methods": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
