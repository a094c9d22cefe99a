"""How a base model is spoken to: its turns, its control tokens, its count of tokens. Needs its tokenizer, no weights.

Knows text and tokens; must not know variants, passages or complaints.
"""

from __future__ import annotations

from typing import Any, Protocol

# Some models mark a turn with plain words, which no tokenizer knows as control tokens.
TEMPLATE_MARKERS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")
PLAIN_MARKERS = ("Instruct:", "Output:")


class Format(Protocol):
    """What is needed to put a conversation into a model's own format."""

    def chat(self, system: str, user: str) -> str:
        """The exact prompt for one turn; what the customer wrote must have been neutralised before."""
        ...

    def neutralise(self, text: str) -> str:
        """The text with the model's control tokens broken up, so that data cannot open or close a turn."""
        ...

    def count_tokens(self, text: str) -> int:
        """Length of a text in the model's tokens."""
        ...


class ChatFormat:
    """The format of a local model. Raises what transformers raises where folder or tokenizer cannot be read."""

    def __init__(self, location: str):
        import transformers

        transformers.utils.logging.set_verbosity_error()
        config = transformers.AutoConfig.from_pretrained(location)
        self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(location)
        self.is_encoder_decoder = bool(config.is_encoder_decoder)
        self._type = config.model_type

    def chat(self, system: str, user: str) -> str:
        """See Format. Templates without a system role get its text at the head of the user's turn."""
        if self.tokenizer.chat_template:
            turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            if self._type == "mistral":
                turns = [{"role": "user", "content": f"{system}\n\n{user}"}]
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        if self.is_encoder_decoder:
            return f"{system}\n\n{user}"
        return f"Instruct: {system}\n\n{user}\nOutput:"  # the form that Phi-2's model card gives

    def neutralise(self, text: str) -> str:
        """See Format."""
        markers = {token for token in self.tokenizer.get_added_vocab() if len(token) > 1 and not token.isspace()}
        if not self.is_encoder_decoder:
            markers.update(TEMPLATE_MARKERS if self.tokenizer.chat_template else PLAIN_MARKERS)
        for marker in sorted(markers, key=len, reverse=True):
            text = text.replace(marker, f"{marker[0]} {marker[1:]}")
        # A tokenizer may fold other characters into a control token, as NFKC does with full-width brackets.
        while spans := self._control_spans(text):
            for start, stop in reversed(spans):
                middle = (start + stop + 1) // 2
                text = f"{text[:middle]} {text[middle:]}" if stop - start > 1 else f"{text[:start]} {text[stop:]}"
        return text

    def _control_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the tokenizer reads control tokens in a text; the unknown token stands for anything and is none."""
        control = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [span for token, span in zip(read.input_ids, read.offset_mapping, strict=True) if token in control]

    def count_tokens(self, text: str) -> int:
        """See Format."""
        return len(self.tokenizer(text, add_special_tokens=False).input_ids)

    def encode(self, prompt: str) -> list[int]:
        """A prompt's tokens as the model reads them."""
        # Chat templates write the start token themselves; a plain prompt gets it from the tokenizer.
        return list(self.tokenizer(prompt, add_special_tokens=not self.tokenizer.chat_template).input_ids)
