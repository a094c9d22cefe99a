"""Verdicts on requirements: scores of all cases in, PASS, FAIL, INCONCLUSIVE or ERROR out, and the reasons.

A requirement says "at least": a rate, a mean, or nothing at all of what is forbidden. What should be small is
scored as its complement. PASS needs the whole interval at or above the threshold, FAIL needs it below; between
lies INCONCLUSIVE. A case that was not scored is neither good nor bad and makes the verdict an ERROR.
Knows records and statistics; must not know how answers or scores were made, nor which variants exist.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from system.evaluation import statistics
from system.evaluation.statistics import Interval, Method
from system.records import Score, Status, Verdict

WORST = 3  # cases shown with a verdict: enough to see a pattern, few enough to be read
LINE = 110


def judge_rate(
    requirement: str,
    variant: str,
    scores: Sequence[Score],
    threshold: float,
    *,
    level: float = 0.95,
    method: Method = "wilson",
    expected: Collection[str] | None = None,
) -> Verdict:
    """Judge that the share of scores that are 1 (the others are 0) is at least the threshold.

    ``expected`` are the ids of the cases that must be scored, each once. Interval: ``statistics.rate_interval``.
    """
    faults, unscored = find_faults(variant, scores, expected, lambda v: "" if v in (0, 1) else "is neither 0 nor 1")
    if faults:
        return error_verdict(requirement, variant, scores, threshold, faults, unscored)
    n, values, clusters = len(scores), [value_of(s) for s in scores], clusters_of(scores)
    successes, size = sum(values), statistics.effective_n(values, clusters, level)
    interval = statistics.rate_interval(successes, n, level, size, method)
    how = f"{level * 100:g} % {'Wilson' if method == 'wilson' else 'Clopper-Pearson'} interval"
    if size != n:
        how += f", {n} cases in {len(set(clusters))} clusters count as {size:.1f}"
    width = statistics.rate_half_width(threshold, size, level)
    worst = _worst([s for s in scores if s.value == 0], lambda v: -v)
    return _decide(requirement, variant, successes / n, interval, threshold, n, width, worst, how)


def judge_mean(
    requirement: str,
    variant: str,
    scores: Sequence[Score],
    threshold: float,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    scale: tuple[float, float] | None = None,
    expected: Collection[str] | None = None,
) -> Verdict:
    """Judge that the mean of the scores is at least the threshold; ``scale`` is their lowest and highest possible
    value. ``expected`` as in ``judge_rate``. Interval: ``statistics.mean_interval``.
    """
    bottom, top = scale if scale is not None else (-math.inf, math.inf)
    off_scale = f"is outside the scale {bottom:g} to {top:g}"
    faults, unscored = find_faults(variant, scores, expected, lambda v: "" if bottom <= v <= top else off_scale)
    if faults:
        return error_verdict(requirement, variant, scores, threshold, faults, unscored)
    n, values, clusters = len(scores), [value_of(s) for s in scores], clusters_of(scores)
    value = math.fsum(values) / n
    interval = statistics.mean_interval(values, clusters, level, resamples, seed, scale)
    m = len(set(clusters))
    how = f"{level * 100:g} % bootstrap interval over {m} clusters"
    if not math.isfinite(interval.low):
        how = f"no interval: the {m} clusters are too few or all alike, and the scale of the values is not given"
    elif interval == Interval(bottom, top, level):
        how = f"no interval but the whole scale: {m} clusters are too few"
    width = value - interval.low if value > threshold else interval.high - value
    return _decide(requirement, variant, value, interval, threshold, n, width, _worst(scores, lambda v: -v), how)


def judge_zero(
    requirement: str, variant: str, scores: Sequence[Score], *, expected: Collection[str] | None = None
) -> Verdict:
    """Judge that no case breaks a rule; a score is the case's number of violations. The value is the number of
    cases in violation. There is no interval: one violation is one too many, whatever the next cases may show.
    """
    faults, unscored = find_faults(variant, scores, expected, lambda v: "" if v >= 0 else "is no number of violations")
    if faults:
        return error_verdict(requirement, variant, scores, 0.0, faults, unscored)
    broken = [s for s in scores if s.value != 0]
    reason = "no case breaks the rule"
    if broken:
        reason = f"{len(broken)} of {len(scores)} cases break the rule: {', '.join(sorted(s.case for s in broken))}"
    return Verdict(
        requirement=requirement,
        variant=variant,
        status="FAIL" if broken else "PASS",
        threshold=0.0,
        value=float(len(broken)),
        low=None,
        high=None,
        n=len(scores),
        worst=_worst(broken, lambda v: v),
        reason=reason,
    )


def message(verdict: Verdict, replay_command: str) -> str:
    """Everything needed to understand a verdict and to see it again, as short lines of plain text."""
    numbers = [f"value {_number(verdict.value)}"]
    if verdict.low is not None and verdict.high is not None:
        numbers.append(f"interval {_number(verdict.low)} to {_number(verdict.high)}")
    numbers += [f"threshold {_number(verdict.threshold)}", f"n {verdict.n}"]
    lines = [f"{verdict.status}: {verdict.requirement} of {verdict.variant}", "  " + ", ".join(numbers)]
    # Ids of cases have hyphens and stay whole, so that they can be searched for.
    lines += textwrap.wrap(verdict.reason, LINE, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    if verdict.needed is not None:
        lines.append(f"  about {verdict.needed:,} further cases would decide, if the value stays")
    for score in verdict.worst:
        why = ": ".join(part for part in (score.error, score.explanation) if part) or "no explanation"
        lines.append(f"  worst: {score.case}, {_number(score.value)}, {textwrap.shorten(why, 2 * LINE)}")
    return "\n".join([*lines, f"  replay: {replay_command}"])


def find_faults(
    variant: str, scores: Sequence[Score], expected: Collection[str] | None, bad_value: Callable[[float], str]
) -> tuple[list[str], list[Score]]:
    """Say why these scores cannot carry a verdict, naming every case at fault; also return the unscored cases."""
    seen, metrics = Counter(s.case for s in scores), sorted({s.metric for s in scores})
    wanted = set(seen if expected is None else expected)
    why = {id(s): _unscored(s, bad_value) for s in scores}
    unscored = sorted((s for s in scores if why[id(s)]), key=lambda s: s.case)
    named = {
        f"{len(unscored)} of {len(scores)} cases are unscored": [f"{s.case} ({why[id(s)]})" for s in unscored],
        "cases are missing": sorted(wanted - set(seen)),
        "cases are not among the expected": sorted(set(seen) - wanted),
        "cases are scored more than once": sorted(case for case, times in seen.items() if times > 1),
        "scores are of another variant": sorted({s.variant for s in scores} - {variant}),
        "scores are of several metrics": metrics if len(metrics) > 1 else [],
    }
    faults = [f"{what}: {', '.join(names)}" for what, names in named.items() if names]
    return (faults if scores else ["no case was scored", *faults]), unscored


def _unscored(score: Score, bad_value: Callable[[float], str]) -> str:
    """Why a score does not count as one; empty if it does."""
    if score.error is not None:
        return " ".join(score.error.split()) or "unnamed error"
    if score.value is None:
        return "no value"
    if not math.isfinite(score.value):
        return f"value {score.value}"
    fault = bad_value(score.value)
    return f"value {score.value:g} {fault}" if fault else ""


def error_verdict(
    requirement: str,
    variant: str,
    scores: Sequence[Score],
    threshold: float,
    faults: Sequence[str],
    unscored: Sequence[Score] = (),
) -> Verdict:
    """The verdict where faults keep the scores from carrying one."""
    return Verdict(
        requirement=requirement,
        variant=variant,
        status="ERROR",
        threshold=threshold,
        value=None,  # a mean of what happened to be scored would be taken for the real one
        low=None,
        high=None,
        n=len(scores),
        worst=tuple(unscored[:WORST]),
        reason="; ".join(faults),
    )


def _decide(
    requirement: str,
    variant: str,
    value: float,
    interval: Interval,
    threshold: float,
    n: int,
    half_width: float,
    worst: tuple[Score, ...],
    how: str,
) -> Verdict:
    status: Status = "INCONCLUSIVE"
    needed = None
    if interval.low >= threshold:
        status, outcome = "PASS", "the whole interval clears the threshold"
    elif interval.high < threshold:
        status, outcome = "FAIL", "the whole interval lies below the threshold"
    else:
        needed = statistics.cases_needed(value, threshold, n, half_width)
        outcome = "the interval holds the threshold"
        if needed is None and math.isfinite(half_width):
            outcome += "; the value sits on it, no number of further cases would decide"
    return Verdict(
        requirement=requirement,
        variant=variant,
        status=status,
        threshold=threshold,
        value=value,
        low=interval.low if math.isfinite(interval.low) else None,
        high=interval.high if math.isfinite(interval.high) else None,
        n=n,
        needed=needed,
        worst=worst,
        reason=f"{outcome} ({how})",
    )


def value_of(score: Score) -> float:
    """The value of a score in which ``find_faults`` found no fault."""
    assert score.value is not None, "unscored cases were sorted out before"
    return score.value


def clusters_of(scores: Sequence[Score]) -> list[str]:
    """The cluster of each score."""
    # A case without a cluster stands alone; the prefixes keep its id from meeting a cluster of the same name.
    return [f"cluster {s.cluster}" if s.cluster else f"case {s.case}" for s in scores]


def _worst(scores: Sequence[Score], badness: Callable[[float], float]) -> tuple[Score, ...]:
    """The cases with the highest badness, ties in order of case id, so that the order of scoring does not matter."""
    return tuple(sorted(scores, key=lambda s: (-badness(value_of(s)), s.case))[:WORST])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
