"""The data that ships: complaints, articles, replies and prototypes keep what the gates take for granted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fixtures.fakes import make_response
from system.articles import Article, load_articles
from system.claims import Claim, find_claims, unsupported
from system.complaints import MAX_CHARACTERS, read_labelled
from system.evaluation.rules import RULES
from system.faithful import safe_answer
from system.knowledge import chunk_by_heading, word_counter
from system.records import Complaint, Hit
from system.settings import read_toml

ROOT = Path(__file__).resolve().parents[1]
DATA, KNOWLEDGE_BASE = ROOT / "data", ROOT / "knowledge_base"
ARTICLES = (
    *("internet_troubleshooting", "slow_speed_and_wifi", "billing_faq", "service_policies", "email_access"),
    *("installation_and_technician_visits", "mobile_and_roaming", "account_and_security", "moving_and_cancellation"),
    "customer_service_best_practices",
)
VERBATIM = (
    "My internet has been down since yesterday. I work from home and this is very frustrating!",
    "I was overcharged on my last bill. Can you help?",
    "The internet speed is very slow during peak hours",
    "I can't access my email through your service",
    "My service was supposed to be installed today but nobody showed up",
)
# Prices that references of RAG rows work out, or repeat from the complaint in other words.
WORKED_OUT = {
    ("D-018", "$240"): "the customer wrote 240 without a currency",
    ("D-023", "$3.90"): "the customer wrote 3.90 without a currency",
    ("D-037", "$90"): "9 months left at $10 each",
    ("D-038", "$140"): "fourteen months left at $10 each",
    ("D-119", "$16"): "four full days at $4 each",
    ("T-002", "$94"): "the customer wrote 94 without a currency",
    ("T-029", "$90"): "nine months left at $10 each",
    ("T-033", "$8"): "two full days at $4 each",
}
GRAM = 5  # words
SHARE = 0.35  # of the shorter text's runs of five words; idioms such as "lost my job in march" stay below
SAFE_ANSWER = {"unsure", "unsure_with_source", "offer_person"}  # what an answer that nothing supports is replaced by
# Test complaints that say a tuned text in nearly the same words.
OVERLAPS: set[tuple[str, str]] = set()


@pytest.fixture(scope="module")
def articles() -> tuple[Article, ...]:
    """The knowledge base."""
    return load_articles(KNOWLEDGE_BASE)


@pytest.fixture(scope="module")
def rows() -> list[Complaint]:
    """All labelled complaints."""
    return read_labelled(DATA / "complaints.jsonl", ARTICLES)


@pytest.fixture(scope="module")
def replies() -> dict[str, str]:
    """The scripted replies by name."""
    return dict(read_toml(DATA / "replies.toml")["replies"])


def text_of(article: Article) -> str:
    """All that an article says."""
    return "\n\n".join([article.title, *(f"{section.heading}\n{section.text}" for section in article.sections)])


def test_there_are_enough_complaints(rows: list[Complaint]) -> None:
    """The splits are large enough to tune on one and to judge on the other."""
    splits = Counter(row.split for row in rows)
    assert splits["dev"] >= 40
    assert splits["test"] >= 120
    assert sum(row.split == "test" and row.action in ("DIRECT", "ESCALATE") for row in rows) >= 30
    for split in ("dev", "test"):
        assert {row.action for row in rows if row.split == split} == {"RAG", "DIRECT", "ESCALATE"}
        assert {stem for row in rows if row.split == split for stem in row.relevant} == set(ARTICLES)


@pytest.mark.parametrize("text", VERBATIM)
def test_the_five_given_complaints_are_tested(rows: list[Complaint], text: str) -> None:
    """The complaints that the task gave stand in the test split, letter by letter, once each."""
    assert [row.split for row in rows if row.text == text] == ["test"]


def test_ids_tell_the_split(rows: list[Complaint]) -> None:
    """An id names its split, so that a message about a case says at once whether it may be tuned on."""
    assert all(re.fullmatch({"dev": r"D-\d{3}", "test": r"T-\d{3}"}[row.split], row.id) for row in rows)


def test_the_limit_on_length_leaves_room(rows: list[Complaint]) -> None:
    """The longest complaint is far below the length that is refused."""
    assert max(len(row.text) for row in rows) * 3 <= MAX_CHARACTERS


def test_the_ten_articles(articles: tuple[Article, ...]) -> None:
    """The knowledge base is these ten articles, each long enough to answer and short enough to be read."""
    assert {article.stem for article in articles} == set(ARTICLES)
    for article in articles:
        whole = (KNOWLEDGE_BASE / f"{article.stem}.md").read_text(encoding="utf-8")
        assert 350 <= len(whole.split()) <= 900, article.stem


def claims(text: str, *kinds: str) -> list[Claim]:
    """The claims of these kinds."""
    return [claim for claim in find_claims(text) if claim.kind in kinds]


def test_nobody_real_is_called(articles: tuple[Article, ...], rows: list[Complaint], replies: dict[str, str]) -> None:
    """Every phone number is one reserved for fiction, every link and address under a name that cannot exist."""
    texts = {article.stem: text_of(article) for article in articles}
    texts |= {row.id: row.reference for row in rows} | replies
    assert sum(len(claims(text, "phone", "link")) for text in texts.values()) > 100  # the search works
    wrong = [
        (name, claim.text)
        for name, text in texts.items()
        for claim in claims(text, "phone", "link")
        if not re.fullmatch(r"(?:\d{3})?55501\d\d|(?:.+[.@])?calderline\.example(?:/.*)?", claim.value)
    ]
    assert wrong == []


def test_references_say_what_the_articles_say(articles: tuple[Article, ...], rows: list[Complaint]) -> None:
    """Prices, phone numbers and links of a reference stand in its relevant articles or in the complaint.

    The exceptions are listed one by one; one that no longer is an exception must leave the list.
    """
    texts = {article.stem: text_of(article) for article in articles}
    found = {
        (row.id, claim.text)
        for row in rows
        if row.action == "RAG"
        for claim in unsupported(row.reference, [row.text, *(texts[stem] for stem in row.relevant)])
        if claim.kind in ("price", "phone", "link")
    }
    assert found == set(WORKED_OUT)


def test_references_without_articles_state_no_facts(rows: list[Complaint]) -> None:
    """The reference of a DIRECT or ESCALATE row invents no price, phone number or link, as its answer must not."""
    found = {
        (row.id, claim.text)
        for row in rows
        if not row.relevant
        for claim in unsupported(row.reference, [row.text])
        if claim.kind in ("price", "phone", "link")
    }
    assert found == set()


def test_scripted_replies_are_clean(replies: dict[str, str]) -> None:
    """Replies that no model writes break no rule, even where no article supports them, and answer every decision."""
    asked = Complaint(id="T-1", text="My father died.")  # one of the replies mourns
    of_a_decision = {name: text for name, text in replies.items() if name not in SAFE_ANSWER}
    for name, text in {**of_a_decision, "unsure": replies["unsure"]}.items():
        broken = [why for rule in RULES.values() for why in rule(make_response(asked, text), "")]
        assert broken == [], name
        assert find_claims(text) == (), name
    decision = read_toml(DATA / "decision.toml")
    wanted = {table["reply"] for table in (*decision["escalate"].values(), decision["manipulation"])}
    assert wanted | {"clarify"} == set(of_a_decision)


def test_safe_answers_are_clean(replies: dict[str, str], articles: tuple[Article, ...]) -> None:
    """Whichever passage is quoted in the place of an answer that nothing supports, no rule is broken."""
    asked = Complaint(id="T-1", text="What now?")
    for passage in [passage for article in articles for passage in chunk_by_heading(article, word_counter)]:
        hit = Hit(doc=passage.doc, passage=passage.id, score=1.0, heading=passage.heading, text=passage.text)
        text = safe_answer(replies, [hit])
        assert [why for rule in RULES.values() for why in rule(make_response(asked, text), passage.text)] == [], text


def words(text: str) -> tuple[str, ...]:
    """The words of a text without case, apostrophes and punctuation."""
    return tuple(re.findall(r"[a-z0-9]+", re.sub("['’]", "", text.lower())))


def grams(text: str) -> set[tuple[str, ...]]:
    """All runs of five words; of a shorter text all its words."""
    told = words(text)
    return {told[n : n + GRAM] for n in range(max(len(told) - GRAM, 0) + 1)}


def messages(table: dict[str, Any]) -> Iterator[str]:
    """All prototype messages, at whatever depth."""
    for key, value in table.items():
        if key == "messages":
            yield from value
        else:
            yield from messages(value)


@pytest.fixture(scope="module")
def tuned(rows: list[Complaint]) -> list[str]:
    """Everything that the decision stage was made with."""
    return [row.text for row in rows if row.split == "dev"] + list(
        messages(read_toml(DATA / "decision_prototypes.toml"))
    )


def test_no_test_complaint_was_tuned_on(rows: list[Complaint], tuned: list[str]) -> None:
    """No test complaint says the same as a dev complaint or a prototype, word for word or nearly so.

    Nearly: they share more than SHARE of the shorter one's runs of five words. The exceptions are listed; one that no
    longer is an exception must leave the list.
    """
    assert len(tuned) > 400
    known = {words(text) for text in tuned}
    of = [(text, grams(text)) for text in tuned]
    tests = [row for row in rows if row.split == "test"]
    assert [row.id for row in tests if words(row.text) in known] == []
    found = {
        (row.id, text)
        for row in tests
        for mine in [grams(row.text)]
        for text, theirs in of
        if len(mine & theirs) > SHARE * min(len(mine), len(theirs))
    }
    assert found == OVERLAPS


def test_no_complaint_is_there_twice(rows: list[Complaint]) -> None:
    """No two complaints have the same words: a case counts once."""
    assert [text for text, n in Counter(words(row.text) for row in rows).items() if n > 1] == []
