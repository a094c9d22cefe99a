"""``chat``: a conversation in the terminal, sentence by sentence, with what stands behind each answer on request.

    you> My internet is slow.
    ...
    you> /why
    RAG, evidence 0.93 >= 0.50
      slow_speed_and_wifi#2  Check the cable first

Knows the assistant and the terminal; must not know how an answer is made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from system.answering import decision_line
from system.commands import assistant_of, check_writable
from system.complaints import check_text
from system.conversation import in_context
from system.decision import passages_behind
from system.errors import TextError
from system.records import Complaint, Response
from system.rows import LineWriter
from system.streaming import SentencePrinter
from system.variants import Variant, only_variant

if TYPE_CHECKING:
    from system.assistant import Assistant

HELP = "/why shows the decision and the sources of the last answer, /new begins a new conversation, /quit ends it"


def chat(options: argparse.Namespace) -> int:
    """Talk until the input ends."""
    variant = only_variant(options.variant, "chat takes one variant")
    check_writable(options.log, "--log")
    assistant = assistant_of(options)
    assistant.identity(variant)  # a wrong model or knowledge base is found before anybody has typed a word
    talk = Talk(assistant, variant, options.log, sys.stdout, options.sources)
    if sys.stdin.isatty():
        print(HELP)
    for line in _lines("you> " if sys.stdin.isatty() else ""):
        if not talk.take(line):
            break
    return 0


class Talk:
    """One customer's conversation: what was said before, and the last answer."""

    def __init__(self, assistant: Assistant, variant: Variant, log: Path, out: TextIO, sources: bool = False):
        self._assistant = assistant
        self._variant, self._log, self._out, self._sources = variant, log, out, sources
        self._earlier: list[str] = []
        self._last: Response | None = None

    def take(self, line: str) -> bool:
        """Do what a line says, or answer it; False when the conversation is over."""
        commands: dict[str, Callable[[], None]] = {
            "/why": self._why,
            "/new": self._begin_anew,
            "/help": lambda: self._say(HELP),
        }
        command = line.strip()
        if command in ("/quit", "/exit"):
            return False
        if command in commands:
            commands[command]()
        elif command.startswith("/"):
            self._say(f"unknown command {command.split()[0]}; {HELP}")
        elif command:
            self._answer(line)
        return True

    def _answer(self, line: str) -> None:
        try:
            text = check_text(line)
        except TextError as error:
            self._say(f"({error})")
            return
        asked = in_context(self._assistant.decisions, self._earlier, text)
        (draft,) = self._assistant.drafts([Complaint(id="chat", text=asked.text)], self._variant)
        printer = SentencePrinter(draft, self._out)
        (response,) = self._assistant.answer([draft], printer)
        self._last = response
        with LineWriter(self._log) as log:
            log.write(decision_line(response, self._assistant.company_values))
        if response.error:
            self._say(f"(no answer: {response.error})")
            return
        printer.finish(response)
        self._earlier.append(text)
        if self._sources:
            self._why()

    def _why(self) -> None:
        if self._last is None:
            self._say("nothing was answered yet")
            return
        decision = self._last.decision
        self._say(f"[{decision.action}: {decision.reason}]")
        behind = passages_behind(decision, self._last.prompt, self._last.hits)
        for hit in self._last.hits:
            if hit.passage in behind:
                self._say(f"  {hit.passage}  {hit.heading}  ({hit.score:.2f})")

    def _begin_anew(self) -> None:
        self._earlier, self._last = [], None
        self._say("a new conversation")

    def _say(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def _lines(prompt: str) -> Iterator[str]:
    """What is typed, line by line, until the input ends. Raises TextError for bytes that are no text."""
    while True:
        try:
            yield input(prompt)
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise TextError(f"standard input is not UTF-8 (byte {error.start}); convert it") from error
