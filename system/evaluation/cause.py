"""What a red case can be told without a model: whether it passes, which stage is likely at fault, how to make sure.

    likely_cause(response, complaint) -> "decision", "retrieval", "prompt", "adapter or generation" or "generation"
    explain_lines(verdict, responses, complaints) -> the lines that a gate's message ends with

A guess from labels, made in no time; ``system.explain`` replays the case and knows. Reads records only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from system.evaluation.requirements import Requirement
from system.records import Complaint, Response, Score, Verdict

_STAGE = re.compile(r"cause (retrieval|decision|prompt)\b")  # what a score knows that looks at one stage alone


def passes(requirement: Requirement, score: Score) -> bool:
    """Whether one case meets a requirement by itself; one that was not scored does not."""
    if score.error is not None or score.value is None:
        return False
    if requirement.kind == "zero":
        return score.value == 0
    # A rate's threshold is the share of cases that must be right; each case is right or wrong.
    return score.value >= (1.0 if requirement.kind == "rate" else requirement.threshold)


def likely_cause(response: Response, complaint: Complaint) -> str:
    """The first stage that did not do as labelled; where all did, what wrote the answer."""
    wanted = complaint.action
    # Without hits there was no retriever, and no decision could have brought an article in.
    decided = bool(response.hits) or wanted != "RAG"
    if wanted is not None and response.decision.action != wanted and decided:
        return "decision"
    if wanted == "RAG":
        read = response.prompt.passages if response.prompt else ()
        if not any(hit.doc in complaint.relevant for hit in response.hits if hit.passage in read):
            return "retrieval"
    if response.decision.reply is not None:  # written beforehand and chosen with the action; no model was asked
        return "decision"
    return "adapter or generation" if response.identity.adapter else "generation"


def explain_lines(
    verdict: Verdict, responses: Iterable[Response], complaints: Iterable[Complaint], options: str = ""
) -> list[str]:
    """For the worst case of a verdict the likely cause, if there is a response, and the command that finds it out.

    ``options`` are further ones of the command, such as another base model. No lines where no case is to blame.
    """
    for worst in verdict.worst[:1]:
        complaint = next((c for c in complaints if c.id == worst.case), None)
        if complaint is None or verdict.is_claim:  # of a claim about two variants no one stage is the cause
            break
        response = next((r for r in responses if (r.id, r.variant) == (worst.case, verdict.variant)), None)
        lines = []
        if response is not None:
            known = _STAGE.match(worst.explanation)
            cause = known.group(1) if known else likely_cause(response, complaint)
            lines.append(f"  likely cause of {worst.case}: {cause}")
        names = f"--variant {verdict.variant} --requirement {verdict.requirement}"
        command = f"python -m system explain {shlex.quote(worst.case)} {names} {options}".rstrip()
        return [*lines, f"  explain: {command}"]
    return []
