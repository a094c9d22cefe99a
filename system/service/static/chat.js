// The chat page: sends the conversation, shows the answer as it streams, how it was decided and what it rests on.

import { $, announce, call, el, events, Failure, icon, notice, plural, reached, sentence } from "/static/common.js";

const LIMIT = 4000; // characters of a message
const NEAR = 3600; // from here on the count is shown
const TURNS = 6; // earlier questions, each with its answer, that are sent along
const ACTIONS = { RAG: "Answered from articles", DIRECT: "Answered directly", ESCALATE: "Handed to a person" };

const message = $("message");
let history = []; // {role, content} of what was asked and answered
let conversation = null;
let running = null; // AbortController of the answer that is being written

// ---- the message box

const length = () => [...message.value.trim()].length; // code points, as the service counts

function count() {
  const n = length();
  const shown = $("message-count");
  const before = shown.dataset.state ?? "";
  const state = n > LIMIT ? "over" : n >= NEAR ? "near" : "";
  shown.dataset.state = state;
  shown.textContent = state && `${n} of ${LIMIT} characters`;
  if (state === "over") shown.textContent += `: shorten it by ${n - LIMIT}.`;
  if (state && state !== before) announce(shown.textContent);
  if (state === "over") message.setAttribute("aria-invalid", "true");
  else message.removeAttribute("aria-invalid");
  $("send").disabled = n === 0 || state === "over";
}

function write(text) {
  message.value = text;
  count();
  message.focus();
}

message.addEventListener("input", count);
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running || length() === 0 || length() > LIMIT) return;
  const text = message.value.trim();
  write("");
  ask(text);
});
$("stop").addEventListener("click", () => running?.abort());
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => write(example.textContent));
}

// ---- asking

function busy(controller) {
  const hadFocus = document.activeElement === $("stop") || document.activeElement === $("send");
  running = controller;
  $("send").hidden = Boolean(controller);
  $("stop").hidden = !controller;
  if (hadFocus) message.focus();
}

function forgettable() {
  $("forget").disabled = conversation === null;
}

/** The page follows the answer unless the reader has scrolled up. */
function following(change) {
  const page = document.scrollingElement;
  const near = page.scrollHeight - page.scrollTop - page.clientHeight < 120;
  change();
  if (near) page.scrollTop = page.scrollHeight;
}

async function ask(text) {
  $("welcome").hidden = true;
  for (const old of $("log").querySelectorAll(".notice")) {
    old.replaceWith(el("p", { class: "small", text: "Not answered." }));
  }
  for (const old of $("log").querySelectorAll(".again")) old.remove();
  const asked = el("article", { class: "turn asked", "aria-label": "Customer" }, el("p", { class: "said", text }));
  const turn = el("div");
  following(() => $("log").append(asked, turn));
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
  const again = () => {
    message.focus();
    attempt(text, turn, again, edit);
  };
  const edit = () => {
    asked.remove();
    turn.remove();
    $("welcome").hidden = $("log").childElementCount > 0;
    write(text);
  };
  await attempt(text, turn, again, edit);
}

async function attempt(text, turn, again, edit) {
  const answer = openAnswer();
  turn.replaceChildren(answer.box);
  const controller = new AbortController();
  busy(controller);
  announce("The assistant is writing.");
  try {
    await read(text, answer, controller.signal);
    history.push({ role: "user", content: text }, { role: "assistant", content: answer.text });
    following(() => answer.finish());
    announce(`${answer.label()}: ${answer.text}`);
  } catch (problem) {
    if (controller.signal.reason === "gone") return; // a new conversation was begun meanwhile
    const failure = reached(problem);
    if (failure.name === "AbortError") {
      if (answer.text) history.push({ role: "user", content: text }, { role: "assistant", content: answer.text });
      following(() => answer.interrupt("Stopped.", again));
      announce("Stopped.");
    } else {
      following(() => {
        if (answer.text) answer.interrupt("The answer broke off here.");
        else answer.box.remove();
        turn.append(notice(failure, again, edit));
      });
    }
  } finally {
    if (running === controller) busy(null);
  }
}

/** Read one streamed answer into its box. Throws Failure or AbortError; what came before stays in the box. */
async function read(text, answer, signal) {
  const messages = [...history.slice(-2 * TURNS), { role: "user", content: text }];
  const body = { messages, stream: true };
  if (conversation) body.metadata = { conversation };
  const response = await call("/v1/chat/completions", { body, signal });
  for await (const data of events(response.body)) {
    signal.throwIfAborted();
    if (data === "[DONE]") continue; // read on to the end, or the browser counts the request as broken off
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Failure(sentence(chunk.error.message), { status: 500, code: chunk.error.code });
    following(() => answer.add(chunk));
    if (chunk.support) {
      conversation = chunk.support.conversation;
      forgettable();
    }
  }
  signal.throwIfAborted();
  if (!answer.ended) throw new Failure("The connection broke before the answer was complete.");
}

// ---- an answer on the page

