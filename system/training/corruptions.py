"""Ways to make a readable text hard to read; the judge learns clarity from a text against its own wreck.

    corrupt(text, random.Random(0)) -> the text with its sentences shuffled, cut off, run together, ...

Kept apart from ``system.evaluation.defects``, the exam: other code, other phrases. Knows texts only.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from system.sentences import split_sentences

Corruption = Callable[[str, random.Random], str]

FEWEST_WORDS = 12  # a shorter text cannot be wrecked in most of the ways below

_JARGON = (
    "per the OSS ticketing SLA",
    "subject to CPE firmware parity",
    "via the NOC's tier-2 BRAS escalation path",
    "pending DHCP lease re-provisioning on the OLT",
    "in accordance with clause 7.4(b)(ii) thereof",
    "post HLR/HSS reconciliation of the MSISDN",
    "modulo the SNR margin at the DSLAM",
    "as per the E2E provisioning workflow artefact",
    "once the RADIUS session has been torn down",
)
_DETOURS = (
    "But that is another matter, as I was saying before, or rather as will be said.",
    "This relates to the above, which relates to what follows.",
    "On the one hand yes, on the other hand it depends on the former.",
    "Where was I, it is the same as the other thing anyway.",
)


def shuffle_sentences(text: str, draw: random.Random) -> str:
    """The sentences in another order."""
    parts = _sentences(text)
    order = parts[:]
    while len(set(parts)) > 1 and order == parts:
        draw.shuffle(order)
    return " ".join(order)


def cut(text: str, draw: random.Random) -> str:
    """The text stops inside a sentence, between two and nine tenths of its words."""
    words = text.split()
    stop = draw.randint(max(3, len(words) // 5), max(4, len(words) * 9 // 10))
    return " ".join(words[:stop]).rstrip(".!?;:,")


def run_on(text: str, draw: random.Random) -> str:
    """One wall: no full stops, commas, capitals or lines; sometimes strung together by "and"."""
    joint = draw.choice((" ", " and ", " and then "))
    bare = [re.sub(r"[.,;:!?()\"*#-]+", " ", sentence) for sentence in _sentences(text)]
    return " ".join(joint.join(bare).lower().split())


def shuffle_words(text: str, draw: random.Random) -> str:
    """A fifth to a half of the words change places with a near one."""
    words = text.split()
    for _ in range(max(2, int(len(words) * draw.uniform(0.1, 0.25)))):
        i = draw.randrange(len(words))
        j = min(len(words) - 1, max(0, i + draw.choice((-3, -2, -1, 1, 2, 3))))
        words[i], words[j] = words[j], words[i]
    return " ".join(words)


def drop_words(text: str, draw: random.Random) -> str:
    """A seventh to a third of the words are missing."""
    words = text.split()
    kept = [word for word in words if draw.random() > draw.choice((0.15, 0.3))]
    return " ".join(kept if len(kept) < len(words) else words[1:])


def stutter(text: str, draw: random.Random) -> str:
    """Sentences come twice, or one comes over and over."""
    parts = _sentences(text)
    if draw.random() < 0.5:
        return " ".join(part for part in parts for _ in range(2))
    again = draw.randrange(len(parts))
    return " ".join([*parts[: again + 1], *[parts[again]] * draw.randint(2, 4), *parts[again + 1 :]])


def talk_shop(text: str, draw: random.Random) -> str:
    """Jargon that nobody explains, in the middle of sentences."""
    words = text.split()
    for phrase in draw.sample(_JARGON, min(len(_JARGON), max(2, len(words) // 15))):
        words.insert(draw.randrange(1, len(words)), phrase)
    return " ".join(words)


def ramble(text: str, draw: random.Random) -> str:
    """Detours between the sentences, which come out of order."""
    parts = [part for sentence in _sentences(text) for part in (sentence, draw.choice(_DETOURS))]
    return shuffle_sentences(" ".join(parts), draw)


CORRUPTIONS: tuple[Corruption, ...] = (
    shuffle_sentences,
    cut,
    run_on,
    shuffle_words,
    drop_words,
    stutter,
    talk_shop,
    ramble,
)


def corrupt(text: str, draw: random.Random) -> str | None:
    """The text wrecked in one way; None where it is too short, or comes out as it went in."""
    if len(text.split()) < FEWEST_WORDS:
        return None
    wreck = draw.choice(CORRUPTIONS)(text, draw)
    return wreck if wreck.split() != text.split() else None


def _sentences(text: str) -> list[str]:
    return [" ".join(sentence.split()) for sentence in split_sentences(text)] or [text]
