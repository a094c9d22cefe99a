"""BLEU and ROUGE-L against values by hand and against other implementations: nltk's BLEU and a plain LCS."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction
from nltk.translate.bleu_score import corpus_bleu as nltk_corpus_bleu
from nltk.translate.bleu_score import sentence_bleu as nltk_sentence_bleu

from fixtures.fakes import make_response
from system.cache import MemoryCache
from system.evaluation.overlap import MODULES, corpus_bleu, overlap
from system.evaluation.scorers import score_many
from system.models import file_sha256
from system.records import Complaint

ROOT = Path(__file__).resolve().parents[1]
BLEU = ("bleu-1", "bleu-2", "bleu-3", "bleu-4")
WORDS = st.lists(st.sampled_from("the cat sat on a mat dog".split()), min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)
QUICK = settings(derandomize=True, database=None, deadline=None, max_examples=20)


def values(*pairs: tuple[str, str]) -> list[dict[str, float]]:
    """The five values of each (text, reference)."""
    return [grade.values for grade in overlap().compute(pairs)]


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        # Precisions 5/6, 3/5, 1/4 and 0/3, smoothed to 1/2 of 1/3; as long as the reference, so no brevity penalty.
        # LCS "the cat on the mat": P = R = 5/6.
        (
            "the cat sits on the mat",
            "the cat is on the mat",
            [5 / 6, (5 / 6 * 3 / 5) ** (1 / 2), (5 / 6 * 3 / 5 * 1 / 4) ** (1 / 3),
             (5 / 6 * 3 / 5 * 1 / 4 * 1 / 6) ** (1 / 4), 5 / 6],
        ),
        # All precisions 1, brevity penalty exp(1 - 6/4) for 4 words against 6; P = 1, R = 4/6, F1 = 2 * 4/6 / (10/6).
        ("the cat is on", "the cat is on the mat", [math.exp(-0.5)] * 4 + [0.8]),
        # Longer than the reference: 4/6, 3/5, 2/4, 1/3, and no penalty; P = 4/6, R = 1.
        (
            "the cat is on the mat",
            "the cat is on",
            [4 / 6, (4 / 6 * 3 / 5) ** (1 / 2), (4 / 6 * 3 / 5 * 2 / 4) ** (1 / 3),
             (4 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4), 0.8],
        ),
        # "the" counts once only, for the reference has one: 1/4; orders 2 to 4 smoothed to 1/2 of 1/3, 1/4 of 1/2, 1/8.
        (
            "the the the the",
            "the cat is here",
            [1 / 4, (1 / 4 * 1 / 6) ** (1 / 2), (1 / 4 * 1 / 6 * 1 / 8) ** (1 / 3),
             (1 / 4 * 1 / 6 * 1 / 8 * 1 / 8) ** (1 / 4), 1 / 4],
        ),
        ("a b", "a b", [1.0] * 5),  # too short for three words: the orders that it has
        ("x y", "a b", [0.0] * 5),
        ("", "a b", [0.0] * 5),
        ("A B.", "a b .", [1 / 3, (1 / 3 * 1 / 4) ** 0.5, *[(1 / 3 * 1 / 4 * 1 / 4) ** (1 / 3)] * 2, 1.0]),
    ],
)  # fmt: skip
def test_by_hand(text: str, reference: str, expected: list[float]) -> None:
    """BLEU keeps case and splits off punctuation; ROUGE-L ignores both."""
    [found] = values((text, reference))
    assert list(found.values()) == pytest.approx(expected)


def longest_common(one: list[str], other: list[str]) -> int:
    """Length of the longest common subsequence, by the recursion of its definition, row by row."""
    row = [0] * (len(other) + 1)
    for a in one:
        before, row = row, [0]
        for n, b in enumerate(other):
            row.append(before[n] + 1 if a == b else max(before[n + 1], row[-1]))
    return row[-1]


@QUICK
@given(pairs=PAIRS)
def test_other_implementations(pairs: list[tuple[list[str], list[str]]]) -> None:
    """nltk's BLEU with the same smoothing (its method 3) over the orders that the text has; F1 of a plain LCS."""
    for (text, reference), found in zip(pairs, values(*((" ".join(t), " ".join(r)) for t, r in pairs)), strict=True):
        for order in (1, 2, 3, 4):
            has = min(order, len(text))
            weights = [1 / has] * has
            smooth = SmoothingFunction().method3
            wanted = nltk_sentence_bleu([reference], text, weights=weights, smoothing_function=smooth)
            assert found[f"bleu-{order}"] == pytest.approx(wanted, abs=1e-9)
        common = longest_common(text, reference)
        precision, recall = common / len(text), common / len(reference)
        f1 = 2 * precision * recall / (precision + recall) if common else 0.0
        assert found["rouge-l"] == pytest.approx(f1)


