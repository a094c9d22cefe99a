"""Fine-tuning on tiny models: it learns, resumes to the same end, stops early, and refuses what is not its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from fixtures.tiny_models import SENTENCES, make_model
from system.chat_format import ChatFormat
from system.errors import SettingsError
from system.training.lessons import Curriculum, Lesson, Recipe
from system.training.lora import IGNORED, LoraSettings, lora_model
from system.training.sft import SftSettings, collate, encode, train_sft

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
SETTINGS = SftSettings(lora=LoraSettings(rank=4), learning_rate=0.005, epochs=3, batch=2, accumulation=2)


class Sayings(Curriculum):
    """A curriculum of a few sentences, in an order that depends on the epoch."""

    def epoch(self, number: int) -> list[Lesson]:
        lessons = [Lesson(self.format.chat("Be kind.", text), text, "custom") for text in SENTENCES * 3]
        return lessons[number:] + lessons[:number]

    def validation(self, public: int = 40) -> list[Lesson]:
        return self.epoch(0)[:2]


@pytest.fixture(scope="module", params=["llama", "t5"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / request.param
    make_model(request.param, folder)
    return folder


def sayings(format: ChatFormat) -> Curriculum:
    return Sayings(format, Recipe(public={}), {}, {}, [], [], {}, {}, {})


def trained(folder: Path, checkpoints: Path, settings: SftSettings = SETTINGS, **options: Any) -> tuple[Any, Any]:
    format = ChatFormat(str(folder))
    model = lora_model(str(folder), settings.lora, settings.seed)
    return model, train_sft(model, format, sayings(format), settings, checkpoints, **options)


def weights(model: Any) -> list[torch.Tensor]:
    return [w.detach().clone() for w in model.parameters() if w.requires_grad]


def test_it_learns_and_keeps_a_record(folder: Path, tmp_path: Path) -> None:
    _, record = trained(folder, tmp_path / "run")
    losses = [epoch["custom"] for epoch in record["validation"]]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert record["rows"] == 9 and len(record["tokens"]) == len(record["seconds"]) == 3
    assert record["settings"]["lora"]["rank"] == 4


class _Killed(TrainerCallback):
    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.epoch == 2:
            raise KeyboardInterrupt


def test_it_resumes_after_a_kill_to_the_same_end(folder: Path, tmp_path: Path) -> None:
    whole, _ = trained(folder, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(folder, tmp_path / "killed", callbacks=[_Killed()])
    resumed, record = trained(folder, tmp_path / "killed")
    assert len(record["seconds"]) == 1  # only the third epoch was still to be done
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        torch.testing.assert_close(one, other)


def test_it_stops_when_nothing_gets_better(folder: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=0.0, epochs=6, patience=2)
    _, record = trained(folder, tmp_path / "run", settings)
    assert len(record["validation"]) == 3


def test_checkpoints_of_another_run_are_refused(folder: Path, tmp_path: Path) -> None:
    trained(folder, tmp_path / "run", replace(SETTINGS, epochs=1))
    with pytest.raises(SettingsError, match="checkpoints of a run with other settings"):
        trained(folder, tmp_path / "run", replace(SETTINGS, epochs=2))


def test_nothing_is_learned_of_the_prompt(folder: Path) -> None:
    format = ChatFormat(str(folder))
    prompt = format.chat("Be kind.", SENTENCES[0])
    row = encode(Lesson(prompt, SENTENCES[1], "custom"), format)
    assert row is not None
    reply = [label for label in row["labels"] if label != IGNORED]
    assert reply[-1] == format.tokenizer.eos_token_id
    assert reply[:-1] == format.tokenizer(SENTENCES[1], add_special_tokens=False).input_ids
    if not format.is_encoder_decoder:
        assert row["input_ids"][: -len(reply)] == format.encode(prompt)


def test_a_lesson_that_is_too_long_is_left_out(folder: Path) -> None:
    assert encode(Lesson("why " * 2000, "so", "custom"), ChatFormat(str(folder))) is None


def test_rows_are_padded_on_the_right() -> None:
    rows = [{"input_ids": [5, 6, 7], "labels": [IGNORED, 6, 7]}, {"input_ids": [8], "labels": [8]}]
    batch = collate(0)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [8, IGNORED, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
