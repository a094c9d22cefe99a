"""Claims are found in every usual spelling, compare by meaning, and are found in linear time."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from system.claims import Claim, find_claims, unsupported

PHONES = [
    ("call 1-800-555-0142, option 2", "8005550142"),
    ("call 1-800-555-0142 24 hours a day", "8005550142"),
    ("1 800 555 0142", "8005550142"),
    ("1.800.555.0142", "8005550142"),
    ("+1 (800) 555-0142", "8005550142"),
    ("800-555-0142", "8005550142"),
    ("18005550142", "8005550142"),
    ("1‑800‑555‑0142", "8005550142"),
    ("1–800–555–0142", "8005550142"),
    ("(555) 123-4567", "5551234567"),
    ("from abroad +1 202-555-0179.", "2025550179"),
    ("+12025550179", "2025550179"),
    ("text BILL to 555-0150", "5550150"),
    ("call us at 555 0150", "5550150"),
    ("+44 20 7946 0958", "442079460958"),
    ("0044 20 7946 0958", "442079460958"),
    ("ring 020 7946 0958 now", "02079460958"),
    ("0800 123 4567", "08001234567"),
    ("1-800-FLOWERS", "8003569377"),
    ("1-800-CALDERLINE", "8002253375"),
    ("malformed 1-800-123-45678", "180012345678"),
    ("dial 611", "611"),
    ("call 911.", "911"),
    ("call the local emergency number (112)", "112"),
    ("text BILL to 70000", "70000"),
    ("dial *100# for it", "100"),
]

LINKS = [
    ("https://Help.Calderline.example/Outages.", "help.calderline.example/outages"),
    ("at help.calderline.example/outages, then", "help.calderline.example/outages"),
    ("http://help.calderline.example/outages/", "help.calderline.example/outages"),
    ("[the map](https://help.calderline.example/outages)", "help.calderline.example/outages"),
    ('"help.calderline.example/outages"', "help.calderline.example/outages"),
    ("(see www.calderline.com)", "calderline.com"),
    ("calderline.com!", "calderline.com"),
    ("https://a.example/b?c=1&d=2#e", "a.example/b?c=1&d=2#e"),
    ("write to Phishing@Calderline.example.", "phishing@calderline.example"),
    ("mailto:phishing@calderline.example", "phishing@calderline.example"),
    ("first.last+tag@mail.co.uk", "first.last+tag@mail.co.uk"),
    ("open 192.168.1.1 in a browser", "192.168.1.1"),
    ("http://localhost:8080/admin", "localhost:8080/admin"),
    ("bit.ly/abc", "bit.ly/abc"),
]

PRICES = [
    ("$5", "usd 5"),
    ("$5.00", "usd 5"),
    ("$ 5", "usd 5"),
    ("5$", "usd 5"),
    ("5 dollars", "usd 5"),
    ("five dollars", "usd 5"),
    ("Five Dollars", "usd 5"),
    ("a five-dollar credit", "usd 5"),
    ("USD 5", "usd 5"),
    ("5 USD", "usd 5"),
    ("US$5", "usd 5"),
    ("5 bucks", "usd 5"),
    ("a dollar", "usd 1"),
    ("$1,000", "usd 1000"),
    ("one thousand dollars", "usd 1000"),
    ("one hundred and fifty dollars", "usd 150"),
    ("twenty-five dollars", "usd 25"),
    ("$0.80", "usd 0.8"),
    ("80 cents", "usd 0.8"),
    ("£3.50", "gbp 3.5"),
    ("ten pounds", "gbp 10"),
    ("€5", "eur 5"),
    ("3,50 €", "eur 3.5"),
    ("5 euros", "eur 5"),
    ("20% off", "20 %"),
    ("10 percent discount", "10 %"),
    ("ten per cent discount", "10 %"),
    ("a discount of 10%", "10 %"),
    ("a credit of 20 percent", "20 %"),
    ("20 percent of the monthly plan price", "20 %"),
]

DURATIONS = [
    ("24 hours", "24 hour"),
    ("24-hour", "24 hour"),
    ("24h", "24 hour"),
    ("24 hrs", "24 hour"),
    ("24\nhours", "24 hour"),
    ("twenty-four hours", "24 hour"),
    ("twenty four hours", "24 hour"),
    ("24 (twenty-four) hours", "24 hour"),
    ("ninety days", "90 day"),
    ("one hundred and twenty days", "120 day"),
    ("within two business days", "2 business day"),
    ("2 working days", "2 business day"),
    ("two (2) business days", "2 business day"),
    ("2 weekdays", "2 business day"),
    ("30 days' notice", "30 day"),
    ("3 full days", "3 day"),
    ("2-3 business days", "2-3 business day"),
    ("2 to 3 business days", "2-3 business day"),
    ("within an hour", "1 hour"),
    ("within the hour", "1 hour"),
    ("half an hour", "30 minute"),
    ("two and a half hours", "2.5 hour"),
    ("open 24/7", "24/7"),
    ("7 pm", "19:00"),
    ("7pm", "19:00"),
    ("7:00 p.m.", "19:00"),
    ("19:00", "19:00"),
    ("12 am", "00:00"),
    ("12 pm", "12:00"),
    ("noon", "12:00"),
    ("midnight", "00:00"),
    ("eight o'clock", "8 o'clock"),
    ("by Friday", "fri"),
    ("on friday", "fri"),
    ("next week", "next week"),
    ("the next Monday", "next mon"),
    ("by tomorrow", "tomorrow"),
    ("by the end of the day", "end of day"),
    ("on the same day", "same day"),
    ("next working day", "next business day"),
    ("March 15th", "03-15"),
    ("15 March", "03-15"),
    ("2024-03-15", "03-15"),
]

KINDS = {"phone": PHONES, "link": LINKS, "price": PRICES, "duration": DURATIONS}

NO_CLAIMS = [
    "a few minutes",
    "a couple of days",
    "several weeks",
    "in a minute",
    "soon",
    "$",
    "the plan is month-to-month",
    "from one month to the next",
    "Fibre 1000: 1000 Mbps download, 500-1000 Mbps",
    "99.5 percent of each month",
    "80 percent of the plan speed",
    "the 2.4 GHz band and 5 GB of data",
    "choose 1, 6 or 11",
    "account number 123456789",
    "call with your order number 4500 1234",
    "port 993, SSL/TLS",
    "press 2 for billing",
    "call 100 times",
    "the APN is calder.internet",
    "e.g. this, i.e. that",
    "Restart the Hub.It will work.",
    "Home > Visits > Track",
    "three out of four",
    "you may try 5 times",
    "802.11ac",
    "How can I help you today?",
    "",
]

PIECES = ["call", "1", "800", "555", "0142", "$", "5", "five", "dollars", "24", "hours", "twenty", "-", "@", "pm"]
PIECES += ["http://", "a.b.com", "%", "off", "by", "Friday", "next", "week", "+", "(", ":", "and", "to"]
PIECES += ["hundred", "business day"]
TEXTS = st.text(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join)


def found(text: str) -> list[tuple[str, str]]:
    return [(claim.kind, claim.value) for claim in find_claims(text)]


@pytest.mark.parametrize(("kind", "text", "value"), [(kind, *case) for kind, cases in KINDS.items() for case in cases])
def test_spellings(kind: str, text: str, value: str) -> None:
    """Every usual spelling of a claim is found and has the value of the plain one."""
    assert (kind, value) in found(text)
    assert (kind, value) in found(f"Well, {text} it is") or not text[-1].isalnum()


@pytest.mark.parametrize("text", NO_CLAIMS)
def test_no_claims(text: str) -> None:
    """Vague words, measures, menu paths and other numbers are no claims."""
    assert find_claims(text) == ()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("open 7 am to 10 pm every day", ["07:00", "22:00"]),
        ("9am-5pm", ["09:00", "17:00"]),
        ("9-5 pm", ["09:00", "17:00"]),
        ("4-8 pm", ["16:00", "20:00"]),
        ("between 7 pm and 11 pm", ["19:00", "23:00"]),
        ("noon to 4 pm", ["12:00", "16:00"]),
        ("10-2 am", ["22:00", "02:00"]),
        ("Monday to Friday", ["mon", "fri"]),
        ("Mon-Fri", ["mon", "fri"]),
        ("a 12- or 24-month contract", ["12 month", "24 month"]),
        ("$5-$10", ["usd 5", "usd 10"]),
        ("$5-10", ["usd 5", "usd 10"]),
        ("24 hours a day, 7 days a week", ["24 hour", "7 day"]),
    ],
)
def test_ranges(text: str, values: list[str]) -> None:
    """A range of times, days or prices is two claims, so that half of it said elsewhere is still supported."""
    assert [value for _, value in found(text)] == values


def test_kinds_do_not_overlap() -> None:
    """What one claim took, no other claims: a number in a link is no phone, a phone's end is no time."""
    text = "See a.example/1-800-555-0142, call 1-800-555-0117 24 hours a day, pay $5 within 5 days to me@b.example."
    claims = find_claims(text)
    assert [claim.kind for claim in claims] == ["link", "phone", "duration", "price", "duration", "link"]
    assert all(before.end <= after.start for before, after in pairwise(claims))


