"""What the finders of personal data share. Must not know which kinds of data there are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from system.claims import MEASURE

Span = tuple[int, int]
UNIT = rf"(?:{MEASURE}|kwh|dollars?|euros?|pounds?|degrees|metres?|meters?|miles?|feet|km|x)"


def any_of(words: str) -> str:
    return "(?:" + "|".join(words.split()) + ")"


def finder(pattern: str, flags: int = re.IGNORECASE) -> Callable[[str], Iterator[Span]]:
    """A finder of the pattern's group ``v``."""
    compiled = re.compile(pattern, flags)
    return lambda text: (match.span("v") for match in compiled.finditer(text))
