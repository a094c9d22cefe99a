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
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import count, islice
from typing import Any, Literal, get_args

from system.claims import MEASURE, find_claims

Kind = Literal[
    "name", "email", "phone", "card", "iban", "ssn", "reference", "address", "ip", "mac", "birth", "secret"
]  # "ssn" stands for any national insurance number
Found = tuple[str, str, Kind]  # placeholder, original, kind
Span = tuple[int, int]

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
            parts = [value, *_WORD.findall(value)]
            wanted |= {part: kind for part in parts if len(part) > 2 and part[0].isupper() and not _is_stop(part)}
        elif len(value) >= _SHORTEST and not _is_stop(value):
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


def _any(words: str) -> str:
    return "(?:" + "|".join(words.split()) + ")"


def _finder(pattern: str, flags: int = re.IGNORECASE) -> Callable[[str], Iterator[Span]]:
    """A finder of the pattern's group ``v``."""
    compiled = re.compile(pattern, flags)
    return lambda text: (match.span("v") for match in compiled.finditer(text))


# --- network: e-mail, IP and MAC addresses ---

_LOCAL = r"[\w!#$%&'*+/=?^`{|}~.-]"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(
    rf"(?<!\w)(?P<v>{_LOCAL}{{1,64}}@(?:{_LABEL}\.){{1,126}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,63}}))", re.I
)
_MAC = r"(?<![\w:-])(?P<v>[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5}|(?:-[0-9a-f]{2}){5}))(?![\w:-])"
_IP = re.compile(
    r"(?<![\w.:-])(?P<version>(?:firmware|version|ver|build|release|update|v)[ .:]{1,2})?"
    r"(?P<v>\d{1,3}(?:\.\d{1,3}){3}(?![\w-]|\.\d)|(?=[0-9a-f]{0,4}:[0-9a-f:]{0,34}:)[0-9a-f:]{2,39}(?![\w:]))",
    re.IGNORECASE,
)
_LOCAL_NETWORKS = [
    ip_network(block)
    for block in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8"),
        *("224.0.0.0/3", "fe80::/10", "fc00::/7", "::/127", "ff00::/8"),
    )
]
_PUBLIC_RESOLVERS = set("8.8.8.8 8.8.4.4 1.1.1.1 1.0.0.1 9.9.9.9 208.67.222.222 208.67.220.220".split())


