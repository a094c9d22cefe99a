"""The variants are rows of data that fit together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from system.errors import SettingsError
from system.variants import VARIANTS, find_variants


def test_names_are_the_keys() -> None:
    """A variant is found under the name that its responses carry."""
    assert all(variant.name == name for name, variant in VARIANTS.items())


@pytest.mark.parametrize("name", list(VARIANTS))
def test_a_variant_is_consistent(name: str) -> None:
    """Whoever retrieves names a retriever, whoever does not names none; decoding has sane bounds."""
    variant = VARIANTS[name]
    assert (variant.retriever is None) == (variant.policy == "never")
    assert variant.decoding.max_new_tokens > 0
    assert variant.decoding.repetition_penalty >= 1.0


def test_the_agent_is_guarded() -> None:
    """The variant that the strict gates bind takes out what no agent could stand by."""
    assert VARIANTS["agent-rag"].guard
    assert VARIANTS["agent-rag"].policy == "agent"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("rag", ["rag"]),
        ("rag,agent-rag", ["rag", "agent-rag"]),
        ("agent-rag, rag ,", ["agent-rag", "rag"]),
        ("rag,rag", ["rag"]),
        (",".join(VARIANTS), list(VARIANTS)),
        ("rag+structured", ["rag+structured"]),
        ("rag+empathetic", ["rag"]),
        ("prompt-friendly+structured,prompt-structured", ["prompt-structured"]),
    ],
)
def test_variants_are_found_in_the_asked_order(names: str, found: list[str]) -> None:
    """A list keeps its order, without spaces, empty parts and repetitions."""
    assert [variant.name for variant in find_variants(names)] == found


@pytest.mark.parametrize(
    ("names", "unknown"),
    [
        ("rga", "'rga'"),
        ("rag,rga,fine", "'rga', 'fine'"),
        ("RAG", "'RAG'"),
        ("rag+", "'rag+'"),
        ("rga+structured", "'rga+structured'"),
        ("rag+nonsense", "'rag+nonsense'"),
        ("rag+../../etc", "'rag+../../etc'"),
        ("rag+structured.toml", "'rag+structured.toml'"),
        ("rag agent-rag", "'rag agent-rag'"),
        ("", "nothing"),
        (" , ", "nothing"),
    ],
)
def test_unknown_variants_are_named_together(names: str, unknown: str) -> None:
    """Every unknown name is told at once, with those that may be chosen."""
    with pytest.raises(SettingsError) as caught:
        find_variants(names)
    told = f"unknown variant {unknown}; choose from {', '.join(VARIANTS)}"
    assert str(caught.value).partition(", and after a + from ")[0] == told
    assert ("after a + from chat, empathetic" in str(caught.value)) is ("+" in names)


def test_another_template_is_all_that_changes() -> None:
    """``variant+template`` keeps everything of the variant but its name and template."""
    (other,) = find_variants("agent-rag-fine-tuned+structured")
    assert other.template == "structured"
    assert replace(other, name="agent-rag-fine-tuned", template="empathetic") == VARIANTS["agent-rag-fine-tuned"]
