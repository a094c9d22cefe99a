"""Planted defects: a good reply spoiled in one known way, and the axis on which a judge must rank it lower.

    plant_all(read_bases(), seed=0) -> [Planted("B-01-insult", "safety", "insult", complaint, good, bad), ...]
    flatter(read_bases(), seed=0)   -> [Flattered("B-01-start", "start", phrase, complaint, plain, flattered), ...]

The phrases are data, ``data/planted_defects.toml``. Every choice is drawn from the seed, the base's id and the kind.
Knows texts only; must not know a judge, nor what one was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from system.errors import SettingsError
from system.rows import read_rows
from system.sentences import LIST_ITEM, sentence_spans, split_sentences
from system.settings import read_toml

DATA = Path(__file__).resolve().parents[2] / "data"
BASES, PHRASES = DATA / "planted_bases.jsonl", DATA / "planted_defects.toml"
POOLS = (
    *("insult", "threat", "secret", "phone", "link", "danger", "other_customer"),
    *("courtesy", "evasive", "filler", "echo", "jargon", "cold", "blame", "mocking", "belittling", "flattery"),
)
FEWEST_PHRASES = 10
COMPLAINT = "{complaint}"  # where a phrase of the pool echo repeats the complaint
PLACES = ("start", "middle", "end")
_WORD = re.compile(r"[^\W\d_]{4,}")
_LAST_STOP = re.compile(r"[.!?…:]*$")
_PUNCTUATION = re.compile(r"(?<=\w)([^\w\s])(?=\w)|[^\w\s]")  # group 1 is inside a word: don't, two-step, 2.4


@dataclass(frozen=True, slots=True)
class Base:
    """A complaint with a good reply: warm, clear, helpful and safe."""

    id: str
    complaint: str
    response: str


@dataclass(frozen=True, slots=True)
class Planted:
    """A pair of replies to one complaint. ``bad`` must be ranked below ``good`` on ``axis``."""

    id: str
    axis: str
    defect: str
    complaint: str
    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class Flattered:
    """A reply without and with ``phrase``, praise of itself or a request for a grade, which must not gain by it."""

    id: str
    place: str
    phrase: str
    complaint: str
    plain: str
    flattered: str


@dataclass(frozen=True, slots=True)
class Phrases:
    """What is planted: phrases by pool, jargon by plain word, sentences that carry feeling by base id."""

    pools: dict[str, tuple[str, ...]]
    jargon_words: dict[str, str]
    feelings: dict[str, tuple[str, ...]]


class Spot(NamedTuple):
    """Where a defect is planted: a base among the others, and its turn when phrases are dealt."""

    base: Base
    bases: Sequence[Base]
    phrases: Phrases
    rng: Random
    turn: int
    seed: int

    def deal(self, pool: str, count: int = 1) -> list[str]:
        """The next phrases of a pool, shuffled once a seed, so that all of them are used about equally often."""
        phrases = self.phrases.pools[pool]
        deck = Random(f"{self.seed} {pool}").sample(phrases, len(phrases))
        return [deck[(self.turn * count + number) % len(deck)] for number in range(count)]

    def feelings(self) -> tuple[str, ...]:
        """The reply's sentences that carry feeling; none if it was not chosen for empathy."""
        listed = self.phrases.feelings.get(self.base.id, ())
        if missing := set(listed) - set(split_sentences(self.base.response)):
            raise SettingsError(f"{self.base.id}: its reply has no sentence {sorted(missing)}; correct [feelings]")
        return listed


Plant = Callable[[Spot], str | None]  # the spoiled reply, or None where the defect does not fit


# --- putting sentences in and taking them out ---


def _pieces(text: str) -> list[tuple[str, str]]:
    """Sentences, each with the white space after it."""
    spans = sentence_spans(text)
    starts = [start for start, _ in spans[1:]] + [len(text)]
    return [(text[start:end], text[end:after]) for (start, end), after in zip(spans, starts, strict=True)]


def _inner_places(text: str) -> list[int]:
    """Ends of sentences that others follow on the same line, so that no list is broken."""
    spans = sentence_spans(text)
    return [end for (_, end), (start, _) in pairwise(spans) if "\n" not in text[end:start]]


def _put(text: str, phrase: str, place: int) -> str:
    return f"{text[:place]} {phrase}{text[place:]}" if place else f"{phrase} {text}"


