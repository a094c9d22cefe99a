"""Drafts of a case with stages set right, one at a time and together, to be answered again like any other.

    replays, unchanged = next(plan_replays(assistant, [draft]))    {(): Draft, ("decision",): Draft}, {"retrieval": why}

Three stages can be set right:

    decision    gold decision: the labelled action, with the hits there are
    retrieval   gold context: the best passages of the labelled articles, by the variant's own retriever, in front
    adapter     base adapter: the base model as it is, without the variant's adapter

The empty set of stages is replayed too, as the control: in bfloat16 the same prompt may be answered otherwise in
another batch, and a case that passes the second time says nothing about its stages.

A replay is a Draft of the assistant with fields replaced; the assistant answers it like any other. Knows labels, which
the assistant must not; must not know metrics or requirements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from system.assistant import TOP_K, Assistant, Draft
from system.records import Complaint, Decision, Hit
from system.runlog import response_key

RETRIEVER = "dense"  # for variants that retrieve nothing themselves: the one that the others use
Stages = tuple[str, ...]
Plan = tuple[dict[Stages, Draft], dict[str, str]]  # the replays, and why the other stages stay as they are


def label_problems(assistant: Assistant, complaints: Sequence[Complaint]) -> list[str]:
    """Name the complaints whose labels do not say what would have been right."""
    docs = {passage.doc for passage in assistant.passages}
    problems = []
    for complaint in complaints:
        name = f"complaint {complaint.id!r}"
        if complaint.action is None:
            problems.append(f"{name}: the action is not labelled; give RAG, DIRECT or ESCALATE")
        elif complaint.action == "RAG" and not complaint.relevant:
            problems.append(f"{name}: no relevant article is labelled; a RAG row needs at least one")
        for stem in sorted(set(complaint.relevant) - docs):
            problems.append(f"{name}: relevant article {stem!r} is not in {assistant.knowledge_base}")
    return problems


def plan_replays(assistant: Assistant, drafts: Sequence[Draft]) -> Iterator[Plan]:
    """For each draft of one variant a replay for every set of stages that can be changed, the smallest sets first."""
    if not drafts:
        return
    retriever = assistant.retriever(drafts[0].variant.retriever or RETRIEVER)
    rankings = retriever.search([draft.complaint.text for draft in drafts], len(assistant.passages))
    for draft, ranking in zip(drafts, rankings, strict=True):
        changes, unchanged = _changes(assistant, draft, ranking)
        replays: dict[Stages, Draft] = {}
        for size in range(len(changes) + 1):
            for stages in combinations(changes, size):
                fields = {key: value for stage in stages for key, value in changes[stage].items()}
                replays[stages] = redraft(assistant, replace(draft, **fields), stages)
        yield replays, unchanged


def _changes(
    assistant: Assistant, draft: Draft, ranking: Sequence[Hit]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """By stage the fields of the draft that set it right; and the stages that need or allow no change, with why."""
    complaint, variant, wanted = draft.complaint, draft.variant, draft.complaint.action
    changes: dict[str, dict[str, Any]] = {}
    unchanged: dict[str, str] = {}
    right = Decision(action=wanted or "RAG", reason="the labelled action", score=1.0, threshold=0.0)
    if draft.decision.action == wanted:
        unchanged["decision"] = f"{wanted} is the labelled action"
    elif wanted == "RAG" and variant.policy == "never":
        unchanged["decision"] = "the variant never retrieves, RAG would have nothing to read"
    else:
        reply = _escalation_reply(assistant, complaint.text) if wanted == "ESCALATE" else None
        changes["decision"] = {"decision": replace(right, reply=reply)}
    gold = sorted(ranking, key=lambda hit: hit.doc not in complaint.relevant)[:TOP_K]  # stable: best first in each half
    if wanted != "RAG":
        unchanged["retrieval"] = f"the labelled action is {wanted}, no article is to be read"
    elif [hit.passage for hit in gold] == [hit.passage for hit in draft.hits]:
        unchanged["retrieval"] = "the best passages of the labelled articles are in front"
    else:
        # Where a decision stage chose, its choice stays: whether that was right is the other change's question.
        changes["retrieval"] = {"hits": tuple(gold)} | ({} if variant.policy == "agent" else {"decision": right})
    if variant.adapter:
        changes["adapter"] = {"variant": replace(variant, adapter=None)}
    return changes, unchanged


def _escalation_reply(assistant: Assistant, text: str) -> str:
    """The scripted reply of the escalation that a text comes closest to; the label does not say which one is due."""
    rules, (signals,) = assistant.measure.rules, assistant.measure.signals([text])
    return rules.reply_of[signals.matched if signals.matched in rules.escalations else signals.kind]


def redraft(assistant: Assistant, draft: Draft, stages: Stages) -> Draft:
    """The draft with prompt, sources and key made anew from its other fields."""
    case = (draft.complaint.text, draft.decision, draft.hits)
    ((prompt, sources),) = assistant.prompts(draft.variant, [case])
    # A key of its own: what is stored under the draft's key is the variant's answer, which a replay's is not.
    key = response_key((draft.key, stages, draft.decision, draft.hits, prompt))
    return replace(draft, prompt=prompt, sources=sources, key=key)
