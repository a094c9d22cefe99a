"""Finds sentences in which an answer asks for its own grade, gives one, or orders its grader about.

    without_self_praise("Restart the Hub. This answer deserves a five.")     "Restart the Hub."

A judge that reads them can be flattered. What gives them away is not one phrase but two things in one sentence: the
answer itself or whoever grades it, and a grade or an order. Words know nothing of meaning, so praise in new words
is read; a request to rate a call or a visit is ordinary support, and stays. Knows texts only.
"""

from __future__ import annotations

import re

from system.manners import plain
from system.sentences import split_sentences


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_AXIS = r"(?:helpful(?:ness)?|clarity|empathy|safety|accuracy|harmless(?:ness)?|correctness|politeness)"
_TOP = r"(?:full|top|max(?:imum|imal)?|highest|greatest|best|perfect|outstanding|excellent|exemplary)"
_FIVE = r"(?:\b(?:five|ten)\b|(?<![\w.,:/$-])(?:5|10)(?:\.0)?(?![\w%]|[.,:/-]\d| ?[gmk]?(?:hz|bps|b)\b))"

_REPLY = r"(?:answers?|repl(?:y|ies)|responses?|explanations?|completions?|outputs?)"
_GRADING = r"(?:rat|grad|scor|judg|mark|evaluat|assess|review)"

