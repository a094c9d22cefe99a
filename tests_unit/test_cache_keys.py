"""The cache's one promise: nothing stale is ever served, and nothing is asked twice that is known already.

Every ingredient of an answer, an embedding and a score stands in one of the tables below. It is changed alone, over a
cache that knows the answer before the change, and the played models say whether they were asked again. What they say
depends on everything that a real one depends on, so that a stale answer would also be a wrong one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.embedding import HashedEmbedder
from fixtures.fakes import ScriptedGenerator, make_response
from system.answering import answer_into
from system.assistant import STAGES, Assistant
from system.cache import Cache, MemoryCache
from system.calibration import save
from system.completions import CachedModel
from system.decision import Calibration, load_rules
from system.embeddings import CachedEmbed
from system.evaluation.judge import Pair
from system.evaluation.overlap import overlap
from system.evaluation.scorers import Grade, Inputs, Scorer, grade_many, score_many
from system.evaluation.semantic import bertscore
from system.generation import Completion
from system.models import ModelSource, adapter_hash, resolve_embedder, resolve_model
from system.prompts import Template
from system.records import Complaint, Decoding, Hit, Identity, Prompt, Response
from system.rows import encode
from system.runlog import read_run
from system.variants import Variant
from system.wariness import Wariness, save_wariness
from tests_unit.test_assistant import AGENT, HACK, ORANGE, POEM, ROOT, SMOKE, write_world

# Answers


@dataclass(frozen=True)
class Setup:
    """Everything that a user may choose; what stands in files is in the working folder."""

    variant: Variant
    complaint: Complaint = ORANGE
    base_model: str = "model"
    knowledge_base: str = "knowledge_base"
    chunker: str = "heading"
    embedder: str = "hashed-words"


@dataclass
class Asked:
    """How often the played models were asked."""

    prompts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


def word(*of: object) -> str:
    """A word of letters that depends on all of these."""
    return "".join(chr(97 + byte % 26) for byte in hashlib.sha256(repr(of).encode()).digest())


def assistant(setup: Setup, cache: Cache | None, asked: Asked) -> Assistant:
    """An assistant whose model says a word that depends on its weights, its adapter, the decoding and the prompt."""

    class Model(ScriptedGenerator):
        def generate(self, prompts: Sequence[str], decoding: Decoding, on_text: Any = None) -> Any:
            asked.prompts.extend(prompts)
            weights, said = (self.source.sha256, self.adapter_hash), repr(decoding)
            self.script = lambda prompt: f"I am sorry about {word(weights, said, prompt)}."
            return super().generate(prompts, decoding, on_text)

    adapter = setup.variant.adapter
    model = Model(source=resolve_model(setup.base_model), adapter_hash=adapter_hash(adapter) if adapter else None)
    embedder = HashedEmbedder(sha256=setup.embedder, calls=Listed(asked.texts))
    return Assistant(
        setup.base_model,
        Path(setup.knowledge_base),
        setup.chunker,  # type: ignore[arg-type]
        embedder,
        {adapter: model},
        cache,
    )


class Listed(list[list[str]]):
    """Calls of an embedder, of which only the texts are wanted."""

    def __init__(self, texts: list[str]):
        super().__init__()
        self._texts = texts

    def append(self, call: list[str]) -> None:
        """Note the texts of one more call."""
        self._texts += call


def respond(setup: Setup, cache: Cache | None) -> tuple[Response, Asked]:
    """The one answer, and what the models were asked for it."""
    asked = Asked()
    played = assistant(setup, cache, asked)
    (response,) = played.answer(played.drafts([setup.complaint], setup.variant))
    return response, asked


def substance(response: Response) -> Response:
    """A response without its time and timings."""
    return replace(response, time="", seconds={}, cached=False)


# Never among the five passages that are found, and cut in other places by meaning than by heading.
ZEBRAS = (
    "# Zebras\n\n## Life\n\n"
    + "".join(
        f"Zebras {verb} grass near other zebras, grass that zebras {verb} {when}. " * 3
        for verb, when in (("graze", "mornings"), ("ignore", "nights"))
    ).replace("grass near", "pasture near", 1)
    + "Unicorns never existed; horned myths told children otherwise. " * 4
)


@pytest.fixture
def world(own_folder: Path) -> Path:
    """A working folder with articles, settings, a template, a model and two adapters."""
    write_world(own_folder)
    (own_folder / "knowledge_base" / "zebras.md").write_text(ZEBRAS)
    for name, shipped in (("mine", "empathetic"), ("other", "friendly")):
        shutil.copy(ROOT / "system" / "templates" / f"{shipped}.toml", own_folder / f"{name}.toml")
    for name in ("adapter", "adapter2"):
        (own_folder / name).mkdir()
        (own_folder / name / "weights.safetensors").write_text(name)
    shutil.copytree(own_folder / "adapter", own_folder / "same_adapter")
    return own_folder


def first() -> Setup:
    """The setup before any change; its template lies in the working folder."""
    return Setup(replace(AGENT, template=str(Path("mine").resolve())))


Change = Callable[[Setup], "Setup | None"]  # changes files of the working folder, or returns another setup


def of(**changes: Any) -> Change:
    """Another value of a setup's field."""
    return lambda setup: replace(setup, **changes)


def variant(**changes: Any) -> Change:
    """Another value of a field of the variant."""
    return lambda setup: replace(setup, variant=replace(setup.variant, **changes))


def complaint(**changes: Any) -> Change:
    """Another value of a field of the complaint."""
    return lambda setup: replace(setup, complaint=replace(setup.complaint, **changes))


