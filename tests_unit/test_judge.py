"""Judges by name, the rubric, and a judge as a scorer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.fakes import make_response
from fixtures.judges import ScriptedJudge
from system.cache import MemoryCache
from system.errors import SettingsError
from system.evaluation.judge import AXES, RUBRIC, Pair, load_judge, pair_scorer, read_rubric
from system.evaluation.remote_judge import RemoteJudge
from system.evaluation.scorers import score_many
from system.records import Complaint

GRADES = {"helpfulness": 1.5, "clarity": 2.5, "empathy": 3.5, "safety": 4.5}


@pytest.mark.parametrize("name", ["", "Local", "gpt-4o", "local ", "openai", "adapters/judge"])
def test_unknown_names(name: str) -> None:
    """A name that is no judge is one clear line that says what may be given."""
    with pytest.raises(SettingsError, match=r"^judge .* is unknown; give local or openai:MODEL@BASE_URL$"):
        load_judge(name)


def test_remote_names() -> None:
    """The prefix alone decides for a server, and a malformed address is refused before any request."""
    judge = load_judge("openai:some-model@http://127.0.0.1:1/v1")
    assert isinstance(judge, RemoteJudge) and "some-model" in judge.signature
    with pytest.raises(SettingsError, match="openai:MODEL@BASE_URL"):
        load_judge("openai:some-model")


def test_the_shipped_rubric() -> None:
    """Each axis has a question and a meaning of its own for each of five grades."""
    rubric = read_rubric()
    assert tuple(rubric) == AXES
    texts = [text for table in rubric.values() for text in table.values()]
    assert all(set(table) == {"question", *"12345"} for table in rubric.values())
    assert len(set(texts)) == len(texts) == 24


def cut(text: str, start: str) -> str:
    """The text without the first line that starts so."""
    lines = text.splitlines(keepends=True)
    lines.remove(next(line for line in lines if line.startswith(start)))
    return "".join(lines)


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda text: cut(text, "3 ="), ["helpfulness: key '3' is missing"]),
        (lambda text: text.replace("[clarity]", "[lucidity]"), ["unknown key 'lucidity'", "key 'clarity' is missing"]),
        (lambda text: text + '6 = "more"\n', ["safety: unknown key '6'"]),
        (lambda text: text.replace("question", "questions", 1), ["unknown key 'questions'", "'question' is missing"]),
        (lambda text: text.replace('5 = "', "5 = 5 #", 1), ["helpfulness: key '5' must be of type str"]),
        (lambda text: "empathy = 3\n" + text.replace("[empathy]", "[more]"), ["'empathy' must be of type dict"]),
    ],
)
def test_a_wrong_rubric(tmp_path: Path, change: Callable[[str], str], problems: list[str]) -> None:
    """Every problem is named at once, each with the file; a judge must not grade by half a rubric."""
    path = tmp_path / "rubric.toml"
    path.write_text(change(RUBRIC.read_text()))
    with pytest.raises(SettingsError) as caught:
        read_rubric(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert all(any(problem in line for line in lines) for problem in problems)


def test_no_rubric(tmp_path: Path) -> None:
    """A rubric that is missing, or is no TOML, is named."""
    with pytest.raises(SettingsError, match="cannot be read"):
        read_rubric(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[clarity")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_rubric(tmp_path / "bad.toml")


def test_as_a_scorer() -> None:
    """The judge sees complaint, answer and what the company said, gives a score for each axis, and is asked once."""
    judge = ScriptedJudge(lambda pair: GRADES)
    complaint = Complaint(id="T-1", text="My bill is wrong.", cluster="bills")
    response = make_response(complaint, "I am sorry.")
    cache = MemoryCache()
    for _ in range(2):
        scores = score_many(pair_scorer(judge), [response], [complaint], "Articles.", cache)
        assert {axis: scores[axis][0].value for axis in AXES} == GRADES
        assert {score.signature for (score,) in scores.values()} == {"scripted judge"}
    assert judge.asked == [Pair("My bill is wrong.", "I am sorry.", "Articles.")]
    other = ScriptedJudge(lambda pair: GRADES, signature="other weights")
    score_many(pair_scorer(other), [response], [complaint], "Articles.", cache)
    assert len(other.asked) == 1  # another judge's grades are not this one's