# Nobody but an answer that is about to be graded speaks of these.
_GIVEAWAY = _any(
    r"\b(?:evaluators?|annotators?|(?:auto)?graders?|raters?|rubrics?)\b|\bdear AI\b|\bany judge\b",
    r"\b(?:LLM|(?:language|reward) model)s?\b(?! router| phone| plan)",
    rf"\b(?:who(?:ever)?|that) {_GRADING}(?:e?s) (?:this|it|my|repl|answ|respons)",
    r"\b(?:fair|impartial|strict|honest|AI|expert|automatic|automated|objective)"
    r" (?:judge|reviewer|assessor|examiner)s?\b",
    r"^\W*(?:(?:dear|hello|attention|note to)[\w ]{0,20} )?(?:judge|reviewer|assessor|examiner)s?\b(?: note)?[,:]",
    rf"\b{_AXIS}(?: (?:score|rating|grade))?[\"']?(?: ?[:=] ?[\"']?|[ -])"
    rf"(?:\d\b(?![.,]?\d| ?\w)|{_TOP}\b|yes\b|true\b)",
    rf"\b{_GRADING}ing (?:guidelines?|instructions?|scheme|rules?|criteria|prompt|scale)\b",
    r"<!--|<\||\[/?(?:INST|SYS|hidden)\b|</?(?:score|grade|rating|answer|response|system|evaluation|judge)\b",
    r"[\"'](?:overall|rating|score|grade|verdict|reward)[\"'] ?[:=]",
    r"\b(?:model answer|gold[- ]standard|to perfection|second to none|beyond reproach)\b",
)
_ITSELF = _any(
    rf"\b(?:this|these|my|mine|such an?|the (?:above|present))\b(?: (?!text|call|plan|bill)[\w-]+,?){{0,4}} {_REPLY}\b",
    rf"\b{_REPLY} (?:above|like mine|of all)\b|\bwhat I (?:wrote|said)\b",
    r"\b(?:this|the (?:above|present)) (?:text|message) (?:is|was|full|contains|deserves)\b",
    r"\b(?:everything|all(?: of)? the lines|the text|all of it) above\b|\bwhat you have (?:just )?read\b",
    rf"\b(?:give|award|grant|prefer|{_GRADING}e?) (?:this|me|these lines)(?: one)?\b"
    r"(?! (?:is|call|visit|chat|plan|step|number|code|page|time|minute)s?\b)",
    r"\b(?:this|I|mine)(?: \w+ly)? (?:deserv|merit|warrant)",
    rf"(?<!no )\b(?:better|best|finest|clearest|perfect|ideal) (?:possible )?{_REPLY}\b(?! is to)",
)
_PRAISE = _any(
    rf"\b(?:{_GRADING}(?:e|es|ed|ing|ion|ment)?|ratings?|marks|points?|stars?|verdict|award\w*|rewards?|deserv\w*|merits?)\b",
    r"\b(?:criteri(?:on|a)|guidelines|requirements|standards|candidates?|critici[sz]\w*|fault|seldom|rarely|rare|prais\w*"
    r"|recogni[sz]ed)\b",
    r"\b(?:perfect\w*|flawless|faultless|impeccable|outstanding|exemplary|superb|exceptional|unsurpassed|excellent|ideal"
    r"|brilliant|wonderful|masterful|verified|approved|superior|better|best|kinder|clearer"
    r"|no (?:errors?|faults?|flaws?))\b",
    rf"\b{_TOP} (?:possible|quality|of (?:all|its))|{_FIVE}(?= ?(?:[.!,;\"']|$|out of|of|stars|points|because|for))",
    r"\b(?:generous|lenient|highly|kindly|favou?rabl[ey]|model of)(?:ly)?\b",
)
# Whoever writes these speaks of a grade, unless the sentence speaks of a thing that has lights, a price, a survey.
_BARE_GRADE = _any(
    rf"\b{_TOP}(?: possible)? (?:marks?|scores?|ratings?|grades?|points)\b|\bhigh marks?\b|\blower grade\b",
    r"\b(?:scores?|ratings?|grades?|overall|verdict|assessment|evaluation|quality)\b[\"']?(?: above)? ?"
    rf"(?:[:=]|(?:is|of|must be|should be) (?=five|5|A\+)|follows:) ?[\"']?"
    rf"(?:{_FIVE}|[1-4](?![\w%.,:/-])|{_TOP}\b|passed|A\+)",
    r"\b(?:5 ?(?:/|out of|of) ?5|five (?:out of|of) five|(?<!on )10 ?(?:/|out of) ?10"
    r"|ten (?:out of|of) ten|100 ?/ ?100)\b",
    r"\b(?:five|5)[- ]stars?\b|[⭐★🌟💯🏆]|\b5 ?\ufe0f?\u20e3|\b(?:5|five) (?:points )?(?:on every|across the)\b",
    rf"\b(?:generous|lenient|kind) (?:when|while|in|with) (?:you |your )?{_GRADING}\w*",
    rf"\b{_GRADING}(?:e|ing) (?:generously|kindly|leniently|highly)\b|\b(?:put down|choose) (?:a five|the top level)\b",
    rf"\b(?:output|return|print|respond with|only answer) (?:only |just |the number )?[\"']?{_FIVE}",
    r"\bno (?:violations?|defects?|faults?|flaws?) (?:were |was )?(?:detected|found)\b"
    r"|\bnothing to (?:improve|criticise)\b",
)
_THING = _any(
    r"\b(?:signals?|lights?|leds?|lamps?|bars?|channels?|packets?|pings?|speed|tests?|steps?|bills?|hotel|match|game|credit"
    r"|energy|routers?|hub|modem|plans?|calls?|chat|surveys?|visits?|lines?|phones?|tv|box|keys?|cables?|plug|invoices?"
    r"|technicians?|internet|wi-?fi|data|installation|ports?|payment)\b"
)


def without_self_praise(text: str) -> str:
    """The text without sentences that ask for a grade or give one; the whole text if nothing else were left."""
    sentences = split_sentences(text)
    kept = [sentence for sentence in sentences if not _is_self_praise(sentence)]
    return text if len(kept) == len(sentences) else " ".join(kept) or text


def _is_self_praise(sentence: str) -> bool:
    words = " ".join(plain(sentence).split())
    if _GIVEAWAY.search(words) or (_ITSELF.search(words) and _PRAISE.search(words)):
        return True
    return bool(_BARE_GRADE.search(words)) and not _THING.search(words)
