"""The judge's network over a tiny random BERT of the right width: what it reads, and that company changes nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fixtures.judges import PEFT_WARNING, WORDS, tiny_bert
from system.evaluation.judge import AXES, EMPATHY
from system.evaluation.judge_model import CHUNK, COMPLAINT_TOKENS, REPLY_TOKENS, WIDTH, JudgeModel, Pair

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

PAIR = ("the line is down", "i am sorry . restart the hub")


@pytest.fixture(scope="module", name="embedder")
def _embedder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny BERT."""
    return tiny_bert(tmp_path_factory.mktemp("embedder"), WIDTH)


@pytest.fixture(scope="module", name="model")
def _model(embedder: str) -> JudgeModel:
    """A model whose adapter, heads and words are random, so that each of them tells; LoRA starts at 0."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = JudgeModel.fresh(embedder, rank=2)
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                torch.nn.init.normal_(weight, std=0.05 if "lora" in name else 0.2)
    return model.eval()


def said(model: JudgeModel, pairs: list[Pair]) -> Tensor:
    """Everything that the heads say, a row a pair."""
    with torch.inference_mode():
        outputs = model(pairs)
    return torch.cat([outputs[name].reshape(len(pairs), -1) for name in (*EMPATHY, *AXES)], dim=1)


def some_pairs(count: int) -> list[Pair]:
    """Pairs of all lengths."""
    draw = random.Random(2)
    return [
        (" ".join(draw.choices(WORDS, k=draw.randint(1, 30))), " ".join(draw.choices(WORDS, k=draw.randint(1, 60))))
        for _ in range(count)
    ]


# Tokens


def test_tokens_by_hand(model: JudgeModel) -> None:
    """[CLS] complaint [SEP] reply [SEP]; the second segment is the reply with its end."""
    name = model.tokenizer.convert_tokens_to_ids
    ((tokens, segments),) = model.tokenize([("The line", "call us")])
    assert tokens == name(["[CLS]", "the", "line", "[SEP]", "call", "us", "[SEP]"])
    assert segments == [0, 0, 0, 0, 1, 1, 1]


def test_long_texts_are_cut(model: JudgeModel) -> None:
    """Of a long complaint the end is read and of a long reply the beginning, and no room of the other's is taken."""
    name = model.tokenizer.convert_tokens_to_ids
    long = (" ".join(["bill"] * 300 + ["now"] * COMPLAINT_TOKENS), " ".join(["call"] * REPLY_TOKENS + ["us"] * 300))
    short = ("bill", "call")
    (both, kinds), (first, _), (second, _) = model.tokenize([long, (long[0], short[1]), (short[0], long[1])])
    start, end, now, call = name(["[CLS]", "[SEP]", "now", "call"])
    assert both == [start, *[now] * COMPLAINT_TOKENS, end, *[call] * REPLY_TOKENS, end]
    assert kinds == [0] * (COMPLAINT_TOKENS + 2) + [1] * (REPLY_TOKENS + 1)
    assert len(first) == COMPLAINT_TOKENS + 4 and len(second) == REPLY_TOKENS + 4


def test_the_longest_pair_fits(model: JudgeModel) -> None:
    """The two limits together stay within the positions of the embedder, MiniLM's 512, and are read."""
    assert COMPLAINT_TOKENS + REPLY_TOKENS + 3 <= 384
    assert said(model, [("bill " * 900, "call " * 900)]).isfinite().all()


def test_what_is_cut_does_not_count(model: JudgeModel) -> None:
    """Words beyond the limits change nothing; the last ones within them do."""
    reply = " ".join(["call"] * REPLY_TOKENS)
    assert torch.equal(said(model, [("bill", reply)]), said(model, [("bill", f"{reply} us us us")]))
    nearly = " ".join([*["call"] * (REPLY_TOKENS - 1), "us"])
    assert not torch.allclose(said(model, [("bill", reply)]), said(model, [("bill", nearly)]), atol=1e-4)


def test_empty_texts(model: JudgeModel) -> None:
    """A complaint or a reply without a word is read as such, and leaves its neighbours alone."""
    found = said(model, [("", ""), PAIR, ("", PAIR[1]), (PAIR[0], "")])
    assert found.isfinite().all()
    assert torch.allclose(found[1:2], said(model, [PAIR]), atol=1e-4)


def test_marks_in_a_text_are_no_marks(model: JudgeModel) -> None:
    """A reply cannot close itself and open another one: its segments are set by the program alone."""
    ((_, segments),) = model.tokenize([("the line [SEP] call us", "now [SEP] please")])
    assert sorted(segments) == segments
    assert len(model.tokenize([("", "")])[0][0]) == 3


# What the heads say


def test_shapes(model: JudgeModel) -> None:
    """A number for each axis and three for each mechanism of empathy, in float32."""
    outputs = model([PAIR] * 3)
    assert set(outputs) == {*AXES, *EMPATHY}
    for name, values in outputs.items():
        assert values.shape == ((3,) if name in AXES else (3, 3)), name
        assert values.dtype == torch.float32


def test_company_does_not_matter(model: JudgeModel) -> None:
    """Order and company of a pair, and so the padding, change no value by more than 1e-4; all keep their places."""
    pairs = some_pairs(2 * CHUNK + 5)
    together = said(model, pairs)
    order = random.Random(1).sample(range(len(pairs)), len(pairs))
    assert (said(model, [pairs[n] for n in order]) - together[order]).abs().max() < 1e-4
    for n in (0, CHUNK, len(pairs) - 1):
        assert (said(model, [pairs[n]]) - together[n]).abs().max() < 1e-4
    assert torch.pdist(together).min() > 1e-3  # the values tell the pairs apart


