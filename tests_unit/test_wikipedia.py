"""Fetching articles from a MediaWiki server: a real HTTP server on this machine plays the API with made-up pages."""

from __future__ import annotations

import email.utils
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from system.articles import load_articles
from system.errors import KnowledgeBaseError, SettingsError
from system.wikipedia import ATTEMPTS, LONGEST_PAUSE, add_articles, clean, stem_of

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

EXTRACT = """The Quill mast is a made-up radio mast in a made-up town.[1][note 2] It is 80 m high.


== History ==


=== Building ===
The mast was begun in the year of the second flood.[3]: 12–14
It stood after nine weeks.[citation needed]


== Gallery ==


== See also ==
Quill tower


=== More of them ===
Quill bridge


== Use ==
# 1 on the list of masts.


== References ==
A. Writer, Masts.
"""
MARKDOWN = """# Quill mast

The Quill mast is a made-up radio mast in a made-up town. It is 80 m high.

## History

### Building

The mast was begun in the year of the second flood.

It stood after nine weeks.

## Use

\\# 1 on the list of masts.
"""


def page(title: str, extract: str = "Some made-up text.", number: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "pageid": number,
        "ns": 0,
        "title": title,
        "extract": extract,
        "fullurl": f"https://wiki.example/wiki/{title.replace(' ', '_')}",
        "revisions": [{"revid": 1000 + number, "parentid": 1, "timestamp": "2024-05-06T07:08:09Z"}],
        **more,
    }


PAGES = {
    "Quill mast": page("Quill mast", EXTRACT),
    "Plain page": page("Plain page", number=8),
    "Plain  page!": page("Plain  page!", number=9),
    "Plover": page("Plover", pageprops={"disambiguation": ""}),
    "Hollow": page("Hollow", "\n\n== References ==\nA. Writer\n"),
    "Bare": {key: value for key, value in page("Bare").items() if key != "extract"},
    "No history": {key: value for key, value in page("No history").items() if key != "revisions"},
    "Special:Nothing": {"ns": -1, "title": "Special:Nothing", "special": True},
    "Bad[title]": {"title": "Bad[title]", "invalidreason": "It holds [.", "invalid": True},
}
REDIRECTS = {"The mast": "Quill mast", "Lost mast": "Sunken mast"}


def answer(title: str) -> dict[str, Any]:
    """What a MediaWiki server with PAGES answers to a query for ``title``."""
    query: dict[str, Any] = {"rightsinfo": {"url": "https://licence.example/by-sa", "text": "Made-up Licence 1.0"}}
    if title.startswith("other:"):
        return {"batchcomplete": True, "query": {**query, "interwiki": [{"title": title, "iw": "other"}]}}
    if title in REDIRECTS:
        query["redirects"] = [{"from": title, "to": REDIRECTS[title]}]
    final = REDIRECTS.get(title, title)
    query["pages"] = [PAGES.get(final, {"ns": 0, "title": final, "missing": True})]
    return {"batchcomplete": True, "query": query}


@dataclass
class Wiki:
    """The server. ``script`` holds (status, headers, body) to send before the proper answers."""

    client: httpx.Client
    api: str = ""
    script: list[tuple[int, dict[str, str], str]] = field(default_factory=list)
    requests: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def add(self, folder: Path, *titles: str, **more: Any) -> list[Path]:
        return add_articles(titles, folder, self.api, **{"client": self.client, "wait": self.pauses.append, **more})

    def refusal(self, folder: Path, *titles: str, **more: Any) -> str:
        """The message of the error, after checking that no file was left behind or changed."""
        before = {path: path.read_bytes() for path in folder.rglob("*")}
        with pytest.raises(KnowledgeBaseError) as caught:
            self.add(folder, *titles, **more)
        assert {path: path.read_bytes() for path in folder.rglob("*")} == before
        return str(caught.value)


@pytest.fixture(scope="module", name="client")
def _client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:  # a proxy of the environment would not reach this machine
        yield client


@pytest.fixture(name="wiki")
def _wiki(client: httpx.Client) -> Iterator[Wiki]:
    wiki = Wiki(client)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            wiki.requests.append((given, dict(self.headers)))
            status, headers, body = (
                wiki.script.pop(0) if wiki.script else (200, {}, json.dumps(answer(given["titles"])))
            )
            content = body.encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        wiki.api = f"http://127.0.0.1:{server.server_port}/w/api.php"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield wiki
        server.shutdown()
        thread.join()


# ---------------------------------------------------------------------------------------------------- what is written


