"""Articles in every format, the two chunkers, the hash and the token counters; no model, no network."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.articles import Article, Section, load_articles
from system.errors import KnowledgeBaseError, ModelError, SettingsError
from system.knowledge import (
    BUDGET,
    TINY,
    chunk_by_heading,
    chunk_semantically,
    embedder_token_counter,
    knowledge_hash,
    word_counter,
)
from system.records import Passage

REAL = Path(__file__).parent.parent / "knowledge_base"


def one_article(folder: Path, name: str, content: str | bytes) -> Article:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (article,) = load_articles(folder)
    return article


def problems(folder: Path) -> list[str]:
    with pytest.raises(KnowledgeBaseError) as caught:
        load_articles(folder)
    return str(caught.value).split("\n")


def pdf(*pages: str, title: str = "") -> bytes:
    """A minimal PDF: catalogue, page tree, one Helvetica font, and one text stream for each page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    fonts = "<< /Font << /F1 3 0 R >> >>"
    for i, page in enumerate(pages):
        stream = "BT /F1 12 Tf 14 TL 72 720 Td " + " ".join(f"({line}) Tj T*" for line in page.split("\n")) + " ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {fonts} /Contents {5 + 2 * i} 0 R >>",
            f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        ]
    objects.append(f"<< /Title ({title}) >>")
    out = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_import_is_light() -> None:
    """Importing the module loads neither numpy nor a reader, so that help and collection stay fast."""
    heavy = "{'numpy', 'bs4', 'pypdf', 'tokenizers', 'httpx'}"
    code = f"import sys, system.articles, system.knowledge; sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REAL.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---------------------------------------------------------------------------------------------------- reading


def test_markdown_headings_make_sections(tmp_path: Path) -> None:
    """The first level-1 heading is the title; deeper headings carry their path; text before the first is kept."""
    text = "\ufeff# Bills #\r\nIntro.\r\n\r\n## Fees\r\n\r\n### Late fee\r\n$8.\n\n\n\n1. Pay  \n"
    text += "## Refunds\n5 days.\n## Empty\n"
    article = one_article(tmp_path, "bills.md", text)
    assert article == Article(
        "bills",
        "Bills",
        (Section("", "Intro."), Section("Fees > Late fee", "$8.\n\n1. Pay"), Section("Refunds", "5 days.")),
        "bills.md",
    )


def test_markdown_code_is_no_heading(tmp_path: Path) -> None:
    """A '#' inside a fence, escaped, or without a space is text."""
    article = one_article(tmp_path, "a_b-c.md", "```\n# comment\n```\n\\# sign\n#tag")
    assert article.title == "A b c"
    assert article.sections == (Section("", "```\n# comment\n```\n# sign\n#tag"),)


def test_plain_text_blocks(tmp_path: Path) -> None:
    """The first line is the title; a short line that opens a block is a heading, a closing line is text."""
    text = "Roaming\n\nFirst block,\nsecond line.\n\nPrices abroad\nZone 1 is free.\n\n1. Buy a pass\n\nSupport team\n"
    article = one_article(tmp_path, "roaming.txt", text)
    assert article.title == "Roaming"
    assert article.sections == (
        Section("", "First block,\nsecond line."),
        Section("Prices abroad", "Zone 1 is free.\n\n1. Buy a pass\n\nSupport team"),
    )


def test_html_keeps_content_only(tmp_path: Path) -> None:
    """Scripts, styles and page furniture go; headings, steps, cells and line breaks keep their shape."""
    text = """<!DOCTYPE html><html><head><title>Site</title><style>p{}</style></head><body>
    <header><h1>Moving  home</h1></header><nav><a>Menu</a></nav><!-- secret -->
    <p>Give <b>14 days</b>'
       notice.<br>Then   pack.</p><h2>Steps <i>now</i></h2>
    <ol><li>Check the <a href="x">map</a>.</li><li>Book.</li></ol><ul><li><p>Loose</p></li></ul>
    <h2> </h2><ul><li>Outer<ul><li>Inner</li></ul></li><li>Last</li></ul>After.
    <h3>Prices</h3><table><tr><th>Move</th><th>Price</th></tr><tr><td>Late</td><td>$30</td></tr></table>
    <script>alert(1)</script><footer>Imprint</footer></body></html>"""
    article = one_article(tmp_path, "moving.html", text)
    assert article.title == "Moving home"
    assert article.sections == (
        Section("", "Give 14 days' notice.\nThen pack."),
        Section("Steps now", "1. Check the map.\n2. Book.\n\n- Loose\n\n- Outer\n- Inner\n- Last\n\nAfter."),
        Section("Steps now > Prices", "Move | Price\nLate | $30"),
    )


