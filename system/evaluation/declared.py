"""Was an answer made as its variant says? The record against the declaration, before anyone judges the words.

    not_as_declared(response, complaint, official) -> (0.0, "") or (1.0, "cause prompt: ...")

A model that loses its instructions or is given somebody else's complaint still writes fluent sentences, and a small
model's answers hardly get worse by it: what it was given can be checked, and is. Compared by letters and digits alone,
in the prompt as the model got it; nothing is rendered again, so a fault of rendering is found, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

from system.models import SERVER
from system.privacy import company_values, masked
from system.records import Complaint, Prompt, Response
from system.settings import read_toml
from system.variants import REWRITING, TEMPLATES, Variant, find_variant

_BEGINNING = 120  # letters of a passage that must be there: one that does not fit is cut


def not_as_declared(response: Response, complaint: Complaint, official: str) -> tuple[float, str]:
    """In how many ways the answer was made otherwise than its variant in ``system.variants`` declares."""
    found = list(_faults(response, complaint, official))
    return float(len(found)), f"cause prompt: {'; '.join(found)}" if found else ""


def _faults(response: Response, complaint: Complaint, official: str) -> Iterator[str]:
    variant = find_variant(response.variant)
    if variant is None:
        yield f"no variant {response.variant!r} is declared"
        return
    if response.complaint != complaint.text:
        yield "the answer is to another message"
    if response.decoding != (REWRITING if response.rewritten and variant.faithful else variant.decoding):
        yield f"decoded with {response.decoding}"
    if response.identity.adapter != variant.adapter:
        yield f"made with the adapter {response.identity.adapter!r}"
    if response.prompt is not None:
        yield from _prompt_faults(response, response.prompt, variant, complaint, official)


def _prompt_faults(
    response: Response, prompt: Prompt, variant: Variant, complaint: Complaint, official: str
) -> Iterator[str]:
    given = _letters(_as_text(prompt.text))
    template = variant.templates[-1 if response.decision.action == "DIRECT" else 0]
    if prompt.template != template:
        yield f"the template is {prompt.template!r}"
    if _letters(_instructions(template, with_context=bool(prompt.passages))) not in given:
        yield f"the instructions of {template!r} are not in the prompt"
    is_remote = response.identity.model_hash == SERVER  # then the customer's personal data is masked
    shown = masked(complaint.text, _company_values(official)) if is_remote else complaint.text
    if _letters(shown) not in given:
        yield "the customer's words are not in the prompt"
    if response.decision.action == "RAG" and not prompt.passages:
        yield "no passage is in the prompt"
    hits = {hit.passage: hit for hit in response.hits}
    for passage in prompt.passages:
        if passage not in hits:
            yield f"{passage} was not retrieved"
        elif _letters(f"{hits[passage].heading}{hits[passage].text}")[:_BEGINNING] not in given:
            yield f"the text of {passage} is not in the prompt"


@cache
def _company_values(official: str) -> frozenset[str]:
    return company_values(official)


@cache
def _instructions(template: str, with_context: bool) -> str:
    return str(read_toml(TEMPLATES / f"{template}.toml")["system_with_context" if with_context else "system"])


def _as_text(prompt: str) -> str:
    """A server's prompt is a list of messages in JSON; their texts."""
    try:
        return "\n".join(message["content"] for message in json.loads(prompt))
    except (ValueError, TypeError, KeyError):
        return prompt


def _letters(text: str) -> str:
    """Without what a tokenizer's control tokens are broken up by, or a chat format changes: spaces and signs."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
