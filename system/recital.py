"""Words of the prompt in an answer: its instructions recited, its markers copied. None of them is for the customer.

    recitals("Say in one sentence that you can only help with Calderline services.", prompt.system)

Knows texts and the templates' own instructions; must not know models, variants or scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from system.settings import read_toml

RUN = 10  # words: shorter runs of a prompt are ordinary talk, "a support agent of the telecom company Calderline"
_TEMPLATES = Path(__file__).parent / "templates"
_APOSTROPHES = str.maketrans(dict.fromkeys("'’", None))
_MARKERS = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|</?(?:complaint|system|user|assistant|context|passages?|articles?|instructions?|s)>"
    r"|\[/?INST\]|<</?SYS>>|\{\{|\}\}|\{%|%\}"
    r"|^[ \t#*]*(?:system|assistant|user|human|customer|instructions?|prompt)[ \t*]*:"
    r"|^#{2,}[ \t]*(?:instruction|response|input)",
    re.IGNORECASE | re.MULTILINE,
)

_OTHERS_TURN = re.compile(r"^[ \t#*]*(?:customer|user|human)[ \t*]*:", re.IGNORECASE | re.MULTILINE)


def markers(text: str) -> list[str]:
    """Chat roles, tags and template braces in the text."""
    return [match.group() for match in _MARKERS.finditer(text)]


def own_turn(text: str) -> int:
    """Where the answer's own turn ends: before a line in which it begins to speak as the customer."""
    other = _OTHERS_TURN.search(text)
    return other.start() if other else len(text)


def recitals(text: str, instructions: str = "") -> list[str]:
    """Each run of RUN words that the text shares with the instructions or with those of any template.

    Case and punctuation do not count.
    """
    own = _runs_of(instructions)
    return [" ".join(run) for run in _runs(_plain_words(text)) if run in own or run in _template_runs()]


def _plain_words(text: str) -> list[str]:
    return re.findall(r"\w+", text.translate(_APOSTROPHES).casefold())


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + RUN]) for start in range(len(words) - RUN + 1))


@cache
def _runs_of(instructions: str) -> frozenset[tuple[str, ...]]:
    return frozenset(_runs(_plain_words(instructions)))


@cache
def _template_runs() -> frozenset[tuple[str, ...]]:
    contents = [read_toml(path) for path in sorted(_TEMPLATES.glob("*.toml"))]
    return frozenset(
        run for raw in contents for part in ("system", "system_with_context") for run in _runs_of(raw[part])
    )
