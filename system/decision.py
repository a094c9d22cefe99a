"""Answer from the articles (RAG), answer directly (DIRECT), or hand over to a person (ESCALATE).

Three questions, in this order: must a person handle this? is it an attempt to manipulate the assistant? do the
articles hold the answer? The first two compare the complaint, sentence by sentence, with written prototypes and
patterns; the third is a calibrated probability from the retrieval score and from how much more the complaint
resembles what customers bring than anything else. A message that may be an attempt (``system.wariness``) is answered
in the articles' own words, or asked back; no model speaks to it. All numbers are fitted on the dev complaints only, by
``python -m system calibrate``. Must not know prompts, generators or test labels.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np

from system.demands import plain
from system.errors import SettingsError
from system.records import Decision, Hit, Prompt
from system.retrieval import Store
from system.sentences import split_sentences
from system.settings import read_toml, require_keys, stamp
from system.wariness import Wariness

DATA = Path("data")
FEATURES = ("retrieval", "scope")
QUOTE, ASK_BACK = "unsure_with_source", "clarify"  # replies to a message to which no model speaks
_ORDINARY = ("inside", "outside", "near_miss")  # prototypes that call for no scripted reply
# One sentence of these kinds is not weighed against the whole text: despair is said in passing, in the midst of a
# story about a bill, and a needless handover costs less than to overlook it.
_ONE_SENTENCE_IS_ENOUGH = ("self_harm",)
SHORTEST_SENTENCE = 2  # words; shorter pieces resemble everything


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted numbers with their provenance. A margin is a difference of cosines, a weight is per unit cosine."""

    weights: tuple[float, float]  # of FEATURES in the logistic model of "the articles answer this"
    bias: float
    threshold: float  # probability from which on the action is RAG
    escalate_margin: float
    manipulation_margin: float
    settings_sha256: str  # of the prototypes and patterns that the margins were measured with
    embedder_sha256: str
    complaints_sha256: str  # of the dev rows
    measured: dict[str, float]  # on dev, cross-validated by cluster


@dataclass(frozen=True, slots=True)
class Rules:
    """Prototypes, patterns and scripted replies, as read from the data folder."""

    prototypes: dict[str, tuple[str, ...]]
    patterns: dict[str, tuple[re.Pattern[str], ...]]
    reply_of: dict[str, str]  # kind of escalation or manipulation -> name of the scripted reply
    replies: dict[str, str]
    sha256: str

    @property
    def escalations(self) -> tuple[str, ...]:
        """The kinds of reasons for which a person must take over."""
        return tuple(kind for kind in self.reply_of if kind != "manipulation")


@dataclass(frozen=True, slots=True)
class Signals:
    """What is measured of one complaint. ``kind``: the escalation it comes closest to."""

    retrieval: float  # best cosine of a passage
    scope: float  # cosine to what customers bring minus cosine to anything else
    escalate: float  # margin of the closest escalation: mean of whole text and closest sentence, or one sentence's
    kind: str
    manipulation: float  # likewise
    matched: str = ""  # kind whose pattern matched, with the words
    words: str = ""
    wary: float = 0.0  # positive where the message looks like an attempt to steer the assistant


def load_rules(folder: Path = DATA) -> Rules:
    """Read the decision settings; unchanged files are read once.

    Raises SettingsError that lists what is missing, unknown or malformed.
    """
    paths = [folder / name for name in ("decision.toml", "decision_prototypes.toml", "replies.toml")]
    return _load_rules(tuple(paths), tuple(map(stamp, paths)))


