"""Hard rules on an answer: rudeness, secrets, invented facts, and text that is broken.

    RULES["rude"](response, official_text) -> () or ("rude (dismissive): 'Yeah, whatever'",)

A rule is a callable over a Response and the official text, the articles and the complaint, or for a DIRECT answer,
which states no company facts, the complaint alone. It returns one explanation per violation. Rules judge words and
must not know models, variants or thresholds of gates.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from system.claims import Claim, Kind, unsupported
from system.manners import out_of_role, placeholders, rudeness, secret_requests
from system.recital import markers, recitals
from system.records import Response
from system.sentences import LIST_ITEM, split_sentences
from system.tone import condolences

Explanations = tuple[str, ...]
Rule = Callable[[Response, str], Explanations]

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _quote(text: str) -> str:
    return repr(" ".join(text.split()))


# --- manners ---


def rude(response: Response, official_text: str) -> Explanations:
    """Rudeness towards the customer; see ``system.manners``."""
    return tuple(f"rude ({reason}): {_quote(words)}" for words, reason in rudeness(response.text))


def asks_for_secret(response: Response, official_text: str) -> Explanations:
    """The answer asks for a password, full card number, PIN, one-time code, CVV or the like; warnings are clean."""
    return tuple(f"asks for a secret: {_quote(ask)}" for ask in secret_requests(response.text))


def misplaced_condolence(response: Response, official_text: str) -> Explanations:
    """The answer mourns a loss, and the customer's message speaks of no death."""
    return tuple(f"misplaced condolence: {_quote(words)}" for words in condolences(response.complaint, response.text))


# --- invented facts ---


def _invented(kind: Kind, name: str, is_meant: Callable[[str, Claim], bool] = lambda text, claim: True) -> Rule:
    def rule(response: Response, official_text: str) -> Explanations:
        claims = (claim for claim in unsupported(response.text, [official_text]) if claim.kind == kind)
        meant = (claim for claim in claims if is_meant(response.text, claim))
        return tuple({f"invented {name} {_quote(claim.text)}": None for claim in meant})

    rule.__doc__ = f"A {name} in the answer that stands nowhere in the official text, in whatever spelling."
    return rule


_FOR = re.compile(r"\bfor (?:(?:about|around|at least|up to|another|roughly) )?$", re.IGNORECASE)


def _is_deadline(text: str, claim: Claim) -> bool:
    """Tell a deadline from "cook them for six minutes", which says how long to do something and promises nothing."""
    return claim.value.split()[-1] not in ("second", "minute") or not _FOR.search(text[: claim.start][-20:])


# --- broken text ---


def empty(response: Response, official_text: str) -> Explanations:
    """The answer has no word."""
    return () if _WORD.search(response.text) else ("empty: the answer has no words",)


_DANGLING = _words(
    "a an and are as at because but by for from if into is of or our than the their then to until via "
    "when where which while who with without your"
)
_NO_BREAK = str.maketrans(dict.fromkeys("\u00a0\u2007\u202f", " "))  # they look like spaces and mean no other thing
_SIGN_OFF = re.compile(r"(?:(?:kind|best|warm)(?:est)? )?(?:regards|wishes|sincerely|yours \w+),?", re.IGNORECASE)


def cut_off(response: Response, official_text: str) -> Explanations:
    """The answer stops in the middle of a sentence, list or code block.

    A last list item may lack its full stop, and a name may follow a closing formula; a closing quote or bracket
    ends a sentence. An empty answer is another rule's.
    """
    text = response.text.translate(_NO_BREAK).rstrip()
    if not _WORD.search(text):
        return ()
    if text.count("```") % 2:
        return ("cut off: a code block is not closed",)
    last = text.splitlines()[-1].strip()
    if last == "```":
        return ()
    shown = _quote(last[-60:])
    while last and (unicodedata.category(last[-1]) in ("So", "Sk", "Cf", "Mn") or last[-1] in "*_` "):
        last = last[:-1]  # an emoji or emphasis after the full stop
    if re.search(r"(?:^|[.!?:] )\d{1,2}[.)]$|^[-*•–]$|^$", last):
        return (f"cut off: ends with an empty list item {shown}",)
    closed = last.rstrip("\"'”’»)]")
    if closed.endswith((".", "!", "?", "…")) or (closed != last and not closed.endswith((" ", ",", ":", ";", "-"))):
        return ()
    words = _WORD.findall(last)
    dangles = (not last[-1].isalnum() and last[-1] not in "%°") or (bool(words) and words[-1].lower() in _DANGLING)
    earlier = [line.strip() for line in text.splitlines()[:-1] if line.strip()]
    is_signed = bool(earlier) and _SIGN_OFF.fullmatch(earlier[-1]) is not None and len(words) <= 5
    if not dangles and (LIST_ITEM.match(last) or is_signed):
        return ()
    return (f"cut off: does not end a sentence {shown}",)


