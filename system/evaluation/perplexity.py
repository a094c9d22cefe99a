"""How surprised a named language model is by an answer: perplexity per token.

    perplexity_scorer("smollm2-135m")                 -> Scorer of perplexity, nll and tokens
    likelihood_scorer("smollm2-135m")                 -> Scorer of reference_log_likelihood
    corpus_perplexity([(nll, tokens), ...])           -> perplexity of all answers together

perplexity = exp(nll / tokens), nll = -sum of ln p(token | model's start token, tokens before it) in nats, over the
tokens of the answer alone: neither the prompt nor the end of the turn is scored (Jelinek et al. 1977). From 1, where
the model foresaw every token, upwards; noise is about the size of the vocabulary. Values compare only under one model.
Low is not good: a loop of one sentence is foreseen well, and a model likes its own greedy answers best.

reference_log_likelihood = -nll / tokens of the complaint's reference, after the very prompt that the variant answered,
under the variant's own model and adapter: how near the variant is to the answer that it should have given. At most 0;
exp of its negative is the perplexity of the reference. Higher is better. Prompts that hold the answer make it likelier.

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

from system.errors import ModelError
from system.evaluation.scorers import Grade, Inputs, Scorer
from system.generation import TransformersGenerator, compute_dtype
from system.models import DEFAULT_MODEL, ModelSource, adapter_folder, adapter_hash, file_sha256, resolve_model
from system.records import Complaint, Response

METRICS = ("perplexity", "nll", "tokens")
REFERENCE_METRICS = ("reference_log_likelihood",)
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
    weights = f"adapter {adapter} {adapter_hash(adapter)}" if adapter else "no adapter"
    libraries = "; ".join(f"{name} {version(name)}" for name in ("transformers", "torch"))
    signature = (
        f"perplexity; {libraries}; model and tokenizer {source.name} {source.sha256}; {weights}; {number}; "
        f"{Path(__file__).name} {file_sha256(Path(__file__))[:16]}"
    )
    return Scorer(METRICS, signature, _inputs, lambda texts: _compute(source, adapter, number, texts))


def likelihood_scorer(base_model: str = DEFAULT_MODEL) -> Scorer:
    """The ruler of a complaint's reference under the variant that answered it. Raises ModelError for a server."""
    ruler = perplexity_scorer(base_model)
    source, number = resolve_model(base_model), str(compute_dtype()).removeprefix("torch.")
    return Scorer(
        REFERENCE_METRICS, f"reference {ruler.signature}", _reference, lambda cases: _likelihoods(source, number, cases)
    )


def corpus_perplexity(cases: Iterable[tuple[float, float]]) -> float:
    """exp(total nll / total tokens) of (nll, tokens) by case: every token weighs the same, not every answer."""
    nll, tokens = (sum(column) for column in zip(*cases, strict=True))
    return math.exp(nll / tokens)


def _inputs(response: Response, complaint: Complaint, official: str) -> Inputs:
    return (response.text,)


def _reference(response: Response, complaint: Complaint, official: str) -> Inputs | None:
    if response.prompt is None or not complaint.reference:
        return None
    identity = response.identity
    return (identity.adapter or "", identity.adapter_hash or "", response.prompt.text, complaint.reference)


def _likelihoods(source: ModelSource, dtype: str, cases: Sequence[Inputs]) -> list[Grade]:
    """The grades of references, adapter by adapter; an adapter that has changed since is an error."""
    grades: dict[Inputs, Grade] = {}
    for adapter, sha256 in dict.fromkeys((case[0], case[1]) for case in cases):
        mine = [case for case in cases if case[:2] == (adapter, sha256)]
        if adapter and (not adapter_folder(adapter).is_dir() or adapter_hash(adapter) != sha256):
            changed = Grade(error=f"OtherAdapter: {adapter} is not the one that answered; answer anew")
            grades |= dict.fromkeys(mine, changed)
            continue
        model = _load(source, adapter or None, dtype)
        for case, found in zip(mine, model.measure([c[3] for c in mine], [c[2] for c in mine]), strict=True):
            if isinstance(found, str):
                grades[case] = Grade(error=found)
            else:
                grades[case] = Grade(values={"reference_log_likelihood": -found[0] / found[1]})
    return [grades[case] for case in cases]


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
        self._model, self._tokenizer, self._encode = generator._model, generator.tokenizer, generator.encode
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

    def measure(self, texts: Sequence[str], prompts: Sequence[str] = ()) -> list[tuple[float, int] | str]:
        """(nll in nats, number of tokens) of each text after its prompt, or what is wrong with it.

        Without prompts the start token is all that stands before a text.
        """
        from tqdm import tqdm

        ids = [self._tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        before = [self._encode(prompt) for prompt in prompts] or [self._empty() for _ in texts]
        lengths = [
            len(tokens) + (0 if self._is_encoder_decoder else len(b)) for tokens, b in zip(ids, before, strict=True)
        ]
        found: list[tuple[float, int] | str] = []
        for tokens, length in zip(ids, lengths, strict=True):
            over = length > self._longest
            found.append(f"TooLong: {length} tokens, the model reads {self._longest}" if over else "")
            found[-1] = found[-1] or ("" if tokens else "EmptyText: there is no token to be surprised by")
        order = sorted((n for n in range(len(ids)) if not found[n]), key=lambda n: lengths[n])
        with tqdm(total=len(order), desc="perplexity", file=sys.stderr, disable=len(order) <= LONG) as bar:
            while order:
                size = max(1, BATCH_TOKENS // lengths[order[-1]])
                part, order = order[-size:], order[:-size]  # neighbours in length, so that little is padding
                for n, nll in zip(part, self._batch([ids[n] for n in part], [before[n] for n in part]), strict=True):
                    found[n] = (nll, len(ids[n]))
                bar.update(len(part))
        return found

    def _empty(self) -> list[int]:
        """What stands before a text that has no prompt."""
        if self._is_encoder_decoder:
            return list(self._tokenizer("").input_ids) or [self._start]
        return [self._start]

    def _batch(self, ids: Sequence[Sequence[int]], before: Sequence[Sequence[int]]) -> list[float]:
        import torch

        # Padding stands to the right, where no earlier token sees it; -100 is what the loss leaves out.
        def padded(rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
            width = max(map(len, rows))
            return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])

        with torch.inference_mode():
            if self._is_encoder_decoder:
                targets = padded(ids, -100)
                scored = targets != -100
                context = torch.cat([torch.full((len(ids), 1), self._start), targets[:, :-1].clamp(min=0)], dim=1)
                mask = padded([[1] * len(row) for row in before], 0)
                read = padded(before, 0)
                logits = self._model(input_ids=read, attention_mask=mask, decoder_input_ids=context).logits[scored]
            else:
                rows = [[*prompt, *text] for prompt, text in zip(before, ids, strict=True)]
                targets = padded([[-100] * (len(p) - 1) + list(t) for p, t in zip(before, ids, strict=True)], -100)
                scored = targets != -100
                # Logits are a fifth of the work and most of the memory; of the prompts, which are long, none is needed.
                read = padded(rows, 0)[:, :-1]
                logits = self._model(input_ids=read, use_cache=False, logits_to_keep=scored).logits
            losses = torch.zeros(targets.shape, dtype=torch.float64)
            losses[scored] = torch.nn.functional.cross_entropy(
                logits.float(), targets[scored], reduction="none"
            ).double()
            return [float(nll) for nll in losses.sum(dim=1)]
