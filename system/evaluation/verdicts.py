"""Verdicts of a run as a file, as Markdown, and against those of an earlier run.

    write_verdicts(path, verdicts, made_from(official, judge_signature))
    changes(read_verdicts(baseline), read_verdicts(now)) -> Markdown for a pull request

Two runs are compared only if they were made from the same complaints and articles by the same rulers: a change of the
ruler is no change of the product. Knows records; must not know how a verdict was reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from system.cache import key_of
from system.errors import InputError
from system.evaluation.table import by_variant, markdown, plain_cell
from system.models import file_sha256
from system.records import Verdict
from system.rows import write_whole

ROOT = Path(__file__).resolve().parents[2]
RULERS = "claims manners sentences tone evaluation/coverage evaluation/rules evaluation/scores evaluation/statistics"
RULERS += " evaluation/gates evaluation/paired evaluation/semantic evaluation/perplexity evaluation/overlap"
BETTER, WORSE = "▲ better", "▼ worse"


class VerdictFile(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts of one run, and what they were made from by name."""

    made_from: dict[str, str]
    verdicts: list[Verdict]


def made_from(official: str, judge: str) -> dict[str, str]:
    """What a verdict depends on besides the product: complaints, articles and rulers."""
    return {
        "complaints": file_sha256(ROOT / "data" / "complaints.jsonl"),
        "articles": key_of(official),
        "judge": judge,
        "rulers": key_of(*(file_sha256(ROOT / "system" / f"{name}.py") for name in RULERS.split())),
    }


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """The names of what two runs were not both made from."""
    return sorted(name for name in one | other if one.get(name) != other.get(name))


def write_verdicts(path: Path, verdicts: Sequence[Verdict], origin: dict[str, str]) -> None:
    """Write the verdicts without their worst cases, which hold customers' words."""
    bare = [replace(verdict, worst=()) for verdict in verdicts]
    content = msgspec.json.encode(VerdictFile(made_from=origin, verdicts=bare))
    write_whole(path, msgspec.json.format(content, indent=1) + b"\n")


def read_verdicts(path: Path) -> VerdictFile:
    """Raises InputError where the file is none that ``write_verdicts`` wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=VerdictFile)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; make it with pytest tests_quality --verdicts") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: is no file of verdicts: {error}") from error


def summary(verdicts: Iterable[Verdict]) -> str:
    """A Markdown table of all verdicts, requirements by variants, claims below."""
    verdicts = list(verdicts)
    claims = [v for v in verdicts if v.is_claim]
    lines = markdown(*by_variant([v for v in verdicts if not v.is_claim]))
    if claims:
        rows = [[f"{v.requirement}: {v.variant}", plain_cell(v)] for v in claims]
        lines += ["", *markdown(["claim", "difference"], rows)]
    return "\n".join([*lines, "", "`!` missed, `?` undecided; value (95 % interval)"]) + "\n"


def changes(before: VerdictFile, now: VerdictFile) -> str:
    """What changed, worst first. Raises InputError where data or rulers differ, naming them."""
    if differ := differing(before.made_from, now.made_from):
        raise InputError(
            f"the baseline was made with other {' and '.join(differ)}, so nothing can be said of the product; "
            "make a new one: pytest tests_quality --verdicts reports/baseline.json"
        )
    earlier = {(v.requirement, v.variant): v for v in before.verdicts}
    later = {(v.requirement, v.variant): v for v in now.verdicts}
    rows = []
    for key in (key for key in later if key in earlier):
        was, is_now = earlier[key], later[key]
        if (mark := _moved(was, is_now)) or was.status != is_now.status:
            rows.append(
                [mark, key[0], key[1], f"{was.status} {plain_cell(was)}", f"{is_now.status} {plain_cell(is_now)}"]
            )
    rows.sort(key=lambda row: [WORSE, "", BETTER].index(row[0]))
    head = f"{len(later.keys() & earlier.keys())} verdicts compared, {len(rows)} changed"
    missing = [" of ".join(key) for key in earlier if key not in later]
    parts = [f"### Quality against the baseline\n\n{head}.\n"]
    if rows:
        parts.append("\n".join(markdown(["", "requirement", "variant", "baseline", "now"], rows)) + "\n")
    if missing:
        parts.append(f"Not judged now: {', '.join(missing)}.\n")
    return "\n".join(parts)


def _moved(was: Verdict, now: Verdict) -> str:
    """Whether a verdict changed beyond its noise: the intervals do not meet, or a count of violations differs."""
    if was.value is None or now.value is None:
        return WORSE if now.value is None and was.value is not None else ""
    if None in (was.low, was.high, now.low, now.high):
        more = now.value - was.value
        return "" if more == 0 else WORSE if more > 0 else BETTER
    if now.low is not None and was.high is not None and now.low > was.high:
        return BETTER
    if now.high is not None and was.low is not None and now.high < was.low:
        return WORSE
    return WORSE if was.status == "PASS" and now.status != "PASS" else ""
