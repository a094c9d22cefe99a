// What both pages share: building elements, calling the service, reading its event streams, and saying what went wrong.
// Texts from outside enter the page as text nodes only; nothing here or elsewhere parses them as markup.

const KEY = "support-assistant.key";
const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** A new element: attributes by name, `text` and event handlers (`onclick`) as properties, then its children. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** One of the shapes that stand in the page's sprite. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

export const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

/** Say something to a screen reader. The region is emptied first, so that the same words are said again. */
export function announce(text) {
  const region = $("status");
  region.textContent = "";
  setTimeout(() => { region.textContent = text; }, 50);
}

/** A call that came to nothing. `status` is 0 where the service was not reached; `wait` is in seconds, or null. */
export class Failure extends Error {
  constructor(message, { status = 0, code = "", wait = null } = {}) {
    super(message);
    Object.assign(this, { status, code, wait });
  }
}

/**
 * Call the service; the Response of a call that went well. Throws Failure, or AbortError where `signal` was used.
 * A body makes it a POST of JSON.
 */
export async function call(path, { method, body, signal } = {}) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (problem) {
    throw reached(problem);
  }
  if (response.ok) return response;
  const { error } = (await response.json().catch(() => null)) ?? {};
  const wait = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  throw new Failure(sentence(error?.message ?? `the service answered with status ${response.status}`), {
    status: response.status,
    code: error?.code ?? "",
    wait: Number.isFinite(wait) ? Math.max(wait, 0) : null,
  });
}

/** What a broken fetch or stream means: an abort is the person's own doing, anything else a lost connection. */
export function reached(problem) {
  if (problem.name === "AbortError" || problem instanceof Failure) return problem;
  return new Failure("The service cannot be reached.");
}

/** The data of each event of a text/event-stream body, as strings, wherever the network cut it into pieces. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return; // an event without its blank line is incomplete and dropped, as the standard says
      text += value;
      // A carriage return at the end may be half of a CRLF: it waits for the next piece.
      for (let end; (end = /\r\n|\n|\r(?!$)/.exec(text)); ) {
        const line = text.slice(0, end.index);
        text = text.slice(end.index + end[0].length);
        if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
        else if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** The service's words as a sentence. */
export function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** What to tell a person about a failure: a title and a sentence or two. */
function words(failure) {
  if (failure.status === 0) return ["No connection", `${failure.message} Check the connection, then try again.`];
  if (failure.status === 429) return ["Too many messages", failure.message];
  if (failure.status === 503) return ["Not available right now", failure.message];
  if (failure.status >= 500) return ["Something went wrong", failure.message];
  return ["This was not accepted", failure.message];
}

/**
 * A box that says what went wrong and offers a way on: a field for the API key after 401, otherwise `again`, or
 * `edit` where the same words would be refused again.
 */
export function notice(failure, again, edit) {
  if (failure.status === 401) return keyForm(again);
  const [title, text] = words(failure);
  const lasting = failure.status >= 400 && failure.status < 500 && failure.status !== 429 && edit;
  const wait = el("p", { class: "wait" });
  const box = el("div", { class: "notice" }, el("h2", { text: title }), el("p", { text }), wait,
    el("button", { type: "button", class: "main", text: lasting ? "Edit the message" : "Try again",
      onclick: () => (lasting ? edit : again)() }));
  announce([title, text, failure.wait ? `Try again in ${plural(failure.wait, "second", "seconds")}.` : ""].join(". "));
  if (failure.wait) countDown(wait, failure.wait);
  return box;
}

function countDown(line, seconds) {
  const until = Date.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    line.textContent = left > 0 ? `Try again in ${plural(left, "second", "seconds")}.` : "You can try again now.";
    if (left <= 0 && line.isConnected) announce(line.textContent);
    if (left <= 0 || !line.isConnected) clearInterval(timer);
  };
  const timer = setInterval(show, 1000);
  line.textContent = `Try again in ${plural(seconds, "second", "seconds")}.`;
}

function keyForm(again) {
  const refused = sessionStorage.getItem(KEY) !== null;
  sessionStorage.removeItem(KEY);
  const field = el("input", { type: "password", id: "api-key", autocomplete: "off", required: true,
    "aria-describedby": "api-key-help" });
  const help = refused
    ? "That key was not accepted. Check it and enter it again."
    : "Enter the key that whoever runs this service gave you.";
  announce(`API key needed. ${help}`);
  setTimeout(() => field.focus());
  return el("form", { class: "notice", novalidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      if (!field.value.trim()) return field.focus();
      sessionStorage.setItem(KEY, field.value.trim());
      return again();
    } },
    el("h2", { text: "API key needed" }),
    el("p", { id: "api-key-help", text: help }),
    el("label", { for: "api-key", text: "API key" }),
    el("div", { class: "row" }, field, el("button", { type: "submit", class: "main", text: "Use this key" })),
    el("p", { class: "small", text: "It is kept until this tab is closed." }));
}