_ENGLISH = _words(
    "the and of to you your is are we it that this be can with for not have if at from by or as on in a i do does will "
    "please was were has our they there then what when which how but any all would could my me us an so up no yes "
    "it's i'm don't"
)
# Frequent in Spanish, French, German, Italian, Portuguese or Dutch, and no English word.
_FOREIGN = _words(
    "el los las del que y en una por para con su está se lo como más pero usted nos sus al le les des du et est une "
    "dans pour qui vous nous votre vos avec pas ce cette sur au aux je ne der das und ist nicht ein eine einen zu den "
    "mit sie ich wir ihr ihre ihnen für auf von dem im il di che non è sono un gli della nel os não uma "
    "com você seu sua het een van niet dat met voor uw op te wij zijn"
)
_FEW_WORDS = 5
_NON_LATIN_SHARE = 0.3  # a name or a quotation in another script stays below


def not_english(response: Response, official_text: str) -> Explanations:
    """The answer is mostly in another language: another script, or more foreign function words than English ones."""
    letters = [letter for letter in response.text if letter.isalpha()]
    latin = sum(letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    other = len(letters) - latin
    words = [word.replace("’", "'").lower() for word in _WORD.findall(response.text)]
    # Scripts without spaces make few words of many letters, so there the letters are counted.
    if other > _NON_LATIN_SHARE * len(letters) and (len(words) >= _FEW_WORDS or other >= 4 * _FEW_WORDS):
        return (f"not English: {other} of {len(letters)} letters are not Latin",)
    if len(words) < _FEW_WORDS:
        return ()
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    # One foreign word in ten and more foreign than English: prose in the six languages has three in ten.
    if foreign > english and foreign * 10 >= len(words):
        return (f"not English: {foreign} foreign and {english} English function words in {len(words)} words",)
    # English prose has four function words in ten; none in 20 words is another language or a heap of names.
    if len(words) >= 20 and english * 20 < len(words):
        return (f"not English: {english} English function words in {len(words)} words",)
    return ()


_SAME = 3  # said twice may be stress, said three times is a loop
_GRAM, _SHARE, _LONG = 5, 0.25, 30
_SENTENCE = 4  # words from which on a sentence said again is no "Yes. Yes."


def repetitive(response: Response, official_text: str) -> Explanations:
    """The answer, a sentence or a phrase is said over and over.

    All of it twice, half of its sentences again, a sentence three times, or a run of five words three times that covers
    over a quarter of the text.
    """
    text = response.text.translate(_NO_BREAK)
    sentences = Counter(" ".join(re.findall(r"\w+", sentence.lower())) for sentence in split_sentences(text))
    found = [f"repetitive: {n} times {_quote(same)}" for same, n in sentences.items() if n >= _SAME and " " in same]
    words = re.findall(r"\w+", text.lower())
    half, odd = divmod(len(words), 2)
    long = {same: n for same, n in sentences.items() if len(same.split()) >= _SENTENCE}
    again = sum(long.values()) - len(long)
    if not odd and half >= _SENTENCE and words[:half] == words[half:]:
        found.append(f"repetitive: says everything twice, {_quote(' '.join(words[:_GRAM]))} ...")
    elif again and 2 * again >= sum(long.values()):
        said = max(long, key=lambda same: long[same])
        found.append(f"repetitive: {again} of {sum(long.values())} sentences again, as {_quote(said)}")
    if len(words) > _LONG:
        count: Counter[tuple[str, ...]] = Counter()
        covered: Counter[tuple[str, ...]] = Counter()
        free: dict[tuple[str, ...], int] = {}
        for start in range(len(words) - _GRAM + 1):
            gram = tuple(words[start : start + _GRAM])
            count[gram] += 1
            covered[gram] += start + _GRAM - max(free.get(gram, 0), start)
            free[gram] = start + _GRAM
        gram, most = covered.most_common(1)[0]
        if most > _SHARE * len(words) and count[gram] >= _SAME:
            found.append(f"repetitive: {_quote(' '.join(gram))} covers {most} of {len(words)} words")
    return tuple(found)


def leaks_prompt(response: Response, official_text: str) -> Explanations:
    """The answer holds markers of the prompt (chat roles, tags, template braces) or recites its instructions.

    Recited is a run of ten words of the recorded system prompt or of a template's, in any case and punctuation.
    """
    found = {f"leaks the prompt: {_quote(marker)}": None for marker in markers(response.text)}
    recited = recitals(response.text, response.prompt.system if response.prompt else "")
    return (*found, *(f"leaks the prompt: recites {_quote(run)}" for run in recited[:1]))


def breaks_role(response: Response, official_text: str) -> Explanations:
    """The answer speaks as a language model, as a human being or as the customer, not as the assistant."""
    return tuple({f"breaks the role: {_quote(words)}": None for words in out_of_role(response.text)})


def placeholder(response: Response, official_text: str) -> Explanations:
    """The answer still holds what somebody was to fill in, such as "[Your Name]"."""
    return tuple(f"placeholder: {_quote(words)}" for words in placeholders(response.text))


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "rude": rude,
        "asks_for_secret": asks_for_secret,
        "misplaced_condolence": misplaced_condolence,
        "invented_phone": _invented("phone", "phone"),
        "invented_link": _invented("link", "link"),
        "invented_price": _invented("price", "price"),
        "invented_deadline": _invented("duration", "deadline", _is_deadline),
        "empty": empty,
        "cut_off": cut_off,
        "not_english": not_english,
        "repetitive": repetitive,
        "leaks_prompt": leaks_prompt,
        "breaks_role": breaks_role,
        "placeholder": placeholder,
    }
)
