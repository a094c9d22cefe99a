"""A document as a tree, and the three forms that it takes: Markdown, one self-contained HTML page, and Typst.

Texts hold two kinds of markup: **strong** and `code`. Knows no figure and no log.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from system.evaluation.table import markdown

INLINE = re.compile(r"\*\*(?P<strong>.+?)\*\*|`(?P<code>[^`]+)`")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A text."""

    text: str


@dataclass(frozen=True, slots=True)
class Bullets:
    """Texts of a list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; all columns but the first hold figures."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG file beside the document. ``caption`` says what is to be seen, for those who cannot see it, too."""

    path: Path
    caption: str
    share: float = 1.0  # of the text's width


Block = Paragraph | Bullets | Table | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what follows it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Document:
    """Title, a line below it, sections."""

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)


def marked(text: str, plain: Callable[[str], str], strong: Callable[[str], str], code: Callable[[str], str]) -> str:
    """The text with its markup in another form; every part of it goes through one of the three."""
    parts, last = [], 0
    for found in INLINE.finditer(text):
        parts.append(plain(text[last : found.start()]))
        parts.append(strong(found["strong"]) if found["strong"] is not None else code(found["code"]))
        last = found.end()
    return "".join([*parts, plain(text[last:])])


# --- Markdown ---


def to_markdown(document: Document, folder: Path) -> str:
    """GitHub's Markdown; pictures are links relative to ``folder``."""
    lines = [f"# {document.title}", "", document.subtitle, ""]
    for section in document.sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [*_markdown(block, folder), ""]
    return "\n".join(lines)


def _markdown(block: Block, folder: Path) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield block.text
    elif isinstance(block, Bullets):
        yield from (f"- {item}" for item in block.items)
    elif isinstance(block, Picture):
        yield f"![{block.caption}]({block.path.relative_to(folder).as_posix()})"
    else:
        yield from markdown(block.head, block.rows)
        if block.caption:
            yield ""
            yield block.caption


# --- HTML ---

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #bbb}table{border-collapse:collapse;font-size:.85rem}
.wide{overflow-x:auto}th,td{border:1px solid #bbb;padding:.3rem .5rem;text-align:left;vertical-align:top}
th{background:#eef1f5}figure{margin:1rem 0}figure svg{max-width:100%;height:auto}
figcaption,.caption{color:#444;font-size:.85rem}code{background:#eef1f5;padding:0 .2rem}nav li{margin:.1rem 0}
"""


def to_html(document: Document) -> str:
    """One page that asks for nothing from elsewhere; pictures are part of it."""
    places = [re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") for section in document.sections]
    links = (
        f'<li><a href="#{place}">{html.escape(section.title)}</a></li>'
        for place, section in zip(places, document.sections, strict=True)
    )
    title = html.escape(document.title)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body><main>',
        f"<h1>{title}</h1><p>{_inline_html(document.subtitle)}</p>",
        f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>',
    ]
    for place, section in zip(places, document.sections, strict=True):
        parts.append(f'<h2 id="{place}">{html.escape(section.title)}</h2>')
        parts += [_html(block) for block in section.blocks]
    return "\n".join([*parts, "</main></body></html>\n"])


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{_inline_html(block.text)}</p>"
    if isinstance(block, Bullets):
        return f"<ul>{''.join(f'<li>{_inline_html(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Picture):
        caption = html.escape(block.caption)
        drawing = re.sub(r"^.*?(?=<svg)", "", block.path.read_text(encoding="utf-8"), flags=re.DOTALL)
        drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{caption}"', 1)
        return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
    head = "".join(f'<th scope="col">{_inline_html(cell)}</th>' for cell in block.head)
    rows = "".join(f"<tr>{''.join(f'<td>{_inline_html(cell)}</td>' for cell in row)}</tr>" for row in block.rows)
    caption = f'<p class="caption">{_inline_html(block.caption)}</p>' if block.caption else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{caption}'


def _inline_html(text: str) -> str:
    def plain(part: str) -> str:
        return html.escape(part).replace("\n", "<br>")

    return marked(
        text, plain, lambda part: f"<strong>{plain(part)}</strong>", lambda part: f"<code>{plain(part)}</code>"
    )


# --- Typst ---

PREAMBLE = """#set page(paper: "a4", margin: (x: 1.7cm, y: 1.4cm), numbering: "1 / 1")
#set text(size: 9pt, lang: "en")
#set par(justify: true, leading: 0.5em, spacing: 0.75em)
#set list(spacing: 0.5em)
#show heading.where(level: 1): set text(size: 15pt)
#show heading.where(level: 2): it => block(above: 0.9em, below: 0.5em, text(size: 10pt, fill: rgb("#0b4a6f"), it.body))
#show table: set text(size: 7.6pt)
#set table(inset: (x: 3.5pt, y: 2.6pt), stroke: 0.4pt + rgb("#999999"))
"""


def to_typst(document: Document, folder: Path) -> str:
    """The source of a PDF; pictures are named relative to ``folder``, the root that it is compiled in."""
    lines = [PREAMBLE, f"= {_inline_typst(document.title)}", _inline_typst(document.subtitle), ""]
    for section in document.sections:
        lines += [f"== {_inline_typst(section.title)}", *(_typst(block, folder) for block in section.blocks)]
    return "\n".join(lines)


def _typst(block: Block, folder: Path) -> str:
    if isinstance(block, Paragraph):
        return f"{_inline_typst(block.text)}\n"
    if isinstance(block, Bullets):
        return "\n".join(f"- {_inline_typst(item)}" for item in block.items) + "\n"
    if isinstance(block, Picture):
        name = block.path.relative_to(folder).as_posix()
        picture = f'image("{name}", width: {100 * block.share:g}%, alt: "{_quoted(block.caption)}")'
        return f"#align(center, {picture})\n"
    cells = ", ".join(f"[{_inline_typst(cell)}]" for row in block.rows for cell in row)
    head = ", ".join(f"[*{_inline_typst(cell)}*]" for cell in block.head)
    columns = f"{len(block.head)}"
    caption = f"\n#text(size: 7.3pt)[{_inline_typst(block.caption)}]" if block.caption else ""
    return f"#align(center, table(columns: {columns}, table.header({head}), {cells})){caption}\n"


def _inline_typst(text: str) -> str:
    def plain(part: str) -> str:
        return re.sub(r"([\\#$*_`<>@\[\]~=/\-+])", r"\\\1", part).replace("\n", " \\ ")

    return marked(text, plain, lambda part: f"#strong[{plain(part)}]", lambda part: f'#raw("{_quoted(part)}")')


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
