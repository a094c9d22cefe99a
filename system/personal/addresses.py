"""Finds postal addresses, whole or in part. Must not know placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from system.personal.patterns import UNIT, Span, any_of

_STREET = any_of(
    "street st road rd avenue ave lane ln drive dr close court ct crescent place pl square sq terrace way gardens? "
    "grove mews hill row walk boulevard blvd parkway pkwy highway hwy circle cir trail park rise quay wharf alley "
    "loop drove yard green view"
)
_STATE = any_of(
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
_NO_STREET = re.compile(rf"\d+ {UNIT}\b|.*\d(?:GB|TB|GHZ|HD)\b", re.IGNORECASE)


def addresses(text: str) -> Iterator[Span]:
    for match in _ADDRESS.finditer(text):
        group = str(match.lastgroup)
        if not _NO_STREET.match(match[group]):
            yield match.span(group)
