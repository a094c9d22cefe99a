"""Words that no answer may hold: rudeness towards the customer, requests for a secret, and another's voice.

The rude patterns are data, ``data/rude_patterns.toml``; what counts as a secret follows the articles: an agent may ask
for the support PIN, never for a password, a one-time code or a full card number. The assistant speaks neither as a
language model nor as a human being nor as the customer. A clean text holds no known rude phrase, which is less than
being polite. Knows text only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from system.errors import SettingsError
from system.sentences import LIST_ITEM, split_sentences
from system.settings import read_toml, require_keys

RUDE_PATTERNS = Path(__file__).resolve().parents[1] / "data" / "rude_patterns.toml"

_QUOTES = str.maketrans({**dict.fromkeys("‘’ʼ", "'"), **dict.fromkeys("“”„", '"'), "_": " "})
_TURKISH_I = str.maketrans("İı", "ii")
_CAPITAL = re.compile(r"(?<!\\)[A-Z]")
_EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]{1,200})\1")  # not the stars of "F***"
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def plain(text: str) -> str:
    """The text with straight quotes, no emphasis marks and single spaces; line breaks stay, as single ones."""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text.translate(_QUOTES))).translate(_QUOTES)
    lines = (" ".join(line.split()) for line in _EMPHASIS.sub(r"\2", text).splitlines())
    return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class RudePattern:
    """One row of the rude patterns. A match of ``pattern`` inside a match of ``unless`` is forgiven."""

    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None
    reason: str
    example: str

    def matches(self, plain: str, small: str) -> Iterator[str]:
        """Yield the words in ``plain``, a text with straight quotes and single spaces, that are rude.

        ``small`` is the same text in small letters: to look there takes half the time that re.IGNORECASE takes.
        """
        found = list(self.pattern.finditer(small))
        forgiving = [span.span() for span in self.unless.finditer(small)] if found and self.unless else []
        for match in found:
            if not any(start <= match.start() and match.end() <= end for start, end in forgiving):
                yield plain[match.start() : match.end()].strip(' .!?,:;"\n')


def _small(text: str) -> str:
    """The text in small letters, of the same length; the Turkish i alone would change that, and is taken for an i."""
    return text.translate(_TURKISH_I).lower()


def read_rude_patterns(path: Path = RUDE_PATTERNS) -> tuple[RudePattern, ...]:
    """Read the rude patterns.

    Raises SettingsError that lists every problem of the file: unknown or missing keys, values that are not text or
    are empty, expressions that do not compile, examples that are not matched, patterns given twice.
    """
    content = read_toml(path)
    problems = [f"{path}: unknown key {key!r}; only [[patterns]] is known" for key in content if key != "patterns"]
    rows = content.get("patterns")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise SettingsError("\n".join([*problems, f"{path}: has no [[patterns]]; give at least one"]))
    patterns: list[RudePattern] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{path}: pattern {number}"
        wrong = require_keys(row, ["pattern", "reason", "example", *({"unless"} & set(row))])
        wrong += [f"key {key!r} is empty" for key, value in row.items() if value == ""]
        compiled: dict[str, re.Pattern[str]] = {}
        for key in ("pattern", "unless"):
            if isinstance(row.get(key), str):
                try:
                    expression = row[key].replace(" ", r"\s")  # a phrase may run over the end of a line
                    compiled[key] = re.compile(expression, re.MULTILINE)
                    if _CAPITAL.search(row[key]):
                        wrong.append(f"key {key!r} holds capitals, and is held against small letters; write small ones")
                except re.error as error:
                    wrong.append(f"key {key!r} is not a regular expression: {error}")
        if not wrong:
            rude = RudePattern(compiled["pattern"], compiled.get("unless"), row["reason"], row["example"])
            if not any(rude.matches(plain(rude.example), _small(plain(rude.example)))):
                wrong.append(f"the example {rude.example!r} is not matched; mend the example or the pattern")
            if (first := seen.setdefault(row["pattern"], number)) != number:
                wrong.append(f"the pattern was given as pattern {first}; remove one of them")
            patterns.append(rude)
        problems += [f"{where}: {problem}" for problem in wrong]
    if problems:
        raise SettingsError("\n".join(problems))
    return tuple(patterns)


_rude_patterns = cache(read_rude_patterns)


@lru_cache(maxsize=4096)  # a gate, the guard and the local judge ask of the same answer
def rudeness(text: str) -> tuple[tuple[str, str], ...]:
    """Every rudeness towards the customer as (words, reason): insults, blame, threats, profanity, ..."""
    polished = plain(text)
    small = _small(polished)
    rows = _rude_patterns()
    return tuple(dict.fromkeys((words, row.reason) for row in rows for words in row.matches(polished, small)))


# --- asks for a secret ---

# The support PIN may be asked for, a transfer PIN goes to another operator, and a new password is chosen, not told.
_CODE = "security|verification|log-?in|sign-in|recovery|two-factor|two-step|2FA|authentication|one-time|SMS|OTP"
_LENGTH = "three|four|five|six|seven|eight|twelve|sixteen|[3-8]|12|16"
_SECRET = (
    r"(?:(?<!new )pass(?:word|code|phrase)s?|log-?in (?:details|data|secret)|credentials"
    r"|(?<!press )your (?:bank )?log-?in"
    r"|(?:(?:credit|debit|bank|payment) )?card (?:number|details|digits)|(?:full|complete|entire) (?:credit|debit) card"
    r"|(?:digits?|numbers?) (?:(?:printed |embossed )?(?:on|of|from) )(?:the (?:front|back"
    r"|face)(?: and the back)? of )?"
    r"(?:your|the) (?:(?:credit|debit|bank|payment) )?card|(?:digits?|numbers?) on (?:its|the) (?:front|back)|your PUK"
    r"|CVV2?|CVC2?|card security code|OTP"
    rf"|(?:{_CODE}|activation|transaction|\w+-digit) (?:(?:access|verification|security|recovery) )?codes?"
    r"|codes? (?:that |which )?(?:we|I|you|was|has been|is) (?:just |have |has )?(?:sent|texted|got|received?|emailed)"
    r"|codes? (?:in|from) (?:the|your) (?:[\w-]+ )?(?:text|sms|email|message|app)"
    r"|(?:security|verification) (?:[\w-]+ )?(?:text|message)"
    rf"|(?:{_LENGTH}) digits(?! (?:of|in|on) (?:your|the) (?:account|customer|phone|order|case|ticket|serial|post))"
    r"|social security (?:number|no)|SSN|mother's maiden name"
    r"|(?<!support )(?<!transfer )(?-i:PINs?)|your (?!support|transfer)(?:[\w-]+ )?(?<!support )(?<!transfer )pin)\b"
    r"(?! (?:reset|page|link|manager|screen|field|problem|issue|hint|settings|change|rules?|works?)\b)"
)
# "If you did give him anything, change your password": advice to change a secret is no request for it.
_CHANGE = (
    r"chang(?:e|ing) (?:your|the|that|any|all|every) (?:[\w-]+ ){0,2}?(?:pass(?:word|code)|PIN|log-?in|credential)s?"
)
_GAP = (
    rf"(?:(?!(?:if|whether|when|how|where|why|once|after|before|about|new|reset|without|{_CHANGE})\b)"
    r"[\w'/-]+,? ){0,7}?"
)
# A bare "code" is secret where it is to be passed on at once; an error code or a postal code is not.
_THE_CODE = (
    r"\b(?:give|tell|send|read|pass|forward|text|dictate) (?:it |me |us |over |out |on )?(?:the|that|your|this) code"
    r"(?= ?[.!,]| (?:before|as soon|now|when|you|to (?:me|us)|with me|back)\b)"
    r"|(?<!error )(?<!postal )(?<!fault )\b(?:code|digits|PIN|PUK|password)\b[^.!?\n]{0,60}? "
    r"(?:pass|tell|read|send|forward|write|type|give|repeat|text) (?:it|them|that) (?:(?:on|over|back|out|in"
    r"|again) ){0,2}"
    r"(?:to (?:me|us)|here)\b"
    r"|(?<!error )\b(?:code|digits|PIN|PUK|password)\b[^.!?\n]{0,40}, (?:and )?what (?:does it (?:say|read)|is it)\b"
    r"|\b(?:which|what) (?:[\w-]+ )?(?:code|digits|number) (?:did|does|has) (?:the|your) (?:bank|text|card)\b"
    r"|\bpass (?:the|those|these|all|your) (?:(?!reference|error|fault|post|order|case)[\w-]+ ){0,4}?(?:code|digits"
    r"|numbers|PIN|PUK) (?:on |over )?to (?:me"
    r"|us)\b"
)
_PICTURE = (
    r"\b(?:photos?|pictures?|images?|scans?|snapshots?|screenshots?|copy|copies) (?:of|that shows?|showing|with)"
    r" (?:both sides of |the (?:front|back)(?: and (?:the )?back)? of )?(?:your|the|a) "
    r"(?:(?:credit|debit|bank|payment|one-time|account|login|security) )*(?:cards?|password|PIN|PUK|passport)\b"
    r"|\b(?:send|upload|share|attach) (?:me |us )?(?:the |a |your )?(?:credit |debit |bank )?card (?:photo|picture"
    r"|scan)s?\b"
    r"|\bhold (?:your|the) (?:(?:credit|debit|bank) )?card (?:up )?(?:to|in front of) the camera\b"
)
_YES = r"(?:also |just |still |first |only |now |please )?"
_HAND_OVER = re.compile(
    r"(?<![\w-])(?:send|give|tell|provide|share|supply|submit|confirm|verify|state|forward|disclose|reveal|show"
    r"|(?:mind|by|try) (?:sending|giving|telling|providing|sharing|confirming|typing)"
    r"|hand over|dictate|read (?:out|back|me|us|your)|note down|spell out|send over|trust (?:me|us) with|copy|pass on"
    r"|drop(?= your)|have(?= your (?:[\w'-]+,? ){0,5}?ready to tell)|(?:make|leave) (?:a )?note of"
    r"|(?:reply|respond|answer|write back|get back)(?: to (?:me|us))? with"
    rf"|let (?:me|us) (?:know|have)|(?:text|email|message|write) (?:me|us|your))\b ?{_GAP}{_SECRET}",
    re.IGNORECASE,
)
_TYPED_HERE = (
    rf"\b(?:enter|type|put|write|post|paste|leave|add|include|copy|drop) {_GAP}{_SECRET}(?: [\w'-]+){{0,3}}? "
    r"(?:here|below|in(?:to)? (?:this|the|our|your) (?:next )?(?:chat|reply|conversation|message|answer|subject)"
    r"|so (?:that )?(?:I|we) (?:can|may)|for (?:me|us))\b"
)
_QUESTION = (
    rf"\b(?:what|which)(?:'s| is| was| are| were) (?:the |your )?(?:[\w'-]+ ){{0,4}}?{_SECRET}"
    r"(?= ?[?,]| (?:for|on|of|so|you|please)|$)|\b(?:which|whatever) (?:\w+ )?(?:password|PIN|passcode|login)s?"
    r" (?:do|did|have|are) you (?:use|using|have|set|chosen?)\b|\bwhatever (?:password|PIN) you use\b"
    rf"|^(?!(?:if|when|once|should|in case|to|after|before"
    rf"|where)\b)(?:[\w'-]+,? ){{0,3}}your (?:[\w'-]+ ){{0,4}}?{_SECRET}[^.!?]{{0,40}},? please\b"
    rf"|\b(?:may|can|could|shall) (?:I|we) {_YES}(?:have|get|take|see|know|ask for|note) {_GAP}{_SECRET}"
    rf"|^(?:(?:and|first|now),? )?(?:your |the )?(?:[\w-]+ ){{0,2}}?{_SECRET}(?:,? please[.!?]*|\?)$"
)
_NEED = (
    rf"\b(?:I|we)(?:'ll| will| would| must| have to| need to|'d)? {_YES}"
    r"(?:need|require|ask(?: you)? for|want|like|(?:kindly )?request)"
    rf"(?: to (?:know|have|see|check|verify|confirm|get))? (?:the |your )(?:[\w'-]+,? ){{0,6}}?{_SECRET}"
    rf"|\byour (?:[\w'-]+ ){{0,8}}?{_SECRET} (?:is|are|will be) (?:needed|required|necessary)\b"
    rf"|\b(?:I|we)(?: am|'m| are|'re) (?:still |only )?missing(?: is| are)? (?:your|the) {_GAP}{_SECRET}"
    r"|\bI need its (?:number|PIN)\b"
    rf"|\bwithout (?:the |your ){_GAP}{_SECRET},? (?:I|we) (?:can't|cannot|am|are)\b"
)
_ASKS = (
    _HAND_OVER,
    *(re.compile(ask, re.IGNORECASE) for ask in (_TYPED_HERE, _QUESTION, _NEED, _THE_CODE, _PICTURE)),
)
# A warning reaches only to the end of its clause: "I cannot see it, so please send me your PIN" asks.
_CLAUSE = re.compile(
    r"[;:]| - |\b(?:please|kindly|but|however|until|unless|because|otherwise)\b"
    r"|, (?:so|then|just|first|can|could|may|what|which|I|we|you)\b",
    re.IGNORECASE,
)
_WARNED = re.compile(
    r"\b(?:never|not|cannot|nobody|no one|no \w+ will|none|avoid|without|refuse|except|instead of|rather than)\b|n't\b",
    re.IGNORECASE,
)
# Somebody else does it: "we will text you a code", "if anyone asks you to share", "a caller who tells you to give".
_OTHERS = re.compile(
    r"\b(?:we|I|they|it|who|that|which|calderline|page|app|system|website|text|email|message|link)"
    r"(?:'ll| will| would| can| may| might| then| also)*$"
    r"|\b(?:someone|somebody|anyone|anybody|callers?|scammers?|fraudsters?|criminals?|they|who|texts?|emails?)\b"
    r".*\b(?:to|for|and|you)$",
    re.IGNORECASE,
)
_ON_A_PAGE = re.compile(
    r",? ?\b(?:on|in|into|at|under|through|via|using)(?: the| your| our| my)? (?:[\w.'>-]+ ){0,4}?"
    r"(?:page|apps?|keypad|settings|screen|phone|device|webmail|profile)\b",
    re.IGNORECASE,
)
_TO_AGENT = re.compile(r"\b(?:me|us)\b|\blast (?:four|4|three|3|few)\b", re.IGNORECASE)


def _asks(sentence: str) -> Iterator[str]:
    for pattern in _ASKS:
        for match in pattern.finditer(sentence):
            ask = match.group()
            before = _CLAUSE.split(sentence[max(match.start() - 150, 0) : match.start()])[-1].rstrip()
            warned = _WARNED.search(before) or (_WARNED.search(ask) and not ask.lower().startswith("without"))
            addressed = _TO_AGENT.search(ask)
            is_part = addressed is not None and addressed.group().lower().startswith("last")  # "the last 4 digits"
            on_a_page = addressed is None and _ON_A_PAGE.match(sentence, match.end())
            if not (warned or is_part or on_a_page or (pattern is _HAND_OVER and _OTHERS.search(before))):
                yield ask


def secret_requests(text: str) -> tuple[str, ...]:
    """The words that ask for a password, full card number, PIN, one-time code or the like; warnings are clean."""
    sentences = (" ".join(sentence.split()) for sentence in split_sentences(plain(text)))
    asks = (ask for sentence in sentences for ask in _asks(LIST_ITEM.sub("", sentence, count=1)))
    return tuple(dict.fromkeys(asks))


# --- speaks as somebody else ---

_SERVICE = (
    r"(?:internet|wi-?fi|broadband|(?:phone |land)?line|landline|router|modem|hub|signal|connection|phone|mobile"
    r"|(?:phone |mobile )?number|sim(?: card)?|bill|invoice|account|contract|e-?mail|mailbox|data|tv|television)"
)
_WRONG = (
    r"(?:down|out|dead|gone|slow|slower|off|wrong|too high|not working|working|broken|dropping|unstable|blocked|locked"
    r"|cut(?: off)?|red|orange|purple|higher|doubled|tripled|suspended|disconnected|overcharged)"
)
_NOT_THE_ASSISTANT = re.compile(
    # a language model or a human being
    r"\bas an? (?:\w+ ){0,2}?(?:AI\b|(?:large )?language model|chatbot)"
    r"|\b(?:I am|I'm)(?: just| only| merely)? (?:an? )?(?:AI |large |trained )*language model"
    r"|\b(?:openai|chatgpt)\b|\bmy (?:training data|knowledge cut-?off)"
    r"|\b(?:I am|I'm) (?:actually |really )?(?:an? )?(?:real person|real human|human being|human)\b"
    # the customer, who writes in, whose service it is, who waits, pays, and wants something from the company
    r"|\bI am writing to (?:you to )?(?:complain|express my|report|inform you of my)"
    r"|\bdear (?:calderline|customer (?:service|support|care))\b"
    r"|\b(?:I am|I'm) (?:[a-z]+, )?(?:an?|your|one of your) (?:(?!not\b)[\w-]+ ){0,3}?"
    r"(?:customer|subscriber|account holder)\b"
    rf"|\bmy {_SERVICE} (?:\w+ ){{0,2}}?(?:is|was|has|have|had|keeps?|went|stopped|doesn't|does not|isn't|won't|still)"
    rf"(?: [\w'-]+){{0,4}}? {_WRONG}\b"
    rf"|\b(?:fix|repair|restore|check|unblock|reconnect|reactivate|cancel|explain|correct|port) my {_SERVICE}\b"
    r"|\b(?:on|of|with) my (?:(?:last|first|new|phone|latest) )?(?:bill|invoice|router|broadband|wi-?fi|internet)\b"
    r"|\bI(?:'ve| have)? (?:been )?(?:an? )?(?:(?:loyal|long-time|faithful|good|paying) )?customer (?:for|since|of)\b"
    r"|\bI(?:'ve| have) been (?:a (?:\w+ )?(?:customer|subscriber)|with (?:you|your company) (?:for|since)"
    r"|without (?:any |an? )?(?:\w+ )?(?:internet|service|signal|broadband|phone|connection|wi-?fi|line|data)"
    r"|(?:waiting|calling|ringing|trying to (?:call|reach|get through)|holding|on hold) (?:\w+ ){0,4}?(?:for|since"
    r"|all|your)"
    r"|(?:over)?charged|billed|cut off|disconnected|paying)\b"
    r"|\bI (?:want|demand|expect|would like|insist on|am owed|deserve|am entitled to|require) (?:an? |the |my "
    r"|full |some )?"
    r"(?:(?:full|partial|immediate|proper) )?(?:refund|money back|compensation|credit|explanation|apology)\b"
    r"|\bI (?:want|need|expect|demand|would like) (?:you|someone|somebody|a technician) to"
    r" (?:fix|repair|refund|come|call|cancel|explain|compensate)\b"
    r"|\bI (?:pay|paid|am paying|keep paying) (?:my bills?|you\b|for (?:a|the|this|my)|\$|£|€|on time|every month"
    r"|good money)"
    r"|\bI (?:(?:have )?(?:never|always) (?:have )?(?:been late|missed a|paid)"
    r"|(?:was|am|got|have been|keep being) (?:\w+ )?(?:over)?(?:charged|billed))\b"
    r"|\bI (?:don't|do not|still (?:don't|do not)|can't|cannot) (?:have|get) (?:any |an? )?(?:\w+ )?"
    r"(?:internet|signal|wi-?fi|broadband|dial tone)\b"
    r"|\bI(?:'ve| have)? (?:(?:just|recently|already) ){0,2}(?:updated|upgraded|changed|renewed|cancell?ed|switched) my"
    r" (?:plan|contract|subscription|tariff|sim|number|router)\b"
    r"|\bI (?:ordered|bought|signed up for|subscribed to) (?:\w+ ){0,5}?(?:from|with|at) (?:you|your company"
    r"|calderline)\b"
    r"|\b(?:nobody|no one|none of you|your (?:\w+ )?(?:company|agents?|team|staff|technicians?|engineers?|support"
    r"|service))"
    r" (?:\w+ ){0,5}?(?:calls?|called|charged|overcharged|billed|told|promised|ignored|answers?|answered|cut|left"
    r"|hung up on"
    r"|lied to|helped|helps) me\b"
    r"|\b(?:can|could|will|would) you (?:please )?(?:fix|refund me|help me (?:with my|fix|get)|call me back"
    r"|give me my money)\b"
    r"|\bwhen will you (?:\w+ )?(?:fix|repair|call me|refund|send me)\b"
    r"|\bI(?:'m| am) (?:\w+ )?(?:switching|moving|going|leaving) (?:to|for) (?:another|a different) (?:provider"
    r"|company)\b"
    r"|\bI (?:will not|won't|refuse to) pay\b|\bI(?:'m| am) not paying\b",
    re.IGNORECASE,
)
# The questions that head the articles are the customer's: "How can I pay my bill?"
_QUOTATION = re.compile(
    r'"[^"\n]{0,300}"|^#[^\n]*|(?:^|(?<=[.!?:] ))(?:how (?:can|do) I|why is my) [^.!?\n]{0,100}\?',
    re.IGNORECASE | re.MULTILINE,
)


def out_of_role(text: str) -> tuple[str, ...]:
    """The words that speak as a language model, as a human being or as the customer; what is quoted is clean."""
    return tuple(dict.fromkeys(_NOT_THE_ASSISTANT.findall(_QUOTATION.sub('""', plain(text)))))


_PLACEHOLDER = re.compile(
    r"\[(?:[A-Z][^\]\n]{1,40}|[a-z]+(?:_[a-z]+)+|(?:your|insert|customer|name|address|phone|number|date)\b[^\]\n]{0,30})\](?!\()"
)


def placeholders(text: str) -> tuple[str, ...]:
    """What somebody still has to fill in, such as "[Your Name]"; a link in Markdown is none."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
