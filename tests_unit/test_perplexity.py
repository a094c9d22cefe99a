"""Perplexity on tiny random models of four architectures, against transformers' own loss, one text at a time."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_generation import make_adapter
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast

from fixtures.fakes import make_response
from fixtures.tiny_models import NAMES, make_model
from system.cache import MemoryCache
from system.errors import ModelError
from system.evaluation.perplexity import BATCH_TOKENS, corpus_perplexity, likelihood_scorer, perplexity_scorer
from system.evaluation.scorers import score_many
from system.generation import compute_dtype
from system.models import folder_hash
from system.records import Complaint, Identity, Prompt, Score

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")

TEXTS = [
    "My bill is too high.",
    "slow",
    "The internet is slow, the bill is high and nobody tells me why!",
    "signal " * 60,
]


@pytest.fixture(scope="module", name="folders")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One tiny model of each architecture."""
    folders = {name: tmp_path_factory.mktemp(name) / "model" for name in NAMES}
    for name, folder in folders.items():
        make_model(name, folder)
    return folders


def by_loss(name: str, folder: Path, text: str) -> tuple[float, int]:
    """Perplexity from the loss that transformers computes for training, and the number of tokens."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    with torch.inference_mode():
        if name == "t5":
            model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
            empty = torch.tensor([[tokenizer.eos_token_id]])
            loss = model(input_ids=empty, labels=torch.tensor([tokens])).loss
        else:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            start = tokenizer.eos_token_id if name == "phi" else tokenizer.bos_token_id
            ids = torch.tensor([[start, *tokens]])
            loss = model(input_ids=ids, labels=ids).loss
    return math.exp(float(loss)), len(tokens)


def values(folder: Path, texts: list[str], adapter: Path | None = None) -> list[dict[str, float]]:
    """What the scorer says of the texts, in float32."""
    scorer = perplexity_scorer(str(folder), str(adapter) if adapter else None, "float32")
    return [grade.values for grade in scorer.compute([(text,) for text in texts])]


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_transformers(folders: dict[str, Path], name: str) -> None:
    """Together in a batch, each text has the value that it has alone, with a start token and without an end token."""
    for text, found in zip(TEXTS, values(folders[name], TEXTS), strict=True):
        perplexity, tokens = by_loss(name, folders[name], text)
        assert found["tokens"] == tokens
        assert found["perplexity"] == pytest.approx(perplexity, rel=1e-4)
        assert found["nll"] == pytest.approx(tokens * math.log(perplexity), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_batch_does_not_matter(folders: dict[str, Path], name: str) -> None:
    """Order and company of a text do not change its value; more texts than one pass takes are all scored."""
    texts = [f"{text} {n}" for n in range(BATCH_TOKENS // 40) for text in TEXTS]
    together = values(folders[name], texts)
    assert len(together) == len(texts)
    for found, turned in zip(together, reversed(values(folders[name], texts[::-1])), strict=True):
        assert turned == pytest.approx(found, rel=1e-4)
    assert values(folders[name], texts[:1])[0] == pytest.approx(together[0], rel=1e-4)


def test_a_model_that_knows_nothing(folders: dict[str, Path], tmp_path: Path) -> None:
    """Equal logits make every token one of V: the perplexity is V and the nll of n tokens n ln V, by hand."""
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    size = tensors["lm_head.weight"].shape[0]
    tensors["lm_head.weight"].zero_()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    for found in values(folder, TEXTS):
        assert found["perplexity"] == pytest.approx(size, rel=1e-5)
        assert found["nll"] == pytest.approx(found["tokens"] * math.log(size), rel=1e-5)


def test_corpus_perplexity() -> None:
    """Tokens weigh the same: 1 token at ln 8 and 3 at ln 2 each are 6 ln 2 over 4 tokens, 2 ** 1.5, not (8 + 2) / 2."""
    assert corpus_perplexity([(math.log(8), 1), (3 * math.log(2), 3)]) == pytest.approx(2**1.5)
    assert corpus_perplexity([(3 * math.log(5), 3)]) == pytest.approx(5)


def test_bfloat16(folders: dict[str, Path]) -> None:
    """Coarser weights move a value little, and the signature tells them apart."""
    coarse = perplexity_scorer(str(folders["llama"]), dtype="bfloat16")
    assert "bfloat16" in coarse.signature
    for grade, found in zip(coarse.compute([(text,) for text in TEXTS]), values(folders["llama"], TEXTS), strict=True):
        assert math.log(grade.values["perplexity"]) == pytest.approx(math.log(found["perplexity"]), rel=0.05)


def test_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    """An adapter changes the values and the signature."""
    base = folders["llama"]
    adapter = make_adapter(tmp_path / "adapter", base, torch.randn_like)
    assert values(base, TEXTS, adapter)[0]["perplexity"] != pytest.approx(
        values(base, TEXTS)[0]["perplexity"], rel=1e-3
    )
    assert folder_hash(adapter) in perplexity_scorer(str(base), str(adapter)).signature
    assert folder_hash(base) in perplexity_scorer(str(base)).signature


def test_errors_have_names(folders: dict[str, Path]) -> None:
    """An empty answer and one beyond the model's length are errors; their neighbour is scored."""
    responses = [
        make_response(Complaint(id=str(n), text="?"), text) for n, text in enumerate(["", "slow", "why " * 600])
    ]
    complaints = [Complaint(id=str(n), text="?") for n in range(3)]
    scorer = perplexity_scorer(str(folders["llama"]), dtype="float32")
    empty, short, long = score_many(scorer, responses, complaints, "", MemoryCache())["perplexity"]
    assert empty.value is None and str(empty.error).startswith("EmptyText")
    assert long.value is None and str(long.error).startswith("TooLong")
    assert short.value == pytest.approx(by_loss("llama", folders["llama"], "slow")[0], rel=1e-4)


