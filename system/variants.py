"""The variants: each a row of data. All share one base model and, where they retrieve, one retriever."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from system.errors import SettingsError
from system.records import Decoding


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How complaints are answered.

    ``policy``: never retrieve, always retrieve, or let the decision stage choose per complaint. ``guard``: take out
    sentences that no agent could stand by; see ``system.guard``. ``context_tokens``: room for passages in the prompt,
    None for the usual of ``system.prompts``.
    """

    name: str
    template: str
    policy: Literal["never", "always", "agent"]
    direct_template: str | None = None  # of an agent's DIRECT answers, if they differ
    retriever: str | None = None
    context_tokens: int | None = None
    guard: bool = False
    adapter: str | None = None
    decoding: Decoding = field(default_factory=Decoding)

    @property
    def templates(self) -> tuple[str, ...]:
        """The template of answers to complaints, then that of direct answers if it is another."""
        return (self.template, self.direct_template) if self.direct_template else (self.template,)


ADAPTER = "adapters/support-lora"
COPYING = Decoding(repetition_penalty=1.0)  # steps and names of the article must be free to come again

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
            adapter=ADAPTER,
            decoding=COPYING,
        ),
    )
}


def find_variants(names: str) -> tuple[Variant, ...]:
    """The variants of a comma-separated list, in its order. Raises SettingsError naming every unknown one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in VARIANTS]
    if unknown or not wanted:
        asked = ", ".join(map(repr, unknown)) or "nothing"
        raise SettingsError(f"unknown variant {asked}; choose from {', '.join(VARIANTS)}")
    return tuple(VARIANTS[name] for name in dict.fromkeys(wanted))
