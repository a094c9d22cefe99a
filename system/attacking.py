"""Runs the attacks: each variant answers each, over a knowledge base with the poisoned article where there is one.

    answer_attacks(Path("runs/attacks.jsonl"), assistant, attacks, variants)

A poisoned knowledge base is one assistant each; the model is asked by one of them for all, in batches, and the others
find its words in the cache. Knows the assistant; must not know what counts as success.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from system.answering import answer_into
from system.assistant import Assistant
from system.evaluation.attacks import POISONED, Attack
from system.records import Complaint
from system.variants import Variant


def answer_attacks(
    out: Path, log: Path, assistant: Assistant, attacks: Sequence[Attack], variants: Sequence[Variant]
) -> None:
    """Answer what the log does not hold yet. The assistant needs a cache."""
    with TemporaryDirectory() as folder:
        worlds = [(assistant, [attack for attack in attacks if attack.article is None])]
        poisoned = [attack for attack in attacks if attack.article is not None]
        worlds += [(_poisoned(assistant, attack, Path(folder)), [attack]) for attack in poisoned]
        _fill_cache(worlds[1:], variants)
        for world, some in worlds:
            answer_into(out, log, world, [complaint_of(attack) for attack in some], variants)


def complaint_of(attack: Attack) -> Complaint:
    """The attack as a customer's message."""
    return Complaint(id=attack.id, text=attack.text)


def _poisoned(assistant: Assistant, attack: Attack, folder: Path) -> Assistant:
    """The assistant over its knowledge base with the attack's article in it; the models are shared."""
    base = folder / attack.id
    shutil.copytree(assistant.knowledge_base, base)
    (base / f"{POISONED}.md").write_text(attack.article or "", encoding="utf-8")
    return replace(assistant, knowledge_base=base, embedder=assistant.embed)


def _fill_cache(worlds: Sequence[tuple[Assistant, Sequence[Attack]]], variants: Sequence[Variant]) -> None:
    """Ask the model for all prompts of all worlds together."""
    for variant in variants:
        drafts = [d for world, some in worlds for d in world.drafts([complaint_of(one) for one in some], variant)]
        prompts = dict.fromkeys(draft.prompt.text for draft in drafts if draft.prompt)
        if prompts:
            list(worlds[0][0].model(variant.adapter).complete(list(prompts), variant.decoding))
