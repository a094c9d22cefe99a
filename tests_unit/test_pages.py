"""The two pages in a real browser, against the real service with a scripted model."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fixtures.browser import Tab, Tabs
from fixtures.fakes import ScriptedGenerator, make_response
from fixtures.service import Running
from system.generation import Completion
from system.records import Complaint, Decoding
from system.service.rating import PairTable
from system.service.shield import Limits

Serve = Callable[..., AbstractContextManager[Running]]
OpenTab = Callable[..., Tab]
LIGHT = "The hub shows an orange light and the internet is down."  # RAG
POEM = "Please write me some verses about tall ships."  # DIRECT
SMOKE = "There is smoke coming out of the hub!"  # ESCALATE
ANSWER = "I am sorry about the light. Please restart the hub. Then wait until the light is white."
MARKUP = 'Hello <img src="/nowhere.png" onerror="alert(1)"> and <script src="https://elsewhere.example/x.js"></script>.'
VARIANTS = ("agent-rag", "agent-rag-fine-tuned")
AXES = ("helpfulness", "clarity", "empathy", "safety")
KEY = "made-up-key-of-these-tests"


@dataclass
class Held(ScriptedGenerator):
    """Stops after some words until it is let go; ``fails`` of its answers end there."""

    words: int = 8
    fails: int = 0
    go: threading.Event = field(default_factory=threading.Event)

    def generate(
        self, prompts: Sequence[str], decoding: Decoding, on_text: Callable[[int, str], None] | None = None
    ) -> Any:
        def hold(position: int, text: str) -> None:
            if on_text:
                on_text(position, text)
            if len(text.split()) == self.words:
                assert self.go.wait(20)
                if self.fails:
                    self.fails -= 1
                    raise RuntimeError("the model fell over")

        return super().generate(prompts, decoding, hold)


@pytest.fixture
def serve(serve: Serve, tabs: Tabs) -> Serve:
    """The service, which outlives the tabs."""

    @contextmanager
    def outliving(*arguments: Any, **options: Any) -> Iterator[Running]:
        with serve(*arguments, **options) as running:
            try:
                yield running
            finally:
                tabs.close()

    return outliving


def send(tab: Tab, text: str) -> None:
    """Type a message and send it."""
    tab.page.get_by_label("Customer’s message").fill(text)
    tab.page.keyboard.press("Enter")


def ask(tab: Tab, text: str) -> Any:
    """Send a message and wait until it is answered; the answer on the page."""
    before = tab.page.locator(".thumbs").count()
    send(tab, text)
    tab.page.locator(".thumbs").nth(before).wait_for()
    return tab.page.locator("article.answer").last


def with_pairs(running: Running, *complaints: str) -> None:
    """Give a service answers of two variants to compare."""
    asked = [Complaint(id=f"T-{n}", text=text) for n, text in enumerate(complaints, 1)]
    made = [make_response(c, f"{c.id} said by {n}.", variant=v) for c in asked for n, v in enumerate(VARIANTS)]
    running.service.pairs = PairTable.from_run(made, VARIANTS)
    running.service.judge = lambda responses: [dict.fromkeys(AXES, 3.0) for _ in responses]


# ---- the chat


def test_an_answer_streams_with_its_decision_and_its_sources(serve: Serve, open_tab: OpenTab) -> None:
    """The decision and the first sentence stand there while the model still writes; sources and thumbs at the end."""
    model = Held(ANSWER)
    with serve(model) as running:
        tab = open_tab(running.url)
        send(tab, LIGHT)
        answer = tab.page.locator("article.answer")
        tab.page.get_by_text("I am sorry about the light.", exact=True).wait_for()
        assert "Answered from articles" in answer.inner_text() and "white" not in answer.inner_text()
        assert tab.page.get_by_role("button", name="Stop").is_visible()
        assert tab.page.locator(".thumbs").count() == 0
        model.go.set()
        tab.page.locator(".thumbs").wait_for()
        assert answer.locator("> .said").inner_text() == ANSWER
        answer.get_by_text("Answered from articles").click()
        assert "evidence" in answer.locator("dl").inner_text() and "threshold 0.50" in answer.locator("dl").inner_text()
        source = answer.locator("details.source")
        assert source.locator(".title").all_inner_texts()[0] == "Lights"
        source.get_by_text("Orange light", exact=True).click()
        assert source.get_by_text("An orange light on the hub means the internet is down.").is_visible()
        assert tab.page.get_by_role("button", name="Send").is_visible()


@pytest.mark.parametrize(
    ("text", "words"), [(POEM, "Answered directly"), (SMOKE, "Handed to a person")], ids=["direct", "escalate"]
)
def test_what_was_not_read_is_no_source(serve: Serve, open_tab: OpenTab, text: str, words: str) -> None:
    """An answer that rests on no article shows none, whatever was retrieved."""
    with serve() as running:
        answer = ask(open_tab(running.url), text)
        assert answer.locator("summary").all_inner_texts() == [words]
        assert answer.locator(".sources").count() == 0


def test_lines_of_an_answer_stay_lines(serve: Serve, open_tab: OpenTab) -> None:
    """A numbered list is read as one."""
    text = "Please do this:\n1. Restart the hub.\n2. Wait until the light is white."
    with serve(ScriptedGenerator(text)) as running:
        assert ask(open_tab(running.url), LIGHT).locator("> .said").inner_text() == text


def test_what_a_screen_reader_hears(serve: Serve, open_tab: OpenTab) -> None:
    """An answer is announced once and as a whole, not in pieces."""
    with serve() as running:
        tab = open_tab(running.url)
        ask(tab, LIGHT)
        tab.until(lambda: len(tab.heard()) >= 2)
        assert tab.heard() == ["The assistant is writing.", f"Answered from articles: {ANSWER}"]


def test_the_conversation_is_sent_along(serve: Serve, open_tab: OpenTab) -> None:
    """A question goes with the last six before it and their answers, under the conversation's id."""
    with serve() as running:
        tab = open_tab(running.url)
        texts = [f"{LIGHT} Day {n}." for n in range(9)]
        for text in texts:
            ask(tab, text)
        sent = tab.bodies("/v1/chat/completions")
        assert [len(body["messages"]) for body in sent] == [1, 3, 5, 7, 9, 11, 13, 13, 13]
        assert sent[-1]["messages"] == [
            *(
                m
                for t in texts[2:8]
                for m in ({"role": "user", "content": t}, {"role": "assistant", "content": ANSWER})
            ),
            {"role": "user", "content": texts[8]},
        ]
        assert "metadata" not in sent[0]
        (conversation,) = {body["metadata"]["conversation"] for body in sent[1:]}
        assert {kept.conversation for kept in running.service.store.answers()} == {conversation}


