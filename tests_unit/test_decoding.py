"""The batched decoder against transformers' own one-at-a-time decoding, on tiny random models of each architecture."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PhiConfig, PreTrainedModel

from system.decoding import GROWTH, PREFILL_TOKENS, BatchDecoder, Finished

VOCABULARY = 96
LONG = 2 * GROWTH + 22  # the cache is laid out anew at least twice
LENGTHS = [1, 60, 7, 33, 2, 19]
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,  # far above the usual 0.02, at which a random model repeats one token for ever
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES, num_key_value_heads=2),
    "llama-one-key-head": lambda: LlamaConfig(**SIZES, num_key_value_heads=1),
    "llama-wide-heads": lambda: LlamaConfig(**SIZES, num_key_value_heads=2, head_dim=16),
    "mistral": lambda: MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None),
    "phi": lambda: PhiConfig(**SIZES),
    "phi-negative": lambda: PhiConfig(**SIZES),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Matrices this small are multiplied faster by one thread than by several."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def texts(lengths: Sequence[int], seed: int = 1) -> list[list[int]]:
    """One prompt of random tokens for each length."""
    rng = random.Random(seed)
    return [[rng.randrange(VOCABULARY) for _ in range(length)] for length in lengths]


@dataclass
class Tiny:
    """A tiny random model twice: one copy for the decoder, one that keeps transformers' own attention."""

    model: PreTrainedModel
    original: PreTrainedModel

    def reference(self, prompt: list[int], max_new_tokens: int, end: int | None = None) -> list[int]:
        """The tokens that transformers' ``generate`` appends to one prompt, the end token included."""
        ids = torch.tensor([prompt])
        output = self.original.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=0,
        )
        return [int(token) for token in output[0, len(prompt) :]]


@cache
def tiny(name: str) -> Tiny:
    """The tiny model of an architecture, made once."""
    config = CONFIGS[name]()
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    if name == "phi-negative":
        torch.nn.init.constant_(model.lm_head.bias, -100)  # no score is above zero
    return Tiny(model, copy.deepcopy(model))


@cache
def long_references(name: str) -> list[list[int]]:
    """What transformers makes of the standard prompts; greedy, so a lower limit gives a prefix of it."""
    return [tiny(name).reference(prompt, LONG) for prompt in texts(LENGTHS)]


def decode(name: str, prompts: Sequence[Sequence[int]], limit: int, rows: int = 64, end: Sequence[int] = ()) -> list:
    """The decoder's results in the order of the prompts."""
    found = list(BatchDecoder(tiny(name).model, end, rows).decode(prompts, limit))
    assert sorted(done.index for done in found) == list(range(len(prompts)))
    return sorted(found, key=lambda done: done.index)


def expected(index: int, reference: list[int], limit: int, end: Sequence[int]) -> Finished:
    """The reference cut at the first end token or at the limit, whichever comes first."""
    for n, token in enumerate(reference[:limit]):
        if token in end:
            return Finished(index, tuple(reference[:n]), True)
    return Finished(index, tuple(reference[:limit]), False)


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("name", ["llama", "mistral", "phi"])
def test_batched_equals_one_at_a_time(name: str, rows: int) -> None:
    """Whatever the number of rows, each sequence is token for token what transformers makes of it alone."""
    found = decode(name, texts(LENGTHS), LONG, rows)
    assert found == [expected(i, tokens, LONG, ()) for i, tokens in enumerate(long_references(name))]


@pytest.mark.parametrize("name", ["llama-one-key-head", "llama-wide-heads"])
def test_layouts_of_heads(name: str) -> None:
    """One key head for all queries, and heads that do not divide the hidden size, are attended to as well."""
    for done in decode(name, texts(LENGTHS), 20, 3):
        assert list(done.tokens) == tiny(name).reference(texts(LENGTHS)[done.index], 20)


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("name", ["llama", "mistral", "phi"])
def test_rows_that_stop_at_different_steps(name: str, rows: int) -> None:
    """An end token stops its own row only; the end token is left out and the refilled rows stay right."""
    references = long_references(name)
    # Two tokens that the model really produces: one early in some sequences, one late in others.
    end = (references[3][9], references[1][GROWTH + 20])
    want = [expected(i, tokens, LONG, end) for i, tokens in enumerate(references)]
    assert len({len(done.tokens) for done in want}) >= 4, "the end tokens must stop rows at different steps"
    assert decode(name, texts(LENGTHS), LONG, rows, end) == want


