"""What ``train.py judge`` does, given its parsed options; returns the exit status."""

from __future__ import annotations

import argparse
import json
import shutil

from system.errors import SettingsError
from system.evaluation.judge import AXES, LOCAL, ROOT, Judge, load_judge, passport_folder
from system.models import resolve_embedder, without_login, write_atomically
from system.training.records import made

TRAINING_PAIRS = ROOT / "data" / "judge_training.jsonl"
PHRASES = ROOT / "data" / "judge_phrases.toml"
CALIBRATION_PAIRS = ROOT / "data" / "judge_calibration.jsonl"
OWN_DATA = (TRAINING_PAIRS, PHRASES, CALIBRATION_PAIRS)


def judge(options: argparse.Namespace) -> int:
    """Train the judge, fit its scale, examine it; or one of the three with --only."""
    if options.average and not options.start:
        raise SettingsError("--average: needs --start, the judge whose weights go into the mean")
    if options.start and not options.start.is_dir():
        raise SettingsError(f"--start {options.start}: is not a folder; name that of a trained judge")
    if options.judge != LOCAL and options.only != "passport":
        raise SettingsError(
            f"--judge {without_login(options.judge)}: only the local judge is trained; add --only passport"
        )
    steps = {"train": _train, "scale": _scale, "passport": _passport}
    for name, step in steps.items():
        if options.only in (None, name):
            step(options)
    return 0


def _train(options: argparse.Namespace) -> None:
    """Train the networks that are asked for, each into a folder of its own."""
    from system.evaluation.judge_model import NETWORKS

    for network in [options.network] if options.network else NETWORKS:
        _train_network(options, network)


def _train_network(options: argparse.Namespace, network: str) -> None:
    """Weights and heads into a new folder beside the old one, which is replaced when all is done."""
    from system.training.judge_data import load_graded, load_human_labels
    from system.training.judge_tasks import load_phrases, tasks_of
    from system.training.judge_training import JudgeSettings, average_weights, train_judge, write_record

    settings = JudgeSettings(epochs=options.epochs, learning_rate=options.learning_rate, seed=options.seed)
    labels, graded = load_human_labels(options.data_dir, "judge"), load_graded(TRAINING_PAIRS)
    tasks = tasks_of(network, labels, graded, load_phrases(PHRASES), settings.seed)
    for task in tasks:
        print(f"{task.name:12}{len(task.rows):6} rows, {task.batch} a step")
    folder = options.out / network
    start = options.start / network if options.start else None
    fresh = folder.with_name(network + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    checkpoint = fresh.with_suffix(".checkpoint")
    model, history = train_judge(tasks, settings, resolve_embedder().location, checkpoint, start)
    model.save(fresh)
    if options.average and start:
        average_weights(fresh, start)
    rows = {task.name: len(task.rows) for task in tasks}
    earlier = json.loads((start / "training.json").read_text()) if start else None
    write_record(
        fresh / "training.json",
        settings,
        history,
        rows=rows,
        made=made(OWN_DATA, options.data_dir),
        started_from=earlier,
        averaged=options.average,
    )
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    checkpoint.unlink(missing_ok=True)


def _scale(options: argparse.Namespace) -> None:
    """Fit the scale of each axis on the fit half of the calibration pairs."""
    from system.evaluation.local_judge import SIGNALS, capped, load_network, read_signals
    from system.training.judge_data import load_calibration_pairs
    from system.training.judge_scale import fit_scale

    rows = [row for row in load_calibration_pairs(CALIBRATION_PAIRS) if row.half == "fit"]
    path = options.out / "judge.json"
    embedder = resolve_embedder()
    signals = read_signals(load_network(embedder, options.out), [row.pair for row in rows])
    # What a rule caps says nothing about the scale of the rest.
    free = {axis: [not capped(row.pair, axis) for row in rows] for axis in AXES}
    scale = {
        axis: fit_scale(
            [one for one, use in zip(signals, free[axis], strict=True) if use],
            [row.grades[position] for row, use in zip(rows, free[axis], strict=True) if use],
            SIGNALS[axis],
        )
        for position, axis in enumerate(AXES)
    }
    known = {
        "scale": scale,
        "embedder": embedder.sha256,
        "pairs": len(rows),
        "made": made(OWN_DATA, options.data_dir),
    }
    write_atomically(path, json.dumps(known, indent=1) + "\n")
    print(json.dumps(scale, indent=1))


def _passport(options: argparse.Namespace) -> None:
    """Examine a judge, local or remote, on what the local one has not learned from."""
    from system.evaluation.local_judge import LocalJudge
    from system.training.judge_data import load_calibration_pairs, load_human_labels
    from system.training.judge_passport import examine

    is_local = options.judge == LOCAL
    judge: Judge = LocalJudge(options.out) if is_local else load_judge(options.judge)
    folder = options.out if is_local else passport_folder(options.judge)
    labels = load_human_labels(options.data_dir, "judge-heldout")
    exams = examine(judge, labels, load_calibration_pairs(CALIBRATION_PAIRS))
    passport = {
        "judge": judge.signature,
        "made": made(OWN_DATA, options.data_dir),
        **exams,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "passport.json", json.dumps(passport, indent=1) + "\n")
    print(json.dumps(exams, indent=1))
