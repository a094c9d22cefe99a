"""One trial of the hyper-parameter search: train on a subset, measure every checkpoint on dev complaints.

    record = run_trial(plan, data_dir)      in a process of its own, so that its memory is its own

Knows training and the dev measures; must not know how trials are proposed or chosen.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from system.training.lessons import Lesson, Recipe
from system.training.sft import SftSettings

METRICS = ("helpfulness", "clarity", "empathy", "safety", "fact_coverage", "groundedness", "repetitive")
KNOWLEDGE_BASE = Path("knowledge_base")
COMPLAINTS = Path("data") / "complaints.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a trial tries. ``answers`` dev complaints are answered after each epoch of ``measured``."""

    settings: SftSettings
    recipe: Recipe
    answers: int = 34
    measured: tuple[int, ...] = (2, 3, 5)
    base_model: str = "smollm2-135m"
    folder: Path = field(default=Path("runs") / "tuning" / "trial")


def run_alone(plan: Plan, data_dir: Path | None, study: tuple[str, str, int] | None = None) -> dict[str, Any]:
    """``run_trial`` in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_trial, plan, data_dir, study).result()


def run_trial(plan: Plan, data_dir: Path | None, study: tuple[str, str, int] | None = None) -> dict[str, Any]:
    """Train and measure. ``study`` (storage, name, trial id) lets Optuna see the epochs and end a hopeless trial.

    The record: settings, losses by step and epoch, dev scores by measured epoch, seconds, peak memory in MB.
    """
    from system.cache import open_cache
    from system.chat_format import ChatFormat
    from system.embeddings import CachedEmbed, Embedder
    from system.models import resolve_model
    from system.training.lessons import Curriculum
    from system.training.lora import lora_model
    from system.training.sft import train_sft

    format = ChatFormat(resolve_model(plan.base_model).location)
    curriculum = Curriculum.load(format, CachedEmbed(Embedder(), open_cache()), data_dir, plan.recipe)
    dev = DevSet.load(plan.base_model, plan.answers)
    model = lora_model(plan.base_model, plan.settings.lora, plan.settings.seed)
    shutil.rmtree(plan.folder, ignore_errors=True)
    callbacks = [_pruner(study)] if study else []
    record = train_sft(
        model, format, curriculum, plan.settings, plan.folder, callbacks=callbacks, references=dev.references
    )
    trained = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    checkpoints = sorted(plan.folder.glob("checkpoint-*"), key=lambda path: int(path.name.partition("-")[2]))
    scores = {
        epoch: dev.measure(checkpoint) for epoch, checkpoint in enumerate(checkpoints, 1) if epoch in plan.measured
    }
    shutil.rmtree(plan.folder)
    return {**record, "recipe": asdict(plan.recipe), "trained": trained, "megabytes": round(memory), "dev": scores}


@dataclass(frozen=True)
class DevSet:
    """Dev complaints that the articles answer, spread over the clusters, and their references as lessons."""

    complaints: Sequence[Any]
    references: Sequence[Lesson]
    assistant: Any

    @classmethod
    def load(cls, base_model: str, answers: int) -> DevSet:
        """Every n-th of them."""
        from system.assistant import Assistant
        from system.cache import open_cache
        from system.complaints import read_labelled

        stems = [path.stem for path in KNOWLEDGE_BASE.iterdir()]
        every = [c for c in read_labelled(COMPLAINTS, stems) if c.split == "dev" and c.action == "RAG"]
        assistant = Assistant(base_model, KNOWLEDGE_BASE, cache=open_cache())
        step = max(1, len(every) // answers)
        chosen = every[::step][:answers]
        drafts = assistant.drafts(chosen, tuned_variant(None))
        references = [
            Lesson(draft.prompt.text, draft.complaint.reference, "references") for draft in drafts if draft.prompt
        ]
        return cls(chosen, references, assistant)

    def measure(self, adapter: Path) -> dict[str, dict[str, float]]:
        """Means with intervals of the answers that an adapter gives."""
        from system.articles import official_text
        from system.evaluation.measuring import Rulers
        from system.training.dev_scores import dev_responses, dev_scores

        responses = dev_responses(tuned_variant(str(adapter)), self.complaints, self.assistant)
        return dev_scores(responses, self.complaints, Rulers(official_text(KNOWLEDGE_BASE)), METRICS)


def tuned_variant(adapter: str | None) -> Any:
    """The row that a trial is measured as: always retrieve, for only complaints that articles answer are asked."""
    from system.records import Decoding
    from system.variants import VARIANTS

    return replace(
        VARIANTS["rag"], name="trial", guard=True, adapter=adapter, decoding=Decoding(repetition_penalty=1.0)
    )


def _pruner(study: tuple[str, str, int]) -> Any:
    """A callback that tells Optuna the validation loss of each epoch and stops where the study's pruner says so."""
    import optuna
    from transformers import TrainerCallback

    storage, name, number = study
    trial = optuna.trial.Trial(optuna.load_study(study_name=name, storage=storage), number)

    class Pruner(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            if "eval_references_loss" in (metrics or {}):
                trial.report(metrics["eval_references_loss"], round(state.epoch))
                if trial.should_prune():
                    trial.set_user_attr("pruned", True)
                    control.should_training_stop = True

    return Pruner()