def _emails(text: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(text):
        local = match[0].partition("@")[0]
        yield match.start() + (len(local) - len(local.lstrip("'`-.*/=")) if local.strip("'`-.*/=") else 0), match.end()


def _ips(text: str) -> Iterator[Span]:
    for match in _IP.finditer(text):
        try:
            address = ip_address(match["v"])
        except ValueError:
            continue
        local = any(address in network for network in _LOCAL_NETWORKS if network.version == address.version)
        if not (match["version"] or local or match["v"] in _PUBLIC_RESOLVERS):
            yield match.span("v")


# --- money: IBAN, cards; national insurance ---

_IBAN = re.compile(r"(?<!\w)[a-z]{2}\d{2}(?: ?[a-z0-9]{4}){2,7}(?: ?[a-z0-9]{1,3})?(?!\w)", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.,-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_FOURS = re.compile(r"[2-6]\d{3}(?:[ -]\d{4}){3}")
_SSN = (
    r"(?<![\w-])(?P<v>\d{3}-\d{2}-\d{4}|(?-i:[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]))(?![\w-])"
    r"|\b(?:ssn|(?:social security|national insurance)(?: number| no\.?)?)(?: is|:)? "
    r"(?P<w>\d{3}[ -]?\d{2}[ -]?\d{4})\b"
)


def _ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        # The words that follow may look like its last groups.
        ends = [match.end(), *(match.start() + gap.start() for gap in reversed([*re.finditer(" ", match[0])]))]
        yield from islice(((match.start(), end) for end in ends if iban.is_valid(text[match.start() : end], False)), 1)


def _cards(text: str) -> Iterator[Span]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _FOURS.fullmatch(match[0]) or (digits[0] in "23456" and luhn.is_valid(digits)):
            yield match.span()


def _ssns(text: str) -> Iterator[Span]:
    for match in re.finditer(_SSN, text, re.IGNORECASE):
        yield match.span("v" if match["v"] else "w")


_UNIT = rf"(?:{MEASURE}|kwh|dollars?|euros?|pounds?|degrees|metres?|meters?|miles?|feet|km|x)"

# --- references: numbers of accounts, orders, devices ---

_THING = _any(
    "account acct a/c acc customer client subscriber member user order purchase ticket case incident complaint claim "
    "ref reference contract policy invoice bill meter mpan imei imsi iccid meid eid sim esim serial s/n tracking "
    "shipment parcel refund booking appointment confirmation transaction payment device sort routing tax passport "
    "licence license"
)
_NUMBERED = r"(?:numbers?|no|nr|num|id|ref|reference|(?:reading )?point|card(?: number)?|code(?= \d\d-))"
_DEVICE = r"(?:imei|imsi|iccid|meid|eid|mpan|s/n)"
_REFERENCE = re.compile(
    rf"(?<![\w/])(?P<thing>{_THING})(?P<number>(?: ?{_NUMBERED}\b\.?| ?#){{0,2}})(?P<colon> ?[:=#])?"
    r"(?: (?:is|was|are|it's))?(?: |(?<=[:=#]))"
    r"(?P<v>[a-z]{0,6}[-/]?(?=[a-z]{0,3}\d)[a-z0-9]{1,24}(?:[-/][a-z0-9]{1,16}){0,6}(?: \d{2,4}(?!\w|[.,:]\d)){0,5})"
    rf"(?!\w|[.,:]\d| ?(?:{_UNIT}|[ap]m|th|st|nd|rd)\b|%)"
    r"|(?<![\w/-])(?P<glued>(?:case|inv|ord|order|ref|tkt|ticket|acc|acct|cust|contract)[-#]?\d[a-z0-9]{2,12}"
    r"(?:-[a-z0-9]{1,12}){0,4})\b",
    re.IGNORECASE,
)


def _references(text: str) -> Iterator[Span]:
    for match in _REFERENCE.finditer(text):
        if match["glued"]:
            yield match.span("glued")
            continue
        value = match["v"]
        digits = sum(map(str.isdigit, value))
        named = match["number"] or match["colon"] or re.fullmatch(_DEVICE, match["thing"], re.IGNORECASE)
        mixed = re.search("[a-z]", value, re.IGNORECASE) is not None
        if digits >= (3 if named or (mixed and "-" in value) else 5):
            yield match.span("v")


# --- dates of birth ---

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = (
    r"(?:\d{1,4}(?P<sep>[-./ ])\d{1,2}(?P=sep)\d{2,4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?(?: of)?[ -]{_MONTH},?[ -]\d{{2,4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    r"|(?:19|20)\d\d)(?!\w)"
)
_BIRTH = (
    r"(?<!\w)(?:born|date of birth|d\.?o\.?b\.?|birth ?(?:day|date))"
    r"(?: (?:is|was|on|in|of|file|the|my|record)\b|[:=,(]){0,4}"
    rf"[ \n]?\(?(?P<v>{_DATE})"
)

# --- secrets: passwords, PINs, codes ---

_OTHER_CODES = (
    "error area country postal post zip promo discount voucher fault status dial dialling sort source".split()
)
_LOGIN = (
    r"(?:pass ?-?word|pass ?-?code|pass ?-?phrase|passwd|pwd|pw|pass|wi-?fi key|network key|maiden name|"
    r"secret (?:word|answer))"
)
_CODE = (
    r"(?:pins?(?: (?:code|number))?|puk(?: code)?|cvv2?|cvc2?|cvn|csc|otp|(?:security|verification|access|login|sms|"
    r"text|activation|one[- ]time|unlock|2fa|authentication) (?:code|number|pin)|"
    + "".join(f"(?<!{other} )" for other in _OTHER_CODES)
    + "code)"
)
_TO_BE = r"(?P<is>(?: (?:i (?:got|gave|used|have|had)|you gave me|is|was|are|it's|he got|they got)\b| ?[:=]|,){1,2})?"
_SECRET = re.compile(
    rf"\b(?:(?P<login>{_LOGIN})|(?P<code>{_CODE})){_TO_BE} ?[\"'(]?(?<=[ :=\"'(])(?P<v>[^\s\"()]{{3,64}})(?![^\s\"()])"
    r"|\b(?:number|code|digits)(?: [a-z']{1,12}){1,6}: ?(?P<told>\d{4,8})(?!\w|[.,]\d)",
    re.IGNORECASE,
)
_SYMBOLS = re.compile(r"[!@#$%^&*_]|\w[^\w'/-]\w")
_PRICE = re.compile(r"[$£€]\d")
_ENDS = re.compile(r"[.,;!?\"')\n]|$| (?:and|but)\b")
_IS_CODE = re.compile(
    r"(?:[a-z]{1,2}-)?\d{3,10}|\d{2,4}(?:-\d{2,4}){1,3}|(?=[a-z]*\d[a-z\d]*)[a-z\d]{4,10}", re.IGNORECASE
)


def _secrets(text: str) -> Iterator[Span]:
    for match in _SECRET.finditer(text):
        if match["told"]:
            yield match.span("told")
            continue
        value = match["v"].rstrip(".,;:'?")
        end = match.start("v") + len(value)
        stated = (match["is"] or "").strip()
        digits = sum(map(str.isdigit, value))
        if match["code"]:
            good = bool(_IS_CODE.fullmatch(value)) and digits >= 3
        elif _PRICE.match(value):
            good = False
        elif digits or _SYMBOLS.search(value):
            good = bool(stated) or digits < len(value)
        else:  # "my password is hunter, and", but neither "is wrong." nor "is on the sticker"
            good = bool(stated[-1:] in ("=", ":") or (stated and stated != "are" and _ENDS.match(text, end)))
            good = good and not (_is_stop(value) or _ADJECTIVE.match(value))
        if good and len(value) >= 3:
            yield match.start("v"), end


# --- phone numbers ---

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
_MEASURED = re.compile(rf" ?(?:{_UNIT}|%)(?!\w)|[.,:]\d", re.IGNORECASE)


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


def _phones(text: str) -> Iterator[Span]:
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


# --- postal addresses ---

_STREET = _any(
    "street st road rd avenue ave lane ln drive dr close court ct crescent place pl square sq terrace way gardens? "
    "grove mews hill row walk boulevard blvd parkway pkwy highway hwy circle cir trail park rise quay wharf alley "
    "loop drove yard green view"
)
_STATE = _any(
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR "
    "PA RI SC SD TN TX UT VT VA WA WV WI WY DC"
)
_POSTCODE = r"(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2})"
_ZIP = rf"(?:{_STATE} \d{{5}}(?:-\d{{4}})?)"
_CAP = r"(?:[A-Z][\w'.-]{0,20}|\d{1,3}(?:st|nd|rd|th))"
_INSIDE = r"(?:(?i:flat|apt\.?|apartment|unit|suite|room|#) ?\w{1,5})"
_TOWN = rf"(?:,? ?\n?[ ]?(?:{_CAP} ){{0,3}}{_CAP},? ?\n?(?:{_POSTCODE}|{_ZIP})|,? ?\n?(?:{_POSTCODE}|{_ZIP}))"
_LIVES = (
    r"(?:live|lives|living|address|moved|moving|located|house|flat|home|am|stay)(?: (?:at|is|to|from|in|on)\b|:){1,2} "
)
_ADDRESS = re.compile(
    rf"(?<![\w.,$£€/-])(?P<v>(?:{_INSIDE},? )?\d{{1,5}}[a-zA-Z]?,? (?:{_CAP} ){{1,4}}(?i:{_STREET})\b\.?"
    rf"(?:,? {_INSIDE})?(?:{_TOWN})?\b)"
    rf"|\b(?i:{_LIVES})"
    rf"(?P<lower>(?:{_INSIDE},? )?\d{{1,5}}[a-z]? (?:[a-z']{{2,15}} ){{1,3}}(?i:{_STREET})\b)"
    r"|(?<![\w.,$£€/-])(?P<french>\d{1,4}(?:,| bis)? (?i:rue|avenue|place|via|calle|chemin)(?: [\w'-]{1,15}){0,2} "
    r"[A-Z][\w'-]{1,20})"
    r"|\b(?P<german>[A-ZÄÖÜ][\wäöüß-]{2,30}(?:straße|strasse|str\.|weg|gasse|platz) \d{1,4}[a-z]?\b)"
    r"|(?<!\w)(?P<box>(?i:p\.? ?o\.? ?box) \d{1,6})\b"
    rf"|(?<![\w-])(?P<post>(?:{_CAP} ){{0,2}}{_CAP}, {_ZIP}|(?:{_CAP} )?{_POSTCODE})(?![\w-])"
    r"|\b(?i:(?:zip|postal|post)(?: ?code)?(?: is|:)? )"
    r"(?P<code>\d{5}(?:-\d{4})?|[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2})\b"
)
_NO_STREET = re.compile(rf"\d+ {_UNIT}\b|.*\d(?:GB|TB|GHZ|HD)\b", re.IGNORECASE)


def _addresses(text: str) -> Iterator[Span]:
    for match in _ADDRESS.finditer(text):
        group = str(match.lastgroup)
        if not _NO_STREET.match(match[group]):
            yield match.span(group)


# --- names ---

_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_NAME_WORD = re.compile(r" ?((?:[^\W\d_]{1,30}(?:'(?!s\b)|-)){0,4}[^\W\d_]{1,30})(?:(?<=\b\w)\.)?")  # "P." has a dot
# Words that are no name where a name could stand, and no password after "the password is".
_STOP = frozenset(
    "a about absolutely account actually after again agent all almost already also always am american an and angry "
    "annoyed another any anybody anyone anything april are aren't as asking at august awaiting away awful back bad "
    "badly be because been before begins behind being best better blank both box british broke broken but by bye "
    "call called calling can can't cannot case changed charged cheers clear code complaint completely confused "
    "contract correct could couldn't customer dad dead dear december default dentist desperate dev did different "
    "disappointed disgraceful disgusted displayed do doctor does doesn't don't done down due e-mail each either "
    "email empty ends english enough error even ever every everybody everyone everything expired extra extremely "
    "faithfully february fed fiber fibre fine first for forgotten french friday from furious genuinely german "
    "getting go going gone good goodbye got great had happy has have having he hello help her here hers hi him his "
    "home honestly horrible how however hub i if ill in incorrect indeed indian internet into invalid irish is isn't "
    "it it's italian its january july june just kind kindly known last late later leaves leaving left less like line "
    "living locked long lost love lovely mad march may maybe me meant might mine missing mobile modem monday more "
    "most mr mrs ms much mum must my myself name needed never new next no nobody nobody's none nope not nothing "
    "november now number october of off office ok okay old on once one ones only onto open or order other our ours "
    "out outrageous over paid password pay paying perfectly pharmacy phone pin please pleased polish private "
    "probably protected public quite rather ready really reception regards required reset respectfully retired "
    "ridiculous right router safe said same saturday says school scottish secure sent september seriously set shall "
    "she shop should shouldn't showing sick signal sim simple since sincerely sir sister sitting so some somebody "
    "someone something soon sorry spanish speaking spelled spelt starts still stop strong stuck stupid such sunday "
    "support sure surgery team technical terrible test thank thanks that that's the their them then there these they "
    "thing things this those though three thursday ticket time tired to today together tomorrow tonight too totally "
    "trying tuesday two ugly unable unacceptable unbelievable unchanged under unhappy unknown unsafe until up upset "
    "urgent us used useless user using utterly very visible waiting was wasn't we weak wednesday well welsh were "
    "what when where which while who whoever why wifi will with without won't working worried worse worst would "
    "wouldn't writing wrong yes yesterday yet you your yours".split()
)
_LINE_ENDS = re.compile(r"[ .,!]{0,3}(?:\n|$)")
_CAPITAL_FOLLOWS = re.compile(r" (?!I\b)[A-Z]")
_ADJECTIVE = re.compile(r".{3,}(?:ing|ed|ly|able|ible|less|ful|ous)$", re.IGNORECASE)


def _is_stop(word: str) -> bool:
    return word.lower() in _STOP


@dataclass(frozen=True, slots=True)
class _Cue:
    """Words before a name. ``fewest`` and ``most``: words of the name; ``lower``: it may be in small letters.

    ``weak``: an adjective or a whole sentence In Capitals may follow as well; ``closing``: the name ends its line.
    """

    pattern: re.Pattern[str]
    most: int = 3
    fewest: int = 1
    lower: bool = False
    weak: bool = False
    closing: bool = False


def _cue(pattern: str, **rules: Any) -> _Cue:
    return _Cue(re.compile(pattern, re.IGNORECASE), **rules)


_TITLE = r"(?-i:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Herr|Frau|Madame|Monsieur)\b\.? )"
_START = r"(?:^|[\n.!?] ?)"
_GREETING = (
    rf"{_START}(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|greetings)(?: there| all| team)?[,.!]? "
)
_CLOSING = (
    r"(?:(?:(?:kind(?:est)?|best|warm(?:est)?|many|with|yours|thanks and) )?"
    r"(?:regards|wishes|sincerely|faithfully|truly|respectfully|thanks)|"
    r"thank you(?: (?:very much|so much|in advance))?|thanks(?: (?:in advance|again|a lot))?|"
    r"thx|ta|cheers|yours|(?:much )?obliged|love|best|gratefully|signed)"
)
_RELATION = (
    r"(?:wife|husband|son|daughter|mother|mum|mom|dad|father|brother|sister|partner|neighbou?r|friend|colleague|boss|flatmate|"
    r"landlord|grandson|granddaughter|grandmother|grandfather|girlfriend|boyfriend|uncle|aunt|cousin|carer|guy|man|technician|"
    r"engineer|attorney|lawyer|assistant|secretary|manager)"
)
_I_AM = r"(?:i am|i'm|im|this is|it's|it is) "
_CUES = (
    _cue(_TITLE),
    _cue(r"(?<!\d )(?-i:\b(?:mrs?|ms)\.? )", most=1, lower=True),
    _cue(r"(?<!your )\bname(?:'s| is| was|s are) |\bname ?[:=] ?", lower=True),
    _cue(rf"\b(?:account holder|holder|customer|tenant|contact|cardholder|user|from|sender|signed) ?: ?{_TITLE}?"),
    _cue(rf"\b(?:in the name of|under the name(?: of)?|on behalf of|attention of|attn:?|c/o) {_TITLE}?"),
    _cue(rf"\b(?:ask for|(?:speak|spoke|talk|talked) (?:to|with)) {_TITLE}?"),
    _cue(rf"\b(?:is|was|he's|she's|guy|man|lady|woman|someone|somebody|person) (?:called|named) {_TITLE}?", weak=True),
    _cue(rf"\b(?:my|his|her|our|your|the) (?:[a-z]{{3,9}} )?{_RELATION},? {_TITLE}?", weak=True),
    _cue(rf"{_GREETING}{_I_AM}{_TITLE}?", weak=True),
    _cue(rf"\b{_I_AM}{_TITLE}?", fewest=2, weak=True),
    _cue(
        rf"(?:^|[\n.,;!?-]) {{0,2}}{_CLOSING} ?[,.!;-]{{0,2}} ?(?:\n ?){{0,3}}{_TITLE}?",
        most=4,
        weak=True,
        closing=True,
    ),
    _cue(r"(?<=[\n ])[-~] ?", lower=True, weak=True, closing=True),
    _cue(r"[.?!\n] ?(?=[^\W\d_]{3,20}(?: [^\W\d_]{1,20})?[ \n]{0,3}\Z)", most=2, weak=True, closing=True),
)
_HERE = re.compile(
    rf"(?:\bthis is |(?P<greeting>{_GREETING})|(?P<begin>{_START}))"
    r"(?P<v>[^\W\d_][\w'-]{1,20}(?: [^\W\d_][\w'-]{1,20})?) "
    r"(?:speaking\b|calling\b|here(?= ?[,.:;!-]| again\b| from\b|$))",
    re.IGNORECASE,
)
_HERE_STRICT, _HERE_LOOSE = _cue("", most=2), _cue("", most=2, lower=True)
_FROM_TEAM = re.compile(
    r"(?<![.?!\n] )(?<![\w'-])(?P<v>[A-Z][^\W\d_]{2,20}) from "
    r"(?:(?:the|your) (?:\w{1,20} )?(?:team|office|shop|department|dept)|billing|sales|support|accounts)\b"
)


def _name_at(text: str, start: int, cue: _Cue) -> list[Span]:
    """Spans of the words of a name that starts here."""
    words: list[Span] = []
    while len(words) < cue.most and (match := _NAME_WORD.match(text, start)):
        word = match[1]
        is_capital = not word[0].islower()
        if _is_stop(word) or word[:2] == "I'" or not (is_capital or (cue.lower and len(word) > 1)):
            break
        if cue.weak and len(word) > 1 and word.isupper():
            break
        if (cue.weak or not is_capital) and _ADJECTIVE.match(word):
            break
        if words and is_capital == text[words[0][0]].islower():
            break  # "ann The"
        words.append(match.span(1))
        start = match.end()
    return words


def _names(text: str) -> Iterator[Span]:
    for cue in _CUES:
        for match in cue.pattern.finditer(text):
            words = _name_at(text, match.end(), cue)
            if len(words) < cue.fewest:
                continue
            rest = text[words[-1][1] : words[-1][1] + 20]
            if cue.closing and not _LINE_ENDS.match(rest):
                continue
            if cue.weak and not cue.closing and _CAPITAL_FOLLOWS.match(rest):
                continue
            yield words[0][0], words[-1][1]
    for match in _HERE.finditer(text):
        words = _name_at(text, match.start("v"), _HERE_STRICT if match["begin"] is not None else _HERE_LOOSE)
        if words and words[-1][1] == match.end("v"):
            yield match.span("v")
    for match in _FROM_TEAM.finditer(text):
        if not _is_stop(match["v"]):
            yield match.span("v")


_FINDERS: tuple[tuple[Kind, Callable[[str], Iterator[Span]]], ...] = (
    ("email", _emails),
    ("iban", _ibans),
    ("ssn", _ssns),
    ("secret", _secrets),
    ("birth", _finder(_BIRTH)),
    ("reference", _references),
    ("card", _cards),
    ("mac", _finder(_MAC)),
    ("ip", _ips),
    ("address", _addresses),
    ("phone", _phones),
    ("name", _names),
)
