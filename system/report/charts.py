"""The report's charts, as SVG: readable in print, and without colour (markers and dashes tell the lines apart, too)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from system.evaluation.deciding import equal_bins
from system.evaluation.judge import AXES, HIGHEST, LOWEST
from system.records import Complaint, Response
from system.report.facts import Facts
from system.report.gather import SHIPPED, Logs, evidence_cases
from system.report.pages import COLUMNS
from system.training.tuning_plots import COLOURS
from system.variants import VARIANTS

MARKERS = "osD^"
GREY = "#555555"


@contextmanager
def figure(path: Path, *shape: Any, **options: Any) -> Iterator[Any]:
    """Axes to draw on; the file is the same for the same figures."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = path.name
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(*shape, layout="constrained", **options)
    yield axes
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def draw_variants(facts: Facts, path: Path) -> None:
    """Every variant's grades and shares with their intervals, thresholds as dashed lines."""
    names = list(VARIANTS)
    panels = [name for name in COLUMNS if name != "hard-rules"]  # a count has no interval
    with figure(path, 1, len(panels), figsize=(11, 2.3), sharey=True) as axes:
        for axis, requirement in zip(axes, panels, strict=True):
            for row, variant in enumerate(names):
                fact = facts[f"{requirement}@{variant}"]
                low, high = fact.low or fact.value, fact.high or fact.value
                is_shipped = variant == SHIPPED
                axis.plot([low, high], [row, row], color=COLOURS[is_shipped], linewidth=2)
                axis.plot(fact.value, row, MARKERS[is_shipped], color=COLOURS[is_shipped], markersize=5)
            axis.axvline(fact.threshold, color=GREY, linestyle="--", linewidth=1)
            axis.set_title(COLUMNS[requirement], fontsize=9)
            axis.set_xlim((LOWEST, HIGHEST) if requirement in AXES else (0, 1.03))
            axis.tick_params(labelsize=7.5)
            axis.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes[0].set_yticks(range(len(names)), names, fontsize=7.5)
        axes[0].invert_yaxis()


