"""What an answer states: the labelled facts it holds, and whether its own concrete claims stand in what it was given.

    fact_coverage   facts of the complaint's label that the answer states / facts            0 to 1
    groundedness    claims of the answer that its sources support / claims; 1 without claims  0 to 1
    claim_count     concrete claims of the answer, so that an answer which says nothing is seen to say nothing
    unsupported_claim   phone numbers, links, prices and times that its sources do not hold: none may be

Each is a metric of ``system.evaluation.scores``: (response, complaint, official text) -> (value, explanation) or None.
An answer without claims is 1, not left out: leaving it out would change the cases from variant to variant, and a paired
comparison needs the same ones. Read groundedness beside claim_count.

Two spellings are one fact where ``system.claims`` gives one value ("5-minute", "five minutes"); else words are compared
without case, punctuation, endings and QUALIFIERS, in order and side by side, hyphens and spaces alike: "Wi-Fi", "wifi".
Errors that remain: a paraphrase of a fact is not recognised; negation is seen within three words before a fact only.
All 606 facts of the labels are found in their own references.
Must not know gates or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

# The words of numbers and units are those of the claims, so that both read a text in one way.
from system.claims import MEASURE, NUMBER, THINGS, Claim, amount_of, compile_pattern, find_claims, unsupported
from system.records import Complaint, Response
from system.sentences import sentence_spans

Judged = tuple[float, str]

# Words that a fact may have or lack: "$5 a month", "$5 per month"; "up to 5 minutes", "within 5 minutes".
QUALIFIERS = frozenset(
    "a an the this that of for in within to up at about around on by is are be been will your our its their per each "
    "every and least most".split()
)
_NEGATION = re.compile(r"not|never|cannot|neither|nor|\w+n't")
_NONE = frozenset(("no", "without"))  # they deny the next word alone: "no charge applies with the receipt"
_CONDITION = frozenset("if unless when".split())
_NEARBY = 3  # words before a fact in which another negation is taken to belong to it
# "No more than 5 minutes", "not only" and "no-shows" deny nothing.
_IDIOM = compile_pattern(r"\b(?:no|not) (?:more|less|later|longer|fewer|only|just)\b(?: than\b)?|\bno(?=-\w)")
_WORD = compile_pattern(
    rf"(?P<number>{NUMBER})|(?P<word>[^\W_]+(?:'[^\W_]+)*)|(?P<percent>%)|(?P<stop>[.,;:!?](?=\s|$)|\n)"
)
_UNIT = rf"{MEASURE}|{THINGS}|[mg]hz|per ?cent|met(?:re|er)s?|feet|degrees|digits?|codes?|rings?|instalments?|tests?"
_QUANTITY = compile_pattern(rf"(?P<number>{NUMBER})[- ]?(?P<unit>(?:{_UNIT})(?!\w)|%)")
_OPENING = re.compile(r"[\s\"'(\[*_•-]*(?:\d{1,3}[.)]\s*)?")
_NAME = re.compile(r"[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)+")


class _Token(NamedTuple):
    text: str  # a stem, #number# or <claim>; empty after a clause, a line break after a sentence
    is_negation: bool = False


@lru_cache(maxsize=4096)  # the passages and official texts are read again for every answer
def _tokens(text: str) -> tuple[_Token, ...]:
    """The words of a text that count, with its claims in their normal form."""
    found: list[_Token] = []
    last = 0
    text = text.replace("’", "'")
    for claim in find_claims(text):
        found += _words(text[last : claim.start])
        found.append(_Token(_goal(claim)))
        last = claim.end
    return (*found, *_words(text[last:]))


def _goal(claim: Claim) -> str:
    """A claim's normal form; a percentage is one whether or not it is off a price."""
    percent = claim.value.removesuffix(" %")
    return f"<{claim.kind} {claim.value}>" if percent == claim.value else f"#{percent}#%"


def _words(text: str) -> Iterable[_Token]:
    for match in _WORD.finditer(_IDIOM.sub(" ", text)):
        word = match.group().lower()
        if match["stop"]:
            yield _Token("" if word in ",;:" else "\n")
        elif match["number"]:
            yield _Token(f"#{amount_of(word)}#")
        elif word not in QUALIFIERS:
            yield _Token("%" if word in ("percent", "%") else _stem(word), _NEGATION.fullmatch(word) is not None)


def _stem(word: str) -> str:
    """Lighter than Porter's: plural, possessive, -ed, -ing and a last e, where three letters are left."""
    return re.sub(r"(?<=\w{3})(?:'s|s'|ings?|ed|es|s|e)$", "", word)


def states(text: str, fact: str) -> bool:
    """Whether a text states a fact and does not deny it there."""
    wanted = [token for token in _tokens(fact) if token.text.strip()]
    goal = "".join(token.text for token in wanted)
    is_denial = any(token.is_negation or token.text in _NONE for token in wanted)
    return bool(goal) and _holds(_tokens(text), goal, is_denial)


