"""Supervised fine-tuning: a LoRA adapter learns the replies of a curriculum, checkpoint by epoch.

    record = train_sft(model, format, curriculum, settings, folder)    resumes after a kill; returns what happened

The loop is the Trainer of transformers (schedule, accumulation, checkpoints, early stopping, trackers, accelerate).
TRL's SFTTrainer falls short here: without Triton its fused head makes logits at every position (TRL 1.16), it wants one
fixed data set where an epoch redraws its facts, and it trains no encoder-decoders.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.trainer_utils import get_last_checkpoint

from system.chat_format import ChatFormat
from system.errors import SettingsError
from system.generation import compute_dtype
from system.training.lessons import Curriculum, Lesson
from system.training.lora import IGNORED, LoraSettings, old_names_allowed

MAX_TOKENS = 640  # of prompt and reply together; nothing of the custom data is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings:
    """How an adapter is trained."""

    lora: LoraSettings = field(default_factory=LoraSettings)
    learning_rate: float = 5e-4
    epochs: int = 3
    batch: int = 8  # rows of a forward pass
    accumulation: int = 2  # passes of a step
    warm_up: float = 0.06  # share of the steps
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    weight_decay: float = 0.0
    patience: int = 0  # epochs without a lower validation loss after which training stops; 0: never
    seed: int = 0


Row = dict[str, list[int]]


def encode(lesson: Lesson, format: ChatFormat) -> Row | None:
    """Token ids and labels of one lesson: of the prompt nothing is learned. None where it is too long."""
    prompt = format.encode(lesson.prompt)
    reply = [*format.tokenizer(lesson.reply, add_special_tokens=False).input_ids, format.tokenizer.eos_token_id]
    if len(prompt) + len(reply) > MAX_TOKENS:
        return None
    if format.is_encoder_decoder:
        return {"input_ids": prompt, "labels": reply}
    return {"input_ids": prompt + reply, "labels": [IGNORED] * len(prompt) + reply}


class Epochs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The encoded lessons of the current epoch."""

    def __init__(self, curriculum: Curriculum, format: ChatFormat):
        self._curriculum, self._format = curriculum, format
        self.rows: list[Row] = []
        self._number = 0
        self.set_epoch(1)

    def set_epoch(self, number: int) -> None:
        """Draw the lessons of an epoch, 1 or higher."""
        if number == self._number:
            return
        self._number = number
        encoded = [encode(lesson, self._format) for lesson in self._curriculum.epoch(number)]
        rows = [row for row in encoded if row]
        # The Trainer counts its steps once; an epoch with another few rows too long is filled from its own head.
        wanted = len(self.rows) or len(rows)
        self.rows = (rows + rows)[:wanted]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Row:
        return self.rows[place]


class ByLength(torch.utils.data.Sampler[int]):
    """An order in which rows of like length share a batch, drawn anew for each epoch."""

    def __init__(self, data: Epochs, batch: int, seed: int):
        self.data, self._batch, self._seed, self.epoch = data, batch, seed, 1

    def __iter__(self) -> Iterator[int]:
        lengths = [len(row["input_ids"]) for row in self.data.rows]
        generator = torch.Generator().manual_seed(self._seed * 1000 + self.epoch)
        return iter(get_length_grouped_indices(lengths, self._batch, generator=generator))

    def __len__(self) -> int:
        return len(self.data)


class ReplyTrainer(Trainer):
    """The Trainer with the loss of the replies: per token, over all tokens of a step."""

    def __init__(self, *args: Any, sampler: ByLength | None = None, **options: Any):
        super().__init__(*args, **options)
        self._by_length = sampler
        self.model_accepts_loss_kwargs = True  # ask for the number of tokens of the whole step

    def _get_train_sampler(self, *_: Any) -> Any:
        return self._by_length

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """See Trainer."""
        output = model(**inputs)
        if "tokens" in output:
            total, count = output["loss"], output["tokens"]
        else:
            labels = inputs["labels"]
            total = cross_entropy(output.logits.flatten(0, 1).float(), labels.flatten(), reduction="sum")
            count = (labels != IGNORED).sum()
        # The tokens of a step are those of all processes, whose gradients are averaged.
        share = count if num_items_in_batch is None else num_items_in_batch / self.accelerator.num_processes
        loss = total / share
        return (loss, {"loss": loss}) if return_outputs else loss

    def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
        """See Trainer; the loss alone."""
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, self._prepare_inputs(inputs)).detach(), None, None


