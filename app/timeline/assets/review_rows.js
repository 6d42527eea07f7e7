/** The rows that can be adopted: one key each, and how far each edge still is from the adjudicator's own. */

import { button, el } from "./dom.js";
import { plural, secondsText, timeText, VERDICTS } from "./format.js";
import { matchMoments } from "./moments.js";

const KINDS = { annotator: "annotator", model: "model", original: "as released" };

/** `adopt(candidate)` decides, `edit(candidate)` only starts from it. `show(review, moments)` draws them again. */
export function buildRows(actions) {
  const list = el("ol", { className: "rv-rows", attrs: { "aria-label": "Answers" } });
  const show = (review, own_moments) =>
    list.replaceChildren(...(review?.candidates ?? []).map((candidate) => buildRow(candidate, own_moments, actions)));
  return { node: list, show };
}

function buildRow(candidate, own_moments, { adopt, edit }) {
  const { key, kind, name, verdict, reason, note } = candidate;
  const spoken = (text) => el("span", { className: "tl-hidden", text: `${text} of ${name}` });
  const adoptContent = [el("kbd", { text: String(key) }), el("span", { text: "Adopt" }), spoken("the answer")];
  const adoptButton = button("rv-adopt", adoptContent, () => adopt(candidate));
  const editContent = [el("span", { text: "Edit from it" }), spoken(": the answer")];
  const editButton = button("rv-begin", editContent, () => edit(candidate), { title: `Shift+${key}` });
  const who = el(
    "span",
    { className: "rv-who" },
    el("b", { text: name, attrs: { dir: "auto" } }),
    el("small", { text: factsText(candidate) }),
  );
  const verdictText = [VERDICTS[verdict], reason].filter(Boolean).join(": ");
  const answer =
    verdict === "moments"
      ? momentNodes(candidate, own_moments)
      : [el("span", { className: "rv-verdict", text: verdictText, attrs: { dir: "auto" } })];
  const quote = note ? el("q", { text: note, attrs: { dir: "auto" } }) : null;
  const words = el("div", { className: "rv-said" }, ...answer, quote);
  return el("li", { attrs: { "data-kind": kind } }, adoptButton, who, words, editButton);
}

function factsText({ kind, active_ms, key_presses, flagged }) {
  const facts = [KINDS[kind]];
  if (active_ms !== null) facts.push(`${secondsText(active_ms / 1000)} s`);
  if (key_presses !== null) facts.push(plural(key_presses, "key"));
  if (flagged) facts.push("flagged");
  return facts.join(" · ");
}

function momentNodes({ moments, confidences }, own_moments) {
  const matches = matchMoments(moments, own_moments);
  return moments.map((moment, idx) => {
    const p = confidences[idx] ?? null;
    const confidence = p === null ? null : el("small", { text: `${Math.round(100 * p)} %` });
    const [start, end] = ["start", "end"].map((edge) => edgeNode(moment, matches[idx], edge));
    return el("span", { className: "rv-moment" }, start, "–", end, confidence);
  });
}

/** "0:12.30 Δ0.40": the time, and what remains between it and the adjudicator's own edge. */
function edgeNode(moment, match, edge) {
  const ms = moment[`${edge}_ms`];
  const away_ms = match === null ? null : Math.abs(ms - match[`${edge}_ms`]);
  const text = away_ms === null ? "no counterpart" : `Δ${secondsText(away_ms / 1000, 2)}`;
  const apart = away_ms === null ? "none" : away_ms === 0 ? "same" : away_ms < 500 ? "near" : "far";
  const delta = el("small", { className: "rv-delta", text, attrs: { "data-apart": apart } });
  return el("span", { className: "rv-edge" }, timeText(ms / 1000), delta);
}
