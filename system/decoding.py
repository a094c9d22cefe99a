"""Batched greedy decoding for decoder-only transformers, tuned for a processor without an accelerator.

``transformers.generate`` spends most of a batched step on copying: it appends to the key-value cache by
concatenation and repeats the key heads for grouped-query attention. Here the model's own ``forward`` runs
unchanged, but with

* a preallocated cache whose keys are stored transposed, so that a step writes one column and reads all in place,
* an attention function that folds the query heads of one key head into the query length (nothing is repeated),
* rows that are refilled as soon as they finish, so that the matrix products stay wide to the end.

Every live row ends at the same column ``clock``; a row of length n occupies columns [clock - n, clock), the rest
is masked. When the columns are used up, the cache is laid out anew for the longest row that is still alive.
Knows tensors and token ids; must not know prompts, variants or text. Benchmark: ``python -m system.benchmark``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, PreTrainedModel

ATTENTION = "grouped_in_place"
PREFILL_TOKENS = 2048  # activations of one prefill pass stay inside the L3 cache
GROWTH = 64  # columns added at a time: few copies of the cache, few masked columns to read over


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Softmax attention with grouped queries and no copy of the keys.

    Shapes: query (rows, heads, queries, width); key, value (rows, key_heads, columns, width); mask additive,
    (rows, 1, queries, columns). Returns (rows, queries, heads, width), as ``AttentionInterface`` expects.
    """
    rows, heads, queries, width = query.shape
    key_heads, columns = key.shape[1], key.shape[2]
    scale = width**-0.5 if scaling is None else scaling
    folded = (query * scale).reshape(rows, key_heads, heads // key_heads * queries, width)
    scores = folded @ key.transpose(-1, -2)
    if attention_mask is not None:
        scores.view(rows, heads, queries, columns).add_(attention_mask)
    mixed = torch.softmax(scores, dim=-1) @ value
    return mixed.view(rows, heads, queries, width).transpose(1, 2), None


AttentionInterface.register(ATTENTION, grouped_attention)


class ColumnCache:
    """Keys and values of all layers in preallocated columns.

    Implements the two methods that a decoder layer calls on ``past_key_values``. A step reads whole rows, masked
    columns included: a window of the columns would not be contiguous, and the batched product would copy it.
    """

    def __init__(self, layers: int, rows: int, key_heads: int, width: int, columns: int, dtype: torch.dtype):
        self.columns = columns
        # Zeros, not empty: masked columns are multiplied by a weight of 0, and 0 * NaN would be NaN.
        self._keys = [torch.zeros(rows, key_heads, width, columns, dtype=dtype) for _ in range(layers)]
        self._values = [torch.zeros(rows, key_heads, columns, width, dtype=dtype) for _ in range(layers)]
        self._rows = slice(0, rows)
        self._stop = 0
        self._prefill = False

    def aim(self, rows: slice, stop: int, prefill: bool = False) -> None:
        """Let the next forward pass write to ``rows``, its last token to column ``stop - 1``."""
        self._rows, self._stop, self._prefill = rows, stop, prefill

    def update(
        self, key: torch.Tensor, value: torch.Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store (rows, key_heads, new, width); return the keys and values to attend to."""
        new = key.shape[2]
        keys, values = self._keys[layer][self._rows], self._values[layer][self._rows]
        keys[..., self._stop - new : self._stop] = key.transpose(-1, -2)
        values[..., self._stop - new : self._stop, :] = value
        if self._prefill:  # it attends to nothing but itself, and may be one token long
            return key, value
        return keys.transpose(-1, -2), values

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Number of columns before the one being written, as transformers asks for it."""
        return max(self._stop - 1, 0)

    def relayout(self, rows: int, first: int, columns: int) -> None:
        """Drop the columns before ``first`` and the rows from ``rows`` on, and make room for ``columns`` in all."""
        kept = self.columns - first
        for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
            # Layer by layer, so that the old and the new cache never exist side by side.
            self._keys[layer] = keys.new_zeros(rows, *keys.shape[1:3], columns)
            self._keys[layer][..., :kept] = keys[:rows, ..., first:]
            self._values[layer] = values.new_zeros(rows, values.shape[1], columns, values.shape[3])
            self._values[layer][..., :kept, :] = values[:rows, :, first:]
        self.columns = columns

    def move(self, source: int, target: int) -> None:
        """Copy one row over another."""
        for layer in (*self._keys, *self._values):
            layer[target] = layer[source]


@dataclass(frozen=True, slots=True)
class Finished:
    """One decoded sequence: position in the caller's list, new token ids without the end token, and why it ended."""

    index: int
    tokens: tuple[int, ...]
    stopped: bool  # True: the model ended its turn; False: the token limit was reached


@dataclass(slots=True)
class _Row:
    index: int
    prompt: int  # length of the prompt in tokens
    tokens: list[int]

    @property
    def length(self) -> int:
        """Columns in use: the last new token is not in the cache before the next step has read it."""
        return self.prompt + len(self.tokens) - 1


class BatchDecoder:
    """Greedy decoding of many prompts with one model; see the module's text for how.

    The repetition penalty (Keskar et al. 2019, arXiv 1909.05858) is applied to the tokens generated so far, not
    to the prompt: penalising the prompt would forbid what retrieval is for, repeating the passage's facts.
    """

    def __init__(self, model: PreTrainedModel, end_tokens: Iterable[int], rows: int = 64):
        self._model = model
        self._end = frozenset(end_tokens)
        self._rows = rows
        self._dtype = next(model.parameters()).dtype
        config = model.config
        heads = config.num_attention_heads
        self._layers = config.num_hidden_layers
        self._key_heads = getattr(config, "num_key_value_heads", None) or heads
        self._width = getattr(config, "head_dim", None) or config.hidden_size // heads
        model.set_attn_implementation(ATTENTION)

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        repetition_penalty: float = 1.0,
        on_token: Callable[[int, int], None] | None = None,
    ) -> Iterator[Finished]:
        """Decode every prompt; yield each sequence as soon as it ends, in no particular order.

        ``on_token(index, token)`` is called for each new token. Longest prompts go first, so that neighbours
        in a prefill pass have like lengths and the window narrows as the work proceeds. Raises ValueError, before
        anything is decoded, for a prompt without tokens: no position would hold the first new token's logits.
        """
        if empty := [i for i, prompt in enumerate(prompts) if not len(prompt)]:
            raise ValueError(f"prompts without tokens at {empty}; a decoder needs at least one token to continue")
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; ask for at least 1")
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        if not order:
            return
        clock = len(prompts[order[0]])
        capacity = min(self._rows, len(order))
        cache = ColumnCache(self._layers, capacity, self._key_heads, self._width, clock + GROWTH, self._dtype)
        live: list[_Row] = []  # row n of the cache belongs to live[n]
        waiting = order[::-1]  # popped from the end
        refill = max(1, capacity // 8)  # a prefill of one row costs about as much as a step of all rows
        while live or waiting:
            if waiting and capacity - len(live) >= min(refill, len(waiting)):
                admitted = [waiting.pop() for _ in range(min(capacity - len(live), len(waiting)))]
                fresh = self._prefill(cache, clock, len(live), [(i, prompts[i]) for i in admitted])
                live += fresh
            else:
                if clock == cache.columns:
                    longest = max(row.length for row in live)  # waiting prompts are shorter still
                    capacity = min(capacity, len(live) + len(waiting))
                    cache.relayout(capacity, clock - longest, longest + GROWTH)
                    clock = longest
                clock += 1
                self._step(cache, clock, live, repetition_penalty)
                fresh = live
            if on_token:
                for row in fresh:
                    on_token(row.index, row.tokens[-1])
            for n in range(len(live) - 1, -1, -1):
                row = live[n]
                stopped = row.tokens[-1] in self._end
                if stopped or len(row.tokens) >= max_new_tokens:
                    last = live.pop()
                    if last is not row:
                        cache.move(len(live), n)
                        live[n] = last
                    yield Finished(row.index, tuple(row.tokens[:-1] if stopped else row.tokens), stopped)

    def _prefill(
        self, cache: ColumnCache, clock: int, first_row: int, admitted: Sequence[tuple[int, Sequence[int]]]
    ) -> list[_Row]:
        """Read the admitted prompts into rows from ``first_row`` on, in passes of about PREFILL_TOKENS tokens."""
        rows: list[_Row] = []
        while len(rows) < len(admitted):
            size = max(1, PREFILL_TOKENS // len(admitted[len(rows)][1]))
            part = admitted[len(rows) : len(rows) + size]
            width = len(part[0][1])  # longest first
            pads = torch.tensor([width - len(tokens) for _, tokens in part])
            ids = torch.tensor([[0] * (width - len(tokens)) + list(tokens) for _, tokens in part])
            begin = first_row + len(rows)
            cache.aim(slice(begin, begin + len(part)), clock, prefill=True)
            columns = torch.arange(width)
            visible = (columns[None, None, :] >= pads[:, None, None]) & (columns[None, :] <= columns[:, None])
            # A padding position sees only itself: an all-masked row of the softmax would be NaN.
            visible |= torch.eye(width, dtype=torch.bool)
            positions = (columns - pads[:, None]).clamp(min=0)
            logits = self._forward(ids, positions, visible[:, None], cache)
            for (index, tokens), token in zip(part, logits.argmax(-1).tolist(), strict=True):
                rows.append(_Row(index, len(tokens), [token]))
        return rows

    def _step(self, cache: ColumnCache, clock: int, live: list[_Row], penalty: float) -> None:
        """Append one token to every live row; its last token is written to column ``clock - 1``."""
        lengths = torch.tensor([row.length + 1 for row in live])  # once this step has written
        cache.aim(slice(0, len(live)), clock)
        ids = torch.tensor([[row.tokens[-1]] for row in live])
        columns = torch.arange(cache.columns)
        visible = (columns >= (clock - lengths)[:, None]) & (columns < clock)
        logits = self._forward(ids, lengths[:, None] - 1, visible[:, None, None], cache)
        if penalty != 1.0:
            widest = max(len(row.tokens) for row in live)
            # Shorter rows repeat their first token: scattering the same value twice changes nothing.
            used = torch.tensor([row.tokens + row.tokens[:1] * (widest - len(row.tokens)) for row in live])
            scores = logits.gather(1, used)
            logits.scatter_(1, used, torch.where(scores > 0, scores / penalty, scores * penalty))
        for row, token in zip(live, logits.argmax(-1).tolist(), strict=True):
            row.tokens.append(token)

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor, cache: ColumnCache
    ) -> torch.Tensor:
        """One pass through the model; returns the last position's logits, (rows, vocabulary), float32."""
        mask = torch.zeros(visible.shape, dtype=self._dtype).masked_fill_(~visible, float("-inf"))
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits
