"""The nouns: frozen records that flow through the assistant and through the evaluation.

    Complaint -> Retriever -> Hits -> decide -> Decision -> render -> Prompt -> Generator -> Response -> run log
    Response -> Scores per case -> Verdict per requirement

A ``Response`` carries everything needed to replay and to explain it. This module knows no other module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Action = Literal["RAG", "DIRECT", "ESCALATE"]
Category = Literal["billing", "technical", "service", "account", "mobile", "other"]
Split = Literal["dev", "test"]
Finish = Literal["stop", "trimmed", "scripted", "error"]
Status = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A customer's message. Only ``id`` and ``text`` are needed to answer; the rest is the labelled truth."""

    id: str
    text: str
    category: Category = "other"
    split: Split = "test"
    cluster: str = ""  # paraphrases of one problem share a cluster
    relevant: tuple[str, ...] = ()  # article stems, the main one first
    action: Action | None = None
    reference: str = ""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of an article. ``id`` is the article's file stem, '#', and its number from 1 on."""

    id: str
    doc: str
    title: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A retrieved passage with the retriever's score (higher is better; comparable within one retriever only)."""

    doc: str
    passage: str
    score: float
    heading: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a complaint and why. ``score`` is the calibrated probability that the articles answer it."""

    action: Action
    reason: str
    score: float
    threshold: float
    signals: dict[str, float] = field(default_factory=dict)
    reply: str | None = None  # name of a scripted reply, where no model may answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The exact text sent to the model, and which passages of the hits it holds."""

    template: str
    system: str
    user: str
    text: str
    tokens: int
    passages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are chosen: greedy, with a penalty on tokens already generated."""

    max_new_tokens: int = 160
    repetition_penalty: float = 1.1
    seed: int = 0  # greedy decoding draws nothing; recorded so that a sampling variant can be replayed


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Names and hashes of everything an answer was made from."""

    model: str
    model_hash: str
    knowledge_base: str
    adapter: str | None = None
    adapter_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer of one variant. ``id`` is the complaint's; ``key`` hashes every ingredient of the answer."""

    id: str
    complaint: str
    variant: str
    text: str
    finish: Finish
    raw: str  # the model's own words, before trimming and guarding
    removed: tuple[str, ...]  # sentences that the guard took out
    hits: tuple[Hit, ...]
    decision: Decision
    prompt: Prompt | None  # None for scripted replies
    identity: Identity
    decoding: Decoding
    key: str
    time: str  # ISO 8601, UTC
    seconds: dict[str, float]  # per stage; generation is the batch's time shared by tokens
    tokens: dict[str, int]  # prompt and completion
    error: str | None = None
    cached: bool = False  # the completion was made earlier and read from the cache; then generation took 0 seconds
    rewritten: bool = False  # the first answer had unsupported claims; this is the second, or the safe one


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric on one case. ``value`` is None when the case could not be scored: neither 0 nor a pass."""

    case: str
    variant: str
    metric: str
    value: float | None
    cluster: str = ""
    explanation: str = ""
    error: str | None = None
    signature: str = ""  # of the ruler: versions, model, settings; empty where the project's own source is all


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one requirement for one variant, with what is needed to understand and to replay it."""

    requirement: str
    variant: str
    status: Status
    threshold: float
    value: float | None
    low: float | None
    high: float | None
    n: int
    needed: int | None = None  # further cases that would decide an INCONCLUSIVE verdict
    worst: tuple[Score, ...] = ()
    reason: str = ""

    @property
    def is_claim(self) -> bool:
        """Whether it is about a claim, "better > worse", which stands where a requirement's has its variant."""
        return " > " in self.variant
