"""Show an answer while it is being written: whole, guarded sentences only.

Text that the guard would take back is never shown, so what was streamed is the beginning of the answer, unless the
whole of it was replaced.
"""

from __future__ import annotations

import re
from typing import TextIO

from system.assistant import Draft
from system.guard import whole_sentences
from system.records import Response


class SentenceStream:
    """Turns the growing text of one draft into pieces that can be shown, each once the next sentence has begun."""

    def __init__(self, draft: Draft):
        self._draft = draft
        self.shown = ""

    def grow(self, text: str) -> str:
        """What has become certain since the last call; often nothing."""
        # The last word may still grow: "8 a.m. M" ends a sentence, "8 a.m. Monday" does not.
        text = re.sub(r"\S+\Z", "", text)
        whole = whole_sentences(text)
        # The last whole sentence may still grow ("No." may become "No. 5"); it is shown when another follows.
        settled = whole if len(whole) < len(text.strip()) else ""
        if self._draft.variant.guard:
            # What looks like a signature so far may be taken away, if nothing follows.
            settled, _removed = self._draft.guarded(settled)
        if not settled.startswith(self.shown):
            return ""
        piece, self.shown = settled[len(self.shown) :], settled
        return piece

    def finish(self, response: Response) -> str:
        """The rest of the finished answer; the whole of it, on a line of its own, if it begins otherwise."""
        return response.text[len(self.shown) :] if response.text.startswith(self.shown) else f"\n{response.text}"


class SentencePrinter:
    """An ``on_text`` callback that prints the pieces of a SentenceStream."""

    def __init__(self, draft: Draft, out: TextIO):
        self._stream = SentenceStream(draft)
        self._out = out

    def __call__(self, _: Draft, text: str) -> None:
        """Show what has become certain since the last call."""
        self._print(self._stream.grow(text))

    def finish(self, response: Response) -> None:
        """Show the rest of the finished answer."""
        self._print(self._stream.finish(response) + "\n")

    def _print(self, piece: str) -> None:
        if piece:
            self._out.write(piece)
            self._out.flush()
