"""Feelings that do not go with the message: condolences where nobody died, cheer where somebody complains.

    misplaced("My bill is wrong.", "I'm sorry for your loss!") -> [("condolence", "sorry for your loss")]

A small judge takes every warm word for warmth; whether it fits is a matter of two texts. Knows texts only.
"""

from __future__ import annotations

import re

from system.manners import plain

_PERSON = (
    r"(?:husband|wife|partner|mother|father|mum|mom|dad|parents?|brother|sister|son|daughter|child|baby|friend|gran\w*"
    r"|loved one|dog|cat)"
)
_CONDOLENCE = re.compile(
    r"\b(?:so |very |deeply |truly )?sorry (?:for|about|to hear (?:of|about))"
    rf" (?:your (?:\w+ )?loss\b(?! of)|the (?:\w+ )?loss of (?:your|his|her) {_PERSON}\b)"
    rf"|\b(?:my|our) (?:\w+ ){{0,2}}(?:condolences|sympathies)\b|\bthat your {_PERSON} (?:has )?(?:died|passed away)\b"
    rf"|\bthe passing of (?:your|his|her) {_PERSON}\b|\brest in peace\b|\bthoughts and prayers\b"
    r"|\btime of (?:\w+ )?grief\b",
    re.IGNORECASE,
)
_BEREAVED = re.compile(
    r"\b(?:died|dead|death|dies|dying|deceased|funeral|buried|cremat\w+|passed (?:away|on)|widow\w*|grie\w+|mourn\w*"
    rf"|bereav\w+|late {_PERSON}|lost (?:my|our|his|her) (?:\w+ )?{_PERSON})\b",
    re.IGNORECASE,
)
_CHEER = re.compile(
    r"\b(?:yay|woo-?hoo|hooray|hurray|yippee|awesome|fantastic news|great news|wonderful news|exciting news|lovely news"
    r"|congratulations|how exciting|lucky you|what a (?:great|wonderful|lovely|fantastic|beautiful|amazing|fun|perfect)"
    r" (?:day|morning|evening|time|story|message|opportunity|adventure|surprise)|let's celebrate|cheer up"
    r"|have fun|isn't (?:that|it) (?:great|wonderful|exciting|fun))\b[!.,]?|🎉|🥳|🎊",
    re.IGNORECASE,
)
# Somebody who brings good news may be cheered.
_GLAD = re.compile(
    r"\b(?:thanks?|thank you|thx|grateful|happy|glad|love[ds]?|great|brilliant|wonderful|excellent|fantastic|delighted"
    r"|pleased|compliments?|no complaint|praise|cheers|star|passed|wedding|married|birthday|newborn|baby|won|excited"
    r"|fixed|works again|sorted|perfect|moving)\b",
    re.IGNORECASE,
)


def misplaced(message: str, reply: str) -> list[tuple[str, str]]:
    """Each misplaced feeling of the reply as (condolence or cheer, its words)."""
    cheers = [] if _GLAD.search(plain(message)) else _found(_CHEER, reply)
    return [
        *(("condolence", words) for words in condolences(message, reply)),
        *(("cheer", words) for words in cheers),
    ]


def condolences(message: str, reply: str) -> list[str]:
    """The words that mourn, in a reply to a message that speaks of no death."""
    return [] if _BEREAVED.search(plain(message)) else _found(_CONDOLENCE, reply)


def _found(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match.group().strip() for match in pattern.finditer(plain(text))]
