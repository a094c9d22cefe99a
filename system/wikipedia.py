"""Wikipedia articles for the knowledge base, through the MediaWiki API, with the record that their licence asks for.

    add_articles(["Network congestion"], Path("knowledge_base"))
    -> knowledge_base/network_congestion.md and network_congestion.meta.json

The only module of the knowledge base that uses the network, and only when somebody asks for it: import it where it is
used, since it imports httpx. Must not know passages or retrieval.
"""

from __future__ import annotations

import calendar
import email.utils
import json
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from system.errors import KnowledgeBaseError, SettingsError

API = "https://en.wikipedia.org/w/api.php"
USER_AGENT = "telecom-support-assistant/1.0"
ATTEMPTS = 4
TIMEOUT = 20.0  # seconds for each step of a request
LONGEST_PAUSE = 60.0  # seconds; caps what a server may ask for by Retry-After

_BUSY = frozenset(("maxlag", "ratelimited"))
_PARAMETERS = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "maxlag": "5",
    "redirects": "1",
    "prop": "extracts|info|revisions|pageprops",
    "explaintext": "1",
    "exsectionformat": "wiki",
    "exlimit": "1",  # whole extracts come one page a request
    "inprop": "url",
    "rvprop": "ids|timestamp",
    "ppprop": "disambiguation",
    "meta": "siteinfo",
    "siprop": "rightsinfo",
}


@dataclass(frozen=True, slots=True)
class _Page:
    title: str
    stem: str
    text: str
    meta: dict[str, Any]


def add_articles(
    titles: Sequence[str],
    folder: Path,
    api: str = API,
    client: httpx.Client | None = None,
    *,
    overwrite: bool = False,
    contact: str = "",
    wait: Callable[[float], None] = time.sleep,
) -> list[Path]:
    """Fetch the pages with these titles and write each as ``<stem>.md`` plus ``<stem>.meta.json`` into ``folder``.

    Redirects are followed; the stem is the final title in lower-case snake case. The side file records title, page
    and revision id, the revision's time, URL, licence and the time of retrieval (UTC). ``contact``, an address or
    URL, goes into the User-Agent, as Wikimedia asks of its users; ``wait`` pauses for a number of seconds. Returns
    the paths of the articles, each page once, in the order of the titles.

    Nothing is written before every page has come and passed. Raises KnowledgeBaseError, one line for each title at
    fault: no such page, a disambiguation page, a page without text, a file that exists already (unless
    ``overwrite``); at once for a network failure, a reply that is not understood, or a server still busy after
    ATTEMPTS tries. Raises SettingsError for a contact that cannot stand in a header.
    """
    if not titles:
        raise KnowledgeBaseError("no title was given; name at least one page")
    if not (contact.isascii() and contact.isprintable()):
        raise SettingsError(
            f"contact {contact!r}: must be printable ASCII to stand in a header; give an address or URL"
        )
    agent = " ".join(filter(None, (USER_AGENT, contact and f"({contact})", f"httpx/{httpx.__version__}")))
    pages: dict[str, _Page] = {}
    problems: list[str] = []
    with ExitStack() as stack:
        if client is None:
            client = stack.enter_context(httpx.Client(follow_redirects=True))
        for title in titles:
            if not title.strip() or set(title) & set("|\x1f\n"):
                problems.append(f"{title!r}: is not a page title; give one title, without '|'")
                continue
            reply = _ask(client, api, title, agent, wait)
            try:
                page = _page(title, api, reply)
                clash = pages.get(page.stem, page)
                if clash.title != page.title:
                    raise KnowledgeBaseError(f"{title!r}: has the same stem as {clash.title!r}; add one of the two")
                _check_free(page, folder, overwrite)
                pages[page.stem] = page
            except KnowledgeBaseError as error:
                problems.append(str(error))
    if problems:
        raise KnowledgeBaseError("\n".join(problems))
    return _write(pages.values(), folder)


