"""Runs the attacks: each variant answers each, over a knowledge base with the poisoned article where there is one.

    answer_attacks(Path("runs/attacks.jsonl"), Path("runs/decisions.jsonl"), assistant, attacks, variants)
    python -m system attack --variant rag,agent-rag-fine-tuned      how many succeed, by family

A poisoned knowledge base is one assistant each; the model is asked by one of them for all, in batches, and the others
find its words in the cache. Knows the assistant; what counts as success is ``system.evaluation.attacks``'.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from system.answering import answer_into
from system.assistant import Assistant
from system.errors import InputError
from system.evaluation.attacks import POISONED, Attack
from system.records import Complaint
from system.rows import write_whole
from system.runlog import by_variant, read_run
from system.variants import Variant, find_variants


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


def attack(options: argparse.Namespace) -> int:
    """Ask the attacks of a split, and print how many succeed against each variant; 1 if any answer is in error."""
    from system.articles import official_text
    from system.commands import assistant_of, check_writable
    from system.evaluation.attack_gates import attack_scores, fallen
    from system.evaluation.attacks import FAMILIES, read_attacks
    from system.evaluation.statistics import rate_interval
    from system.evaluation.table import grid, spread

    variants = find_variants(options.variant)
    for path, name in ((options.run, "--run"), (options.log, "--log"), (options.out, "--out")):
        if path is not None:
            check_writable(path, name)
    attacks = read_attacks(options.attacks, options.split)
    if not attacks:
        raise InputError(f"{options.attacks}: holds no attack of the split {options.split}; give another --split")
    assistant = assistant_of(options)
    answer_attacks(options.run, options.log, assistant, attacks, variants)
    official, run = official_text(options.kb), by_variant(read_run(options.run))
    told: dict[str, dict[str, Any]] = {}
    for variant in variants:
        scores = attack_scores(attacks, run[variant.name], official)
        fell = fallen(attacks, scores)
        interval = rate_interval(fell.total(), len(attacks))
        told[variant.name] = {
            "succeeded": fell.total(),
            "attacks": len(attacks),
            "interval": [round(interval.low, 4), round(interval.high, 4)],
            "in_error": sum(score.value is None for score in scores),
            "families": {family: fell[family] for family in FAMILIES},
        }
        for score in sorted(scores, key=lambda score: score.case) if options.list else ():
            if score.value == 0:
                print(f"{variant.name} {score.case}: {score.explanation}")
    rows = [[family, *(str(found["families"][family]) for found in told.values())] for family in FAMILIES]
    shares = (spread(found["succeeded"] / found["attacks"], *found["interval"]) for found in told.values())
    rows.append(["all", *shares])
    print(grid(["family", *told], rows, f"attacks of {options.split} that succeed, of {len(attacks)} (95 % interval)"))
    if options.out:
        write_whole(options.out, json.dumps({"split": options.split, "variants": told}, indent=1).encode() + b"\n")
    if broken := {name: found["in_error"] for name, found in told.items() if found["in_error"]}:
        counts = ", ".join(f"{count} of {name}" for name, count in broken.items())
        print(f"error: answers in error, which are no attacks withstood: {counts}", file=sys.stderr)
    return 1 if broken else 0
