"""The licences of everything that is installed with the project: ``python -m system.licences > docs/LICENCES.md``.

What a package says of itself, taken from its metadata. Must not know what a package is used for.
"""

from __future__ import annotations

import re
import sys
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import cast

from packaging.requirements import Requirement

EXTRAS = ("train", "report", "serve", "llamacpp", "scale")
# Licences that ask for no more than to be named or to be passed on with changes to their own files.
PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|0BSD|CC0|BSL|MPL|Mozilla|CNRI|OLDAP|Unlicense|LGPL", re.I
)


def packages(name: str = "support-assistant", extras: tuple[str, ...] = EXTRAS) -> dict[str, Distribution]:
    """The installed packages that a package needs, by name, itself not included."""
    found: dict[str, Distribution] = {}
    waiting = [(name, extras)]
    while waiting:
        wanted, asked = waiting.pop()
        try:
            package = distribution(wanted)
        except PackageNotFoundError:  # of an extra that is not installed, or of another system
            continue
        key = re.sub(r"[-_.]+", "-", str(package.metadata["Name"]).lower())
        if key in found:
            continue
        found[key] = package
        for text in package.requires or ():
            needed = Requirement(text)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *asked)):
                waiting.append((needed.name, tuple(needed.extras)))
    found.pop(name, None)
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """A package's licence in its own words; empty where it says none."""
    told = cast(Message, package.metadata)  # which it is; its declared type lacks get
    classified = [c.split("::")[-1].strip() for c in told.get_all("Classifier") or () if c.startswith("License ::")]
    said = told.get("License-Expression") or "; ".join(classified) or (told.get("License") or "").strip()
    return str(said).splitlines()[0][:120] if said else ""


def main() -> int:
    """Print the table; 1 if a licence is missing or is not known to be permissive."""
    rows = {name: licence(package) for name, package in packages().items()}
    print("# Licences\n\nOf all packages that are installed with the project and its extras, as they state them.")
    print("Made by `python -m system.licences`.\n\n| package | licence |\n| --- | --- |")
    for name, text in rows.items():
        print(f"| {name} | {text} |")
    doubtful = {name: text for name, text in rows.items() if not PERMISSIVE.search(text)}
    for name, text in doubtful.items():
        print(f"{name}: {text or 'states no licence'}; look it up", file=sys.stderr)
    return 1 if doubtful else 0


if __name__ == "__main__":
    sys.exit(main())
