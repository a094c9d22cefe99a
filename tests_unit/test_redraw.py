"""Facts are redrawn in step: everywhere the same, never in the customer's words, in the same order of size."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from system.training.redraw import redrawn

PASSAGE = (
    "The late fee is $6 and is added on day 7. Service stops on day 40.\n1. Open Bills > Pay > Late fee.\n"
    "2. Call 1-800-555-0111, open 8 am to 10 pm.\n- Solid green light: paid. Blinking red light: due.\n"
    "See help.calderline.example/late. Refunds take 12 business days."
)
MESSAGE = "i was 3 days late, why 6 dollars?"
REPLY = (
    "The fee is $6, added on day 7; on day 40 it stops. Open Bills > Pay > Late fee or call 1-800-555-0111. "
    "Solid green light."
)


def drawn(seed: int, message: str = MESSAGE) -> tuple[str, str, str]:
    passage, told, reply = redrawn([PASSAGE, message, REPLY], 1, random.Random(seed))
    return passage, told, reply


@pytest.mark.parametrize(
    ("pattern", "some"),
    [
        pytest.param(r"on day (\d+)", 2, id="numbers"),
        pytest.param(r"1-800-555-01\d\d", 1, id="phone"),
        pytest.param(r"Open (\w+ > \w+ > [\w ]+?)(?= or|\.)", 1, id="menu path"),
        pytest.param(r"[Ss]olid (\w+)", 1, id="colour"),
    ],
)
def test_reply_and_passage_change_together(pattern: str, some: int) -> None:
    seen = set()
    for seed in range(20):
        passage, _, reply = drawn(seed)
        in_passage, in_reply = re.findall(pattern, passage), re.findall(pattern, reply)
        assert len(in_reply) == some and in_reply == in_passage[:some]
        seen.add(tuple(in_reply))
    assert len(seen) > 5


def test_what_the_customer_names_stays() -> None:
    for seed in range(20):
        passage, told, reply = drawn(seed)
        assert told == MESSAGE
        assert "$6" in passage and "$6" in reply


def test_a_colour_that_the_customer_sees_stays() -> None:
    for seed in range(20):
        passage, _, reply = drawn(seed, "my light is green, why")
        assert "Solid green" in passage and "Solid green" in reply


def test_numbers_keep_their_order() -> None:
    for seed in range(50):
        first, last = map(int, re.findall(r"on day (\d+)", drawn(seed)[0]))
        assert 1 < first < last


def test_list_markers_and_times_of_day_stay() -> None:
    for seed in range(20):
        passage, _, _ = drawn(seed)
        assert "\n1. Open" in passage and "\n2. Call" in passage and "8 am to 10 pm" in passage


def test_a_number_that_is_also_spelt_out_stays() -> None:
    passage, _, reply = redrawn(["You get 4 tries.", "help", "You get four tries."], 1, random.Random(0))
    assert passage == "You get 4 tries." and reply == "You get four tries."


def test_days_of_a_month_stay() -> None:
    assert (
        redrawn(["Changes by 15 February.", "x", "By 15 February."], 1, random.Random(1))[0]
        == "Changes by 15 February."
    )


def test_a_part_of_a_menu_that_stands_alone_stays() -> None:
    passage, _, reply = redrawn(
        ["Open Home > Alerts. The Alerts page shows all.", "x", "See Alerts."], 1, random.Random(2)
    )
    assert " > Alerts" in passage and reply == "See Alerts."


@given(st.text(max_size=200), st.text(max_size=80), st.integers(0, 1000))
def test_any_text_is_taken_and_the_message_returned_unchanged(passage: str, message: str, seed: int) -> None:
    assert redrawn([passage, message], 1, random.Random(seed))[1] == message


def test_one_seed_gives_one_result() -> None:
    assert drawn(5) == drawn(5) != drawn(6)
