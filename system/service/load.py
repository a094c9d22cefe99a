"""Load on the service: a second process asks for a while, and nothing may be lost, mixed up or left without a reply.

    python -m system.service.load --clients 8 --seconds 60 --out reports/load.json

Starts ``serve`` as a process of its own, asks each of the dev complaints once, alone, to know its answer and how long
its first words take, and then lets clients ask them over and over, each waiting for its answer before it asks again.
An answer is mixed up if it is another
complaint's; a request that was refused with 429 is counted and repeated after the pause that the service names.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np

from system.complaints import read_complaints
from system.rows import write_whole


@dataclass
class Tally:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)  # of each answer, its refusals not counted
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, what: str, seconds: float | None = None) -> None:
        """Count an outcome; ``seconds`` of an answer."""
        with self.lock:
            self.counts[what] += 1
            self.seconds += [] if seconds is None else [seconds]


@contextmanager
def served(arguments: list[str]) -> Iterator[str]:
    """A service in a process of its own, its address once it is ready; ended by SIGTERM, which must give status 0."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "system", "serve", "--port", "0", "--rate", "1000000/minute", *arguments]
        command += ["--store-file", str(Path(folder) / "service.sqlite")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)  # noqa: S603  # our own
        assert process.stdout is not None  # it is a pipe
        try:
            url = process.stdout.readline().split()[0]
            while not _is_ready(url):
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()
            status = process.wait(60)
            process.stdout.close()
    if status:
        raise RuntimeError(f"the service ended with status {status}")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, text: str) -> httpx.Response:
    """One question."""
    return client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": text}]})


@dataclass(frozen=True)
class Alone:
    """An answer that was given while nobody else asked."""

    words: str
    first: float  # seconds to its first words; they come when their sentence is whole and checked
    whole: float


def ask_alone(client: httpx.Client, text: str) -> Alone:
    """One question, its answer streamed. Raises httpx.HTTPStatusError where it is refused."""
    question = {"messages": [{"role": "user", "content": text}], "stream": True}
    began, first, words = time.monotonic(), 0.0, ""
    with client.stream("POST", "/v1/chat/completions", json=question) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            piece = event["choices"][0]["delta"].get("content", "") if event.get("choices") else ""
            first = first or (time.monotonic() - began if piece else 0.0)
            words = event.get("support", {}).get("text", words + piece)  # what replaces an answer comes whole
    return Alone(words, first, time.monotonic() - began)


def run(url: str, texts: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Ask for a while; see the module's text. Returns the figures."""
    tally = Tally()
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        alone = {text: ask_alone(client, text) for text in texts}
    known = {text: answer.words for text, answer in alone.items()}
    end = time.monotonic() + seconds

    def client_loop(number: int) -> None:
        with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
            turn = number
            while time.monotonic() < end:
                turn += 1
                text = texts[turn * 7 % len(texts)]
                began = time.monotonic()
                try:
                    answer = ask(client, text)
                except httpx.TransportError as error:
                    tally.add(f"lost: {type(error).__name__}")
                    continue
                if answer.status_code == 429:
                    tally.add("refused, 429")
                    time.sleep(min(float(answer.headers["retry-after"]), max(0.0, end - time.monotonic())))
                elif answer.status_code != 200:
                    tally.add(f"failed, {answer.status_code}")
                else:
                    said = _words(answer)
                    others = {words for other, words in known.items() if other != text and words != known[text]}
                    what = "as before" if said == known[text] else "mixed up" if said in others else "worded otherwise"
                    tally.add(what, time.monotonic() - began)

    began = time.monotonic()
    threads = [threading.Thread(target=client_loop, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    times = np.array(tally.seconds or [np.nan])
    return {
        "alone": {
            "answers": len(alone),
            "first_words_p50": _median([answer.first for answer in alone.values()]),
            "answer_p50": _median([answer.whole for answer in alone.values()]),
        },
        "clients": clients,
        "seconds": round(took, 1),
        "answers": len(tally.seconds),
        "answers_per_second": round(len(tally.seconds) / took, 3),
        **{f"p{q}": round(float(np.quantile(times, q / 100)), 3) for q in (50, 95, 99)},
        "outcomes": dict(tally.counts),
        "lost": sum(n for what, n in tally.counts.items() if what.startswith("lost")),
        "mixed_up": tally.counts["mixed up"],
    }


def _median(seconds: list[float]) -> float:
    return round(float(np.median(seconds)), 3)


def _words(answer: httpx.Response) -> str:
    answer.raise_for_status()
    return str(answer.json()["choices"][0]["message"]["content"])


def main() -> int:
    """Serve, ask, print, and write the figures under a name; 1 if anything was lost or mixed up."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--complaints", type=int, default=24, help="different complaints asked (default: %(default)s)")
    options.add_argument("--name", default="default", help="of these figures in the file (default: %(default)s)")
    options.add_argument("--out", type=Path, default=Path("reports/load.json"))
    options.add_argument("serve", nargs="*", help="options of serve, after --")
    chosen = options.parse_args()
    texts = [c.text for c in read_complaints(Path("data/complaints.jsonl"), "dev")][: chosen.complaints]
    with served(chosen.serve) as url:
        figures = run(url, texts, chosen.clients, chosen.seconds)
    known = json.loads(chosen.out.read_bytes()) if chosen.out.exists() else {}
    known[chosen.name] = {"serve": chosen.serve, **figures}
    write_whole(chosen.out, json.dumps(known, indent=1).encode() + b"\n")
    print(json.dumps(figures, indent=1))
    return 1 if figures["lost"] or figures["mixed_up"] else 0


if __name__ == "__main__":
    sys.exit(main())