function openAnswer() {
  const said = el("p", { class: "said" });
  const under = el("div", { class: "under-answer" });
  const dots = el("p", { class: "writing" }, el("span", { text: "Writing" }), el("span", { class: "dots" }));
  const box = el("article", { class: "turn answer", "aria-label": "Assistant" }, said, dots, under);
  let id = null;
  let support = {};
  return {
    box,
    text: "",
    ended: false,
    label: () => ACTIONS[support.decision?.action] ?? "Answer",
    add(chunk) {
      const choice = chunk.choices?.[0] ?? {};
      id = chunk.id ?? id;
      support = { ...support, ...chunk.support };
      if (choice.delta?.content) {
        this.text += choice.delta.content;
        said.append(choice.delta.content);
      }
      if (support.text !== undefined) { // what the guard made of the whole of it
        this.text = support.text;
        said.textContent = support.text;
      }
      if (choice.finish_reason) this.ended = true;
      if (chunk.support && !this.ended) under.replaceChildren(decisionOf(support));
    },
    finish() {
      dots.remove();
      const used = (support.sources ?? []).filter((source) => source.used);
      under.replaceChildren(el("div", { class: "row between" }, decisionOf(support), thumbs(id)));
      if (used.length) under.append(sources(used));
    },
    interrupt(words, again) {
      dots.remove();
      under.append(el("p", { class: "small" }, words));
      if (!again) return;
      under.append(el("button", { type: "button", class: "quiet again", text: "Ask again", onclick: again }));
    },
  };
}

function decisionOf({ decision, earlier_messages: earlier, removed, seconds }) {
  if (!decision) return "";
  const { action, reason, score, threshold } = decision;
  const facts = [["Reason", reason], ["Score", `${score.toFixed(2)}, threshold ${threshold.toFixed(2)}`]];
  if (earlier) facts.push(["Read with", plural(earlier, "earlier message", "earlier messages")]);
  if (removed) facts.push(["Held back", `${plural(removed, "sentence", "sentences")} that no agent could stand by`]);
  if (seconds) facts.push(["Took", `${seconds.toFixed(1)} s`]);
  return el("details", { class: "decision" },
    el("summary", { class: `badge ${action}` }, icon(action), ACTIONS[action] ?? action),
    el("dl", {}, ...facts.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value })))));
}

function sources(used) {
  const items = used.map(({ title, heading, text }) => el("li", {},
    el("details", { class: "source" },
      el("summary", {}, el("span", { class: "title", text: title }), el("span", { class: "heading", text: heading })),
      el("p", { class: "said", text }))));
  return el("div", { class: "sources" },
    el("p", { class: "small", text: `${plural(used.length, "source", "sources")} read` }),
    el("ul", { "aria-label": "Sources" }, ...items));
}

function thumbs(answer) {
  let given = null;
  let saved = null;
  let saving = Promise.resolve();
  const problem = el("p", { class: "small wrong", role: "alert" });
  const button = (thumb, label) => el("button", { type: "button", class: "thumb", "aria-label": label, title: label,
    "aria-pressed": "false", onclick: () => give(thumb) }, icon(thumb));
  const buttons = { up: button("up", "Good answer"), down: button("down", "Bad answer") };
  const show = () => {
    for (const [thumb, it] of Object.entries(buttons)) it.setAttribute("aria-pressed", String(given === thumb));
  };
  function give(thumb) {
    given = given === thumb ? null : thumb;
    show();
    const wanted = given;
    saving = saving.then(() => save(wanted)); // one after the other: the last press is what stays
  }
  async function save(wanted) {
    problem.textContent = "";
    try {
      await call("/feedback", { body: { answer, thumb: wanted } });
      saved = wanted;
    } catch (failure) {
      given = saved;
      show();
      problem.textContent = `The thumb was not saved. ${failure.message}`;
    }
  }
  return el("div", { class: "thumbs", role: "group", "aria-label": "Was this a good answer?" },
    buttons.up, buttons.down, problem);
}

// ---- new, and forget

function begin() {
  running?.abort("gone");
  history = [];
  conversation = null;
  $("log").replaceChildren();
  $("welcome").hidden = false;
  busy(null);
  forgettable();
  write("");
}

$("new").addEventListener("click", () => {
  begin();
  announce("A new conversation.");
});
$("forget").addEventListener("click", () => $("sure").showModal());
$("sure-no").addEventListener("click", () => $("sure").close());
$("sure-yes").addEventListener("click", forget);

async function forget() {
  $("sure").close();
  try {
    const response = await call(`/conversations/${encodeURIComponent(conversation)}`, { method: "DELETE" });
    const { forgotten } = await response.json();
    begin();
    tell(`Forgotten: ${plural(forgotten, "answer was", "answers were")} deleted.`);
  } catch (problem) {
    const box = notice(reached(problem), () => {
      box.remove();
      forget();
    });
    following(() => $("log").append(box));
  }
}

function tell(text) {
  const line = el("p", { class: "told", text });
  $("welcome").querySelector(".told")?.remove();
  $("welcome").prepend(line);
  announce(text);
}

// ---- the first moment

count();
fetch("/health").then((response) => response.json()).then((health) => { // also with 503: it is starting
  $("rate-link").hidden = !health.rating;
  $("made-by").textContent = `Drafts are written by ${health.variant} on ${health.model}.`;
}).catch(() => {}); // the first message will say what is wrong
