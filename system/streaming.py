"""Show an answer while it is being written: whole, guarded sentences only.

Text that the guard would take back is never shown, so what was streamed is always the beginning of the answer.
"""

from __future__ import annotations

import re
from typing import TextIO

from system.assistant import Draft
from system.guard import whole_sentences
from system.records import Response


class SentencePrinter:
    """An ``on_text`` callback that prints each sentence once the next one has begun."""

    def __init__(self, draft: Draft, out: TextIO):
        self._draft = draft
        self._out = out
        self._shown = ""

    def __call__(self, _: Draft, text: str) -> None:
        """Show what has become certain since the last call."""
        # The last word may still grow: "8 a.m. M" ends a sentence, "8 a.m. Monday" does not.
        text = re.sub(r"\S+\Z", "", text)
        whole = whole_sentences(text)
        # The last whole sentence may still grow ("No." may become "No. 5"); it is shown when another follows.
        settled = whole if len(whole) < len(text.strip()) else ""
        if self._draft.variant.guard:
            # What looks like a signature so far may be taken away, if nothing follows.
            settled, _removed = self._draft.guarded(settled)
        if settled.startswith(self._shown):
            self._out.write(settled[len(self._shown) :])
            self._out.flush()
            self._shown = settled

    def finish(self, response: Response) -> None:
        """Show the rest of the finished answer."""
        rest = response.text[len(self._shown) :] if response.text.startswith(self._shown) else f"\n{response.text}"
        self._out.write(f"{rest}\n")
        self._out.flush()
