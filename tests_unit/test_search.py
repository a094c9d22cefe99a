"""The choice of settings is the rule's, and a trial that is recorded is not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from system.errors import SettingsError
from system.training import search
from system.training.search import NEAR, RANKS, RATES, choose, grid, key_of_plan, read_trials, run_grid
from system.training.tuning_plots import draw


def trial(
    losses: list[float], references: list[float], helpful: list[float], repeats: float = 0.0, trained: int = 100
) -> dict[str, Any]:
    validation = [{"custom": own, "references": dev} for own, dev in zip(losses, references, strict=True)]
    dev = {
        str(epoch): {"helpfulness": {"mean": value}, "repetitive": {"mean": repeats}}
        for epoch, value in enumerate(helpful, 1)
    }
    return {"validation": validation, "dev": dev, "trained": trained}


def test_the_grid_is_every_rate_with_every_rank() -> None:
    plans = grid()
    assert len({key_of_plan(plan) for plan in plans}) == len(RATES) * len(RANKS)
    assert {plan.settings.epochs for plan in plans} == {5} and plans[0].measured == (2, 3, 5)


def test_the_most_helpful_of_those_near_the_lowest_loss_is_chosen() -> None:
    trials = [
        trial([3, 2], [1.5, 1.00], [2.0, 3.0]),
        trial([3, 2], [1.5, 1.00 * NEAR], [2.0, 3.5]),
        trial([3, 2], [1.5, 1.01 * NEAR], [2.0, 4.9]),  # helpful, but further from the references
    ]
    best = choose(trials)
    assert best is not None and (best.trial, best.epoch) == (1, 2)


def test_a_checkpoint_after_a_rise_of_the_loss_does_not_count() -> None:
    best = choose([trial([3, 2, 2.1], [1.0, 1.0, 0.5], [2.0, 3.0, 5.0])])
    assert best is not None and best.epoch == 2


def test_an_answer_that_repeats_itself_does_not_count() -> None:
    trials = [trial([3.0], [1.0], [5.0], repeats=0.06), trial([3.0], [1.2], [2.0], repeats=0.05)]
    best = choose(trials)
    assert best is not None and best.trial == 1
    assert choose(trials[:1]) is None


def test_of_equals_the_smaller_is_chosen() -> None:
    best = choose([trial([3.0], [1.0], [3.0], trained=200), trial([3.0], [1.0], [3.0], trained=100)])
    assert best is not None and best.trial == 1


def test_a_recorded_trial_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def run(plan: Any, data_dir: Path | None) -> dict[str, Any]:
        ran.append(plan)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return trial([1.0], [1.0], [1.0])

    monkeypatch.setattr(search, "run_alone", run)
    records = tmp_path / "trials.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_grid(records, None)
    assert len(read_trials(records)) == 2
    run_grid(records, None)
    assert len(ran) == len(grid()) + 1
    assert [json.loads(t["key"]) for t in read_trials(records)] == [json.loads(key_of_plan(p)) for p in grid()]


def test_trials_on_other_data_are_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "run_alone", lambda plan, data_dir: trial([1.0], [1.0], [1.0]))
    records = tmp_path / "trials.jsonl"
    run_grid(records, None)
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    lines[3]["made"]["data"]["custom_support.jsonl"] = "another"
    records.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(SettingsError, match=r"trial 3 was run on other data \(custom_support.jsonl\)"):
        run_grid(records, None)


def test_a_resumed_study_proposes_something_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study killed within its first trial, and gone on with, once proposed that trial again."""
    proposals: list[str] = []

    def killed(plan: search.Plan, data_dir: Path | None, study: object) -> dict[str, Any]:
        proposals.append(key_of_plan(plan))
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "run_alone", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search.run_bayes(tmp_path / "trials.jsonl", tmp_path, 1, tmp_path / "study.db")
    assert len(set(proposals)) == 3


def test_plots_and_table(tmp_path: Path) -> None:
    settings = {"batch": 8, "accumulation": 1}
    trials = []
    for rank in RANKS:
        one = trial([3.0, 2.0, 1.9], [2.0, 1.5, 1.4], [2.0, 3.0, 3.1])
        for scores in one["dev"].values():
            scores |= {name: {"mean": 0.5} for name in ("empathy", "fact_coverage", "groundedness")}
        lora = {"rank": rank, "targets": "all-linear", "dropout": 0.0}
        one |= {"stage": "grid", "settings": {**settings, "learning_rate": RATES[3], "lora": lora}}
        one |= {
            "history": [{"step": 5, "loss": 2.5}, {"step": 10, "loss": 2.0}],
            "seconds": [9.0] * 3,
            "megabytes": 900,
        }
        trials.append(one)
    pruned = {**trials[0], "stage": "bayes", "dev": {}, "validation": trials[0]["validation"][:1]}
    draw([*trials, pruned], tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    text = (tmp_path / "trials.md").read_text()
    assert text.count("\n| ") == 1 + 9 + 1 and text.count("**") == 2
    assert text.splitlines()[-1].startswith("| 3 | bayes |") and text.count("pruned") == 5