def draw_search(trials: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss on the dev references and helpfulness of dev answers, each trial's last checkpoint, by learning rate."""
    with figure(path, 1, 2, figsize=(7, 2.2)) as axes:
        for number, rank in enumerate(sorted({trial["settings"]["lora"]["rank"] for trial in trials})):
            own = [t for t in trials if t["settings"]["lora"]["rank"] == rank]
            look = {"color": COLOURS[number % 4], "marker": MARKERS[number % 4], "linestyle": "", "markersize": 4}
            rates = [t["settings"]["learning_rate"] for t in own]
            axes[0].plot(rates, [t["validation"][-1]["references"] for t in own], label=f"rank {rank}", **look)
            measured = [t for t in own if t["dev"]]
            grades = [t["dev"][max(t["dev"], key=int)]["helpfulness"]["mean"] for t in measured]
            axes[1].plot([t["settings"]["learning_rate"] for t in measured], grades, **look)
        for axis, title in zip(axes, ("loss, dev references (nats per token)", "helpfulness, dev"), strict=True):
            axis.set_xscale("log")
            axis.set_title(title, fontsize=8.5)
            axis.set_xlabel("learning rate", fontsize=7.5)
            axis.tick_params(labelsize=7)
            axis.grid(color="#dddddd", linewidth=0.6)
        axes[0].legend(fontsize=6.5)


def draw_training(training: Mapping[str, Any], path: Path) -> None:
    """The shipped adapter's training loss by step, and its validation losses by epoch."""
    steps = [(entry["step"], entry["loss"]) for entry in training["history"] if "loss" in entry]
    with figure(path, 1, 2, figsize=(7, 2.4)) as axes:
        axes[0].plot(*zip(*steps, strict=True), color=COLOURS[0], linewidth=0.8)
        axes[0].set(xlabel="step", title="training loss (nats per token)")
        for number, name in enumerate(name for name in training["validation"][0] if name != "epoch"):
            losses = [epoch[name] for epoch in training["validation"]]
            look = {"color": COLOURS[number % 4], "marker": MARKERS[number % 4]}
            axes[1].plot(range(1, len(losses) + 1), losses, label=name, **look)
        axes[1].set(xlabel="epoch", title="validation losses", xticks=range(1, len(training["validation"]) + 1))
        axes[1].legend(fontsize=7)


def draw_reliability(cases: Sequence[tuple[float, bool]], path: Path) -> None:
    """Share of messages that the articles answer, over the evidence score, in bins of equal count."""
    parts = equal_bins(cases)
    with figure(path, figsize=(3.6, 3.2)) as axis:
        axis.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect")
        means = [sum(score for score, _ in part) / len(part) for part in parts]
        shares = [sum(outcome for _, outcome in part) / len(part) for part in parts]
        axis.plot(means, shares, color=COLOURS[0], marker="o", label=f"{len(parts)} bins, n {len(cases)}")
        axis.set(xlabel="evidence score", ylabel="share answered by the articles", xlim=(0, 1.02), ylim=(0, 1.04))
        axis.legend(fontsize=8)


def draw_flow(responses: Sequence[Response], complaints: Mapping[str, Complaint], path: Path) -> None:
    """What the agent does with a message, and how many of the run's went each way, and rightly."""
    taken = Counter(r.decision.action for r in responses)
    right = Counter(r.decision.action for r in responses if r.decision.action == complaints[r.id].action)
    boxes = {
        "message": (0.5, 0.93, f"message\n{len(responses)}"),
        "person": (0.5, 0.72, "danger, law, fraud, 'a person please'?"),
        "evidence": (0.5, 0.5, "evidence in the articles at or above the threshold?"),
        "ESCALATE": (0.1, 0.52, f"ESCALATE\n{taken['ESCALATE']}, {right['ESCALATE']} right\nscripted hand-over"),
        "RAG": (0.3, 0.26, f"RAG\n{taken['RAG']}, {right['RAG']} right\nprompt with passages"),
        "DIRECT": (0.72, 0.26, f"DIRECT\n{taken['DIRECT']}, {right['DIRECT']} right\nprompt without, or script"),
        "guard": (0.5, 0.04, "guard: whole sentences, no invented facts"),
    }
    arrows = [("message", "person", ""), ("person", "ESCALATE", "yes"), ("person", "evidence", "no")]
    arrows += [("evidence", "RAG", "yes"), ("evidence", "DIRECT", "no"), ("DIRECT", "guard", ""), ("RAG", "guard", "")]
    with figure(path, figsize=(7.5, 3.6)) as axis:
        axis.set(xlim=(0, 0.9), ylim=(0, 1))
        axis.axis("off")
        for start, end, label in arrows:
            (x, y, _), (to_x, to_y, _) = boxes[start], boxes[end]
            look = {"arrowstyle": "->", "color": GREY, "shrinkA": 14, "shrinkB": 32}
            axis.annotate("", (to_x, to_y), (x, y), arrowprops=look)
            axis.text((x + to_x) / 2 + 0.015, (y + to_y) / 2, label, fontsize=8, color=GREY)
        for x, y, text in boxes.values():
            box = {"boxstyle": "round,pad=0.4", "facecolor": "#eef4f8", "edgecolor": COLOURS[0]}
            axis.text(x, y, text, ha="center", va="center", fontsize=8, bbox=box)


def draw_growth(content: Mapping[str, Any], path: Path) -> None:
    """Seconds over size, both logarithmic, with the fitted exponent of each line."""
    with figure(path, 1, 2, figsize=(7, 2.6)) as axes:
        for number, (name, points) in enumerate(content["points"].items()):
            axis = axes[int(name == "gates")]
            label = f"{name}, exponent {content['exponents'][name]:.2f}"
            look = {"color": COLOURS[number % 4], "marker": MARKERS[number % 4]}
            axis.loglog(*zip(*points, strict=True), label=label, **look)
        for axis, title, sizes in zip(axes, ("retrieval", "hard rules and gate"), ("passages", "answers"), strict=True):
            axis.set(title=title, xlabel=sizes, ylabel="seconds")
            axis.legend(fontsize=7)
            axis.grid(color="#dddddd", linewidth=0.6)


def draw_all(logs: Logs, facts: Facts, folder: Path) -> dict[str, Path]:
    """Every chart of the report, by name."""
    paths = {
        name: folder / f"{name}.svg" for name in ("variants", "search", "training", "reliability", "flow", "growth")
    }
    draw_variants(facts, paths["variants"])
    draw_search(logs.trials, paths["search"])
    draw_training(logs.tables["adapters/support-lora/training.json"], paths["training"])
    draw_reliability(evidence_cases(logs), paths["reliability"])
    draw_flow(logs.shipped, logs.complaints, paths["flow"])
    draw_growth(logs.tables["reports/growth.json"], paths["growth"])
    return paths