def test_pdf_page_is_a_section(tmp_path: Path) -> None:
    """Every page with text is a section named by its number; the title comes from the file's data."""
    article = one_article(
        tmp_path, "guide.pdf", pdf("Restart the Hub.\nWait 60 seconds.", "", "Call us.", title="Guide")
    )
    assert article.title == "Guide"
    assert article.sections == (
        Section("Page 1", "Restart the Hub.\nWait 60 seconds."),
        Section("Page 3", "Call us."),
    )


def test_faq_row_is_a_section(tmp_path: Path) -> None:
    """Every question of an FAQ file heads a section; the title is the stem in words."""
    rows = [{"question": "Open on  Sunday?", "answer": "No.\n"}, {"question": "Fee?", "answer": "$8"}]
    article = one_article(tmp_path, "shop_faq.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert (article.title, article.source) == ("Shop faq", "shop_faq.jsonl")
    assert article.sections == (Section("Open on Sunday?", "No."), Section("Fee?", "$8"))


def test_order_and_what_is_passed_over(tmp_path: Path) -> None:
    """Articles come sorted by stem; hidden files, the README, side files, pictures and folders are no articles."""
    for name in ("b.md", "a.TXT", ".hidden.md", "README.md", "b.meta.json", "map.png", "LICENSE"):
        (tmp_path / name).write_text("Title\nText.")
    (tmp_path / "sub.md").mkdir()
    assert [article.stem for article in load_articles(tmp_path)] == ["a", "b"]


# ---------------------------------------------------------------------------------------------------- refusing


def test_missing_folder(tmp_path: Path) -> None:
    """A folder that does not exist, or is a file, is named in one line."""
    (line,) = problems(tmp_path / "nowhere")
    assert line.startswith(f"{tmp_path / 'nowhere'}: cannot be read (No such file") and "give a folder" in line
    (tmp_path / "file").write_text("x")
    assert len(problems(tmp_path / "file")) == 1


def test_folder_without_articles(tmp_path: Path) -> None:
    """A folder with nothing to read is refused, not treated as an empty knowledge base."""
    (tmp_path / "README.md").write_text("# Read me")
    (line,) = problems(tmp_path)
    assert line == f"{tmp_path}: holds no article; put .md, .txt, .html, .pdf or .jsonl files in it"


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Every bad file is listed in one error, one line each, with the place and what to do."""
    (tmp_path / "bad.md").write_bytes(b"# T\n\nCaf\xe9 time")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "empty.md").write_text("# Title only\n\n## Nothing below\n")
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere.md")
    (tmp_path / "letter.docx").write_bytes(b"PK")
    (tmp_path / "scan.pdf").write_bytes(pdf(""))
    (tmp_path / "twice.md").write_text("# A\n\nText.")
    (tmp_path / "twice.txt").write_text("A\n\nText.")
    (tmp_path / "good.md").write_text("# Good\n\nText.")
    rows = ['{"question": "Q?", "answer": "A"}', "nonsense", "[1]", '{"question": "Q?", "answer": " ", "tag": 1}']
    (tmp_path / "faq.jsonl").write_text("\n".join(rows))
    expected = [
        ("bad.md", r"is not UTF-8 \(byte 0xe9 at position 8\); save it as UTF-8"),
        ("broken.pdf", r"is not a readable PDF \(.+\); export it again"),
        ("empty.md", "holds no text below the title; write some or remove it"),
        ("faq.jsonl:2", ".*malformed.*; write one JSON object a line"),
        ("faq.jsonl:3", "is not a JSON object; write .*"),
        ("faq.jsonl:4", "unknown key 'tag'; only question and answer are known"),
        ("faq.jsonl:4", "answer is ' '; give it as text that is not empty"),
        ("gone.md", r"cannot be read \(No such file or directory\); mend or remove it"),
        ("letter.docx", ".docx files cannot be read; save it as .*"),
        ("scan.pdf", "holds no text .*; if its pages are pictures, add a text layer"),
        ("twice.txt", "has the same stem as twice.md; rename one, stems name articles"),
    ]
    lines = problems(tmp_path)
    assert len(lines) == len(expected)
    for line, (name, message) in zip(lines, expected, strict=True):
        assert re.fullmatch(re.escape(f"{tmp_path / name}: ") + message, line), line


# ---------------------------------------------------------------------------------------------------- chunking


def letters(text: str) -> int:
    """A token counter that, unlike words, charges for white space and long words: a quarter of the characters."""
    return math.ceil(len(text) / 4)


def article_of(*sections: str, heading: str = "h") -> Article:
    return Article("doc", "Doc", tuple(Section(f"{heading}{i}", text) for i, text in enumerate(sections)), "doc.md")


def sentences(count: int, words: int = 9, first: int = 0) -> str:
    """Sentences of ``words`` words and a stop, so of words + 1 tokens, each word used once."""
    return " ".join(" ".join(f"W{first + i}x{j}" for j in range(words)) + "." for i in range(count))


def texts(passages: Sequence[Passage]) -> list[str]:
    return [passage.text for passage in passages]


def test_section_that_fits_is_one_passage() -> None:
    """A section within the budget is a passage with its heading and its exact text, numbered from 1."""
    article = article_of(sentences(3), sentences(4) + "\n\n1. Step")
    first, second = chunk_by_heading(article, word_counter)
    assert first == Passage(id="doc#1", doc="doc", title="Doc", heading="h0", text=article.sections[0].text)
    assert (second.id, second.heading, second.text) == ("doc#2", "h1", article.sections[1].text)


def test_text_before_the_first_heading_is_headed_by_the_title() -> None:
    """A passage always has a heading: where the section has none, the article's title."""
    (passage,) = chunk_by_heading(Article("doc", "Doc", (Section("", sentences(3)),), "doc.md"), word_counter)
    assert passage.heading == "Doc"


def test_long_section_overlaps_by_whole_sentences() -> None:
    """Each further piece opens with the sentences of the one before that come nearest to the overlap."""
    pieces = texts(chunk_by_heading(article_of(sentences(10)), word_counter, budget=50, overlap=20))
    assert pieces == [sentences(5), sentences(5, first=3), sentences(4, first=6)]


def test_no_overlap_where_it_leaves_no_room() -> None:
    """The overlap gives way where the next sentence would not fit beside it."""
    article = article_of(sentences(4) + " " + sentences(1, words=45, first=4))
    pieces = texts(chunk_by_heading(article, word_counter, budget=50, overlap=20))
    assert pieces == [sentences(4), sentences(1, words=45, first=4)]


def test_numbered_list_stays_whole_with_the_line_that_announces_it() -> None:
    """A list that fits the budget is not cut, and "do this:" moves with its steps."""
    steps = "\n".join(f"{i}. Press button {i} twice. Then wait." for i in range(1, 5))
    article = article_of(f"{sentences(3)}\n\nTo mend it, do this:\n\n{steps}\n\n{sentences(2, first=3)}")
    pieces = texts(chunk_by_heading(article, word_counter, budget=50, overlap=0))
    assert pieces == [sentences(3), f"To mend it, do this:\n\n{steps}", sentences(2, first=3)]


def test_list_above_the_budget_is_cut_between_items() -> None:
    """A list too long for one piece is cut before an item, never inside one."""
    items = [f"- Item {i} is ready. It costs ${i}." for i in range(12)]
    pieces = texts(chunk_by_heading(article_of("\n".join(items)), word_counter, budget=50, overlap=0))
    assert len(pieces) > 1
    assert "\n".join(pieces).split("\n") == items


@pytest.mark.parametrize("marks", [("-",) * 4, ("1.", "2.", "3.")], ids=["bullets", "numbers"])
def test_a_new_marker_begins_a_new_list(marks: tuple[str, ...]) -> None:
    """Another kind of marker, or the number 1 again, begins a list that stays whole apart from the one before."""
    first = "\n".join(f"{mark}. Do W{mark} now please." for mark in "123")
    second = "\n".join(f"{mark} Then do it again." for mark in marks)
    pieces = texts(chunk_by_heading(article_of(f"{first}\n{second}"), word_counter, budget=30, overlap=0))
    assert pieces == [first, second]


def test_sentence_above_the_budget_is_cut_between_words() -> None:
    """Only a sentence that cannot fit is cut inside, and its parts are not repeated as overlap."""
    words = [f"w{i}" for i in range(25)]
    pieces = texts(chunk_by_heading(article_of(" ".join(words)), word_counter, budget=10, overlap=5))
    assert pieces == [" ".join(words[i : i + 10]) for i in (0, 10, 20)]


def test_word_above_the_budget_stands_alone() -> None:
    """A single word is never cut, whatever it measures."""
    assert texts(chunk_by_heading(article_of("ab " + "x" * 80 + " cd"), letters, budget=5, overlap=0)) == [
        "ab",
        "x" * 80,
        "cd",
    ]


def test_tiny_section_joins_the_next() -> None:
    """A section too small to be found joins the next, whose heading then stands in the text; the last goes back."""
    long, tiny = sentences(4), sentences(1, first=9)
    (joined,) = chunk_by_heading(article_of(tiny, long), word_counter)
    assert (joined.heading, joined.text) == ("h0", f"{tiny}\n\nh1\n{long}")
    (joined,) = chunk_by_heading(article_of(long, tiny), word_counter)
    assert (joined.heading, joined.text) == ("h0", f"{long}\n\nh1\n{tiny}")


def test_tiny_section_does_not_break_its_neighbour() -> None:
    """A section that fits by itself is not cut for the sake of a tiny one beside it."""
    tiny, full = sentences(1, first=9), sentences(5)
    assert texts(chunk_by_heading(article_of(tiny, full), word_counter, budget=50)) == [tiny, full]
    assert texts(chunk_by_heading(article_of(full, tiny), word_counter, budget=50)) == [full, tiny]


@pytest.mark.parametrize(("budget", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, -1)])
def test_impossible_sizes_are_refused(budget: int, overlap: int) -> None:
    """A budget without room or an overlap that fills it is a setting at fault, named with its value."""
    with pytest.raises(SettingsError, match=r"(budget|overlap) -?\d+: "):
        chunk_by_heading(article_of("Text."), word_counter, budget, overlap)


