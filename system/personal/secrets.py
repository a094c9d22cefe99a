"""Finds what nobody but the customer may know: passwords, PINs and one-time codes, with the words that announce them.

Must not know placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from system.personal.names import ADJECTIVE, is_stop
from system.personal.patterns import Span

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


def secrets(text: str) -> Iterator[Span]:
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
            good = good and not (is_stop(value) or ADJECTIVE.match(value))
        if good and len(value) >= 3:
            yield match.start("v"), end