@pytest.mark.parametrize("name", ["llama", "phi"])
def test_end_token_as_transformers_applies_it(name: str) -> None:
    """Stopping is transformers' stopping: its output is ours plus the end token."""
    prompts, end = texts(LENGTHS), long_references(name)[0][5]
    for done in decode(name, prompts, 40, 3, [end]):
        reference = tiny(name).reference(prompts[done.index], 40, end)
        assert [*done.tokens, *[end] * done.stopped] == reference


def test_end_as_the_very_first_token() -> None:
    """A sequence that ends at once is empty and stopped, and takes no other with it."""
    references = long_references("llama")
    end = [references[0][0]]
    found = decode("llama", texts(LENGTHS), 30, 3, end)
    assert found[0] == Finished(0, (), True)
    assert found == [expected(i, tokens, 30, end) for i, tokens in enumerate(references)]


@pytest.mark.parametrize("limit", [1, 2, GROWTH, GROWTH + 1])
def test_token_limit(limit: int) -> None:
    """The limit is exact, also where the last token just fills the cache or just overflows it."""
    found = decode("llama", texts(LENGTHS), limit, 3)
    assert found == [expected(i, tokens, limit, ()) for i, tokens in enumerate(long_references("llama"))]


def test_end_token_at_the_limit_counts_as_stopped() -> None:
    """A model that ends its turn with the last token it may write has ended its turn."""
    reference = long_references("llama")[1]
    limit = reference.index(reference[12]) + 1
    done = decode("llama", texts(LENGTHS)[1:2], limit, 1, [reference[12]])[0]
    assert done == Finished(0, tuple(reference[: limit - 1]), True)


def test_many_prompts_in_several_prefill_passes() -> None:
    """Prompts that do not fit into one prefill pass, and more prompts than rows, all come out right."""
    prompts = texts([50 + n % 11 for n in range(45)] + [3] * 30, seed=8)
    assert sum(map(len, prompts[:45])) > PREFILL_TOKENS
    end = [long_references("llama")[2][4]]
    for done in decode("llama", prompts, 12, 48, end):
        reference = tiny("llama").reference(prompts[done.index], 12)
        assert done == expected(done.index, reference, 12, end)


@pytest.mark.parametrize("name", ["llama", "phi", "phi-negative"])
@pytest.mark.parametrize("penalty", [1.0, 1.03, 1.3, 8.0, 0.7])
def test_repetition_penalty_by_a_plain_loop(name: str, penalty: float) -> None:
    """Scores of tokens generated so far are divided by the penalty if positive, else multiplied; the prompt's not."""
    prompts, original = texts([4, 21, 1, 9]), tiny(name).original
    found = BatchDecoder(tiny(name).model, [], 3).decode(prompts, 14, repetition_penalty=penalty)
    for done in found:
        tokens: list[int] = []
        for _ in range(14):
            with torch.inference_mode():
                scores = original(torch.tensor([prompts[done.index] + tokens])).logits[0, -1].tolist()
            for token in set(tokens):
                scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
            tokens.append(scores.index(max(scores)))
        assert list(done.tokens) == tokens


def test_a_strong_penalty_forbids_repetition() -> None:
    """Under a very strong penalty no token comes twice, although the prompt is full of them."""
    for done in BatchDecoder(tiny("llama").model, [], 2).decode([[5] * 30, list(range(40)), [7]], 20, 1e6):
        assert len(set(done.tokens)) == 20


