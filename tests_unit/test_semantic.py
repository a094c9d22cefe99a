"""BERTScore on a tiny random BERT, against the formula worked out by hand from transformers' hidden states."""

from __future__ import annotations

import json
import random

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from fixtures.fakes import make_response
from system.cache import MemoryCache
from system.complaints import read_complaints
from system.evaluation.scorers import score_many
from system.evaluation.semantic import LAYER, REPORT, ROOT, bertscore, choose_layer, questions
from system.models import file_sha256, resolve_embedder
from system.records import Complaint

pytestmark = pytest.mark.usefixtures("own_cache")

WORDS = "the hub light is white red solid wait sixty seconds call us now bill paid fee late".split()
PAIRS = [
    ("the light is solid white", "the light is red"),
    ("wait sixty seconds", "the hub light is red now call us"),
    ("the bill is paid", "the bill is paid"),
    ("fee", "the late fee is paid now"),
]


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny random BERT of three layers; "t5" in its path has misled the library's own loader."""
    folder = tmp_path_factory.mktemp("t5") / "tiny"
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special).save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = BertConfig(**sizes, vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        BertModel(config).save_pretrained(folder)
    return str(folder)


def by_hand(folder: str, layer: int, text: str, reference: str) -> list[float]:
    """Precision, recall and F1 of one pair, word by word, from the hidden states of the whole model."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def vectors(words: str) -> list[torch.Tensor]:
        with torch.inference_mode():
            states = model(**tokenizer(words, return_tensors="pt"), output_hidden_states=True).hidden_states
        return list(states[layer][0])

    def alike(one: torch.Tensor, others: list[torch.Tensor]) -> float:
        return max(float(torch.nn.functional.cosine_similarity(one, other, dim=0)) for other in others)

    said, wanted = vectors(text), vectors(reference)
    # The marks of begin and end are not scored themselves, but words may be matched with them.
    precision = sum(alike(one, wanted) for one in said[1:-1]) / len(said[1:-1])
    recall = sum(alike(one, said) for one in wanted[1:-1]) / len(wanted[1:-1])
    return [precision, recall, 2 * precision * recall / (precision + recall)]


def values(folder: str, pairs: list[tuple[str, str]], layer: int = 2) -> list[list[float]]:
    """Precision, recall and F1 of each (text, reference)."""
    return [list(grade.values.values()) for grade in bertscore(layer, folder).compute(pairs)]


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_by_hand(folder: str, layer: int) -> None:
    """Each value, of each layer, is the formula's."""
    for pair, found in zip(PAIRS, values(folder, PAIRS, layer), strict=True):
        assert found == pytest.approx(by_hand(folder, layer, *pair), abs=1e-5)


def test_precision_is_of_the_answer(folder: str) -> None:
    """Exchanging answer and reference exchanges precision and recall and keeps F1; they differ for unlike texts."""
    for (precision, recall, f1), turned in zip(
        values(folder, PAIRS), values(folder, [(b, a) for a, b in PAIRS]), strict=True
    ):
        assert turned == pytest.approx([recall, precision, f1], abs=1e-5)
    precision, recall, _ = values(folder, [("light", "light hub bill fee")])[0]
    assert abs(precision - recall) > 0.01


def test_identity(folder: str) -> None:
    """A text is wholly like itself, and nothing else is."""
    assert values(folder, [(text, text) for text, _ in PAIRS]) == [pytest.approx([1.0] * 3, abs=1e-5)] * len(PAIRS)
    assert values(folder, PAIRS[:1])[0][2] < 0.999


def test_batch_does_not_matter(folder: str) -> None:
    """Order and company of a pair change no value by more than 1e-4; repeated pairs and long batches included."""
    draw = random.Random(1)
    pairs = [(" ".join(draw.choices(WORDS, k=draw.randint(1, 40))), draw.choice(PAIRS)[1]) for _ in range(100)]
    together = values(folder, pairs)
    order = draw.sample(range(100), 100)
    assert torch.tensor(values(folder, [pairs[n] for n in order])).sub(torch.tensor(together)[order]).abs().max() < 1e-4
    for n in (0, 50, 99):
        assert values(folder, [pairs[n]])[0] == pytest.approx(together[n], abs=1e-4)


def test_progress_goes_to_stderr(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Long work shows a bar, on stderr alone; short work shows nothing."""
    values(folder, PAIRS * 51)
    out, error = capsys.readouterr()
    assert out == "" and "BERTScore" in error
    values(folder, PAIRS)
    assert capsys.readouterr() == ("", "")


def test_texts_without_words(folder: str) -> None:
    """They are like nothing, say so, and leave the others alone."""
    pairs = [("", PAIRS[0][1]), PAIRS[0], (" \n", PAIRS[0][1]), ("...", PAIRS[0][1])]
    empty, full, *others = bertscore(2, folder).compute(pairs)
    for grade in (empty, *others):
        assert set(grade.values.values()) == {0.0} and "without words" in grade.explanation
    assert list(full.values.values()) == pytest.approx(by_hand(folder, 2, *PAIRS[0]), abs=1e-5)
    assert list(bertscore(2, folder).compute([])) == []


def test_scores(folder: str) -> None:
    """The answer is the text and the label the reference; without a reference there is no score."""
    asked = Complaint(id="a", text="the fee", reference=PAIRS[0][1])
    bare = Complaint(id="b", text="the fee")
    responses = [make_response(asked, PAIRS[0][0]), make_response(bare, "fee")]
    found = score_many(bertscore(2, folder), responses, [asked, bare], "", MemoryCache())
    wanted = by_hand(folder, 2, *PAIRS[0])
    assert [(name, [one.value for one in scores]) for name, scores in found.items()] == [
        ("bertscore-precision", [pytest.approx(wanted[0], abs=1e-5)]),
        ("bertscore-recall", [pytest.approx(wanted[1], abs=1e-5)]),
        ("bertscore-f1", [pytest.approx(wanted[2], abs=1e-5)]),
    ]


def test_signature(folder: str) -> None:
    """It names the weights, the layer and the version, and where the model lies does not matter."""
    signature = bertscore(2, folder).signature
    assert resolve_embedder(folder).sha256 in signature and "layer 2" in signature and "bert-score 0.3.13" in signature
    assert signature != bertscore(1, folder).signature
    assert "site-packages" not in bertscore().signature


def test_layer_is_the_measured_one() -> None:
    """LAYER is the best of the committed report, which was made from today's data and embedder."""
    report = json.loads(REPORT.read_text())
    assert report["best"] == LAYER == max(report["layers"], key=lambda row: row["mean"])["layer"]
    assert report["data"] == file_sha256(ROOT / "data" / "complaints.jsonl")
    assert report["model_sha256"] == resolve_embedder().sha256


def test_questions(folder: str) -> None:
    """Better and worse texts differ in what the question says; every layer gets a share of right answers."""
    fields = {"category": "billing", "cluster": "c", "facts": ("60 seconds",)}
    complaints = [
        Complaint(id="1", text="?", reference="Wait 60 seconds now. Call us.", **fields),
        Complaint(id="2", text="?", reference="Wait for 60 seconds. The hub is red.", **fields),
        Complaint(id="3", text="?", reference="The bill is late.", category="billing", cluster="other"),
    ]
    triples = list(questions(complaints))
    assert [triple[0] for triple in triples] == ["words", "facts", "topic", "words", "facts", "topic"]
    assert triples[1][1:] == (
        complaints[0].reference, complaints[1].reference, "Wait for 93 seconds. The hub is red.",
    )  # fmt: skip
    assert triples[2][3] == complaints[2].reference
    chosen = choose_layer(complaints, resolve_embedder(folder))
    assert chosen["n"] == {"words": 2, "facts": 2, "topic": 2}
    assert [row["layer"] for row in chosen["layers"]] == [1, 2, 3]


def test_meaning() -> None:
    """With the real embedder a paraphrase is nearer than another problem's reference; the value is pinned."""
    by_id = {complaint.id: complaint.reference for complaint in read_complaints(ROOT / "data" / "complaints.jsonl")}
    near, far = bertscore().compute([(by_id["D-002"], by_id["D-001"]), (by_id["D-015"], by_id["D-001"])])
    assert near.values["bertscore-f1"] > far.values["bertscore-f1"] + 0.1
