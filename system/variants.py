"""The variants: each a row of data. All share one base model and, where they retrieve, one retriever.

A name like ``rag+structured`` is the variant ``rag`` with the template ``structured``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from system.errors import SettingsError
from system.records import Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How complaints are answered.

    ``policy``: never retrieve, always retrieve, or let the decision stage choose per complaint. ``guard``: take out
    sentences that no agent could stand by; see ``system.guard``. ``faithful``: write an answer with an unsupported
    claim again, and replace it if that does not help; see ``system.faithful``. ``context_tokens``: room for passages in
    the prompt, None for the usual of ``system.prompts``.
    """

    name: str
    template: str
    policy: Literal["never", "always", "agent"]
    direct_template: str | None = None  # of an agent's DIRECT answers, if they differ
    retriever: str | None = None
    context_tokens: int | None = None
    guard: bool = False
    faithful: bool = False
    adapter: str | None = None
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def templates(self) -> tuple[str, ...]:
        """The template of answers to complaints, then that of direct answers if it is another."""
        return (self.template, self.direct_template) if self.direct_template else (self.template,)


TEMPLATES = Path(__file__).parent / "templates"
ADAPTER = "adapters/support-lora"
COPYING = Decoding(repetition_penalty=1.0)  # steps and names of the article must be free to come again
REWRITING = Decoding(repetition_penalty=1.1)  # of a second attempt; the same settings would give the same words

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(name="prompt-empathetic", template="empathetic", policy="never"),
        Variant(name="prompt-structured", template="structured", policy="never"),
        Variant(name="prompt-friendly", template="friendly", policy="never"),
        Variant(name="rag", template="empathetic", policy="always", retriever="dense"),
        Variant(
            name="agent-rag",
            template="empathetic",
            direct_template="chat",
            policy="agent",
            retriever="dense",
            guard=True,
        ),
        Variant(name="fine-tuned", template="empathetic", policy="never", adapter=ADAPTER),
        Variant(
            name="agent-rag-fine-tuned",
            template="empathetic",
            direct_template="chat",
            policy="agent",
            retriever="dense",
            context_tokens=440,  # two passages: it was trained to read the right one of several
            guard=True,
            faithful=True,
            adapter=ADAPTER,
            decoding=COPYING,
        ),
    )
}


def with_template(variant: Variant, template: str) -> Variant:
    """The variant with another template, under the name ``variant+template``; a declared one if it is that one."""
    if template == variant.template:
        return variant
    other = replace(variant, template=template, name=f"{variant.name}+{template}")
    return next((v for v in VARIANTS.values() if replace(v, name=other.name) == other), other)


def template_names() -> frozenset[str]:
    """The names of all templates, those of the prompt study with their folder."""
    return frozenset(path.relative_to(TEMPLATES).with_suffix("").as_posix() for path in TEMPLATES.rglob("*.toml"))


def find_variant(name: str) -> Variant | None:
    """The variant of this name, ``variant+template`` included; None if there is none."""
    declared, plus, template = name.partition("+")
    if declared not in VARIANTS or (plus and template not in template_names()):
        return None
    return with_template(VARIANTS[declared], template) if plus else VARIANTS[declared]


def only_variant(name: str, otherwise: str) -> Variant:
    """The variant that an option names. Raises SettingsError, with the words of ``otherwise`` if it names several."""
    variant, *others = find_variants(name)
    if others:
        raise SettingsError(f"--variant {name!r}: {otherwise}")
    return variant


def find_variants(names: str) -> tuple[Variant, ...]:
    """The variants of a comma-separated list, in its order. Raises SettingsError naming every unknown one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    found = {name: find_variant(name) for name in wanted}
    unknown = [name for name, variant in found.items() if variant is None]
    if unknown or not wanted:
        asked = ", ".join(map(repr, unknown)) or "nothing"
        others = "" if "+" not in names else f", and after a + from {', '.join(sorted(template_names()))}"
        raise SettingsError(f"unknown variant {asked}; choose from {', '.join(VARIANTS)}{others}")
    return tuple({variant.name: variant for variant in found.values() if variant is not None}.values())
