"""All rulers under one roof: every metric finds its ruler, which is made once and asked once."""

from __future__ import annotations

import math

import pytest

from fixtures.fakes import make_response
from fixtures.judges import ScriptedJudge
from system.errors import SettingsError
from system.evaluation import overlap, perplexity, semantic
from system.evaluation.judge import AXES, pair_scorer
from system.evaluation.measuring import Rulers
from system.evaluation.scorers import Grade, Scorer
from system.records import Complaint

COMPLAINTS = [Complaint(id=f"T-{n}", text=f"My bill {n} is wrong.", cluster=f"c{n}") for n in range(3)]
RESPONSES = [make_response(complaint, "I am sorry.") for complaint in COMPLAINTS[:2]]


def rulers_of(judge: ScriptedJudge) -> Rulers:
    """Rulers whose judge is scripted."""
    rulers = Rulers(official="Articles.")
    rulers._made[AXES[0]] = pair_scorer(judge)
    return rulers


def test_a_metric_of_words() -> None:
    """A rule is counted on the spot; a complaint without an answer is expected, so that a gate sees it missing."""
    rude = [RESPONSES[0], make_response(COMPLAINTS[1], "You are stupid.")]
    scores, expected = Rulers().score("rude", rude, COMPLAINTS)
    assert [(score.case, score.value) for score in scores] == [("T-0", 0.0), ("T-1", 1.0)]
    assert sorted(expected) == ["T-0", "T-1", "T-2"]


def test_a_metric_of_the_judge() -> None:
    """The judge's grade of the axis asked for, over complaint, answer and articles; what is missing is expected."""
    judge = ScriptedJudge(lambda pair: {axis: float(n + 1) for n, axis in enumerate(AXES)})
    rulers = rulers_of(judge)
    for n, axis in enumerate(AXES):
        scores, expected = rulers.score(axis, iter(RESPONSES), COMPLAINTS)
        assert [(s.case, s.metric, s.value, s.cluster) for s in scores] == [
            ("T-0", axis, n + 1.0, "c0"),
            ("T-1", axis, n + 1.0, "c1"),
        ]
        assert sorted(expected) == ["T-0", "T-1", "T-2"]
    assert len(judge.asked) == 2  # once a pair, whichever axes were wanted
    assert {pair.context for pair in judge.asked} == {"Articles."}


def test_errors_are_no_scores() -> None:
    """A grade that is an error, or no number, is a named error of that case and not a value."""
    rulers = Rulers()
    rulers._made[perplexity.METRICS[0]] = Scorer(
        perplexity.METRICS,
        "played",
        lambda response, complaint, official: (complaint.text,),
        lambda many: [Grade(error="Empty: no words"), Grade(values={"perplexity": math.nan})],
    )
    scores, expected = rulers.score("perplexity", RESPONSES, COMPLAINTS)
    assert [score.value for score in scores] == [None, None]
    assert [score.error for score in scores] == ["Empty: no words", "NotANumber: perplexity is nan"]
    assert sorted(expected) == ["T-0", "T-1", "T-2"]


def test_one_ruler_for_its_metrics() -> None:
    """All metrics of a ruler come from one scorer, made once; each ruler has its own."""
    rulers = rulers_of(ScriptedJudge(lambda pair: {}))
    families = (AXES, overlap.METRICS)
    made = [{id(rulers.scorer(metric)) for metric in names} for names in families]
    assert all(len(one) == 1 for one in made)
    assert len(set.union(*made)) == len(families)
    for names in families:
        assert rulers.scorer(names[0]).metrics == names


def test_the_judge_is_the_one_that_was_named() -> None:
    """The name is resolved when the judge is first asked for; an unknown one is named then."""
    rulers = Rulers(judge="nobody")
    rulers.score("rude", RESPONSES, COMPLAINTS)
    with pytest.raises(SettingsError, match="judge 'nobody' is unknown"):
        rulers.score("clarity", RESPONSES, COMPLAINTS)
    remote = Rulers(judge="openai:some-model@http://127.0.0.1:1/v1").scorer("safety")
    assert remote.metrics == AXES and "some-model" in remote.signature


def test_unknown_metrics() -> None:
    """A metric that is misspelt is one line that names all others."""
    with pytest.raises(SettingsError, match="metric 'claritty' is unknown") as caught:
        Rulers().score("claritty", RESPONSES, COMPLAINTS)
    for name in (*AXES, *overlap.METRICS, *semantic.METRICS, *perplexity.METRICS, "hit@2", "rude"):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)
