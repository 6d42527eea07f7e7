/** What there is to compare with: saliency, the released moments, the model's, other people's. None of them can be moved. */

import { button, el, keyed, setAttr, setStyle, setText } from "./dom.js";
import { percent, secondsText, span, timeText, VERDICTS, worthText } from "./format.js";
import { isBlind, isInside, itemOf, lengthText, placeBox, spanHover, spokenSpan, wordsEntry, wordsNode } from "./lane_parts.js";

const HIDDEN = "Hidden until you submit: your view comes first";
const MOST_SCORE = 4;
const MOST_OTHERS = 9;

export const SALIENCY = {
  id: "saliency",
  label: "Saliency",
  note: () => `0 to ${MOST_SCORE}`,
  height: 24,
  present: (state) => Boolean(itemOf(state)?.saliency?.length),
  isWaiting: () => false,
  draw: drawSaliency,
  hover: hoverSaliency,
};

export const ORIGINAL = {
  id: "original",
  label: "Original",
  note: (state) => (isBlind(state) ? "hidden" : itemOf(state)?.original?.refused ? "none" : "locked"),
  height: 26,
  isWaiting: () => true,
  place: placeOriginal,
  hover: hoverOriginal,
};

export const MODEL = {
  id: "model",
  label: "Model",
  note: modelNote,
  height: 30,
  isWaiting: () => true,
  place: placeModel,
  hover: hoverModel,
};

/** Other people's answers, a lane each; the number is the key that adopts it on the review page. */
export const OTHERS = Array.from({ length: MOST_OTHERS }, (_, idx) => {
  const other = (state) => itemOf(state)?.others?.[idx] ?? null;
  return {
    id: `other-${idx + 1}`,
    label: String(idx + 1),
    note: (state) => other(state)?.name ?? "",
    height: 22,
    present: (state) => Boolean(other(state)),
    isWaiting: () => true,
    place: (layer, state) => placeOther(layer, state, other(state)),
    hover: (state, time_s) => hoverOther(other(state), time_s),
  };
});

function drawSaliency({ context, height }, state, colours) {
  const { viewport } = state;
  context.fillStyle = colours.bar;
  for (const [start_ms, end_ms, score] of itemOf(state)?.saliency ?? []) {
    const left = viewport.x(start_ms / 1000);
    const bar = Math.max(1, (Math.min(MOST_SCORE, score) / MOST_SCORE) * (height - 4));
    context.fillRect(left, height - bar, Math.max(1, viewport.x(end_ms / 1000) - left - 1), bar);
  }
}

function hoverSaliency(state, time_s) {
  const isHere = isInside(time_s);
  const clip = itemOf(state)?.saliency.find(([start_ms, end_ms]) => isHere({ start_ms, end_ms }));
  const text = clip ? `saliency ${secondsText(clip[2])} of ${MOST_SCORE}` : "no saliency scores here";
  return [timeText(time_s), text];
}

/** Boxes that are a picture to a screen reader, named as a whole; entries are spans, or one of words. */
function placePicture(layer, state, className, label, entries) {
  setAttr(layer, "role", "img");
  setAttr(layer, "aria-label", label);
  const create = ({ words, twin }) => {
    if (words) return wordsNode();
    return twin ? el("i", { className: "tl-twin" }) : el("div", { className }, el("span", { className: "tl-tag" }));
  };
  const update = (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const width = placeBox(node, state.viewport, entry.start_ms, entry.end_ms);
    if (entry.twin) return undefined;
    if (width !== null) setText(node.lastChild, width >= 60 ? `${idx + 1} · ${lengthText(entry)}` : "");
    return undefined;
  };
  keyed(layer, entries, ({ words, twin }, idx) => (words ? "words" : twin ? `twin ${idx}` : idx), create, update);
}

const namesOf = (title, spans) => `${title}: ${spans.map(spokenSpan).join("; ") || "none"}`;

/** The moments of rows with the same question, drawn as thin bars below the released ones. */
const twinSpans = (item) => (item?.twins ?? []).flatMap(({ qid, moments }) => moments.map((span) => ({ ...span, twin: qid })));

/** "Row 12 asks the same: decided 0:02.0 – 0:04.0" */
export function twinText({ qid, decided, verdict, moments }) {
  const times = moments.map(({ start_ms, end_ms }) => span({ start_s: start_ms / 1000, end_s: end_ms / 1000 }));
  return `Row ${qid} asks the same: ${decided === "verdict" ? "decided" : "answered"} ${times.join(", ") || VERDICTS[verdict].toLowerCase()}`;
}

