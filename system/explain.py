"""Why a case is red: the stage at fault, found by replaying the case with one stage at a time set right.

    (explained,) = explain_cases(assistant, [complaint], variant, requirements)
    print(as_text(explained))                       python -m system explain T-012 --variant rag

The cause is the smallest set of changes that mends the case, of equally small ones the first in the order decision,
retrieval, adapter; if none mends it, generation. Not the first in a growing series of changes: what gold decision and
gold context mend only together is not the fault of one of them, and what gold context mends alone is not the
decision's. The smallest set of all is the empty one: a case that passes when it is only answered again failed by
chance. The changes themselves stand in ``system.replays``. Must not know how gates are run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from textwrap import indent, shorten

from system.articles import official_text
from system.assistant import Assistant, Draft
from system.cache import MemoryCache
from system.errors import InputError, SettingsError
from system.evaluation.cause import passes
from system.evaluation.measuring import Rulers
from system.evaluation.requirements import Requirement, load_requirements
from system.evaluation.scores import OF_TEXT
from system.records import Complaint, Response, Score
from system.replays import Stages, label_problems, plan_replays
from system.variants import Variant

GATES = Path("tests_quality/gates.toml")
CHANGES = {"decision": "gold decision", "retrieval": "gold context", "adapter": "base adapter"}
FLOW = ("retrieval", "decision", "adapter")  # the order of the stages, in which several causes are named
_CAUSE = re.compile(r"cause [a-z ]+: ")
Ruler = Callable[[str, Response, Complaint], "Score | None"]  # metric, answer, case; None: does not apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One answer with some stages set right, and what one requirement says of it."""

    stages: Stages
    response: Response
    score: Score | None  # None: the requirement no longer applies, as one on DIRECT answers once the action is RAG
    mended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A requirement that the case misses, and why."""

    requirement: Requirement
    score: Score
    replays: tuple[Replay, ...]
    cause: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One case of one variant: its answer, and a finding for each requirement that it misses."""

    complaint: Complaint
    response: Response
    findings: tuple[Finding, ...]
    met: tuple[str, ...]
    not_applying: tuple[str, ...]
    unchanged: dict[str, str]  # stages that were not replayed, and why


def explain_cases(
    assistant: Assistant,
    complaints: Sequence[Complaint],
    variant: Variant,
    requirements: Sequence[Requirement],
    ruler: Ruler | None = None,
) -> list[Explanation]:
    """Explain each case, in order. Two batches: the answers, then all replays of the cases that miss a requirement.

    Raises InputError naming every complaint whose labels do not say what would have been right.
    """
    if problems := label_problems(assistant, complaints):
        raise InputError("\n".join(problems))
    ruler = ruler or all_rulers(assistant)
    drafts = assistant.drafts(complaints, variant)
    answers = _answers(assistant, drafts)
    judged = [[(r, ruler(r.metric, answer, draft.complaint)) for r in requirements] for draft, answer in answers]
    missed = [[(r, score) for r, score in scores if score is not None and not passes(r, score)] for scores in judged]
    plans = plan_replays(assistant, [draft for draft, misses in zip(drafts, missed, strict=True) if misses])
    planned = [next(plans) if misses else ({}, {}) for misses in missed]
    # Without the cache, from which the control would get the very answer that it is to be compared with.
    fresh = replace(assistant, cache=None)
    fresh.index = assistant.index
    replayed = iter(_answers(fresh, [draft for replays, _ in planned for draft in replays.values()]))
    explained = []
    for (draft, answer), scores, misses, (replays, unchanged) in zip(answers, judged, missed, planned, strict=True):
        again = {stages: next(replayed)[1] for stages in replays}
        explained.append(
            Explanation(
                complaint=draft.complaint,
                response=answer,
                findings=tuple(_find(r, score, again, draft.complaint, ruler) for r, score in misses),
                met=tuple(r.name for r, score in scores if score is not None and passes(r, score)),
                not_applying=tuple(r.name for r, score in scores if score is None),
                unchanged=unchanged,
            )
        )
    return explained


def _answers(assistant: Assistant, drafts: Sequence[Draft]) -> list[tuple[Draft, Response]]:
    """Each draft with its response, in the order of the drafts; answered in one batch."""
    found = {(response.id, response.key): response for response in assistant.answer(drafts)}
    return [(draft, found[draft.complaint.id, draft.key]) for draft in drafts]


def _find(
    requirement: Requirement, score: Score, responses: dict[Stages, Response], complaint: Complaint, ruler: Ruler
) -> Finding:
    """Judge the replays by one requirement and name the cause."""
    replays = []
    for stages, response in responses.items():
        again = ruler(requirement.metric, response, complaint)
        # A gate leaves out the cases to which its requirement does not apply.
        mended = again is None or passes(requirement, again)
        replays.append(Replay(stages=stages, response=response, score=again, mended=mended))
    mending = [replay.stages for replay in replays if replay.mended]
    smallest = [stages for stages in mending if len(stages) == len(mending[0])]  # they come smallest first
    if smallest:
        cause = " and ".join(sorted(smallest[0], key=FLOW.index)) or "chance"
        cause += " together" if len(smallest[0]) > 1 else ""
        first, *others = map(_change, smallest)
        why = ", ".join([f"{first} mends it", *(f"{other} does too" for other in others)])
    else:
        cause, why = "generation", "nothing mends it" if len(replays) > 1 else "no stage before it can be set right"
    return Finding(requirement=requirement, score=score, replays=tuple(replays), cause=cause, why=why)


