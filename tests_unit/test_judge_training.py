"""The training loop on a tiny random BERT: it learns, is repeatable, and goes on after a kill to the same end."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fixtures.judges import PEFT_WARNING, WORDS, tiny_bert
from system.errors import SettingsError
from system.evaluation.judge import AXES
from system.evaluation.judge_model import WIDTH, JudgeModel
from system.training.judge_tasks import Task, prefers
from system.training.judge_training import JudgeSettings, _batches, _losses, average_weights, train_judge, write_record

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

SETTINGS = JudgeSettings(rank=2, epochs=2, steps=2, learning_rate=1e-2, warm_up=0.3)
ROWS = [(" ".join(random.Random(n).choices(WORDS, k=6)), "please wait", "pay now late fee") for n in range(12)]


def texts(row: tuple[str, str, str], draw: random.Random) -> list[tuple[str, str]]:
    """The better reply, ended by a word that is drawn, and the worse one."""
    return [(row[0], f"{row[1]} {draw.choice(WORDS)}"), (row[0], row[2])]


TASKS = [
    Task("kind", ROWS, texts, prefers("empathy"), batch=4),
    Task("safe", ROWS[:5], texts, prefers("safety"), batch=3),
]


@pytest.fixture(scope="module", name="embedder")
def _embedder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny BERT."""
    return tiny_bert(tmp_path_factory.mktemp("embedder"), WIDTH)


@pytest.fixture(scope="module", name="uninterrupted")
def _uninterrupted(embedder: str) -> tuple[JudgeModel, list[dict[str, float]]]:
    """A training from beginning to end without a checkpoint."""
    return train_judge(TASKS, SETTINGS, embedder)


def weights(model: JudgeModel) -> dict[str, torch.Tensor]:
    """All weights by name."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(one: JudgeModel, other: JudgeModel) -> bool:
    """Whether two models are equal, bit by bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def untimed(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The records without their seconds."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


class KilledError(Exception):
    """Plays a kill."""


def killed_after(epoch: int) -> Any:
    """An ``after_epoch`` that plays a kill before the checkpoint of the epoch after this one is written."""

    def measure(model: JudgeModel, number: int) -> dict[str, float]:
        if number > epoch:
            raise KilledError
        return {}

    return measure


def test_records(uninterrupted: tuple[JudgeModel, list[dict[str, float]]]) -> None:
    """A record for each epoch, with the mean loss of each task and the seconds."""
    _, history = uninterrupted
    assert [record["epoch"] for record in history] == [1, 2]
    assert all(set(record) == {"epoch", "seconds", "loss_kind", "loss_safe"} for record in history)
    assert all(0 < record["loss_kind"] < 20 and record["seconds"] > 0 for record in history)


def test_it_learns(embedder: str) -> None:
    """After some steps the losses are far below those of guessing, and the model ranks what it saw."""
    settings = replace(SETTINGS, epochs=2, steps=8)
    model, history = train_judge(TASKS, settings, embedder)
    assert history[-1]["loss_kind"] < history[0]["loss_kind"]
    assert history[-1]["loss_kind"] < 0.35  # guessing is ln 2
    with torch.inference_mode():
        outputs = model.eval()([text for row in ROWS for text in texts(row, random.Random(0))])
    for head in ("empathy", "safety"):
        assert (outputs[head][::2] > outputs[head][1::2]).float().mean() > 0.9


def test_what_is_trained(embedder: str, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]) -> None:
    """Adapter, pooling and the tasks' heads move; the encoder itself stays as it was."""
    model, _ = uninterrupted
    torch.manual_seed(SETTINGS.seed)
    fresh = weights(JudgeModel.fresh(embedder, SETTINGS.rank, SETTINGS.dropout))
    moved = {
        name
        for name, value in weights(model).items()
        if not torch.equal(value.float(), fresh[name].float().to(value.dtype).float())
    }
    assert {"heads.empathy.weight", "heads.safety.weight", "pooled.1.weight"} <= moved
    assert any("lora_A" in name for name in moved) and any("lora_B" in name for name in moved)
    assert not [name for name in moved if name.startswith("encoder.") and "lora_" not in name]