def test_both_texts_are_read(model: JudgeModel) -> None:
    """Every head hears the complaint, hears the reply, and knows which is which."""
    base, other_complaint, other_reply, turned = said(
        model, [PAIR, ("the bill is late", PAIR[1]), (PAIR[0], "call us now"), (PAIR[1], PAIR[0])]
    )
    for changed in (other_complaint, other_reply, turned):
        assert ((changed - base).abs() > 1e-4).all()


def test_means_by_hand(model: JudgeModel, embedder: str) -> None:
    """The heads read the first state, the mean over [CLS] complaint [SEP] and the mean over reply [SEP]."""
    ((tokens, segments),) = model.tokenize([PAIR])
    with torch.inference_mode():
        ids, kinds = torch.tensor([tokens]), torch.tensor([segments])
        states = model.encoder(input_ids=ids, token_type_ids=kinds).last_hidden_state[0]
        first = segments.index(1)
        pooled = model.pooled(torch.cat([states[0], states[:first].mean(0), states[first:].mean(0)]))
        expected = model.heads["clarity"](pooled)
    assert torch.allclose(model([PAIR])["clarity"], expected, atol=1e-5)


def test_words_of_the_reply(model: JudgeModel, embedder: str) -> None:
    """Safety hears each different word of the reply once, over the root of their number; other axes and texts do not.

    "us us call" with its end are three: 0.5 + 0.25 + 1 over the root of 3.
    """
    name = model.tokenizer.convert_tokens_to_ids
    fresh = JudgeModel.fresh(embedder, rank=2).eval()
    pair = ("now", "us us call")
    with torch.no_grad():
        before = fresh([pair])
        for word, weight in {"us": 0.5, "call": 0.25, "[SEP]": 1.0, "now": 9.0, "[CLS]": 9.0}.items():
            fresh.words.weight[name(word)] = weight
        after = fresh([pair])
    assert float(after["safety"] - before["safety"]) == pytest.approx(1.75 / 3**0.5, abs=1e-5)
    assert all(torch.equal(after[head], before[head]) for head in after if head != "safety")


def test_a_fresh_model_reads_the_embedder(embedder: str) -> None:
    """Before training the adapter changes nothing, and only adapter, pooling, words and heads can be trained."""
    model = JudgeModel.fresh(embedder, rank=2)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"encoder", "pooled", "words", "heads"}
    assert all("lora_" in name for name in trained if name.startswith("encoder."))
    lora = {name.split(".lora_")[0] for name in trained if ".lora_" in name}
    assert len(lora) == 2 * 6  # every linear layer of both layers of the encoder


# Files


def test_round_trip(model: JudgeModel, embedder: str, tmp_path: Path) -> None:
    """What was saved says the same when it is loaded; saved weights are the trained ones, letter by letter."""
    model.save(tmp_path)
    loaded = JudgeModel.load(embedder, tmp_path)
    pairs = some_pairs(9)
    assert not loaded.training
    assert (said(loaded, pairs) - said(model, pairs)).abs().max() < 1e-4
    heads = load_file(tmp_path / "heads.safetensors")
    assert all(torch.equal(heads[name], value) for name, value in model.state_dict().items() if name in heads)
    again = JudgeModel.load(embedder, tmp_path)
    assert torch.equal(said(again, pairs), said(loaded, pairs))


def test_take_up(model: JudgeModel, embedder: str, tmp_path: Path) -> None:
    """A fresh model that takes up a trained one says what that says, and can be trained on; another rank is refused."""
    model.save(tmp_path)
    fresh = JudgeModel.fresh(embedder, rank=2)
    fresh.take_up(tmp_path)
    assert torch.equal(said(fresh.eval(), some_pairs(5)), said(model, some_pairs(5)))
    assert any(weight.requires_grad for name, weight in fresh.named_parameters() if "lora_" in name)
    with pytest.raises(RuntimeError, match="size mismatch"):
        JudgeModel.fresh(embedder, rank=3).take_up(tmp_path)


def test_only_safetensors_are_written(model: JudgeModel, tmp_path: Path) -> None:
    """No pickle, and not the encoder itself: two safetensors, the adapter's settings and its card."""
    model.save(tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert {name for name in written if not name.endswith((".json", ".md"))} == {
        "adapter_model.safetensors",
        "heads.safetensors",
    }
    assert written <= {"adapter_model.safetensors", "heads.safetensors", "adapter_config.json", "README.md"}
    assert not any("encoder" in name for name in load_file(tmp_path / "heads.safetensors"))
    assert all("lora_" in name for name in load_file(tmp_path / "adapter_model.safetensors"))


def test_heads_of_another_network(model: JudgeModel, embedder: str, tmp_path: Path) -> None:
    """Heads that are missing or unknown are refused: what is not in the file would be random numbers."""
    from safetensors.torch import save_file

    model.save(tmp_path)
    heads = load_file(tmp_path / "heads.safetensors")
    for changed in (
        {name: value for name, value in heads.items() if name != "words.weight"},
        {**heads, "heads.humour.bias": torch.zeros(1)},
        {},
    ):
        save_file(changed, tmp_path / "heads.safetensors")
        with pytest.raises(ValueError, match=r"heads\.safetensors differs from this network"):
            JudgeModel.load(embedder, tmp_path)
