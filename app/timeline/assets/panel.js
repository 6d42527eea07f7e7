/** The words beside the picture: the query, the moments as buttons, the refusal, the alternatives. */

import { button, el, setText } from "./dom.js";
import { isUnknown } from "./lanes.js";
import {
  BAND_WORDS,
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
  if (value.state === "empty") return "No answer yet";
  if (value.state === "loading") return "Working";
  if (value.state === "error") return "Failed";
  if (unknown) return "Not understood";
  return refused ? "Not in this clip" : findings(value.moments);
}

/** "2 moments", and how far to trust the best of them: a guess is not headed like a clear moment. */
function findings(moments) {
  const count = plural(moments.length, "moment");
  const best = ["clear", "possible", "guess"].find((band) => moments.some((moment) => moment.band === band));
  return best === undefined ? count : `${count}, ${BAND_WORDS[best]}`;
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
  return [`${plural(value.moments.length, "moment")} found.`, ...value.moments.map((m, idx) => spokenMoment(m, idx, value.moments.length))].join(
    " ",
  );
}

export function buildAside(actions) {
  const answer = el("div", { className: "tl-part" });
  const ranked = el("div", { className: "tl-part" });
  const node = el("section", { className: "tl-aside", attrs: { "aria-label": "Answer" } }, answer, ranked);
  return { node, actions, answer, ranked, keys: [] };
}

/** Each part is rebuilt only when it changes, so that focus stays where it is during playback and ranking. */
export function showAside(aside, state) {
  const { value } = state;
  const keys = [
    JSON.stringify([value.state, value.query, value.moments, value.refusal, value.understood]),
    JSON.stringify([value.state, value.ranked, value.ranking]),
  ];
  if (aside.keys[0] !== keys[0]) aside.answer.replaceChildren(...answerParts(aside, state));
  if (aside.keys[1] !== keys[1])
    aside.ranked.replaceChildren(...(value.state === "ready" ? rankedList(aside, value) : []));
  aside.keys = keys;
  aside.node.querySelectorAll(".tl-item").forEach((node, idx) => {
    if (idx === state.selected_idx) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  });
}

function answerParts(aside, state) {
  const { value } = state;
  if (value.state === "loading") return [el("h3", { text: "Moments" }), skeleton(), skeleton()];
  if (value.state !== "ready") {
    return [
      el("h3", { text: "Moments" }),
      el("p", { className: "tl-faint", text: "The model’s answer is listed here." }),
    ];
  }
  if (state.unknown) return unknownCard(value.understood);
  return state.refused ? refusalCard(value) : momentList(aside, value);
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
      meter(moment.confidence, moment.band),
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
function meter(p, band = null) {
  if (p === null) return forTheEye("tl-confidence tl-faint", confidenceText(null));
  const word = band && el("span", { className: "tl-band", text: BAND_WORDS[band] });
  const fill = el("span", { className: "tl-meter-fill" });
  fill.style.width = `${Math.round(p * 100)}%`;
  const bar = el("span", { className: "tl-meter" }, fill);
  const number = el("span", { className: "tl-number", text: percent(p) });
  return el("span", { className: "tl-confidence", attrs: { "aria-hidden": "true" } }, bar, word, number);
}

function refusalCard({ refusal: { relevance }, understood }) {
  const judged = "The model judges that nothing in this clip matches the question.";
  const words = understood ? "It knows every word of it." : "Which words it knows, it does not say.";
  return [
    el("h3", { text: "Moments" }),
    el(
      "div",
      { className: "tl-refusal" },
      el("strong", { text: "Not in this clip" }),
      el("p", { text: `${judged} ${words}` }),
      ...(relevance === null
        ? [el("p", { className: "tl-faint", text: "How likely that is, the endpoint does not say." })]
        : [
            el("p", { className: "tl-hidden", text: `P(relevant) ${spokenPercent(relevance)}` }),
            el("div", { className: "tl-row" }, forTheEye("", "P(relevant)"), meter(relevance)),
          ]),
      el("p", { text: "Next: look at the ranked windows, which come nearest, or ask for something more general." }),
    ),
  ];
}

function unknownCard({ sentence, words }) {
  const remedy =
    words.length > 0
      ? "Next: ask in words that it knows; they are listed under “What can be asked”."
      : "Next: name a thing or an event to look for.";
  return [
    el("h3", { text: "Moments" }),
    el(
      "div",
      { className: "tl-refusal" },
      el("strong", { text: "This model does not know that" }),
      el("p", { text: sentence }),
      el("p", { text: "The clip was not judged: it may be there all the same." }),
      el("p", { text: remedy }),
    ),
  ];
}

function rankedList(aside, { ranked, ranking }) {
  if (ranking)
    return [el("h3", { text: "Ranked windows" }), el("p", { className: "tl-faint", text: "They are being ranked." })];
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