def test_a_new_conversation_knows_nothing_of_the_last(serve: Serve, open_tab: OpenTab) -> None:
    """Neither its words nor its id are sent again."""
    with serve() as running:
        tab = open_tab(running.url)
        ask(tab, LIGHT)
        tab.page.get_by_role("button", name="New conversation").click()
        assert tab.page.locator("article").count() == 0
        ask(tab, POEM)
        assert tab.bodies("/v1/chat/completions")[1] == {
            "messages": [{"role": "user", "content": POEM}],
            "stream": True,
        }


def test_a_conversation_is_forgotten_when_that_is_confirmed(serve: Serve, open_tab: OpenTab) -> None:
    """Keeping it deletes nothing; forgetting it empties the page and the store."""
    with serve() as running:
        tab = open_tab(running.url)
        forget = tab.page.get_by_role("button", name="Forget this conversation")
        assert forget.is_disabled()
        ask(tab, LIGHT)
        ask(tab, POEM)
        forget.click()
        tab.page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
        assert len(running.service.store.answers()) == 2
        forget.click()
        tab.page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
        tab.page.get_by_text("Forgotten: 2 answers were deleted.").first.wait_for()
        assert running.service.store.answers() == []
        assert tab.page.locator("article").count() == 0 and forget.is_disabled()


