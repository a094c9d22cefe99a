"""How surprised a named language model is by an answer: perplexity per token.

    perplexity_scorer("smollm2-135m")                 -> Scorer of perplexity, nll and tokens
    corpus_perplexity([(nll, tokens), ...])           -> perplexity of all answers together

perplexity = exp(nll / tokens), nll = -sum of ln p(token | model's start token, tokens before it) in nats, over the
tokens of the answer alone: neither the prompt nor the end of the turn is scored (Jelinek et al. 1977). From 1, where
the model foresaw every token, upwards; noise is about the size of the vocabulary. Values compare only under one model.
Low is not good: a loop of one sentence is foreseen well, and a model likes its own greedy answers best.

The context is the tokenizer's start token, or its end token where it has none, as between two documents. An
encoder-decoder model (T5) reads an empty text, its end token, and the decoder's start token is the context.
Probabilities are taken in float32 whatever the weights are. bfloat16 weights move an answer's perplexity by 0.4 % on
average and 2.3 % at most from float32's (156 answers of the default model), and take a sixth of the time.
An answer without a token has no perplexity and is an error, as is one longer than the model can read.
Must not know gates or variants. torch is imported when a scorer is made, for the number format is in its signature.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from system.errors import ModelError
from system.evaluation.scorers import Grade, Inputs, Scorer
from system.generation import TransformersGenerator, compute_dtype
from system.models import DEFAULT_MODEL, ModelSource, file_sha256, folder_hash, resolve_model
from system.records import Complaint, Response

METRICS = ("perplexity", "nll", "tokens")
BATCH_TOKENS = 1024  # in one pass: the logits of a vocabulary of 50,000 then take 200 MB in float32
LONG = 200  # texts from which on a progress bar is shown


def perplexity_scorer(base_model: str = DEFAULT_MODEL, adapter: str | None = None, dtype: str | None = None) -> Scorer:
    """The ruler of response.text under a model. ``dtype`` is float32 or bfloat16; None: what the processor is good at.

    Raises ModelError for an unknown model, and for a server, which does not tell the probability of a given text.
    """
    source = resolve_model(base_model)
    if source.is_server:
        raise ModelError(f"base model {source.name!r} is a server and cannot measure perplexity; name a local model")
    number = dtype or str(compute_dtype()).removeprefix("torch.")
    weights = f"adapter {adapter} {folder_hash(Path(adapter))}" if adapter else "no adapter"
    libraries = "; ".join(f"{name} {version(name)}" for name in ("transformers", "torch"))
    signature = (
        f"perplexity; {libraries}; model and tokenizer {source.name} {source.sha256}; {weights}; {number}; "
        f"{Path(__file__).name} {file_sha256(Path(__file__))[:16]}"
    )
    return Scorer(METRICS, signature, _inputs, lambda texts: _compute(source, adapter, number, texts))


def corpus_perplexity(cases: Iterable[tuple[float, float]]) -> float:
    """exp(total nll / total tokens) of (nll, tokens) by case: every token weighs the same, not every answer."""
    nll, tokens = (sum(column) for column in zip(*cases, strict=True))
    return math.exp(nll / tokens)


def _inputs(response: Response, complaint: Complaint, official: str) -> Inputs:
    return (response.text,)


def _compute(source: ModelSource, adapter: str | None, dtype: str, texts: Sequence[Inputs]) -> Iterator[Grade]:
    for found in _load(source, adapter, dtype).measure([text for (text,) in texts]):
        if isinstance(found, str):
            yield Grade(error=found)
        else:
            nll, tokens = found
            yield Grade(values={"perplexity": math.exp(nll / tokens), "nll": nll, "tokens": float(tokens)})


@lru_cache(maxsize=1)
def _load(source: ModelSource, adapter: str | None, dtype: str) -> Surprise:
    import torch

    return Surprise(TransformersGenerator(source, adapter, getattr(torch, dtype)))


class Surprise:
    """Negative log-likelihoods under the model of a generator."""

    def __init__(self, generator: TransformersGenerator):
        self._model, self._tokenizer = generator._model, generator.tokenizer
        config = self._model.config
        self._is_encoder_decoder = bool(config.is_encoder_decoder)
        if self._is_encoder_decoder:
            self._start = config.decoder_start_token_id
        else:
            # The generator's own attention leaves the causal mask to its decoder, which is not used here.
            self._model.set_attn_implementation("eager")
            named = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
            self._start = next((token for token in named if token is not None), None)
        if self._start is None:
            raise ModelError(f"base model {generator.source.name!r} has no token that starts a text; use another")
        self._longest = getattr(config, "max_position_embeddings", None) or math.inf

    def measure(self, texts: Sequence[str]) -> list[tuple[float, int] | str]:
        """(nll in nats, number of tokens) of each text, or what is wrong with it."""
        from tqdm import tqdm

        ids = [self._tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        found: list[tuple[float, int] | str] = []
        for tokens in ids:
            over = len(tokens) + 1 > self._longest
            found.append(f"TooLong: {len(tokens)} tokens, the model reads {self._longest}" if over else "")
            found[-1] = found[-1] or ("" if tokens else "EmptyText: there is no token to be surprised by")
        order = sorted((n for n in range(len(ids)) if not found[n]), key=lambda n: len(ids[n]))
        with tqdm(total=len(order), desc="perplexity", file=sys.stderr, disable=len(order) <= LONG) as bar:
            while order:
                size = max(1, BATCH_TOKENS // (len(ids[order[-1]]) + 1))
                part, order = order[-size:], order[:-size]  # neighbours in length, so that little is padding
                for n, nll in zip(part, self._batch([ids[n] for n in part]), strict=True):
                    found[n] = (nll, len(ids[n]))
                bar.update(len(part))
        return found

    def _batch(self, ids: Sequence[Sequence[int]]) -> list[float]:
        import torch

        width = max(map(len, ids))
        # Padding stands to the right, where no earlier token sees it; -100 is what the loss leaves out.
        targets = torch.tensor([[*tokens, *[-100] * (width - len(tokens))] for tokens in ids])
        context = torch.cat([torch.full((len(ids), 1), self._start), targets[:, :-1].clamp(min=0)], dim=1)
        with torch.inference_mode():
            logits: Any
            if self._is_encoder_decoder:
                empty = torch.tensor([self._tokenizer("").input_ids or [self._start]] * len(ids))
                logits = self._model(input_ids=empty, decoder_input_ids=context).logits
            else:
                logits = self._model(input_ids=context, use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(
                logits.float().transpose(1, 2), targets, ignore_index=-100, reduction="none"
            )
            return [float(nll) for nll in losses.double().sum(dim=1)]
