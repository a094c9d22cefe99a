"""Sentences of plain English text by rules: no model, no dependency, the same answer everywhere.

    split_sentences("Open at 8 a.m. on Monday. Call 1-800-555-0142.")
    -> ["Open at 8 a.m. on Monday.", "Call 1-800-555-0142."]

Knows text only; must not know articles, prompts or answers.
"""

from __future__ import annotations

import re

LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•–]|(?P<number>\d{1,3})[.)]|[a-z]\))[ \t]+(?=\S)")

_PARAGRAPH_OR_ITEM = re.compile(rf"\n\s*\n|\n(?={LIST_ITEM.pattern})")
# A stop counts only before white space, so decimals, times and links (2.4, help.calderline.example/speed) stay whole.
_STOP = re.compile(r"(?P<marks>[.!?…]+)(?P<closing>[\"')\]”’»*_]*)(?=\s|$)")
_NEXT_WORD = re.compile(r"\s*[\"'(\[“‘«*_]*(?P<word>\S*)")
_OPENING = "\"'([“‘«*_"
_DOTTED_LETTERS = re.compile(r"(?:[A-Za-z]\.)*[A-Za-z]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Abbreviations, without their last full stop.
_NEVER_LAST = _words("mr mrs ms mx dr prof rev messrs st e.g eg i.e ie cf vs viz approx ca incl excl")
_BEFORE_NUMBERS = _words("no nos nr tel ext fig figs sec art vol ch p pp par min max")
_OFTEN_LAST = _words("etc inc ltd co corp jr sr dept bros al hrs mins secs")
_CLOCK = _words("a.m p.m")
_AFTER_CLOCK = _words(
    "monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays "
    "sundays january february march april may june july august september october november december "
    "est edt cst cdt mst mdt pst pdt et ct mt pt utc gmt bst cet eastern central mountain pacific"
)
# After "J." or "U.S." a capital may go on with a name; these words hardly ever do.
_OPENERS = _words(
    "a after all an and are as at before but call can choose do does each every for from he here how however i if in "
    "is it its my no not on once open or our please press she so that the their then there these they this those to "
    "we what when where which while who why will with you your"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of every sentence in ``text``, in characters, in order.

    Between two spans there is nothing but white space, so the text can be restored exactly. A blank line and the
    beginning of a list item on a line of its own always end a sentence; a single newline elsewhere is only a space.
    A list number belongs to the sentence that it opens.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for limit in _PARAGRAPH_OR_ITEM.finditer(text):
        spans += _spans_between(text, start, limit.start())
        start = limit.end()
    return spans + _spans_between(text, start, len(text))


def split_sentences(text: str) -> list[str]:
    """Return the sentences of ``text``, stripped and never empty.

    ``" ".join`` of the result is the text again but for the amount and kind of white space. See ``sentence_spans``.
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def _spans_between(text: str, start: int, end: int) -> list[tuple[int, int]]:
    while end > start and text[end - 1].isspace():
        end -= 1
    spans = []
    start = _skip_space(text, start, end)
    for stop in _STOP.finditer(text, start, end):
        if stop.end() == end or _ends_sentence(text[start : stop.start()], stop, _next_word(text, stop.end(), end)):
            spans.append((start, stop.end()))
            start = _skip_space(text, stop.end(), end)
    if start < end:
        spans.append((start, end))
    return spans


def _skip_space(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start


def _next_word(text: str, start: int, end: int) -> str:
    found = _NEXT_WORD.match(text, start, end)
    return found["word"] if found else ""


def _ends_sentence(before: str, stop: re.Match[str], following: str) -> bool:
    """Tell whether a stop ends the sentence ``before`` it, given the word that follows the stop."""
    marks = stop["marks"]
    # "eSIM" and "iPhone" open sentences although their first letter is small.
    goes_on = following[:1].islower() and following.islower()
    if goes_on and (stop["closing"] or marks in ("...", "…")):
        return False
    if marks != ".":
        return True
    words = before.split()
    word = words[-1].lstrip(_OPENING) if words else ""
    if word.isdigit() and len(word) <= 3 and (len(words) == 1 or words[-2].endswith(":")):
        return False  # the number of a step, not the end of one
    name = word.lower()
    if name in _NEVER_LAST:
        return False
    if name in _BEFORE_NUMBERS:
        return not following[:1].isdigit()
    if name in _CLOCK:
        return following[:1].isupper() and following.rstrip(".,;:)").lower() not in _AFTER_CLOCK
    if name in _OFTEN_LAST:
        return not goes_on and not following[:1].isdigit()
    if _DOTTED_LETTERS.fullmatch(word):
        return following.rstrip(",").lower().split("'")[0] in _OPENERS and not goes_on
    return True