function hoverOriginal(state, time_s) {
  const item = itemOf(state);
  const original = spanHover("Original", isBlind(state) ? [] : item?.original?.moments, time_s);
  const twins = (item?.twins ?? []).map(twinText);
  return original || twins.length ? [...(original ?? [timeText(time_s)]), ...twins] : null;
}

function placeOriginal(layer, state) {
  const item = itemOf(state);
  const spans = item?.original?.moments ?? [];
  if (isBlind(state))
    return placePicture(layer, state, "tl-first", "Original: hidden until you submit", wordsEntry(HIDDEN));
  const entries = spans.length || !item ? spans : wordsEntry(VERDICTS["no-moment"]);
  const names = [namesOf("Original moments", spans), ...(item?.twins ?? []).map(twinText)].join(". ");
  return placePicture(layer, state, "tl-first", names, [...entries, ...twinSpans(item)]);
}

function placeOther(layer, state, other) {
  if (!other) return placePicture(layer, state, "tl-other", "", []);
  const { name, moments, verdict } = other;
  const words = VERDICTS[verdict === "cannot-judge" ? verdict : "no-moment"];
  const entries = moments.length ? moments : wordsEntry(words);
  return placePicture(layer, state, "tl-other", namesOf(`Moments of ${name}`, moments), entries);
}

function hoverOther(other, time_s) {
  return other ? (spanHover(other.name, other.moments, time_s) ?? [`${other.name}: nothing here`]) : null;
}

function modelNote(state) {
  const item = itemOf(state);
  if (!item) return "";
  if (isBlind(state)) return "hidden";
  if (!item.model) return item.model_absence ? "no model" : "not there yet";
  if (item.model.refused) return "none";
  return item.model.relevance === null ? "" : `relevant ${percent(item.model.relevance)}`;
}

function modelWords(state) {
  const item = itemOf(state);
  if (!item) return "";
  if (isBlind(state)) return HIDDEN;
  if (!item.model) return item.model_absence ?? "The model’s proposal is not there yet; you need not wait for it";
  return item.model.refused ? VERDICTS["no-moment"] : "";
}

/** Ghosts that can be taken: buttons, one tab stop for all of them. */
function placeModel(layer, state) {
  const { editor } = state.view;
  const words = modelWords(state);
  const entries = words ? wordsEntry(words) : (itemOf(state)?.model?.moments ?? []);
  const selected_idx = editor.selection.lane === "model" ? editor.selection.id : null;
  setAttr(layer, "role", "group");
  setAttr(layer, "aria-label", words ? `Model: ${words}` : "The model’s moments");
  const create = (entry) => {
    if (entry.words) return wordsNode();
    return button("tl-ghost", [el("span", { className: "tl-ghost-fill" }), el("span", { className: "tl-tag" })], null);
  };
  const update = (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const isRejected = editor.doc.rejected.includes(idx);
    const width = placeBox(node, state.viewport, entry.start_ms, entry.end_ms);
    const confidence = entry.confidence ?? null;
    node.classList.toggle("tl-rejected", isRejected);
    node.classList.toggle("tl-selected", selected_idx === idx);
    setAttr(node, "tabindex", idx === (selected_idx ?? 0) ? 0 : -1);
    setAttr(node, "aria-label", spokenGhost(entry, idx, entries.length, isRejected));
    setStyle(node.firstChild, "opacity", String(0.25 + 0.65 * (confidence ?? 0.5)));
    if (width !== null) setText(node.lastChild, confidence === null || width < 40 ? "" : percent(confidence));
    return undefined;
  };
  keyed(layer, entries, ({ words: text }, idx) => (text ? "words" : idx), create, update);
}

function spokenGhost(ghost, idx, count, isRejected) {
  const confidence = (ghost.confidence ?? null) === null ? "" : `, confidence ${percent(ghost.confidence)}`;
  const rejected = isRejected ? ", rejected" : "";
  return `Model moment ${idx + 1} of ${count}, ${spokenSpan(ghost)}${confidence}${rejected}. Enter takes it, X rejects it`;
}

function hoverModel(state, time_s) {
  const model = itemOf(state)?.model;
  const worth = model?.worth && !isBlind(state) ? [worthText(model.worth)] : [];
  if (modelWords(state)) return [modelWords(state), ...worth];
  const moments = itemOf(state)?.model?.moments;
  const lines = spanHover("Model", moments, time_s);
  const confidence = moments?.find(isInside(time_s))?.confidence ?? null;
  const facts = confidence === null ? [] : [`confidence ${percent(confidence)}`];
  return lines && [...lines, ...facts, ...worth, "click to select · Enter takes it · X rejects it"];
}