def test_thumbs_are_kept_replaced_and_taken_back(serve: Serve, open_tab: OpenTab) -> None:
    """The store holds what the pressed button says."""
    with serve() as running:
        tab = open_tab(running.url)
        answer = ask(tab, LIGHT)
        good = answer.get_by_role("button", name="Good answer")
        bad = answer.get_by_role("button", name="Bad answer")
        assert [b.get_attribute("aria-pressed") for b in (good, bad)] == ["false", "false"]
        for button, thumb in ((good, "up"), (bad, "down"), (bad, None)):
            with tab.page.expect_response("**/feedback"):
                button.click()
            assert [kept.thumb for kept in running.service.store.answers()] == [thumb]
            pressed = [b.get_attribute("aria-pressed") for b in (good, bad)]
            assert pressed == [str(thumb == "up").lower(), str(thumb == "down").lower()]


def test_a_thumb_that_is_not_kept_is_not_shown(serve: Serve, open_tab: OpenTab) -> None:
    """An answer that was deleted meanwhile takes no thumb, and the page says so."""
    with serve() as running:
        tab = open_tab(running.url, expected=("404",))
        answer = ask(tab, LIGHT)
        running.service.store.forget(running.service.store.answers()[0].conversation)
        answer.get_by_role("button", name="Good answer").click()
        answer.get_by_role("alert").get_by_text("The thumb was not saved.").wait_for()
        assert answer.get_by_role("button", name="Good answer").get_attribute("aria-pressed") == "false"


def test_stop_ends_an_answer_and_the_next_one_comes(serve: Serve, open_tab: OpenTab) -> None:
    """What was written stays and counts as said; the message box has the focus again."""
    model = Held(ANSWER)
    with serve(model) as running:
        tab = open_tab(running.url)
        send(tab, LIGHT)
        tab.page.get_by_text("I am sorry about the light.", exact=True).wait_for()
        tab.page.get_by_role("button", name="Stop").click()
        tab.page.locator("article.answer").get_by_text("Stopped.").wait_for()
        assert tab.page.evaluate("document.activeElement.id") == "message"
        model.go.set()
        ask(tab, POEM)
        assert [m["content"] for m in tab.bodies("/v1/chat/completions")[1]["messages"]] == [
            LIGHT, "I am sorry about the light.", POEM,
        ]  # fmt: skip


def test_markup_stays_text(serve: Serve, own_folder: Path, open_tab: OpenTab) -> None:
    """Tags in a message, an answer or an article are shown as they are, and none of them does anything."""
    article = own_folder / "knowledge_base" / "lights.md"
    article.write_text(article.read_text() + f"\n## Purple <b>light</b>\n\nA purple light means {MARKUP}\n")
    with serve(ScriptedGenerator(MARKUP)) as running:
        tab = open_tab(running.url)
        answer = ask(tab, f"The hub shows a purple light, which means what? {MARKUP}")
        assert tab.page.locator(".asked .said").inner_text().endswith(MARKUP)
        assert MARKUP in answer.locator("> .said").inner_text()
        answer.locator("details.source summary").first.click()
        assert "<img" in answer.locator("details.source").first.inner_text()
        assert tab.page.locator("main").locator("img, script, b").count() == 0


# ---- the message box


