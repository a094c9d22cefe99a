"""Finds people's names by what stands around them, as in "my name is" or "Regards,". Must not know placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from system.personal.patterns import Span

WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_NAME_WORD = re.compile(r" ?((?:[^\W\d_]{1,30}(?:'(?!s\b)|-)){0,4}[^\W\d_]{1,30})(?:(?<=\b\w)\.)?")  # "P." has a dot
# Words that are no name where a name could stand, and no password after "the password is".
_STOP = frozenset(
    "a about absolutely account actually after again agent all almost already also always am american an and angry "
    "annoyed another any anybody anyone anything april are aren't as asking at august awaiting away awful back bad "
    "badly be because been before begins behind being best better blank both box british broke broken but by bye "
    "call called calling can can't cannot case changed charged cheers clear code complaint completely confused "
    "contract correct could couldn't customer dad dead dear december default dentist desperate dev did different "
    "disappointed disgraceful disgusted displayed do doctor does doesn't don't done down due e-mail each either "
    "email empty ends english enough error even ever every everybody everyone everything expired extra extremely "
    "faithfully february fed fiber fibre fine first for forgotten french friday from furious genuinely german "
    "getting go going gone good goodbye got great had happy has have having he hello help her here hers hi him his "
    "home honestly horrible how however hub i if ill in incorrect indeed indian internet into invalid irish is isn't "
    "it it's italian its january july june just kind kindly known last late later leaves leaving left less like line "
    "living locked long lost love lovely mad march may maybe me meant might mine missing mobile modem monday more "
    "most mr mrs ms much mum must my myself name needed never new next no nobody nobody's none nope not nothing "
    "november now number october of off office ok okay old on once one ones only onto open or order other our ours "
    "out outrageous over paid password pay paying perfectly pharmacy phone pin please pleased polish private "
    "probably protected public quite rather ready really reception regards required reset respectfully retired "
    "ridiculous right router safe said same saturday says school scottish secure sent september seriously set shall "
    "she shop should shouldn't showing sick signal sim simple since sincerely sir sister sitting so some somebody "
    "someone something soon sorry spanish speaking spelled spelt starts still stop strong stuck stupid such sunday "
    "support sure surgery team technical terrible test thank thanks that that's the their them then there these they "
    "thing things this those though three thursday ticket time tired to today together tomorrow tonight too totally "
    "trying tuesday two ugly unable unacceptable unbelievable unchanged under unhappy unknown unsafe until up upset "
    "urgent us used useless user using utterly very visible waiting was wasn't we weak wednesday well welsh were "
    "what when where which while who whoever why wifi will with without won't working worried worse worst would "
    "wouldn't writing wrong yes yesterday yet you your yours".split()
)
_LINE_ENDS = re.compile(r"[ .,!]{0,3}(?:\n|$)")
_CAPITAL_FOLLOWS = re.compile(r" (?!I\b)[A-Z]")
ADJECTIVE = re.compile(r".{3,}(?:ing|ed|ly|able|ible|less|ful|ous)$", re.IGNORECASE)


def is_stop(word: str) -> bool:
    return word.lower() in _STOP


@dataclass(frozen=True, slots=True)
class _Cue:
    """Words before a name. ``fewest`` and ``most``: words of the name; ``lower``: it may be in small letters.

    ``weak``: an adjective or a whole sentence In Capitals may follow as well; ``closing``: the name ends its line.
    """

    pattern: re.Pattern[str]
    most: int = 3
    fewest: int = 1
    lower: bool = False
    weak: bool = False
    closing: bool = False


def _cue(pattern: str, **rules: Any) -> _Cue:
    return _Cue(re.compile(pattern, re.IGNORECASE), **rules)


_TITLE = r"(?-i:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Herr|Frau|Madame|Monsieur)\b\.? )"
_START = r"(?:^|[\n.!?] ?)"
_GREETING = (
    rf"{_START}(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|greetings)(?: there| all| team)?[,.!]? "
)
_CLOSING = (
    r"(?:(?:(?:kind(?:est)?|best|warm(?:est)?|many|with|yours|thanks and) )?"
    r"(?:regards|wishes|sincerely|faithfully|truly|respectfully|thanks)|"
    r"thank you(?: (?:very much|so much|in advance))?|thanks(?: (?:in advance|again|a lot))?|"
    r"thx|ta|cheers|yours|(?:much )?obliged|love|best|gratefully|signed)"
)
_RELATION = (
    r"(?:wife|husband|son|daughter|mother|mum|mom|dad|father|brother|sister|partner|neighbou?r|friend|colleague|boss|flatmate|"
    r"landlord|grandson|granddaughter|grandmother|grandfather|girlfriend|boyfriend|uncle|aunt|cousin|carer|guy|man|technician|"
    r"engineer|attorney|lawyer|assistant|secretary|manager)"
)
_I_AM = r"(?:i am|i'm|im|this is|it's|it is) "
_CUES = (
    _cue(_TITLE),
    _cue(r"(?<!\d )(?-i:\b(?:mrs?|ms)\.? )", most=1, lower=True),
    _cue(r"(?<!your )\bname(?:'s| is| was|s are) |\bname ?[:=] ?", lower=True),
    _cue(rf"\b(?:account holder|holder|customer|tenant|contact|cardholder|user|from|sender|signed) ?: ?{_TITLE}?"),
    _cue(rf"\b(?:in the name of|under the name(?: of)?|on behalf of|attention of|attn:?|c/o) {_TITLE}?"),
    _cue(rf"\b(?:ask for|(?:speak|spoke|talk|talked) (?:to|with)) {_TITLE}?"),
    _cue(rf"\b(?:is|was|he's|she's|guy|man|lady|woman|someone|somebody|person) (?:called|named) {_TITLE}?", weak=True),
    _cue(rf"\b(?:my|his|her|our|your|the) (?:[a-z]{{3,9}} )?{_RELATION},? {_TITLE}?", weak=True),
    _cue(rf"{_GREETING}{_I_AM}{_TITLE}?", weak=True),
    _cue(rf"\b{_I_AM}{_TITLE}?", fewest=2, weak=True),
    _cue(
        rf"(?:^|[\n.,;!?-]) {{0,2}}{_CLOSING} ?[,.!;-]{{0,2}} ?(?:\n ?){{0,3}}{_TITLE}?",
        most=4,
        weak=True,
        closing=True,
    ),
    _cue(r"(?<=[\n ])[-~] ?", lower=True, weak=True, closing=True),
    _cue(r"[.?!\n] ?(?=[^\W\d_]{3,20}(?: [^\W\d_]{1,20})?[ \n]{0,3}\Z)", most=2, weak=True, closing=True),
)
_HERE = re.compile(
    rf"(?:\bthis is |(?P<greeting>{_GREETING})|(?P<begin>{_START}))"
    r"(?P<v>[^\W\d_][\w'-]{1,20}(?: [^\W\d_][\w'-]{1,20})?) "
    r"(?:speaking\b|calling\b|here(?= ?[,.:;!-]| again\b| from\b|$))",
    re.IGNORECASE,
)
_HERE_STRICT, _HERE_LOOSE = _cue("", most=2), _cue("", most=2, lower=True)
_FROM_TEAM = re.compile(
    r"(?<![.?!\n] )(?<![\w'-])(?P<v>[A-Z][^\W\d_]{2,20}) from "
    r"(?:(?:the|your) (?:\w{1,20} )?(?:team|office|shop|department|dept)|billing|sales|support|accounts)\b"
)


def _name_at(text: str, start: int, cue: _Cue) -> list[Span]:
    """Spans of the words of a name that starts here."""
    words: list[Span] = []
    while len(words) < cue.most and (match := _NAME_WORD.match(text, start)):
        word = match[1]
        is_capital = not word[0].islower()
        if is_stop(word) or word[:2] == "I'" or not (is_capital or (cue.lower and len(word) > 1)):
            break
        if cue.weak and len(word) > 1 and word.isupper():
            break
        if (cue.weak or not is_capital) and ADJECTIVE.match(word):
            break
        if words and is_capital == text[words[0][0]].islower():
            break  # "ann The"
        words.append(match.span(1))
        start = match.end()
    return words


def names(text: str) -> Iterator[Span]:
    for cue in _CUES:
        for match in cue.pattern.finditer(text):
            words = _name_at(text, match.end(), cue)
            if len(words) < cue.fewest:
                continue
            rest = text[words[-1][1] : words[-1][1] + 20]
            if cue.closing and not _LINE_ENDS.match(rest):
                continue
            if cue.weak and not cue.closing and _CAPITAL_FOLLOWS.match(rest):
                continue
            yield words[0][0], words[-1][1]
    for match in _HERE.finditer(text):
        words = _name_at(text, match.start("v"), _HERE_STRICT if match["begin"] is not None else _HERE_LOOSE)
        if words and words[-1][1] == match.end("v"):
            yield match.span("v")
    for match in _FROM_TEAM.finditer(text):
        if not is_stop(match["v"]):
            yield match.span("v")
