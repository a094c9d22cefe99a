"""Planted defects: each changes a good reply, only as it says, and the same way every time."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from fixtures.fakes import make_response
from system.errors import InputError, SettingsError
from system.evaluation.defects import (
    BASES,
    DEFECTS,
    FEWEST_PHRASES,
    PHRASES,
    PLACES,
    POOLS,
    Base,
    Planted,
    flatter,
    plant_all,
    read_bases,
    read_phrases,
)
from system.evaluation.judge import AXES
from system.evaluation.rules import RULES
from system.records import Complaint
from system.sentences import split_sentences

SEED = 20
ROOT = Path(__file__).resolve().parents[1]
INSERTED = ("insult", "threat", "secret", "phone", "link", "danger", "other_customer", "blame", "mocking", "belittling")
BASE_LIST = read_bases()
BY_ID = {base.id: base for base in BASE_LIST}
PHRASE_BOOK = read_phrases()
PLANTED = plant_all(BASE_LIST, SEED)


def of_kind(kind: str) -> list[Planted]:
    """The pairs of one kind; there are always some."""
    found = [pair for pair in PLANTED if pair.defect == kind]
    assert len(found) >= 30, kind
    return found


def base_id(pair: Planted) -> str:
    return pair.id.removesuffix(f"-{pair.defect}")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def bare(sentence: str) -> str:
    """The sentence without its list number."""
    return re.sub(r"^\d+\. ", "", sentence)


def pool_sentences(pool: str) -> set[str]:
    return {sentence for phrase in PHRASE_BOOK.pools[pool] for sentence in split_sentences(phrase)}


# --- the exam as a whole ---


def test_enough_of_everything() -> None:
    """Every axis has at least 4 kinds and 60 pairs, and there are at least 20 kinds."""
    assert tuple(sorted(DEFECTS)) == tuple(sorted(AXES))
    for axis in AXES:
        pairs = [pair for pair in PLANTED if pair.axis == axis]
        assert len(pairs) >= 60
        assert {pair.defect for pair in pairs} == set(DEFECTS[axis])
        assert len(DEFECTS[axis]) >= 4
    kinds = [kind for named in DEFECTS.values() for kind in named]
    assert len(kinds) == len(set(kinds)) >= 20


def test_every_pair_is_what_it_says() -> None:
    """The good reply is the base's, the bad one differs and has words, and ids are unique."""
    assert len({pair.id for pair in PLANTED}) == len(PLANTED)
    for pair in PLANTED:
        base = BY_ID[base_id(pair)]
        assert (pair.complaint, pair.good) == (base.complaint, base.response)
        assert pair.bad != pair.good and words(pair.bad)
        assert pair.bad == pair.bad.strip()


def test_the_seed_decides_everything() -> None:
    """Equal seeds give equal pairs, another seed gives others."""
    assert plant_all(BASE_LIST, SEED) == PLANTED
    assert plant_all(BASE_LIST, SEED + 1) != PLANTED
    assert flatter(BASE_LIST, SEED) == flatter(BASE_LIST, SEED)
    assert flatter(BASE_LIST, SEED + 1) != flatter(BASE_LIST, SEED)


def test_the_draw_is_the_same_on_every_machine() -> None:
    """Nothing hangs on the order of a set or on a hash: two choices are written down here."""
    text = "One two three four five six. Seven eight nine ten eleven. Twelve is enough. That is all."
    pairs = {pair.defect: pair.bad for pair in plant_all([Base("X", "no light", text)], 1)}
    assert (
        pairs["sentences_shuffled"]
        == "Twelve is enough. One two three four five six. That is all. Seven eight nine ten eleven."
    )
    assert pairs["cut_off"] == "One two three four five six. Seven eight nine"


@pytest.mark.parametrize("pool", POOLS)
def test_pools_are_large_and_apart(pool: str) -> None:
    """At least 10 phrases a pool, none of which stands in another one."""
    phrases = PHRASE_BOOK.pools[pool]
    assert len(set(phrases)) == len(phrases) >= FEWEST_PHRASES
    others = {phrase for other in POOLS if other != pool for phrase in PHRASE_BOOK.pools[other]}
    assert not others & set(phrases)


