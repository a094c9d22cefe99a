"""Finds e-mail and network addresses, and numbers that say who somebody is: cards, IBANs, references, dates of birth.

    list(cards("My card is 4000 0012 3456 7899."))     [(11, 30)]

Each finder yields the spans of its finds. Must not know placeholders or texts beyond the one it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import islice

from system.personal.patterns import UNIT, Span, any_of, finder

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


def emails(text: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(text):
        local = match[0].partition("@")[0]
        yield match.start() + (len(local) - len(local.lstrip("'`-.*/=")) if local.strip("'`-.*/=") else 0), match.end()


def ips(text: str) -> Iterator[Span]:
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


def ibans(text: str) -> Iterator[Span]:
    from stdnum import iban

    for match in _IBAN.finditer(text):
        # The words that follow may look like its last groups.
        ends = [match.end(), *(match.start() + gap.start() for gap in reversed([*re.finditer(" ", match[0])]))]
        yield from islice(((match.start(), end) for end in ends if iban.is_valid(text[match.start() : end], False)), 1)


def cards(text: str) -> Iterator[Span]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _FOURS.fullmatch(match[0]) or (digits[0] in "23456" and luhn.is_valid(digits)):
            yield match.span()


def ssns(text: str) -> Iterator[Span]:
    for match in re.finditer(_SSN, text, re.IGNORECASE):
        yield match.span("v" if match["v"] else "w")


# --- references: numbers of accounts, orders, devices ---

_THING = any_of(
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
    rf"(?!\w|[.,:]\d| ?(?:{UNIT}|[ap]m|th|st|nd|rd)\b|%)"
    r"|(?<![\w/-])(?P<glued>(?:case|inv|ord|order|ref|tkt|ticket|acc|acct|cust|contract)[-#]?\d[a-z0-9]{2,12}"
    r"(?:-[a-z0-9]{1,12}){0,4})\b",
    re.IGNORECASE,
)


def references(text: str) -> Iterator[Span]:
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


births = finder(_BIRTH)
macs = finder(_MAC)
