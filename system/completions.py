"""A base model that is loaded only for what the cache does not hold: prompts it has formatted, completions it has made.

    model = CachedModel(source, adapter_hash, load, cache)
    prompts = model.prompts([(template, "My bill is wrong.", hits, None)])
    for position, completion in model.complete([prompt.text for prompt in prompts], decoding): ...

A completion is found under the prompt's text, the weights, the adapter, the decoding, the code and the libraries that
made it. It is one that the model gave to this prompt in some batch: in bfloat16 another batch may word it otherwise.
Nothing of a server is kept, for nobody can tell when its weights change; nor are errors and empty completions.
Must not know variants, decisions or complaints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import msgspec

from system.cache import Cache, key_of, made_by
from system.generation import Completion, Generator
from system.models import ModelSource
from system.prompts import Template, render
from system.records import Decoding, Hit, Prompt

CODE = "chat_format completions decoding generation prompts"
LIBRARIES = "jinja2 peft tokenizers torch transformers"
Request = tuple[Template, str, Sequence[Hit], "int | None"]  # what a prompt is made of; see ``system.prompts.render``
T = TypeVar("T")
_prompt = msgspec.json.Decoder(Prompt)
_completion = msgspec.json.Decoder(Completion)


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One base model with one adapter or none. ``cache`` None: everything is asked of the model."""

    source: ModelSource
    adapter_hash: str | None
    load: Callable[[], Generator]
    cache: Cache | None

    def prompts(self, requests: Sequence[Request]) -> list[Prompt]:
        """The prompt of each request; see ``system.prompts.render``."""
        signature = _signature(self.source, self.adapter_hash)
        if self.cache is None or signature is None:
            return [_rendered(request, self.load()) for request in requests]
        keys = [_prompt_key(signature, *request) for request in requests]
        found = [_decoded(_prompt, value) for value in self.cache.get_many("prompt", keys)]
        prompts = [old or _rendered(request, self.load()) for old, request in zip(found, requests, strict=True)]
        if not all(found) and _is(self.load(), signature):
            fresh = zip(keys, found, prompts, strict=True)
            self.cache.put_many("prompt", {key: msgspec.json.encode(new) for key, old, new in fresh if old is None})
        return prompts

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """See Generator.generate. Known completions come first, each as one piece of text that took no time."""
        signature = _signature(self.source, self.adapter_hash)
        if self.cache is None or signature is None:
            yield from self.load().generate(prompts, decoding, on_text)
            return
        keys = [key_of(signature, decoding, prompt) for prompt in prompts]
        missing: list[int] = []
        for position, value in enumerate(self.cache.get_many("generation", keys)):
            if (completion := _decoded(_completion, value)) is None:
                missing.append(position)
                continue
            if on_text:
                on_text(position, completion.text)
            yield position, replace(completion, seconds=0.0, cached=True)
        if not missing:
            return

        def grow(number: int, text: str) -> None:
            if on_text:
                on_text(missing[number], text)

        generator = self.load()
        is_named = _is(generator, signature)
        asked = [prompts[position] for position in missing]
        for number, completion in generator.generate(asked, decoding, grow if on_text else None):
            if is_named and completion.error is None and completion.text.strip():
                # One by one, so that a run that is killed keeps what it has paid for.
                self.cache.put_many("generation", {keys[missing[number]]: msgspec.json.encode(completion)})
            yield missing[number], completion


def _signature(source: ModelSource, adapter_hash: str | None) -> str | None:
    """Everything that prompts and completions depend on besides what is asked; None where that cannot be told."""
    if source.is_server:
        return None
    return key_of(source.sha256, adapter_hash, made_by(CODE, LIBRARIES), _number_formats())


def _is(generator: Generator, signature: str) -> bool:
    """Whether this is the model that was looked up; its files may have changed since it was loaded."""
    return _signature(generator.source, generator.adapter_hash) == signature


def _rendered(request: Request, generator: Generator) -> Prompt:
    template, complaint, hits, room = request
    return render(template, complaint, hits, generator, room)


def _prompt_key(signature: str, template: Template, complaint: str, hits: Sequence[Hit], room: int | None) -> str:
    return key_of(signature, template, complaint, [(hit.passage, hit.heading, hit.text) for hit in hits], room)


def _decoded(decoder: msgspec.json.Decoder[T], value: bytes | None) -> T | None:
    """A stored record; None if there is none, or if an older version wrote it."""
    try:
        return None if value is None else decoder.decode(value)
    except msgspec.DecodeError:
        return None


@lru_cache(maxsize=1)
def _number_formats() -> str:
    """What the processor multiplies natively decides the format of the weights; see ``compute_dtype``."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return ""
    return " ".join(sorted({"avx512_bf16", "amx_tile"} & set(flags)))
