"""The Promptfoo tool: installed at a pinned version under .promptfoo, and run so that it sends nothing.

    install()                          npm, from the registry that it is configured for
    evaluate(["--output", "x.json"])   its exit status: 0 all cases pass, 100 some fail

Where the system's Node is too old, a pinned one from the same registry is used. Where the kernel allows it, Promptfoo
runs in a network namespace of its own, in which there is nobody to talk to.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from system.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".promptfoo"
PROMPTFOO = "0.121.20"  # the last line of versions that runs on Node 20
LIBSQL = "0.5.29"  # Promptfoo's store; its binary is an optional package, and all other optional ones are left out
NODE = "22.23.3"  # where the system's is too old
CASES_FAIL = 100  # Promptfoo's exit status
QUIET = dict.fromkeys(
    (
        "PROMPTFOO_DISABLE_TELEMETRY",
        "PROMPTFOO_DISABLE_UPDATE",
        "PROMPTFOO_DISABLE_SHARING",
        "PROMPTFOO_DISABLE_REMOTE_GENERATION",
        "NODE_NO_WARNINGS",
    ),
    "1",
)


def install(folder: Path = FOLDER) -> None:
    """Install Promptfoo, if this version is not there. Raises SettingsError where npm is missing or fails."""
    if _installed(folder) == PROMPTFOO:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SettingsError("npm is not installed; Promptfoo comes from its registry: install Node 20.20 or newer")
    packages = [f"promptfoo@{PROMPTFOO}", f"@libsql/{_libsql_platform()}@{LIBSQL}"]
    if not new_enough(_node_version()):
        packages.append(f"node@{NODE}")
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    quiet = ("--no-audit", "--no-fund", "--omit=optional", "--loglevel=error")
    command = [npm, "install", "--prefix", str(folder), *quiet, *packages]
    if (status := subprocess.run(command, check=False).returncode) != 0:  # noqa: S603
        raise SettingsError(f"npm could not install Promptfoo (exit status {status}); its own lines above say why")


def _installed(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "node_modules" / "promptfoo" / "package.json").read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


def _node_version() -> str:
    node = shutil.which("node")
    return subprocess.run([node, "--version"], capture_output=True, text=True).stdout if node else ""  # noqa: S603


def new_enough(version: str) -> bool:
    """Whether Promptfoo runs on this Node, "v20.20.2": 20.20 and what follows in 20, or 22.22 and newer."""
    numbers = re.match(r"v(\d+)\.(\d+)", version)
    if numbers is None:
        return False
    major, minor = map(int, numbers.groups())
    return (major, minor) >= (22, 22) or (major == 20 and minor >= 20)


def _libsql_platform() -> str:
    system = {"Linux": "linux", "Darwin": "darwin", "Windows": "win32"}.get(platform.system(), "linux")
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x64"
    return {"linux": f"linux-{machine}-gnu", "darwin": f"darwin-{machine}", "win32": "win32-x64-msvc"}[system]


def evaluate(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path = FOLDER,
    home: Path = ROOT / "runs" / "promptfoo" / "home",
    offline: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run ``promptfoo eval`` on this project's configuration; its output is in the result.

    Raises SettingsError where it is not installed.
    """
    entry = folder / "node_modules" / "promptfoo" / "dist" / "src" / "entrypoint.js"
    if not entry.exists():
        raise SettingsError("Promptfoo is not installed; run: python -m system promptfoo install")
    own = folder / "node_modules" / "node" / "bin" / "node"
    node = str(own) if own.exists() else str(shutil.which("node"))
    alone = ["unshare", "--user", "--map-root-user", "--net"] if offline and can_be_alone() else []
    command = [*alone, node, str(entry), "eval", "--no-cache", "--no-table", "--no-progress-bar", *arguments]
    settings = {**os.environ, **QUIET, "PROMPTFOO_CONFIG_DIR": str(home), "PROMPTFOO_PYTHON": sys.executable}
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, env={**settings, **environment}, capture_output=True, text=True, check=False
    )


def can_be_alone() -> bool:
    """Whether a process may have a network of its own here."""
    tool = shutil.which("unshare")
    command = [str(tool), "--user", "--map-root-user", "--net", "true"]
    return tool is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def screenshot(page: Path, picture: Path) -> bool:
    """Take a picture of an HTML page with Chromium; False where there is none."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        return False
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1800,1300")
    command = [browser, *options, f"--screenshot={picture.resolve()}", page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