OFFICIAL = "Call 1-800-555-0142, 7 am to 10 pm. A credit of $30 comes within 2 business days. See help.example/map."


@pytest.mark.parametrize(
    "text",
    [
        "Ring +1 800 555 0142 until 10pm.",
        "You get thirty dollars within two working days.",
        "Look at https://HELP.example/map!",
        "We will look into it.",
    ],
)
def test_supported(text: str) -> None:
    """A claim that stands in a source in another spelling is supported."""
    assert unsupported(text, [OFFICIAL, "something else"]) == ()


@pytest.mark.parametrize(
    ("text", "invented"),
    [
        ("Call 1-800-555-0143.", "1-800-555-0143"),
        ("Call 555-0142.", "555-0142"),
        ("You get $31.", "$31"),
        ("You get £30.", "£30"),
        ("It takes 2 days.", "2 days"),
        ("It takes 2 business hours or 3 business days.", "3 business days"),
        ("See help.example/maps.", "help.example/maps"),
        ("Write to map@help.example.", "map@help.example"),
    ],
)
def test_unsupported(text: str, invented: str) -> None:
    """A claim that differs in number, unit, currency or address stands in no source, and keeps its own words."""
    (claim,) = unsupported(text, [OFFICIAL])
    assert claim.text == invented == text[claim.start : claim.end]


