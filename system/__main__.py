"""The command line: ``python -m system COMMAND``. Exit status 0 done, 1 a gate is red, 2 bad usage or input.

Commands live in ``system.commands``; this module parses, dispatches and turns errors into one clear line each.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from system.errors import InputError, SupportError

# Where a command lives, if not in system.commands.
_PLACES = dict.fromkeys(("judge", "score", "compare", "changes"), "system.evaluation.commands")
_PLACES |= dict.fromkeys(("serve", "forget"), "system.service.commands")
_PLACES |= {"promptfoo": "system.promptfoo.commands", "chat": "system.chat", "attack": "system.attacking"}
STORE_FILE = Path("runs/service.sqlite")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    main = argparse.ArgumentParser(prog="python -m system", description="A telecom support assistant that is tested.")
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, *, model: bool = False, knowledge: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        if model:
            sub.add_argument(
                "--base-model",
                default="smollm2-135m",
                metavar="M",
                help="name, folder, Hub name, llamacpp:smollm2-135m or openai:MODEL@BASE_URL",
            )
        if knowledge:
            sub.add_argument(
                "--kb", type=Path, default=Path("knowledge_base"), metavar="DIR", help="folder of articles"
            )
            sub.add_argument(
                "--chunker", choices=("heading", "semantic"), default="heading", help="how articles are cut"
            )
        return sub

    ask = command("ask", "answer one complaint", model=True)
    ask.add_argument("text", help="what the customer wrote; - reads standard input")
    ask.add_argument("--variant", default="agent-rag-fine-tuned", metavar="V")
    ask.add_argument("--json", action="store_true", help="print the whole Response record")

    chat = command("chat", "talk in the terminal; /help lists what else it understands", model=True)
    chat.add_argument("--variant", default="agent-rag-fine-tuned", metavar="V")
    chat.add_argument("--sources", action="store_true", help="show decision and sources after every answer")
    serve = _add_service(command)

    run = command("run", "answer a file of complaints; resumes where a killed run stopped", model=True)
    run.add_argument("--variant", required=True, metavar="V[,V...]")
    run.add_argument("--complaints", type=Path, required=True, metavar="FILE.jsonl")
    run.add_argument("--split", choices=("dev", "test"), help="only this split of a labelled file")
    run.add_argument("--out", type=Path, required=True, metavar="RUN.jsonl")

    attack = command("attack", "ask the attacks, and count those that succeed against each variant", model=True)
    attack.add_argument("--variant", default="agent-rag-fine-tuned", metavar="V[,V...]")
    attack.add_argument("--attacks", type=Path, default=Path("data/attacks.jsonl"), metavar="FILE.jsonl")
    attack.add_argument("--split", choices=("dev", "test"), default="test", help="(default: %(default)s)")
    attack.add_argument("--list", action="store_true", help="name each attack that succeeded, and what shows it")
    attack.add_argument("--run", type=Path, default=Path("runs/attacks.jsonl"), help="answers (default: %(default)s)")
    attack.add_argument("--out", type=Path, metavar="FILE.json", help="write the counts there as well")

    for sub in (ask, chat, run, attack):
        sub.add_argument(
            "--log", type=Path, default=Path("runs/decisions.jsonl"), help="decision log (default: %(default)s)"
        )
    for sub in (ask, chat, run, serve):
        sub.add_argument("--no-cache", action="store_true", help="compute everything anew, and keep nothing of it")

    retrieve = command("retrieve", "find passages for a file of queries")
    retrieve.add_argument("--retriever", default="dense", choices=("bm25", "dense", "hybrid"))
    retrieve.add_argument("--top-k", type=int, default=5, metavar="K")
    retrieve.add_argument(
        "--filter", action="append", default=[], metavar="FIELD=VALUE", help="such as doc=billing_faq"
    )
    decide = command("decide", "decide RAG, DIRECT or ESCALATE for a file of queries")
    for sub in (retrieve, decide):
        sub.add_argument("--queries", type=Path, required=True, metavar="FILE.jsonl")
        sub.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")

    for sub in (ask, chat, run, retrieve, decide, serve):
        sub.add_argument("--store", metavar="S", help="keep passages in chroma:DIR or chroma+http://HOST:PORT")
    for sub in (ask, chat, run, retrieve, serve):
        sub.add_argument("--rerank", metavar="M", help="order what was found by a cross-encoder: folder or Hub name")

    command("calibrate", "fit the decision stage on the dev complaints")
    report = command("report", "measure retrieval and decision; build the report as PDF, Markdown and HTML")
    report.add_argument("--run", type=Path, default=Path("runs/quality.jsonl"), metavar="RUN.jsonl")
    report.add_argument("--verdicts", type=Path, default=Path("runs/verdicts.json"), metavar="FILE.json")
    report.add_argument("--split", choices=("dev", "test"), default="test", help="complaints (default: %(default)s)")
    report.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR")
    explain = command("explain", "say which stage is at fault where a labelled case misses a requirement", model=True)
    explain.add_argument("case", metavar="CASE", help="id of the complaint")
    explain.add_argument("--variant", required=True, metavar="V")
    explain.add_argument("--complaints", type=Path, default=Path("data/complaints.jsonl"), metavar="FILE.jsonl")
    chosen = explain.add_mutually_exclusive_group()
    chosen.add_argument("--requirement", metavar="R", help="of tests_quality/gates.toml (default: all of the variant)")
    chosen.add_argument("--metric", metavar="M", help="the requirements on this metric")
    explain.add_argument("--json", action="store_true", help="print the whole Explanation record")
    judge = command(
        "judge", "grade pairs of complaint and response: helpfulness, clarity, empathy, safety", knowledge=False
    )
    judge.add_argument("--pairs", type=Path, required=True, metavar="FILE.jsonl")
    judge.add_argument("--kb", type=Path, metavar="DIR", help="articles that tell an invented fact from a true one")
    judge.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    score = command("score", "every metric of every response of a run", model=True)
    score.add_argument("--out", type=Path, required=True, metavar="OUT.jsonl")
    compare = command("compare", "variants of a run side by side, with intervals and significance", model=True)
    compare.add_argument("--against", metavar="V", help="the variant that the others are tested against")
    compare.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    compare.add_argument("--out", type=Path, metavar="FILE", help="write there instead of the terminal")
    for sub in (score, compare):
        sub.add_argument("--run", type=Path, required=True, metavar="RUN.jsonl")
        sub.add_argument(
            "--references",
            type=Path,
            default=Path("data/complaints.jsonl"),
            metavar="FILE.jsonl",
            help="the labelled complaints that the run answers (default: %(default)s)",
        )
        sub.add_argument("--metrics", metavar="M[,M...]", help="only these metrics")
    for sub in (judge, score, compare):
        sub.add_argument("--judge", default="local", metavar="J", help="local or openai:MODEL@URL (default: local)")
        sub.add_argument("--no-cache", action="store_true", help="compute every score anew")
    promptfoo = command("promptfoo", "install and run Promptfoo, and tell its results in our numbers", model=True)
    promptfoo.add_argument(
        "what", choices=("install", "answer", "evaluate", "report", "study"), help="in this order; study is apart"
    )
    promptfoo.add_argument(
        "--cases", type=_count, metavar="N", help="so many of the complaints, for answer, evaluate and study (all)"
    )
    promptfoo.add_argument("--judge", default="local", metavar="J", help="local or openai:MODEL@URL (default: local)")
    promptfoo.add_argument("--out", type=Path, metavar="FILE.md", help="page of report or study (default: in reports)")
    changes = command("changes", "verdicts of two runs compared, as Markdown for a pull request", knowledge=False)
    changes.add_argument("--baseline", type=Path, default=Path("reports/baseline.json"), metavar="FILE.json")
    changes.add_argument("--verdicts", type=Path, default=Path("runs/verdicts.json"), metavar="FILE.json")
    changes.add_argument("--out", type=Path, metavar="FILE.md", help="write there instead of the terminal")
    show = command("show", "print a run log as Markdown, to read the answers side by side", knowledge=False)
    show.add_argument("--run", type=Path, required=True, metavar="RUN.jsonl")
    show.add_argument("--variant", metavar="V[,V...]", help="only these variants, in this order")
    show.add_argument("--scores", type=Path, metavar="OUT.jsonl", help="what score wrote of this run, for grades")
    command("check", "check the complaints, settings and templates", knowledge=True)
    command("models", "list the base models and prepare the embedded one", knowledge=False)
    knowledge = command("knowledge", "list the articles, or add some from Wikipedia")
    knowledge.add_argument("what", nargs="?", choices=("list", "add-wikipedia"), default="list")
    knowledge.add_argument("titles", nargs="*", metavar="TITLE")
    knowledge.add_argument("--api", default="https://en.wikipedia.org/w/api.php", help="MediaWiki API address")
    return main


def _add_service(command: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The options of serve, whose parser is returned, and of forget."""
    serve = command("serve", "serve the page and an OpenAI-compatible API on this machine", model=True)
    serve.add_argument(
        "--variant", default="agent-rag-fine-tuned", metavar="V", help="answers where a request names none"
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; other than this machine's needs a key"
    )
    serve.add_argument("--port", type=int, default=8080, metavar="N", help="0 takes a free one (default: %(default)s)")
    serve.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="another name to be called by")
    serve.add_argument("--rate", default="60/minute", help="requests of one client (default: %(default)s)")
    serve.add_argument(
        "--queue", type=_count, default=32, metavar="N", help="requests that may wait (default: %(default)s)"
    )
    serve.add_argument("--timeout", type=_time, default=120.0, metavar="S", help="seconds for an answer (default: 120)")
    serve.add_argument(
        "--keep-days", type=_time, default=30.0, metavar="D", help="days that answers are kept (default: 30)"
    )
    serve.add_argument("--pairs", type=Path, metavar="RUN.jsonl", help="answers for the blind A/B page")
    serve.add_argument(
        "--pair-variants", default="agent-rag,agent-rag-fine-tuned", metavar="V,V", help="(default: %(default)s)"
    )
    forget = command("forget", "delete what serve remembers of a conversation, or all that is older", knowledge=False)
    forget.add_argument("conversation", nargs="?", metavar="ID")
    forget.add_argument("--older-than", type=_time, metavar="DAYS")
    for sub in (serve, forget):
        sub.add_argument("--store-file", type=Path, default=STORE_FILE, metavar="FILE", help="(default: %(default)s)")
    return serve


def _time(text: str) -> float:
    """A time above 0, in whatever unit the option says."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def _count(text: str) -> int:
    """A number of cases, from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def handler(command: str) -> Callable[[argparse.Namespace], int]:
    """The function of a command; its module is imported when the command is used."""
    module = import_module(_PLACES.get(command, "system.commands"))
    return cast("Callable[[argparse.Namespace], int]", getattr(module, command))


def _spare_input(options: argparse.Namespace) -> None:
    """Raise InputError where an output file is also an input: it would be gone before anybody noticed."""
    out = getattr(options, "out", None)
    for name in ("run", "pairs", "queries", "complaints", "references", "attacks"):
        source = getattr(options, name, None)
        if isinstance(out, Path) and isinstance(source, Path) and _same_file(out, source):
            raise InputError(f"--out {out}: is also --{name}; give another --out")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.is_file() and one.samefile(other)
    except OSError:  # a file that cannot be looked at is told of where it is opened
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        _spare_input(options)
        status = handler(options.command)(options)
        sys.stdout.flush()
        return status
    except SupportError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was answered is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader closed the pipe, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
