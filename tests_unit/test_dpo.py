"""Preference tuning on a tiny model: it comes to prefer the good replies, and leaves a record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fixtures.tiny_models import SENTENCES, make_model
from system.chat_format import ChatFormat
from system.training.dpo import DpoSettings, adapter_to_train, train_dpo
from system.training.lessons import Lesson
from system.training.lora import LoraSettings, lora_model

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "llama"
    make_model("llama", folder)
    return folder


def start(folder: Path, place: Path) -> Path:
    lora_model(str(folder), LoraSettings(rank=4)).save_pretrained(place)
    return place


def pairs(format: ChatFormat) -> list[Lesson]:
    """The good reply repeats the message, the bad one is the next message: of very different lengths."""
    others = [*SENTENCES[1:], SENTENCES[0]]
    rows = [
        Lesson(format.chat("Be kind.", text), text, "pair", bad) for text, bad in zip(SENTENCES, others, strict=True)
    ]
    return rows * 3


def test_it_comes_to_prefer_the_good_replies(folder: Path, tmp_path: Path) -> None:
    format = ChatFormat(str(folder))
    model = adapter_to_train(str(folder), start(folder, tmp_path / "start"))
    settings = DpoSettings(learning_rate=0.02, epochs=4, batch=3, accumulation=1)
    record = train_dpo(model, format, pairs(format), pairs(format)[:3], settings, tmp_path / "run")
    evaluated = [entry["eval_rewards/accuracies"] for entry in record["history"] if "eval_rewards/accuracies" in entry]
    assert len(evaluated) == 4 and evaluated[-1] == 1.0
    losses = [entry["eval_loss"] for entry in record["history"] if "eval_loss" in entry]
    assert losses[-1] < 0.3  # 0.69 is no preference at all
    assert record["pairs"] == 9 and record["held_out"] == 3 and record["settings"]["beta"] == 0.1


def test_padding_does_not_change_a_preference(folder: Path, tmp_path: Path) -> None:
    """Grouped attention reads no mask, so that rows must be padded on the right, where nothing before them looks."""
    format = ChatFormat(str(folder))
    model = adapter_to_train(str(folder), start(folder, tmp_path / "start")).eval()
    ids = format.encode(format.chat("Be kind.", SENTENCES[0]))
    pad = format.tokenizer.pad_token_id
    with torch.inference_mode():
        alone = model(input_ids=torch.tensor([ids])).logits
        padded = model(
            input_ids=torch.tensor([[*ids, pad, pad]]), attention_mask=torch.tensor([[1] * len(ids) + [0, 0]])
        ).logits
    assert torch.allclose(alone[0], padded[0, : len(ids)], atol=0.05)
