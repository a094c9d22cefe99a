"""Preference tuning: an adapter learns to prefer the good reply of a pair (Rafailov et al. 2023, arXiv 2305.18290).

    record = train_dpo(model, format, pairs, held_out, DpoSettings(), folder)

The loop is TRL's DPOTrainer. The adapter as it was is what the preference is measured against; TRL keeps it beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from system.chat_format import ChatFormat
from system.generation import compute_dtype
from system.training.lessons import Lesson
from system.training.lora import GROUPED, old_names_allowed

MAX_TOKENS = 640


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoSettings:
    """How preferences are learned. ``beta``: how dear it is to leave the adapter as it was."""

    beta: float = 0.1
    learning_rate: float = 5e-5
    epochs: int = 1
    batch: int = 4  # pairs of a forward pass
    accumulation: int = 4
    warm_up: float = 0.1
    seed: int = 0


def adapter_to_train(base_model: str, adapter: Path) -> Any:
    """A trained adapter on its base model, its weights in float32, ready to learn on."""
    import transformers
    from peft import PeftModel

    from system.models import resolve_model

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        resolve_model(base_model).location, dtype=compute_dtype()
    )
    model.set_attn_implementation(GROUPED)
    with old_names_allowed():
        adapted = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    for weights in adapted.parameters():
        if weights.requires_grad:
            weights.data = weights.data.float()
    return adapted


def train_dpo(
    model: Any,
    format: ChatFormat,
    pairs: Sequence[Lesson],
    held_out: Sequence[Lesson],
    settings: DpoSettings,
    folder: Path,
    report_to: str = "none",
) -> dict[str, Any]:
    """Train in place; returns the settings, the losses and the share of pairs that are preferred rightly."""
    from transformers.trainer_utils import get_last_checkpoint
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    steps = -(-len(pairs) // (settings.batch * settings.accumulation)) * settings.epochs
    arguments = DPOConfig(
        output_dir=str(folder),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulation,
        warmup_steps=round(settings.warm_up * steps),
        max_length=MAX_TOKENS,
        precompute_ref_log_probs=True,
        gradient_checkpointing=None,  # type: ignore[arg-type]  # its old name, which TRL would set
        activation_checkpointing=False,
        bf16=compute_dtype() == torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_steps=2,
        report_to=report_to,
        seed=settings.seed,
        dataloader_pin_memory=False,
    )
    with old_names_allowed():
        trainer = DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=_table(pairs),
            eval_dataset=_table(held_out),
            processing_class=format.tokenizer,
        )
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
    kept = (
        "loss",
        "eval_loss",
        "rewards/accuracies",
        "eval_rewards/accuracies",
        "eval_rewards/margins",
        "epoch",
    )
    history = [{name: entry[name] for name in kept if name in entry} for entry in trainer.state.log_history]
    return {"settings": asdict(settings), "pairs": len(pairs), "held_out": len(held_out), "history": history}


def _table(pairs: Sequence[Lesson]) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": pair.prompt, "chosen": pair.reply, "rejected": pair.bad} for pair in pairs])