@pytest.mark.parametrize(
    ("length", "count", "sends"),
    [
        (3599, "", True),
        (3600, "3600 of 4000 characters", True),
        (4000, "4000 of 4000 characters", True),
        (4001, "4001 of 4000 characters: shorten it by 1.", False),
    ],
)
def test_the_length_of_a_message(serve: Serve, open_tab: OpenTab, length: int, count: str, sends: bool) -> None:
    """Near the limit the count is shown; beyond it nothing is sent. An emoji is one character, as for the service."""
    with serve() as running:
        tab = open_tab(running.url)
        box = tab.page.get_by_label("Customer’s message")
        box.fill("😀" + "a" * (length - 1))
        assert tab.page.locator("#message-count").inner_text() == count
        assert tab.page.get_by_role("button", name="Send").is_enabled() == sends
        tab.page.keyboard.press("Enter")
        assert (box.input_value() == "") == sends
        if sends:
            tab.page.locator(".thumbs").wait_for()


def test_enter_sends_and_shift_enter_does_not(serve: Serve, open_tab: OpenTab) -> None:
    """A message may have lines; one of blanks alone is none."""
    with serve() as running:
        tab = open_tab(running.url)
        box = tab.page.get_by_label("Customer’s message")
        box.press_sequentially("  \n")
        assert not tab.page.get_by_role("button", name="Send").is_enabled()
        box.fill("")
        box.press_sequentially("No light")
        box.press("Shift+Enter")
        box.press_sequentially("at all")
        box.press("Enter")
        tab.page.locator(".thumbs").wait_for()
        assert [m["content"] for m in tab.bodies("/v1/chat/completions")[0]["messages"]] == ["No light\nat all"]


# ---- what may go wrong


def test_the_key_is_asked_for_and_kept(serve: Serve, open_tab: OpenTab) -> None:
    """After 401 the page asks for the key, says when it is wrong, goes on with the question, and asks no more."""
    with serve(limits=Limits(key=KEY)) as running:
        tab = open_tab(running.url, expected=("401",))
        send(tab, LIGHT)
        for typed, heading in ((KEY + "x", "Enter the key"), (KEY, "That key was not accepted.")):
            tab.page.get_by_text(heading).first.wait_for()
            assert tab.page.evaluate("document.activeElement.id") == "api-key"
            tab.page.get_by_label("API key").fill(typed)
            tab.page.keyboard.press("Enter")
        tab.page.locator(".thumbs").wait_for()
        assert tab.page.locator("article").count() == 2
        tab.page.reload()
        ask(tab, POEM)


def test_too_many_messages(serve: Serve, open_tab: OpenTab) -> None:
    """After 429 the page says how long to wait and offers to try again."""
    with serve(limits=Limits(rate="1/minute")) as running:
        tab = open_tab(running.url, expected=("429",))
        ask(tab, LIGHT)
        send(tab, POEM)
        tab.page.get_by_role("heading", name="Too many messages").wait_for()
        assert tab.page.locator(".notice .wait").inner_text().startswith("Try again in ")
        tab.page.get_by_role("button", name="Try again").click()
        tab.until(lambda: sum(text.startswith("Too many messages.") for text in tab.heard()) == 2)
        assert len(tab.bodies("/v1/chat/completions")) == 3


def test_a_service_that_is_closing(serve: Serve, open_tab: OpenTab) -> None:
    """After 503 the page says how long to wait."""
    with serve() as running:
        tab = open_tab(running.url, expected=("503",))
        running.service.engine.close()
        send(tab, LIGHT)
        tab.page.get_by_role("heading", name="Not available right now").wait_for()
        assert tab.page.get_by_text("Try again in 60 seconds.").first.is_visible()


def test_the_wait_is_counted_down(serve: Serve, open_tab: OpenTab) -> None:
    """When the time is over the page says so."""
    with serve() as running:
        tab = open_tab(running.url, expected=("503",))
        tab.page.clock.install()
        running.service.engine.close()
        send(tab, LIGHT)
        tab.page.locator(".wait").wait_for()
        tab.page.clock.run_for(20_000)
        assert tab.page.locator(".wait").inner_text() == "Try again in 40 seconds."
        tab.page.clock.run_for(41_000)
        assert tab.page.locator(".wait").inner_text() == "You can try again now."