def edit(path: str, old: str, new: str) -> Change:
    """Other words in a file; an empty ``old`` is its end."""

    def change(_: Setup) -> None:
        text = Path(path).read_text()
        assert old in text, (path, old)
        Path(path).write_text(text.replace(old, new, 1) if old else text + new)

    return change


def then(*changes: Change) -> Change:
    """One change after the other."""

    def change(setup: Setup) -> Setup:
        for one in changes:
            setup = one(setup) or setup
        return setup

    return change


def refit(**changes: Any) -> Change:
    """Decision numbers that go with the settings as they are now, and with the embedder of the setup."""

    def change(setup: Setup) -> None:
        rules = load_rules(Path("data"))
        made = Calibration((10.0, 0.0), -3.0, 0.5, 9.0, 9.0, rules.sha256, setup.embedder, "", {})
        save(replace(made, **changes), Path("data/decision_calibration.json"))
        save_wariness(Wariness({}, (), -1.0, 0.0, setup.embedder, "", {}), Path("data/wariness.json"))

    return change


def suspect(**changes: Any) -> Change:
    """Another model of what looks like an attack, for the embedder of the setup."""

    def change(setup: Setup) -> None:
        made = Wariness({}, (), -1.0, 0.0, setup.embedder, "", {})
        save_wariness(replace(made, **changes), Path("data/wariness.json"))

    return change


CACHES: list[MemoryCache] = []  # the cache of the running test
SEEN: list[Response] = []  # the answers that it knows; the last one is that before the change


def known(setup: Setup) -> None:
    """Have this setup answered as well before the change."""
    SEEN.append(respond(setup, CACHES[-1])[0])


# What changes with it: the response's key (K), the prompt (P); and whether the model is asked for a completion (C).
ANSWERS: dict[str, tuple[str, Change]] = {
    "complaint.text": ("KPC", complaint(text="The hub shows an orange light since noon.")),
    "variant.name": ("K", variant(name="other")),
    "variant.template": ("KPC", variant(template="friendly")),
    "variant.policy": ("K", variant(policy="always")),
    "variant.direct_template": ("K", variant(direct_template="friendly")),
    "variant.direct_template of a direct answer": (
        "KPC",
        then(of(complaint=POEM), known, variant(direct_template="friendly")),
    ),
    "variant.retriever": ("K", variant(retriever="hybrid")),
    "variant.context_tokens": ("KPC", variant(context_tokens=3)),
    "variant.context_tokens that makes no difference": ("K", variant(context_tokens=240)),
    "variant.guard": ("K", variant(guard=False)),
    "variant.faithful": ("K", variant(faithful=True)),
    "variant.adapter": ("KC", variant(adapter="adapter")),
    "variant.decoding.max_new_tokens": ("KC", variant(decoding=Decoding(max_new_tokens=161))),
    "variant.decoding.repetition_penalty": ("KC", variant(decoding=Decoding(repetition_penalty=1.11))),
    "variant.decoding.seed": ("KC", variant(decoding=Decoding(seed=1))),
    "weights": ("KC", edit("model/config.json", "", " ")),
    "weights of another folder": (
        "KC",
        then(
            lambda _: shutil.copytree("model", "other") and None,
            edit("other/config.json", "", " "),
            of(base_model="other"),
        ),
    ),
    "a further file of weights": ("KC", lambda _: Path("model/more.safetensors").write_text("") and None),
    "weights of the adapter": (
        "KC",
        then(
            variant(adapter="adapter"),
            known,
            edit("adapter/weights.safetensors", "adapter", "adapted"),
        ),
    ),
    "template's words": ("KPC", edit("mine.toml", "then give the steps", "and give the steps")),
    "template's description": ("K", edit("mine.toml", 'description = "', 'description = "A ')),
    "template's comment": ("K", edit("mine.toml", "", "\n# a comment\n")),
    "article that is read": ("KPC", edit("knowledge_base/lights.md", "means the internet", "says the internet")),
    "article that is read, below the best": (
        "KPC",
        edit("knowledge_base/moving.md", "two weeks", "three weeks"),
    ),
    "title of an article that is read": ("K", edit("knowledge_base/lights.md", "# Lights", "# Lamps")),
    "heading that is read": ("KPC", edit("knowledge_base/lights.md", "## Orange light", "## Orange lamp")),
    "article that is not read": ("K", edit("knowledge_base/zebras.md", "grass", "hay")),
    "further article": ("K", lambda _: Path("knowledge_base/zoo.md").write_text("# Zoo\n\nMonkeys.\n") and None),
    "file's name of an article": (
        "KP",
        lambda _: Path("knowledge_base/lights.md").rename("knowledge_base/lamps.md") and None,
    ),
    "other knowledge base": (
        "KPC",
        then(
            lambda _: shutil.copytree("knowledge_base", "other") and None,
            edit("other/lights.md", "means the internet", "says the internet"),
            of(knowledge_base="other"),
        ),
    ),
    "chunker": ("K", of(chunker="semantic")),
    "embedder": ("K", then(of(embedder="another"), refit())),
    "embedder of a variant that does not decide": (
        "K",
        then(variant(policy="always"), known, of(embedder="another")),
    ),
    "decision patterns": ("K", then(edit("data/decision.toml", "", "\n# more\n"), refit())),
    "decision prototypes": ("K", then(edit("data/decision_prototypes.toml", "", "\n# more\n"), refit())),
    "scripted replies": ("K", then(edit("data/replies.toml", "", "\n# more\n"), refit())),
    "calibration.weights": ("K", refit(weights=(10.0, 0.01))),
    "calibration.bias": ("K", refit(bias=-2.9)),
    "calibration.threshold": ("K", refit(threshold=0.4)),
    "calibration.threshold that turns the decision": ("KPC", refit(threshold=1.0)),
    "calibration.escalate_margin": ("K", refit(escalate_margin=8.0)),
    "calibration.manipulation_margin": ("K", refit(manipulation_margin=8.0)),
    "calibration.complaints_sha256": ("K", refit(complaints_sha256="1")),
    "calibration.measured": ("K", refit(measured={"accuracy": 1.0})),
    "wariness.words": ("K", suspect(words={"never": 0.1})),
    "wariness.embedding": ("K", suspect(embedding=(0.0,) * HashedEmbedder().width)),
    "wariness.bias": ("K", suspect(bias=-2.0)),
    "wariness.threshold": ("K", suspect(threshold=0.5)),
    "wariness.messages_sha256": ("K", suspect(messages_sha256="1")),
    "wariness.measured": ("K", suspect(measured={"attacks_seen": 1.0})),
}


