"""Redraws the facts of an example, the same way in its passages, message and replies.

A model that sees "$7 a month" beside a heading ten times learns the price by heart; one that sees another price each
time can only be right by reading. Redrawn are numbers, prices, phone numbers, links, menu paths and the colours of
lights. What the customer names stays as it is, for the rest of the message may depend on it.

    texts = redrawn([passage, ..., message, reply], message=n, draw=random.Random(seed))

Works on strings alone; must not know examples, prompts or models.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

COLOURS = "white red amber green blue purple orange yellow turquoise pink".split()
MENUS = (
    "Account Profile Settings Services Help Tools Devices Lines Plans Orders Payments Bills Usage Security Privacy "
    "Home Support Messages Options Extras Network Overview Store Alerts Family Contacts Status Calls Media Storage "
    "Travel Visits History Numbers Rewards Details Changes Equipment Signal Timer Requests Access Language Sharing"
).split()
PAGES = (
    "start setup check move return status guide forms track claim book lines devices credit visit report plans "
    "help-now switch renew options terms family travel safety request"
).split()
_PHONE = re.compile(r"(?<![\d-])(?:1-8\d\d-)?555-\d{4}(?!\d)")
_LINK = re.compile(r"(?<=\.example/)[a-z0-9-]+")
# The first word of a sentence is no part of the path that follows it: "Open Home > Alerts".
_VERB = (
    "Open|Choose|Select|Go|Tap|Press|See|Use|Set|Check|Find|Turn|Visit|Under|In|From|Start|Report|Click|Look|Then|Order|"
    "Book|Buy|Add|Change|Follow|Read|Try|Pick|Switch|Enter|Send|Type|Sign|Ask|Pay|Cancel|Watch|Move|Register|Also|Please"
)
_PART = r"[A-Z][\w'’&-]*(?: [A-Z0-9][\w'’&-]*){0,3}"
_PATH = re.compile(rf"(?<![\w>])(?!(?:{_VERB})\b){_PART}(?: > {_PART})+")
_COLOUR = re.compile(rf"\b(?:{'|'.join(COLOURS)})\b")
_LIGHT = re.compile(r"\b(?:light|lamp|LED|blink\w*|flash\w*|glow\w*|solid|steady)\b")
# Numbers that stand alone or before a unit; not those of names, phone numbers, links, versions or list markers.
_NUMBER = re.compile(r"(?<![\w.,:/#+-])(?P<dollar>\$)?(?P<number>\d{1,4})(?P<cents>\.\d\d)?(?![\w:/]|[.,]\d|-\d)")
_MARKER = re.compile(r"(?:^|(?<=\n)|(?<=[.:!?] ))\s*\d{1,2}[.)](?= )")
_CLOCK = re.compile(r"\s?(?:am|pm|noon|o'clock|midnight)\b", re.IGNORECASE)
_MONTH = re.compile(r"^ (?:January|February|March|April|May|June|July|August|September|October|November|December)\b")
_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_SPELT = {
    **{word: n for n, word in enumerate(_WORDS)},
    **{
        f"{tens}ty": n
        for tens, n in zip(("thir", "for", "fif", "six", "seven", "eigh", "nine"), range(30, 100, 10), strict=True)
    },
}


def redrawn(texts: Sequence[str], message: int, draw: random.Random) -> list[str]:
    """The texts with their facts redrawn; ``message`` is the place of the customer's text, whose facts stay."""
    fixed = texts[message]
    official = [text for n, text in enumerate(texts) if n != message]
    changed = list(texts)
    for swap in (_phones, _links, _paths, _colours, _numbers):
        replace = swap(official, fixed, draw)
        changed = [replace(text) for text in changed]
        official = [text for n, text in enumerate(changed) if n != message]
    changed[message] = fixed
    return changed


Replace = Callable[[str], str]


def _mapped(pattern: re.Pattern[str], new: dict[str, str]) -> Replace:
    return lambda text: pattern.sub(lambda match: new.get(match.group(), match.group()), text)