@lru_cache(maxsize=4)
def _load_rules(paths: tuple[Path, ...], stamps: tuple[object, ...]) -> Rules:
    settings, prototypes, replies = (read_toml(path) for path in paths)
    problems = [f"{paths[0]}: {p}" for p in require_keys(settings, ("escalate", "manipulation"), dict)]
    problems += [f"{paths[1]}: {p}" for p in require_keys(prototypes, (*_ORDINARY, "manipulation", "escalate"), dict)]
    problems += [f"{paths[2]}: {p}" for p in require_keys(replies, ("replies",), dict)]
    if problems:
        raise SettingsError("\n".join(problems))
    kinds = {**settings["escalate"], "manipulation": settings["manipulation"]}
    messages = {**{name: prototypes[name] for name in (*_ORDINARY, "manipulation")}, **prototypes["escalate"]}
    texts: dict[str, str] = replies["replies"]
    for name, table in kinds.items():
        problems += _text_problems(f"{paths[0]}: {name}", table, ("reply", "patterns"))
    for name, table in messages.items():
        problems += _text_problems(f"{paths[1]}: {name}", table, ("messages",))
    problems += _text_problems(f"{paths[2]}: replies", texts, {"clarify": None, **texts})
    if problems:
        raise SettingsError("\n".join(problems))
    patterns: dict[str, tuple[re.Pattern[str], ...]] = {}
    for name, table in kinds.items():
        try:
            patterns[name] = tuple(map(re.compile, table["patterns"]))
        except re.error as error:
            problems.append(f"{paths[0]}: {name}: {error.pattern!r} is not a regular expression: {error}")
        if name not in messages:
            problems.append(f"{paths[1]}: {name!r} is missing; {paths[0].name} has it")
        if table["reply"] not in texts:
            problems.append(
                f"{paths[2]}: the reply {table['reply']!r} is missing; {name!r} in {paths[0].name} names it"
            )
    strays = [name for name in messages if name not in kinds and name not in _ORDINARY]
    problems += [f"{paths[0]}: {name!r} is missing; {paths[1].name} has it" for name in strays]
    if problems:
        raise SettingsError("\n".join(problems))
    return Rules(
        prototypes={name: tuple(table["messages"]) for name, table in messages.items()},
        patterns=patterns,
        reply_of={name: table["reply"] for name, table in kinds.items()},
        replies=texts,
        sha256=hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest(),
    )


def _text_problems(where: str, table: object, keys: Iterable[str]) -> list[str]:
    """Problems with a table that must have these keys: a text each, or a list of texts where the name is a plural."""
    if not isinstance(table, dict):
        return [f"{where}: must be a table"]
    keys = tuple(keys)
    problems = [f"{where}: unknown key {key!r}" for key in table if key not in keys]
    for key in keys:
        if key not in table:
            problems.append(f"{where}: key {key!r} is missing")
            continue
        plural = key in ("messages", "patterns")
        values = table[key] if plural else [table[key]]
        if not (isinstance(values, list) and values and all(isinstance(v, str) and v.strip() for v in values)):
            problems.append(f"{where}: key {key!r} must be " + ("a list of texts" if plural else "a text"))
    return problems


def load_calibration(
    rules: Rules, embedder_sha256: str, path: Path = DATA / "decision_calibration.json"
) -> Calibration:
    """Read the fitted numbers. Raises SettingsError if they were fitted with other settings or another embedder."""
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: {error}; run: python -m system calibrate") from error
    if (calibration.settings_sha256, calibration.embedder_sha256) != (rules.sha256, embedder_sha256):
        raise SettingsError(
            f"{path}: was fitted with other settings or another embedder; run: python -m system calibrate"
        )
    return calibration