def _ask(client: httpx.Client, api: str, title: str, agent: str, wait: Callable[[float], None]) -> dict[str, Any]:
    """Ask the API for one title, again after a pause while the server is busy. Returns the decoded JSON object."""
    trouble = ""
    for attempt in range(ATTEMPTS):
        try:
            answer = client.get(
                api, params={**_PARAMETERS, "titles": title}, headers={"User-Agent": agent}, timeout=TIMEOUT
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise KnowledgeBaseError(f"{title!r}: {api} cannot be reached ({reason}); check network and URL") from error
        if answer.status_code == 429 or answer.status_code >= 500:
            trouble = f"HTTP {answer.status_code}"
        elif answer.status_code != 200:
            raise KnowledgeBaseError(
                f"{title!r}: {api} answered HTTP {answer.status_code}; check URL and access rights"
            )
        else:
            try:
                reply = answer.json()
            except ValueError as error:
                raise KnowledgeBaseError(
                    f"{title!r}: {api} did not answer with JSON; give a MediaWiki api.php"
                ) from error
            fault = reply.get("error") if isinstance(reply, dict) else {"code": "reply", "info": "not a JSON object"}
            if not fault:
                return dict(reply)
            if not isinstance(fault, dict) or fault.get("code") not in _BUSY:
                info = fault.get("info") if isinstance(fault, dict) else fault
                raise KnowledgeBaseError(f"{title!r}: {api} refused the request ({info}); check title and URL")
            trouble = str(fault["code"])
        if attempt + 1 < ATTEMPTS:
            wait(_pause(answer.headers.get("Retry-After", ""), attempt))
    raise KnowledgeBaseError(f"{title!r}: {api} is still busy after {ATTEMPTS} tries ({trouble}); try again later")


def _pause(retry_after: str, attempt: int) -> float:
    """Seconds to wait: what the server asks for, in seconds or as an HTTP date, else 1, 2, 4, ..."""
    seconds = float(2**attempt)
    if retry_after.strip().isdecimal():
        seconds = float(retry_after)
    elif date := email.utils.parsedate(retry_after):
        with suppress(ValueError, OverflowError):
            seconds = calendar.timegm(date) - time.time()
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _page(asked: str, api: str, reply: dict[str, Any]) -> _Page:
    try:
        query = reply["query"]
        if not query.get("pages") and query.get("interwiki"):
            raise KnowledgeBaseError(
                f"{asked!r}: names a page of another wiki; give that wiki's API and the bare title"
            )
        page = query["pages"][0]
        if page.get("invalid"):
            raise KnowledgeBaseError(f"{asked!r}: is not a page title ({page.get('invalidreason')}); correct it")
        title = str(page["title"])
        shown = repr(asked) if asked == title else f"{asked!r} (page {title!r})"
        if page.get("missing") or page.get("special"):
            raise KnowledgeBaseError(f"{shown}: there is no such page; check the spelling")
        if "disambiguation" in page.get("pageprops", {}):
            raise KnowledgeBaseError(f"{shown}: is a disambiguation page; name one of the pages that it lists")
        text = clean(str(page.get("extract") or ""))
        if not text:
            raise KnowledgeBaseError(f"{shown}: has no text in the reply; choose a page with text (needs TextExtracts)")
        revision = page["revisions"][0]
        rights = query.get("rightsinfo", {})
        meta = {
            "title": title,
            "page_id": int(page["pageid"]),
            "revision_id": int(revision["revid"]),
            "timestamp": str(revision["timestamp"]),
            "url": str(page["fullurl"]),
            "licence": rights.get("text") or None,
            "licence_url": rights.get("url") or None,
            "retrieved": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "changes": "plain text; sections of references and links, citation marks and empty headings removed",
        }
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise KnowledgeBaseError(
            f"{asked!r}: {api} answered without what was asked for ({error!r}); give a MediaWiki api.php"
        ) from error
    return _Page(title, stem_of(title) or f"page_{meta['page_id']}", text, meta)


# Windows cannot make files of the first names; the knowledge base passes README.md over.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d|readme)$")


def stem_of(title: str) -> str:
    """Return a title as a file stem: a-z, 0-9 and single underscores, 80 characters at most, or "" if none remain."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower().replace("'", "")
    stem = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:80].rstrip("_")
    return f"{stem}_page" if _RESERVED.match(stem) else stem


_DROPPED = {"references", "see also", "external links", "further reading", "notes", "footnotes", "citations"}
_DROPPED |= {"notes and references", "references and notes", "works cited"}
_HEADING = re.compile(r"(={2,6})\s*(.*?)\s*\1")
_CITATION = re.compile(
    r"\[(?:(?:note |nb |n )?\d{1,3}|(?:(?:full )?citation|clarification|page|year) needed|(?:by )?whom?\?|when\?)\]"
    r"(?::\s?\d+(?:[-–]\d+)?)?"
)


def clean(extract: str) -> str:
    """Turn a plain-text extract with "== Heading ==" lines into Markdown, one paragraph a line.

    Drops sections of references and links with all that lies below them, headings without text, citation marks,
    formula source and blank lines beyond one.
    """
    kept: list[str] = []
    waiting: list[tuple[int, str]] = []  # headings whose text has not come yet
    dropping = 0  # level of the heading that is being dropped
    for raw in extract.splitlines():
        line = " ".join(_CITATION.sub("", raw).split())
        heading = _HEADING.fullmatch(line)
        if heading:
            level = len(heading[1])
            if dropping and level > dropping:
                continue
            dropping = level if heading[2].lower() in _DROPPED else 0
            waiting = [above for above in waiting if above[0] < level]
            if heading[2] and not dropping:
                waiting.append((level, heading[2]))
        elif line and not dropping and not line.startswith("{\\displaystyle"):
            kept += [f"{'#' * level} {name}" for level, name in waiting]
            waiting = []
            # A line of text must not turn into a heading.
            kept.append(f"\\{line}" if re.match(r"#{1,6} ", line) else line)
    return "\n\n".join(kept)


def _check_free(page: _Page, folder: Path, overwrite: bool) -> None:
    for suffix in (".html", ".jsonl", ".pdf", ".txt"):
        if (folder / f"{page.stem}{suffix}").exists():
            raise KnowledgeBaseError(
                f"{page.title!r}: {page.stem}{suffix} has the same stem; rename or remove that file"
            )
    target = folder / f"{page.stem}.md"
    if target.exists() and not overwrite:
        raise KnowledgeBaseError(f"{page.title!r}: {target} exists already; allow overwriting or move the file away")


def _write(pages: Iterable[_Page], folder: Path) -> list[Path]:
    """Write everything beside its place first, then move it there, so that no reader meets half a file."""
    moves: list[tuple[Path, Path]] = []
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for page in pages:
            side = json.dumps(page.meta, ensure_ascii=False, indent=2) + "\n"
            # The side file moves first: an article never stands there without its licence.
            for name, content in (
                (f"{page.stem}.meta.json", side),
                (f"{page.stem}.md", f"# {page.title}\n\n{page.text}\n"),
            ):
                moves.append((folder / f".{name}.{os.getpid()}.tmp", folder / name))
                moves[-1][0].write_text(content, encoding="utf-8", newline="\n")
            written.append(folder / f"{page.stem}.md")
        for temporary, target in moves:
            os.replace(temporary, target)
    except OSError as error:
        raise KnowledgeBaseError(
            f"{folder}: cannot be written ({error.strerror}); check the path and its rights"
        ) from error
    finally:
        for temporary, _ in moves:
            temporary.unlink(missing_ok=True)
    return written