def test_article_and_side_file(wiki: Wiki, tmp_path: Path) -> None:
    """A page becomes cleaned Markdown plus a side file that names source, revision, licence and time of retrieval."""
    (path,) = wiki.add(tmp_path / "new" / "folder", "Quill mast")
    assert path == tmp_path / "new" / "folder" / "quill_mast.md"
    assert path.read_text(encoding="utf-8") == MARKDOWN
    meta = json.loads(path.with_name("quill_mast.meta.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta.pop("retrieved"))
    assert "references" in meta.pop("changes")
    assert meta == {
        "title": "Quill mast",
        "page_id": 7,
        "revision_id": 1007,
        "timestamp": "2024-05-06T07:08:09Z",
        "url": "https://wiki.example/wiki/Quill_mast",
        "licence": "Made-up Licence 1.0",
        "licence_url": "https://licence.example/by-sa",
    }
    assert sorted(file.name for file in path.parent.iterdir()) == ["quill_mast.md", "quill_mast.meta.json"]


def test_article_can_be_loaded(wiki: Wiki, tmp_path: Path) -> None:
    """What is written is an article of the knowledge base with the same title, headings and text."""
    wiki.add(tmp_path, "Quill mast")
    (article,) = load_articles(tmp_path)
    assert (article.stem, article.title) == ("quill_mast", "Quill mast")
    assert [section.heading for section in article.sections] == ["", "History > Building", "Use"]
    assert article.sections[-1].text == "# 1 on the list of masts."


def test_query_asks_for_all_that_is_needed(wiki: Wiki, tmp_path: Path) -> None:
    """One request a title asks for text, revision, URL and licence, follows redirects, and says who asks."""
    wiki.add(tmp_path, "Quill mast", contact="help@calderline.example")
    ((given, headers),) = wiki.requests
    assert given == {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "maxlag": "5",
        "redirects": "1",
        "titles": "Quill mast",
        "prop": "extracts|info|revisions|pageprops",
        "explaintext": "1",
        "exsectionformat": "wiki",
        "exlimit": "1",
        "inprop": "url",
        "rvprop": "ids|timestamp",
        "ppprop": "disambiguation",
        "meta": "siteinfo",
        "siprop": "rightsinfo",
    }
    assert headers["User-Agent"] == f"telecom-support-assistant/1.0 (help@calderline.example) httpx/{httpx.__version__}"


def test_redirect_is_filed_under_the_final_title(wiki: Wiki, tmp_path: Path) -> None:
    """A redirect is followed, and a page named twice is written once."""
    assert wiki.add(tmp_path, "The mast", "Plain page", "Quill mast") == [
        tmp_path / "quill_mast.md",
        tmp_path / "plain_page.md",
    ]


def test_given_client_is_used_and_stays_open(wiki: Wiki, tmp_path: Path) -> None:
    """A caller's client sends the requests and is not closed."""
    wiki.client.headers["X-Mark"] = "mine"
    wiki.add(tmp_path, "Quill mast")
    assert wiki.requests[0][1]["X-Mark"] == "mine"
    assert not wiki.client.is_closed


def test_own_client(wiki: Wiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a caller's client one is made, which follows HTTP redirects."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wiki.script = [(301, {"Location": "/moved/api.php?titles=Quill%20mast"}, "")]
    assert wiki.add(tmp_path, "Quill mast", client=None)
    assert len(wiki.requests) == 2


def test_existing_file_is_kept_unless_overwriting(wiki: Wiki, tmp_path: Path) -> None:
    """An article that exists is replaced only when the caller allows it."""
    (tmp_path / "quill_mast.md").write_text("mine")
    assert "quill_mast.md exists already; allow overwriting" in wiki.refusal(tmp_path, "Plain page", "The mast")
    wiki.add(tmp_path, "The mast", overwrite=True)
    assert (tmp_path / "quill_mast.md").read_text() == MARKDOWN


def test_stem_of_another_format_is_taken(wiki: Wiki, tmp_path: Path) -> None:
    """An article in another format with the same stem is never shadowed, since the folder could not be loaded then."""
    (tmp_path / "quill_mast.txt").write_text("mine")
    assert "quill_mast.txt has the same stem" in wiki.refusal(tmp_path, "Quill mast", overwrite=True)


def test_folder_that_cannot_be_written(wiki: Wiki, tmp_path: Path) -> None:
    """A path that is a file is named, and stays as it was."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(KnowledgeBaseError, match="file: cannot be written"):
        wiki.add(tmp_path / "file", "Quill mast")
    assert (tmp_path / "file").read_text() == "mine"


def test_failed_move_leaves_no_temporary_file(wiki: Wiki, tmp_path: Path) -> None:
    """Where the article's place is taken by a folder, the error names it and no temporary file remains."""
    (tmp_path / "quill_mast.md").mkdir()
    with pytest.raises(KnowledgeBaseError, match="cannot be written"):
        wiki.add(tmp_path, "Quill mast", overwrite=True)
    assert not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("Nowhere", "'Nowhere': there is no such page; check the spelling"),
        ("Lost mast", "'Lost mast' (page 'Sunken mast'): there is no such page; check the spelling"),
        ("Special:Nothing", "'Special:Nothing': there is no such page; check the spelling"),
        ("Bad[title]", "'Bad[title]': is not a page title (It holds [.); correct it"),
        ("A|B", "'A|B': is not a page title; give one title, without '|'"),
        (" ", "' ': is not a page title; give one title, without '|'"),
        ("other:Mast", "'other:Mast': names a page of another wiki; give that wiki's API and the bare title"),
        ("Plover", "'Plover': is a disambiguation page; name one of the pages that it lists"),
        ("Hollow", "'Hollow': has no text in the reply; choose a page with text (needs TextExtracts)"),
        ("Bare", "'Bare': has no text in the reply; choose a page with text (needs TextExtracts)"),
    ],
)
def test_page_that_cannot_be_used(wiki: Wiki, tmp_path: Path, title: str, message: str) -> None:
    """A page that is missing, ambiguous, empty or misnamed gives one line with the title and the mend."""
    assert wiki.refusal(tmp_path, title) == message


def test_all_titles_at_fault_are_listed_and_none_written(wiki: Wiki, tmp_path: Path) -> None:
    """Bad titles are all listed at once, and the good ones are not written either."""
    lines = wiki.refusal(tmp_path, "Quill mast", "Nowhere", "Plover", "Plain page", "Plain  page!").split("\n")
    assert [line.split(":")[0] for line in lines] == ["'Nowhere'", "'Plover'", "'Plain  page!'"]
    assert lines[-1].endswith("has the same stem as 'Plain page'; add one of the two")


def test_no_titles(wiki: Wiki, tmp_path: Path) -> None:
    """Asking for nothing is an error, not an empty success."""
    assert wiki.refusal(tmp_path) == "no title was given; name at least one page"


def test_contact_must_fit_a_header(wiki: Wiki, tmp_path: Path) -> None:
    """A contact that cannot stand in a header is refused before anything is sent."""
    with pytest.raises(SettingsError, match="contact 'a\\\\nb': must be printable ASCII"):
        wiki.add(tmp_path, "Quill mast", contact="a\nb")
    assert not wiki.requests


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<html>", "did not answer with JSON; give a MediaWiki api.php"),
        ('{"query": ', "did not answer with JSON; give a MediaWiki api.php"),
        ("[1]", "refused the request (not a JSON object); check title and URL"),
        ('{"error": "no"}', "refused the request (no); check title and URL"),
        ('{"error": {"code": "x", "info": "Not here"}}', "refused the request (Not here); check title and URL"),
        ("{}", "answered without what was asked for (KeyError('query')); give a MediaWiki api.php"),
        ('{"query": {"pages": []}}', "answered without what was asked for (IndexError"),
        ('{"query": {"pages": ["x"]}}', "answered without what was asked for (AttributeError"),
        (
            json.dumps({"query": {"pages": [PAGES["No history"]]}}),
            "answered without what was asked for (KeyError('revisi",
        ),
    ],
)
def test_reply_that_is_not_understood(wiki: Wiki, tmp_path: Path, body: str, message: str) -> None:
    """Whatever a server sends instead of the page becomes one line, at once, without a second try."""
    wiki.script = [(200, {}, body)]
    line = wiki.refusal(tmp_path, "Quill mast")
    assert line.startswith(f"'Quill mast': {wiki.api} {message}") and "\n" not in line
    assert len(wiki.requests) == 1


