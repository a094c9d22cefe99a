"""Training: ``python train.py judge``. Data from --data-dir, SUPPORT_DATA_DIR or the Hugging Face Hub; see --help.

Parses and dispatches; the work is in ``system.training``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from system.errors import SupportError


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = argparse.ArgumentParser(prog="python train.py", description="Train the small models of this project.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    judge = commands.add_parser("judge", help="train, scale and examine the local judge")
    judge.add_argument("--out", type=Path, default=Path("adapters/judge"), metavar="DIR")
    judge.add_argument("--epochs", type=int, default=3)
    judge.add_argument("--learning-rate", type=float, default=7e-4, help="at its height (default: %(default)s)")
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
    for command in (judge,):
        command.add_argument(
            "--data-dir",
            type=Path,
            default=_data_folder(),
            metavar="DIR",
            help="folder of public data sets (default: SUPPORT_DATA_DIR, ../shared/data, else the Hub)",
        )
    return main


def _data_folder() -> Path | None:
    named, beside = os.environ.get("SUPPORT_DATA_DIR"), Path("../shared/data")
    return Path(named) if named else beside if beside.is_dir() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 2 bad usage or input."""
    options = parser().parse_args(arguments)
    from system.training import commands

    try:
        return int(getattr(commands, options.command)(options))
    except SupportError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