def test_a_lost_connection(serve: Serve, open_tab: OpenTab) -> None:
    """Without a network the page says so, and the same question can be asked again when it is back."""
    with serve() as running:
        tab = open_tab(running.url, expected=("ERR_INTERNET_DISCONNECTED",))
        tab.page.context.set_offline(True)
        send(tab, LIGHT)
        tab.page.get_by_role("heading", name="No connection").wait_for()
        tab.page.context.set_offline(False)
        tab.page.get_by_role("button", name="Try again").click()
        tab.page.locator(".thumbs").wait_for()
        assert tab.page.locator("article").count() == 2 and tab.page.locator(".notice").count() == 0


def test_an_answer_that_breaks_off(serve: Serve, open_tab: OpenTab) -> None:
    """What had come stays on the page, marked; it is no part of the conversation, and the question can be repeated."""
    model = Held(ANSWER, fails=1)
    model.go.set()
    with serve(model) as running:
        tab = open_tab(running.url)
        send(tab, LIGHT)
        tab.page.get_by_text("The answer broke off here.").wait_for()
        assert "I am sorry about the light." in tab.page.locator("article.answer").inner_text()
        assert tab.page.get_by_text("The assistant could not answer this; please try again.").first.is_visible()
        tab.page.get_by_role("button", name="Try again").click()
        tab.page.locator(".thumbs").wait_for()
        assert tab.page.locator("article.answer").count() == 1
        assert len(tab.bodies("/v1/chat/completions")[1]["messages"]) == 1


def test_a_stream_without_its_end_is_a_broken_one(serve: Serve, open_tab: OpenTab) -> None:
    """A connection that closes early is not taken for a short answer."""
    with serve() as running:
        tab = open_tab(running.url)
        chunk = '{"id": "1", "choices": [{"index": 0, "delta": {"content": "Half of"}}]}'
        tab.page.route(
            "**/v1/chat/completions",
            lambda route: route.fulfill(content_type="text/event-stream", body=f"data: {chunk}\n\n"),
        )
        send(tab, LIGHT)
        tab.page.get_by_text("The connection broke before the answer was complete.").first.wait_for()
        assert tab.page.locator(".thumbs").count() == 0


def test_a_replaced_answer_replaces_what_was_shown(serve: Serve, open_tab: OpenTab) -> None:
    """Where the last event holds another text, that one is the answer."""
    with serve() as running:
        tab = open_tab(running.url)
        wrong = {"id": "1", "choices": [{"index": 0, "delta": {"content": "The wrong one."}}]}
        right = {"id": "1", "choices": [{"delta": {}, "finish_reason": "stop"}], "support": {"text": "Right."}}
        body = f"data: {json.dumps(wrong)}\n\ndata: {json.dumps(right)}\n\ndata: [DONE]\n\n"
        tab.page.route(
            "**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body)
        )
        assert ask(tab, LIGHT).locator("> .said").inner_text() == "Right."


def test_a_message_that_is_refused_can_be_mended(serve: Serve, open_tab: OpenTab) -> None:
    """The words come back into the box, for the same ones would be refused again."""
    with serve() as running:
        tab = open_tab(running.url, expected=("400",))
        send(tab, "12345")
        tab.page.get_by_text("The text has no letters; describe the problem in words.").first.wait_for()
        tab.page.get_by_role("button", name="Edit the message").click()
        assert tab.page.get_by_label("Customer’s message").input_value() == "12345"
        assert tab.page.locator("article").count() == 0
        ask(tab, "12345 orange lights")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_they_are_cut(serve: Serve, open_tab: OpenTab, size: int, end: str) -> None:
    """Bytes come in pieces of any size: between CR and LF, inside a character, inside a field's name."""
    sent = (": comment", "data: one", "", "event: x", "data:two", "data:  2", "", "", "id: 3", "")
    lines = (*sent, "data: größer 😀", "", "data: [DONE]", "", "data: unfinished", "last")
    read = """async ([text, size]) => {
      const { events } = await import("/static/common.js");
      const bytes = new TextEncoder().encode(text);
      const body = new ReadableStream({ start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      } });
      const found = [];
      for await (const data of events(body)) found.push(data);
      return found;
    }"""
    with serve() as running:
        found = open_tab(running.url).page.evaluate(read, [end.join(lines), size])
        assert found == ["one", "two\n 2", "größer 😀", "[DONE]"]


