"""Masks customers' personal data in texts that are logged or leave the machine, and puts it back into an answer.

    masked = mask("I am Ann Lee, ann@home.example", keep=company_values(official_text(folder)))
    masked.text                           # "I am [name 1], [email 1]"
    masked.restore("Thank you, [name 1]")  # "Thank you, Ann Lee"
    masked.hide(answer)                    # the answer under the same placeholders, its own finds masked too

Presidio needs a spaCy model, scrubadub has had no release since 2023; so phonenumbers and python-stdnum check numbers,
and the rest is patterns. Names are found by what stands around them ("my name is", "Regards,"), so a name without such
words stays. Works on strings alone; must not know complaints, articles or answers.

Every pattern starts at a boundary and has bounded repeats, so that the time taken is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Literal, get_args

from system.claims import find_claims
from system.personal.addresses import addresses
from system.personal.names import WORD, is_stop, names
from system.personal.numbers import births, cards, emails, ibans, ips, macs, references, ssns
from system.personal.patterns import Span
from system.personal.phones import phones
from system.personal.secrets import secrets

Kind = Literal[
    "name", "email", "phone", "card", "iban", "ssn", "reference", "address", "ip", "mac", "birth", "secret"
]  # "ssn" stands for any national insurance number
Found = tuple[str, str, Kind]  # placeholder, original, kind

_KINDS = "|".join(get_args(Kind))
_PLACEHOLDER = re.compile(rf"\[(?:{_KINDS}) [1-9]\d{{0,8}}\]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Masked:
    """A text without personal data.

    ``found`` has one entry for each placeholder, in order of first appearance; ``keep`` is what stays, as it was given.
    """

    text: str
    found: tuple[Found, ...]
    keep: Collection[str] = field(default=(), repr=False, compare=False)

    def restore(self, text: str) -> str:
        """``text`` with the original in the place of each placeholder of this mask; other placeholders stay."""
        originals = {placeholder: original for placeholder, original, _ in self.found}
        return _PLACEHOLDER.sub(lambda match: originals.get(match[0], match[0]), text)

    def hide(self, text: str) -> str:
        """Another text, such as the answer, masked: under this text's placeholders where it repeats its values."""
        return hide(text, self.found, self.keep).text


def mask(text: str, keep: Collection[str] = ()) -> Masked:
    """Put placeholders such as ``[email 1]`` in the place of personal data; one value has one placeholder.

    Values in ``keep``, in any spelling, stay. Placeholders that stand in the text already stay and are not used again,
    so that masking twice changes nothing. Takes every string.
    """
    return hide(text, (), keep)


def masked(text: str, keep: Collection[str] = ()) -> str:
    """The text of ``mask(text, keep)``."""
    return mask(text, keep).text


def hide(text: str, found: Sequence[Found], keep: Collection[str] = ()) -> Masked:
    """Mask a text that goes with another one: what was ``found`` there has its placeholder here.

    Part of a known name ("Ann" of "Ann Lee") is hidden under a placeholder of its own. ``found`` of the result holds
    only what stands in this text.
    """
    kept = frozenset(map(_normal, keep))
    known = {original: kind for _, original, kind in found}
    page = _Page(text)
    page.hide(_words_of(page.raw, known))
    again = True
    while again:  # a find may uncover another; the text shrinks with each
        again = False
        for kind, find in _FINDERS:
            spans = page.clear(find(page.clean))
            known |= {page.raw[start:end]: kind for start, end in spans if _normal(page.raw[start:end]) not in kept}
            again |= page.hide((*span, None if _normal(page.raw[slice(*span)]) in kept else kind) for span in spans)
        again |= page.hide(_words_of(page.raw, known))
    return page.masked({(original, kind): placeholder for placeholder, original, kind in found}, keep)


def company_values(official: str) -> frozenset[str]:
    """What its official text names of the company's own, for ``keep``: phone numbers, links, addresses of all kinds."""
    claims = {claim.text for claim in find_claims(official) if claim.kind in ("phone", "link")}
    own = ("email", "phone", "address", "ip")
    return frozenset(claims | {original for _, original, kind in mask(official).found if kind in own})


def _normal(value: str) -> str:
    """Equal for two spellings of one value: letters and digits, without North America's optional country code."""
    plain = re.sub(r"[\W_]", "", value).casefold()
    return plain[1:] if len(plain) == 11 and plain.isdigit() and plain[0] == "1" else plain


_MARK = "\x1f"  # white space that no customer types; patterns cannot run across it
_CLEAN = str.maketrans({**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("\u00a0\u2007\u202f\u2009", " "), "’": "'"})