@pytest.mark.parametrize("pool", INSERTED)
def test_every_phrase_is_used(pool: str) -> None:
    """36 bases use every phrase of an inserted pool at least once and none more than four times."""
    used = Counter(phrase for pair in of_kind(pool) for phrase in PHRASE_BOOK.pools[pool] if phrase in pair.bad)
    assert set(used) == set(PHRASE_BOOK.pools[pool])
    assert max(used.values()) <= 4


# --- safety, blame, mockery: one phrase more, all else untouched ---


@pytest.mark.parametrize("kind", INSERTED)
def test_an_inserted_phrase_is_all_that_changes(kind: str) -> None:
    """Taking the phrase away gives the good reply back, letter by letter."""
    for pair in of_kind(kind):
        phrase = next(phrase for phrase in PHRASE_BOOK.pools[kind] if phrase in pair.bad and phrase not in pair.good)
        assert pair.good in (pair.bad.replace(f"{phrase} ", "", 1), pair.bad.replace(f" {phrase}", "", 1))


def test_phrases_stand_in_all_places() -> None:
    """A judge that reads only the beginning or the end does not pass."""
    for kind in INSERTED:
        pairs = of_kind(kind)
        starts = sum(pair.bad.endswith(pair.good) for pair in pairs)
        ends = sum(pair.bad.startswith(pair.good) for pair in pairs)
        assert starts and ends and starts + ends < len(pairs)


# --- helpfulness ---


def test_another_reply() -> None:
    """The reply is another base's good one."""
    for pair in of_kind("other_reply"):
        assert pair.bad in {base.response for base in BASE_LIST if base.id != base_id(pair)}


def test_only_courtesy_remains() -> None:
    """What is left are feelings of the reply and two courtesies."""
    for pair in of_kind("steps_removed"):
        feelings = PHRASE_BOOK.feelings[base_id(pair)]
        sentences = split_sentences(pair.bad)
        assert set(feelings) < set(sentences)
        assert len(set(sentences) - set(feelings)) == 2
        assert set(sentences) - set(feelings) <= pool_sentences("courtesy")


def test_evasion_stands_in_its_place() -> None:
    """The reply is a refusal and nothing else."""
    assert {pair.bad for pair in of_kind("evasive")} == set(PHRASE_BOOK.pools["evasive"])


def test_filler_is_as_long() -> None:
    """Only filler, each sentence once, about as long as the reply."""
    for pair in of_kind("filler"):
        sentences = split_sentences(pair.bad)
        assert set(sentences) <= pool_sentences("filler")
        assert len(sentences) == len(set(sentences))
        assert abs(len(pair.bad.split()) - len(pair.good.split())) <= 6


def test_only_the_complaint_is_repeated() -> None:
    """The reply holds the complaint in a frame and nothing of the good reply."""
    for pair in of_kind("echo"):
        frames = [phrase.replace("{complaint}", pair.complaint) for phrase in PHRASE_BOOK.pools["echo"]]
        assert pair.bad in frames


# --- clarity ---


def test_shuffled_sentences_are_the_same_sentences() -> None:
    """The same multiset of sentences, and no two neighbours stay together."""
    for pair in of_kind("sentences_shuffled"):
        before, after = split_sentences(pair.good), split_sentences(pair.bad)
        assert Counter(before) == Counter(after)
        assert not set(pairwise(before)) & set(pairwise(after))


def test_cut_off_in_the_middle() -> None:
    """A beginning of the reply that ends with a whole word inside a sentence."""
    for pair in of_kind("cut_off"):
        assert pair.good.startswith(pair.bad)
        assert 0.25 < len(pair.bad) / len(pair.good) < 0.75
        assert pair.good[len(pair.bad)].isspace()
        assert pair.bad[-1] not in ".!?"
        assert split_sentences(pair.bad)[-1] not in split_sentences(pair.good)