def _insert(pool: str, for_empathy: bool = False) -> Plant:
    def plant(spot: Spot) -> str | None:
        text = spot.base.response
        if for_empathy and not spot.feelings():
            return None
        return _put(text, spot.deal(pool)[0], spot.rng.choice([0, *_inner_places(text), len(text)]))

    return plant


def _jargon_inserted(spot: Spot) -> str:
    text = spot.base.response
    places = [*_inner_places(text), len(text)]
    chosen = sorted(spot.rng.sample(places, min(len(places), max(2, len(places) // 2))), reverse=True)
    for place, phrase in zip(chosen, spot.deal("jargon", len(chosen)), strict=True):
        text = _put(text, phrase, place)
    return text


def _feelings_removed(spot: Spot) -> str | None:
    feelings = spot.feelings()
    kept: list[str] = []
    for sentence, space in _pieces(spot.base.response):
        if sentence not in feelings:
            kept += [sentence, space]
        elif kept:
            kept[-1] = max(kept[-1], space, key=len)  # a list that followed still begins on a line of its own
    return "".join(kept).rstrip() if feelings else None


def _feelings_replaced(spot: Spot) -> str | None:
    feelings, text = spot.feelings(), spot.base.response
    for feeling, cold in zip(feelings, spot.deal("cold", len(feelings)), strict=True):
        text = text.replace(feeling, cold, 1)
    return text if feelings else None


def _steps_removed(spot: Spot) -> str | None:
    feelings = spot.feelings()
    return " ".join([*feelings, *spot.deal("courtesy", 2)]) if feelings else None


# --- another text in place of the reply ---


def _other_reply(spot: Spot) -> str | None:
    """The reply to one of the half of the bases that share the fewest words with this one."""

    def words(base: Base) -> set[str]:
        return set(_WORD.findall(f"{base.complaint} {base.response}".lower()))

    def likeness(base: Base) -> float:
        own, its = words(spot.base), words(base)
        return len(own & its) / len(own | its)

    others = sorted((base for base in spot.bases if base.id != spot.base.id), key=likeness)
    return spot.rng.choice(others[: len(others) // 2 + 1]).response if others else None


def _filler(spot: Spot) -> str:
    """Empty sentences, together about as long as the reply."""
    pool, missing = spot.phrases.pools["filler"], len(spot.base.response.split())
    chosen: list[str] = []
    for sentence in spot.rng.sample(pool, len(pool)):
        left = missing - len(sentence.split())
        if abs(left) < abs(missing):
            chosen.append(sentence)
            missing = left
    return " ".join(chosen)


# --- the reply's own words, spoiled ---


def _sentences_shuffled(spot: Spot) -> str | None:
    """The sentences in an order that keeps no two neighbours together, in the reply's layout."""
    pieces = _pieces(spot.base.response)
    order = list(range(len(pieces)))
    if len(pieces) < 4:
        return None
    while any(second == first + 1 for first, second in pairwise(order)):
        spot.rng.shuffle(order)
    return "".join(pieces[number][0] + space for number, (_, space) in zip(order, pieces, strict=True))


def _cut_off(spot: Spot) -> str | None:
    """The beginning, to a word inside a sentence, a quarter to three quarters of the way."""
    text = spot.base.response
    cuts = [
        start + word.end()
        for start, end in sentence_spans(text)
        for word in list(re.finditer(r"\S+", text[start:end]))[2:-2]
    ]
    cuts = [cut for cut in cuts if 0.25 < cut / len(text) < 0.75]
    return text[: spot.rng.choice(cuts)] if cuts else None


def _words_shuffled(spot: Spot) -> str:
    text = ""
    for sentence, space in _pieces(spot.base.response):
        marker, body, stop = _parts(sentence)
        words = body.split()
        while len(set(words)) > 3 and words == body.split():
            spot.rng.shuffle(words)
        text += marker + " ".join(words) + stop + space
    return text


def _wall(spot: Spot) -> str | None:
    text = spot.base.response
    return " ".join(_PUNCTUATION.sub(r"\1", text).split()) if len(sentence_spans(text)) >= 4 else None


def _jargon_substituted(spot: Spot) -> str | None:
    jargon = {word.lower(): name for word, name in spot.phrases.jargon_words.items()}
    plain = re.compile(rf"\b(?:{'|'.join(map(re.escape, jargon))})\b", re.IGNORECASE)
    text, count = plain.subn(lambda found: jargon[found[0].lower()], spot.base.response)
    return text if count >= 3 else None


def _repeated(spot: Spot) -> str:
    return "".join(f"{one} {''.join(_parts(one)[1:])}{space}" for one, space in _pieces(spot.base.response))


def _parts(sentence: str) -> tuple[str, str, str]:
    """List marker, body and last stop of a sentence."""
    marker = found.group() if (found := LIST_ITEM.match(sentence)) else ""
    stop = found.group() if (found := _LAST_STOP.search(sentence)) else ""
    return marker, sentence[len(marker) : len(sentence) - len(stop)], stop


DEFECTS: Mapping[str, Mapping[str, Plant]] = MappingProxyType(
    {
        "helpfulness": {
            "other_reply": _other_reply,
            "steps_removed": _steps_removed,
            "evasive": lambda spot: spot.deal("evasive")[0],
            "filler": _filler,
            "echo": lambda spot: spot.deal("echo")[0].replace(COMPLAINT, spot.base.complaint),
        },
        "clarity": {
            "sentences_shuffled": _sentences_shuffled,
            "cut_off": _cut_off,
            "words_shuffled": _words_shuffled,
            "wall": _wall,
            "jargon_inserted": _jargon_inserted,
            "jargon_substituted": _jargon_substituted,
            "repeated": _repeated,
        },
        "empathy": {
            "feelings_removed": _feelings_removed,
            "feelings_replaced": _feelings_replaced,
            **{pool: _insert(pool, for_empathy=True) for pool in ("blame", "mocking", "belittling")},
        },
        "safety": {pool: _insert(pool) for pool in POOLS[:7]},
    }
)


def plant_all(bases: Sequence[Base], seed: int, phrases: Phrases | None = None) -> list[Planted]:
    """Every defect in every base that it fits. Equal arguments give equal pairs, on every machine."""
    phrases = phrases or read_phrases()
    planted: list[Planted] = []
    for axis, kinds in DEFECTS.items():
        for kind, plant in kinds.items():
            for turn, base in enumerate(bases):
                rng = Random(f"{seed} {base.id} {kind}")
                bad = plant(Spot(base, bases, phrases, rng, turn, seed))
                if bad is not None and bad != base.response:
                    planted.append(Planted(f"{base.id}-{kind}", axis, kind, base.complaint, base.response, bad))
    return planted


def flatter(bases: Sequence[Base], seed: int, phrases: Phrases | None = None) -> list[Flattered]:
    """Every reply with flattery at its start, in its middle and at its end; a single sentence has no middle."""
    phrases = phrases or read_phrases()
    flattered: list[Flattered] = []
    for turn, base in enumerate(bases):
        rng, text = Random(f"{seed} {base.id} flattery"), base.response
        inner = _inner_places(text)
        places = (0, rng.choice(inner) if inner else None, len(text))
        dealt = Spot(base, bases, phrases, rng, turn, seed).deal("flattery", len(PLACES))
        for name, place, phrase in zip(PLACES, places, rng.sample(dealt, len(dealt)), strict=True):
            if place is not None:
                changed = _put(text, phrase, place)
                flattered.append(Flattered(f"{base.id}-{name}", name, phrase, base.complaint, text, changed))
    return flattered


def read_bases(path: Path = BASES) -> list[Base]:
    """The base pairs. Raises RowsError that lists every problem."""

    def check(base: Base) -> list[str]:
        return [f"{name} is empty" for name in ("complaint", "response") if not getattr(base, name).strip()]

    return read_rows(path, Base, check)


@cache
def read_phrases(path: Path = PHRASES) -> Phrases:
    """The phrases. Raises SettingsError that lists every problem of the file."""
    try:
        phrases = msgspec.convert(read_toml(path), Phrases)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {error}") from error
    pools, problems = phrases.pools, []
    for name in sorted(set(POOLS) ^ set(pools)):
        problems.append(f"pool {name!r} is {'missing' if name in POOLS else 'unknown'}")
    for name, texts in [*pools.items(), *phrases.feelings.items()]:
        if len(set(texts)) < len(texts) or not all(text.strip() for text in texts):
            problems.append(f"{name}: a phrase is empty or stands there twice")
        if name in POOLS and len(texts) < FEWEST_PHRASES:
            problems.append(f"{name}: give {FEWEST_PHRASES} phrases")
    problems += [f"echo: {text!r} lacks {COMPLAINT}" for text in pools.get("echo", ()) if COMPLAINT not in text]
    if problems:
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return phrases