def vectors(text_list: Sequence[str]) -> npt.NDArray[np.floating[Any]]:
    """A stand-in for an embedder: unit rows that count letters."""
    rows = np.array([[text.lower().count(chr(code)) for code in range(97, 123)] for text in text_list], dtype=float)
    rows[:, 0] += 1e-3
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_semantic_cut_where_the_subject_changes() -> None:
    """The article is cut at the change of subject, not at the heading, and headed by where a piece begins."""
    bees = ["Bees bob beside big blue buds."] * 5
    zoos = ["Zany zoo zebras zip zigzag zones."] * 6
    article = article_of(" ".join(bees[:2]), " ".join(bees[2:] + zoos[:1]), " ".join(zoos[1:]))
    first, second = chunk_semantically(article, word_counter, vectors, percentile=90)
    assert (first.heading, first.text) == ("h0", " ".join(bees[:2]) + "\n\nh1\n" + " ".join(bees[2:]))
    assert (second.heading, second.text) == ("h1", zoos[0] + "\n\nh2\n" + " ".join(zoos[1:]))


def test_semantic_even_text_is_cut_by_the_budget_only() -> None:
    """Sentences that are all alike have no breakpoint, so only the budget cuts them."""
    article = article_of(" ".join(["Bees bob beside big blue buds."] * 12))
    assert [word_counter(text) for text in texts(chunk_semantically(article, word_counter, vectors, budget=70))] == [
        70,
        14,
    ]


