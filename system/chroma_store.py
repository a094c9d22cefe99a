"""Knowledge in Chroma: in a folder of this machine, or on a Chroma server.

    open_store("chroma:DIR", embed)                    embedded, in this process
    open_store("chroma+http://HOST:PORT", embed)       what ``chroma run --path DIR`` serves; chroma+https as well
    store.index(passages, knowledge_hash(passages))    indexes what is missing, then is a Store like any other

Vectors are the embedder's own, found by cosine in a graph (HNSW), whose settings make it exhaustive for a thousand
passages and nearly so for many. Chroma keeps no statistics of words outside its cloud service, so BM25 is built here,
from the stored texts. A collection is named after knowledge, embedder and this code: a stale one is never served. It is
only ever filled, so deleting the folder is always safe. Must not know who searches, nor why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from weakref import finalize

import numpy as np
from filelock import FileLock

from system.cache import key_of, made_by
from system.embeddings import Embed
from system.errors import KnowledgeBaseError, SettingsError
from system.models import without_login
from system.records import Hit, Passage
from system.retrieval import FILTERS, Store, Where, check_filter, indexed_text, make_hit

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import HNSWConfiguration
    from chromadb.api.models.Collection import Collection

FOLDER, SERVER = "chroma:", "chroma+"
FORMS = "write chroma:DIR, or chroma+http://HOST:PORT for a Chroma server"
# Measured by ``python -m system.scale``. A search looks at as many nodes as it returns, but at ``ef_search`` at least.
GRAPH: HNSWConfiguration = {"space": "cosine", "ef_construction": 200, "max_neighbors": 32, "ef_search": 1000}
DEPTH = 1000  # passages that have a dense rank in hybrid retrieval; one further down could add 1 / 1060 at most
SPARE = 16  # asked for beyond k, so that among equal passages the earliest are served, as everywhere
BATCH = 500  # passages embedded and stored at once: what a kill may cost
PAGE = 1000  # passages read at once; SQLite limits the parameters of a query
QUERIES = 64  # texts asked for at once
SECONDS = 60.0  # that a server may take for a request


@dataclass(frozen=True)
class ChromaStore:
    """A place where Chroma keeps collections. Opened when the first one is asked for."""

    location: str  # a folder, or a server's address
    embed: Embed

    @property
    def is_server(self) -> bool:
        """Whether the place is a server."""
        return self.location.startswith(("http://", "https://"))

    @cached_property
    def client(self) -> ClientAPI:
        """Chroma, opened or connected to. Raises SettingsError where neither can be."""
        import chromadb
        import httpx
        from chromadb.config import Settings

        # Neither a .env file in the working folder nor a collector of traces named in the environment counts.
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic takes it, its annotations do not say so
            anonymized_telemetry=False,
            chroma_otel_collection_endpoint="",
            chroma_otel_granularity="none",
        )
        with _named_errors(self.location):
            if not self.is_server:
                return chromadb.PersistentClient(self.location, settings)
            httpx.get(f"{self.location}/api/v2/heartbeat", timeout=SECONDS).raise_for_status()
            address = urlsplit(self.location)
            client: Any = chromadb.HttpClient(
                address.hostname or "", address.port or 0, ssl=address.scheme == "https", settings=settings
            )
        for server in (client._server, client._admin_client._server):
            server._session.timeout = httpx.Timeout(SECONDS)  # Chroma would wait for ever
            finalize(server, server._session.close)  # and never closes its connections
        return cast("ClientAPI", client)

    def index(self, passages: Sequence[Passage], knowledge_hash: str) -> ChromaIndex:
        """The passages, searchable; those that the collection does not hold yet are embedded and stored.

        A killed run goes on where it stopped. In a folder one process stores at a time; a server takes several, which
        then do the same work twice. Raises SettingsError if Chroma fails.
        """
        # The name holds everything that a stored passage and its vector were made from.
        made = made_by("chroma_store retrieval", "chromadb")
        name = f"support-{key_of(knowledge_hash, self.embed.sha256, GRAPH, made)[:40]}"
        with self._alone():
            with _named_errors(self.location):
                collection = self.client.get_or_create_collection(
                    name,
                    embedding_function=None,  # Chroma's own would be downloaded
                    configuration={"hnsw": GRAPH},
                )
                stored = collection.count()
            index = ChromaIndex(collection, len(passages), knowledge_hash, self.embed, self.location)
            if stored != len(passages):
                self._fill(collection, passages)
            with _named_errors(self.location):
                first = collection.get(limit=1, include=["embeddings"])["embeddings"]
            index.best_cosines(np.array(first))  # the first search writes the graph, if anything is left to write
        return index

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time: Chroma neither makes its tables nor writes its graph in one step."""
        if self.is_server:
            yield
            return
        with _named_errors(self.location):
            Path(self.location).mkdir(parents=True, exist_ok=True)
            lock = FileLock(Path(self.location) / "filling.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _fill(self, collection: Collection, passages: Sequence[Passage]) -> None:
        from tqdm import tqdm

        with _named_errors(self.location):
            stored = {name for page in _pages(collection, []) for name in page["ids"]}
        missing = [(n, passage) for n, passage in enumerate(passages) if passage.id not in stored]
        starts = range(0, len(missing), BATCH)
        for first in tqdm(starts, "indexing", unit_scale=BATCH, unit="passage", disable=len(missing) <= BATCH):
            batch = missing[first : first + BATCH]
            vectors = self.embed([indexed_text(passage) for _, passage in batch])
            with _named_errors(self.location):
                collection.upsert(
                    ids=[passage.id for _, passage in batch],
                    embeddings=np.asarray(vectors, dtype=np.float32),
                    documents=[passage.text for _, passage in batch],
                    metadatas=[
                        {**{name: getattr(passage, name) for name in FILTERS}, "position": n} for n, passage in batch
                    ],
                )
        with _named_errors(self.location):
            found = collection.count()
        if found != len(passages):
            raise KnowledgeBaseError(
                f"{self.location}: holds {found} of {len(passages)} passages after indexing; every passage needs an id "
                "of its own"
            )


class ChromaIndex(Store):
    """A Store whose passages and vectors lie in a collection of Chroma; only BM25 reads all texts."""

    def __init__(self, collection: Collection, count: int, knowledge_hash: str, embed: Embed, location: str):
        self.knowledge_hash = knowledge_hash
        self.embed = embed
        self._collection = collection
        self._count = count
        self._location = location

    @cached_property
    def passages(self) -> tuple[Passage, ...]:  # type: ignore[override]  # read from the collection, once
        """All passages in the order of the knowledge base."""
        found: list[tuple[int, Passage]] = []
        with _named_errors(self._location):
            for page in _pages(self._collection, ["documents", "metadatas"]):
                rows = zip(page["ids"], page["metadatas"], page["documents"], strict=True)
                found += [(fields["position"], _passage(*row)) for row in rows for fields in (row[1],)]
        return tuple(passage for _, passage in sorted(found, key=lambda pair: pair[0]))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {passage.id: n for n, passage in enumerate(self.passages)}

    def dense_scores(self, texts: Sequence[str], where: Where | None = None) -> np.ndarray:
        """See Store; of each text the ``DEPTH`` closest passages are found."""
        scores = np.full((len(texts), self._count), -np.inf, dtype=np.float32)
        for row, found in zip(scores, self._query(self.embed(texts), DEPTH, where, []), strict=True):
            row[[self._positions[name] for name in found["ids"]]] = 1.0 - np.array(found["distances"])
        return scores

    def nearest(self, texts: Sequence[str], k: int, where: Where | None = None) -> list[list[Hit]]:
        """See Store."""
        result = []
        for found in self._query(self.embed(texts), k + SPARE, where, ["documents", "metadatas"]):
            rows = zip(found["distances"], found["metadatas"], found["ids"], found["documents"], strict=True)
            best = sorted(rows, key=lambda row: (row[0], row[1]["position"]))[:k]
            result.append([make_hit(_passage(name, fields, text), 1.0 - far) for far, fields, name, text in best])
        return result

    def best_cosines(self, vectors: np.ndarray) -> np.ndarray:
        """See Store."""
        return np.array([1.0 - found["distances"][0] for found in self._query(vectors, 1, None, [])], dtype=np.float32)

    def _query(
        self, vectors: np.ndarray, count: int, where: Where | None, fields: list[Any]
    ) -> Iterator[dict[str, list[Any]]]:
        """Of each vector the closest passages: a list for each field, and for ids and distances, in the same order."""
        narrowed = _condition(where)
        for first in range(0, len(vectors), QUERIES):
            some = np.asarray(vectors[first : first + QUERIES], dtype=np.float32)
            with _named_errors(self._location):
                answer: Any = self._collection.query(
                    query_embeddings=some,
                    n_results=min(count, self._count),
                    where=narrowed,
                    include=["distances", *fields],
                )
            for n in range(len(some)):
                yield {name: answer[name][n] for name in ("ids", "distances", *fields)}


def open_store(text: str, embed: Embed) -> ChromaStore:
    """The store that an option names; nothing is opened yet. Raises SettingsError for anything that is not FORMS."""
    if text.startswith(FOLDER) and text != FOLDER:
        return ChromaStore(text.removeprefix(FOLDER), embed)
    shown = without_login(text)
    address = text.removeprefix(SERVER)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"store {shown!r}: {error}; {FORMS}") from error
    if "@" in address:
        raise SettingsError(f"store {shown!r}: Chroma's server knows no users; leave user and password out")
    is_address = text.startswith(SERVER) and parts.scheme in ("http", "https") and parts.hostname and port
    if not is_address or parts.path.strip("/") or parts.query or parts.fragment or " " in address:
        raise SettingsError(f"store {shown!r}: {FORMS}")
    return ChromaStore(f"{parts.scheme}://{parts.netloc}", embed)


def _condition(where: Where | None) -> Any:
    """A filter as Chroma writes it."""
    if not where:
        return None
    check_filter(where)
    each = [{field: {"$in": list(values)}} for field, values in where.items()]
    return each[0] if len(each) == 1 else {"$and": each}


def _passage(name: str, fields: dict[str, Any], text: str) -> Passage:
    return Passage(id=name, text=text, **{field: fields[field] for field in FILTERS})


def _pages(collection: Collection, fields: list[Any]) -> Iterator[Any]:
    """All that a collection holds, page by page."""
    for first in range(0, collection.count(), PAGE):
        yield collection.get(limit=PAGE, offset=first, include=fields)


@contextmanager
def _named_errors(location: str) -> Iterator[None]:
    """Whatever Chroma raises, as one SettingsError."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except (ChromaError, httpx.HTTPError, OSError, ValueError) as error:
        raise SettingsError(
            f"store {location}: Chroma failed ({error}); start its server, or delete the folder or name another"
        ) from error
