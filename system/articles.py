"""Articles of a knowledge base: a folder of .md, .txt, .html, .pdf or FAQ .jsonl files in, sections out.

Must not know passages, retrieval or prompts; readers of HTML and PDF load only when used.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from system.errors import KnowledgeBaseError
from system.rows import UNREADABLE
from system.sentences import LIST_ITEM


@dataclass(frozen=True, slots=True)
class Section:
    """A part of an article. ``heading`` holds the whole path ("Bills > Refunds"), or is empty before the first."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Article:
    """One file of the knowledge base. ``source`` is the file's name; sections keep the file's order."""

    stem: str
    title: str
    sections: tuple[Section, ...]
    source: str


def load_articles(folder: Path) -> tuple[Article, ...]:
    """Read every article directly in ``folder``, sorted by stem.

    Hidden files, README.md, ``*.meta.json`` and files that are no documents, such as pictures, are passed over; so are
    headings with no text below them.
    Raises KnowledgeBaseError with one line for each problem: no such folder, no article in it, a file that cannot
    be read or is in an unknown document format, bad FAQ rows, two files with one stem, an article without text.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not path.is_dir())
    except OSError as error:
        raise KnowledgeBaseError(f"{folder}: cannot be read ({error.strerror}); give a folder of articles") from error
    problems: list[str] = []
    articles: dict[str, Article] = {}
    first_use: dict[str, Path] = {}
    for path in paths:
        suffix = path.suffix.lower()
        if path.name.startswith(".") or path.name == "README.md" or path.name.endswith(".meta.json"):
            continue
        if suffix in _FOREIGN:
            problems.append(f"{path}: {suffix} files cannot be read; save it as {_KINDS}, or move it away")
        if suffix not in _READERS:
            continue
        other = first_use.setdefault(path.stem, path)
        if other != path:
            problems.append(f"{path}: has the same stem as {other.name}; rename one, stems name articles")
            continue
        try:
            title, sections = _READERS[suffix](path)
        except KnowledgeBaseError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}); mend or remove it")
        else:
            if sections:
                articles[path.stem] = Article(path.stem, title or _spell_out(path.stem), tuple(sections), path.name)
            else:
                scan = "; if its pages are pictures, add a text layer" if suffix == ".pdf" else ""
                problems.append(f"{path}: holds no text below the title; write some or remove it{scan}")
    if not first_use and not problems:
        problems.append(f"{folder}: holds no article; put {_KINDS} files in it")
    if problems:
        raise KnowledgeBaseError("\n".join(problems))
    return tuple(articles[stem] for stem in sorted(articles))


def official_text(folder: Path) -> str:
    """Everything the company has said: headings and text of all articles. Raises KnowledgeBaseError."""
    sections = (section for article in load_articles(folder) for section in article.sections)
    return "\n\n".join(f"{section.heading}\n{section.text}" for section in sections)


def _spell_out(stem: str) -> str:
    words = re.sub(r"[_\-\s]+", " ", stem).strip()
    return words[:1].upper() + words[1:]


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise KnowledgeBaseError(
            f"{path}: is not UTF-8 (byte 0x{error.object[error.start]:02x} at position {error.start}); save it as UTF-8"
        ) from error
    return unicodedata.normalize("NFC", text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))


def _tidy(lines: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def _build(lines: Iterable[tuple[int, str]], title: str = "") -> tuple[str, list[Section]]:
    """Turn (heading level, line) pairs, level 0 being text, into the title and the sections that have text."""
    sections: list[Section] = []
    body: list[str] = []
    path: list[tuple[int, str]] = []
    title_seen = False

    def close() -> None:
        text = _tidy(body)
        if text:
            sections.append(Section(" > ".join(heading for _, heading in path), text))
        body.clear()

    for level, line in lines:
        if not level:
            body.append(line)
            continue
        close()
        path = [step for step in path if step[0] < level]
        if level == 1 and not title_seen and title in ("", line):
            title, title_seen = line, True
        else:
            path.append((level, line))
    close()
    return title, sections


_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$")


def _read_markdown(path: Path) -> tuple[str, list[Section]]:
    def lines() -> Iterator[tuple[int, str]]:
        fence = ""
        for line in _read_text(path).split("\n"):
            mark = line.lstrip()[:3]
            if mark in ("```", "~~~") and fence in ("", mark):
                fence = "" if fence else mark
            heading = None if fence else _HEADING.match(line)
            yield (len(heading[1]), heading[2]) if heading else (0, re.sub(r"^(\s*)\\#", r"\1#", line))

    return _build(lines())


def _read_plain(path: Path) -> tuple[str, list[Section]]:
    """Title in the first line. A short line without closing punctuation that opens a block is a heading."""
    title, _, rest = _read_text(path).strip().partition("\n")
    lines: list[tuple[int, str]] = []
    opens_block = True
    for line in rest.split("\n"):
        words = line.strip()
        heading = opens_block and 0 < len(words) <= 80 and words[-1] not in ".!?:;," and not LIST_ITEM.match(line)
        lines.append((2, words) if heading else (0, line))
        opens_block = not words
    # A "heading" with nothing below it is text after all: a closing line, a signature.
    below = 2
    for i in reversed(range(len(lines))):
        level, line = lines[i]
        if level and below:
            lines[i] = (0, line)
        if line.strip():
            below = level
    return title.strip(), _build(lines)[1]


_DROPPED = ["head", "script", "style", "nav", "header", "footer", "noscript", "template"]
_LINES = re.compile(r"^(?:br|dd|dt|li|tr)$")
_BLOCKS = re.compile(
    r"^(?:address|article|aside|blockquote|caption|details|div|dl|fieldset|figcaption|figure|form|hr|main|ol|p|pre|"
    r"section|summary|table|ul)$"
)


def _read_html(path: Path) -> tuple[str, list[Section]]:
    from bs4 import BeautifulSoup
    from bs4.element import PreformattedString

    soup = BeautifulSoup(_read_text(path).replace("\0", ""), "html.parser")
    # The first h1 often stands in a page header that is dropped below.
    top = soup.find("h1") or soup.find("title")
    title = " ".join(top.get_text(" ").split()) if top else ""
    for tag in soup.find_all(_DROPPED):
        tag.decompose()
    for string in soup.find_all(string=True):
        if isinstance(string, PreformattedString):
            string.extract()
        elif not string.find_parent("pre"):
            string.replace_with(re.sub(r"\s+", " ", string))
    for tag in soup.find_all(["ol", "ul"]):
        for number, item in enumerate(tag.find_all("li", recursive=False), start=1):
            item.insert(0, f"{number}. " if tag.name == "ol" else "- ")
    for cell in soup.find_all(["td", "th"]):
        if cell.find_next_sibling(["td", "th"]):
            cell.append(" | ")
    # Form feeds part blocks and newlines part lines; a list's inner blocks only part lines, to keep it together.
    for tag in soup.find_all(re.compile("^h[1-6]$")):
        name = " ".join(tag.get_text(" ").split())
        tag.replace_with(f"\f\0{tag.name[1]}{name}\f" if name else "\f")
    for tag in soup.find_all(_LINES):
        tag.insert_after("\n")
    for tag in soup.find_all(_BLOCKS):
        edge = "\n" if tag.find_parent("li") else "\f"
        tag.insert_before(edge)
        tag.insert_after(edge)
    text = re.sub(r"\s+", _white_space, soup.get_text())
    text = re.sub(r"^(\d+\.|-)\n", r"\1 ", text, flags=re.MULTILINE)  # a marker before a paragraph of its own
    lines = text.split("\n")
    return _build(((int(line[1]), line[2:]) if line[:1] == "\0" else (0, line) for line in lines), title)


def _white_space(run: re.Match[str]) -> str:
    return "\n\n" if "\f" in run[0] else "\n" if "\n" in run[0] else " "


def _read_pdf(path: Path) -> tuple[str, list[Section]]:
    from pypdf import PdfReader

    # Its warnings about damaged files would stand beside the one line that says so.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with path.open("rb") as file:
        try:
            reader = PdfReader(file)
            pages = [page.extract_text() for page in reader.pages]
            title = str((reader.metadata and reader.metadata.title) or "").strip()
        except Exception as error:  # damaged files make pypdf raise almost anything, not only its own errors
            reason = " ".join(str(error).split()) or type(error).__name__
            raise KnowledgeBaseError(f"{path}: is not a readable PDF ({reason}); export it again") from error
    # Ligatures (U+FB00 to U+FB06) would keep "five" from being found.
    plain = [re.sub("[\ufb00-\ufb06]", lambda m: unicodedata.normalize("NFKC", m[0]), page) for page in pages]
    texts = [_tidy(unicodedata.normalize("NFC", page).split("\n")) for page in plain]
    return title, [Section(f"Page {number}", text) for number, text in enumerate(texts, start=1) if text]


def _read_faq(path: Path) -> tuple[str, list[Section]]:
    sections = []
    problems = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = msgspec.json.decode(line)
        except (*UNREADABLE, UnicodeError) as error:
            problems.append(f"{where}: {error}; write one JSON object a line")
            continue
        if not isinstance(row, dict):
            problems.append(f'{where}: is not a JSON object; write {{"question": ..., "answer": ...}}')
            continue
        unknown = sorted(set(row) - {"question", "answer"})
        problems += [f"{where}: unknown key {key!r}; only question and answer are known" for key in unknown]
        bad = [k for k in ("question", "answer") if not (isinstance(row.get(k), str) and row[k].strip())]
        problems += [f"{where}: {key} is {row.get(key)!r}; give it as text that is not empty" for key in bad]
        if not bad:
            sections.append(Section(" ".join(row["question"].split()), _tidy(row["answer"].split("\n"))))
    if problems:
        raise KnowledgeBaseError("\n".join(problems))
    return "", sections


_READERS: dict[str, Callable[[Path], tuple[str, list[Section]]]] = {
    ".md": _read_markdown,
    ".txt": _read_plain,
    ".html": _read_html,
    ".pdf": _read_pdf,
    ".jsonl": _read_faq,
}
_KINDS = ".md, .txt, .html, .pdf or .jsonl"
# What somebody may have meant as an article must not be passed over in silence.
_FOREIGN = {".doc", ".docx", ".odt", ".rtf", ".epub", ".ppt", ".pptx", ".markdown", ".rst", ".htm", ".xhtml", ".mhtml"}
