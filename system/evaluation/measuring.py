"""All rulers under one roof: the scores of any metric, for any responses, from wherever they come.

    rulers = Rulers(official, cache)
    scores, expected = rulers.score("empathy", responses, complaints)

Metrics that judge one case by its words are computed on the spot; those that need a model come from scorers, which
are made when first asked and cached. Knows every ruler; must not know gates or how an answer was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from system.cache import Cache, MemoryCache
from system.errors import SettingsError
from system.evaluation import overlap, perplexity, semantic
from system.evaluation.judge import AXES, LOCAL, load_judge, pair_scorer
from system.evaluation.scorers import Scorer, score_many
from system.evaluation.scores import METRICS, score_all
from system.models import DEFAULT_MODEL
from system.records import Complaint, Response, Score


def known_metrics() -> tuple[str, ...]:
    """The names of all metrics."""
    return (*METRICS, *AXES, *overlap.METRICS, *semantic.METRICS, *perplexity.METRICS, *perplexity.REFERENCE_METRICS)


@dataclass
class Rulers:
    """Every metric by name. ``official`` is what the company has said: the text of all articles."""

    official: str = ""
    cache: Cache = field(default_factory=MemoryCache)
    judge: str = LOCAL
    base_model: str = DEFAULT_MODEL
    _made: dict[str, Scorer] = field(default_factory=dict, repr=False)

    def score(
        self, metric: str, responses: Iterable[Response], complaints: Sequence[Complaint]
    ) -> tuple[list[Score], list[str]]:
        """The scores of one variant's responses, and the ids of the cases that must be among them.

        A complaint without a response is expected but not scored, so that a gate sees it missing. Raises
        SettingsError for an unknown metric.
        """
        responses = list(responses)
        if metric in METRICS:
            return score_all(metric, responses, complaints, self.official)
        scores = score_many(self.scorer(metric), responses, complaints, self.official, self.cache)[metric]
        answered = {response.id for response in responses}
        unanswered = [complaint.id for complaint in complaints if complaint.id not in answered]
        return scores, [*unanswered, *(score.case for score in scores)]

    def scorer(self, metric: str) -> Scorer:
        """The scorer that yields a metric; one for all metrics that it yields."""
        makers: dict[tuple[str, ...], Callable[[], Scorer]] = {
            AXES: self._judge,
            overlap.METRICS: overlap.overlap,
            semantic.METRICS: semantic.bertscore,
            perplexity.METRICS: lambda: perplexity.perplexity_scorer(self.base_model),
            perplexity.REFERENCE_METRICS: lambda: perplexity.likelihood_scorer(self.base_model),
        }
        for names, make in makers.items():
            if metric in names:
                if names[0] not in self._made:
                    self._made[names[0]] = make()
                return self._made[names[0]]
        known = ", ".join(known_metrics())
        raise SettingsError(f"metric {metric!r} is unknown; known are {known}")

    def _judge(self) -> Scorer:
        return pair_scorer(load_judge(self.judge))