def test_server() -> None:
    """A server tells no probabilities of a given text."""
    with pytest.raises(ModelError, match="cannot measure perplexity"):
        perplexity_scorer("openai:x@http://localhost:1/v1")


PROMPT = "The internet is slow, the bill is high."


def likelihood(base: Path, references: list[str], adapter: Path | None = None, sha256: str = "") -> list[Score]:
    """What the scorer says of references after PROMPT."""
    complaints = [Complaint(id=str(n), text="?", reference=text) for n, text in enumerate(references)]
    identity = Identity(
        model=str(base),
        model_hash="",
        knowledge_base="",
        adapter=str(adapter) if adapter else None,
        adapter_hash=(sha256 or folder_hash(adapter)) if adapter else None,
    )
    prompt = Prompt(template="t", system="", user="", text=PROMPT, tokens=9)
    responses = [make_response(c, "said", prompt=prompt, identity=identity) for c in complaints]
    scores = score_many(likelihood_scorer(str(base)), responses, complaints, "", MemoryCache())
    return scores["reference_log_likelihood"]


@pytest.mark.parametrize("name", NAMES)
def test_reference_after_its_prompt(folders: dict[str, Path], name: str) -> None:
    """Minus the loss of transformers, of the reference alone, whatever shares the batch."""
    folder = folders[name]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    before = tokenizer(PROMPT, add_special_tokens=tokenizer.chat_template is None).input_ids
    for text, score in zip(TEXTS[:3], likelihood(folder, TEXTS[:3]), strict=True):
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        with torch.inference_mode():
            if name == "t5":
                model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=compute_dtype()).eval()
                loss = model(input_ids=torch.tensor([before]), labels=torch.tensor([tokens])).loss
            else:
                model = AutoModelForCausalLM.from_pretrained(folder, dtype=compute_dtype()).eval()
                labels = torch.tensor([[-100] * len(before) + tokens])
                loss = model(input_ids=torch.tensor([before + tokens]), labels=labels).loss
        assert score.value == pytest.approx(-float(loss), rel=0.02)


def test_reference_under_an_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    """The adapter that answered is what measures; one that has changed since is an error."""
    base = folders["llama"]
    adapter = make_adapter(tmp_path / "adapter", base, torch.randn_like)
    assert likelihood(base, TEXTS[:1], adapter)[0].value != pytest.approx(
        likelihood(base, TEXTS[:1])[0].value, rel=1e-3
    )
    (score,) = likelihood(base, TEXTS[:1], adapter, "0" * 64)
    assert score.value is None and str(score.error).startswith("OtherAdapter")


def test_no_reference_or_no_prompt_is_not_scored(folders: dict[str, Path]) -> None:
    """A scripted reply was written by nobody's model."""
    assert likelihood(folders["llama"], [""]) == []
    complaint = Complaint(id="a", text="?", reference="slow")
    scorer = likelihood_scorer(str(folders["llama"]))
    assert scorer.inputs(make_response(complaint, "said"), complaint, "") is None