# ---- the rating page


def test_rating_by_keyboard_alone(serve: Serve, open_tab: OpenTab) -> None:
    """Two pairs are graded without a pointer; the grades are kept for the right side, and only then names are told."""
    with serve() as running:
        with_pairs(running, f"My hub is dark. {MARKUP}", "My bill is wrong.")
        tab = open_tab(running.url, "/rate")
        keys = tab.page.keyboard
        tab_to(tab, "rater")
        keys.type("Kim")
        keys.press("Enter")
        for n in (1, 2):
            tab.page.get_by_text(f"Pair {n} of 2").first.wait_for()
            assert not any(name in tab.page.content() for name in VARIANTS)
            assert tab.page.locator("#pair img, #complaint img").count() == 0
            submit = tab.page.get_by_role("button", name="Submit")
            for grade in (5, 4, 3, 2, 1, 2, 3, 4):
                assert submit.is_disabled()
                keys.press("Tab")
                keys.press("Space")
                for _ in range(grade - 1):
                    keys.press("ArrowRight")
            assert submit.is_enabled()
            keys.press("Tab")
            keys.press("Enter")
        tab.page.get_by_role("heading", name="All pairs are rated").wait_for()
        tab.page.get_by_role("table").wait_for()
        assert all(f"Prefer {name}" in tab.page.get_by_role("table").inner_text() for name in VARIANTS)
        assert running.service.pairs is not None
        kept = {(r.pair, r.variant, r.axis): r.value for r in running.service.store.ratings()}
        for pair in ("T-1", "T-2"):
            shown = running.service.pairs.show(pair, "Kim")
            assert shown is not None
            for variant, grades in zip(shown.variants, ((5, 4, 3, 2), (1, 2, 3, 4)), strict=True):
                assert [kept[pair, variant, axis] for axis in AXES] == list(grades)


def tab_to(tab: Tab, identifier: str, key: str = "Tab") -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        if tab.page.evaluate("document.activeElement.id") == identifier:
            return
        tab.page.keyboard.press(key)
    raise AssertionError(f"{identifier} is not reached by {key}")


def start_rating(tab: Tab, name: str = "Kim") -> None:
    tab.page.get_by_label("Your name").fill(name)
    tab.page.get_by_role("button", name="Start rating").click()


def choose_all(tab: Tab) -> None:
    for side in ("A", "B"):
        answer = tab.page.get_by_role("region", name=f"Answer {side}")
        for axis in AXES:
            answer.get_by_role("group", name=axis.capitalize()).get_by_role("radio").nth(2).check(force=True)


@pytest.mark.parametrize("name", ["", "  ", "<b>", "x" * 41])
def test_a_name_that_will_not_do(serve: Serve, open_tab: OpenTab, name: str) -> None:
    """The page says what a name may hold, and asks nothing of the service."""
    with serve() as running:
        with_pairs(running, "My bill is wrong.")
        tab = open_tab(running.url, "/rate")
        start_rating(tab, name)
        tab.page.locator("#rater-wrong").get_by_text("Enter a name").wait_for()
        assert tab.page.evaluate("document.activeElement.id") == "rater"
        assert not any("/ab/" in request.url for request in tab.requests)


def test_nothing_to_rate(serve: Serve, open_tab: OpenTab) -> None:
    """A service without pairs says so on the page, and the chat page does not lead there."""
    with serve() as running:
        tab = open_tab(running.url, "/rate", expected=("404",))
        start_rating(tab)
        tab.page.get_by_role("heading", name="Nothing to rate").wait_for()
        chat = open_tab(running.url)
        chat.page.locator("#made-by").get_by_text("Drafts are written by agent").wait_for()
        assert not chat.page.get_by_role("link", name="Rate answers").is_visible()


