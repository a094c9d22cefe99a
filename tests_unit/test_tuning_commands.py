"""``train.py`` on bad input: one clear line, exit 2, nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import train
from fixtures.tiny_models import SENTENCES, make_model
from system.chat_format import ChatFormat
from system.errors import SettingsError
from system.generation import load_generator
from system.training import tuning_commands
from system.training.lessons import Curriculum, Lesson, Recipe
from system.training.records import made, typed

pytestmark = pytest.mark.usefixtures("own_cache")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    status = train.main(arguments)
    return status, capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("sft", "--data-dir", "nowhere"), "--data-dir nowhere: is not a folder", id="no data"),
        pytest.param(("sft", "--base-model", "nonesuch"), "base model 'nonesuch' is neither known", id="no model"),
        pytest.param(("sft", "--base-model", "openai:m@http://h/v1"), "is a server", id="server"),
        pytest.param(("data", "--data-dir", "nowhere"), "--data-dir nowhere: is not a folder", id="card without data"),
        pytest.param(("judge", "--start", "nowhere"), "--start nowhere: is not a folder", id="no judge to start from"),
        pytest.param(("dpo", "--start", "nowhere"), "--start nowhere: holds no adapter_config.json", id="no start"),
        pytest.param(("examine", "--adapter", "nowhere"), "--adapter nowhere: is not a folder", id="no adapter"),
        pytest.param(("examine", "--adapter", "docs"), "docs: has no training.json", id="another folder"),
    ],
)
def test_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: Sequence[str], message: str
) -> None:
    out = () if arguments[0] in ("data", "examine") else ("--out", str(tmp_path / "new"))
    status, lines = run(capsys, *arguments, *out)
    assert status == 2 and len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sft --rank 0", "--rank: 0 is not above 0"),
        ("sft --epochs -1", "--epochs: -1 is not above 0"),
        ("sft --epochs 1.5", "--epochs: invalid whole number value: '1.5'"),
        ("sft --learning-rate nan", "--learning-rate: nan is not above 0"),
        ("sft --learning-rate inf", "--learning-rate: inf is not above 0"),
        ("sft --dropout 1", "--dropout: 1 is not from 0 to below 1"),
        ("sft --patience -1", "--patience: -1 is below 0"),
        ("data --alpaca -3", "--alpaca: -3 is below 0"),
        ("dpo --beta 0", "--beta: 0 is not above 0"),
        ("search bayes --trials 0", "--trials: 0 is not above 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is read: the option, the value and what is wrong with it."""
    with pytest.raises(SystemExit, match="2"):
        train.main(arguments.split())
    assert message in capsys.readouterr().err


def test_an_adapter_is_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("precious")
    status, lines = run(capsys, "sft", "--out", str(tmp_path))
    assert status == 2 and "--replace" in lines[0]
    assert (tmp_path / "weights").read_text() == "precious"


def test_too_little_room_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning_commands, "FREE_BYTES", 1 << 60)
    status, lines = run(capsys, "sft", "--out", str(tmp_path / "new"))
    assert status == 2 and "make room" in lines[0]


def test_bad_rows_are_listed_with_file_and_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "alpaca.jsonl").write_text("not json\n")
    make_model("llama", tmp_path / "tiny")
    status, lines = run(capsys, "data", "--data-dir", str(tmp_path), "--base-model", str(tmp_path / "tiny"))
    assert status == 2 and any("alpaca.jsonl:1: is not JSON" in line for line in lines)


def test_a_missing_tracker_is_told_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, lines = run(capsys, "sft", "--out", str(tmp_path / "new"), "--report-to", "wandb")
    assert (status, lines) == (2, ["error: --report-to wandb: is not installed; pip install wandb"])


def test_each_search_has_a_study_of_its_own(tmp_path: Path) -> None:
    places = {tuning_commands.study_file(tmp_path / name) for name in ("a", "b", "c/a", "./a")}
    assert len(places) == 3 and {place.parent for place in places} == {Path("runs/tuning")}


class Sayings(Curriculum):
    """A curriculum of a few sentences."""

    def epoch(self, number: int) -> list[Lesson]:
        """See Curriculum."""
        return [Lesson(self.format.chat("Be kind.", text), text, "custom") for text in SENTENCES]

    def validation(self, public: int = 40) -> list[Lesson]:
        """See Curriculum."""
        return self.epoch(1)


def test_a_run_leaves_an_adapter_with_its_record_and_its_curve(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "curve"))
    base = tmp_path / "tiny"
    make_model("llama", base)
    sayings = Sayings(ChatFormat(str(base)), Recipe(public={}), {}, {}, [], [], {}, {}, {})
    monkeypatch.setattr(tuning_commands, "_curriculum", lambda options: sayings)
    options = ("--base-model", str(base), "--rank", "4", "--epochs", "2", "--report-to", "tensorboard")
    assert run(capsys, "sft", "--out", "new", *options)[0] == 0
    record = json.loads((tmp_path / "new" / "training.json").read_text())
    assert record["settings"]["epochs"] == 2 and len(record["validation"]) == 2
    assert record["tokens_per_second"] > 0 and 0 < record["share_of_matrix_peak"] < 1
    assert record["made"]["command"].startswith("python train.py") and record["libraries"]["peft"]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    }
    assert any(path.stat().st_size for path in (tmp_path / "curve").glob("events.out.tfevents.*"))
    assert not (tmp_path / "runs" / "training" / "new").exists()
    generator = load_generator(str(base), str(tmp_path / "new"))
    assert generator.adapter_hash


def test_a_record_tells_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    monkeypatch.setattr("sys.argv", ["train.py", "sft", "--data-dir", str(tmp_path)])
    record = made([tmp_path / "rows.jsonl"], None)
    assert str(tmp_path) not in str(record)
    assert record["data"]["rows.jsonl"] == "ca3d163bab055381"
    assert typed(["sft", "--epochs", "2"]) == "python train.py sft --epochs 2"


def test_the_room_is_looked_for_where_the_folder_will_be(tmp_path: Path) -> None:
    tuning_commands._may_write(tmp_path / "a" / "b" / "c", replace=False)
    with pytest.raises(SettingsError, match="is there already"):
        tuning_commands._may_write(tmp_path, replace=False)
