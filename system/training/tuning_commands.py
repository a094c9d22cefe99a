"""What ``train.py data|sft|dpo|search`` do, one function a command, given its parsed options; returns the status."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from system.cache import open_cache
from system.chat_format import ChatFormat
from system.embeddings import CachedEmbed, Embedder
from system.errors import ModelError, SettingsError
from system.models import resolve_model, write_atomically
from system.training.custom import EXAMPLES, PASSAGES
from system.training.data_card import data_card
from system.training.lessons import Curriculum, Recipe
from system.training.records import libraries, made
from system.training.throughput import told

FREE_BYTES = 500_000_000  # checkpoints hold weights and two moments each in float32
CHECKPOINTS = Path("runs") / "training"
PUBLIC = ("alpaca", "hh_harmless", "bitext")


def data(options: argparse.Namespace) -> int:
    """Print the data card."""
    print(data_card(_curriculum(options)))
    return 0


def sft(options: argparse.Namespace) -> int:
    """Train an adapter on replies and save it with its record."""
    from system.training.lora import LoraSettings, lora_model
    from system.training.sft import SftSettings, train_sft

    _may_write(options.out, options.replace)
    curriculum = _curriculum(options)
    format = _format(options.base_model)
    shape = LoraSettings(rank=options.rank, dropout=options.dropout, targets=options.targets)
    settings = SftSettings(
        lora=shape,
        learning_rate=options.learning_rate,
        epochs=options.epochs,
        batch=options.batch_size,
        accumulation=options.accumulation,
        warm_up=options.warm_up,
        schedule=options.schedule,
        patience=options.patience,
        seed=options.seed,
    )
    print(data_card(curriculum), flush=True)
    model = lora_model(options.base_model, shape, options.seed)
    peak = _estimate(model, curriculum, format, settings.epochs)
    record = train_sft(model, format, curriculum, settings, CHECKPOINTS / options.out.name, options.report_to)
    record = {**record, **_speed(model, record, peak), **_origin(options)}
    save_adapter(model, options.out, record)
    shutil.rmtree(CHECKPOINTS / options.out.name)
    print(json.dumps({"validation": record["validation"], "tokens_per_second": record["tokens_per_second"]}))
    return 0


def search(options: argparse.Namespace) -> int:
    """Run the grid or go on with the Bayesian study, then say which checkpoint the rule names."""
    from system.training.search import CHOICE, choose, read_trials, run_bayes, run_grid
    from system.training.tuning_plots import draw

    records = options.out / "trials.jsonl"
    if options.stage == "grid":
        run_grid(records, options.data_dir)
    if options.stage == "bayes":
        run_bayes(records, options.data_dir, options.trials, Path("runs") / "tuning" / "study.db")
    trials = read_trials(records)
    best = choose(trials)
    print(CHOICE)
    if trials:
        draw(trials, options.out)
    if best is None:
        print("no checkpoint may be chosen yet")
        return 0
    chosen = {"trial": best.trial, "epoch": best.epoch, **trials[best.trial]["settings"]}
    write_atomically(options.out / "chosen.json", json.dumps({"rule": CHOICE, **chosen}, indent=1) + "\n")
    print(json.dumps(chosen))
    return 0


def dpo(options: argparse.Namespace) -> int:
    """Go on from a trained adapter with preferences, and save the result with its record."""
    from system.training.dpo import DpoSettings, adapter_to_train, train_dpo

    _may_write(options.out, options.replace)
    if not (options.start / "adapter_config.json").exists():
        raise SettingsError(f"--start {options.start}: holds no adapter_config.json; train an adapter with sft")
    curriculum = _curriculum(options)
    format = _format(options.base_model)
    settings = DpoSettings(
        beta=options.beta, learning_rate=options.learning_rate, epochs=options.epochs, seed=options.seed
    )
    pairs, held_out = curriculum.pairs(1), curriculum.held_out_pairs()
    print(f"{len(pairs)} pairs to learn from, {len(held_out)} held out", flush=True)
    model = adapter_to_train(options.base_model, options.start)
    checkpoints = CHECKPOINTS / options.out.name
    record = train_dpo(model, format, pairs, held_out, settings, checkpoints, options.report_to)
    earlier = json.loads((options.start / "training.json").read_text())
    save_adapter(model, options.out, {**record, **_origin(options), "started_from": earlier})
    shutil.rmtree(checkpoints)
    print(json.dumps(record["history"][-1]))
    return 0


def save_adapter(model: Any, folder: Path, record: dict[str, Any]) -> None:
    """PEFT's files in bfloat16 and the record, into a new folder that takes the old one's place when it is whole."""
    import torch

    fresh = folder.with_name(folder.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    for weights in model.parameters():
        if weights.requires_grad:
            weights.data = weights.data.to(torch.bfloat16)
    model.save_pretrained(fresh)
    write_atomically(fresh / "training.json", json.dumps(record, indent=1) + "\n")
    (fresh / "README.md").unlink(missing_ok=True)  # PEFT's form of a model card, with nothing filled in
    if (folder / "README.md").exists():
        shutil.copy(folder / "README.md", fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _curriculum(options: argparse.Namespace) -> Curriculum:
    recipe = Recipe(
        grounded=not options.without_grounded,
        public={name: count for name in PUBLIC if (count := getattr(options, name))},
        examples=options.examples,
        seed=options.seed,
    )
    if options.data_dir is not None and not options.data_dir.is_dir():
        raise SettingsError(f"--data-dir {options.data_dir}: is not a folder; leave it out to fetch the sets by name")
    return Curriculum.load(_format(options.base_model), CachedEmbed(Embedder(), open_cache()), options.data_dir, recipe)


def _format(base_model: str) -> ChatFormat:
    source = resolve_model(base_model)
    if source.is_server:
        raise SettingsError(f"base model {source.name!r} is a server; only a local model can be trained")
    try:
        return ChatFormat(source.location)
    except (OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"base model {source.name!r} has no tokenizer that can be read: {why}") from error


def _may_write(folder: Path, replace: bool) -> None:
    """Raises SettingsError where an adapter would be lost or there is too little room."""
    if folder.exists() and not replace:
        raise SettingsError(f"--out {folder}: is there already; give another folder, or --replace to lose it")
    place = next(parent for parent in (folder.resolve(), *folder.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    if free < FREE_BYTES:
        raise SettingsError(
            f"--out {folder}: {free / 1e6:.0f} MB are free and {FREE_BYTES / 1e6:.0f} MB are needed; make room"
        )


def _estimate(model: Any, curriculum: Curriculum, format: ChatFormat, epochs: int) -> float:
    """Print how long training will take; returns the measured matrix peak in operations per second."""
    from system.training.sft import encode
    from system.training.throughput import USUAL_SHARE, matrix_peak, operations_per_token

    rows = [row for lesson in curriculum.epoch(1) if (row := encode(lesson, format))]
    tokens = sum(len(row["input_ids"]) for row in rows)
    peak = matrix_peak()
    seconds = epochs * tokens * operations_per_token(model, _reply_share(rows)) / (USUAL_SHARE * peak)
    print(
        f"{len(rows)} rows and {tokens:,} tokens an epoch, {epochs} epochs: about {told(seconds)} at "
        f"{USUAL_SHARE:.0%} of the matrix peak of {peak / 1e9:.0f} GFLOPS",
        flush=True,
    )
    return peak


def _reply_share(rows: Sequence[dict[str, list[int]]]) -> float:
    """The share of the tokens that something is learned from."""
    learned = sum(label >= 0 for row in rows for label in row["labels"])
    return learned / sum(len(row["input_ids"]) for row in rows)


def _speed(model: Any, record: dict[str, Any], peak: float) -> dict[str, Any]:
    from system.training.throughput import operations_per_token

    seconds = sum(record["seconds"])
    if not seconds:  # all epochs were done before the kill that this run resumed from
        return {"tokens_per_second": None, "share_of_matrix_peak": None}
    rate = sum(record["tokens"]) / seconds
    share = rate * operations_per_token(model, record["reply_share"]) / peak
    return {"tokens_per_second": round(rate), "share_of_matrix_peak": round(share, 3)}


def _origin(options: argparse.Namespace) -> dict[str, Any]:
    source = resolve_model(options.base_model)
    return {
        "base_model": source.name,
        "base_model_hash": source.sha256,
        "libraries": libraries(),
        "made": made((EXAMPLES, PASSAGES), options.data_dir),
    }