def test_client_error_is_not_tried_again(wiki: Wiki, tmp_path: Path) -> None:
    """A request that the server forbids is reported at once."""
    wiki.script = [(403, {}, "")]
    assert "answered HTTP 403; check URL and access rights" in wiki.refusal(tmp_path, "Quill mast")
    assert len(wiki.requests) == 1


def test_connection_refused(wiki: Wiki, tmp_path: Path) -> None:
    """A server that is not there gives one line with its address."""
    with socket.socket() as held:  # bound and not listening: nobody else can answer on this port
        held.bind(("127.0.0.1", 0))
        wiki.api = f"http://127.0.0.1:{held.getsockname()[1]}/w/api.php"
        line = wiki.refusal(tmp_path, "Quill mast")
    assert line.startswith(f"'Quill mast': {wiki.api} cannot be reached (") and line.endswith(
        "); check network and URL"
    )


@pytest.mark.parametrize("api", ["ftp://127.0.0.1/api.php", "nonsense", "http://[broken/"])
def test_address_that_is_none(wiki: Wiki, tmp_path: Path, api: str) -> None:
    """An address that cannot be asked is an error of the same kind."""
    wiki.api = api
    assert f"{api} cannot be reached (" in wiki.refusal(tmp_path, "Quill mast")


# ---------------------------------------------------------------------------------------------------- patience