def test_shuffled_words_stay_in_their_sentence() -> None:
    """Every sentence keeps its words and its place; nearly all of them lose their order."""
    for pair in of_kind("words_shuffled"):
        before, after = re.split(r"(?<=[.!?])\s+", pair.good), re.split(r"(?<=[.!?])\s+", pair.bad)
        assert [sorted(words(one)) for one in before] == [sorted(words(one)) for one in after]
        assert sum(one != other for one, other in zip(before, after, strict=True)) >= 0.6 * len(before)


def test_a_wall_has_no_stop_and_no_line_break() -> None:
    """All words in order, nothing between them but spaces."""
    for pair in of_kind("wall"):
        assert words(pair.bad) == words(pair.good)
        assert not re.search(r"[.!?,:;](?:\s|$)|\n|  ", pair.bad)


def test_jargon_is_put_between_sentences() -> None:
    """Without the jargon the reply is the good one; there are at least two sentences of it."""
    jargon = pool_sentences("jargon")
    for pair in of_kind("jargon_inserted"):
        sentences = split_sentences(pair.bad)
        assert [one for one in sentences if one not in jargon] == split_sentences(pair.good)
        assert sum(one in jargon for one in sentences) >= 2


def test_jargon_takes_the_place_of_plain_words() -> None:
    """Translated back, the reply is the good one; at least three words were replaced."""
    plain = {jargon.lower(): word.lower() for word, jargon in PHRASE_BOOK.jargon_words.items()}
    assert len(plain) == len(PHRASE_BOOK.jargon_words)
    longest_first = sorted(plain, key=len, reverse=True)
    terms = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b")
    for pair in of_kind("jargon_substituted"):
        back, count = terms.subn(lambda found: plain[found[0]], pair.bad.lower())
        assert back == pair.good.lower()
        assert count >= 3


def test_each_sentence_is_said_twice() -> None:
    """Every sentence stands there twice, one after the other."""
    for pair in of_kind("repeated"):
        once, twice = (list(map(bare, split_sentences(text))) for text in (pair.good, pair.bad))
        assert twice == [one for one in once for _ in range(2)]


# --- empathy ---


def test_feelings_are_removed() -> None:
    """What is left is the rest of the reply, unchanged and in order, and still says something."""
    for pair in of_kind("feelings_removed"):
        feelings = PHRASE_BOOK.feelings[base_id(pair)]
        assert split_sentences(pair.bad) == [one for one in split_sentences(pair.good) if one not in feelings]
        assert len(words(pair.bad)) >= 15


def test_feelings_are_replaced() -> None:
    """A cold sentence stands where each feeling stood."""
    for pair in of_kind("feelings_replaced"):
        feelings = PHRASE_BOOK.feelings[base_id(pair)]
        for before, after in zip(split_sentences(pair.good), split_sentences(pair.bad), strict=True):
            assert after in PHRASE_BOOK.pools["cold"] if before in feelings else after == before


def test_empathy_is_taken_only_where_it_was() -> None:
    """Defects of empathy are planted in the listed bases and in no others."""
    listed = set(PHRASE_BOOK.feelings)
    assert listed < set(BY_ID)
    assert {base_id(pair) for pair in PLANTED if pair.axis == "empathy"} == listed


def test_a_feeling_that_the_reply_lacks_is_reported() -> None:
    """A base that was edited without its list does not lose its defects in silence."""
    with pytest.raises(SettingsError, match="B-01"):
        plant_all([Base("B-01", "no light", "Please restart the Hub. Then wait five minutes.")], SEED)


# --- flattery ---


def test_flattery_is_all_that_changes() -> None:
    """The phrase at the start, in the middle or at the end of the same reply."""
    flattered = flatter(BASE_LIST, SEED)
    assert Counter(one.place for one in flattered) == Counter(dict.fromkeys(PLACES, len(BASE_LIST)))
    for one in flattered:
        assert one.phrase in PHRASE_BOOK.pools["flattery"]
        assert one.plain in (
            one.flattered.replace(f"{one.phrase} ", "", 1),
            one.flattered.replace(f" {one.phrase}", "", 1),
        )
        where = {"start": one.flattered.startswith(one.phrase), "end": one.flattered.endswith(one.phrase)}
        assert where.get(one.place, not any(where.values()))


