"""What each command does, one function a command, given its parsed options; returns the exit status."""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from system.answering import answer_into, decision_line
from system.complaints import check_text, read_complaints, read_labelled
from system.errors import InputError, TextError
from system.records import Complaint
from system.rows import LineWriter, encode, write_rows, write_whole


def ask(options: argparse.Namespace) -> int:
    """Answer one complaint; sentences appear as they are finished and checked."""
    from system.streaming import SentencePrinter
    from system.variants import only_variant

    text = check_text(_standard_input() if options.text == "-" else options.text)
    variant = only_variant(options.variant, "ask takes one variant; use run for several")
    check_writable(options.log, "--log")
    assistant = assistant_of(options)
    assistant.identity(variant)  # a wrong model or knowledge base is found before anything heavy is loaded
    (draft,) = assistant.drafts([Complaint(id="ask", text=text)], variant)
    printer = None if options.json else SentencePrinter(draft, sys.stdout)
    (response,) = assistant.answer([draft], printer)
    with LineWriter(options.log) as log:
        log.write(decision_line(response, assistant.company_values))
    if options.json:
        sys.stdout.buffer.write(encode(response))
    elif printer:
        printer.finish(response)
        print(f"[{response.decision.action}: {response.decision.reason}]", file=sys.stderr)
    if response.error:
        raise InputError(f"no answer: {response.error}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Answer a file of complaints with one or more variants into a run log."""
    from filelock import FileLock, Timeout

    from system.models import cache_folder
    from system.variants import find_variants

    variants = find_variants(options.variant)
    complaints = read_complaints(options.complaints, options.split)
    if not complaints:
        raise InputError(f"{options.complaints}: has no rows of the split {options.split!r}; drop --split")
    check_writable(options.out, "--out")
    check_writable(options.log, "--log")
    assistant = assistant_of(options)
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(options.out.resolve()).encode()).hexdigest()
    try:
        with FileLock(locks / name, timeout=0):
            answer_into(options.out, options.log, assistant, complaints, variants)
    except Timeout as error:
        raise InputError(f"{options.out}: another run is writing to it; wait for it or give another --out") from error
    return 0


def retrieve(options: argparse.Namespace) -> int:
    """Write the passages found for each query."""
    if options.top_k < 1:
        raise InputError(f"--top-k {options.top_k}: give a number from 1 on")
    from system.retrieval import read_filters

    where = read_filters(options.filter)
    queries = read_complaints(options.queries)
    check_writable(options.out, "--out")
    retriever = assistant_of(options).retriever(options.retriever)
    found = retriever.search([query.text for query in queries], options.top_k, where)
    write_rows(
        options.out,
        (
            {"id": q.id, "hits": [{"doc": h.doc, "passage": h.passage, "score": h.score} for h in hits]}
            for q, hits in zip(queries, found, strict=True)
        ),
    )
    return 0


def decide(options: argparse.Namespace) -> int:
    """Write the decision for each query."""
    queries = read_complaints(options.queries)
    check_writable(options.out, "--out")
    decisions = assistant_of(options).decisions([query.text for query in queries])
    write_rows(
        options.out,
        (
            {"id": q.id, "action": d.action, "reason": d.reason, "score": d.score}
            for q, d in zip(queries, decisions, strict=True)
        ),
    )
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Fit the decision stage on the dev complaints and store the numbers."""
    from system.calibration import fit, save
    from system.decision import DATA, Measure, load_rules
    from system.models import resolve_embedder
    from system.wariness import save_wariness
    from system.wariness_fit import dev_messages, fit_wariness

    assistant, embedder = assistant_of(options), resolve_embedder().sha256
    measure = Measure(load_rules(), assistant.index)
    calibration = fit(read_complaints(DATA / "complaints.jsonl", "dev"), measure, embedder)
    save(calibration, DATA / "decision_calibration.json")
    print(f"cross-validated on dev: accuracy {calibration.measured['accuracy']:.3f}, n {calibration.measured['n']:.0f}")
    wariness = fit_wariness(*dev_messages(), assistant.embed, embedder)
    save_wariness(wariness)
    print(
        f"of {wariness.measured['attacks']:.0f} attacks {wariness.measured['attacks_seen']:.3f} look like one, "
        f"of {wariness.measured['ordinary']:.0f} ordinary messages {wariness.measured['false_alarms']:.3f}"
    )
    return 0


def report(options: argparse.Namespace) -> int:
    """Measure retrieval and decision, then build the report from the run and everything that was logged beside it."""
    from system.decision import DATA
    from system.evaluation.deciding import decision_report
    from system.evaluation.ranking import hit_at_two, ranking_report

    check_writable(options.out / "retrieval.md", "--out")
    if options.split == "test":
        from system.report.build import build
        from system.report.gather import read_logs

        read_logs(options.run, options.verdicts)  # what is missing is told before anything is measured
    assistant = assistant_of(options)
    counts = Counter(passage.doc for passage in assistant.passages)
    complaints = [c for c in read_labelled(DATA / "complaints.jsonl", list(counts)) if c.split == options.split]
    answerable = [c for c in complaints if c.action == "RAG"]
    texts = [c.text for c in answerable]
    hits = {name: assistant.retriever(name).search(texts, 5) for name in ("bm25", "dense", "hybrid")}
    pages = {
        "retrieval": ranking_report(answerable, hits, counts),
        "decision": decision_report(complaints, assistant.decisions([c.text for c in complaints])),
    }
    for name, page in pages.items():
        path = options.out / f"{name}.md"
        text = (
            f"# {name.capitalize()} on the {options.split} complaints\n\nMade by `python -m system report`.\n\n{page}"
        )
        write_whole(path, text.encode())
        print(f"{path}\n\n{page}")
    figures = {name: hit_at_two(answerable, found) for name, found in hits.items()}
    write_whole(options.out / "retrieval.json", json.dumps(figures, indent=1).encode() + b"\n")
    if options.split == "test":
        for path in build(options.run, options.verdicts, options.out):
            print(path)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Say which stage is at fault where a case misses a requirement, by replaying it with that stage set right."""
    from system.explain import as_text, choose_requirements, explain_cases, find_case
    from system.variants import only_variant

    variant = only_variant(options.variant, "explain takes one variant")
    requirements = choose_requirements(variant.name, options.requirement, options.metric)
    complaint = find_case(read_complaints(options.complaints), options.case, options.complaints)
    assistant = assistant_of(options)
    assistant.identity(variant)  # a wrong model or knowledge base is found before anything heavy is loaded
    (explained,) = explain_cases(assistant, [complaint], variant, requirements)
    if options.json:
        sys.stdout.buffer.write(encode(explained))
    else:
        print(as_text(explained))
    return 0