def test_too_many_requests_then_success(wiki: Wiki, tmp_path: Path) -> None:
    """After 429 the pause is the one that the server asked for."""
    wiki.script = [(429, {"Retry-After": "7"}, "")]
    assert wiki.add(tmp_path, "Quill mast")
    assert wiki.pauses == [7.0]


def test_server_error_twice_then_success(wiki: Wiki, tmp_path: Path) -> None:
    """After server errors the pauses grow."""
    wiki.script = [(500, {}, "oops"), (500, {"Retry-After": "soon"}, "oops")]
    assert wiki.add(tmp_path, "Quill mast")
    assert wiki.pauses == [1.0, 2.0]


@pytest.mark.parametrize("code", ["maxlag", "ratelimited"])
def test_lagging_server_is_given_time(wiki: Wiki, tmp_path: Path, code: str) -> None:
    """The API's own signs of overload come with status 200 and are waited out all the same."""
    wiki.script = [(200, {"Retry-After": "5"}, json.dumps({"error": {"code": code, "info": "Waiting"}}))]
    assert wiki.add(tmp_path, "Quill mast")
    assert wiki.pauses == [5.0]


def test_pause_is_capped_and_dates_are_understood(wiki: Wiki, tmp_path: Path) -> None:
    """No server can make the caller wait for longer than the cap; a date in the past means no pause."""
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    wiki.script = [(503, {"Retry-After": value}, "") for value in ("86400", later, "Mon, 06 May 2024 07:08:09 GMT")]
    assert wiki.add(tmp_path, "Quill mast")
    assert wiki.pauses[0] == LONGEST_PAUSE
    assert wiki.pauses[1] == pytest.approx(30, abs=3)
    assert wiki.pauses[2] == 0.0


def test_busy_to_the_end(wiki: Wiki, tmp_path: Path) -> None:
    """A server that stays busy is given up after the agreed number of tries, with no pause after the last."""
    wiki.script = [(503, {}, "")] * ATTEMPTS
    line = wiki.refusal(tmp_path, "Quill mast")
    assert line == f"'Quill mast': {wiki.api} is still busy after {ATTEMPTS} tries (HTTP 503); try again later"
    assert len(wiki.requests) == ATTEMPTS and len(wiki.pauses) == ATTEMPTS - 1


# ---------------------------------------------------------------------------------------------------- names and text


@pytest.mark.parametrize(
    ("title", "stem"),
    [
        ("Quality of service", "quality_of_service"),
        ("Ångström's C++/CLI (2nd ed.)", "angstroms_c_cli_2nd_ed"),
        ("../../etc/passwd", "etc_passwd"),
        ("NUL", "nul_page"),
        ("README", "readme_page"),
        ("日本", ""),
        ("x" * 200, "x" * 80),
    ],
)
def test_stem_is_safe(title: str, stem: str) -> None:
    """A stem has only a-z, 0-9 and underscores, is short, and is never a name that systems reserve."""
    assert stem_of(title) == stem


def test_title_without_latin_letters_is_filed_by_number(
    wiki: Wiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A title that leaves no stem is filed under the page's number."""
    monkeypatch.setitem(PAGES, "日本", page("日本", number=12))
    assert wiki.add(tmp_path, "日本") == [tmp_path / "page_12.md"]


@pytest.mark.parametrize(
    ("extract", "expected"),
    [
        ("", ""),
        ("One.\nTwo.\n\n\n\nThree.", "One.\n\nTwo.\n\nThree."),
        ("== Empty ==\n\n== Full ==\nText.", "## Full\n\nText."),
        ("Text.\n== Notes ==\nx\n=== Deep ===\ny\n== After ==\nz", "Text.\n\n## After\n\nz"),
        ("Text.\n=== External links ===\nx\n== After ==\nz", "Text.\n\n## After\n\nz"),
        ("a [1] b[23][note 4].[citation needed] [sic] c[x]", "a b. [sic] c[x]"),
        ("The rate is\n  \n    {\\displaystyle r=1}\n\nfixed.", "The rate is\n\nfixed."),
        ("1 == 1 holds", "1 == 1 holds"),
    ],
)
def test_clean(extract: str, expected: str) -> None:
    """Reference sections, empty headings, citation marks and spare blank lines go; all other text stays."""
    assert clean(extract) == expected