@QUICK
@given(pairs=PAIRS)
def test_properties(pairs: list[tuple[list[str], list[str]]]) -> None:
    """All values lie in 0..1, a text is wholly like itself, and the other cases of a batch change nothing."""
    texts = [(" ".join(text), " ".join(reference)) for text, reference in pairs]
    together = values(*texts)
    assert all(0 <= value <= 1 for found in together for value in found.values())
    assert values(*reversed(texts)) == together[::-1]
    assert values(texts[0]) == together[:1]
    assert all(value == pytest.approx(1) for value in values((texts[0][1], texts[0][1]))[0].values())


@QUICK
@given(order=st.sampled_from([1, 2, 3, 4]), words=WORDS.filter(lambda words: len(words) > 4))
def test_corpus_bleu_of_nltk(order: int, words: list[str]) -> None:
    """The corpus value is nltk's, and is not the mean of the sentences'."""
    texts = [words, "the dog sat on the mat".split()]
    references = [[*words[:4], "dog", "on"], "the cat sat on the mat".split()]
    wanted = nltk_corpus_bleu([[r] for r in references], texts, weights=[1 / order] * order)
    found = corpus_bleu(order, [" ".join(t) for t in texts], [" ".join(r) for r in references])
    assert found == pytest.approx(wanted, abs=1e-9)


def test_corpus_bleu_by_hand() -> None:
    """Matches are added up before they are divided: (4 + 1) / (4 + 4) with equal lengths, not (1 + 1/4) / 2."""
    assert corpus_bleu(1, ["a b c d", "a x y z"], ["a b c d", "a b c d"]) == pytest.approx(5 / 8)
    assert corpus_bleu(2, ["a b c d", "a x y z"], ["a b c d", "a b c d"]) == pytest.approx((5 / 8 * 3 / 6) ** 0.5)
    for texts, references in (([], []), (["a"], [])):
        with pytest.raises(ValueError, match="one reference for each text"):
            corpus_bleu(1, texts, references)


def test_scores() -> None:
    """The answer is the text and the label the reference; without a reference there is no score."""
    asked = Complaint(id="a", text="no words in common", reference="the cat is on the mat")
    bare = Complaint(id="b", text="?")
    responses = [make_response(asked, "the cat is on"), make_response(bare, "the cat")]
    found = score_many(overlap(), responses, [asked, bare], "", MemoryCache())
    assert {metric: [(one.case, one.value) for one in scores] for metric, scores in found.items()} == {
        **{name: [("a", pytest.approx(math.exp(-0.5)))] for name in BLEU},
        "rouge-l": [("a", pytest.approx(0.8))],
    }


def test_signature_names_everything() -> None:
    """Versions, tokenizer, smoothing and the sources of the metric modules."""
    signature = overlap().signature
    for part in ("nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|version:2.6.0", "evaluate 0.4.6", "rouge-score 0.1.2"):
        assert part in signature
    for name in ("bleu", "rouge_l"):
        assert file_sha256(MODULES / name / f"{name}.py")[:16] in signature


def test_processes_at_once_without_home_or_network(tmp_path: Path) -> None:
    """Fresh processes load the modules at the same time, offline, where the home folder cannot be written."""
    script = (
        "import socket\ndef deny(*_, **__): raise SystemExit('network')\n"
        "socket.socket.connect = socket.getaddrinfo = deny\n"
        "from system.evaluation.overlap import overlap\n"
        "print([round(v, 3) for g in overlap().compute([('a b c d e', 'a b c d e f')]) for v in g.values.values()])"
    )
    environment = {**os.environ, "HOME": "/dev/null/home", "SUPPORT_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    # exp(1 - 6/5) = 0.819 for every order; P = 1, R = 5/6, F1 = 10/11.
    for process in running:
        out, error = process.communicate(timeout=120)
        assert (out.strip(), error) == ("[0.819, 0.819, 0.819, 0.819, 0.909]", "")
