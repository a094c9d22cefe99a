"""Reranking: a cross-encoder's own logits, the order that they give, what is cached, and models that are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerFast,
)

from fixtures.embedding import HashedEmbedder
from system.cache import MemoryCache
from system.errors import ModelError, SettingsError
from system.records import Passage
from system.reranking import DEPTH, CachedPairs, CrossEncoder, Pair, Reranker
from system.retrieval import Index, make_retriever

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")

WORDS = "red light bill fee late hub phone abroad tv speed".split()
PAIRS: list[Pair] = [
    ("red light", "hub\nthe light is red"),
    ("late fee", "bill\nthe fee is late late late"),
    ("red light", "bill\nfee"),
    ("phone abroad", "tv\n" + " ".join(WORDS * 20)),  # longer than the model reads
]


def save(folder: Path, kind: type, labels: int = 1) -> Path:
    """A tiny random BERT with its tokenizer, weights far apart so that scores are, too."""
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(
        **sizes, vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=1.5, num_labels=labels
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        kind(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny cross-encoder."""
    return save(tmp_path_factory.mktemp("cross") / "tiny", BertForSequenceClassification)


class Overlap:
    """Scores by the number of common words; keeps what it was asked."""

    sha256 = "overlap"

    def __init__(self) -> None:
        self.calls: list[list[Pair]] = []

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        self.calls.append(list(pairs))
        return np.array([len(set(text.split()) & set(passage.split())) for text, passage in pairs], dtype=np.float32)


def index_of(*texts: str) -> Index:
    """An index over one passage a text, of two articles."""
    passages = [Passage(id=f"a{n % 2}#{n}", doc=f"a{n % 2}", title="", heading="", text=t) for n, t in enumerate(texts)]
    return Index(passages, "kb", HashedEmbedder())


def test_scores_are_the_models_logits(folder: Path) -> None:
    """Scores are what transformers computes of the pair, without a sigmoid, which makes high scores equal."""
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    wanted = []
    for text, passage in PAIRS:
        with torch.inference_mode():
            read = tokenizer(text, passage, truncation=True, max_length=64, return_tensors="pt")
            wanted.append(float(model(**read).logits[0, 0]))
    scores = CrossEncoder(str(folder))(PAIRS)
    assert scores == pytest.approx(wanted, abs=1e-4)
    assert max(map(abs, wanted)) > 1.0  # beyond what a sigmoid returns
    assert len({round(score, 3) for score in wanted}) == len(PAIRS)


def test_loaded_when_first_asked(folder: Path) -> None:
    """Naming a model loads nothing; nor does a search that the cache knows."""
    cache = MemoryCache()
    cold = CrossEncoder(str(folder))
    first = CachedPairs(cold, cache)(PAIRS)
    warm = CrossEncoder(str(folder))
    np.testing.assert_array_equal(CachedPairs(warm, cache)(PAIRS), first)
    assert "_score" in vars(cold)
    assert "_score" not in vars(warm)


@pytest.mark.parametrize(
    ("kind", "labels", "message"),
    [
        pytest.param(BertModel, 1, r"is BertModel with 1 scores; give a cross-encoder with one score", id="embedder"),
        pytest.param(BertForSequenceClassification, 3, r"with 3 scores", id="three labels"),
        pytest.param(BertForSequenceClassification, 2, r"with 2 scores", id="two labels"),
    ],
)
def test_what_is_no_cross_encoder(tmp_path: Path, kind: type, labels: int, message: str) -> None:
    """A model that has no single score of its own is refused: the library would give it a random one."""
    with pytest.raises(ModelError, match=message):
        CrossEncoder(str(save(tmp_path / "model", kind, labels)))


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"architectures": []}), json.dumps({})])
def test_folders_without_a_model(tmp_path: Path, content: str | None) -> None:
    """A folder that holds no cross-encoder is one line."""
    (tmp_path / "tokenizer.json").write_text("{}")
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match="give a cross-encoder") as caught:
        CrossEncoder(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_order() -> None:
    """The best by the scorer come first, with its scores; among equals what was found first."""
    index = index_of("red red", "light red hub", "bill", "red light", "tv")
    retriever = make_retriever("bm25", index)
    first = [hit.passage for hit in retriever.search(["red light"], 5)[0]]
    hits = Reranker(Overlap(), retriever).search(["red light"], 3)[0]
    assert [hit.score for hit in hits] == [2.0, 2.0, 1.0]
    assert [hit.passage for hit in hits[:2]] == [name for name in first if name in ("a1#1", "a1#3")]
    assert hits[2].passage == "a0#0"
    assert {(hit.doc, hit.text) for hit in hits} == {("a1", "light red hub"), ("a1", "red light"), ("a0", "red red")}


def test_reads_heading_and_text() -> None:
    """A passage is read under its heading, which names its subject."""
    scorer = Overlap()
    passage = Passage(id="a#1", doc="a", title="Hub", heading="Lights", text="red light")
    Reranker(scorer, make_retriever("dense", Index([passage], "kb", HashedEmbedder()))).search(["x"], 1)
    assert scorer.calls == [[("x", "Lights\nred light")]]


@pytest.mark.parametrize(("k", "read"), [(1, DEPTH), (DEPTH, DEPTH), (DEPTH + 5, DEPTH + 5), (500, 40)])
def test_depth(k: int, read: int) -> None:
    """It reads as deep as was said, or as many as are asked for; all texts are scored in one call."""
    scorer = Overlap()
    found = Reranker(scorer, make_retriever("dense", index_of(*(f"red {n}" for n in range(40))))).search(
        ["red", "light"], k
    )
    assert [len(hits) for hits in found] == [min(k, 40)] * 2
    assert [len(pairs) for pairs in scorer.calls] == [2 * read]


def test_filters_reach_the_retriever() -> None:
    """A filter narrows what is read again; an unknown field is refused there."""
    reranker = Reranker(Overlap(), make_retriever("hybrid", index_of("red", "red light", "light", "bill red")))
    assert {hit.doc for hit in reranker.search(["red"], 5, {"doc": ["a1"]})[0]} == {"a1"}
    with pytest.raises(SettingsError, match="no such field"):
        reranker.search(["red"], 5, {"topic": ["x"]})


def test_only_new_pairs_are_scored() -> None:
    """A pair is scored once for all; a pair of other words, or another model, anew, and equal pairs once."""
    cache, scorer = MemoryCache(), Overlap()
    cached = CachedPairs(scorer, cache)
    np.testing.assert_array_equal(cached([("red", "red"), ("red", "tv"), ("red", "red")]), [1, 0, 1])
    np.testing.assert_array_equal(cached([("red", "tv"), ("tv", "red"), ("red", "red")]), [0, 0, 1])
    assert scorer.calls == [[("red", "red"), ("red", "tv")], [("tv", "red")]]
    other = Overlap()
    other.sha256 = "other"
    CachedPairs(other, cache)([("red", "red")])
    assert len(other.calls) == 1
    assert cached([]).shape == (0,)
