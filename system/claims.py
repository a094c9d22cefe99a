"""Finds concrete claims in a text: phone numbers, links, prices, and times or deadlines. Needs no model.

Two spellings of one claim share a ``value``, so that an answer can be checked against the official texts. Works on
strings alone; must not know complaints, articles or answers. Vague words ("a few minutes", "soon") are no claims.

Every pattern starts at a boundary and has bounded repeats, so that the time taken is linear in the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["phone", "link", "price", "duration"]
Found = tuple[int, int, str]  # start, end, normalised value


@dataclass(frozen=True, slots=True)
class Claim:
    """A concrete claim. ``text`` is ``source[start:end]``; ``value`` is equal for two spellings of one claim."""

    kind: Kind
    text: str
    value: str
    start: int
    end: int


# One character for one, so that positions in the cleaned text are positions in the text.
_CLEAN = str.maketrans(
    {**dict.fromkeys("‐‑‒–—−", "-"), **dict.fromkeys("\u00a0\u2007\u202f\u2009", " "), "’": "'"}
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.ASCII)


# --- numbers, as digits or as words ---


def _worth(words: str, first: int, step: int) -> dict[str, int]:
    return {word: first + step * place for place, word in enumerate(words.split())}


_ONES = _worth("one two three four five six seven eight nine", 1, 1)
_TEENS = _worth("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen", 10, 1)
_TENS = _worth("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
_WORTH = {"a": 1, "an": 1, **_ONES, **_TEENS, **_TENS}

_one = f"(?:{'|'.join(_ONES)})"
_small = f"(?:(?:{'|'.join(_TENS)})(?:[- ]{_one})?|{'|'.join(_TEENS)}|{_one})"
_hundred = f"(?:(?:an?|{_one})[- ]hundred(?:(?: and)?[- ]{_small})?|{_small})"
_words = f"(?:(?:an? thousand|{_hundred} thousand)(?:(?: and)? {_hundred})?|{_hundred})"
_digits = r"(?:\d{1,3}(?:,\d{3}){1,3}(?:\.\d{1,2})?|\d{1,7}(?:[.,]\d{1,2})?)(?![\d,.]?\d)"
NUMBER = rf"(?<![\w.,])(?:{_digits}|{_words}(?![a-z]))"


def amount_of(words: str) -> str:
    """A number in its shortest decimal form: "1,000", "one thousand" and "1000.00" are all "1000"."""
    if words[0].isdigit():
        words = words if re.search(r",\d{1,2}$", words) is None else words.replace(",", ".")
        whole, _, rest = words.replace(",", "").partition(".")
        return ".".join(filter(None, (whole.lstrip("0") or "0", rest.rstrip("0"))))
    total = current = 0
    for word in re.findall("[a-z]+", words.lower()):
        if word == "hundred":
            current *= 100
        elif word == "thousand":
            total, current = current * 1000, 0
        else:
            current += _WORTH.get(word, 0)
    return str(total + current)


# --- links ---

# Country endings that are also English words ("in", "it", "no") would turn a missing space into a link.
_endings = (
    "com|net|org|info|biz|gov|edu|mil|int|io|co|app|dev|tech|cloud|online|site|website|shop|store|mobi|xyz|example|"
    "test|invalid|local|uk|de|fr|es|eu|nl|ie|ca|au|nz|jp|cn|ru|br|mx|se|dk|pl|cz|ch|ai|ly|tv"
)
_host = r"(?:[a-z0-9_-]{1,63}\.){1,8}"
_path = r"(?::\d{2,5})?(?:[/?#][^\s<>\[\](){}\"'`|]{0,500})?"
_LINK = compile_pattern(
    rf"(?<![\w.+@/-])(?:mailto:)?(?P<email>[\w.+-]{{1,64}}@{_host}[a-z]{{2,24}})(?![\w@])"
    rf"|(?<![\w/])(?:https?|ftp)://(?P<url>[a-z0-9_.@-]{{1,253}}{_path})"
    rf"|(?<![\w.@/-])(?P<bare>(?:www\.{_host}[a-z]{{2,24}}|{_host}(?:{_endings})|\d{{1,3}}(?:\.\d{{1,3}}){{3}})"
    rf"(?![\w@]|[-.]\w){_path})"
)


def _links(text: str) -> Iterator[Found]:
    for match in _LINK.finditer(text):
        found = match.group().rstrip(".,;:!?*_~/-")
        value = re.sub(r"^(?:mailto:|(?:https?|ftp)://)?(?:www\.)?", "", found.lower())
        if value:
            yield match.start(), match.start() + len(found), value


# --- phone numbers ---

_sep = r"(?: ?[-./] ?| )"
MEASURE = r"(?:[kmg]bps|[kmg]b|%|percent|per|times|hours?|hrs?|minutes?|mins?|days?|weeks?|months?|years?|[ap]\.?m)"
_no_more = rf"(?!\w|[-./]\d| ?{MEASURE}\b)"
_keep = f"(?! ?{MEASURE}\\b)"  # "call +44 20 7946 0958 24 hours": the last group is not part of the number
_free = r"8(?:00|88|77|66|55|44|33)"
_said = r"(?:call|dial|ring|phone|text|sms|whatsapp|tel|telephone|fax|hotline|helpline|(?:support|phone) number)"
THINGS = "characters|people|customers|times|agents|users|homes|words|letters|steps|recipients|points|devices"
_PHONE = compile_pattern(
    rf"(?<![\w+])(?P<number>"
    rf"(?:\+ ?1{_sep}?|1{_sep}?)?(?:\([2-9]\d{{2}}\){_sep}?|[2-9]\d{{2}}{_sep})\d{{3}}{_sep}\d{{4}}{_no_more}"
    rf"|(?:\+ ?|\b00)[1-9]\d{{0,14}}(?!\d)(?:{_sep}?\(?\d{{1,12}}(?!\d){_keep}\)?){{0,6}}(?!\w)"
    # Words for digits, 1-800-FLOWERS, need the dash: "800 dollars" and "an 800-dollar phone" are prices.
    rf"|(?:1{_sep}?)?(?:\({_free}\) ?|{_free}[-.])(?!(?:dollar|buck|pound|euro|cent|quid)s?\b)"
    rf"[a-z0-9]{{2,10}}(?:{_sep}\d{{1,7}}(?!\d){_keep}){{0,3}}(?!\w)"
    rf"|1?[2-9]\d{{2}}[2-9]\d{{6}}{_no_more}"
    rf"|\(?0\d{{2,4}}\)?{_sep}\d{{3,4}}(?:{_sep}?\d{{3,4}})?{_no_more}|0\d{{9,10}}{_no_more}"
    rf"|[2-9]\d{{2}}[-.]\d{{4}}{_no_more})"
    rf"|\b{_said}:?(?: [a-z']{{1,15}}){{0,5}}?:? \(?(?P<said>\d{{2,5}}(?:[- .]\d{{2,6}}){{1,4}}|\d{{7,13}})"
    rf"{_no_more}"
    rf"|\b(?:call|dial|ring|phone|text|sms|press)(?: us)?(?: (?:on|at)| \w{{1,15}} to|(?: [a-z']{{1,15}}){{1,5}}? "
    rf"(?:on|at|number))?:? \(?(?P<code>[*#]?\d{{3,6}}#?)(?!\w|\) ?\d|[-.,:/]\w| ?{MEASURE}\b| (?:{THINGS})\b)"
)
_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
_OTHER_NUMBER = compile_pattern(
    r"\b(?:account|order|reference|ticket|case|serial|invoice|customer|confirmation|tracking)\b"
)


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        group = str(match.lastgroup)
        if group != "number" and _OTHER_NUMBER.search(match.group()):
            continue
        found = match.group(group)
        digits = re.sub(r"\D", "", found.lower().translate(_KEYPAD))
        is_international = found.startswith(("+", "00"))
        digits = digits.lstrip("0") if is_international else digits
        if group != "code" and not 7 <= len(digits) <= 15:
            continue
        if len(digits) > 10 and digits[0] == "1" and (len(digits) == 11 or re.search("[a-z]{4}", found.lower())):
            digits = digits[1:]  # North American country code, often left out
        if re.search("[a-z]{4}", found.lower()):
            digits = digits[:10]  # a phone ignores the surplus letters of a name
        yield match.start(group), match.end(group), digits


# --- prices ---

_signs = {"$": "usd", "£": "gbp", "€": "eur", "¢": "cent"}
_names = {"usd": "usd", "dollar": "usd", "buck": "usd", "gbp": "gbp", "pound": "gbp", "quid": "gbp", "eur": "eur"}
_names |= {"euro": "eur", "cent": "cent"}
_money = "USD|GBP|EUR|dollars?|bucks?|pounds?|quid|euros?|cents?"
_cut = "off|discount|credit|rebate|reduction|refund|cheaper|less|saving"
_PERCENT = compile_pattern(" ?(?:%|per ?cent)$")
_percent = rf"(?:{NUMBER} ?(?:%|percent\b|per cent\b))"
_PRICE = compile_pattern(
    rf"(?:(?:\b(?:US|CA|AU|NZ))?(?P<sign>[$£€]) ?|\b(?P<iso>USD|GBP|EUR) ?)(?P<after>(?:{_digits}))"
    rf"(?: ?- ?[$£€]?(?P<to>{_digits}))?"
    rf"|(?P<before>{NUMBER}|(?<!\w)an?(?= (?:dollar|euro|buck)\b))(?:[- ]?(?P<name>{_money})\b| ?(?P<tail>[$£€¢]))"
    rf"|(?P<percent>{_percent})(?= (?:[a-z]{{1,15}} ){{0,3}}(?:{_cut})\b"
    rf"| of (?:the|your|its) (?:[a-z]{{1,15}} ){{0,3}}(?:price|bill|fee|charge|cost)\b)"
    rf"|\b(?:{_cut}|save)\b (?:[a-z]{{1,15}} ){{0,3}}?(?P<percent_after>{_percent})"
)


def _money_value(amount: str, currency: str) -> str:
    if currency == "cent":
        return f"usd {amount_of(f'{float(amount_of(amount)) / 100:.4f}')}"
    return f"{currency} {amount_of(amount)}"


def _prices(text: str) -> Iterator[Found]:
    for match in _PRICE.finditer(text):
        start, end = match.span()
        if percent := match["percent"] or match["percent_after"]:
            start = match.start("percent") if match["percent"] else match.start("percent_after")
            yield start, start + len(percent), f"{amount_of(_PERCENT.sub('', percent))} %"
        elif match["after"]:
            currency = _signs[match["sign"]] if match["sign"] else match["iso"].lower()
            yield start, match.end("after"), _money_value(match["after"], currency)
            if match["to"]:
                yield match.start("to"), end, _money_value(match["to"], currency)
        else:
            currency = _names[match["name"].lower().removesuffix("s")] if match["name"] else _signs[match["tail"]]
            yield start, end, _money_value(match["before"], currency)


# --- durations, times of day, deadlines ---

_units = {"sec": "second", "min": "minute", "hr": "hour", "h": "hour", "wk": "week", "weekday": "business day"}
_unit = (
    r"(?:(?:business|working|week)[- ]?days?|seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|weeks?|wks?|months?|"
    r"years?)(?![\w@])"
)
_full = "(?:(?:full|whole|consecutive|straight|calendar|more|additional|extra|further|entire|short)[- ])?"
_day_name = "(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_day_short = f"(?:{_day_name}|mon|tues?|wed|thu(?:rs?)?|fri|sat|sun)"
_month = "(?:january|february|march|april|(?-i:May)|june|july|august|september|october|november|december)"
_clock = r"\d{1,2}(?:[:.][0-5]\d)?"
_half = r"[ap](?:m\b|\.m\.?(?!\w))"
_TIME = compile_pattern(
    rf"(?<![\w.,$£€:])(?:(?:between |from )?(?P<from>{_clock}) ?(?P<from_half>{_half})? ?(?:-|to|until|till|and) ?)?"
    rf"(?P<at>{_clock}) ?(?P<half>{_half})"
    rf"|(?<![\w.:])(?P<clock24>(?:[01]?\d|2[0-3]):[0-5]\d)(?![\w:])"
    rf"|(?<![\w.])(?P<oclock>\d{{1,2}}|{_small}) o'?clock\b|\b(?P<named>noon|midday|midnight)\b"
)
_DURATION = compile_pattern(
    rf"(?:(?P<low>{NUMBER})(?<!hundred)(?<!thousand)(?P<join>(?<=\d) ?- ?| to |-? or | and )(?=\d|[a-z]))?"
    rf"(?P<number>{NUMBER})(?P<plus> and a half)?"
    rf"(?: ?\([\w -]{{1,20}}\))?(?:[- ])?{_full}(?P<unit>{_unit})(?! to the next)"
    rf"|\b(?:within|in|for|after|every|under|inside|takes?) (?:an?|the|the next) {_full}"
    rf"(?P<single>(?:business|working) day|hour|day|week|month|year)\b|\b(?P<half>half an hour)\b|\b(?P<always>24/7)\b"
)
_DAY = compile_pattern(
    rf"\b(?P<next>next (?:business |working )?(?:day|week|month|year|{_day_name}))\b"
    rf"|\b(?P<first>{_day_short}) ?(?:-|to|through|until) ?(?P<last>{_day_short})\b|\b(?P<day>{_day_name})s?\b"
    rf"|\b(?P<soon>tomorrow|(?:same|next)[- ](?:business )?day|day after tomorrow)\b"
    rf"|\b(?:by|until|till|before) (?P<until>today|tonight|(?:the )?(?:end|close) of (?:the |this |next )?"
    rf"(?:business day|business|day|week|month|year))\b"
    rf"|\b(?P<month>{_month}) (?P<date>\d{{1,2}})(?:st|nd|rd|th)?\b(?![:.]\d)|\b(?P<date2>\d{{1,2}})(?:st|nd|rd|th)?"
    rf"(?: of)? (?P<month2>{_month})\b|(?<![\w-])(?P<iso>20\d\d-[01]\d-[0-3]\d)(?![\w-])"
)
_MONTHS = _worth("january february march april may june july august september october november december", 1, 1)


def _time(clock: str, half: str) -> str:
    hour, _, minute = clock.replace(".", ":").partition(":")
    return f"{int(hour) % 12 + 12 * (half[0].lower() == 'p'):02}:{minute or '00'}"


def _times(text: str) -> Iterator[Found]:
    for match in _TIME.finditer(text):
        start, end = match.span()
        if match["at"]:
            late = _time(match["at"], match["half"])
            if match["from"]:
                half = match["from_half"] or match["half"]
                early = _time(match["from"], half)
                if not match["from_half"] and early > late:  # "9-5 pm" starts in the morning
                    early = _time(match["from"], "am" if half[0].lower() == "p" else "pm")
                stop = match.end("from_half") if match["from_half"] else match.end("from")
                yield match.start("from"), stop, early
            yield match.start("at"), end, late
        elif match["clock24"]:
            yield start, end, match["clock24"].zfill(5)
        elif match["oclock"]:
            yield start, end, f"{amount_of(match['oclock'])} o'clock"
        else:
            yield start, end, "00:00" if match["named"].lower() == "midnight" else "12:00"


def _durations(text: str) -> Iterator[Found]:
    for match in _DURATION.finditer(text):
        start, end = match.span()
        if match["always"]:
            yield start, end, "24/7"
        elif match["half"]:
            yield start, end, "30 minute"
        else:
            unit = re.sub(r"(?:business|working|week)[- ]?days?", "weekday", (match["unit"] or match["single"]).lower())
            unit = unit.removesuffix("s")
            unit = _units.get(unit, unit)
            number = amount_of(match["number"]) if match["number"] else "1"
            number += ".5" if match["plus"] else ""
            if match["low"] and match["join"].strip(" -") in ("or", "and"):
                yield start, match.end("low"), f"{amount_of(match['low'])} {unit}"
                yield match.start("number"), end, f"{number} {unit}"
            else:
                yield start, end, f"{amount_of(match['low'])}-{number} {unit}" if match["low"] else f"{number} {unit}"


def _days(text: str) -> Iterator[Found]:
    for match in _DAY.finditer(text):
        start, end = match.span()
        if match["first"]:
            for part in ("first", "last"):
                yield match.start(part), match.end(part), match[part][:3].lower()
        elif match["day"]:
            yield start, end, match["day"][:3].lower()
        elif match["month"] or match["month2"]:
            month = _MONTHS[(match["month"] or match["month2"]).lower()]
            yield start, end, f"{month:02}-{int(match['date'] or match['date2']):02}"
        elif match["iso"]:
            yield start, end, match["iso"][5:]
        else:
            words = (match["next"] or match["soon"] or match["until"]).lower()
            words = re.sub(r"\b(?:the|this) ", "", words).replace("working", "business").replace("-", " ")
            yield start, end, re.sub(rf"({_day_name})", lambda name: name.group()[:3], words)


# Links hold digits and phone numbers hold what looks like times, so what one finder took is hidden from the next.
_FINDERS: tuple[tuple[Kind, Callable[[str], Iterator[Found]]], ...] = (
    ("link", _links),
    ("phone", _phones),
    ("price", _prices),
    ("duration", _times),
    ("duration", _durations),
    ("duration", _days),
)


@lru_cache(maxsize=4096)  # four rules ask for the claims of one answer
def find_claims(text: str) -> tuple[Claim, ...]:
    """Return the concrete claims of a text in the order in which they stand there."""
    rest = re.sub(r"\s", " ", text.translate(_CLEAN))
    claims = []
    for kind, find in _FINDERS:
        kept: list[str] = []
        last = 0
        for start, end, value in find(rest):
            claims.append(Claim(kind, text[start:end], value, start, end))
            kept += rest[last:start], "\0" * (end - start)
            last = end
        rest = "".join((*kept, rest[last:]))
    return tuple(sorted(claims, key=lambda claim: claim.start))


@lru_cache(maxsize=4096)
def _known(paragraph: str) -> frozenset[tuple[Kind, str]]:
    return frozenset((claim.kind, claim.value) for claim in find_claims(paragraph))


def unsupported(text: str, sources: Iterable[str]) -> tuple[Claim, ...]:
    """Return the claims of a text that stand in none of the sources, in whatever spelling."""
    claims = find_claims(text)
    if not claims:
        return ()
    # Paragraph by paragraph, because answers are checked against the same articles over and over again.
    known: set[tuple[Kind, str]] = set()
    for source in sources:
        known.update(*(_known(paragraph) for paragraph in source.split("\n\n")))
    return tuple(claim for claim in claims if (claim.kind, claim.value) not in known)