def _holds(tokens: tuple[_Token, ...], goal: str, is_denial: bool = False) -> bool:
    """Whether some tokens side by side make up the goal; unless it is a denial itself, they must not be denied."""
    for start, first in enumerate(tokens):
        if not first.text or not goal.startswith(first.text):
            continue
        joined = ""
        for token in tokens[start:]:
            joined += token.text
            if not goal.startswith(joined) or joined == goal:
                break
        if joined == goal and (is_denial or not _is_denied(tokens, start)):
            return True
    return False


def _is_denied(tokens: tuple[_Token, ...], start: int) -> bool:
    """Whether a negation stands shortly before a position, in its clause; "if it is not white" denies nothing."""
    clause: list[_Token] = []
    for token in reversed(tokens[:start]):
        if not token.text.strip():
            break
        clause.append(token)
    if any(token.text in _CONDITION for token in clause):
        return False
    return any(t.text in _NONE for t in clause[:1]) or any(t.is_negation for t in clause[:_NEARBY])


def _sources(response: Response, complaint: Complaint, official: str) -> list[str]:
    """What the answer may rely on: the passages in its prompt, for a scripted one the official text; the complaint."""
    if response.prompt is None:
        return [official, complaint.text]
    held = [f"{hit.heading}\n{hit.text}" for hit in response.hits if hit.passage in response.prompt.passages]
    return [*held, complaint.text]


def fact_coverage(response: Response, complaint: Complaint, official: str) -> Judged | None:
    """Share of the complaint's facts that the answer states; applies where the label names facts."""
    if not complaint.facts:
        return None
    missing = [fact for fact in complaint.facts if not states(response.text, fact)]
    value = 1 - len(missing) / len(complaint.facts)
    if not missing:
        return value, ""
    given = _sources(response, complaint, official)
    if complaint.action and response.decision.action != complaint.action:
        cause = "decision"
    elif not any(states(source, fact) for fact in missing for source in given):
        cause = "retrieval"
    else:
        cause = "generation"
    return value, f"cause {cause}: missing {', '.join(map(repr, missing))}"


def concrete_claims(text: str) -> dict[str, str]:
    """The claims of a text, normal form to own words: those of ``system.claims``, quantities with a unit, and names.

    A name is two or more words with capitals; the first word of a sentence has one anyway and does not count.
    """
    rest = text = re.sub(r"[^\S\n]", " ", text.replace("’", "'"))  # a no-break space parts words as any other
    found: list[tuple[int, str, str]] = []
    for claim in find_claims(text):
        found.append((claim.start, _goal(claim), claim.text))
        rest = rest[: claim.start] + "\0" * (claim.end - claim.start) + rest[claim.end :]
    plain = [(match.start(), match.group()) for match in _QUANTITY.finditer(rest)]
    starts = (start for start, _ in sentence_spans(rest))
    openings = {match.end() for start in starts if (match := _OPENING.match(rest, start))}
    for match in _NAME.finditer(rest):
        name = match.group().partition(" ")[2] if match.start() in openings else match.group()
        if " " in (name := name.removeprefix("I ").removesuffix(" I")):
            plain.append((match.start(), name))
    found += [(start, "".join(token.text.strip() for token in _tokens(words)), words) for start, words in plain]
    return {goal: words for _, goal, words in sorted(found)}


def claim_count(response: Response, complaint: Complaint, official: str) -> Judged:
    """Number of concrete claims in the answer."""
    found = concrete_claims(response.text)
    return float(len(found)), ", ".join(map(repr, found.values()))


def ungrounded(text: str, sources: Iterable[str]) -> list[str]:
    """The concrete claims of a text, in its own words, that none of the sources holds."""
    given = [_tokens(source) for source in sources]
    claims = concrete_claims(text).items()
    return [words for goal, words in claims if not any(_holds(tokens, goal) for tokens in given)]


def groundedness(response: Response, complaint: Complaint, official: str) -> Judged:
    """Share of the answer's concrete claims that its sources hold; 1 where it makes none."""
    claims = concrete_claims(response.text)
    if not claims:
        return 1.0, "no claim"
    bare = ungrounded(response.text, _sources(response, complaint, official))
    value = 1 - len(bare) / len(claims)
    return value, f"cause generation: unsupported {', '.join(map(repr, bare))}" if bare else ""


def unsupported_claim(response: Response, complaint: Complaint, official: str) -> Judged:
    """Number of phone numbers, links, prices and times in the answer that neither complaint nor its passages hold.

    Stricter than the rules on invented facts, which let an answer say whatever stands anywhere in the articles: a price
    of another article is as wrong as one of no article.
    """
    bare = list(
        dict.fromkeys(claim.text for claim in unsupported(response.text, _sources(response, complaint, official)))
    )
    return float(len(bare)), f"cause generation: unsupported {', '.join(map(repr, bare))}" if bare else ""
