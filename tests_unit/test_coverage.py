"""Facts that an answer states, and claims that nothing supports; every value is counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.fakes import make_response
from system.complaints import read_complaints
from system.evaluation.coverage import (
    claim_count,
    concrete_claims,
    fact_coverage,
    groundedness,
    states,
    unsupported_claim,
)
from system.records import Complaint, Hit, Prompt

COMPLAINTS = Path(__file__).resolve().parents[1] / "data" / "complaints.jsonl"
LABELLED = read_complaints(COMPLAINTS)


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ("60 seconds", "Wait for sixty seconds."),
        ("60 seconds", "A 60-second wait is enough."),
        ("1-800-555-0117", "Call (800) 555 0117 now."),
        ("$8", "The fee is 8 dollars."),
        ("$5 a month", "It costs $5 per month."),
        ("up to 5 minutes", "Give it 5 minutes."),
        ("20 percent", "You get 20% of the data."),
        ("technician", "Our technicians are kind."),
        ("Wi-Fi Calling", "Turn on wifi calling."),
        ("Bills > Dispute", "Open Bills > Dispute."),
        ("1-800-555-0142, option 2", "Call 1-800-555-0142, option 2, today."),
        ("no late fee", "No late fee is charged."),
        ("solid white", "If it is not solid white, call."),  # a condition denies nothing
        ("5 minutes", "It takes no more than 5 minutes."),
        ("180 Mbps", "It must reach 180Mbps."),
        ("1 metre", "Stand it one metre away."),
        ("60 seconds", "Do not unplug the fibre; wait 60 seconds."),
    ],
)
def test_stated(fact: str, text: str) -> None:
    """Another spelling of a fact is the fact."""
    assert states(text, fact)


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        ("60 seconds", "Wait for 60 minutes."),
        ("60 seconds", "Wait for 160 seconds."),
        ("1-800-555-0117", "Call 1-800-555-0171."),
        ("$8", "The fee is $80."),
        ("$8", "The fee is not $8."),
        ("free", "This isn't free."),
        ("60 seconds", "You never need 60 seconds."),
        ("no late fee", "A late fee is charged."),
        ("late fee", "There is no late fee."),
        ("solid white", "White walls are solid."),
        ("solid white", "It is solid. White is fine."),
        ("port 993", "Use port 9 93."),
        ("free", "Freedom!"),
        ("technician", ""),
        ("", "Anything."),
    ],
)
def test_not_stated(fact: str, text: str) -> None:
    """Another number, the same words in another order, or a denial is not the fact."""
    assert not states(text, fact)


def test_references_state_their_facts() -> None:
    """All facts of all labels are found in the references that they were taken from, and in few of the others."""
    pairs = [(complaint.reference, fact) for complaint in LABELLED for fact in complaint.facts]
    assert [pair for pair in pairs if not states(*pair)] == []
    others = [(LABELLED[n * 37 % len(LABELLED)].reference, fact) for n, (_, fact) in enumerate(pairs)]
    assert sum(states(*pair) for pair in others) < len(pairs) / 10


WORDS = st.lists(st.sampled_from("60 seconds no not free $8 Bills > white , . if call 9 am".split()), max_size=9)


@settings(derandomize=True, database=None, deadline=None)
@given(before=WORDS, after=WORDS)
def test_neutral_words_do_not_hide_a_fact(before: list[str], after: list[str]) -> None:
    """A fact in a sentence of its own is found whatever the sentences around it say."""
    assert states(f"{' '.join(before)}. Remember the purple elephant. {' '.join(after)}", "purple elephant")


def complaint(*facts: str, **changes: Any) -> Complaint:
    """A complaint whose label names these facts."""
    return Complaint(id="T-1", text="I paid $94 on Monday.", facts=facts, **{"action": "RAG", **changes})


def held(*texts: str, in_prompt: int = 9) -> dict[str, Any]:
    """Fields of a response whose hits have these texts, the first ``in_prompt`` of them in the prompt."""
    hits = tuple(Hit(doc="d", passage=f"d#{n}", score=1.0, heading="", text=text) for n, text in enumerate(texts))
    names = tuple(hit.passage for hit in hits[:in_prompt])
    return {"hits": hits, "prompt": Prompt(template="t", system="", user="", text="", tokens=1, passages=names)}


def test_fact_coverage() -> None:
    """The share of the facts, with the missing ones and the first stage at fault; no facts, no value."""
    asked = complaint("60 seconds", "$8", "solid white")
    text = "Wait one moment: 60 seconds."

    def judged(**changes: Any) -> Any:
        return fact_coverage(make_response(asked, text, **changes), asked, "")

    missing = "missing '$8', 'solid white'"
    assert judged(**held("The fee is $8.")) == (pytest.approx(1 / 3), f"cause generation: {missing}")  # 1 of 3 facts
    assert judged(**held("x", "The fee is $8.", in_prompt=1))[1] == f"cause retrieval: {missing}"
    assert judged(action="DIRECT")[1] == f"cause decision: {missing}"
    whole = make_response(asked, f"{text} $8, solid white.")
    assert fact_coverage(whole, asked, "") == (1.0, "")
    assert fact_coverage(make_response(asked, ""), asked, "") == (
        0.0,
        f"cause retrieval: missing '60 seconds', {missing[8:]}",
    )
    assert fact_coverage(whole, complaint(), "") is None


def test_concrete_claims() -> None:
    """Phones, links, prices, times, dates, quantities and names, each once; openings and list numbers are none."""
    text = (
        "The Calder Hub costs $5 (five dollars). Calder Hubs are fine.\n1. Get 100 Mbps by May 3 at 9 am.\n"
        "2. Call 1-800-555-0117, or see help.calderline.example/speed. I Think 20 % of 300 recipients wait 2 days."
    )
    assert list(concrete_claims(text).values()) == [
        "Calder Hub", "five dollars", "100 Mbps", "May 3", "9 am", "1-800-555-0117", "help.calderline.example/speed",
        "20 %", "300 recipients", "2 days",
    ]  # fmt: skip
    assert concrete_claims("Thank you. Please wait, then tell me more.") == {}
    assert concrete_claims(text.replace(" ", "\u00a0")) == concrete_claims(text)


def test_groundedness() -> None:
    """Claims in the prompt's passages or the complaint are supported; those in other hits or articles are not."""
    asked = complaint()
    text = "Your $94 from Monday: use the Fibre Box for one minute at 100 Mbps."
    # Five claims: $94 and Monday are the customer's; Fibre Box and 100 Mbps stand in the passages; one minute nowhere.
    response = make_response(asked, text, **held("Fibre boxes give 100Mbps.", "Wait 1 minute.", in_prompt=1))
    why = "cause generation: unsupported 'one minute'"
    assert groundedness(response, asked, "Wait 1 minute.") == (pytest.approx(4 / 5), why)
    assert claim_count(response, asked, "")[0] == 5
    both = make_response(asked, text, **held("Fibre boxes give 100Mbps.", "Wait 1 minute."))
    assert groundedness(both, asked, "") == (1.0, "")
    assert groundedness(make_response(asked, text, **held()), asked, text)[0] == pytest.approx(2 / 5)


