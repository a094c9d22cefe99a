"""The report can be built from this run's log and the committed verdicts, and is what it says it is."""

from __future__ import annotations

import re

import pypdf
import pytest

from fixtures.options import ROOT, RUN_LOG
from system.report.build import PAGES, build
from system.runlog import by_variant, read_run
from system.variants import VARIANTS


def test_report(tmp_path, request):
    """Two pages for print, one HTML page with everything, every variant and every requirement named in it."""
    log = request.config.getoption("replay") or RUN_LOG
    if not log.exists() or set(by_variant(read_run(log))) < set(VARIANTS):
        pytest.skip("the run does not hold all variants")
    build(log, ROOT / "reports" / "baseline.json", tmp_path)
    pages = pypdf.PdfReader(tmp_path / "report.pdf").pages
    assert 1 <= len(pages) <= PAGES
    printed = "".join(page.extract_text() for page in pages)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in VARIANTS:
        assert name in printed and name in page
    assert page.count("<svg role=") == 7
    assert "<img" not in page and not re.search(r"(?:src|href)=[\"'](?!#)", page)
