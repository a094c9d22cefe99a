"""Trains the local judge on several human labels at once; one optimiser step sees one batch of every task.

    train_judge(tasks, settings, embedder, checkpoint)   about half an hour on one core; resumes after a kill

What is learned stands in ``judge_tasks``. Settings are data; the record of a run (settings, hashes, losses, seconds
per epoch) is returned and written beside the weights.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from system.errors import SettingsError
from system.evaluation.judge_model import JudgeModel
from system.models import folder_hash
from system.training.judge_tasks import Task

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """How the judge is trained."""

    rank: int = 16
    dropout: float = 0.1
    learning_rate: float = 7e-4
    epochs: int = 3
    steps: int = 110  # of an epoch
    warm_up: float = 0.06  # share of the steps
    weight_decay: float = 0.01
    seed: int = 0


def train_judge(
    tasks: Sequence[Task],
    settings: JudgeSettings,
    embedder: str,
    checkpoint: Path | None = None,
    start: Path | None = None,
    after_epoch: Callable[[JudgeModel, int], dict[str, float]] | None = None,
) -> tuple[JudgeModel, list[dict[str, float]]]:
    """The trained model and one record per epoch: mean loss of each task, seconds, what ``after_epoch`` measured.

    With ``start``, the folder of a trained judge, its weights are where training begins: a warm restart.
    The file ``checkpoint`` is written after each epoch; if it is there, training goes on from it, to the same end:
    what an epoch draws depends on the seed and its number alone.
    """
    torch.manual_seed(settings.seed)
    model = JudgeModel.fresh(embedder, settings.rank, settings.dropout)
    if start:
        model.take_up(start)
    model.encoder.to(torch.bfloat16)  # twice as fast on processors that have it; the heads stay in float32
    weights = [p for p in model.parameters() if p.requires_grad]
    # The optimiser moves float32 copies: a step is often smaller than what bfloat16 can tell apart.
    copies = [p.detach().float().clone() for p in weights]
    optimiser = torch.optim.AdamW(copies, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps * settings.epochs, pct_start=settings.warm_up
    )
    history: list[dict[str, float]] = []
    run = {**asdict(settings), "start": folder_hash(start) if start else None}  # what tells one run from another
    if checkpoint and checkpoint.exists():
        history = _resume(checkpoint, run, copies, optimiser, schedule)
        _copy(copies, weights)
    for epoch in range(len(history) + 1, settings.epochs + 1):
        torch.manual_seed(settings.seed * 1000 + epoch)
        draw = random.Random(settings.seed * 1000 + epoch)
        feeds = {task.name: _batches(task.rows, task.batch, draw) for task in tasks}
        model.train()
        began, sums = time.perf_counter(), dict.fromkeys(feeds, 0.0)
        for _ in tqdm(range(settings.steps), desc=f"epoch {epoch} of {settings.epochs}", mininterval=10):
            losses = _losses(model, tasks, {task.name: next(feeds[task.name]) for task in tasks}, draw)
            for name, loss in losses.items():
                sums[name] += float(loss.detach())
            model.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            for copy, weight in zip(copies, weights, strict=True):
                copy.grad = None if weight.grad is None else weight.grad.float()
            torch.nn.utils.clip_grad_norm_(copies, 1.0)
            optimiser.step()
            schedule.step()
            _copy(copies, weights)
        record = {f"loss_{name}": value / settings.steps for name, value in sums.items()}
        record |= {"epoch": epoch, "seconds": time.perf_counter() - began}
        if after_epoch:
            record |= after_epoch(model, epoch)
        print(json.dumps({k: round(v, 4) for k, v in record.items()}), flush=True)
        history.append(record)
        if checkpoint:
            _write_checkpoint(checkpoint, run, copies, optimiser, schedule, history)
    return model, history


def _losses(
    model: JudgeModel, tasks: Sequence[Task], rows: dict[str, Sequence[Any]], draw: random.Random
) -> dict[str, Tensor]:
    """The loss of each task on its rows; all texts are read in one go."""
    texts = {task.name: [text for row in rows[task.name] for text in task.texts(row, draw)] for task in tasks}
    outputs = model([text for task in tasks for text in texts[task.name]])
    losses, at = {}, 0
    for task in tasks:
        end = at + len(texts[task.name])
        part = {head: values[at:end] for head, values in outputs.items()}
        losses[task.name] = task.weight * task.loss(part, rows[task.name])
        at = end
    return losses


def _copy(copies: Sequence[Tensor], weights: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for copy, weight in zip(copies, weights, strict=True):
            weight.copy_(copy)


def _write_checkpoint(
    path: Path, run: dict[str, Any], copies: list[Tensor], optimiser: Any, schedule: Any, history: list[Any]
) -> None:
    state = {"copies": copies, "optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
    fresh = path.with_name(path.name + ".part")
    torch.save({**state, "settings": run, "history": history}, fresh)
    fresh.replace(path)


def _resume(
    path: Path, run: dict[str, Any], copies: list[Tensor], optimiser: Any, schedule: Any
) -> list[dict[str, float]]:
    """Take up a checkpoint's state; returns its history. Raises SettingsError for one of other settings."""
    state = torch.load(path, weights_only=True)
    if state["settings"] != run:
        raise SettingsError(f"{path}: is a checkpoint of other settings or another start; delete it or give those")
    _copy(state["copies"], copies)
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    history: list[dict[str, float]] = state["history"]
    return history


def _batches(rows: Sequence[Row], batch: int, draw: random.Random) -> Iterator[list[Row]]:
    """Batches for ever; every pass over the rows is in another order."""
    waiting: list[Row] = []
    while True:
        while len(waiting) < batch:
            fresh = list(rows)
            draw.shuffle(fresh)
            waiting += fresh
        yield waiting[:batch]
        waiting = waiting[batch:]


def average_weights(folder: Path, other: Path) -> None:
    """Put the mean of both folders' weights into the first: a model soup (Wortsman et al. 2022, arXiv:2203.05482).

    Both must come from one training, the second from a restart of the first, or the mean is of no use.
    """
    for name in ("adapter_model.safetensors", "heads.safetensors"):
        mine, theirs = load_file(folder / name), load_file(other / name)
        mean = {key: ((value.float() + theirs[key].float()) / 2).to(value.dtype) for key, value in mine.items()}
        save_file(mean, folder / name)


def write_record(path: Path, settings: JudgeSettings, history: list[dict[str, float]], **more: object) -> None:
    """The record of a run as JSON."""
    path.write_text(json.dumps({"settings": asdict(settings), **more, "history": history}, indent=1) + "\n")
