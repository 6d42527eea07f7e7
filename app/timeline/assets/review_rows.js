/** The rows that can be adopted: one key each, and how far each edge still is from the adjudicator's own. */

import { tiou } from "./agreement.js";
import { el } from "./dom.js";
import { plural, secondsText } from "./format.js";

const KINDS = { annotator: "annotator", model: "model", original: "as released" };
const VERDICTS = { "no-moment": "No matching moment", "cannot-judge": "Cannot judge" };

/** For each moment of `theirs` the moment of `mine` that it overlaps most, each used once, or null. */
function partners(theirs, mine) {
  const pairs = theirs.flatMap((a, i) => mine.map((b, j) => ({ i, j, overlap: tiou(a, b) })));
  pairs.sort((a, b) => b.overlap - a.overlap);
  const found = theirs.map(() => null);
  const used = new Set();
  for (const { i, j, overlap } of pairs) {
    if (overlap === 0 || found[i] !== null || used.has(j)) continue;
    found[i] = j;
    used.add(j);
  }
  return found.map((j) => (j === null ? null : mine[j]));
}

/** `adopt(candidate)` decides, `begin(candidate)` only starts from it. `show(review, editor)` draws them again. */
export function buildRows({ adopt, begin }) {
  const list = el("ol", { className: "rv-rows", attrs: { "aria-label": "Answers" } });
  const show = (review, mine) => {
    list.replaceChildren(...(review?.candidates ?? []).map((each) => row(each, mine, { adopt, begin })));
  };
  return { node: list, show };
}

function row(candidate, mine, { adopt, begin }) {
  const { key, kind, name, verdict, reason, note } = candidate;
  const whose = (words) => el("span", { className: "tl-hidden", text: `${words} of ${name}` });
  const take = el(
    "button",
    { className: "rv-adopt", attrs: { type: "button" }, on: { click: () => adopt(candidate) } },
    el("kbd", { text: String(key) }),
    el("span", { text: "Adopt" }),
    whose("the answer"),
  );
  const edit = el(
    "button",
    { className: "rv-begin", attrs: { type: "button", title: `Shift+${key}` }, on: { click: () => begin(candidate) } },
    el("span", { text: "Edit from it" }),
    whose(": the answer"),
  );
  const who = el("span", { className: "rv-who" }, el("b", { text: name, attrs: { dir: "auto" } }), el("small", { text: kindWords(candidate) }));
  const said =
    verdict === "moments"
      ? moments(candidate, mine)
      : [el("span", { className: "rv-verdict", text: [VERDICTS[verdict], reason].filter(Boolean).join(": "), attrs: { dir: "auto" } })];
  const words = el("div", { className: "rv-said" }, ...said, note ? el("q", { text: note, attrs: { dir: "auto" } }) : null);
  return el("li", { attrs: { "data-kind": kind } }, take, who, words, edit);
}

function kindWords({ kind, active_ms, key_presses, flagged }) {
  const words = [KINDS[kind]];
  if (active_ms !== null) words.push(`${secondsText(active_ms / 1000)} s`);
  if (key_presses !== null) words.push(plural(key_presses, "key"));
  if (flagged) words.push("flagged");
  return words.join(" · ");
}

function moments({ moments: theirs, confidences }, mine) {
  const found = partners(theirs, mine);
  return theirs.map((moment, idx) => {
    const p = confidences[idx];
    const sure = p === undefined || p === null ? null : el("small", { text: `${Math.round(100 * p)} %` });
    return el("span", { className: "rv-moment" }, edge(moment, found[idx], "start"), "–", edge(moment, found[idx], "end"), sure);
  });
}

/** "12.30 Δ0.40": the time, and what remains between it and the adjudicator's own edge. */
function edge(moment, partner, side) {
  const time = secondsText(moment[`${side}_ms`] / 1000, 2);
  const left_ms = partner === null ? null : Math.abs(moment[`${side}_ms`] - partner[`${side}_ms`]);
  const words = left_ms === null ? "no counterpart" : `Δ${secondsText(left_ms / 1000, 2)}`;
  const apart = left_ms === null ? "none" : left_ms === 0 ? "same" : left_ms < 500 ? "near" : "far";
  return el("span", { className: "rv-edge" }, time, el("small", { className: "rv-delta", text: words, attrs: { "data-apart": apart } }));
}
