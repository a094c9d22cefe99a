"""Calibration: the rows it may see, that it separates what can be separated, that the stored numbers are current."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from system.calibration import FOLDS, THRESHOLD, fit, save
from system.complaints import read_complaints
from system.decision import Calibration, Rules, Signals, decide, load_calibration, load_rules
from system.errors import SettingsError
from system.models import resolve_embedder
from system.records import Action, Complaint

DATA = Path(__file__).parents[1] / "data"
RULES = load_rules(DATA)
EMBEDDER = "an embedder"


@dataclass
class PlayedMeasure:
    """A Measure whose signals are decided beforehand, by text; ``seen`` keeps the texts it was asked about."""

    by_text: dict[str, Signals]
    rules: Rules = RULES
    seen: list[str] = field(default_factory=list)

    def signals(self, texts: Sequence[str]) -> list[Signals]:
        """See Measure."""
        self.seen += texts
        return [self.by_text[text] for text in texts]


def separable(noise: float = 0.02) -> tuple[list[Complaint], PlayedMeasure]:
    """Sixty dev rows of four sorts, twelve clusters, whose signals lie far apart but for some noise."""
    random = Random(7)
    centres: dict[str, tuple[Action, tuple[float, float, float, float]]] = {
        "answerable": ("RAG", (0.6, 0.2, -0.1, -0.2)),
        "outside": ("DIRECT", (0.2, -0.2, -0.1, -0.1)),
        "manipulation": ("DIRECT", (0.2, -0.2, -0.1, 0.4)),
        "serious": ("ESCALATE", (0.5, 0.1, 0.4, -0.2)),
    }
    rows: list[Complaint] = []
    by_text: dict[str, Signals] = {}
    for sort, (action, centre) in centres.items():
        for n in range(15):
            text = f"{sort} {n}"
            rows.append(
                Complaint(
                    id=text, text=text, split="dev", cluster=f"dev-{sort}-{n % 3}", action=action, category="other"
                )
            )
            retrieval, scope, escalate, manipulation = (value + random.uniform(-noise, noise) for value in centre)
            by_text[text] = Signals(retrieval, scope, escalate, "legal", manipulation)
    return rows, PlayedMeasure(by_text)


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    """The fit on separable rows."""
    rows, measure = separable()
    return fit(rows, measure, EMBEDDER)  # type: ignore[arg-type]  # it asks for rules and signals only


def test_fit_separates(fitted: Calibration) -> None:
    """What can be told apart is told apart, every row of every sort."""
    rows, measure = separable()
    for row in rows:
        decision = decide(measure.by_text[row.text], fitted, RULES)
        assert decision.action == row.action, row.id
        assert (decision.reply == "manipulation") == ("manipulation" in row.cluster), row.id


def test_fit_by_its_middle(fitted: Calibration) -> None:
    """The boundaries lie between the sorts, and evidence grows with both features."""
    assert fitted.threshold == THRESHOLD == 0.5
    assert -0.1 < fitted.escalate_margin < 0.4
    assert -0.1 < fitted.manipulation_margin < 0.4
    assert min(fitted.weights) > 0


def test_fit_is_measured_across_clusters(fitted: Calibration) -> None:
    """The reported accuracy covers every row, decided by a fit that saw no paraphrase of it."""
    assert fitted.measured == {"accuracy": 1.0, "n": 60.0, "folds": float(FOLDS)}


def test_accuracy_is_not_measured_on_what_was_fitted() -> None:
    """What only a row's own paraphrases could teach does not count: each cluster is decided by a fit without it."""
    # The two answerable clusters differ from the rest in one feature each. A fit on all rows gets every row right; a
    # fit without one of the clusters cannot know of its feature, so exactly those 20 of 60 rows come out wrong.
    corners = {"first": (1.0, 0.0), "second": (0.0, 1.0)}
    rows = [
        Complaint(id=f"{name} {n}", text=f"{name} {n}", split="dev", cluster=name, action="RAG")
        for name in corners
        for n in range(10)
    ]
    rows += [row for row in separable()[0] if row.action != "RAG"][:40]
    others, _ = separable()
    measure = PlayedMeasure(
        {row.text: Signals(0, 0, row.action == "ESCALATE", "legal", "manipulation" in row.cluster) for row in others}
        | {row.text: Signals(*corners[row.cluster], 0, "legal", 0) for row in rows if row.cluster in corners}
    )
    fitted = fit(rows, measure, EMBEDDER)  # type: ignore[arg-type]
    assert all(decide(measure.by_text[row.text], fitted, RULES).action == row.action for row in rows)
    assert fitted.measured["accuracy"] == pytest.approx(40 / 60)


def test_fit_is_repeatable(fitted: Calibration) -> None:
    """The same rows give the same numbers to the last digit."""
    rows, measure = separable()
    assert fit(rows, measure, EMBEDDER) == fitted  # type: ignore[arg-type]


def test_provenance(fitted: Calibration) -> None:
    """The numbers name settings, embedder and rows; the rows' hash does not depend on their order."""
    rows, measure = separable()
    assert (fitted.settings_sha256, fitted.embedder_sha256) == (RULES.sha256, EMBEDDER)
    assert fit(rows[::-1], measure, EMBEDDER).complaints_sha256 == fitted.complaints_sha256  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"id": "other"}, {"text": "answerable 1"}, {"action": "DIRECT"}])
def test_rows_hash_covers_what_is_learnt(fitted: Calibration, change: dict[str, str]) -> None:
    """Another id, text or label of one row is another set of rows."""
    rows, measure = separable()
    changed = [replace(rows[0], **change), *rows[1:]]
    assert fit(changed, measure, EMBEDDER).complaints_sha256 != fitted.complaints_sha256  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"split": "test"}, {"action": None}])
def test_rows_it_may_not_see(change: dict[str, object]) -> None:
    """One test row or one unlabelled row stops the fit by name, before anything is measured."""
    rows, measure = separable()
    rows[5] = replace(rows[5], **change)
    with pytest.raises(SettingsError, match=r"labelled dev complaints only, not answerable 5$"):
        fit(rows, measure, EMBEDDER)  # type: ignore[arg-type]
    assert measure.seen == []


def test_saved_numbers_are_read_back(tmp_path: Path, fitted: Calibration) -> None:
    """What is saved is what is loaded, and a person can read it."""
    path = tmp_path / "calibration.json"
    save(fitted, path)
    assert load_calibration(RULES, EMBEDDER, path) == fitted
    assert path.read_text().startswith('{\n  "weights": [\n')
    assert path.read_text().endswith("}\n")


class TestCommittedCalibration:
    """data/decision_calibration.json."""

    def test_is_of_these_settings_and_embedder(self) -> None:
        """The stored numbers were fitted with the shipped prototypes, patterns, replies and embedder."""
        load_calibration(RULES, resolve_embedder().sha256, DATA / "decision_calibration.json")

    def test_is_of_these_complaints(self) -> None:
        """The stored numbers were fitted on the dev complaints as they are now, all of them."""
        stored = msgspec.json.decode((DATA / "decision_calibration.json").read_bytes(), type=Calibration)
        rows = read_complaints(DATA / "complaints.jsonl", "dev")
        signals = {
            row.text: Signals(0.1 * (n % 7), 0.1 * (n % 5), 0.1 * (n % 3), "legal", 0.1 * (n % 4))
            for n, row in enumerate(rows)
        }
        now = fit(rows, PlayedMeasure(signals), EMBEDDER)  # type: ignore[arg-type]
        assert stored.complaints_sha256 == now.complaints_sha256
        assert stored.measured["n"] == len(rows)
        assert stored.threshold == THRESHOLD