def _found(pattern: re.Pattern[str], texts: Sequence[str], fixed: str) -> list[str]:
    """What a pattern finds in the texts, each once, without what the customer's text holds."""
    kept = set(pattern.findall(fixed))
    return [
        old for old in dict.fromkeys(m.group() for text in texts for m in pattern.finditer(text)) if old not in kept
    ]


def _phones(texts: Sequence[str], fixed: str, draw: random.Random) -> Replace:
    old = _found(_PHONE, texts, fixed)
    digits = draw.sample(range(100, 200), len(old))  # 555-0100 to 555-0199 are set apart for fiction
    return _mapped(_PHONE, {phone: f"{phone[:-4]}0{new}" for phone, new in zip(old, digits, strict=True)})


def _links(texts: Sequence[str], fixed: str, draw: random.Random) -> Replace:
    old = _found(_LINK, texts, fixed)
    if len(old) > len(PAGES):
        return lambda text: text
    return _mapped(_LINK, dict(zip(old, draw.sample(PAGES, len(old)), strict=True)))


def _paths(texts: Sequence[str], fixed: str, draw: random.Random) -> Replace:
    """Each part of a menu path becomes another; where a part stands alone too, it is left as it is."""
    paths = _found(_PATH, texts, fixed)
    parts = dict.fromkeys(part for path in paths for part in path.split(" > "))
    rest = [_PATH.sub("", text) for text in (*texts, fixed)]
    free = [part for part in parts if not any(part in text for text in rest)]
    pool = [menu for menu in MENUS if menu not in parts]
    new = dict(zip(free, draw.sample(pool, min(len(free), len(pool))), strict=False))
    return lambda text: _PATH.sub(lambda m: " > ".join(new.get(p, p) for p in m.group().split(" > ")), text)


def _colours(texts: Sequence[str], fixed: str, draw: random.Random) -> Replace:
    if not any(_LIGHT.search(text) for text in texts):
        return lambda text: text
    named = set(re.findall("[a-z]+", fixed.lower())) & set(COLOURS)
    old = [colour for colour in _found(_COLOUR, texts, "") if colour not in named]
    pool = [colour for colour in COLOURS if colour not in named]
    return _mapped(_COLOUR, dict(zip(old, draw.sample(pool, len(old)), strict=True)))


def _numbers(texts: Sequence[str], fixed: str, draw: random.Random) -> Replace:
    """Each number from 2 on becomes another of its size, in the same order as before: "day 5" stays before "day 30"."""
    kept = {int(n) for n in re.findall(r"\d{1,9}", fixed)} | _spelt([fixed, *texts])
    old = sorted({int(m["number"]) for text in texts for m in _free_numbers(text)} - kept - {0, 1})
    new: list[int] = []
    for value in old:
        low, high = max(2, value * 6 // 10), value * 17 // 10 + 1
        step = 5 if value >= 20 and value % 5 == 0 else 1
        free = [n for n in range(-(-low // step) * step, high + 1, step) if n not in new and n not in kept]
        if not free:
            return lambda text: text
        new.append(draw.choice(free))
    values = dict(zip(old, sorted(new), strict=True))

    def replace(text: str) -> str:
        pieces, at = [], 0
        for match in _free_numbers(text):
            start, end = match.span("number")
            pieces += [text[at:start], str(values.get(int(match["number"]), match["number"]))]
            at = end
        return "".join((*pieces, text[at:]))

    return replace


def _free_numbers(text: str) -> list[re.Match[str]]:
    """The numbers of a text that may change: no list markers, times of day or days of a month."""
    markers = {m.end() for m in _MARKER.finditer(text)}
    return [
        m
        for m in _NUMBER.finditer(text)
        if m.end() + 1 not in markers
        and not _CLOCK.match(text, m.end())
        and not _MONTH.match(text[m.end() : m.end() + 11])
        and (m["dollar"] or not m["number"].startswith("0"))
    ]


def _spelt(texts: Sequence[str]) -> set[int]:
    """Numbers that the texts spell in words."""
    return {_SPELT[word] for text in texts for word in re.findall("[a-z]+", text.lower()) if word in _SPELT}