def test_groundedness_of_a_scripted_reply() -> None:
    """Without a prompt the official text is the source."""
    asked = complaint()
    response = make_response(asked, "Call 1-800-555-0117 or 1-800-555-0142.")
    assert groundedness(response, asked, "Lines: 800 555 0117.")[0] == pytest.approx(1 / 2)


def test_no_claim() -> None:
    """An answer that says nothing is not ungrounded, and is seen to say nothing."""
    asked = complaint()
    for text in ("", "I am sorry about that."):
        response = make_response(asked, text)
        assert groundedness(response, asked, "") == (1.0, "no claim")
        assert claim_count(response, asked, "") == (0.0, "")


def test_hours_of_a_range_are_read_in_context() -> None:
    """ "8 to 10 pm" claims 8 pm, which its bare figure does not say."""
    asked = complaint()
    response = make_response(asked, "We are open from 8 to 10 pm.", **held("Open 8 pm to 10 pm."))
    assert groundedness(response, asked, "") == (1.0, "")


OFFICIAL = "A visit costs $40. Call 1-800-555-0142. It takes two days."
HELD = Hit(doc="a", passage="a#1", score=1.0, heading="Visits", text="A visit costs $40.")
ELSEWHERE = Hit(doc="b", passage="b#1", score=0.9, heading="Phone", text="Call 1-800-555-0142.")
IN_PROMPT = Prompt(template="t", system="", user="", text="", tokens=0, passages=("a#1",))


@pytest.mark.parametrize(
    ("text", "prompt", "bare"),
    [
        ("A visit costs 40 dollars.", IN_PROMPT, []),
        ("You paid $7 on Friday.", IN_PROMPT, []),  # as the customer wrote
        ("Call 1-800-555-0142.", IN_PROMPT, ["1-800-555-0142"]),  # official, but nobody gave it to the model
        ("A visit costs $400 and takes two days, $400!", IN_PROMPT, ["$400", "two days"]),
        ("See a.example/help.", IN_PROMPT, ["a.example/help"]),
        ("Call 1-800-555-0142, it takes 2 days.", None, []),  # a scripted reply may say what is official
        ("It takes 3 days.", None, ["3 days"]),
        ("No claim.", IN_PROMPT, []),
    ],
)
def test_claims_that_neither_customer_nor_passages_made(text: str, prompt: Prompt | None, bare: list[str]) -> None:
    """A claim needs the complaint or a passage of the prompt; another article does not do."""
    complaint = Complaint(id="c", text="I paid $7 on Friday.")
    response = make_response(complaint, text, prompt=prompt, hits=(HELD, ELSEWHERE))
    value, why = unsupported_claim(response, complaint, OFFICIAL)
    assert value == len(bare)
    assert why == (f"cause generation: unsupported {', '.join(map(repr, bare))}" if bare else "")
