"""A base model with fresh LoRA weights, ready for training on a processor.

    model, format = lora_model("smollm2-135m", LoraSettings(rank=16))

Two things make a step cheap, and neither changes what is computed: logits are made at the reply's positions alone, a
few at a time (they are a third of the work of a small model with a large vocabulary), and attention is written as
matrix products over grouped heads. Must not know data or schedules.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy

from system.errors import ModelError, SettingsError
from system.generation import compute_dtype
from system.models import HUB_NAMES, ModelSource, resolve_model

IGNORED = -100  # the label of a position that nothing is learned from
POSITIONS = 128  # whose logits are made at a time; 128 x 49,152 in float32 stay inside the cache
GROUPED = "grouped_causal"
EMBEDDED_HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
_QUERY_VALUE = {"t5": ["q", "v"]}  # of every other architecture: q_proj, v_proj

Targets = Literal["query-value", "all-linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """The shape of an adapter (Hu et al. 2021, arXiv 2106.09685). ``alpha`` is twice the rank."""

    rank: int = 16
    dropout: float = 0.0  # drawing it costs a third of the throughput on a processor
    targets: Targets = "all-linear"


def hub_name(source: ModelSource) -> str:
    """The name under which others find the base model; a folder has none but its own."""
    return HUB_NAMES.get(source.name, EMBEDDED_HUB_NAME if source.name == "smollm2-135m" else source.name)


def lora_model(base_model: str, settings: LoraSettings, seed: int = 0) -> Any:
    """A PeftModel over the base model. Raises ModelError, SettingsError.

    The frozen weights are in the format that the processor multiplies fastest, the adapter's in float32: a step of the
    optimiser is often smaller than what bfloat16 can tell apart.
    """
    import transformers
    from peft import LoraConfig, TaskType, get_peft_model

    source = resolve_model(base_model)
    if source.is_server:
        raise SettingsError(f"base model {source.name!r} is a server; only a local model can be trained")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(source.location)
        paired = bool(config.is_encoder_decoder)
        auto = transformers.AutoModelForSeq2SeqLM if paired else transformers.AutoModelForCausalLM
        model: Any = auto.from_pretrained(source.location, dtype=compute_dtype())
    except (OSError, ValueError) as error:
        raise ModelError(f"base model {source.name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    model.config.use_cache = False
    if not paired:
        model.set_attn_implementation(GROUPED)
        model.forward = types.MethodType(_reply_loss, model)
    torch.manual_seed(seed)
    shape = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=_targets(config.model_type, settings.targets),
        task_type=TaskType.SEQ_2_SEQ_LM if paired else TaskType.CAUSAL_LM,
    )
    with old_names_allowed():
        adapted = get_peft_model(model, shape)
    adapted.peft_config["default"].base_model_name_or_path = hub_name(source)
    module: Any
    for module in adapted.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False  # autocast does it, without a float32 copy of the activations
    return adapted


@contextmanager
def old_names_allowed() -> Iterator[None]:
    """PEFT asks transformers for a property by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield


def _targets(architecture: str, targets: Targets) -> str | list[str]:
    return "all-linear" if targets == "all-linear" else _QUERY_VALUE.get(architecture, ["q_proj", "v_proj"])


def _reply_loss(
    self: Any, input_ids: torch.Tensor, labels: torch.Tensor, attention_mask: torch.Tensor | None = None, **_: Any
) -> dict[str, torch.Tensor]:
    """The forward pass of a causal model in training: the summed loss of the labelled positions, in nats.

    Shapes: input_ids, labels (rows, columns), padded on the right. The causal mask hides the padding from all that
    stands before it, so that no other mask is needed.
    """
    states = self.model(input_ids=input_ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    at = wanted != IGNORED
    parts = zip(states[at].split(POSITIONS), wanted[at].split(POSITIONS), strict=True)
    losses = [cross_entropy(self.lm_head(part).float(), target, reduction="sum") for part, target in parts]
    return {"loss": torch.stack(losses).sum(), "tokens": at.sum()}


def _grouped_causal(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention with grouped queries as two batched products.

    Shapes: query (rows, heads, columns, width); key, value (rows, key_heads, columns, width). Returns (rows, columns,
    heads, width), as ``AttentionInterface`` expects.
    """
    rows, heads, columns, width = query.shape
    groups = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    folded = (query * scale).reshape(rows, groups, heads // groups * columns, width)
    scores = (folded @ key.transpose(-1, -2)).view(rows, groups, heads // groups, columns, columns)
    later = torch.full((columns, columns), float("-inf"), dtype=scores.dtype, device=scores.device).triu(1)
    weights = torch.softmax(scores + later, dim=-1).view(rows, groups, heads // groups * columns, columns)
    return (weights @ value).view(rows, heads, columns, width).transpose(1, 2), None


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(GROUPED, _grouped_causal)


_register()
