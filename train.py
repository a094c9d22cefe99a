"""Training: ``python train.py judge|data|sft|dpo|search|examine``, see --help.

Data comes from --data-dir, SUPPORT_DATA_DIR or the Hub by name.

Parses and dispatches; the work is in ``system.training``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from system.errors import SupportError


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = argparse.ArgumentParser(prog="python train.py", description="Train the small models of this project.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    judge = commands.add_parser("judge", help="train, scale and examine the local judge")
    judge.add_argument("--out", type=Path, default=Path("adapters/judge"), metavar="DIR")
    judge.add_argument("--epochs", type=WHOLE, default=3)
    judge.add_argument("--learning-rate", type=REAL, default=7e-4, help="at its height (default: %(default)s)")
    judge.add_argument("--start", type=Path, metavar="DIR", help="a trained judge to go on from (warm restart)")
    judge.add_argument(
        "--average", action="store_true", help="keep the mean of the weights of --start and the new ones"
    )
    judge.add_argument("--seed", type=int, default=0)
    judge.add_argument(
        "--only",
        choices=("train", "scale", "passport"),
        help="one step; without it all three, each from what the one before has left",
    )
    judge.add_argument("--network", choices=("grades", "preferences"), help="train only this one of the two")
    judge.add_argument("--judge", default="local", metavar="J", help="whose passport: local or openai:MODEL@URL")
    data = commands.add_parser("data", help="print what the assistant is trained on, and what was left out")
    sft = commands.add_parser("sft", help="train the assistant's adapter on replies")
    dpo = commands.add_parser("dpo", help="go on from a trained adapter: prefer good replies to bad ones")
    dpo.add_argument("--start", type=Path, default=Path("adapters/support-lora"), metavar="DIR")
    dpo.add_argument("--beta", type=REAL, default=0.1, help="how dear it is to leave --start (default: %(default)s)")
    search = commands.add_parser("search", help="look for the settings of sft: a grid, then Bayesian proposals")
    search.add_argument("stage", choices=("grid", "bayes", "choose"))
    search.add_argument(
        "--trials", type=WHOLE, default=12, help="of the Bayesian study, all told (default: %(default)s)"
    )
    search.add_argument("--out", type=Path, default=Path("reports/tuning"), metavar="DIR")
    examine = commands.add_parser("examine", help="measure an adapter beside its base model: its passport")
    examine.add_argument("--adapter", type=Path, default=Path("adapters/support-lora"), metavar="DIR")
    examine.add_argument("--base-model", default="smollm2-135m", metavar="M", help="default: %(default)s")
    for command in (data, sft, dpo):
        _add_data_options(command)
    _add_output_options(sft)
    _add_output_options(dpo)
    _add_training_options(sft)
    for name, default, kind in (("learning-rate", 5e-5, REAL), ("epochs", 1, WHOLE)):
        dpo.add_argument(f"--{name}", type=kind, default=default, help="default: %(default)s")
    for command in (judge, data, sft, dpo, search, examine):
        command.add_argument(
            "--data-dir",
            type=Path,
            default=_data_folder(),
            metavar="DIR",
            help="folder of public data sets (default: SUPPORT_DATA_DIR, ../shared/data, else the Hub)",
        )
    return main


def _add_data_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--base-model", default="smollm2-135m", metavar="M", help="default: %(default)s")
    command.add_argument(
        "--alpaca", type=_count, default=700, metavar="N", help="its rows an epoch (default: %(default)s)"
    )
    command.add_argument("--hh-harmless", type=_count, default=40, metavar="N", help="default: %(default)s")
    command.add_argument("--hh-helpful", type=_count, default=0, metavar="N", help="default: %(default)s")
    command.add_argument("--bitext", type=_count, default=60, metavar="N", help="default: %(default)s")
    command.add_argument("--examples", type=_count, default=0, metavar="N", help="custom rows an epoch; 0 is all")
    command.add_argument("--without-grounded", action="store_true", help="leave out replies that rest on passages")
    command.add_argument("--seed", type=int, default=0)


def _add_output_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, default=Path("adapters/support-lora"), metavar="DIR")
    command.add_argument("--replace", action="store_true", help="let the new adapter take the place of --out")
    command.add_argument("--report-to", choices=("none", "tensorboard", "wandb"), default="none")


def _add_training_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--rank", type=WHOLE, default=16)
    command.add_argument("--dropout", type=_share, default=0.0)
    command.add_argument("--targets", choices=("query-value", "all-linear"), default="all-linear")
    command.add_argument("--learning-rate", type=REAL, default=5e-4, help="at its height (default: %(default)s)")
    command.add_argument("--epochs", type=WHOLE, default=3)
    command.add_argument("--batch-size", type=WHOLE, default=8, help="rows of a forward pass (default: %(default)s)")
    command.add_argument("--accumulation", type=WHOLE, default=2, help="passes of a step (default: %(default)s)")
    command.add_argument("--warm-up", type=_share, default=0.06, help="share of the steps (default: %(default)s)")
    command.add_argument("--schedule", choices=("linear", "cosine", "constant"), default="cosine")
    command.add_argument(
        "--patience", type=_count, default=2, help="epochs without progress before the end; 0: never stop"
    )


def _above_zero(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A type of argparse: a finite number above 0, whole where ``kind`` is int."""

    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    number.__name__ = "whole number" if kind is int else "number"  # argparse names the type where text is none
    return number


def _count(text: str) -> int:
    """A type of argparse: a whole number from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _share(text: str) -> float:
    """A type of argparse: from 0 up to, but not including, 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return value


_count.__name__, _share.__name__ = "whole number", "number"
WHOLE, REAL = _above_zero(int), _above_zero(float)


def _data_folder() -> Path | None:
    named, beside = os.environ.get("SUPPORT_DATA_DIR"), Path("../shared/data")
    return Path(named) if named else beside if beside.is_dir() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 bad usage or input."""
    options = parser().parse_args(arguments)
    name = "commands" if options.command == "judge" else "tuning_commands"
    module = importlib.import_module(f"system.training.{name}")

    try:
        return int(getattr(module, options.command)(options))
    except SupportError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
