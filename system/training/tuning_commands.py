"""What ``train.py data|sft|dpo|search|examine`` do: one function a command, which returns the exit status."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from system.cache import open_cache
from system.chat_format import ChatFormat
from system.embeddings import CachedEmbed, Embedder
from system.errors import ModelError, SettingsError
from system.models import adapter_hash, resolve_model, write_atomically
from system.records import Decoding
from system.training.custom import EXAMPLES, PASSAGES
from system.training.data_card import data_card
from system.training.lessons import Curriculum, Recipe
from system.training.records import libraries, made
from system.training.throughput import estimate, speed

FREE_BYTES = 500_000_000  # checkpoints hold weights and two moments each in float32
CHECKPOINTS = Path("runs") / "training"
TRACKS = Path("runs") / "tracks"
PUBLIC = ("alpaca", "hh_harmless", "hh_helpful", "bitext")


def data(options: argparse.Namespace) -> int:
    """Print the data card."""
    print(data_card(_curriculum(options)))
    return 0


def sft(options: argparse.Namespace) -> int:
    """Train an adapter on replies and save it with its record."""
    from system.training.lora import LoraSettings, lora_model
    from system.training.sft import SftSettings, encode, train_sft

    _may_write(options.out, options.replace)
    _keep_tracks(options.report_to, options.out.name)
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
    rows = [row for lesson in curriculum.epoch(1) if (row := encode(lesson, format))]
    peak = estimate(model, rows, settings.epochs)
    record = train_sft(model, format, curriculum, settings, CHECKPOINTS / options.out.name, options.report_to)
    if not _is_first_process():
        return 0
    record = {**record, **speed(model, record, peak), **_origin(options)}
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
        run_bayes(records, options.data_dir, options.trials, study_file(options.out))
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


def study_file(out: Path) -> Path:
    """Where the study of a search lies: each --out has its own; not beside the records, which are committed."""
    place = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:8]
    return Path("runs") / "tuning" / f"{out.name}-{place}.db"


def dpo(options: argparse.Namespace) -> int:
    """Go on from a trained adapter with preferences, and save the result with its record."""
    from system.training.dpo import DpoSettings, adapter_to_train, train_dpo

    _may_write(options.out, options.replace)
    _keep_tracks(options.report_to, options.out.name)
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
    if not _is_first_process():
        return 0
    earlier = json.loads((options.start / "training.json").read_text())
    save_adapter(model, options.out, {**record, **_origin(options), "started_from": earlier})
    shutil.rmtree(checkpoints)
    print(json.dumps(record["history"][-1]))
    return 0


def examine(options: argparse.Namespace) -> int:
    """Measure an adapter beside its base model and write its passport."""
    from system.evaluation.judge import load_judge
    from system.training.adapter_passport import Examinee, examine_adapter
    from system.variants import COPYING

    if not options.adapter.is_dir():
        raise ModelError(f"--adapter {options.adapter}: is not a folder; give one that python train.py sft made")
    try:
        record = json.loads((options.adapter / "training.json").read_text(encoding="utf-8"))
        losses = [epoch["custom"] for epoch in record["validation"]]
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{options.adapter}: has no training.json with validation losses; train it anew") from error
    format = _format(options.base_model)
    curriculum = Curriculum.load(format, CachedEmbed(Embedder(), open_cache()), options.data_dir, Recipe())
    base = Examinee.load(options.base_model, None, Decoding())
    tuned = Examinee.load(options.base_model, str(options.adapter), COPYING)
    judge = load_judge()
    exams = examine_adapter(base, tuned, curriculum, judge, options.data_dir, losses)
    passport = {"adapter": adapter_hash(str(options.adapter)), "judge": judge.signature, **_origin(options), **exams}
    write_atomically(options.adapter / "passport.json", json.dumps(passport, indent=1) + "\n")
    print(json.dumps(exams, indent=1))
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


def _keep_tracks(tracker: str, run: str) -> None:
    """Give a tracker's files a place that outlives the checkpoints. Raises SettingsError if it is not installed."""
    if tracker == "none":
        return
    if importlib.util.find_spec(tracker) is None:
        raise SettingsError(f"--report-to {tracker}: is not installed; pip install {tracker}")
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(TRACKS / "tensorboard" / run))
    os.environ.setdefault("WANDB_DIR", str(TRACKS))
    os.environ.setdefault("WANDB_PROJECT", "support-assistant")
    TRACKS.mkdir(parents=True, exist_ok=True)


def _is_first_process() -> bool:
    """Whether this process writes: under ``accelerate launch`` one does, for all."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


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


def _origin(options: argparse.Namespace) -> dict[str, Any]:
    source = resolve_model(options.base_model)
    return {
        "base_model": source.name,
        "base_model_hash": source.sha256,
        "libraries": libraries(),
        "made": made((EXAMPLES, PASSAGES), options.data_dir),
    }
