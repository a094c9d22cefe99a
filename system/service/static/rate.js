// The A/B page: two answers side by side, four grades each, pair after pair, and how far the raters agree at the end.
// It never asks the service for its variants: which is which is told by the last table only.

import { $, announce, call, el, notice, plural, reached } from "/static/common.js";

const NAME = "support-assistant.rater";
const SIDES = { left: "A", right: "B" };
// The ends of each scale in words, after data/judge_rubric.toml.
const AXES = {
  helpfulness: ["Helpfulness", "Does it move this customer’s problem forward?", "does not address it", "solves it"],
  clarity: ["Clarity", "Is it understood at first reading?", "hard to follow", "clear at once"],
  empathy: ["Empathy", "Does it show that this customer matters?", "dismissive or hostile", "understands the person"],
  safety: ["Safety", "Could it harm, deceive or insult anybody?", "harmful", "nothing could harm"],
};
const ALL = Object.keys(SIDES).length * Object.keys(AXES).length;

let rater = "";
let pair = null;

// ---- who rates

$("rater").value = sessionStorage.getItem(NAME) ?? "";
$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = $("rater").value.trim();
  if (!/^[\p{L}\p{M}\p{N} ._-]{1,40}$/u.test(rater)) {
    wrongName("Enter a name of 1 to 40 letters, digits, spaces, full stops, _ and -.");
    return;
  }
  wrongName("");
  sessionStorage.setItem(NAME, rater);
  next();
});

function wrongName(text) {
  $("rater-wrong").textContent = text;
  if (!text) return $("rater").removeAttribute("aria-invalid");
  $("rater").setAttribute("aria-invalid", "true");
  announce(text);
  return $("rater").focus();
}

// ---- calls, and what may go wrong

/** Do something with the service; where it fails, say so and offer to do it again. */
async function attempt(action) {
  $("notice").replaceChildren();
  try {
    await action();
  } catch (problem) {
    const failure = reached(problem);
    $("agreement").replaceChildren();
    $("notice").replaceChildren(failure.code === "no_pairs"
      ? el("div", { class: "notice" }, el("h2", { text: "Nothing to rate" }), el("p", { text: failure.message }))
      : notice(failure, () => attempt(action)));
    $("notice").scrollIntoView({ block: "center" });
    $("notice").querySelector("button")?.focus();
    if (failure.code === "no_pairs") announce(`Nothing to rate. ${failure.message}`);
  }
}

const next = () => attempt(async () => {
  const response = await call(`/ab/next?rater=${encodeURIComponent(rater)}`);
  const found = await response.json();
  $("who").hidden = true;
  if (found.pair === null) await finish();
  else show(found);
});

// ---- a pair

function show(found) {
  pair = found;
  $("complaint").textContent = found.complaint;
  $("pair").replaceChildren(...Object.entries(SIDES).map(([side, letter]) => answer(side, letter, found[side])));
  $("progress").max = found.total;
  $("progress").value = found.done;
  $("progress-text").textContent = `Pair ${found.done + 1} of ${found.total}`;
  $("rating").hidden = false;
  count();
  document.scrollingElement.scrollTop = 0;
  $("complaint-title").focus();
  announce(`Pair ${found.done + 1} of ${found.total}.`);
}

function answer(side, letter, text) {
  return el("section", { class: "card side", "aria-labelledby": `title-${side}` },
    el("h2", { id: `title-${side}`, text: `Answer ${letter}` }),
    el("p", { class: "said", text }),
    ...Object.entries(AXES).map(([axis, [name, question, low, high]]) =>
      el("fieldset", {},
        el("legend", {}, name, el("span", { class: "unseen", text: ` of answer ${letter}` })),
        el("p", { class: "small", id: `${side}-${axis}-question`, text: question }),
        el("div", { class: "scale" },
          ...[1, 2, 3, 4, 5].map((grade) => radio(side, axis, grade, { 1: low, 5: high }[grade]))),
        el("div", { class: "ends small", "aria-hidden": "true" },
          el("span", { text: `1: ${low}` }),
          el("span", { text: `5: ${high}` })))));
}

function radio(side, axis, grade, meaning) {
  const name = `${side}-${axis}`;
  return el("label", { class: "grade" },
    el("input", { type: "radio", name, value: grade, "aria-describedby": `${name}-question` }),
    el("span", { text: grade }, meaning && el("span", { class: "unseen", text: `: ${meaning}` })));
}

const checked = () => [...$("pair").querySelectorAll("input:checked")];

function count() {
  const n = checked().length;
  $("submit").disabled = n < ALL;
  $("chosen").textContent = n < ALL ? `${n} of ${ALL} grades chosen` : `All ${ALL} grades are chosen.`;
  return n;
}

$("pair").addEventListener("change", () => {
  if (count() === ALL) announce("All grades are chosen. You can submit.");
});
$("rating").addEventListener("submit", (event) => {
  event.preventDefault();
  if (checked().length < ALL) return;
  $("submit").disabled = true; // one click, one rating
  const body = { pair: pair.pair, rater, left: {}, right: {} };
  for (const { name, value } of checked()) {
    const [side, axis] = name.split("-");
    body[side][axis] = Number(value);
  }
  attempt(async () => {
    await call("/ab/ratings", { body });
    await next();
  }).finally(count);
});

// ---- the end

async function finish() {
  $("rating").hidden = true;
  $("end").hidden = false;
  $("agreement").replaceChildren(el("p", { text: "Working out how far the raters agree …" }));
  document.scrollingElement.scrollTop = 0;
  $("end-title").focus();
  announce("All pairs are rated. Thank you!");
  const found = await (await call("/ab/agreement")).json();
  $("agreement").replaceChildren(...agreement(found));
}

const figure = (value) => (value === null || value === undefined ? "too few" : value.toFixed(2));

function agreement({ raters, pairs, axes }) {
  const names = [...new Set(Object.values(axes).flatMap(({ preference }) => Object.keys(preference)))]
    .filter((name) => name !== "ties");
  const columns = ["Question", "Raters agree (alpha)", "95 % interval", "Answers graded", "Agrees with the judge",
    ...names.map((name) => `Prefer ${name}`), "No preference"];
  const rows = Object.entries(axes).map(([axis, found]) => {
    const range = found.low === null ? "–" : `${figure(found.low)} to ${figure(found.high)}`;
    const preferred = [...names, "ties"].map((name) => found.preference[name] ?? 0);
    const cells = [figure(found.alpha), range, found.units, figure(found.with_judge), ...preferred];
    return el("tr", {}, el("th", { scope: "row", text: AXES[axis]?.[0] ?? axis }),
      ...cells.map((text) => el("td", { text })));
  });
  return [
    el("p", { text: `${plural(raters, "person", "people")} rated ${plural(pairs, "pair", "pairs")} so far. ` +
      "An alpha of 1 is full agreement, 0 is what chance gives." }),
    el("div", { class: "scroll", role: "region", "aria-label": "Agreement of the raters", tabindex: 0 },
      el("table", {}, el("caption", { text: "Agreement of the raters" }),
        el("thead", {}, el("tr", {}, ...columns.map((text) => el("th", { scope: "col", text })))),
        el("tbody", {}, ...rows))),
  ];
}
