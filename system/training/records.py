"""What is written beside every artifact that training makes: the command, the commit, the data and the libraries."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from system.models import file_sha256, without_login
from system.training.sources import source_hashes

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "transformers", "peft", "trl")


def made(own: Iterable[Path], data_dir: Path | None) -> dict[str, Any]:
    """The command, the commit and the first 16 hex digits of the data's hashes, to make it again.

    ``changed`` lists tracked files that differed from the commit: an artifact that people rely on has none.
    """
    hashes = {path.name: file_sha256(path)[:16] for path in own}
    return {
        "command": typed(sys.argv[1:]),
        "commit": _git("rev-parse", "HEAD"),
        "changed": _git("diff", "HEAD", "--name-only", "--", "system", "train.py", "data").split(),
        "data": {**hashes, **source_hashes(data_dir)},
    }


def libraries() -> dict[str, str]:
    """The versions of the libraries that shape the weights."""
    return {name: version(name) for name in LIBRARIES}


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if not git:
        return ""
    return subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def typed(arguments: Sequence[str]) -> str:
    """What was typed, as it may be told: without a judge's password and without the folders of a machine.

    The hashes say which data it was.
    """
    told = [without_login(argument) for argument in arguments if not argument.startswith("/")]
    return f"python train.py {' '.join(told)}".strip()
