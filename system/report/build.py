"""Builds the report: report.pdf (one or two pages; report.png is the first), report.md and .html with appendices.

    build(Path("runs/quality.jsonl"), Path("runs/verdicts.json"), Path("reports"))

Raises ReportError where a log is missing, a text names what no log holds, or the PDF has more than two pages.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from system.report.appendices import appendices
from system.report.charts import draw_all
from system.report.document import to_html, to_markdown, to_typst
from system.report.facts import ReportError
from system.report.gather import facts_of, read_logs
from system.report.pages import Words, short_report
from system.rows import write_whole

PAGES = 2
PPI = 110.0


def build(run: Path, verdicts: Path, folder: Path) -> list[Path]:
    """Write the report's files and charts into a folder; returns the files."""
    logs = read_logs(run, verdicts)
    facts = facts_of(logs)
    charts = draw_all(logs, facts, folder / "figures")
    short = short_report(Words(facts), facts, logs, charts)
    whole = replace(short, sections=(*short.sections, *appendices(logs, charts)))
    pdf, pictures = printed(to_typst(short, folder), folder)
    written = {
        "report.pdf": pdf,
        "report.png": pictures[0],
        "report.md": to_markdown(whole, folder).encode(),
        "report.html": to_html(whole).encode(),
    }
    for name, content in written.items():
        write_whole(folder / name, content)
    return [folder / name for name in written]


def printed(source: str, folder: Path) -> tuple[bytes, list[bytes]]:
    """Typst's source as a PDF and as a PNG of each page; pictures are looked for in the folder.

    Raises ReportError for more than two pages.
    """
    import typst

    text = folder / "report.typ"
    text.write_text(source, encoding="utf-8")
    try:
        pdf: bytes = typst.compile(text, root=folder, timestamp=0)
        # One page is bytes, several are a list of them.
        found: bytes | list[bytes] = typst.compile(text, root=folder, format="png", ppi=PPI)
    finally:
        text.unlink()
    pictures = [found] if isinstance(found, bytes) else found
    if len(pictures) > PAGES:
        raise ReportError(f"the report has {len(pictures)} pages; shorten prose.toml to {PAGES}")
    return pdf, pictures
