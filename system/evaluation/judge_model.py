"""The local judge's network: MiniLM with a LoRA adapter reads complaint and reply together, small heads judge.

    model = JudgeModel.fresh(embedder_folder)                 or JudgeModel.load(embedder_folder, adapter_folder)
    outputs = model([(complaint, reply), ...])                {"safety": (n,), "emotional_reactions": (n, 3), ...}

Heads give raw numbers; what they mean on the scale from 1 to 5 is the business of ``local_judge``. torch and
transformers are imported with this module, so it is imported only where a judge is loaded or trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from system.evaluation.judge import AXES, EMPATHY

COMPLAINT_TOKENS = 96  # the last ones: the question of a long story stands at its end
REPLY_TOKENS = 224  # the replies that are graded have 40 to 200
BASE = "sentence-transformers/all-MiniLM-L6-v2"  # what the embedder is called on the Hub
WIDTH = 384
CHUNK = 8  # pairs read together: more outgrow the processor's cache
Pair = tuple[str, str]  # complaint, reply
TARGETS = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
# The judge is two networks of this form. One learns grades, the other which of two replies is better; one network for
# both did each of them worse, for the steep order of pairs bends the scale of the grades.
NETWORKS = ("grades", "preferences")
HEADS = {**dict.fromkeys(EMPATHY, 3), **dict.fromkeys(AXES, 1)}  # width of each head


class JudgeModel(nn.Module):
    """Encoder, pooling and heads. Made by ``fresh`` or ``load``."""

    def __init__(self, encoder: nn.Module, tokenizer: Any, dropout: float = 0.1):
        super().__init__()
        self.encoder, self.tokenizer = encoder, tokenizer
        self.pooled = nn.Sequential(nn.Dropout(dropout), nn.Linear(3 * WIDTH, WIDTH), nn.GELU(), nn.Dropout(dropout))
        # Single words say much of harm, and a linear sum of them learns from few examples what the encoder does not.
        self.words = nn.Embedding(tokenizer.vocab_size, 1)
        nn.init.zeros_(self.words.weight)
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, width) for name, width in HEADS.items()})

    @classmethod
    def fresh(cls, embedder: str, rank: int = 16, dropout: float = 0.1) -> JudgeModel:
        """A model before training: LoRA of this rank on every linear layer of the embedder's encoder."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, bias="none")
        return cls(get_peft_model(_encoder(embedder, "eager"), config), _tokenizer(embedder), dropout)

    def take_up(self, folder: Path) -> None:
        """Go on from a trained model's adapter and heads; of the same rank, or it raises RuntimeError."""
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self.encoder, load_file(folder / "adapter_model.safetensors"))
        self.load_state_dict({**self.state_dict(), **load_file(folder / "heads.safetensors")})

    @classmethod
    def load(cls, embedder: str, folder: Path) -> JudgeModel:
        """A trained model, adapter merged, ready to grade. Raises ValueError for heads of another network."""
        from peft import PeftModel

        with warnings.catch_warnings():
            # peft asks transformers by a name that the next major version drops
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
            encoder: Any = PeftModel.from_pretrained(_encoder(embedder, "sdpa"), str(folder))
        model = cls(encoder.merge_and_unload(), _tokenizer(embedder))
        state = load_file(folder / "heads.safetensors")
        wanted = {name for name in model.state_dict() if not name.startswith("encoder.")}
        if wanted != set(state):  # what is missing would be random numbers
            raise ValueError(f"heads.safetensors differs from this network in {sorted(wanted ^ set(state))}")
        model.load_state_dict({**model.state_dict(), **state})
        return model.eval()

    def save(self, folder: Path) -> None:
        """Write adapter and heads as safetensors; the encoder itself is not written."""
        encoder: Any = self.encoder
        for config in encoder.peft_config.values():  # else the folder of this machine would stand there
            config.base_model_name_or_path = BASE
        encoder.save_pretrained(str(folder), save_embedding_layers=False)  # "auto" would ask the Hub
        (folder / "README.md").unlink(missing_ok=True)  # peft's form of a model card, not filled in
        heads = {k: v.contiguous() for k, v in self.state_dict().items() if not k.startswith("encoder.")}
        save_file(heads, folder / "heads.safetensors")

    def tokenize(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """Of each pair the token ids of [CLS] complaint [SEP] reply [SEP], and 0 or 1 for the segment of each."""
        start, end = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        texts = [text for pair in pairs for text in pair]
        encoded = self.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        rows = []
        for complaint, reply in zip(encoded[::2], encoded[1::2], strict=True):
            first, second = [start, *complaint[-COMPLAINT_TOKENS:], end], [*reply[:REPLY_TOKENS], end]
            rows.append((first + second, [0] * len(first) + [1] * len(second)))
        return rows

    def forward(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """By head: shape (n,) for a scalar, (n, 3) for the levels of an empathy mechanism; float32.

        Pairs of like length are read together, so that little padding is computed.
        """
        ids = self.tokenize(pairs)
        order = sorted(range(len(ids)), key=lambda position: len(ids[position][0]))
        shared = torch.cat([self._read([ids[p] for p in order[at : at + CHUNK]]) for at in range(0, len(order), CHUNK)])
        shared = shared[torch.argsort(torch.tensor(order))]
        outputs = {name: head(shared) for name, head in self.heads.items()}
        outputs = {name: value if HEADS[name] > 1 else value.squeeze(-1) for name, value in outputs.items()}
        return {**outputs, "safety": outputs["safety"] + self._words_of(ids)}

    def _words_of(self, ids: Sequence[tuple[list[int], list[int]]]) -> Tensor:
        """Sum over the different words of each reply, by the root of their number; shape (n,)."""
        replies = [sorted({i for i, kind in zip(*row, strict=True) if kind}) for row in ids]
        sums = [self.words(torch.tensor(reply)).sum() / len(reply) ** 0.5 for reply in replies]
        return torch.stack(sums)

    def _read(self, ids: Sequence[tuple[list[int], list[int]]]) -> Tensor:
        """Token ids and segments of a few pairs to their pooled states, shape (n, WIDTH)."""
        longest = max(len(tokens) for tokens, _ in ids)
        padding = self.tokenizer.pad_token_id
        tokens = torch.tensor([row + [padding] * (longest - len(row)) for row, _ in ids])
        second = torch.tensor([kind + [0] * (longest - len(kind)) for _, kind in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row, _ in ids])
        states = self.encoder(input_ids=tokens, token_type_ids=second, attention_mask=mask).last_hidden_state.float()
        parts = [states[:, 0], _mean(states, mask * (1 - second)), _mean(states, second)]
        pooled: Tensor = self.pooled(torch.cat(parts, dim=-1))
        return pooled


class Networks:
    """The judge's two networks as one: the heads of the second network's axes are called ``preferred_...``."""

    def __init__(self, grades: JudgeModel, preferences: JudgeModel):
        self._grades, self._preferences = grades, preferences

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        """By head, as ``JudgeModel.forward``."""
        preferences = self._preferences(pairs)
        return {**self._grades(pairs), **{f"preferred_{axis}": preferences[axis] for axis in AXES}}


def _mean(states: Tensor, where: Tensor) -> Tensor:
    """Mean over the tokens where it is 1; shape (n, WIDTH)."""
    weights = where.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def _encoder(folder: str, attention: str) -> nn.Module:
    """The encoder. Eager attention is the faster in bfloat16, in which training runs, the fused one in float32."""
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # it reports the pooling layer that is left out on purpose
    logging.disable_progress_bar()
    # No dropout inside: drawing its masks took a third of the training time on a processor. The heads have theirs.
    encoder: nn.Module = AutoModel.from_pretrained(
        folder,
        add_pooling_layer=False,
        attn_implementation=attention,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return encoder


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)