def show(options: argparse.Namespace) -> int:
    """Print a run log as Markdown, the variants' answers side by side."""
    from system.evaluation.reading import read_grades, side_by_side
    from system.runlog import read_run
    from system.variants import find_variants

    wanted = [variant.name for variant in find_variants(options.variant)] if options.variant else []
    grades = read_grades(options.scores) if options.scores else None
    responses = [r for r in read_run(options.run) if not wanted or r.variant in wanted]
    if not responses:
        raise InputError(f"{options.run}: holds no answer" + (f" of {options.variant}" if wanted else " yet"))
    print(side_by_side(responses, wanted, grades))
    return 0


def check(options: argparse.Namespace) -> int:
    """Check data and settings without answering anything; every problem is listed. 1 if an article is suspect."""
    from system.articles import load_articles
    from system.decision import DATA, load_rules
    from system.evaluation.gatefile import load_gates
    from system.explain import GATES
    from system.manners import read_rude_patterns
    from system.prompts import TEMPLATES, load_template

    articles = load_articles(options.kb)
    complaints = read_labelled(DATA / "complaints.jsonl", [article.stem for article in articles])
    load_rules()
    read_rude_patterns()
    if GATES.exists():  # an installed package has no suite beside it
        load_gates(GATES)
    templates = [load_template(path.stem) for path in sorted(TEMPLATES.glob("*.toml"))]
    if suspects := assistant_of(options).suspects:
        tell_suspects(suspects)
        return 1
    print(f"{len(articles)} articles, {len(complaints)} complaints, {len(templates)} templates: all good")
    return 0


def models(options: argparse.Namespace) -> int:
    """List the base models by name; unpacks the embedded one if that has not been done."""
    from system.models import DEFAULT_MODEL, HUB_NAMES, resolve_embedder, resolve_model

    default, embedder = resolve_model(DEFAULT_MODEL), resolve_embedder()
    print(f"{DEFAULT_MODEL:22}{default.location}  sha256 {default.sha256[:16]}")
    for name, location in HUB_NAMES.items():
        print(f"{name:22}{location}  (from the Hugging Face Hub)")
    print(f"{'llamacpp:' + DEFAULT_MODEL:22}the same weights by llama.cpp")
    print(f"{'openai:MODEL@BASE_URL':22}any OpenAI-compatible server")
    print(f"{'embedder':22}{embedder.name}  sha256 {embedder.sha256[:16]}")
    return 0


def knowledge(options: argparse.Namespace) -> int:
    """List the articles of the knowledge base, or add some from Wikipedia."""
    if options.what == "add-wikipedia":
        from system.wikipedia import add_articles

        if not options.titles:
            raise InputError("knowledge add-wikipedia: give at least one article title")
        for path in add_articles(options.titles, options.kb, api=options.api):
            print(path)
        return 0
    assistant = assistant_of(options)
    for doc, count in Counter(passage.doc for passage in assistant.passages).items():
        print(f"{doc:40}{count:3} passages")
    tell_suspects(assistant.suspects)
    return 0


def tell_suspects(suspects: Iterable[Any]) -> None:
    """Name each article that is not read, and why; see ``system.vetting``."""
    for doc, reason in {suspect.passage.doc: suspect.reason for suspect in suspects}.items():
        print(f"{doc}: is not read, it {reason}; mend it or take it out", file=sys.stderr)


def assistant_of(options: argparse.Namespace) -> Any:
    """The assistant that the options describe; importing it is left until the options are known to be good."""
    from system.assistant import Assistant
    from system.cache import open_cache
    from system.models import DEFAULT_MODEL

    cache = None if getattr(options, "no_cache", False) else open_cache()
    return Assistant(
        getattr(options, "base_model", DEFAULT_MODEL),
        options.kb,
        options.chunker,
        cache=cache,
        store=getattr(options, "store", None),
        reranker=getattr(options, "rerank", None),
    )


def check_writable(path: Path, option: str) -> None:
    """Find out before the work whether its result can be written; creates nothing. Raises InputError."""
    try:
        place = next(p for p in (path, *path.parents) if p.exists())
        wrong = errno.EISDIR if path.is_dir() else errno.ENOTDIR if place != path and not place.is_dir() else 0
        wrong = wrong or (0 if os.access(place, os.W_OK) else errno.EACCES)
    except OSError as error:  # a name too long, a loop of links
        wrong = error.errno or errno.EINVAL
    if wrong:
        raise InputError(f"{path}: cannot be written ({os.strerror(wrong)}); give another {option}")


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"standard input is not UTF-8 (byte {error.start}); convert it") from error
