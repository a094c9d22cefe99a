"""``serve`` and ``forget``: the service as commands, given their parsed options; each returns the exit status."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from system.commands import assistant_of, tell_suspects
from system.errors import InputError, SettingsError, SupportError
from system.models import LLAMACPP_PREFIX

if TYPE_CHECKING:
    from system.assistant import Assistant
    from system.evaluation.judge import Judge
    from system.records import Response
    from system.service.engine import Ticket
    from system.service.rating import PairTable
    from system.service.shield import Limits
    from system.service.store import Store

KEY = "SUPPORT_API_KEY"  # an option would stand in the list of processes for everybody to read
SHORTEST_KEY = 16
SHUTDOWN_SECONDS = 30
CONNECTIONS = 256
_log = logging.getLogger(__name__)


def serve(options: argparse.Namespace) -> int:
    """Serve the assistant and its page until a signal ends it; answers that are being given are finished first."""
    import uvicorn

    from system.service.ahead import read_ahead
    from system.service.app import Service, create_app
    from system.service.engine import Engine
    from system.service.store import Store
    from system.variants import only_variant

    variant = only_variant(options.variant, "serve answers with one; a request may name another")
    limits = limits_of(options)
    pairs = pairs_of(options)
    assistant = assistant_of(options)
    assistant.identity(variant)  # a wrong model or knowledge base is found before anything is bound or loaded
    listener = _listener(options.host, options.port)
    store = Store(options.store_file)
    engine = Engine(assistant, keeper(assistant, store), waiting=options.queue, **lanes_of(options))
    service = Service(engine, store, variant, timeout=options.timeout, pairs=pairs, judge=_grading(assistant))
    service.ready = False

    def get_ready() -> None:
        try:
            tell_suspects(assistant.suspects)
            engine.warm_up(variant)
            service.ready = True
        except SupportError as error:
            _log.error("%s", error)
            signal.raise_signal(signal.SIGTERM)
            return
        try:
            read_ahead(engine, variant)
        except SupportError as error:  # who asks is answered all the same, a little later
            _log.warning("nothing more is read ahead: %s", error)

    ended = threading.Event()
    threading.Thread(target=_expire_hourly, args=(store, options.keep_days, ended), daemon=True).start()
    threading.Thread(target=get_ready, daemon=True).start()
    config = uvicorn.Config(
        create_app(service, limits),
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port}  {variant.name}; Ctrl-C ends it", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again once everything is finished
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        ended.set()
        engine.close()
        store.close()
    return 0


def forget(options: argparse.Namespace) -> int:
    """Delete what the service remembers of a conversation, or what is older than some days."""
    from system.service.store import Store

    if (options.conversation is None) == (options.older_than is None):
        raise InputError("forget: give either the id of a conversation or --older-than DAYS")
    if not options.store_file.is_file():
        raise InputError(f"{options.store_file}: there is no such file; give serve's --store-file")
    store = Store(options.store_file)
    gone = store.forget(options.conversation) if options.conversation else store.expire(options.older_than)
    store.close()
    print(f"{gone} answers forgotten")
    return 0 if gone or options.older_than is not None else 1


def limits_of(options: argparse.Namespace) -> Limits:
    """The limits that the options and the environment describe. Raises SettingsError where they leave a door open."""
    from system.service.shield import Limits, is_loopback

    key = os.environ.get(KEY, "").strip()
    if key and (len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key):
        raise SettingsError(f"{KEY}: give at least {SHORTEST_KEY} printable characters without blanks")
    local = is_loopback(options.host)
    if not local and not key:
        raise SettingsError(f"--host {options.host}: others could reach the service; set {KEY} to a key of your own")
    names = ("localhost", "127.0.0.1", "[::1]", options.host) if local else ()
    hosts = (*names, *options.allow_host) if local or options.allow_host else ()
    return Limits(key=key, hosts=tuple(host.lower() for host in hosts), rate=options.rate)


def pairs_of(options: argparse.Namespace) -> PairTable | None:
    """The answers that people are to rate, None if none are named."""
    if options.pairs is None:
        return None
    from system.runlog import read_run
    from system.service.rating import PairTable
    from system.variants import find_variants

    names = [variant.name for variant in find_variants(options.pair_variants)]
    if len(names) != 2:
        raise InputError(f"--pair-variants {options.pair_variants!r}: name two variants")
    return PairTable.from_run(read_run(options.pairs), (names[0], names[1]))


def keeper(assistant: Assistant, store: Store) -> Callable[[Ticket, Response], None]:
    """What remembers an answer, personal data masked."""
    from system.decision import passages_behind
    from system.privacy import mask
    from system.service.store import Kept

    def keep(ticket: Ticket, response: Response) -> None:
        complaint = mask(ticket.question.text, assistant.company_values)
        kept = Kept(
            id=ticket.id,
            conversation=ticket.question.conversation,
            time=response.time,
            variant=response.variant,
            complaint=complaint.text,
            answer=complaint.hide(response.text),
            action=response.decision.action,
            reason=complaint.hide(response.decision.reason),
            score=response.decision.score,
            threshold=response.decision.threshold,
            sources=passages_behind(response.decision, response.prompt, response.hits),
            seconds=sum(response.seconds.values()),
        )
        store.add(kept)

    return keep


def lanes_of(options: argparse.Namespace) -> dict[str, int]:
    """How the engine is divided: one lane of batches, or a lane for each slot of a backend that mixes by itself."""
    if not options.base_model.startswith(LLAMACPP_PREFIX):
        return {}
    from system.llamacpp import default_slots

    return {"lanes": default_slots(), "batch": 1}


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"--host {host} --port {port}: cannot be listened on ({error}); give another") from error


def _expire_hourly(store: Store, days: float, ended: threading.Event) -> None:
    while True:
        try:
            store.expire(days)
        except SupportError as error:
            _log.error("%s", error)
        if ended.wait(3600):
            return


def _grading(assistant: Assistant) -> Callable[[Sequence[Response]], list[dict[str, float]]]:
    """The local judge over responses; loaded when somebody first asks how far raters agree with it."""

    @lru_cache(maxsize=1)
    def judge() -> Judge:
        from system.evaluation.judge import load_judge

        return load_judge()

    def grade(responses: Sequence[Response]) -> list[dict[str, float]]:
        from system.articles import official_text
        from system.evaluation.judge import Pair

        official = official_text(assistant.knowledge_base)
        pairs = [Pair(response.complaint, response.text, official) for response in responses]
        return [dict(grade.values) for grade in judge().grade(pairs)]

    return grade