def test_no_sources() -> None:
    """Without a source every claim is unsupported; a generator of sources is read once."""
    assert unsupported("$5", []) == (Claim("price", "$5", "usd 5", 0, 2),)
    assert unsupported("$5 and $6", (text for text in ("five dollars", "6 dollars"))) == ()


@given(TEXTS)
def test_any_text(text: str) -> None:
    """No text raises; claims lie in order in the text; a text supports all of its own claims."""
    claims = find_claims(text)
    assert all(claim.text == text[claim.start : claim.end] and claim.value for claim in claims)
    assert [claim.start for claim in claims] == sorted(claim.start for claim in claims)
    assert unsupported(text, [text]) == ()


@settings(max_examples=50)
@given(st.integers(1, 99_999))
@example(800)
@example(1800)
def test_prices_compare_as_numbers(amount: int) -> None:
    """Separators of thousands and trailing zeros do not change a price."""
    values = {value for _, value in found(f"${amount}; ${amount:,}; ${amount:,}.00; {amount} dollars; USD {amount}")}
    assert values == {f"usd {amount}"}


HARD = ["1-", "$1", "+1(", "a.", "one hundred and ", "call a "]


@pytest.mark.parametrize("unit", HARD)
def test_linear_time(unit: str) -> None:
    """Four times as much text, made to provoke backtracking, takes about four times as long; a square would be 16."""
    short, long = (min(seconds(unit * (size // len(unit))) for _ in range(3)) for size in (25_000, 100_000))
    assert long < 8 * short


def seconds(text: str) -> float:
    """What reading a text costs this thread; beside other work a clock on the wall would measure that."""
    start = time.thread_time()
    find_claims(text)
    return time.thread_time() - start