@pytest.mark.parametrize("rows", [1, 3, 64])
def test_on_token_gets_each_sequence_in_order(rows: int) -> None:
    """The callback receives every new token once and in order, the end token included."""
    end = [long_references("llama")[3][9]]
    heard: defaultdict[int, list[int]] = defaultdict(list)
    decoder = BatchDecoder(tiny("llama").model, end, rows)
    found = list(decoder.decode(texts(LENGTHS), 40, on_token=lambda index, token: heard[index].append(token)))
    assert len(found) == len(LENGTHS)
    assert {done.stopped for done in found} == {True, False}
    assert dict(heard) == {done.index: [*done.tokens, *end * done.stopped] for done in found}


def test_sequences_are_handed_over_as_they_end() -> None:
    """A sequence that has ended is yielded before the others go on."""
    references = long_references("llama")
    end = [references[3][9]]
    heard: list[int] = []
    decoder = BatchDecoder(tiny("llama").model, end, 64)
    first = next(decoder.decode(texts(LENGTHS), LONG, on_token=lambda index, _: heard.append(index)))
    shortest = min(len(expected(i, tokens, LONG, end).tokens) for i, tokens in enumerate(references))
    assert len(first.tokens) == shortest
    assert max(heard.count(index) for index in range(len(LENGTHS))) == shortest + 1


def test_no_prompts() -> None:
    """Nothing asked, nothing answered."""
    assert list(BatchDecoder(tiny("llama").model, [], 4).decode([], 10)) == []


@pytest.mark.parametrize(
    ("prompts", "named"), [([[]], r"\[0\]"), ([[1, 2], [], [3], []], r"\[1, 3\]"), ([[4], []], r"\[1\]")]
)
def test_prompts_without_tokens_are_refused(prompts: list[list[int]], named: str) -> None:
    """A prompt of zero tokens is an error that names every such prompt, before anything is decoded."""
    heard: list[int] = []
    with pytest.raises(ValueError, match=f"prompts without tokens at {named};"):
        list(BatchDecoder(tiny("llama").model, [], 4).decode(prompts, 5, on_token=lambda i, _: heard.append(i)))
    assert heard == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    """A limit that no sequence can keep is an error, not one token too many."""
    with pytest.raises(ValueError, match=f"max_new_tokens is {limit};"):
        list(BatchDecoder(tiny("llama").model, [], 4).decode([[1]], limit))


@pytest.mark.parametrize("name", ["llama", "phi"])
def test_order_of_prompts_does_not_matter(name: str) -> None:
    """The same prompts in another order give the same sequences."""
    prompts = texts(LENGTHS)
    straight = decode(name, prompts, 30, 3)
    order = random.Random(5).sample(range(len(prompts)), len(prompts))
    shuffled = decode(name, [prompts[i] for i in order], 30, 3)
    assert [done.tokens for done in shuffled] == [straight[i].tokens for i in order]


def test_one_decoder_serves_many_calls() -> None:
    """A decoder keeps nothing from one call to the next, not even from one that was given up half-way."""
    decoder = BatchDecoder(tiny("llama").model, [], 3)
    want = sorted(decoder.decode(texts(LENGTHS), 20), key=lambda done: done.index)
    next(decoder.decode(texts([9, 40, 2], seed=6), 50))
    assert sorted(decoder.decode(texts(LENGTHS), 20), key=lambda done: done.index) == want


@settings(derandomize=True, database=None, deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=9),
    st.integers(1, 5),
    st.integers(1, GROWTH + 6),
    st.integers(0, VOCABULARY - 1),
    st.sampled_from(["llama", "mistral", "phi"]),
)
def test_any_mix_of_lengths(lengths: list[int], rows: int, limit: int, end: int, name: str) -> None:
    """For any lengths, rows, limit and end token, batching changes no token."""
    prompts = texts(lengths, seed=sum(lengths))
    for done in decode(name, prompts, limit, rows, [end]):
        assert done == expected(done.index, tiny(name).reference(prompts[done.index], limit, end), limit, [end])