def test_flattery_is_not_tied_to_a_place() -> None:
    """At least 15 phrases, some of them JSON; each is tried at more than one place."""
    places = defaultdict(set)
    for one in flatter(BASE_LIST, SEED):
        places[one.phrase].add(one.place)
    assert len(places) == len(PHRASE_BOOK.pools["flattery"]) >= 15
    assert all(len(found) >= 2 for found in places.values())
    assert any(phrase.startswith("{") for phrase in places)


def test_any_reply_can_be_flattered() -> None:
    """Bad replies too; a single sentence has no middle."""
    bad = [Base(pair.id, pair.complaint, pair.bad) for pair in of_kind("evasive")]
    assert len(flatter(bad, SEED)) > 2 * len(bad)
    assert [one.place for one in flatter([Base("X", "no light", "No.")], SEED)] == ["start", "end"]


# --- the bases ---


def test_the_bases_are_good_and_varied() -> None:
    """36 pairs from 20 to 160 words that open differently and break no hard rule."""
    assert len(BASE_LIST) == 36
    lengths = [len(base.response.split()) for base in BASE_LIST]
    assert 20 <= min(lengths) <= 30 and 140 <= max(lengths) <= 160
    for texts in ([base.complaint for base in BASE_LIST], [base.response for base in BASE_LIST]):
        assert len({tuple(words(text)[:3]) for text in texts}) == len(texts)
    # Deadlines come from the articles, which are not at hand here.
    rules = {name: rule for name, rule in RULES.items() if name != "invented_deadline"}
    broken = [
        found
        for base in BASE_LIST
        for rule in rules.values()
        for found in rule(make_response(Complaint(id=base.id, text=base.complaint), base.response), base.complaint)
    ]
    assert broken == []


def test_the_bases_are_not_copied() -> None:
    """Complaints and replies share few runs of five words with the complaints and articles that ship."""

    def runs(text: str) -> set[tuple[str, ...]]:
        found = words(text)
        return {tuple(found[start : start + 5]) for start in range(len(found) - 4)}

    shipped = [ROOT / "data" / "complaints.jsonl", *(ROOT / "knowledge_base").glob("*.md")]
    known = set().union(*(runs(path.read_text(encoding="utf-8")) for path in shipped))
    for base in BASE_LIST:
        for text in (base.complaint, base.response):
            assert len(runs(text) & known) <= 0.2 * len(runs(text)), base.id


# --- files ---


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("insult = [", "insults = [", "pool 'insult' is missing"),
        ("insult = [", "insults = [", "pool 'insults' is unknown"),
        ('  "You disgust me.",', '  "You disgust me.",\n  "You disgust me.",', "twice"),
        ('  "You disgust me.",', '  " ",', "empty"),
        ('  "You disgust me.",', "  5,", "Expected `str`"),
        ("{complaint}", "the complaint", "lacks {complaint}"),
        ("[jargon_words]", "[words]", "jargon_words"),
    ],
)
def test_a_bad_phrase_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Each mistake is named."""
    content = PHRASES.read_text(encoding="utf-8")
    start = content.index("[pools]")  # the comment above it names the same things
    path = tmp_path / "phrases.toml"
    path.write_text(content[:start] + content[start:].replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(message)):
        read_phrases(path)


def test_too_few_phrases_are_refused(tmp_path: Path) -> None:
    """A pool needs 10."""
    content = re.sub(r"evasive = \[.*?\n\]", 'evasive = ["No."]', PHRASES.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "phrases.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="evasive: give 10"):
        read_phrases(path)


def test_an_empty_base_is_refused(tmp_path: Path) -> None:
    """Rows are read strictly."""
    path = tmp_path / "bases.jsonl"
    path.write_text(BASES.read_text(encoding="utf-8") + '{"id": "Z", "complaint": "x", "response": " "}\n')
    with pytest.raises(InputError, match=":37: response is empty"):
        read_bases(path)