class Measure:
    """Turns complaints into signals. Prototypes are embedded once. Without ``wariness`` no message is suspected."""

    def __init__(self, rules: Rules, index: Store, wariness: Wariness | None = None):
        self.rules = rules
        self._index = index
        self._wariness = wariness
        self._vectors = {kind: index.embed(messages) for kind, messages in rules.prototypes.items()}

    def signals(self, texts: Sequence[str]) -> list[Signals]:
        """The signals of each text, from the embeddings of all texts and of their sentences."""
        sentences: list[str] = []
        owner: list[int] = list(range(len(texts)))
        for n, text in enumerate(texts):
            own = [s for s in split_sentences(text) if len(s.split()) >= SHORTEST_SENTENCE]
            sentences += own
            owner += [n] * len(own)
        # Apart from each other: in one batch every sentence would be padded to the length of its text.
        parts = [self._index.embed(pieces) for pieces in (texts, sentences) if pieces]
        vectors = np.concatenate(parts) if parts else np.zeros((0, self._vectors["inside"].shape[1]), np.float32)
        inside = np.maximum(self._near(vectors, "inside", 3), self._near(vectors, "near_miss", 3))
        outside = self._near(vectors, "outside", 3)
        # Two prototypes must agree on an escalation, three on an ordinary matter: there are more of the latter.
        kinds = self.rules.escalations
        escalations = np.stack([self._near(vectors, kind, 2) for kind in kinds], axis=1)
        ordinary = np.maximum(inside, outside)
        escalate = escalations.max(axis=1) - ordinary
        alone = {kind: escalations[:, n] - ordinary for n, kind in enumerate(kinds) if kind in _ONE_SENTENCE_IS_ENOUGH}
        attack = self._near(vectors, "manipulation", 2)
        manipulation = attack - ordinary
        scope = inside - np.maximum(outside, self._near(vectors, "manipulation", 3))
        owners = np.array(owner)
        closest_passage = self._index.best_cosines(vectors[: len(texts)])
        result: list[Signals] = []
        for n, text in enumerate(texts):
            mine = np.flatnonzero(owners == n)
            whole, closest = mine[0], mine[escalate[mine].argmax()]
            # One alarming sentence counts, and so does the whole: a long story has many sentences, and the more there
            # are, the closer one of them comes to some prototype by chance.
            margin, kind = float(escalate[closest] + escalate[whole]) / 2, kinds[int(escalations[closest].argmax())]
            for name, margins in alone.items():
                if (sentence := float(margins[mine].max())) > margin:
                    margin, kind = sentence, name
            matched, words = self._match(text)
            result.append(
                Signals(
                    retrieval=float(closest_passage[n]),
                    scope=float(scope[whole]),
                    escalate=margin,
                    kind=kind,
                    manipulation=float(manipulation[mine].max() + manipulation[whole]) / 2,
                    matched=matched,
                    words=words,
                    wary=self._wariness.excess(text, vectors[whole]) if self._wariness else 0.0,
                )
            )
        return result

    def _near(self, vectors: np.ndarray, kind: str, count: int) -> np.ndarray:
        """Mean cosine to the ``count`` closest prototypes of a kind, shape (vectors,)."""
        cosines = vectors @ self._vectors[kind].T
        closest: np.ndarray = np.sort(cosines, axis=1)[:, -count:].mean(axis=1)
        return closest

    def _match(self, text: str) -> tuple[str, str]:
        """The first kind whose pattern matches, and the words it matched; a person's matters come first."""
        lowered = plain(text).lower().replace("\u2019", "'")
        for kind, patterns in self.rules.patterns.items():
            for pattern in patterns:
                if found := pattern.search(lowered):
                    return kind, found.group()
        return "", ""


def evidence(signals: Signals, calibration: Calibration) -> float:
    """Calibrated probability that the articles answer the complaint (logistic model)."""
    weights = zip(calibration.weights, (signals.retrieval, signals.scope), strict=True)
    return 1.0 / (1.0 + math.exp(-calibration.bias - sum(weight * value for weight, value in weights)))


def decide(signals: Signals, calibration: Calibration, rules: Rules) -> Decision:
    """The decision for one complaint and its reason in words."""
    score = evidence(signals, calibration)
    reply: str | None = None
    if signals.matched in rules.escalations:
        action, reply = "ESCALATE", rules.reply_of[signals.matched]
        reason = f"{signals.matched}: the words {signals.words!r}"
    elif signals.matched == "manipulation":
        action, reply = "DIRECT", rules.reply_of["manipulation"]
        reason = f"manipulation: the words {signals.words!r}"
    elif signals.manipulation >= max(calibration.manipulation_margin, signals.escalate):
        action, reply = "DIRECT", rules.reply_of["manipulation"]
        reason = f"manipulation: margin {signals.manipulation:.2f} >= {calibration.manipulation_margin:.2f}"
    elif signals.escalate >= calibration.escalate_margin:
        action, reply = "ESCALATE", rules.reply_of[signals.kind]
        reason = f"{signals.kind}: margin {signals.escalate:.2f} >= {calibration.escalate_margin:.2f}"
    elif score >= calibration.threshold:
        action, reason = "RAG", f"evidence {score:.2f} >= {calibration.threshold:.2f}"
    else:
        action, reason = "DIRECT", f"evidence {score:.2f} < {calibration.threshold:.2f}"
    if reply is None and signals.wary > 0:
        reply = QUOTE if action == "RAG" else ASK_BACK
        reason += f"; wary by {signals.wary:.2f}: no model speaks"
    return Decision(
        action=action,  # type: ignore[arg-type]
        reason=reason,
        score=score,
        threshold=calibration.threshold,
        signals={
            "retrieval": signals.retrieval,
            "scope": signals.scope,
            "escalate": signals.escalate,
            "manipulation": signals.manipulation,
            "wary": signals.wary,
        },
        reply=reply,
    )


def passages_behind(decision: Decision, prompt: Prompt | None, hits: Sequence[Hit]) -> tuple[str, ...]:
    """Ids of the passages that an answer rests on: those that the model read, or the one that is quoted."""
    if prompt is not None:
        return prompt.passages
    return tuple(hit.passage for hit in hits[:1] if decision.reply == QUOTE)
