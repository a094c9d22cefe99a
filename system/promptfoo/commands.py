"""The steps of ``python -m system promptfoo``, one function each; ``make promptfoo`` runs the first four.

install    the pinned tool, under .promptfoo
answer     all columns of promptfooconfig.yaml in batches, into runs/promptfoo/run.jsonl
evaluate   Promptfoo over these answers: runs/promptfoo/results.json and .html
report     reports/promptfoo.md, .json and .png: the columns' scores with intervals, and a picture of the page
study      reports/prompt_study.md: templates, and what an example or thinking in steps adds to each
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from system.complaints import read_complaints
from system.errors import InputError, SettingsError
from system.evaluation.judge import AXES, LOCAL, load_judge
from system.promptfoo import tool
from system.promptfoo_provider import COMPLAINTS, ROOT, asked_cases, chosen, variant_of
from system.records import Complaint, Response
from system.rows import write_whole
from system.runlog import by_variant, read_run
from system.variants import Variant

if TYPE_CHECKING:
    from system.evaluation.measuring import Rulers

CONFIG = ROOT / "promptfooconfig.yaml"
PAGE = ROOT / "reports" / "promptfoo.md"
RUN = ROOT / "runs" / "promptfoo" / "run.jsonl"
STUDY = RUN.with_name("study.jsonl")
STUDY_PAGE = ROOT / "reports" / "prompt_study.md"
RESULTS = RUN.with_name("results.json")


class Column(NamedTuple):
    """A column of Promptfoo's table: a prompt's label and a provider's."""

    template: str
    provider: str
    variant: Variant


def columns(path: Path = CONFIG) -> list[Column]:
    """Every prompt with every provider that takes it. Raises SettingsError for a file that is none of Promptfoo's."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return list(_columns(config))
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path}: is no configuration of Promptfoo with prompts and providers: {error}") from error


def _columns(config: dict[str, Any]) -> Iterator[Column]:
    for provider in config["providers"]:
        for prompt in config["prompts"]:
            if prompt["label"] in provider.get("prompts", [prompt["label"]]):
                asked = {"variant": provider["config"]["variant"], "template": prompt["label"]}
                yield Column(prompt["label"], provider["label"], variant_of(asked))


def promptfoo(options: argparse.Namespace) -> int:
    """Take one of the steps."""
    steps = {"install": install, "answer": answer, "evaluate": evaluate, "report": report, "study": study}
    return steps[options.what](options)


def install(options: argparse.Namespace) -> int:
    """Install the pinned tool."""
    tool.install()
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Run Promptfoo over the answers; failing cases are what it is to show, errors are not."""
    page = RESULTS.with_suffix(".html")
    judged_here = options.judge == LOCAL  # a judge on a server needs the network
    load_judge(options.judge)  # a name that is none is found before anything is started
    log, count = Path(os.environ.get("PROMPTFOO_REPLAY") or RUN), options.cases or asked_cases()
    _must_hold(log, chosen(read_complaints(COMPLAINTS, "test"), count))
    environment = {"PROMPTFOO_REPLAY": str(log.resolve()), "SUPPORT_JUDGE": options.judge}
    environment["PROMPTFOO_CASES"] = str(count or "")
    done = tool.evaluate(["--output", str(RESULTS), str(page)], environment, offline=judged_here)
    print(done.stdout)
    if done.returncode not in (0, tool.CASES_FAIL):
        print(done.stderr, file=sys.stderr)
        return 1
    return 0


def _must_hold(log: Path, complaints: Sequence[Complaint]) -> None:
    """Raises InputError where a run log lacks an answer that a column would show."""
    held = {(response.variant, response.id) for response in read_run(log)}
    wanted = [(column.variant.name, complaint.id) for column in columns() for complaint in complaints]
    if missing := [(variant, case) for variant, case in wanted if (variant, case) not in held]:
        first = " to ".join(missing[0])
        raise InputError(
            f"{log}: lacks {len(missing)} of {len(wanted)} answers, {first} is the first; "
            f"answer them: python -m system promptfoo answer --cases {len(complaints)}"
        )


def report(options: argparse.Namespace) -> int:
    """Write the page of a results file, and print it."""
    from system.promptfoo.results import figures, page, read_results

    out, results = options.out or PAGE, read_results(RESULTS)
    text = f"# Promptfoo\n\nMade by `make promptfoo`.\n\n{page(results)}"
    write_whole(out, text.encode())
    write_whole(out.with_suffix(".json"), json.dumps(figures(results), indent=1).encode() + b"\n")
    if not tool.screenshot(RESULTS.with_suffix(".html"), out.with_suffix(".png")):
        print("no picture was taken: Chromium is not installed", file=sys.stderr)
    print(text)
    return 0


def answer(options: argparse.Namespace) -> int:
    """Answer all cases of all columns, and grade the answers, so that the provider has only to look them up."""
    complaints = chosen(read_complaints(COMPLAINTS, "test"), options.cases)
    variants = {column.variant.name: column.variant for column in columns()}
    run, rulers = _answered(options, RUN, complaints, list(variants.values()))
    for name in variants:
        rulers.score(AXES[0], run[name], complaints)  # the judge gives all axes at once
    print(f"{RUN}: {len(complaints)} complaints, {len(variants)} variants")
    return 0


def study(options: argparse.Namespace) -> int:
    """Answer the dev complaints with each template and its variations, and write what differs."""
    from system.evaluation.prompt_study import PAIRS, study_page
    from system.variants import find_variants

    complaints = chosen(read_complaints(COMPLAINTS, "dev"), options.cases)
    variants = find_variants(",".join(dict.fromkeys(name for pair in PAIRS for name in pair)))
    run, rulers = _answered(options, STUDY, complaints, variants)
    text = f"# Prompt study\n\nMade by `python -m system promptfoo study`.\n\n{study_page(run, complaints, rulers)}"
    write_whole(options.out or STUDY_PAGE, text.encode())
    print(text)
    return 0


def _answered(
    options: argparse.Namespace, out: Path, complaints: Sequence[Complaint], variants: Sequence[Variant]
) -> tuple[dict[str, list[Response]], Rulers]:
    """The variants' answers to the complaints, made as far as the log does not hold them, and what judges them."""
    from system.answering import answer_into
    from system.articles import official_text
    from system.assistant import Assistant
    from system.cache import open_cache
    from system.evaluation.measuring import Rulers

    assistant = Assistant(options.base_model, options.kb, options.chunker, cache=open_cache())
    answer_into(out, out.with_suffix(".decisions.jsonl"), assistant, complaints, variants)
    asked = {complaint.id for complaint in complaints}
    run = by_variant(response for response in read_run(out) if response.id in asked)
    return run, Rulers(official_text(options.kb), open_cache(), options.judge)
