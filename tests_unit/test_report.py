"""The report says nothing that no log holds, and says the same in all its forms."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pytest

from system.records import Verdict
from system.report.build import printed
from system.report.document import Bullets, Document, Paragraph, Picture, Section, Table, to_html, to_markdown, to_typst
from system.report.facts import Facts, ReportError
from system.report.pages import PROSE, Words
from system.settings import read_toml

SVG = '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'
NASTY = 'a | b <script>alert(1)</script> #let x = 1 $y$ @ref *star* _low_ [x] \\ ~ // "quoted" = - +'


@pytest.fixture
def facts() -> Facts:
    """Two verdicts, a claim, and a passport's figure."""
    found = Facts()
    fields: dict[str, Any] = {"variant": "rag", "threshold": 4.0, "n": 156, "status": "FAIL"}
    found.add_verdicts(
        [
            Verdict(requirement="empathy", value=3.4567, low=3.4, high=3.512, **fields),
            Verdict(requirement="rude", value=2.0, low=None, high=None, **{**fields, "threshold": 0.0}),
            Verdict(
                requirement="warmer", value=0.5, low=0.25, high=0.75, **{**fields, "variant": "a > b", "threshold": 0.0}
            ),
        ]
    )
    found.add_tree(
        "adapter", {"made": {"commit": "x"}, "held out": {"ratio": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}}}
    )
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("empathy {empathy@rag}", "empathy 3.46 (3.40 to 3.51)"),
        ("{empathy@rag|value} of {empathy@rag|n}, at least {empathy@rag|threshold}", "3.46 of 156, at least 4.00"),
        ("{rude@rag} rude answers", "2 rude answers"),
        ("gains {warmer}, {warmer|percent}", "gains 0.50 (0.25 to 0.75), 50 %"),
        ("{adapter/held out/ratio|low}", "0.40"),
        ("hit@2, BLEU-1 and F1 of SmolLM2-135M-Instruct", "hit@2, BLEU-1 and F1 of SmolLM2-135M-Instruct"),
    ],
)
def test_figures_are_filled_in(facts: Facts, text: str, told: str) -> None:
    """By name and in the asked form; names with digits are no numbers."""
    assert facts.told(text) == told


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("helpfulness is 4.1", "a number of its own, '4.1'"),
        ("{empathy@rag} of 5", "a number of its own, '5'"),
        ("{empathy@agent}", "names 'empathy@agent', which no log holds; there are empathy@rag"),
        ("{nonesuch}", "names 'nonesuch', which no log holds"),
        ("{rude@rag|low}", "rude@rag has no low"),
    ],
)
def test_what_no_log_holds_ends_the_build(facts: Facts, text: str, problem: str) -> None:
    """A number that somebody typed, and one that is not there."""
    with pytest.raises(ReportError) as caught:
        facts.told(text)
    assert problem in str(caught.value)


def test_an_error_is_not_left_out() -> None:
    """A verdict without a value has no place in a table, and is not passed over."""
    wrong = Verdict(
        requirement="empathy", variant="rag", status="ERROR", threshold=4.0, value=None, low=None, high=None, n=0
    )
    with pytest.raises(ReportError, match="empathy@rag is an ERROR"):
        Facts().add_verdicts([wrong])


def test_the_prose_holds_no_number_of_its_own() -> None:
    """Every text of prose.toml, whatever the logs hold."""

    class Everything(Facts):
        def shown(self, name: str, style: str = "interval") -> str:
            return "N"

    def texts(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        inner = (
            [node[key] for key in node if key != "needs"]
            if isinstance(node, dict)
            else node
            if isinstance(node, list)
            else ()
        )
        return [text for one in inner for text in texts(one)]

    found = texts(read_toml(PROSE))
    assert len(found) > 15
    for text in found:
        Everything().told(text)


def test_a_finding_that_the_run_does_not_bear_out_ends_the_build(facts: Facts, tmp_path: Path) -> None:
    """The words must be mended then, not the verdict."""
    prose = tmp_path / "prose.toml"
    prose.write_text('[[finding]]\nneeds = ["empathy@rag = PASS"]\ntext = "warm"\n')
    with pytest.raises(ReportError, match="rests on empathy@rag = PASS, and the run says FAIL"):
        Words(facts, prose).findings()
    prose.write_text('[[finding]]\nneeds = ["empathy@rag = FAIL"]\ntext = "cold"\n')
    assert Words(facts, prose).findings() == Bullets(["cold"])


@pytest.fixture
def document(tmp_path: Path) -> Document:
    """One of each block, with everything that could be taken for markup."""
    picture = tmp_path / "figures" / "a.svg"
    picture.parent.mkdir()
    picture.write_text(SVG)
    blocks = (
        Paragraph(f"**strong** and `code_1` {NASTY}"),
        Bullets(["one", NASTY]),
        Table(["name", "value"], [["x", NASTY], ["two\nlines", "1.0 (0.9 to 1.1)"]], "a caption"),
        Picture(picture, 'what "it" shows'),
    )
    return Document("A title: 1", "below", (Section("First & last", blocks),))


def test_markdown(document: Document, tmp_path: Path) -> None:
    """Cells stay in their column, pictures are relative."""
    text = to_markdown(document, tmp_path)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [len(re.split(r"(?<!\\)\|", row)) for row in rows] == [4] * 4
    assert '![what "it" shows](figures/a.svg)' in text


def test_html_is_one_page_without_anything_from_elsewhere(document: Document) -> None:
    """Nothing in the texts is markup, nothing is loaded."""
    text = to_html(document)
    assert "<script>" not in text and html.escape("<script>alert(1)</script>") in text
    assert "<strong>strong</strong>" in text and "<code>code_1</code>" in text
    assert "<svg role=" in text and "<?xml" not in text
    assert not re.search(r"(?:src|href)=[\"'](?!#)", text)


def test_pdf_says_the_words_and_no_more(document: Document, tmp_path: Path) -> None:
    """Signs that mean something to Typst are printed as they are."""
    content, pictures = printed(to_typst(document, tmp_path), tmp_path)
    text = pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()
    for sign in ("<script>alert(1)</script>", "#let x", "$y$", "@ref", "*star*", "_low_", "[x]"):
        assert sign in text
    assert pictures[0].startswith(b"\x89PNG")
    assert not (tmp_path / "report.typ").exists()


def test_more_than_two_pages_are_refused(document: Document, tmp_path: Path) -> None:
    """The report is meant to be read."""
    long = replace(document, sections=document.sections * 30)
    with pytest.raises(ReportError, match=r"has \d+ pages; shorten"):
        printed(to_typst(long, tmp_path), tmp_path)
