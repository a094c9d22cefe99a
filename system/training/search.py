"""The hyper-parameter search: a grid, then Bayesian proposals (Optuna, TPE); every trial is a line of data.

    run_grid(records, data_dir)             reports/tuning/trials.jsonl; a trial that is there is not run again
    run_bayes(records, data_dir, trials)    goes on where the study stopped; its SQLite file lies under runs/tuning
    best = choose(read_trials(records))     by CHOICE, which was written before the first trial was run

Knows trials and records; must not know plots.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from system.errors import SettingsError
from system.rows import LineWriter
from system.training.custom import EXAMPLES, PASSAGES
from system.training.lessons import Recipe
from system.training.lora import LoraSettings
from system.training.records import made
from system.training.sft import SftSettings
from system.training.trials import Plan, run_alone

CHOICE = (
    "On dev complaints only. A checkpoint counts if the validation loss fell in every epoch up to it and no more than "
    "one answer in twenty repeats itself. Among those whose loss on the dev references is within 2 % of the lowest, "
    "the one with the highest helpfulness is chosen; of equals the one with fewer trained weights."
)
NEAR = 1.02
REPETITIVE = 0.05
RATES = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3)
RANKS = (8, 16, 32)
EPOCHS = 5
STUDY = "support-lora"
# What a laptop can afford: a small part of the examples, and a constant rate so that checkpoints can be compared.
SUBSET = Recipe(examples=72, public={"alpaca": 8}, held_out=24)
BASE = SftSettings(epochs=EPOCHS, schedule="constant", batch=4, accumulation=1)


def grid() -> list[Plan]:
    """Every learning rate with every rank."""
    return [
        Plan(settings=replace(BASE, learning_rate=rate, lora=LoraSettings(rank=rank)), recipe=SUBSET)
        for rate, rank in product(RATES, RANKS)
    ]


def run_grid(records: Path, data_dir: Path | None) -> None:
    """Run what is not recorded yet, one trial after the other."""
    _must_be_comparable(records, data_dir)
    done = {trial["key"] for trial in read_trials(records)}
    for plan in grid():
        if key_of_plan(plan) not in done:
            _write(records, "grid", plan, run_alone(plan, data_dir), data_dir)


def run_bayes(records: Path, data_dir: Path | None, trials: int, storage: Path) -> None:
    """Run proposals until the study holds ``trials``; the objective is the loss on the dev references."""
    import optuna

    _must_be_comparable(records, data_dir)
    storage.parent.mkdir(parents=True, exist_ok=True)
    address = f"sqlite:///{storage}"
    study = optuna.create_study(
        study_name=STUDY,
        storage=address,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
    )
    # A resumed study goes on with fresh draws; the same seed would propose its first trial again.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.trials))
    while len([t for t in study.get_trials() if t.state.is_finished()]) < trials:
        trial = study.ask()
        plan = proposed(trial)
        record = run_alone(plan, data_dir, (address, STUDY, trial._trial_id))
        pruned = "pruned" in study.get_trials()[trial.number].user_attrs
        _write(records, "bayes", plan, {**record, "pruned": pruned}, data_dir)
        losses = [epoch["references"] for epoch in record["validation"]]
        state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if pruned else min(losses), state=state)


def proposed(trial: Any) -> Plan:
    """The settings that Optuna proposes."""
    shape = LoraSettings(
        rank=trial.suggest_categorical("rank", RANKS),
        dropout=trial.suggest_categorical("dropout", (0.0, 0.05)),
        targets=trial.suggest_categorical("targets", ("query-value", "all-linear")),
    )
    settings = replace(
        BASE,
        lora=shape,
        learning_rate=trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True),
        batch=trial.suggest_categorical("batch", (4, 8)),
        accumulation=trial.suggest_categorical("accumulation", (1, 2, 4)),
    )
    return Plan(settings=settings, recipe=SUBSET)


def key_of_plan(plan: Plan) -> str:
    """What tells one trial from another."""
    return json.dumps({"settings": asdict(plan.settings), "recipe": asdict(plan.recipe)}, sort_keys=True)


def _write(records: Path, stage: str, plan: Plan, record: dict[str, Any], data_dir: Path | None) -> None:
    origin = made((EXAMPLES, PASSAGES), data_dir)
    with LineWriter(records) as writer:
        writer.write({"stage": stage, "key": key_of_plan(plan), **record, "made": origin})


def _must_be_comparable(records: Path, data_dir: Path | None) -> None:
    """Raises SettingsError if trials were recorded on other data: their losses are those of another task."""
    data = made((EXAMPLES, PASSAGES), data_dir)["data"]
    for number, trial in enumerate(read_trials(records)):
        differ = sorted(name for name, sha in trial["made"]["data"].items() if data.get(name) != sha)
        if differ:
            names = ", ".join(differ)
            raise SettingsError(f"{records}: trial {number} was run on other data ({names}); give --out a new folder")


def read_trials(records: Path) -> list[dict[str, Any]]:
    """The records of all trials so far."""
    return [json.loads(line) for line in records.read_text().splitlines()] if records.exists() else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A checkpoint of a trial."""

    trial: int
    epoch: int
    references: float  # loss on the dev references, nats per token
    helpfulness: float
    trained: int


def candidates(trials: Sequence[dict[str, Any]]) -> list[Candidate]:
    """The checkpoints that may be chosen at all; see CHOICE."""
    return [found for number, trial in enumerate(trials) for found in _candidates(number, trial)]


def _candidates(number: int, trial: dict[str, Any]) -> Iterable[Candidate]:
    losses = [epoch["custom"] for epoch in trial["validation"]]
    for epoch, scores in trial["dev"].items():
        upto = losses[: int(epoch)]
        falls = all(later < earlier for earlier, later in pairwise(upto))
        if falls and scores["repetitive"]["mean"] <= REPETITIVE:
            yield Candidate(
                trial=number,
                epoch=int(epoch),
                references=trial["validation"][int(epoch) - 1]["references"],
                helpfulness=scores["helpfulness"]["mean"],
                trained=trial["trained"],
            )


def choose(trials: Sequence[dict[str, Any]]) -> Candidate | None:
    """The checkpoint that CHOICE names; None if there is none."""
    found = candidates(trials)
    if not found:
        return None
    lowest = min(one.references for one in found)
    near = [one for one in found if one.references <= NEAR * lowest]
    return max(near, key=lambda one: (one.helpfulness, -one.trained))
