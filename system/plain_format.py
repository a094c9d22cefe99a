"""``ChatFormat`` without transformers, whose import takes seconds: the same prompts from the tokenizers package alone.

    prompt = PlainFormat(location).chat("You are ...", "My bill is wrong.")

Reads tokenizer.json, tokenizer_config.json and the chat template as save_pretrained writes them.
Knows text and tokens; must not know variants, passages or complaints.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from system.chat_format import ChatFormat
from system.errors import ModelError

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class PlainTokenizer:
    """What ``ChatFormat`` asks of a tokenizer."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer

        self._folder = folder
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        template = folder / "chat_template.jinja"
        self.chat_template: str | None = (
            template.read_text(encoding="utf-8") if template.exists() else settings.get("chat_template")
        )
        self._named = {key: _content(settings[key]) for key in NAMED_TOKENS if settings.get(key)}
        more = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
        special = [*self._named.values(), *map(_content, more)]
        self.all_special_ids = [self._tokenizer.token_to_id(token) for token in dict.fromkeys(special)]
        unknown = self._named.get("unk_token")
        self.unk_token_id = None if unknown is None else self._tokenizer.token_to_id(unknown)

    def get_added_vocab(self) -> dict[str, int]:
        """The tokens that stand beside the vocabulary proper, control tokens among them."""
        return {token.content: number for number, token in self._tokenizer.get_added_tokens_decoder().items()}

    def apply_chat_template(self, turns: Sequence[Mapping[str, str]], **options: Any) -> str:
        """The turns as the model's own template writes them, then the opening of its answer. Raises ModelError."""
        import jinja2

        try:
            return str(self._template.render(messages=turns, add_generation_prompt=True, **self._named))
        except jinja2.TemplateError as error:
            raise ModelError(f"chat template of {self._folder}: {error}; use the transformers backend") from error

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool) -> str:
        """The text of token ids."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=skip_special_tokens))

    def __call__(self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool = False) -> SimpleNamespace:
        """A text's tokens, and where each stands in it."""
        read = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return SimpleNamespace(input_ids=read.ids, offset_mapping=read.offsets)

    @cached_property
    def _template(self) -> Any:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise jinja2.TemplateError(message)

        # A name that is not here is an error; transformers knows more, which answers to complaints do not need.
        rooms = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        rooms.globals["raise_exception"] = refuse
        rooms.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
        return rooms.from_string(self.chat_template or "")


class PlainFormat(ChatFormat):
    """``ChatFormat`` of a decoder-only model without transformers."""

    def __init__(self, location: str):
        self.tokenizer = PlainTokenizer(Path(location))
        self.is_encoder_decoder = False
        self._type = json.loads((Path(location) / "config.json").read_text(encoding="utf-8"))["model_type"]


def _content(token: str | Mapping[str, Any]) -> str:
    """A special token, written out as its text or as a record of it."""
    return token if isinstance(token, str) else str(token["content"])
