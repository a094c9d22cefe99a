"""What Prometheus reads: counts and times of answers, refusals and failures. No text of anybody is in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from statistics import median

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from system.records import Response

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Metrics:
    """One registry a service, so that two in a process do not add up."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.answers = Counter("support_answers", "answers given", ["variant", "action", "finish"], registry=registry)
        self.refused = Counter("support_refused", "requests refused", ["code"], registry=registry)
        self.failed = Counter("support_failed", "requests without an answer", ["reason"], registry=registry)
        self.removed = Counter("support_removed_sentences", "sentences that the guard took out", registry=registry)
        self.tokens = Counter("support_tokens", "tokens read and written", ["kind"], registry=registry)
        self.seconds = Histogram(
            "support_answer_seconds", "request to whole answer", buckets=_SECONDS, registry=registry
        )
        self.first_text = Histogram(
            "support_first_text_seconds", "request to first text", buckets=_SECONDS, registry=registry
        )
        self._waiting = Gauge("support_waiting", "requests in the queue", registry=registry)
        self._thumbs = Gauge("support_thumbs", "answers with this thumb", ["thumb"], registry=registry)
        self._recent: deque[float] = deque(maxlen=50)

    def answered(self, response: Response, seconds: float) -> None:
        """Count one answer."""
        self.answers.labels(response.variant, response.decision.action, response.finish).inc()
        self.removed.inc(len(response.removed))
        for kind, number in response.tokens.items():
            self.tokens.labels(kind).inc(number)
        self.seconds.observe(seconds)
        self._recent.append(seconds)

    def typical_seconds(self) -> float:
        """The median time of the last answers, 5 where there are none; a client that was refused waits as long."""
        return min(60.0, max(1.0, median(self._recent))) if self._recent else 5.0

    def text(self, waiting: int, thumbs: Mapping[str, int]) -> str:
        """Everything in Prometheus' text format."""
        self._waiting.set(waiting)
        for thumb in ("up", "down"):
            self._thumbs.labels(thumb).set(thumbs.get(thumb, 0))
        return generate_latest(self._registry).decode()