def test_the_pages_lead_to_each_other(serve: Serve, open_tab: OpenTab) -> None:
    """With pairs loaded, the link is there and works both ways."""
    with serve() as running:
        with_pairs(running, "My bill is wrong.")
        tab = open_tab(running.url)
        tab.page.get_by_role("link", name="Rate answers").click()
        tab.page.get_by_role("link", name="Chat").click()
        tab.page.get_by_label("Customer’s message").wait_for()


def test_grades_survive_a_lost_connection(serve: Serve, open_tab: OpenTab) -> None:
    """What was chosen is still there, and is sent when the network is back."""
    with serve() as running:
        with_pairs(running, "My bill is wrong.")
        tab = open_tab(running.url, "/rate", expected=("ERR_INTERNET_DISCONNECTED",))
        start_rating(tab)
        tab.page.get_by_text("Pair 1 of 1").first.wait_for()
        choose_all(tab)
        tab.page.context.set_offline(True)
        tab.page.get_by_role("button", name="Submit").click()
        tab.page.get_by_role("heading", name="No connection").wait_for()
        assert tab.page.locator("input:checked").count() == 8
        tab.page.context.set_offline(False)
        tab.page.get_by_role("button", name="Try again").click()
        tab.page.get_by_role("table").wait_for()
        assert {rating.value for rating in running.service.store.ratings()} == {3}


# ---- for everybody


def test_the_chat_by_keyboard_alone(serve: Serve, open_tab: OpenTab) -> None:
    """Skip link, message, decision, source, thumb and forgetting, without a pointer."""
    with serve() as running:
        tab = open_tab(running.url)
        page, keys = tab.page, tab.page.keyboard
        keys.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the message box"
        keys.press("Enter")
        assert page.evaluate("document.activeElement.id") == "message"
        keys.type(LIGHT)
        keys.press("Enter")
        page.locator(".thumbs").wait_for()
        sources = page.locator("details.source").count()
        for step in ("source",) * sources + ("Bad answer", "Good answer", "decision"):  # back from the message box
            keys.press("Shift+Tab")
            here = "document.activeElement.ariaLabel ?? document.activeElement.closest('details').className"
            assert page.evaluate(here) == step
            keys.press("Enter")
        assert page.locator("details[open]").count() == sources + 1 >= 2
        tab.until(lambda: [kept.thumb for kept in running.service.store.answers()] == ["up"])
        tab_to(tab, "forget", "Shift+Tab")
        keys.press("Enter")
        keys.press("Escape")
        assert page.evaluate("document.activeElement.id") == "forget"
        keys.press("Enter")
        assert page.evaluate("document.activeElement.id") == "sure-no"  # what deletes nothing
        keys.press("Shift+Tab")
        keys.press("Enter")
        page.locator(".told").wait_for()
        assert page.evaluate("document.activeElement.id") == "message"