def touched(setup: Setup) -> None:
    """All files get another time."""
    for path in Path.cwd().rglob("*"):
        os.utime(path, (1, 1))


def moved(setup: Setup) -> Setup:
    """The same files in another working folder."""
    target = Path.cwd() / "elsewhere" / "deep"
    shutil.copytree(Path.cwd(), target)
    os.chdir(target)
    return setup


# What must not matter to anything: neither key nor prompt nor completion.
SAME: dict[str, Change] = {
    "nothing": lambda _: None,
    "complaint.category": complaint(category="billing"),
    "complaint.split": complaint(split="dev"),
    "complaint.cluster": complaint(cluster="c"),
    "complaint.relevant": complaint(relevant=("lights",)),
    "complaint.action": complaint(action="RAG"),
    "complaint.reference": complaint(reference="An answer."),
    "complaint.facts": complaint(facts=("60 seconds",)),
    "complaint.id": complaint(id="other"),
    "file times": touched,
    "working folder": moved,
    "absolute path of the knowledge base": lambda s: replace(s, knowledge_base=str(Path("knowledge_base").resolve())),
    "other folder of the same articles": then(
        lambda _: shutil.copytree("knowledge_base", "other") and None, of(knowledge_base="other")
    ),
    "copy of the model": then(
        lambda _: shutil.copytree("model", "kept") and None,
        lambda _: shutil.rmtree("model"),
        lambda _: Path("kept").rename("model") and None,
    ),
    "file that belongs to no model": lambda _: Path("model/README.md").write_text("x") and None,
    "other adapter that is not used": edit("adapter/weights.safetensors", "adapter", "adapted"),
    "template that is not used": edit("other.toml", "customer", "caller"),
    "time zone": lambda _: os.environ.update(TZ="Asia/Tokyo"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_ingredient_of_an_answer(world: Path, name: str) -> None:
    """With one ingredient changed, the answer is the one that is given without a cache, and no key is used twice."""
    effect, change = ANSWERS[name]
    cache = MemoryCache()
    CACHES[:], SEEN[:] = [cache], []
    known(first())
    setup = change(first()) or first()
    before = {key for kind, key in cache.entries if kind == "generation"}
    response, asked = respond(setup, cache)
    assert substance(response) == substance(respond(setup, None)[0]), "what was served is not what is given anew"
    assert response.error is None
    assert (response.key != SEEN[-1].key) == ("K" in effect)
    assert (response.prompt != SEEN[-1].prompt) == ("P" in effect)
    assert bool(asked.prompts) == ("C" in effect), "the model was (not) asked"
    assert response.cached != bool(asked.prompts)
    made = {key for kind, key in cache.entries if kind == "generation"} - before
    assert bool(made) == bool(asked.prompts)


@pytest.mark.parametrize("name", SAME)
def test_what_no_answer_depends_on(world: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not shape an answer costs none: the key stays, and no model is asked for anything."""
    monkeypatch.setenv("TZ", "UTC")
    cache = MemoryCache()
    before, _ = respond(first(), cache)
    setup = SAME[name](first()) or first()
    response, asked = respond(setup, cache)
    assert response.key == before.key
    assert asked == Asked()
    assert response.cached
    assert substance(replace(response, id="")) == substance(replace(before, id=""))


def test_another_adapter_folder_of_the_same_weights(world: Path) -> None:
    """A completion belongs to an adapter's weights, wherever they lie and whatever they are called."""
    cache = MemoryCache()
    for adapter, times in (("adapter", 1), ("same_adapter", 0), ("adapter2", 1), (str(world / "adapter"), 0)):
        _, asked = respond(Setup(replace(first().variant, adapter=adapter)), cache)
        assert len(asked.prompts) == times, adapter


def test_model_that_changed_under_its_name(world: Path) -> None:
    """What a loaded model says is never stored under weights that have taken its place on disk since."""
    cache, asked = MemoryCache(), Asked()
    setup = first()
    old = assistant(setup, cache, asked)
    assert old.generator() is not None  # loaded
    (world / "model" / "config.json").write_text("{ }")
    list(old.answer(old.drafts([ORANGE], setup.variant)))
    assert not {kind for kind, _ in cache.entries} & {"prompt", "generation"}
    response, _ = respond(setup, cache)
    assert substance(response) == substance(respond(setup, None)[0])


def test_any_walk_over_setups(world: Path) -> None:
    """However setups follow one another over one cache, each answer is the one that is given without a cache."""
    draw = random.Random(0)
    cache = MemoryCache()
    names = [name for name in ANSWERS if " of a" not in name and name != "weights of the adapter"]
    steps = [ANSWERS[name][1] for name in names if not name.startswith(("file's", "other", "weights of another"))]
    setup, hits = first(), 0
    for _ in range(30):
        if draw.random() < 0.3:
            setup = replace(first(), complaint=draw.choice([ORANGE, POEM, SMOKE, HACK]))
        try:
            setup = draw.choice(steps)(setup) or setup
        except AssertionError:  # these words were changed before
            continue
        refit()(setup)
        response, _ = respond(setup, cache)
        hits += response.cached
        assert substance(response) == substance(respond(setup, None)[0])
    assert hits > 3


def test_no_model_is_loaded_for_what_is_known(world: Path) -> None:
    """An assistant that finds everything in the cache has loaded nothing, and one without a cache keeps nothing."""
    cache = MemoryCache()
    made, _ = respond(first(), cache)
    played = assistant(first(), cache, Asked())
    played.base_model, played.generators = "model", {}  # loading this one would fail
    (read,) = played.answer(played.drafts([ORANGE], first().variant))
    assert substance(read) == substance(made)
    assert played.generators == {}
    assert respond(first(), None)[1].prompts
    assert not (world / "cache" / "results").exists()


def test_run_log_from_before_the_cache(world: Path) -> None:
    """A line of a log that was written before responses said where they came from is read as one that was made."""
    response, _ = respond(first(), MemoryCache())
    row = json.loads(encode(response))
    assert row.pop("cached") is False
    Path("old.jsonl").write_text(json.dumps(row) + "\n")
    assert read_run(Path("old.jsonl")) == [response]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_order_and_company(world: Path, order: list[int]) -> None:
    """Complaints are found again in any order, alone or together, under any id."""
    cache, many = MemoryCache(), [ORANGE, POEM, SMOKE, Complaint(id="bill", text="When is my bill due?")]
    asked, again = Asked(), Asked()
    played = assistant(first(), cache, asked)
    told = {r.complaint: r.text for r in played.answer(played.drafts(many, first().variant))}
    assert len(asked.prompts) == 3
    renamed = [replace(many[n], id=f"other{n}") for n in order]
    played = assistant(first(), cache, again)
    responses = list(played.answer(played.drafts(renamed, first().variant)))
    responses += list(played.answer(played.drafts(renamed[:1], first().variant)))
    assert again == Asked()
    assert {r.complaint: r.text for r in responses} == told


def test_run_log_is_not_needed(world: Path) -> None:
    """A run log that was deleted is written anew without asking a model for anything, and says so."""
    cache, many = MemoryCache(), [ORANGE, POEM, SMOKE]
    answer_into(Path("a.jsonl"), Path("log"), assistant(first(), cache, Asked()), many, [first().variant])
    again = Asked()
    answer_into(Path("b.jsonl"), Path("log"), assistant(first(), cache, again), many, [first().variant])
    assert again == Asked()
    made, read = (
        {row["id"]: row for row in map(json.loads, Path(name).read_text().splitlines())}
        for name in ("a.jsonl", "b.jsonl")
    )
    assert {name: row["text"] for name, row in read.items()} == {name: row["text"] for name, row in made.items()}
    assert {name: row["cached"] for name, row in read.items()} == {"orange": True, "poem": True, "smoke": False}
    assert {row["seconds"]["generation"] for row in read.values()} == {0.0}
    assert {name: row["tokens"] for name, row in read.items()} == {name: row["tokens"] for name, row in made.items()}


# Prompts and completions, apart from an assistant

SOURCE = ModelSource("m", "m", "1" * 64)
TEMPLATE = Template("t", "d", "System.", "System, article.", "{{ complaint }}", "{{ context }} {{ complaint }}")
HIT = Hit(doc="lights", passage="lights#1", score=0.5, heading="Orange", text="It means no internet.")
Request = tuple[Template, str, Sequence[Hit], "int | None"]
PROMPTS: dict[str, tuple[bool, Request]] = {
    "template.name": (True, (replace(TEMPLATE, name="u"), "Why?", [HIT], None)),
    "template.description": (True, (replace(TEMPLATE, description="e"), "Why?", [HIT], None)),
    "template.system": (True, (replace(TEMPLATE, system="Other."), "Why?", [HIT], None)),
    "template.system_with_context": (True, (replace(TEMPLATE, system_with_context="Other."), "Why?", [HIT], None)),
    "template.user": (True, (replace(TEMPLATE, user="x {{ complaint }}"), "Why?", [HIT], None)),
    "template.user_with_context": (
        True,
        (replace(TEMPLATE, user_with_context="x {{ context }} {{ complaint }}"), "Why?", [HIT], None),
    ),
    "complaint": (True, (TEMPLATE, "Why ?", [HIT], None)),
    "hits": (True, (TEMPLATE, "Why?", [HIT, HIT], None)),
    "no hits": (True, (TEMPLATE, "Why?", [], None)),
    "room": (True, (TEMPLATE, "Why?", [HIT], 200)),
    "hit.doc": (False, (TEMPLATE, "Why?", [replace(HIT, doc="other")], None)),
    "hit.passage": (True, (TEMPLATE, "Why?", [replace(HIT, passage="lights#2")], None)),
    "hit.score": (False, (TEMPLATE, "Why?", [replace(HIT, score=0.9)], None)),
    "hit.heading": (True, (TEMPLATE, "Why?", [replace(HIT, heading="Amber")], None)),
    "hit.text": (True, (TEMPLATE, "Why?", [replace(HIT, text="It means no signal.")], None)),
}


@dataclass
class Counted(ScriptedGenerator):
    """A played model that counts how often it was made to format a prompt."""

    formatted: int = 0

    def chat(self, system: str, user: str) -> str:
        """See Generator."""
        self.formatted += 1
        return super().chat(system, user)


@pytest.mark.parametrize("name", PROMPTS)
def test_ingredient_of_a_prompt(name: str) -> None:
    """A prompt is formatted anew when a part of it has changed, and read when none has."""
    matters, request = PROMPTS[name]
    generator, cache = Counted(source=SOURCE), MemoryCache()
    model = CachedModel(SOURCE, None, lambda: generator, cache)
    model.prompts([(TEMPLATE, "Why?", [HIT], None)])
    found = model.prompts([request])
    assert generator.formatted == 1 + matters
    assert found == CachedModel(SOURCE, None, lambda: Counted(source=SOURCE), None).prompts([request])


@pytest.mark.parametrize(
    ("source", "adapter", "asks"),
    [
        (SOURCE, None, 0),
        (replace(SOURCE, sha256="2" * 64), None, 1),
        (SOURCE, "3" * 64, 1),
        (replace(SOURCE, name="n", location="/elsewhere"), None, 0),
        (ModelSource("openai:m@http://x", "m@http://x", "server"), None, 1),
    ],
    ids=["same", "weights", "adapter", "name and place", "server"],
)
def test_model_of_prompts_and_completions(source: ModelSource, adapter: str | None, asks: int) -> None:
    """Prompts and completions belong to weights and adapter, not to names; a server's are never kept."""
    cache = MemoryCache()
    request = (TEMPLATE, "Why?", [HIT], None)
    for name, hash_of_adapter in ((SOURCE, None), (source, adapter), (source, adapter)):
        generator = Counted(source=name, adapter_hash=hash_of_adapter)
        model = CachedModel(name, hash_of_adapter, lambda generator=generator: generator, cache)  # type: ignore[misc]
        (prompt,) = model.prompts([request])
        list(model.complete([prompt.text], Decoding()))
        if name is not SOURCE:
            wanted = 1 if source.is_server else asks
            assert (generator.formatted, len(generator.asked)) == (wanted, wanted)
            asks = 0  # it is known from now on


def test_completion_that_is_read(world: Path) -> None:
    """A known completion is the one that was made, took no time, says that it was read, and is shown in one piece."""
    cache, asked, shown = MemoryCache(), Counted("One two three.", source=SOURCE), list[tuple[int, str]]()
    model = CachedModel(SOURCE, None, lambda: asked, cache)
    made = dict(model.complete(["a", "b"], Decoding()))
    read = dict(model.complete(["x", "b", "a"], Decoding(), lambda n, text: shown.append((n, text))))
    assert asked.asked == ["a", "b", "x"]
    assert read[1] == replace(made[1], seconds=0.0, cached=True)
    assert read[2] == replace(made[0], seconds=0.0, cached=True)
    assert not read[0].cached
    assert shown == [(1, "One two three."), (2, "One two three."), (0, "One"), (0, "One two"), (0, "One two three.")]


def test_known_and_new_completions_keep_their_places() -> None:
    """Each prompt gets its own words, whichever of them are known and in whatever order they are made."""
    said = Counted(lambda prompt: f"{'Well ' * len(prompt)}{prompt}.", source=SOURCE)
    model = CachedModel(SOURCE, None, lambda: said, MemoryCache())
    list(model.complete(["b", "ddd"], Decoding()))
    shown: dict[int, str] = {}
    prompts = ["b", "eeee", "ccc", "ddd", "a", "ccc"]
    read = dict(model.complete(prompts, Decoding(), shown.__setitem__))
    assert [read[n].text.split()[-1] for n in range(6)] == [f"{prompt}." for prompt in prompts]
    assert {n: completion.text for n, completion in read.items()} == shown
    assert [n for n, completion in read.items() if completion.cached] == [0, 3]


@pytest.mark.parametrize(
    "completion", [Completion("", 0, True, 0.1, error="Timeout: slow"), Completion(" ", 1, True, 0.1)]
)
def test_no_failure_is_kept(completion: Completion) -> None:
    """An error or an empty completion is asked for anew."""
    generator = Counted(lambda _: completion, source=SOURCE)
    model = CachedModel(SOURCE, None, lambda: generator, MemoryCache())
    for _ in range(2):
        assert list(model.complete(["a"], Decoding())) == [(0, completion)]
    assert generator.asked == ["a", "a"]


def test_interrupted_completions_are_kept() -> None:
    """What was completed before an interrupt is not asked for again."""
    cache, generator = MemoryCache(), Counted(source=SOURCE)
    model = CachedModel(SOURCE, None, lambda: generator, cache)
    running = model.complete(["a", "b", "c"], Decoding())
    next(running), next(running)
    running.close()
    generator.asked.clear()
    assert len(list(model.complete(["a", "b", "c"], Decoding()))) == 3
    assert generator.asked == ["c"]


@pytest.mark.parametrize("kind", ["prompt", "generation"])
@pytest.mark.parametrize("value", [b"", b"{", b"{}", b"[]", b'{"text": 1}', b"\xff"])
def test_unreadable_record_is_made_anew(kind: str, value: bytes) -> None:
    """A record of another version, or a broken one, counts as missing."""
    cache, generator = MemoryCache(), Counted(source=SOURCE)
    model = CachedModel(SOURCE, None, lambda: generator, cache)
    for _ in range(2):
        (prompt,) = model.prompts([(TEMPLATE, "Why?", [HIT], None)])
        assert dict(model.complete([prompt.text], Decoding()))[0].text == "Please restart the Hub."
        cache.entries |= dict.fromkeys([key for key in cache.entries if key[0] == kind], value)
    assert (generator.formatted, len(generator.asked)) == ((2, 1) if kind == "prompt" else (1, 2))


# Embeddings


def embedded(cache: Cache, texts: Sequence[str], **changes: Any) -> list[str]:
    """The texts for which the played embedder was asked; the vectors must be right either way."""
    embedder = HashedEmbedder(**changes)
    vectors = CachedEmbed(embedder, cache)(texts)
    np.testing.assert_array_equal(vectors, HashedEmbedder(**changes)(texts))
    assert vectors.dtype == np.float32
    return [text for call in embedder.calls for text in call]


def test_ingredients_of_an_embedding() -> None:
    """A vector belongs to a text and an embedder; company, order and repetition do not matter."""
    cache = MemoryCache()
    assert embedded(cache, ["red light", "my bill", "red light"]) == ["red light", "my bill"]
    assert embedded(cache, ["my bill"]) == []
    assert embedded(cache, ["my bill", "new", "red light"]) == ["new"]
    assert embedded(cache, ["My bill", "my bill ", "my  bill", ""]) == ["My bill", "my bill ", "my  bill", ""]
    assert embedded(cache, ["my bill"], sha256="another", width=256) == ["my bill"]
    assert embedded(cache, ["my bill"]) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: b"",
        lambda value: value[:-1],
        lambda value: value[:-4],
        lambda value: value[: len(value) // 2],
        lambda value: value + bytes(4),
        lambda value: value[:4] + bytes(len(value) - 4),
        lambda value: value[:4] + b"\xff" * (len(value) - 4),
        lambda value: value[4:],
        lambda value: bytes(4),
    ],
)
def test_damaged_vector_is_made_anew(spoil: Callable[[bytes], bytes]) -> None:
    """A stored vector that is not whole or not of length 1 is never served."""
    cache = MemoryCache()
    embedded(cache, ["a", "b"])
    for place in list(cache.entries):
        cache.entries[place] = spoil(cache.entries[place])
    assert embedded(cache, ["a", "b"]) == ["a", "b"]
    assert embedded(cache, ["a", "b"]) == []


# Scores


@dataclass
class Ruler:
    """A played scorer; what it says depends on all that it is shown."""

    signature: str = "ruler 1"
    metrics: tuple[str, ...] = ("one", "two")
    seen: list[Inputs] = field(default_factory=list)
    error: str | None = None
    value: float | None = None

    def scorer(self) -> Scorer:
        """The ruler as a Scorer of answer, reference and articles."""
        return Scorer(self.metrics, self.signature, lambda r, c, o: (r.text, c.reference, o), self.compute)

    def compute(self, many: Sequence[Inputs]) -> Iterable[Grade]:
        """See Scorer."""
        self.seen += many
        for one in many:
            said = float(int(word(self.signature, one)[:4].encode().hex(), 16)) if self.value is None else self.value
            yield Grade(values=dict.fromkeys(self.metrics, said), error=self.error)


INPUTS = ("an answer", "a reference", "the articles")


@pytest.mark.parametrize(
    ("changes", "inputs", "asks"),
    [
        ({}, INPUTS, False),
        ({"signature": "ruler 2"}, INPUTS, True),
        ({"metrics": ("one",)}, INPUTS, True),
        ({"metrics": ("two", "one")}, INPUTS, True),
        ({}, ("another answer", *INPUTS[1:]), True),
        ({}, (INPUTS[0], "another reference", INPUTS[2]), True),
        ({}, (*INPUTS[:2], "other articles"), True),
        ({}, (INPUTS[1], INPUTS[0], INPUTS[2]), True),
        ({}, ("an answera reference", "", "the articles"), True),
        ({}, INPUTS[:2], True),
    ],
)
def test_ingredients_of_a_score(changes: dict[str, Any], inputs: Inputs, asks: bool) -> None:
    """A score belongs to the ruler's signature, its metrics and each input in its place."""
    cache, ruler = MemoryCache(), Ruler(**changes)
    grade_many(Ruler().scorer(), [INPUTS], cache)
    found = grade_many(ruler.scorer(), [inputs, inputs], cache)
    assert ruler.seen == ([inputs] if asks else [])
    assert found == grade_many(Ruler(**changes).scorer(), [inputs, inputs], MemoryCache())


@pytest.mark.parametrize(
    "changes",
    [{f.name: "billing" if f.name == "category" else "x"} for f in fields(Complaint) if f.name != "reference"],
)
def test_score_ignores_what_its_ruler_is_not_shown(changes: dict[str, Any]) -> None:
    """Ids, labels, variants, keys and times of a case cost no new score."""
    cache, first, second = MemoryCache(), Ruler(), Ruler()
    one = replace(ORANGE, reference="r", action="RAG")
    score_many(first.scorer(), [make_response(one, "t")], [one], "o", cache)
    other = replace(one, **changes)
    response = make_response(other, "t", variant="rag", key="k", time="later", tokens={}, seconds={})
    score_many(second.scorer(), [response], [other], "o", cache)
    assert (len(first.seen), second.seen) == (1, [])


@pytest.mark.parametrize("spoilt", [{"error": "Timeout: slow"}, {"value": float("nan")}, {"value": float("inf")}])
def test_no_failed_score_is_kept(spoilt: dict[str, Any]) -> None:
    """An error, or a value that is no number, is asked for anew and says the same the second time."""
    cache = MemoryCache()
    bad, good = Ruler(**spoilt), Ruler()
    one, two = (score_many(bad.scorer(), [make_response(ORANGE, "t")], [ORANGE], "", cache) for _ in range(2))
    assert one == two
    assert one["one"][0].error
    assert len(bad.seen) == 2
    assert score_many(good.scorer(), [make_response(ORANGE, "t")], [ORANGE], "", cache)["one"][0].error is None


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"values": {"one": null}}', b'{"values": 1}'])
def test_unreadable_score_is_made_anew(value: bytes) -> None:
    """A score of another version, or a broken one, counts as missing."""
    cache, ruler = MemoryCache(), Ruler()
    first = grade_many(ruler.scorer(), [INPUTS], cache)
    cache.entries |= dict.fromkeys(cache.entries, value)
    assert grade_many(ruler.scorer(), [INPUTS], cache) == first
    assert len(ruler.seen) == 2


# Rulers' signatures


def embedder_copy(folder: Path) -> str:
    """A copy of the embedder that may be changed."""
    return str(shutil.copytree(resolve_embedder().location, folder, symlinks=False))


def test_signatures_of_likeness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BERTScore's signature names layer and weights, and every ruler's signature is its own."""
    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "cache"))
    folder = embedder_copy(tmp_path / "embedder")
    signatures = [overlap().signature, bertscore().signature, bertscore(layer=2).signature]
    signatures.append(bertscore(embedder=folder).signature)
    (tmp_path / "embedder" / "config.json").write_text((tmp_path / "embedder" / "config.json").read_text() + " ")
    signatures.append(bertscore(embedder=folder).signature)
    assert len(set(signatures)) == 5
    assert resolve_embedder().sha256 in signatures[1]
    assert bertscore().signature == signatures[1]


def test_signature_of_the_local_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local judge's signature names the content of its folder, wherever that lies and whenever it was written."""
    from system.evaluation.local_judge import LocalJudge

    monkeypatch.setenv("SUPPORT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "judge"
    folder.mkdir()
    (folder / "judge.json").write_text('{"scale": {}}')
    (folder / "heads.safetensors").write_text("1")
    signatures = [LocalJudge(folder).signature]
    same = shutil.copytree(folder, tmp_path / "copy")
    os.utime(same / "judge.json", (1, 1))
    assert LocalJudge(same).signature == signatures[0]
    for name, text in (("judge.json", '{"scale": {"safety": {}}}'), ("heads.safetensors", "2"), ("more.json", "{}")):
        (folder / name).write_text(text)
        signatures.append(LocalJudge(folder).signature)
    assert len(set(signatures)) == 4
    assert resolve_embedder().sha256 in signatures[0]


# Code, and what a process is started with

# Prints the response's key and the keys of everything in the cache, in a copy of the code.
PRINT = """
import json, sys
from pathlib import Path
import system
from fixtures.embedding import HashedEmbedder
from fixtures.fakes import ScriptedGenerator
from system.assistant import Assistant
from system.cache import MemoryCache, made_by
from system.models import resolve_model
from system.records import Complaint
from system.variants import VARIANTS
assert Path(system.__file__).parents[1] == Path(sys.argv[1]), system.__file__

def show(name):
    made_by.cache_clear()
    cache = MemoryCache()
    played = Assistant("model", embedder=HashedEmbedder(), cache=cache)
    played.generators[None] = ScriptedGenerator(source=resolve_model("model"))
    drafts = played.drafts([Complaint(id="x", text="The hub shows an orange light.")], VARIANTS["agent-rag"])
    (response,) = played.answer(drafts)
    kinds = {kind: sorted(key for k, key in cache.entries if k == kind) for kind, _ in cache.entries}
    print(json.dumps([name, {"response": [response.key], **kinds}]))

show("as it is")
for path, old, new in json.loads(sys.argv[2]):
    text = (Path(sys.argv[1]) / path).read_text()
    assert old in text, path
    (Path(sys.argv[1]) / path).write_text(text.replace(old, new, 1))
    show(path)
    (Path(sys.argv[1]) / path).write_text(text)
"""
DECODES = ("chat_format", "completions", "decoding", "generation", "prompts")  # prompts and completions pass through it
Keys = dict[str, list[str]]


def code_world(folder: Path) -> Path:
    """A copy of the code in a working folder of its own."""
    folder.mkdir(parents=True)
    write_world(folder)
    for name in ("system", "fixtures"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "training"))
    return folder


def printed(
    folder: Path, cwd: Path, edits: Sequence[tuple[str, str, str]] = (), **environment: str
) -> list[tuple[str, Keys]]:
    """(change, keys) after each change of the code in a folder."""
    run = [sys.executable, "-c", PRINT, str(folder), json.dumps(edits)]
    own = {"SUPPORT_CACHE": str(folder / "cache"), "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        run, cwd=cwd, env={**os.environ, **own, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]  # type: ignore[misc]


def test_code_of_each_stage(tmp_path: Path) -> None:
    """Code that was changed makes stale what it has a part in, and nothing else; a comment makes nothing stale."""
    folder = code_world(tmp_path / "copy")
    future = "from __future__ import annotations\n"
    names = [*STAGES.split(), "commands", "streaming", "evaluation/scores"]
    edits = [(f"system/{name}.py", future, f"{future}NEW = 1\n") for name in names]
    edits += [(f"system/{name}.py", future, f"# a comment\n\n\n{future}\n\n") for name in ("guard", *DECODES)]
    edits.append(("data/rude_patterns.toml", "[[patterns]]", "# one more\n[[patterns]]"))
    (_, before), *after = printed(folder, folder, edits)
    assert set(before) == {"response", "embedding", "prompt", "generation"}
    for (path, keys), (_, _, new) in zip(after, edits, strict=True):
        name = path.removeprefix("system/").removesuffix(".py")
        wanted = set()
        if ("NEW" in new and name in STAGES.split()) or name == "data/rude_patterns.toml":
            wanted |= {"response"}
            wanted |= {"prompt", "generation"} if name in DECODES else set()
            wanted |= {"embedding"} if name == "embeddings" else set()
        assert {kind for kind in before if keys[kind] != before[kind]} == wanted, (path, new)


def test_start_of_the_process(tmp_path: Path) -> None:
    """Keys are the same wherever the project lies, and whatever Python's hash seed, locale and worker are."""
    here, there = code_world(tmp_path / "here"), code_world(tmp_path / "far" / "away" / "there")
    (tmp_path / "bare").mkdir()
    bare = write_world(tmp_path / "bare")
    for path in there.rglob("*"):
        os.utime(path, (1, 1))
    starts = [
        printed(here, here, PYTHONHASHSEED="1", PYTEST_XDIST_WORKER="gw0", TZ="UTC"),
        printed(here, bare, PYTHONHASHSEED="2", PYTEST_XDIST_WORKER="gw1", TZ="Asia/Tokyo"),
        printed(there, there, PYTHONHASHSEED="3", LC_ALL="C", SUPPORT_CACHE=str(tmp_path / "c")),
    ]
    assert all(one == other for one, other in pairwise(starts))


TINY = """
import pytest
from pathlib import Path
from fixtures.embedding import HashedEmbedder
from fixtures.fakes import ScriptedGenerator
from system.assistant import Assistant
from system.cache import open_cache
from system.models import resolve_model
from system.wariness import Wariness, save_wariness
from tests_unit.test_assistant import MANY, PROMPT, AGENT, said

class Noted(ScriptedGenerator):
    def generate(self, prompts, *rest):
        with Path("asked").open("a") as file:
            file.writelines(f"{prompt!r}\\n" for prompt in prompts)
        return super().generate(prompts, *rest)

@pytest.mark.parametrize("n", range(12))
def test_answers(n):
    noted = Noted(said, source=resolve_model("model"))
    played = Assistant("model", embedder=HashedEmbedder(), generators={None: noted}, cache=open_cache())
    many = MANY[n % 3:] + MANY[:n % 3]
    drafts = [draft for variant in (PROMPT, AGENT) for draft in played.drafts(many, variant)]
    for response in played.answer(drafts):
        assert response.prompt is None or response.raw == said(response.prompt.text)
"""


def test_parallel_workers(tmp_path: Path) -> None:
    """Parallel workers serve no wrong answer, each asks at most once for each, and the next session asks nothing."""
    write_world(tmp_path)
    (tmp_path / "test_tiny.py").write_text(TINY)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SUPPORT_CACHE": str(tmp_path / "cache")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    counts = []
    for workers in ("-n2", "-n0"):
        done = subprocess.run(
            [*map(str, command), workers, "test_tiny.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "12 passed" in done.stdout, done.stdout + done.stderr
        counts.append(Counter((tmp_path / "asked").read_text().splitlines()))
    assert len(counts[0]) == 8
    assert max(counts[0].values()) <= 2
    assert counts[1] == counts[0]


# Completeness


def names(kind: Any, prefix: str) -> set[str]:
    """The fields of a record with a prefix."""
    return {f"{prefix}.{one.name}" for one in fields(kind)}


def test_tables_are_complete() -> None:
    """A field that is added to a record of this list must be put into one of the tables above first."""
    covered = {name.split(" ")[0] for name in (*ANSWERS, *SAME, *PROMPTS)}
    wanted = names(Variant, "variant") | names(Decoding, "variant.decoding") | names(Complaint, "complaint")
    wanted |= (
        names(Calibration, "calibration")
        | names(Wariness, "wariness")
        | names(Template, "template")
        | names(Hit, "hit")
    )
    wanted -= {"variant.decoding"}  # field by field
    wanted -= {"calibration.settings_sha256", "calibration.embedder_sha256"}  # others than the present ones are refused
    wanted -= {"wariness.embedder_sha256"}
    assert wanted == {name for name in covered if "." in name and "(" not in name}


def test_records_behind_the_tables() -> None:
    """Records whose fields are made from those ingredients; a new field here needs a row above, or a reason."""
    assert {f.name for f in fields(Prompt)} == {"template", "system", "user", "text", "tokens", "passages"}
    assert {f.name for f in fields(Identity)} == {
        "model", "model_hash", "knowledge_base", "adapter", "adapter_hash",
    }  # fmt: skip
    assert {f.name for f in fields(Completion)} == {"text", "tokens", "stopped", "seconds", "error", "cached"}
    assert {f.name for f in fields(Scorer)} == {"metrics", "signature", "inputs", "compute"}
    assert Pair._fields == ("complaint", "response", "context")
    assert {f.name for f in fields(Assistant)} == {
        "base_model", "knowledge_base", "chunker", "embedder", "cache", "generators", "store", "reranker", "_loading",
    }  # fmt: skip
    assert {f.name for f in fields(CachedModel)} == {"source", "adapter_hash", "load", "cache"}