def test_repeatable(embedder: str, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]) -> None:
    """The same settings give the same weights, bit by bit, whatever was drawn in between; another seed others."""
    torch.rand(100)
    again, history = train_judge(TASKS, SETTINGS, embedder)
    assert same(again, uninterrupted[0])
    assert untimed(history) == untimed(uninterrupted[1])
    other, _ = train_judge(TASKS, replace(SETTINGS, seed=1, epochs=1), embedder)
    assert not same(other, uninterrupted[0])


def test_resume(embedder: str, tmp_path: Path, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]) -> None:
    """A training that was killed in its second epoch goes on from the first to bit-equal weights and records."""
    checkpoint = tmp_path / "judge.checkpoint"
    with pytest.raises(KilledError):
        train_judge(TASKS, SETTINGS, embedder, checkpoint, after_epoch=killed_after(1))
    assert checkpoint.exists()
    torch.rand(100)
    model, history = train_judge(TASKS, SETTINGS, embedder, checkpoint)
    assert same(model, uninterrupted[0])
    assert untimed(history) == untimed(uninterrupted[1])
    assert [path.name for path in tmp_path.iterdir()] == ["judge.checkpoint"]


def test_resume_at_the_end(
    embedder: str, tmp_path: Path, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]
) -> None:
    """A checkpoint of the last epoch is the trained model; no epoch is run again."""
    checkpoint = tmp_path / "judge.checkpoint"
    train_judge(TASKS, SETTINGS, embedder, checkpoint)
    model, history = train_judge(TASKS, SETTINGS, embedder, checkpoint, after_epoch=killed_after(0))
    assert same(model, uninterrupted[0])
    assert untimed(history) == untimed(uninterrupted[1])


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 3}, {"learning_rate": 1e-4}, {"rank": 4}])
def test_a_checkpoint_of_other_settings(embedder: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Weights that began under other settings are refused, and the checkpoint is left as it was."""
    checkpoint = tmp_path / "judge.checkpoint"
    torch.save({"settings": {**asdict(SETTINGS), "start": None}, "history": []}, checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(SettingsError, match="is a checkpoint of other settings or another start; delete it or give"):
        train_judge(TASKS, replace(SETTINGS, **changes), embedder, checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_of_another_start(
    embedder: str, tmp_path: Path, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]
) -> None:
    """Weights that began cold are no checkpoint of a warm restart."""
    checkpoint, start = tmp_path / "judge.checkpoint", tmp_path / "start"
    torch.save({"settings": {**asdict(SETTINGS), "start": None}, "history": []}, checkpoint)
    uninterrupted[0].save(start)
    with pytest.raises(SettingsError, match="another start"):
        train_judge(TASKS, SETTINGS, embedder, checkpoint, start)


def test_average_of_weights(embedder: str, tmp_path: Path, uninterrupted: tuple[JudgeModel, Any]) -> None:
    """Every weight of adapter and heads is the mean of both; the other folder stays as it was."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    uninterrupted[0].save(mine)
    cold, _ = train_judge(TASKS, replace(SETTINGS, epochs=1, seed=5), embedder)
    cold.save(other)
    files = ("adapter_model.safetensors", "heads.safetensors")
    before = {name: (load_file(mine / name), load_file(other / name)) for name in files}
    average_weights(mine, other)
    for name, (first, second) in before.items():
        after, untouched = load_file(mine / name), load_file(other / name)
        assert after.keys() == first.keys()
        for key, value in after.items():
            mean = (first[key].double() + second[key].double()) / 2
            assert torch.allclose(value.double(), mean, rtol=1e-2, atol=1e-6)
            assert torch.equal(untouched[key], second[key])


def test_warm_restart(embedder: str, tmp_path: Path, uninterrupted: tuple[JudgeModel, list[dict[str, float]]]) -> None:
    """Training that starts from a trained judge begins with its weights: with nothing to learn they stay."""
    uninterrupted[0].save(tmp_path)
    settings = replace(SETTINGS, epochs=1, steps=1, learning_rate=1e-12, weight_decay=0.0, warm_up=0.5, seed=9)
    model, _ = train_judge(TASKS, settings, embedder, start=tmp_path)
    before, after = weights(uninterrupted[0]), weights(model)
    assert all(torch.allclose(before[name].float(), after[name].float(), atol=1e-6) for name in before)
    cold, _ = train_judge(TASKS, settings, embedder)
    assert not torch.allclose(weights(cold)["heads.empathy.weight"], before["heads.empathy.weight"], atol=1e-3)


def test_after_epoch(embedder: str) -> None:
    """What is measured after an epoch stands in its record."""
    settings = replace(SETTINGS, epochs=1)
    measured = train_judge(TASKS, settings, embedder, after_epoch=lambda model, epoch: {"score": epoch + 0.5})
    assert measured[1][0]["score"] == 1.5


def test_losses_see_their_own_texts(embedder: str) -> None:
    """Each task's loss gets its own rows and as many outputs as they have texts, in the order of the rows."""
    seen: list[tuple[int, int, set[str]]] = []

    def spy(outputs: dict[str, torch.Tensor], rows: Sequence[Any]) -> torch.Tensor:
        seen.append((len(rows), len(outputs["clarity"]), {row[0] for row in rows}))
        return torch.stack([outputs[axis] for axis in AXES]).square().mean()

    single = Task("single", ROWS[:3], lambda row, _: [(row[0], row[1])], spy, batch=2)
    double = Task("double", ROWS[3:8], texts, spy, batch=3)
    train_judge([single, double], replace(SETTINGS, epochs=1), embedder)
    assert [(rows, outputs) for rows, outputs, _ in seen] == [(2, 2), (3, 6)] * SETTINGS.steps
    assert set.union(*(names for rows, _, names in seen if rows == 2)) <= {row[0] for row in ROWS[:3]}


def test_losses_are_of_their_own_texts() -> None:
    """All texts are read in one go, and each task gets the outputs of its own, weighed by its own weight."""

    def network(pairs: Sequence[tuple[str, str]]) -> dict[str, torch.Tensor]:
        return {"clarity": torch.tensor([float(reply) for _, reply in pairs])}

    def task(name: str, weight: float) -> Task:
        return Task(
            name, [], lambda row, _: [("c", str(row)), ("c", "0")], lambda said, _: said["clarity"].sum(), 1, weight
        )

    tasks = [task("one", 1.0), task("two", 1.0), task("three", 0.5)]
    rows: dict[str, Sequence[int]] = {"one": [1, 2], "two": [10, 20, 30], "three": [100]}
    losses = _losses(network, tasks, rows, random.Random(0))  # type: ignore[arg-type]
    assert {name: float(loss) for name, loss in losses.items()} == {"one": 3.0, "two": 60.0, "three": 50.0}


def test_batches() -> None:
    """Every row comes once before any comes again, over the end of a pass too, and each pass has its own order."""
    found = [row for batch in islice(_batches(range(10), 4, random.Random(0)), 10) for row in batch]
    passes = [found[n : n + 10] for n in range(0, 40, 10)]
    assert all(sorted(one) == list(range(10)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4
    assert next(_batches([1], 3, random.Random(0))) == [1, 1, 1]  # fewer rows than a batch


def test_record_of_a_run(tmp_path: Path) -> None:
    """Settings, whatever made it, and the history, as JSON."""
    write_record(tmp_path / "training.json", SETTINGS, [{"epoch": 1}], rows={"kind": 12})
    assert json.loads((tmp_path / "training.json").read_text()) == {
        "settings": asdict(SETTINGS),
        "rows": {"kind": 12},
        "history": [{"epoch": 1}],
    }