def test_semantic_single_sentence_needs_no_embedder() -> None:
    """An article of one sentence is one passage, and nothing is embedded."""

    def never(_: Sequence[str]) -> npt.NDArray[np.floating[Any]]:
        raise AssertionError("embed was called")

    assert texts(chunk_semantically(article_of("One sentence."), word_counter, never)) == ["One sentence."]


def test_semantic_refuses_what_cannot_be() -> None:
    """A percentile outside 0 to 100 and an embedder that loses rows are named."""
    article = article_of("One. Two. Three.")
    with pytest.raises(SettingsError, match="percentile 101: "):
        chunk_semantically(article, word_counter, vectors, percentile=101)
    with pytest.raises(ValueError, match="one row for each"):
        chunk_semantically(article, word_counter, lambda batch: vectors(batch)[1:])


# Words are numbered so that loss, change of order and repetition all show; what stands around them gives the shape.
words = st.sampled_from(["W", "W", "W", "W.", "W.", "W?", "W\n\n", "\n- W", "\n1. W.", "W:", "\n2. W", "W" + "-" * 60])
shapes = st.lists(st.lists(words, min_size=1, max_size=25), min_size=1, max_size=5)
counters = st.sampled_from([word_counter, letters])


def shaped(shape: list[list[str]]) -> Article:
    number = iter(range(10_000))
    return article_of(*(" ".join(word.replace("W", f"W{next(number)}") for word in section) for section in shape))


@settings(max_examples=120, deadline=None)
@given(shapes, counters, st.integers(3, 60), st.integers(0, 59))
def test_no_word_is_lost_or_moved(
    shape: list[list[str]], count: Callable[[str], int], budget: int, overlap: int
) -> None:
    """Every passage is a run of the article's words that goes on where the one before ended, or repeats its end."""
    article = shaped(shape)
    reached = began = -1
    for passage in chunk_by_heading(article, count, budget, min(overlap, budget - 1)):
        run = [int(word) for word in re.findall(r"W(\d+)", passage.text)]
        if not run:
            continue  # a list number that does not fit beside its word
        assert run == list(range(run[0], run[-1] + 1))
        assert began <= run[0] <= reached + 1 and run[-1] >= reached
        began, reached = run[0], run[-1]
    assert reached == sum(map(len, shape)) - 1


