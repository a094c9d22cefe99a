"""The assistant: complaints in, responses out, through a short visible sequence of stages.

    hits = retriever.search(texts)            the variant's policy says whether
    decision = decide(signals)                agent variants; the others' policy is their decision
    prompt = render(template, text, hits)     or a scripted reply, where no model may answer
    completion = generator.generate(prompts)  all variants' prompts in one queue, equal prompts once
    text = guard(whole_sentences(...))        whole sentences, no invented facts
                                              where there were some: once more, then a safe answer instead

Knows every stage and no metric: ``system.evaluation`` reads its run log and never imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any, Literal, cast

from system.articles import load_articles
from system.cache import Cache, MemoryCache, made_by
from system.completions import CachedModel, Request
from system.decision import QUOTE, Measure, decide, load_calibration, load_rules
from system.demands import without_yes
from system.embeddings import CachedEmbed, Embed, Embedder
from system.errors import KnowledgeBaseError, SettingsError
from system.faithful import safe_answer, unsupported_words
from system.generation import Completion, Generator, load_generator
from system.guard import guard, whole_sentences, without_signature
from system.knowledge import chunk_by_heading, chunk_semantically, embedder_token_counter, knowledge_hash
from system.manners import RUDE_PATTERNS
from system.models import DEFAULT_MODEL, LLAMACPP_PREFIX, adapter_hash, file_sha256, resolve_embedder, resolve_model
from system.privacy import company_values, mask, masked
from system.prompts import TEMPLATES, Template, load_template
from system.records import Complaint, Decision, Finish, Hit, Identity, Passage, Prompt, Response
from system.reranking import CachedPairs, CrossEncoder, Reranker
from system.retrieval import Index, Retriever, Store, make_retriever
from system.runlog import response_key
from system.settings import stamp
from system.variants import REWRITING, Variant
from system.vetting import Suspect, load_contacts, vet
from system.wariness import WARINESS, load_wariness

TOP_K = 5  # hits recorded; the prompt takes the first that fit
# Whatever shapes an answer: the modules and libraries that it may pass through, whichever variant gives it.
STAGES = (
    "articles assistant chat_format chroma_store claims completions decision decoding demands embeddings "
    "evaluation/coverage faithful generation gguf_adapter gguf_weights guard knowledge llamacpp manners "
    "openai_client plain_format personal/addresses personal/names personal/numbers personal/patterns "
    "personal/phones personal/secrets privacy prompts recital reranking retrieval sentences server_model tone "
    "variants vetting wariness"
)
LIBRARIES = "jinja2 numpy peft rank-bm25 sentence-transformers tokenizers torch transformers"
_POLICY_REASON = {"never": "the variant never retrieves", "always": "the variant always retrieves"}


@dataclass(frozen=True, slots=True)
class Draft:
    """One complaint of one variant before a model has been asked."""

    complaint: Complaint
    variant: Variant
    key: str
    hits: tuple[Hit, ...]
    decision: Decision
    prompt: Prompt | None  # None: a scripted reply
    sources: tuple[str, ...]  # texts whose facts the answer may repeat
    seconds: dict[str, float]
    rewritten: bool = False  # the first answer had unsupported claims, this is the second attempt

    def guarded(self, text: str) -> tuple[str, tuple[str, ...]]:
        """What the guard leaves of a text, and the sentences that it takes out."""
        instructions = self.prompt.system if self.prompt else ""
        message = self.complaint.text
        words = without_yes(whole_sentences(without_signature(text)), message)
        return guard(words, self.sources, message, instructions)


@dataclass
class Assistant:
    """Answers complaints. Parts are loaded when they are first needed, so that cheap questions stay cheap."""

    base_model: str = DEFAULT_MODEL
    knowledge_base: Path = Path("knowledge_base")
    chunker: Literal["heading", "semantic"] = "heading"
    embedder: Embed | None = None  # None: the embedded one
    generators: dict[str | None, Generator] = field(default_factory=dict, repr=False)  # by adapter
    cache: Cache | None = None  # of embeddings, prompts and completions; None: nothing is kept
    store: str | None = None  # where passages and their vectors are kept, see ``system.chroma_store``; None: in memory
    reranker: str | None = None  # a cross-encoder that orders what was found anew, see ``system.reranking``
    _loading: Any = field(default_factory=Lock, init=False, repr=False, compare=False)

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """The passages that may be read: all but the suspect ones. Raises KnowledgeBaseError where none is left."""
        if self._vetted[0]:
            return self._vetted[0]
        reason = self.suspects[0].reason
        raise KnowledgeBaseError(f"{self.knowledge_base}: every article is suspect (the first {reason}); see check")

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """The passages that are kept apart, and why."""
        return self._vetted[1]

    @cached_property
    def _vetted(self) -> tuple[tuple[Passage, ...], tuple[Suspect, ...]]:
        return vet(self._all_passages, load_contacts(self.knowledge_base))

    @cached_property
    def _all_passages(self) -> tuple[Passage, ...]:
        """The knowledge base in passages, cut by heading or by meaning."""
        count = embedder_token_counter(Path(resolve_embedder().location) / "tokenizer.json")
        articles = load_articles(self.knowledge_base)
        if self.chunker == "semantic":
            return tuple(p for article in articles for p in chunk_semantically(article, count, self.embed))
        return tuple(p for article in articles for p in chunk_by_heading(article, count))

    @cached_property
    def embed(self) -> Embed:
        """The embedder, shared by index, chunker and decision."""
        embed = self.embedder or Embedder()
        return CachedEmbed(embed, self.cache) if self.cache is not None else embed

    @cached_property
    def index(self) -> Store:
        """The searchable passages."""
        if self.store is None:
            return Index(self.passages, knowledge_hash(self.passages), self.embed)
        from system.chroma_store import open_store

        return open_store(self.store, self.embed).index(self.passages, knowledge_hash(self.passages))

    @cached_property
    def measure(self) -> Measure:
        """The decision stage's eyes."""
        return Measure(load_rules(), self.index, load_wariness(self.index.embed.sha256))

    @cached_property
    def company_values(self) -> frozenset[str]:
        """Phone numbers, links and addresses of the articles: not personal, and never masked."""
        return company_values("\n\n".join(passage.text for passage in self.passages))

    @cached_property
    def _is_remote(self) -> bool:
        """Whether prompts leave the machine; then customers' personal data is masked in them."""
        return resolve_model(self.base_model).is_server

    def _restored(self, draft: Draft, text: str) -> str:
        """A remote model's words with the customer's own data in the place of its placeholders."""
        return mask(draft.complaint.text, self.company_values).restore(text) if self._is_remote else text

    def retriever(self, name: str) -> Retriever:
        """A retriever over the knowledge base, with the reranker behind it if there is one."""
        found = make_retriever(name, self.index)
        return found if self._pairs is None else Reranker(self._pairs, found)

    @cached_property
    def _pairs(self) -> CachedPairs | None:
        if self.reranker is None:
            return None
        return CachedPairs(CrossEncoder(self.reranker), self.cache if self.cache is not None else MemoryCache())

    def generator(self, adapter: str | None = None) -> Generator:
        """The base model, with an adapter if one is named; loaded once each."""
        with self._loading:  # several threads may ask at once
            if adapter not in self.generators:
                self.generators[adapter] = self._load(adapter)
            return self.generators[adapter]

    def _load(self, adapter: str | None) -> Generator:
        if self.base_model.startswith(LLAMACPP_PREFIX):
            from system.llamacpp import LlamaCppGenerator  # not in ``generation``: its source is part of cache keys

            return LlamaCppGenerator(resolve_model(self.base_model), adapter)
        return load_generator(self.base_model, adapter)

    def model(self, adapter: str | None = None) -> CachedModel:
        """The base model behind the cache: loaded when it is asked for something new."""
        return CachedModel(
            resolve_model(self.base_model), _adapter_hash(adapter), lambda: self.generator(adapter), self.cache
        )

    def identity(self, variant: Variant) -> Identity:
        """Names and hashes of what a variant's answers are made from; loads no model."""
        source = resolve_model(self.base_model)
        return Identity(
            model=source.name,
            model_hash=source.sha256,
            knowledge_base=self.index.knowledge_hash,
            adapter=variant.adapter,
            adapter_hash=_adapter_hash(variant.adapter),
        )

    def key(self, variant: Variant, complaint: Complaint) -> str:
        """Hash of every ingredient of the answer: equal keys, equal answers."""
        return self.keys(variant, [complaint])[0]

    def keys(self, variant: Variant, complaints: Sequence[Complaint]) -> list[str]:
        """The keys of many complaints; what they share is read once for all of them."""
        rules = load_rules() if variant.policy == "agent" else None
        embedder = self.index.embed.sha256
        shared = (
            variant,
            self.identity(variant),
            [(TEMPLATES / f"{name}.toml").read_text(encoding="utf-8") for name in variant.templates],
            embedder if variant.retriever else None,
            (rules.sha256, load_calibration(rules, embedder), file_sha256(WARINESS)) if rules else None,
            file_sha256(RUDE_PATTERNS) if variant.guard else None,
            made_by(STAGES, LIBRARIES),
            *((self.store, self._pairs and self._pairs.sha256) if self.store or self._pairs else ()),
        )
        return [response_key((complaint.text, *shared)) for complaint in complaints]

    def decisions(self, texts: Sequence[str]) -> list[Decision]:
        """What the agent would do with each text, and why."""
        rules = load_rules()
        calibration = load_calibration(rules, self.index.embed.sha256)  # refused before anything is embedded
        return [decide(signals, calibration, rules) for signals in self.measure.signals(texts)]

    def drafts(self, complaints: Sequence[Complaint], variant: Variant) -> list[Draft]:
        """Everything up to the model: hits, decision and prompt of each complaint."""
        texts = [complaint.text for complaint in complaints]
        hits: list[list[Hit]] = [[] for _ in texts]
        began = perf_counter()
        if variant.policy != "never":
            if variant.retriever is None:
                raise SettingsError(f"variant {variant.name!r} retrieves but names no retriever")
            hits = self.retriever(variant.retriever).search(texts, TOP_K)
        retrieved = perf_counter()
        if variant.policy == "agent":
            decisions = self.decisions(texts)
        else:
            action, reason = ("RAG" if variant.policy == "always" else "DIRECT"), _POLICY_REASON[variant.policy]
            fixed = Decision(action=action, reason=reason, score=1.0, threshold=0.0)  # type: ignore[arg-type]
            decisions = [fixed] * len(texts)
        decided = perf_counter()
        each = {
            "retrieval": (retrieved - began) / max(len(texts), 1),
            "decision": (decided - retrieved) / max(len(texts), 1),
        }
        made = self.prompts(variant, list(zip(texts, decisions, hits, strict=True)))
        keys = self.keys(variant, complaints)
        return [
            Draft(complaint, variant, key, tuple(found), decision, prompt, sources, each)
            for complaint, key, found, decision, (prompt, sources) in zip(
                complaints, keys, hits, decisions, made, strict=True
            )
        ]

    def prompts(
        self, variant: Variant, cases: Sequence[tuple[str, Decision, Sequence[Hit]]]
    ) -> list[tuple[Prompt | None, tuple[str, ...]]]:
        """For each text with its decision and hits: the prompt, and the texts whose facts the answer may repeat."""
        templates = {name: _template(name, stamp(TEMPLATES / f"{name}.toml")) for name in variant.templates}
        used = [hits if decision.action == "RAG" else () for _, decision, hits in cases]
        requests: dict[int, Request] = {}
        for n, (text, decision, _) in enumerate(cases):
            if decision.reply is None:
                name = variant.templates[-1 if decision.action == "DIRECT" else 0]
                shown = masked(text, self.company_values) if self._is_remote else text
                requests[n] = (templates[name], shown, used[n], variant.context_tokens)
        prompts = dict(zip(requests, self.model(variant.adapter).prompts(list(requests.values())), strict=True))
        made = []
        for n, (text, _, _) in enumerate(cases):
            prompt = prompts.get(n)
            kept = set(prompt.passages) if prompt else set()
            read = (f"{hit.heading}\n{hit.text}" for hit in used[n] if hit.passage in kept)
            made.append((prompt, (text, *read)))
        return made

    def answer(
        self, drafts: Sequence[Draft], on_text: Callable[[Draft, str], None] | None = None
    ) -> Iterator[Response]:
        """Yield the response to each draft as soon as it is there, in any order.

        Equal prompts of one adapter and decoding are generated once. ``on_text(draft, text so far)`` is called
        while an answer grows; not when an unfaithful one is written again.
        """
        unfaithful: list[Draft] = []
        for draft, completion in self._complete(drafts, on_text):
            if completion is not None and _is_unfaithful(draft, completion):
                unfaithful.append(draft)
            else:
                yield self._respond(draft, completion)
        for draft, completion in self._complete([self._again(draft) for draft in unfaithful], None):
            yield self._respond(draft, completion, is_safe=completion is not None and _is_unfaithful(draft, completion))

    def _again(self, draft: Draft) -> Draft:
        """An unfaithful draft as it is asked once more: with the best passage alone, and another decoding."""
        variant = replace(draft.variant, context_tokens=None, decoding=REWRITING)
        ((prompt, sources),) = self.prompts(variant, [(draft.complaint.text, draft.decision, draft.hits[:1])])
        return replace(draft, variant=variant, prompt=prompt, sources=sources, rewritten=True)

    def _complete(
        self, drafts: Sequence[Draft], on_text: Callable[[Draft, str], None] | None
    ) -> Iterator[tuple[Draft, Completion | None]]:
        """Each draft with the model's words, or None where no model is asked."""
        queues: dict[tuple[str | None, object], dict[str, list[Draft]]] = {}
        for draft in drafts:
            if draft.prompt is None:
                yield draft, None
                continue
            queue = queues.setdefault((draft.variant.adapter, draft.variant.decoding), {})
            queue.setdefault(draft.prompt.text, []).append(draft)
        for (adapter, _), queue in queues.items():
            prompts = list(queue)
            decoding = queue[prompts[0]][0].variant.decoding

            def grow(position: int, text: str, prompts: list[str] = prompts, queue=queue) -> None:  # type: ignore[no-untyped-def]
                for draft in queue[prompts[position]]:
                    if on_text:
                        on_text(draft, self._restored(draft, text))

            for position, completion in self.model(adapter).complete(prompts, decoding, grow if on_text else None):
                for draft in queue[prompts[position]]:
                    yield draft, replace(completion, text=self._restored(draft, completion.text))

    def _respond(self, draft: Draft, completion: Completion | None, is_safe: bool = False) -> Response:
        """The finished response: the model's words made whole and guarded, the scripted reply, or a safe answer."""
        replies = self._replies
        text, raw, removed, error = "", "", cast("tuple[str, ...]", ()), None
        finish: Finish = "stop"
        if completion is None:
            name, finish = draft.decision.reply or "clarify", "scripted"
            text = safe_answer(replies, draft.hits) if name == QUOTE else replies[name]
        elif completion.error:
            finish, error = "error", completion.error
        else:
            raw = completion.text
            text, finish, removed = finished_text(completion, draft)
            if is_safe:
                used = draft.prompt.passages if draft.prompt else ()
                text = safe_answer(replies, [hit for hit in draft.hits if hit.passage in used])
                finish, removed = "scripted", ()
            if not text and draft.variant.guard:
                text, finish = replies["clarify"], "scripted"
            elif not text:
                finish, error = "error", "EmptyAnswer: the model wrote nothing"
        return Response(
            id=draft.complaint.id,
            complaint=draft.complaint.text,
            variant=draft.variant.name,
            text=text,
            finish=finish,
            raw=raw,
            removed=removed,
            hits=draft.hits,
            decision=draft.decision,
            prompt=draft.prompt,
            identity=self.identity(draft.variant),
            decoding=draft.variant.decoding,
            key=draft.key,
            time=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            seconds={**draft.seconds, "generation": completion.seconds if completion else 0.0},
            tokens={
                "prompt": draft.prompt.tokens if draft.prompt else 0,
                "completion": completion.tokens if completion else 0,
            },
            error=error,
            cached=completion is not None and completion.cached,
            rewritten=draft.rewritten,
        )

    @cached_property
    def _replies(self) -> dict[str, str]:
        return load_rules().replies


def finished_text(completion: Completion, draft: Draft) -> tuple[str, Finish, tuple[str, ...]]:
    """What the customer sees of a completion, how it ended, and the sentences that were taken out."""
    text = completion.text.strip()
    finish: Finish = "stop"
    removed: tuple[str, ...] = ()
    if not completion.stopped:
        # Without one whole sentence the words are kept as they are, and the cut-off rule will say so.
        text, finish = whole_sentences(text) or text, "trimmed"
    if draft.variant.guard:
        text, removed = draft.guarded(text)
    return text, finish, removed


def _is_unfaithful(draft: Draft, completion: Completion) -> bool:
    return draft.variant.faithful and bool(unsupported_words(completion.text, draft.sources))


@lru_cache(maxsize=32)
def _template(name: str, changed: object) -> Template:
    """A template, read again when its file has another stamp."""
    return load_template(name)


def _adapter_hash(adapter: str | None) -> str | None:
    return adapter_hash(adapter) if adapter else None
