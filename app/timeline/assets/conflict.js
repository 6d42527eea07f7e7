/** Two versions of one query, side by side, and the choice between them. */

import { tiou } from "./agreement.js";
import { el } from "./dom.js";
import { clock } from "./format.js";

const VERDICTS = { moments: "moments", "no-moment": "no matching moment", "cannot-judge": "cannot judge" };
const FIELDS = [
  ["reason", "Reason"],
  ["edited_text", "Wording"],
  ["note", "Comment"],
  ["flagged", "Flagged"],
  ["categories", "What was wrong"],
];

/** Ask which version holds; resolves with "mine" or "theirs". There is no third way out: nothing may be overwritten. */
export function askConflict(root, { yours, theirs, query }) {
  return new Promise((resolve) => {
    const choose = (choice) => () => {
      node.close();
      node.remove();
      resolve(choice);
    };
    const when = theirs ? new Date(theirs.saved_at_ms).toLocaleTimeString("en-GB") : "";
    const keep = el("button", { className: "tl-small tl-strong", text: "Keep mine", attrs: { type: "button" }, on: { click: choose("mine") } });
    const take = el("button", { className: "tl-small", text: "Take theirs", attrs: { type: "button" }, on: { click: choose("theirs") } });
    const node = el(
      "dialog",
      { className: "tl-help fl-conflict", attrs: { "aria-label": "Two versions of this query" } },
      el("h3", { text: "Two versions of this query" }),
      el("p", { className: "fl-query", text: query, attrs: { dir: "auto" } }),
      el("p", { className: "tl-faint", text: "It was changed in another window since you began. Nothing is overwritten; choose which version goes on. Both stay in the history." }),
      versions(yours, theirs?.edit ?? null, when),
      el("div", { className: "tl-row fl-choices" }, take, keep),
    );
    node.addEventListener("cancel", (event) => event.preventDefault());
    node.addEventListener("keydown", (event) => event.stopPropagation());
    root.append(node);
    node.showModal();
    keep.focus();
  });
}

function versions(yours, theirs, when) {
  const head = [el("th", { text: "" }), el("th", { text: "Yours, in this browser" }), el("th", { text: `Theirs, saved ${when}` })];
  const rows = differences(yours, theirs ?? { verdict: "moments", moments: [] });
  return el(
    "table",
    { className: "fl-diff" },
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody", {}, ...rows.map(([name, mine, other, differs]) =>
      el("tr", { attrs: { "data-differs": String(differs) } },
        el("th", { text: name, attrs: { scope: "row" } }),
        el("td", { text: mine, attrs: { dir: "auto" } }),
        el("td", { text: other, attrs: { dir: "auto" } })))),
  );
}

/** [name, yours, theirs, differs] for the verdict, every moment, and every field that either has. */
function differences(yours, theirs) {
  const rows = [["Verdict", VERDICTS[yours.verdict], VERDICTS[theirs.verdict]]];
  rows.push(...pairs(yours.moments, theirs.moments).map(([mine, other], idx) => [`Moment ${idx + 1}`, words(mine), words(other)]));
  for (const [name, title] of FIELDS) {
    const [mine, other] = [text(yours[name]), text(theirs[name])];
    if (mine || other) rows.push([title, mine || "–", other || "–"]);
  }
  rows.push(["State", yours.submitted ? "submitted" : "draft", theirs.submitted ? "submitted" : "draft"]);
  return rows.map((row) => [...row, row[1] !== row[2]]);
}

/** Moments that overlap most stand side by side; the others alone, all in the order of time. */
function pairs(mine, others) {
  const rest = [...others];
  const found = mine.map((moment) => {
    const best = rest.reduce((a, b) => (tiou(moment, b) > (a ? tiou(moment, a) : 0) ? b : a), null);
    if (best) rest.splice(rest.indexOf(best), 1);
    return [moment, best];
  });
  const start = ([a, b]) => Math.min(a?.start_ms ?? Infinity, b?.start_ms ?? Infinity);
  return [...found, ...rest.map((moment) => [null, moment])].sort((a, b) => start(a) - start(b));
}

const words = (moment) => (moment ? `${clock(moment.start_ms / 1000)} – ${clock(moment.end_ms / 1000)}` : "–");

function text(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "";
  return value ?? "";
}
