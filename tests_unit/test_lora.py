"""The model in training computes what transformers computes, in each architecture, at less cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from fixtures.tiny_models import NAMES, SENTENCES, make_model
from system.chat_format import ChatFormat
from system.errors import ModelError, SettingsError
from system.generation import compute_dtype
from system.models import ModelSource
from system.training.lessons import Lesson
from system.training.lora import IGNORED, LoraSettings, hub_name, lora_model
from system.training.sft import collate, encode

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")
CAUSAL = [name for name in NAMES if name != "t5"]


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("tiny") / request.param
    make_model(request.param, folder)
    return request.param, folder


def batch(folder: Path) -> dict[str, torch.Tensor]:
    format = ChatFormat(str(folder))
    lessons = [Lesson(format.chat("Be kind.", text), text[::-1], "custom") for text in SENTENCES]
    return collate(0)([row for lesson in lessons if (row := encode(lesson, format))])


def in_float32(model: Any) -> Any:
    return model.to(torch.float32)


def test_loss_and_gradients_are_those_of_transformers(named: tuple[str, Path]) -> None:
    name, folder = named
    if name not in CAUSAL:
        pytest.skip("encoder-decoders are trained with the loss of transformers itself")
    model = in_float32(lora_model(str(folder), LoraSettings(rank=4)))
    with torch.no_grad():  # fresh adapters add nothing; these do
        for weights in model.parameters():
            if weights.requires_grad:
                weights.normal_(std=0.05)
    rows = batch(folder)
    output = model(**rows)
    (output["loss"] / output["tokens"]).backward()
    own = {n: w.grad.clone() for n, w in model.named_parameters() if w.requires_grad}

    adapted = in_float32(lora_model(str(folder), LoraSettings(rank=4)))
    inner = adapted.base_model.model
    inner.forward = type(inner).forward.__get__(inner)
    inner.set_attn_implementation("eager")
    adapted.load_state_dict(model.state_dict())
    expected = adapted(**rows).loss
    expected.backward()
    assert int(output["tokens"]) == int((rows["labels"] != IGNORED).sum())
    torch.testing.assert_close(output["loss"] / output["tokens"], expected)
    for n, w in adapted.named_parameters():
        if w.requires_grad:
            torch.testing.assert_close(own[n], w.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("targets", ["query-value", "all-linear"])
def test_only_the_adapter_learns(named: tuple[str, Path], targets: Any) -> None:
    _, folder = named
    model = lora_model(str(folder), LoraSettings(rank=2, targets=targets))
    learning = [name for name, weights in model.named_parameters() if weights.requires_grad]
    assert learning and all("lora_" in name for name in learning)
    assert all(weights.dtype == torch.float32 for weights in model.parameters() if weights.requires_grad)
    wide = lora_model(str(folder), LoraSettings(rank=2, targets="all-linear"))
    assert len(learning) <= len([1 for _, weights in wide.named_parameters() if weights.requires_grad])


def test_a_fresh_adapter_changes_nothing(named: tuple[str, Path]) -> None:
    name, folder = named
    if name not in CAUSAL:
        pytest.skip("its forward pass is not ours")
    model = in_float32(lora_model(str(folder), LoraSettings(rank=4)))
    rows = batch(folder)
    plain = in_float32(AutoModelForCausalLM.from_pretrained(folder, dtype=compute_dtype()))
    output = model.eval()(**rows)
    torch.testing.assert_close(output["loss"] / output["tokens"], plain(**rows).loss)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("phi-2", "microsoft/phi-2"),
        ("someone/model", "someone/model"),
    ],
)
def test_an_adapter_names_its_base_as_others_find_it(name: str, public: str) -> None:
    assert hub_name(ModelSource(name, "/somewhere", "0")) == public


def test_a_server_cannot_be_trained() -> None:
    with pytest.raises(SettingsError, match="is a server"):
        lora_model("openai:m@http://127.0.0.1:1", LoraSettings())


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="cannot be loaded"):
        lora_model(str(tmp_path), LoraSettings())
