/** The words beside the picture: the query, the moments as buttons, the refusal, the alternatives. */

import { button, el, setText } from "./dom.js";
import { isUnknown } from "./lanes.js";
import {
  confidenceText,
  percent,
  plural,
  relevanceText,
  secondsText,
  span,
  spokenMoment,
  spokenPercent,
  spokenTimes,
} from "./format.js";

export function buildHead() {
  const query = el("p", { className: "tl-query", attrs: { dir: "auto", tabindex: "-1" } });
  const chip = el("span", { className: "tl-chip" });
  const status = el("p", { className: "tl-hidden", attrs: { role: "status" } });
  return { node: el("div", { className: "tl-head" }, query, chip, status), query, chip, status };
}

export function showHead(head, state) {
  const { value } = state;
  setText(head.query, value.query || "No question yet");
  head.query.classList.toggle("tl-faint", !value.query);
  const text = summary(state);
  setText(head.chip, text);
  head.chip.dataset.kind = state.refused || state.unknown ? "refused" : value.state;
  setText(head.status, value.state === "empty" ? "" : spokenSummary(state, text));
}

function summary({ value, refused, unknown }) {
  if (value.state === "empty") return "Waiting for a clip";
  if (value.state === "loading") return "Working";
  if (value.state === "error") return "Failed";
  if (unknown) return "Not understood";
  return refused ? "Refused" : plural(value.moments.length, "moment");
}

function spokenSummary({ value, refused, unknown }, text) {
  if (value.state === "ready" && value.lanes?.length) {
    return value.lanes
      .map((answer) => {
        const { name, note, moments, refusal } = answer;
        const said = refusal.refused ? "no relevant moment" : plural(moments.length, "moment");
        if (isUnknown(answer)) return `${name}: ${answer.understood.sentence}`;
        return `${[`${name}: ${said}`, relevanceText(refusal.relevance), note].filter(Boolean).join(", ")}.`;
      })
      .join(" ");
  }
  if (value.state === "loading" || value.state === "error") return value.message ?? text;
  if (unknown) return value.understood.sentence;
  if (refused) return "No relevant moment.";
  return [`${text} found.`, ...value.moments.map((m, idx) => spokenMoment(m, idx, value.moments.length))].join(
    " ",
  );
}

export function buildAside(actions) {
  const node = el("section", { className: "tl-aside", attrs: { "aria-label": "Answer" } });
  return { node, actions, key: null };
}

/** Rebuilt only when the answer changes, so that focus stays where it is during playback. */
export function showAside(aside, state) {
  const { value } = state;
  const key = JSON.stringify([value.rev, value.state, value.moments, value.ranked, value.refusal, value.understood]);
  if (aside.key !== key) {
    aside.key = key;
    aside.node.replaceChildren(...asideParts(aside, state));
  }
  aside.node.querySelectorAll(".tl-item").forEach((node, idx) => {
    if (idx === state.selected_idx) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  });
}

function asideParts(aside, state) {
  const { value } = state;
  if (value.state === "loading") return [el("h3", { text: "Moments" }), skeleton(), skeleton()];
  if (value.state !== "ready") {
    return [
      el("h3", { text: "Moments" }),
      el("p", { className: "tl-faint", text: "The model’s answer is listed here." }),
    ];
  }
  if (state.unknown) return unknownCard(value.understood);
  const answer = state.refused ? refusalCard(value.refusal) : momentList(aside, value);
  return [...answer, ...rankedList(aside, value)];
}

function skeleton() {
  return el("div", { className: "tl-item tl-skeleton", attrs: { "aria-hidden": "true" } });
}

function momentList(aside, { moments, refusal }) {
  const items = moments.map((moment, idx) => {
    const content = [
      el("span", { className: "tl-hidden", text: spokenMoment(moment, idx, moments.length) }),
      forTheEye("tl-index", String(idx + 1)),
      forTheEye("tl-span", span(moment)),
      forTheEye("tl-length", `${secondsText(moment.end_s - moment.start_s)} s`),
      meter(moment.confidence),
    ];
    return el("li", {}, button("tl-item", content, () => aside.actions.playMoment(idx)));
  });
  const relevance = refusal
    ? el("span", { className: "tl-faint", text: relevanceText(refusal.relevance) })
    : null;
  return [
    el("div", { className: "tl-row" }, el("h3", { text: "Moments" }), relevance),
    el("ol", { className: "tl-list" }, ...items),
  ];
}

/** Text for the eye, inside a control whose hidden text says the same for the ear. */
function forTheEye(className, text) {
  return el("span", { className, text, attrs: { "aria-hidden": "true" } });
}

/** A bar and its number, or the words that there is none. */
function meter(p) {
  if (p === null) return forTheEye("tl-confidence tl-faint", confidenceText(null));
  const fill = el("span", { className: "tl-meter-fill" });
  fill.style.width = `${Math.round(p * 100)}%`;
  const bar = el("span", { className: "tl-meter" }, fill);
  const number = el("span", { className: "tl-number", text: percent(p) });
  return el("span", { className: "tl-confidence", attrs: { "aria-hidden": "true" } }, bar, number);
}

function refusalCard({ relevance }) {
  return [
    el("h3", { text: "Moments" }),
    el(
      "div",
      { className: "tl-refusal" },
      el("strong", { text: "No relevant moment" }),
      el("p", { text: "The model judges that nothing in this clip matches the question." }),
      ...(relevance === null
        ? [el("p", { className: "tl-faint", text: "How likely that is, the endpoint does not say." })]
        : [
            el("p", { className: "tl-hidden", text: `P(relevant) ${spokenPercent(relevance)}` }),
            el("div", { className: "tl-row" }, forTheEye("", "P(relevant)"), meter(relevance)),
          ]),
    ),
  ];
}

function unknownCard({ sentence, words }) {
  const remedy = words.length > 0 ? "Ask in other words, or load a model that knows them." : "Name what to look for.";
  return [
    el("h3", { text: "Moments" }),
    el(
      "div",
      { className: "tl-refusal" },
      el("strong", { text: "I do not know what that is" }),
      el("p", { text: sentence }),
      el("p", { text: remedy }),
    ),
  ];
}

function rankedList(aside, { ranked }) {
  if (ranked.length === 0) return [];
  const items = ranked.slice(0, 5).map((window, idx) => {
    const score = window.score.toFixed(2);
    const spoken = `Window ${idx + 1}, ${spokenTimes(window.start_s, window.end_s)}, score ${score}`;
    const content = [
      el("span", { className: "tl-hidden", text: spoken }),
      forTheEye("", span(window)),
      forTheEye("", score),
    ];
    return el("li", {}, button("tl-alternative", content, () => aside.actions.playWindow(window)));
  });
  return [el("h3", { text: "Ranked windows" }), el("ol", { className: "tl-list tl-alternatives" }, ...items)];
}
