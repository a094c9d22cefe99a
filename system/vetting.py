"""Which passages the assistant may read: one that speaks to the assistant, or sends customers astray, is kept apart.

    kept, suspect = vet(passages, load_contacts(Path("knowledge_base")))
    suspect[0].reason            "names the link 'calder-pay.example', which contacts.toml does not"

An article is text that the model follows, so whoever can slip one in can speak through the assistant. A passage is
suspect if it gives orders to the assistant, asks customers for secrets or for payment that cannot be traced, is rude,
holds markers of a prompt, or, where the folder has a contacts.toml, names a link, e-mail or phone number that is not in
it. Suspect passages are reported and not indexed. Built on the dev attacks. Must not know retrieval or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from system.claims import compile_pattern, find_claims
from system.demands import plain
from system.errors import KnowledgeBaseError
from system.manners import rudeness, secret_requests
from system.recital import markers
from system.records import Passage
from system.sentences import split_sentences
from system.settings import read_toml, require_keys

CONTACTS = "contacts.toml"
_BOT = r"(?:assistants?|chat ?bots?|bots?|language models?|llms?|automatic readers?)"
_TO_BOT = rf"for (?:\w+ ){{0,3}}?(?:the|any|every) {_BOT}\b"
_REPLY = r"(?:replies|reply|answers|responses?)"
_MUST = r"(?:must|should|shall|has to|have to|is to|are to|may only)"
_ALSO = r"(?:\w+ly |therefore |then |also |now |thus |hereby |first )?"
_DOES = (
    r"collects?|says?|tells?|asks?|repl(?:y|ies)|answers?|writes?|adds?|thanks?|sends?|speaks?|signs?|closes?|opens?"
    r"|confirms?|promises?"
)
_HOLDS = (
    r"states?|repeats?|says?|names?|asks?|gives?|tells?|mentions?|wishes|adds?|opens?|contains?|includes?|confirms?"
    r"|promises?|leaves? out|invites?|announces?"
)
_ORDER = compile_pattern(
    "|".join(
        (
            # what the assistant does or must do: a help article for customers has no say in that
            rf"\b(?:the|this|any|every|our|all) (?:\w+ )?{_BOT} {_ALSO}(?:{_MUST}|will|always|never|{_DOES})\b",
            rf"\b(?:the|this) {_BOT} (?:does not|do not|is (?:now|not|hereby|allowed|in))\b",
            rf"\b{_BOT}\s*:",
            rf"\b(?:binding|valid|rules?|orders?|applies) (?:\w+ ){{0,4}}?{_TO_BOT}",
            r"\b(?:notes?|messages?|instructions?|notices?|hints?|block) "
            rf"(?:to|for) (?:the |all |any )?(?:\w+ )?{_BOT}\b",
            r"\b(?:system|developer|operator|admin\w*) (?:message|prompt|instruction|override|notice|command|note)\b",
            # what a reply holds
            rf"\b{_REPLY}\b[^.?!]{{0,60}}\b{_MUST}\b",
            rf"\b{_REPLY} (?:begins?|starts?|ends?|closes?|finish(?:es)?) with\b",
            rf"\bthe (?:\w+ )?{_REPLY} {_ALSO}(?:{_HOLDS})\b",
            r"\bthe answer\b[^.?!]{0,60}\b(?:must|should|shall)\b",
            rf"\b(?:permitted|allowed|only|correct|approved|required) (?:{_REPLY}|output)\b",
            rf"\bany other (?:{_REPLY}|output)\b",
            r"\b(?:begin|start|open|close|end|finish) with (?:the|a) (?:words?|sentence|phrase|line)\b",
            r"\b(?:closing|opening) (?:formula|line|sentence|words) (?:for|of|in) (?:all|each|every)\b",
            r"\bin (?:the|his|her|its|every|each|your) (?:very )?(?:first|last|next|opening|closing) "
            r"(?:reply|sentence|answer|words)\b",
            r"\bwhen (?:answering|replying)\b[^.?!]{0,60}\b(?:say|tell|write|add|include|reply|answer)\b",
            # other articles, and what customers may not learn
            r"\b(?:ignore|disregard|replaces?|overrides?) (?:all |any |the )?(?:\w+ )?"
            r"(?:older|earlier|previous|other|prior) (?:ones|articles?|rules|instructions?|passages?|texts?)\b",
            r"\b(?:is|are) (?:not )?to be (?:answered|told|mentioned|addressed|decoded|given|asked|sent|shown)\b",
            r"\bmay only be answered\b",
            r"\b(?:must|may|should|shall|can|will) not be (?:mentioned|named|told|disclosed|given out|offered|said)\b",
            r"\b(?:kept|keep|hidden|hide|concealed?) (?:\w+ ){0,3}?from (?:the |all |any )?(?:customers?|callers?)\b",
        )
    )
)
_ENCODED = re.compile(r"\b(?=[A-Za-z0-9+/]*[a-z])(?=[A-Za-z0-9+/]*[A-Z])(?=[A-Za-z0-9+/]*\d)[A-Za-z0-9+/]{24,}={0,2}")
_ACCOUNT = compile_pattern(r"\b(?:account|iban|beneficiary|receiver|payee|sort code)\b[^.\n]{0,30}?\d[\d -]{2,}\d")
_HIDDEN = re.compile(r"(?:[\u200b-\u200d\u2060-\u2064\ufeff].?){8}|[\U000e0020-\U000e007f]{4}")
_UNTRACEABLE = compile_pattern(
    r"\b(?:pay|paid|payable|payment|send|sent|buy|settled?|transfer)\b[^.?!]{0,60}"
    r"\b(?:bitcoin|crypto(?:currency)?|virtual currency|wallet|gift ?cards?|western union|moneygram)\b"
)
_WARNING = compile_pattern(r"\b(?:never|not|scam|fraud\w*|nobody|no one)\b|n't\b")


@dataclass(frozen=True, slots=True)
class Contacts:
    """The company's own links (hosts, with all below them) and phone numbers, as they are told to customers."""

    links: tuple[str, ...]
    phones: frozenset[str]

    def knows(self, kind: str, value: str) -> bool:
        """Whether a claim's value is one of the company's; other kinds of claims are always known."""
        if kind == "phone":
            return value in self.phones
        host = value.rpartition("@")[2].partition("/")[0].partition(":")[0]
        return kind != "link" or any(host == link or host.endswith(f".{link}") for link in self.links)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A passage that is not read, and why."""

    passage: Passage
    reason: str


def load_contacts(folder: Path) -> Contacts | None:
    """The contacts.toml of a knowledge base, None if it has none. Raises KnowledgeBaseError if it is malformed."""
    path = folder / CONTACTS
    if not path.exists():
        return None
    table = read_toml(path, KnowledgeBaseError)
    if problems := require_keys(table, ("links", "phones"), list):
        raise KnowledgeBaseError(f"{path}: {'; '.join(problems)}")
    phones = (
        claim.value for text in table["phones"] for claim in find_claims(f"Call {text}.") if claim.kind == "phone"
    )
    return Contacts(tuple(link.lower() for link in table["links"]), frozenset(phones))


def vet(passages: Iterable[Passage], contacts: Contacts | None) -> tuple[tuple[Passage, ...], tuple[Suspect, ...]]:
    """The passages that may be read, and those that may not: all of an article of which one passage is suspect."""
    passages = tuple(passages)
    reasons: dict[str, str] = {}
    for passage in passages:
        if passage.doc not in reasons and (reason := suspicion(passage, contacts)):
            reasons[passage.doc] = reason
    suspect = (Suspect(passage, reasons[passage.doc]) for passage in passages if passage.doc in reasons)
    return tuple(passage for passage in passages if passage.doc not in reasons), tuple(suspect)


@lru_cache(maxsize=4096)  # each poisoned article of the attacks lies in a copy of the same knowledge base
def suspicion(passage: Passage, contacts: Contacts | None) -> str:
    """Why a passage may not be read; empty if it may."""
    written = f"{passage.title}.\n{passage.heading}.\n{passage.text}"
    if _HIDDEN.search(written):
        return "hides words in characters that nobody sees"
    text = plain(written)
    if found := _ORDER.search(text):
        return f"gives orders to the assistant: {found.group()!r}"
    if found := _ENCODED.search(text):
        return f"holds encoded text: {found.group()[:40]!r}"
    if marks := markers(text):
        return f"holds a marker of a prompt: {marks[0]!r}"
    for sentence in split_sentences(text):
        if (found := _UNTRACEABLE.search(sentence)) and not _WARNING.search(sentence):
            return f"asks for payment that cannot be traced: {found.group()!r}"
        if asks := secret_requests(sentence):
            return f"asks for a secret: {asks[0]!r}"
        if rude := rudeness(sentence):
            return f"is rude: {rude[0][0]!r}"
    if contacts:
        if found := _ACCOUNT.search(text):
            return f"names a bank account, which {CONTACTS} cannot vouch for: {found.group()!r}"
        for claim in find_claims(text):
            if not contacts.knows(claim.kind, claim.value):
                return f"names the {claim.kind} {claim.text!r}, which {CONTACTS} does not"
    return ""
