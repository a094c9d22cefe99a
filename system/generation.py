"""Prompts in, completions out: the seam in front of every base model.

``load_generator`` returns a Generator for any name that ``system.models`` resolves: decoder-only models go through
the batched decoder, encoder-decoder models through ``transformers.generate``, servers through HTTP.
Knows text and tokens; must not know variants, passages or complaints. torch is imported when a model is loaded.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from system.chat_format import ChatFormat, Format
from system.errors import ModelError
from system.models import ModelSource, adapter_folder, adapter_hash, resolve_model
from system.records import Decoding

if TYPE_CHECKING:
    import torch

ENCODER_DECODER_BATCH = 32


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's words for one prompt. ``stopped``: it ended its turn by itself; otherwise the token limit did."""

    text: str
    tokens: int
    stopped: bool
    seconds: float  # from the start of the batch until this completion was whole
    error: str | None = None
    cached: bool = False  # made earlier, and read now; then ``seconds`` is 0


class Generator(Format, Protocol):
    """A language model with its format of conversations; ``generate`` continues a prompt."""

    source: ModelSource
    adapter: str | None
    adapter_hash: str | None

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """Yield (position, completion) as each is done, in any order.

        ``on_text(position, text so far)`` is called while a completion grows, where the model can do that.
        """
        ...


def load_generator(name: str, adapter: str | None = None) -> Generator:
    """Load a base model by name, with a LoRA adapter folder on top if one is given. Raises ModelError."""
    source = resolve_model(name)
    if source.is_server:
        if adapter:
            raise ModelError(
                f"base model {source.name!r} is a server and cannot take the adapter {adapter!r}; drop one"
            )
        from system.server_model import ServerGenerator

        return ServerGenerator(source)
    return TransformersGenerator(source, adapter)


def compute_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32: emulated bfloat16 is slower than both."""
    import torch

    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    native = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if native else torch.float32


class TransformersGenerator(ChatFormat):
    """A local model run by transformers. Greedy; deterministic for one batch composition and one processor."""

    def __init__(self, source: ModelSource, adapter: str | None = None, dtype: torch.dtype | None = None):
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.source = source
        self.adapter = adapter
        self.adapter_hash: str | None = None
        try:
            super().__init__(source.location)
            auto = transformers.AutoModelForSeq2SeqLM if self.is_encoder_decoder else transformers.AutoModelForCausalLM
            loaded: Any = auto.from_pretrained(
                source.location, dtype=dtype or compute_dtype(), output_loading_info=True
            )
            model, info = loaded
        except Exception as error:  # the readers of weights and tokenizers share no base class
            raise ModelError(
                f"base model {source.name!r} cannot be loaded from {source.location}: {_first_line(error)}"
            ) from error
        if missing := sorted(info["missing_keys"]):  # transformers would answer with random weights in their place
            raise ModelError(
                f"base model {source.name!r} lacks {len(missing)} weights in {source.location} "
                f"({missing[0]} is the first); give a whole model that can write"
            )
        if adapter:
            model = self._with_adapter(model, adapter)
            self.adapter_hash = adapter_hash(adapter)
        self._model = model.eval()
        self._end = self._end_tokens()
        if not self.is_encoder_decoder:
            from system.decoding import BatchDecoder

            self._decoder = BatchDecoder(self._model, self._end)

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """See Generator."""
        import torch

        torch.manual_seed(decoding.seed)
        ids = [self.encode(prompt) for prompt in prompts]
        run = self._encode_decode if self.is_encoder_decoder else self._decode
        yield from run(ids, decoding, on_text)

    def _decode(
        self, ids: list[list[int]], decoding: Decoding, on_text: Callable[[int, str], None] | None
    ) -> Iterator[tuple[int, Completion]]:
        began = time.perf_counter()
        grown: dict[int, list[int]] = {}

        def on_token(index: int, token: int) -> None:
            if on_text and token not in self._end:
                grown.setdefault(index, []).append(token)
                on_text(index, self._text(grown[index]))

        decoder = self._decoder
        for done in decoder.decode(
            ids, decoding.max_new_tokens, decoding.repetition_penalty, on_token if on_text else None
        ):
            seconds = time.perf_counter() - began
            yield done.index, Completion(self._text(done.tokens), len(done.tokens), done.stopped, seconds)

    def _encode_decode(
        self, ids: list[list[int]], decoding: Decoding, on_text: Callable[[int, str], None] | None
    ) -> Iterator[tuple[int, Completion]]:
        import torch

        began = time.perf_counter()
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        pad = self.tokenizer.pad_token_id
        for first in range(0, len(order), ENCODER_DECODER_BATCH):
            part = order[first : first + ENCODER_DECODER_BATCH]
            width = max(len(ids[i]) for i in part)
            with torch.inference_mode():
                output = self._model.generate(
                    input_ids=torch.tensor([ids[i] + [pad] * (width - len(ids[i])) for i in part]),
                    attention_mask=torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in part]),
                    max_new_tokens=decoding.max_new_tokens,
                    repetition_penalty=decoding.repetition_penalty,
                    do_sample=False,
                    num_beams=1,
                )
            seconds = time.perf_counter() - began
            for index, row in zip(part, output[:, 1:].tolist(), strict=True):  # the first is the decoder's start
                stops = [n for n, token in enumerate(row) if token in self._end]
                tokens = row[: stops[0]] if stops else row
                text = self._text(tokens)
                if on_text:
                    on_text(index, text)
                yield index, Completion(text, len(tokens), bool(stops), seconds)

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _end_tokens(self) -> frozenset[int]:
        """Tokens that end a turn, as the model's generation settings and its tokenizer name them."""
        named = self._model.generation_config.eos_token_id
        listed = named if isinstance(named, list) else [named]
        return frozenset(token for token in (*listed, self.tokenizer.eos_token_id) if token is not None)

    def _with_adapter(self, model: Any, adapter: str) -> Any:
        """The model with the adapter's weights merged in: a merged model decodes as fast as the base."""
        folder = adapter_folder(adapter)
        if not (folder / "adapter_config.json").exists():
            raise ModelError(f"adapter {adapter!r} is not a PEFT folder (adapter_config.json is missing); train one")
        from peft import PeftModel

        try:
            with warnings.catch_warnings():
                # PEFT would go on with the base model's own behaviour where an adapter's weights are missing.
                warnings.filterwarnings("error", message="Found missing adapter keys")
                # PEFT asks transformers for a property by its old name.
                warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
                return PeftModel.from_pretrained(model, folder).merge_and_unload()
        except Exception as error:  # PEFT, the Hub client and the readers of weights share no base class
            raise ModelError(
                f"adapter {adapter!r} does not fit the base model {self.source.name!r}: {_first_line(error)}"
            ) from error


def _first_line(error: Exception) -> str:
    """The first line of an error's message, or its name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