class _NextEpoch(TrainerCallback):
    """Turns the pages: lessons and order of the epoch that begins."""

    def __init__(self, data: Epochs, sampler: ByLength):
        self._data, self._sampler = data, sampler
        self.seconds: list[float] = []
        self.tokens: list[int] = []
        self.reply_share = 1.0
        self._began = 0.0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        number = int(state.epoch or 0) + 1
        self._sampler.epoch = number
        self._data.set_epoch(number)
        self._began = time.perf_counter()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        self.tokens.append(sum(len(row["input_ids"]) for row in self._data.rows))
        self.reply_share = sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in self._data.rows) / max(
            self.tokens[-1], 1
        )


def collate(pad: int) -> Any:
    """Rows to tensors (rows, longest), padded on the right."""

    def together(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        def padded(name: str, filler: int) -> torch.Tensor:
            longest = max(len(row[name]) for row in rows)
            return torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])

        lengths = [len(row["input_ids"]) for row in rows]
        mask = [[1] * n + [0] * (max(lengths) - n) for n in lengths]
        batch = {"input_ids": padded("input_ids", pad), "labels": padded("labels", IGNORED)}
        return {**batch, "attention_mask": torch.tensor(mask)}

    return together


def train_sft(
    model: Any,
    format: ChatFormat,
    curriculum: Curriculum,
    settings: SftSettings,
    folder: Path,
    report_to: str = "none",
    callbacks: Sequence[TrainerCallback] = (),
    references: Sequence[Lesson] = (),
) -> dict[str, Any]:
    """Train the adapter of ``model`` in place; checkpoints go to ``folder``, from the last of which it resumes.

    The loss on ``references`` is measured after each epoch beside that of the curriculum's own validation.

    Returns the record of the run: losses by step, validation losses by epoch, tokens, seconds. Raises SettingsError if
    the folder holds the checkpoints of another run.
    """
    _claim(folder, settings, curriculum)
    data = Epochs(curriculum, format)
    sampler = ByLength(data, settings.batch * settings.accumulation, settings.seed)
    turner = _NextEpoch(data, sampler)
    held_out: dict[str, list[Row]] = {}
    for lesson in (*curriculum.validation(), *references):
        name = lesson.source.partition(" ")[0]
        if row := encode(lesson, format):
            held_out.setdefault(name, []).append(row)
    steps = -(-len(data) // (settings.batch * settings.accumulation)) * settings.epochs
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=16,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=round(settings.warm_up * steps),
        lr_scheduler_type=settings.schedule,
        weight_decay=settings.weight_decay,
        bf16=compute_dtype() == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_steps=5,
        load_best_model_at_end=settings.patience > 0,
        metric_for_best_model="eval_custom_loss",
        greater_is_better=False,
        report_to=report_to,
        seed=settings.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        disable_tqdm=False,
    )
    trainer = ReplyTrainer(
        model=model,
        args=arguments,
        train_dataset=data,
        eval_dataset=held_out,
        data_collator=collate(format.tokenizer.pad_token_id or 0),
        callbacks=[turner, *callbacks],
        sampler=sampler,
    )
    if settings.patience:
        trainer.add_callback(EarlyStoppingCallback(settings.patience))
    with old_names_allowed():
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)))
    return {
        "settings": asdict(settings),
        "steps": trainer.state.global_step,
        "rows": len(data),
        "tokens": turner.tokens,
        "reply_share": turner.reply_share,
        "seconds": [round(s, 3) for s in turner.seconds],
        "history": [entry for entry in trainer.state.log_history if "loss" in entry or "eval_custom_loss" in entry],
        "validation": _by_epoch(trainer.state.log_history),
    }


def _by_epoch(log: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The validation losses of each epoch, by data set, in nats per token."""
    epochs: dict[float, dict[str, float]] = {}
    for entry in log:
        for name, value in entry.items():
            if name.startswith("eval_") and name.endswith("_loss"):
                epochs.setdefault(entry["epoch"], {})[name.removeprefix("eval_").removesuffix("_loss")] = value
    return [{"epoch": epoch, **losses} for epoch, losses in sorted(epochs.items())]


def _claim(folder: Path, settings: SftSettings, curriculum: Curriculum) -> None:
    """Note whose checkpoints a folder holds. Raises SettingsError if they are another run's."""
    run = json.dumps({"settings": asdict(settings), "recipe": asdict(curriculum.recipe)}, sort_keys=True)
    note = folder / "run.json"
    if note.exists() and note.read_text() != run:
        raise SettingsError(f"{folder}: holds the checkpoints of a run with other settings; delete it or give --out")
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(run)
