"""Two processes with a row each learn what one process with two rows does: training under a launcher is unchanged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from fixtures.options import ROOT
from fixtures.tiny_models import make_model

SCRIPT = """
import sys
from pathlib import Path
import torch
from system.chat_format import ChatFormat
from system.training.lora import LoraSettings, lora_model
from system.training.sft import SftSettings, train_sft
from system.training.lessons import Recipe
from tests_unit.test_sft import Sayings

class Even(Sayings):
    def epoch(self, number):
        return super().epoch(number)[:6]  # no process is left with a row too few

folder, out, batch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
settings = SftSettings(lora=LoraSettings(rank=4), learning_rate=0.01, epochs=1, batch=batch, accumulation=1)
model = lora_model(folder, settings.lora)
format = ChatFormat(folder)
record = train_sft(model, format, Even(format, Recipe(public={}), {}, {}, [], [], {}, {}, {}), settings, out)
weights = [w.detach().float() for name, w in model.named_parameters() if "lora_B" in name]
torch.save((weights, record["steps"]), out.with_suffix(f".{torch.distributed.get_rank() if batch == 1 else 0}"))
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    make_model("llama", tmp_path / "tiny")
    script = tmp_path / "train.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{SCRIPT}")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for start, out, batch in (([sys.executable], "one", "2"), (launch, "two", "1")):
        command = [*start, str(script), str(tmp_path / "tiny"), str(tmp_path / out), batch]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, steps = torch.load(tmp_path / "one.0")
    first, steps_of_two = torch.load(tmp_path / "two.0")
    second, _ = torch.load(tmp_path / "two.1")
    assert steps == steps_of_two
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    distance = torch.cat([(a - b).flatten() for a, b in zip(one, first, strict=True)]).norm()
    assert distance < 0.1 * torch.cat([a.flatten() for a in one]).norm()
