"""Finds phone numbers: those that phonenumbers knows, and those that the words before them call one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from system.personal.patterns import UNIT, Span

_REGIONS = ("US", "GB", "IE", "AU", "NZ", "IN", "DE", "FR")
_RUN = re.compile(r"(?<![\w$£€])(?<!\d[.,:/-])(?:\+ ?|\()?\(?\d{1,15}(?:[ ()./-]{1,3}\d{1,12}){0,7}(?!\w)")
_SAID = re.compile(
    r"(?:call|ring|dial|phone|text|sms|whatsapp|tel|telephone|mobile|cell|landline|fax|number|work|home|reach|contact|"
    r"line|ph)"
    r"(?: (?:me|us|back|on|at|is|was|number|no|my|her|him|them|mobile|phone|cell|home|office)\b|'s|[.:]){0,4}"
    r"[ (]{0,2}$",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension) ?\d{1,5}\b", re.IGNORECASE)
_NO_PHONE = re.compile(
    r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}|.*\. .*|.*(?<!\d)\d(?:[ .-]\d){3}(?!\d).*"
)
_AMERICAN = re.compile(r"(?:\+?1[ .-]?)?(?:\(\d{3}\) ?|\d{3}[ .-]?)\d{3}[ .-]?\d{4}|\d{3}[-.]\d{4}")
_MEASURED = re.compile(rf" ?(?:{UNIT}|%)(?!\w)|[.,:]\d", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _is_possible(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed) if region else phonenumbers.is_possible_number(parsed)


def _is_phone(number: str, said: bool) -> bool:
    digits = re.sub(r"\D", "", number)
    if not 7 - said <= len(digits) <= 17 or _NO_PHONE.fullmatch(number):
        return False
    if number[0] == "+" or digits.startswith("00"):
        return _is_possible("+" + digits.lstrip("0").replace("+", ""), None)
    if len(digits) > 15:
        return False
    if said or (digits == number and len(digits) >= 10) or _AMERICAN.fullmatch(number):
        return True
    groups = re.findall(r"\d+", number)
    if min(map(len, groups)) < 2 or len(groups) > 6 or len(digits) < 8:
        return False
    if digits[0] == "0" and 9 <= len(digits) <= 12:
        return "." not in number or len(digits) >= 10
    return len(groups) > 1 and "." not in number and any(_is_possible(digits, region) for region in _REGIONS)


def _is_open(number: str) -> bool:
    """Whether its brackets do not belong to it: "(555 0142", "555 0142)", "(5550142210)"."""
    return number.count("(") != number.count(")") or (number[0] == "(" and number[-1] == ")")


def phones(text: str) -> Iterator[Span]:
    for match in _RUN.finditer(text):
        if sum(map(str.isdigit, match[0])) < 6:
            continue
        # Numbers that stand beside it, "24 hours" or "2 calls to", are no part of it: the longest row of groups counts.
        groups = [group.span() for group in re.finditer(r"\(?\d+\)?", match[0])]
        rows = (
            (first, last)
            for size in range(len(groups), 0, -1)
            for first in range(len(groups) - size + 1)
            for last in (first + size - 1,)
        )
        for first, last in rows:
            start, end = match.start() + (groups[first][0] if first else 0), match.start() + groups[last][1]
            start += _is_open(text[start:end]) and text[start] == "("
            end -= _is_open(text[start:end]) and text[end - 1] == ")"
            said = first == 0 and _SAID.search(text[max(0, start - 40) : start]) is not None
            if _is_phone(text[start:end], said) and not _MEASURED.match(text, end):
                extension = _EXTENSION.match(text, end)
                yield start, extension.end() if extension else end
                break
        else:
            if match[0][0] == "+" and sum(map(str.isdigit, match[0])) >= 8:  # no country has it: mistyped, or invented
                yield match.span()
