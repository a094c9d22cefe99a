"""A base model run by llama.cpp in this process, for fast single answers: ``llamacpp:smollm2-135m``.

    generator = LlamaCppGenerator(llamacpp_source("llamacpp:smollm2-135m"), "adapters/support-lora")
    generator.read(beginnings)                                    what many prompts begin with, read once
    for position, completion in generator.generate(prompts, decoding): ...

Prompts are those of ``system.chat_format``, byte for byte, and go to llama.cpp as token ids. Weights and activations
of 8 bits are multiplied, so that answers differ from those of transformers, which unpacks the weights: the source has
a hash of its own. How far they differ: ``python -m system.llamacpp_check``.
A prompt's known beginning is not read again; read in other pieces it is rounded otherwise, so that a near tie
may fall the other way. Must not know variants, passages or complaints. Needs neither torch nor transformers.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from system.cache import key_of, made_by
from system.errors import ModelError
from system.generation import Completion
from system.gguf_adapter import cached_adapter
from system.gguf_weights import cached_weights
from system.models import (
    DEFAULT_MODEL,
    EMBEDDED_SHA256,
    ModelSource,
    adapter_hash,
    embedded_gguf,
    file_sha256,
    resolve_model,
)
from system.models import (
    LLAMACPP_PREFIX as PREFIX,
)
from system.plain_format import PlainFormat
from system.records import Decoding

SLOT_TOKENS = 2048  # prompt and answer; the longest prompts have 700 tokens. 23 kB of memory each
CACHE_MIB = 1024  # of prompts read before; one of 400 tokens takes 9
INSTALL = "pip install 'support-assistant[llamacpp]'"
REQUEST = {"temperature": 0.0, "samplers": ["penalties", "top_k"], "top_k": 1, "cache_prompt": True}
Grow = Callable[[str], bool]  # is given the text so far; says whether to break off
Answer = tuple[str, int, bool]  # text, tokens, whether the model ended its turn
STEP_SECONDS = 600  # for one token, behind the prompts of all slots


def llamacpp_source(name: str) -> ModelSource:
    """``llamacpp:`` and the default model's name or a folder with one GGUF file and its tokenizer. Raises ModelError.

    The hash is of the file, of llama.cpp's version, whose arithmetic is part of the answer, and of the code here.
    """
    base = name.removeprefix(PREFIX)
    if base == DEFAULT_MODEL:
        location = resolve_model(base).location
    elif Path(base).is_dir():
        location = base
    else:
        raise ModelError(f"base model {name!r}: llama.cpp runs {DEFAULT_MODEL} or a folder with a .gguf file; give one")
    try:
        made = made_by("gguf_adapter gguf_weights llamacpp plain_format", "gguf tokenizers xllamacpp")
    except PackageNotFoundError as error:
        raise ModelError(f"base model {name!r} needs llama.cpp; run: {INSTALL}") from error
    return ModelSource(name, location, key_of(_weights(base, location)[1], made))


class LlamaCppGenerator(PlainFormat):
    """A Generator over llama.cpp's own server in this process. Greedy.

    ``slots`` prompts at a time, by default ``default_slots()``. As in ``system.decoding``, the repetition penalty sees
    generated tokens only. An answer ends at the GGUF file's end token, and at any other that llama.cpp knows by name,
    such as <|endoftext|>.
    """

    def __init__(self, source: ModelSource, adapter: str | None = None, slots: int | None = None):
        self.source = source
        self.adapter = adapter
        self.adapter_hash = adapter_hash(adapter) if adapter else None
        try:
            xllamacpp = _llama_cpp()
            super().__init__(source.location)
        except ImportError as error:
            raise ModelError(f"base model {source.name!r} needs llama.cpp ({error}); run: {INSTALL}") from error
        except Exception as error:  # the readers of files and the tokenizer share no base class
            raise ModelError(f"base model {source.name!r}: {source.location} has no tokenizer ({error})") from error
        weights, sha256 = _weights(source.name.removeprefix(PREFIX), source.location)
        settings = xllamacpp.CommonParams()
        settings.model.path = str(cached_weights(weights, sha256))
        if adapter:
            file = cached_adapter(adapter, weights, sha256)
            settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(file), 1.0)]
        self._slots = default_slots() if slots is None else slots
        settings.n_parallel, settings.n_ctx, settings.n_gpu_layers = self._slots, self._slots * SLOT_TOKENS, 0
        settings.cpuparams_batch.n_threads = _threads()
        # Between the hundreds of small products of one token all threads wait for the last. Where another process takes
        # a processor, that is a hundred times slower than one thread; half of the processors leave it one.
        settings.cpuparams.n_threads = max(1, _threads() // 2)
        settings.cache_ram_mib = CACHE_MIB
        settings.warmup, settings.verbosity = False, -1
        # The server cannot be kept from listening on a local port: nobody but this object is answered there.
        self._key = secrets.token_hex(32)
        settings.api_keys, settings.endpoint_slots, settings.ui = [self._key], False, False
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise ModelError(f"base model {source.name!r} cannot be loaded by llama.cpp from {weights}") from error

    def read(self, beginnings: Sequence[str]) -> None:
        """Read what many prompts begin with, so that later only the rest of each is read. Raises ModelError."""
        for beginning in beginnings:
            self._checked({"prompt": self.encode(beginning), "n_predict": 1})

    def likeliest(self, tokens: Sequence[int], count: int) -> dict[int, float]:
        """The ``count`` likeliest tokens after these with natural logarithms of their probabilities, likeliest first.

        Raises ModelError if llama.cpp refuses the request.
        """
        # It reports nothing for a token that ends within a character. Whatever is forced, the report is of the model.
        forced = [[self.encode("a")[-1], 1e6]]
        request = {"prompt": list(tokens), "n_predict": 1, "n_probs": count, "logit_bias": forced}
        (entry,) = self._checked(request)["choices"][0]["logprobs"]["content"]
        return {other["id"]: other["logprob"] for other in entry["top_logprobs"]}

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Iterator[tuple[int, Completion]]:
        """See Generator."""
        began = time.perf_counter()
        events: queue.SimpleQueue[tuple[int, str | Completion]] = queue.SimpleQueue()
        unwanted = threading.Event()
        answer = self._streamed if decoding.repetition_penalty == 1.0 else self._penalised

        def ask(position: int) -> None:
            def grow(text: str) -> bool:
                if on_text:
                    events.put((position, text))
                return unwanted.is_set()

            try:
                text, tokens, stopped = answer(self.encode(prompts[position]), decoding, grow)
                done = Completion(text, tokens, stopped, time.perf_counter() - began)
            except ModelError as error:
                done = Completion("", 0, False, time.perf_counter() - began, f"RequestRefused: {error}")
            except Exception as error:  # one broken answer must not take the others with it
                done = Completion("", 0, False, time.perf_counter() - began, f"{type(error).__name__}: {error}")
            events.put((position, done))

        pool = ThreadPoolExecutor(self._slots)
        try:
            for position in range(len(prompts)):
                pool.submit(ask, position)
            left = len(prompts)
            while left:  # ``on_text`` is called here, in the caller's thread
                position, found = events.get()
                if isinstance(found, Completion):
                    left -= 1
                    yield position, found
                elif on_text:
                    on_text(position, found)
        finally:
            unwanted.set()
            pool.shutdown(cancel_futures=True)

    def _streamed(self, prompt: list[int], decoding: Decoding, grow: Grow) -> Answer:
        """An answer in one request. Raises ModelError."""
        pieces: list[str] = []
        last: dict[str, Any] = {}

        def take(event: dict[str, Any]) -> bool:
            last.update(event)
            if "error" in event or not event["choices"][0]["text"]:
                return False
            pieces.append(event["choices"][0]["text"])
            return grow("".join(pieces))

        request = {"prompt": prompt, "n_predict": decoding.max_new_tokens, "stream": True}
        self._server.handle_completions({**REQUEST, **request}, take)
        if "error" in last:
            raise self._refused(last)
        stopped = last["choices"][0]["finish_reason"] == "stop"
        tokens = last.get("usage", {}).get("completion_tokens", 0)  # none where ``grow`` broke off
        return "".join(pieces), tokens - stopped, stopped

    def _penalised(self, prompt: list[int], decoding: Decoding, grow: Grow) -> Answer:
        """An answer token by token: llama.cpp penalises the last n tokens, the prompt's among them.

        Asked for one token, n is the number of those generated; all before is in the slot and is not computed twice.
        The token's id is told by the server's own route only. Raises ModelError, httpx.HTTPError.
        """
        import httpx

        login = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(
            base_url=self._server.listening_address, headers=login, timeout=STEP_SECONDS, trust_env=False
        ) as http:
            tokens: list[int] = []
            while len(tokens) < decoding.max_new_tokens:
                request = {"prompt": prompt + tokens, "n_predict": 1, "return_tokens": True}
                penalty = {"repeat_penalty": decoding.repetition_penalty, "repeat_last_n": len(tokens)}
                found = http.post("/completion", json={**REQUEST, **request, **penalty}).json()
                if "error" in found:
                    raise self._refused(found)
                if found["stop_type"] == "eos":
                    return self._text(tokens), len(tokens), True
                tokens += found["tokens"]
                if grow(self._text(tokens)):
                    break
        return self._text(tokens), len(tokens), False

    def _checked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._server.handle_completions({**REQUEST, **request})
        if "error" in found:
            raise self._refused(found)
        return found

    def _refused(self, found: Mapping[str, Any]) -> ModelError:
        error = found["error"]
        return ModelError(f"base model {self.source.name!r}: {error.get('message', error)}; give a shorter prompt")

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def _weights(name: str, location: str) -> tuple[Path, str]:
    """The GGUF file and its sha256: the embedded one, or the only one of a folder."""
    if name == DEFAULT_MODEL:
        return embedded_gguf(), EMBEDDED_SHA256
    found = sorted(Path(location).glob("*.gguf"))
    if len(found) != 1:
        raise ModelError(f"base model {name!r}: {location} holds {len(found)} .gguf files; leave one")
    return found[0], file_sha256(found[0])


def _llama_cpp() -> Any:
    """The library, its threads told to sleep while they wait. Raises ImportError.

    They would spin, and where another process takes a processor that is five times slower. OpenMP reads the variable
    once, when the library is loaded; other libraries' threads are left as they are.
    """
    known = os.environ.get("OMP_WAIT_POLICY")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    finally:
        if known is None:
            del os.environ["OMP_WAIT_POLICY"]
    return xllamacpp


def default_slots() -> int:
    """How many prompts are answered side by side: one for two processors.

    On two, eight answers one after the other took 35 s and in four slots 43 s, and the first customers wait a fifth.
    """
    return max(1, _threads() // 2)


def _threads() -> int:
    """Processors that this process may use, or what OMP_NUM_THREADS says."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else len(os.sched_getaffinity(0))
