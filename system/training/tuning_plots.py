"""Plots of the hyper-parameter search: what each setting did to the losses and to the answers.

    draw(read_trials(records), folder)      reports/tuning/curves.png, trials.md

Readable in print and without colour: lines differ in marker and dash as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from system.rows import write_whole
from system.training.search import CHOICE, RANKS, RATES, choose

MARKERS = "osD"
MEASURED = ("helpfulness", "empathy", "fact_coverage", "groundedness", "repetitive")  # on dev, in the table
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by colour-blind people (Okabe, Ito)


def draw(trials: Sequence[dict[str, Any]], folder: Path) -> None:
    """Write the plots and the table. Needs at least one trial."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    grid = [trial for trial in trials if trial["stage"] == "grid"]
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), layout="constrained")
    panels = (("custom", "loss on held-out examples"), ("references", "loss on dev references"))
    for axis, (name, title) in zip(axes, panels, strict=False):
        for trial in grid:
            losses = [epoch[name] for epoch in trial["validation"]]
            axis.plot(range(1, len(losses) + 1), losses, label=_name(trial), **_look(trial))
        axis.set(xlabel="epoch", ylabel="nats per token", title=title)
    for trial in grid:
        steps = [(entry["step"], entry["loss"]) for entry in trial["history"] if "loss" in entry]
        axes[2].plot(*zip(*steps, strict=True), **{**_look(trial), "marker": "", "linewidth": 1})
    axes[2].set(xlabel="step", ylabel="nats per token", title="training loss")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", fontsize=7, ncols=len(RATES))
    figure.savefig(folder / "curves.png", dpi=130)
    plt.close(figure)
    write_whole(folder / "trials.md", table(trials).encode())


def _look(trial: dict[str, Any]) -> dict[str, Any]:
    """Colour and dash tell the learning rate, the marker the rank."""
    rate = RATES.index(trial["settings"]["learning_rate"])
    rank = RANKS.index(trial["settings"]["lora"]["rank"])
    return {"color": COLOURS[rate], "linestyle": DASHES[rate % len(DASHES)], "marker": MARKERS[rank], "markersize": 4}


def _name(trial: dict[str, Any]) -> str:
    settings = trial["settings"]
    return f"{settings['learning_rate']:.0e}, rank {settings['lora']['rank']}"


def table(trials: Sequence[dict[str, Any]]) -> str:
    """Every measured checkpoint as a row of Markdown, the chosen one marked; a pruned trial has its losses only."""
    best = choose(trials)
    head = (
        "trial stage rate rank targets dropout batch epoch custom references helpfulness empathy facts grounded "
        "repeats seconds MB"
    ).split()
    lines = [f"Choice: {CHOICE}", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for number, trial in enumerate(trials):
        settings = trial["settings"]
        for epoch, dev in (trial["dev"] or {str(len(trial["validation"])): {}}).items():
            losses = trial["validation"][int(epoch) - 1]
            is_best = best is not None and (best.trial, best.epoch) == (number, int(epoch))
            cells = [
                f"**{number}**" if is_best else str(number),
                trial["stage"],
                f"{settings['learning_rate']:.2g}",
                str(settings["lora"]["rank"]),
                settings["lora"]["targets"],
                str(settings["lora"]["dropout"]),
                f"{settings['batch']} x {settings['accumulation']}",
                epoch,
                f"{losses['custom']:.3f}",
                f"{losses['references']:.3f}",
                *(f"{dev[m]['mean']:.2f}" if dev else "pruned" for m in MEASURED),
                f"{sum(trial['seconds'][: int(epoch)]):.0f}",
                str(trial["megabytes"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join((*lines, ""))