def _change(stages: Stages) -> str:
    return " and ".join(CHANGES[stage] for stage in stages) or "answering it again"


# --- what is asked for ---


def all_rulers(assistant: Assistant) -> Ruler:
    """Every metric, with the assistant's articles as the official text."""
    cache = MemoryCache() if assistant.cache is None else assistant.cache
    rulers = Rulers(official_text(assistant.knowledge_base), cache, base_model=assistant.base_model)

    def ruler(metric: str, response: Response, complaint: Complaint) -> Score | None:
        return next(iter(rulers.score(metric, [response], [complaint])[0]), None)

    return ruler


def choose_requirements(
    variant: str, name: str | None = None, metric: str | None = None, path: Path = GATES
) -> list[Requirement]:
    """The requirement of this name, those of this metric, or all that bind the variant or excuse it as baseline.

    Raises SettingsError for a name or metric that the gates file does not have.
    """
    rows = load_requirements(path)
    if name is not None or metric is not None:
        chosen = [row for row in rows if name in (None, row.name) and metric in (None, row.metric)]
        asked = f"requirement {name!r}" if name is not None else f"metric {metric!r}"
        known = ", ".join(dict.fromkeys(row.name if name is not None else row.metric for row in rows))
        if not chosen:
            raise SettingsError(f"{asked} is not in {path}; choose from {known}")
        return chosen
    chosen = [row for row in rows if variant in row.variants or variant in row.baseline]
    if not chosen:
        raise SettingsError(f"{path}: no requirement binds variant {variant!r}; name one with --requirement")
    return chosen


def find_case(complaints: Sequence[Complaint], case: str, path: Path) -> Complaint:
    """The complaint of this id. Raises InputError naming the ids that come close."""
    by_id = {complaint.id: complaint for complaint in complaints}
    if case not in by_id:
        meant = [identifier for identifier in by_id if _bare(identifier) == _bare(case)]
        close = dict.fromkeys([*meant, *get_close_matches(case, by_id, n=3, cutoff=0.5)]) or by_id
        raise InputError(f"case {case!r} is not in {path}; did you mean {' or '.join(list(close)[:3])}?")
    return by_id[case]


def _bare(identifier: str) -> str:
    """An id as people type it: in any case, without the zeros that only fill it up."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", identifier.lower())


# --- what is told ---


def as_text(explained: Explanation) -> str:
    """An explanation as lines to read: the case, the answer, and for each miss a line a replay and the cause."""
    return "\n".join(_lines(explained))


def _lines(explained: Explanation) -> Iterator[str]:
    complaint, response = explained.complaint, explained.response
    read = response.prompt.passages if response.prompt else ()
    hits = [f"{hit.passage} {hit.score:.2f}{' (read)' if hit.passage in read else ''}" for hit in response.hits]
    yield f"{complaint.id} of {response.variant}"
    yield f"  complaint: {' '.join(complaint.text.split())}"
    yield f"  labelled: {complaint.action}{', ' if complaint.relevant else ''}{', '.join(complaint.relevant)}"
    yield f"  decision: {response.decision.action} ({response.decision.reason})"
    yield f"  hits: {', '.join(hits) or 'none'}"
    yield f"  answer:\n{indent(response.text or f'none ({response.error})', '    ')}"
    for finding in explained.findings:
        yield f"MISSED {finding.requirement.name}: {_told(finding.requirement, finding.score)}"
        for stage, why in explained.unchanged.items():
            yield f"  {CHANGES[stage]}: not replayed, {why}"
        for replay in finding.replays:
            told, prompt = _told(finding.requirement, replay.score), replay.response.prompt
            what = _change(replay.stages) + (
                f", reading {', '.join(prompt.passages)}" if prompt and prompt.passages else ""
            )
            yield f"  {what}: {told} -> {'mended' if replay.mended else 'not mended'}"
        yield f"  cause: {finding.cause} ({finding.why})"
    if not explained.findings:
        yield "nothing to explain: the case misses no requirement"
    if explained.met:
        yield f"met: {', '.join(explained.met)}"
    if explained.not_applying:
        yield f"does not apply: {', '.join(explained.not_applying)}"


def _told(requirement: Requirement, score: Score | None) -> str:
    """A score in words: the value, the value that would do, and the explanation."""
    if score is None:
        return "does not apply"
    wanted = {"zero": "0", "rate": "1"}.get(requirement.kind, f"at least {requirement.threshold:g}")
    value = "unscored" if score.value is None else f"{score.value:g}, wanted {wanted}"
    # What a metric of the text says of the cause is a guess, and the replays are about to tell.
    guess = _CAUSE.match(score.explanation) if score.metric in OF_TEXT else None
    why = score.error or score.explanation[guess.end() if guess else 0 :]
    return shorten(f"{value}: {why}" if why else value, 220)
