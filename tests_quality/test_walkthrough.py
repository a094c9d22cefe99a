"""The notebook runs from beginning to end, and shows what it says it shows."""

from __future__ import annotations

import nbformat
from nbclient import NotebookClient

from fixtures.options import ROOT


def test_walkthrough():
    """Every cell runs on the embedded model; each phase prints something."""
    notebook = nbformat.read(ROOT / "docs" / "walkthrough.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    said = ["".join(out.get("text", "") for out in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]
    for phase in (
        "facts: ",
        "passages",
        "dense:",
        "ESCALATE",
        "agent-rag-fine-tuned:",
        "INCONCLUSIVE",
        "Alpaca, held out",
    ):
        assert any(phase in text for text in said), phase