class _Page:
    """A text in which each hidden piece is one mark, so that finders see the same whatever was hidden there.

    That makes masking idempotent: a masked text, its placeholders hidden, is the page on which nothing was found.
    """

    def __init__(self, text: str):
        self.raw = text
        self._hidden: list[tuple[str, Kind | None]] = []  # a piece without a kind is put back as it was
        pieces = re.compile(f"{_PLACEHOLDER.pattern}|{_MARK}")
        self.hide((*match.span(), None) for match in pieces.finditer(text))

    @property
    def clean(self) -> str:
        """The text with plain dashes, blanks and apostrophes, position by position."""
        return self.raw.translate(_CLEAN)

    def clear(self, spans: Iterable[Span]) -> list[Span]:
        """Those spans that are not empty, hold no mark and do not overlap one before."""
        clear, last = [], 0
        for start, end in sorted(spans):
            if last <= start < end and _MARK not in self.raw[start:end]:
                clear.append((start, end))
                last = end
        return clear

    def hide(self, spans: Iterable[tuple[int, int, Kind | None]]) -> bool:
        """Hide spans, which are in order and do not overlap. Whether there were any."""
        pieces: list[str] = []
        hidden: list[tuple[str, Kind | None]] = []
        before, last = iter(self._hidden), 0
        for start, end, kind in spans:
            piece = self.raw[last:start]
            pieces += piece, _MARK
            hidden += (*islice(before, piece.count(_MARK)), (self.raw[start:end], kind))
            last = end
        self._hidden = [*hidden, *before]
        self.raw = "".join((*pieces, self.raw[last:]))
        return bool(pieces)

    def masked(self, placeholders: dict[tuple[str, Kind], str], keep: Collection[str]) -> Masked:
        """The page with placeholders: the given ones for values known before, the first free ones for the others."""
        used = {piece for piece, kind in self._hidden if kind is None} | set(placeholders.values())
        free = {kind: _free(kind, used) for kind in get_args(Kind)}
        found: dict[tuple[str, Kind], Found] = {}
        pieces: list[str] = []
        for gap, (piece, kind) in zip(self.raw.split(_MARK), (*self._hidden, ("", None)), strict=True):
            if kind:
                placeholder = placeholders.get((piece, kind)) or next(free[kind])
                placeholders[piece, kind] = placeholder
                found[piece, kind] = (placeholder, piece, kind)
                piece = placeholder
            pieces += gap, piece
        return Masked("".join(pieces), tuple(found.values()), keep)


def _free(kind: Kind, used: Collection[str]) -> Iterator[str]:
    return (f"[{kind} {n}]" for n in count(1) if f"[{kind} {n}]" not in used)


_SHORTEST = 4  # of a value, names aside, that is looked for elsewhere: a security code 123 may also be a price


def _words_of(raw: str, known: dict[str, Kind]) -> Iterator[tuple[int, int, Kind]]:
    """Known values, and capitalised parts of known names, wherever they stand as words."""
    wanted: dict[str, Kind] = {}
    for value, kind in known.items():
        if _MARK in value:
            continue
        if kind == "name":
            parts = [value, *WORD.findall(value)]
            wanted |= {part: kind for part in parts if len(part) > 2 and part[0].isupper() and not is_stop(part)}
        elif len(value) >= _SHORTEST and not is_stop(value):
            wanted[value] = kind
    lengths: dict[str, set[int]] = {}
    for value in wanted:
        if first := _TOKEN.match(value):
            lengths.setdefault(first[0], set()).add(len(value))
    last = 0
    for token in _TOKEN.finditer(raw) if lengths else ():
        start = token.start()
        for length in sorted(lengths.get(token[0], ()), reverse=True) if start >= last else ():
            end = start + length
            kind_there = wanted.get(raw[start:end]) if end <= len(raw) else None
            if kind_there and not (raw[end - 1].isalnum() and raw[end : end + 1].isalnum()):
                yield start, end, kind_there
                last = end
                break


_TOKEN = re.compile(r"\w+|[^\w\s]")


_FINDERS: tuple[tuple[Kind, Callable[[str], Iterator[Span]]], ...] = (
    ("email", emails),
    ("iban", ibans),
    ("ssn", ssns),
    ("secret", secrets),
    ("birth", births),
    ("reference", references),
    ("card", cards),
    ("mac", macs),
    ("ip", ips),
    ("address", addresses),
    ("phone", phones),
    ("name", names),
)