@settings(max_examples=120, deadline=None)
@given(shapes, counters, st.integers(3, 60), st.booleans())
def test_every_passage_is_within_the_budget(
    shape: list[list[str]], count: Callable[[str], int], budget: int, by_meaning: bool
) -> None:
    """No passage exceeds the budget unless it is a single word."""
    article = shaped(shape)
    for passage in (
        chunk_semantically(article, count, vectors, budget)
        if by_meaning
        else chunk_by_heading(article, count, budget, budget // 4)
    ):
        assert count(passage.text) <= budget or len(passage.text.split()) == 1


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=120).filter(str.strip), min_size=1, max_size=4), st.booleans())
def test_any_text_survives_without_overlap(parts: list[str], by_meaning: bool) -> None:
    """Without overlap the passages' words, headings set aside, are the article's words, whatever the characters."""
    article = article_of(*parts, heading="\ue000h")
    passages = (
        chunk_semantically(article, letters, vectors, budget=8)
        if by_meaning
        else chunk_by_heading(article, letters, budget=8, overlap=0)
    )
    headings = {section.heading for section in article.sections}
    got = [word for passage in passages for word in passage.text.split() if word not in headings]
    assert got == [word for part in parts for word in part.split()]
    assert [passage.id for passage in passages] == [f"doc#{n}" for n in range(1, len(passages) + 1)]


# ---------------------------------------------------------------------------------------------------- the real folder


def test_real_articles_yield_passages_within_the_budget() -> None:
    """The ten articles of the project can be read, and each yields at least four passages of useful size."""
    articles = load_articles(REAL)
    assert len(articles) == 10
    for article in articles:
        assert article.title and all(section.heading for section in article.sections)
        for passages in (chunk_by_heading(article, word_counter), chunk_semantically(article, word_counter, vectors)):
            assert len(passages) >= 4, article.stem
            assert all(word_counter(passage.text) <= BUDGET for passage in passages), article.stem
        assert all(word_counter(p.text) >= TINY for p in chunk_by_heading(article, word_counter)), article.stem


def test_real_sections_keep_their_facts_together() -> None:
    """A section of the real articles that fits the budget is found whole in a single passage."""
    for article in load_articles(REAL):
        found = texts(chunk_by_heading(article, word_counter))
        for section in article.sections:
            if word_counter(section.text) <= BUDGET:
                assert any(section.text in text for text in found), (article.stem, section.heading)


# ---------------------------------------------------------------------------------------------------- measures


def test_hash_depends_on_content_only(tmp_path: Path) -> None:
    """The hash stays when files are touched and changes with any id, heading, title or text."""
    (tmp_path / "a.md").write_text(f"# A\n\n## B\n\n{sentences(4)}\n\n## C\n\n{sentences(4, first=4)}")

    def passages() -> tuple[Passage, ...]:
        return chunk_by_heading(load_articles(tmp_path)[0], word_counter)

    first = passages()
    os.utime(tmp_path / "a.md", (0, 0))
    assert knowledge_hash(passages()) == knowledge_hash(first)
    assert re.fullmatch("[0-9a-f]{64}", knowledge_hash(first))
    changed = [replace(first[1], **{field: "x"}) for field in ("id", "doc", "title", "heading", "text")]
    hashes = {knowledge_hash((first[0], passage)) for passage in (first[1], *changed)}
    assert len(hashes | {knowledge_hash(first[:1]), knowledge_hash(())}) == 8


def test_word_counter_counts_words_and_marks() -> None:
    """Words and punctuation marks count one each, white space nothing."""
    assert word_counter(" It costs $10.50, or  not?\n") == 10
    assert word_counter("") == 0


def test_embedder_counter_ignores_cutting_padding_and_special_tokens(tmp_path: Path) -> None:
    """A tokenizer file that cuts and pads to a fixed length still counts every token of a long text, and no other."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = embedder_token_counter(tmp_path / "tokenizer.json")
    assert [count(text) for text in ("", "one", "one two. three", "word " * 300)] == [0, 1, 4, 300]


def test_embedder_counter_names_a_bad_file(tmp_path: Path) -> None:
    """A missing or malformed tokenizer file is a ModelError that names the file."""
    with pytest.raises(ModelError, match=r"none\.json: is not a readable tokenizer"):
        embedder_token_counter(tmp_path / "none.json")
