"""A gates file as a whole: what its tables name must exist, or a misspelt gate would be no gate at all.

gates = load_gates(path)      requirements, comparisons, floors, gates of adapters and attacks, budgets, all together
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from system.errors import SettingsError
from system.evaluation.adapter_gates import AdapterGate, load_adapter_gates
from system.evaluation.attack_gates import AttackGate, load_attack_gates
from system.evaluation.budgets import Budget, load_budgets
from system.evaluation.comparisons import Claim, load_claims
from system.evaluation.measuring import known_metrics
from system.evaluation.passport import Floor, load_floors
from system.evaluation.requirements import Requirement, load_requirements
from system.variants import VARIANTS


@dataclass(frozen=True, slots=True)
class Gates:
    """The tables of one gates file."""

    requirements: tuple[Requirement, ...]
    claims: tuple[Claim, ...]
    floors: tuple[Floor, ...]
    adapters: tuple[AdapterGate, ...] = ()
    budgets: tuple[Budget, ...] = ()
    attacks: tuple[AttackGate, ...] = ()


def load_gates(path: Path) -> Gates:
    """Read a gates file. Raises SettingsError that lists every problem, unknown metrics and variants included."""
    gates = Gates(
        load_requirements(path),
        load_claims(path),
        load_floors(path),
        load_adapter_gates(path),
        load_budgets(path),
        load_attack_gates(path),
    )
    if problems := list(_unknown_names(gates)):
        raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))
    return gates


def _unknown_names(gates: Gates) -> Iterator[str]:
    metrics = known_metrics()
    named = [(r.name, r.metric, (*r.variants, *r.baseline)) for r in gates.requirements]
    named += [(c.name, c.metric, (c.better, c.worse)) for c in gates.claims]
    for gate in gates.attacks:
        for variant in (*gate.variants, *gate.baseline):
            if variant not in VARIANTS:
                yield f"{gate.name}: variant {variant!r} is unknown; known are {', '.join(VARIANTS)}"
    for name, metric, variants in named:
        if metric not in metrics:
            yield f"{name}: metric {metric!r} is unknown; known are {', '.join(metrics)}"
        for variant in variants:
            if variant not in VARIANTS:
                yield f"{name}: variant {variant!r} is unknown; known are {', '.join(VARIANTS)}"