def states(running: Running, open_tab: OpenTab, **options: Any) -> Any:
    """Yield each tab in each state that a person may see, with the state's name."""
    with_pairs(running, "My bill is wrong. Averyveryveryveryverylongwordwithoutanyblankatallinit" * 3)
    tab = open_tab(running.url, expected=("400", "503"), **options)
    tab.page.get_by_role("link", name="Rate answers").wait_for()
    yield "welcome", tab
    for text in (LIGHT, POEM, SMOKE):
        answer = ask(tab, text)
        for closed in answer.locator("summary").all():
            closed.click()
        with tab.page.expect_response("**/feedback"):
            answer.get_by_role("button", name="Good answer").click()
    yield "answers", tab
    tab.page.get_by_label("Customer’s message").fill("a" * 4001)
    yield "too long", tab
    send(tab, "12345")
    tab.page.get_by_role("button", name="Edit the message").wait_for()
    yield "refused", tab
    tab.page.get_by_role("button", name="Forget this conversation").click()
    yield "dialog", tab
    tab.page.keyboard.press("Escape")
    running.service.engine.close()
    send(tab, LIGHT)
    tab.page.locator(".wait").wait_for()
    yield "closing", tab

    tab = open_tab(running.url, "/rate", **options)
    start_rating(tab, "?")
    yield "wrong name", tab
    start_rating(tab)
    tab.page.get_by_text("Pair 1 of 1").first.wait_for()
    yield "pair", tab
    choose_all(tab)
    yield "chosen", tab
    tab.page.get_by_role("button", name="Submit").click()
    tab.page.get_by_role("table").wait_for()
    yield "agreement", tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(serve: Serve, open_tab: OpenTab, scheme: str) -> None:
    """WCAG 2.1 AA: text has a contrast of 4.5 to 1 or more, the border of a field 3 to 1, in every state."""
    least = {"text": 4.5, "border": 3.0}
    with serve() as running:
        for state, tab in states(running, open_tab, color_scheme=scheme):
            found = tab.contrasts()
            assert len(found) > 5
            assert [(state, *of) for of in found if of[2] < least[of[0]]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(serve: Serve, open_tab: OpenTab, violations: Callable[..., list[str]], scheme: str) -> None:
    """Names, roles, labels, landmarks and states are in order after axe-core."""
    with serve() as running:
        for state, tab in states(running, open_tab, color_scheme=scheme):
            assert (state, violations(tab.page)) == (state, [])


@pytest.mark.parametrize(
    ("width", "text_size"), [(320, 100), (375, 100), (590, 100), (640, 200), (1180, 200)], ids=lambda n: str(n)
)
def test_nothing_is_scrolled_sideways(serve: Serve, open_tab: OpenTab, width: int, text_size: int) -> None:
    """On a phone, at a zoom of 200 % (half the width) and with text twice as large."""
    with serve() as running:
        for state, tab in states(running, open_tab, viewport={"width": width, "height": 700}):
            tab.page.evaluate("(size) => { document.documentElement.style.fontSize = `${size}%`; }", text_size)
            assert (state, tab.too_wide()) == (state, 0)


def test_nothing_moves_for_who_wants_no_motion(serve: Serve, open_tab: OpenTab) -> None:
    """While an answer is written, nothing is animated; for others the dots breathe."""
    model = Held(ANSWER)
    with serve(model) as running:
        for motion, moving in (("reduce", 0), ("no-preference", 1)):
            tab = open_tab(running.url, reduced_motion=motion)
            send(tab, LIGHT)
            tab.page.locator(".dots").wait_for()
            moved = "document.getAnimations().filter((each) => each instanceof CSSAnimation).length"
            assert tab.page.evaluate(moved) == moving
        model.go.set()


def test_the_answer_on_a_low_screen(serve: Serve, open_tab: OpenTab) -> None:
    """At 320 by 256 pixels, which is a zoom of 400 %, bar and message box scroll away and leave room to read."""
    with serve() as running:
        tab = open_tab(running.url, viewport={"width": 320, "height": 256})
        ask(tab, LIGHT)
        assert tab.page.evaluate("getComputedStyle(document.querySelector('.dock')).position") == "static"
        assert tab.too_wide() == 0


def test_completions_that_fail_at_once(serve: Serve, open_tab: OpenTab) -> None:
    """A model that gives an error instead of an answer is told apart from an empty answer."""
    failing = ScriptedGenerator(lambda _: Completion("", 0, stopped=False, seconds=0.0, error="Boom: no"))
    with serve(failing) as running:
        tab = open_tab(running.url)
        send(tab, LIGHT)
        tab.page.get_by_role("heading", name="Something went wrong").wait_for()
        assert tab.page.locator("article.answer").count() == 0
        assert "Boom" not in tab.page.content()
