/** What is there to compare with: the released moments, the model's, and other people's. None of them can be moved. */

import { el, setText } from "./dom.js";
import { percent, secondsText } from "./format.js";
import {
  attr,
  box,
  hidden,
  keyed,
  namesOf,
  part,
  saySpan,
  showSpan,
  spanNode,
  style,
  wordsOf,
} from "./lane_parts.js";

export const ORIGINAL = {
  id: "original",
  label: "Original",
  note: (state) => (hidden(state) ? "hidden" : part(state)?.original?.refused ? "none" : "locked"),
  height: 26,
  waits: () => true,
  place: placeOriginal,
  says: (state, time_s) => saySpan("Original", hidden(state) ? [] : part(state)?.original?.moments, time_s),
};

export const MODEL = {
  id: "model",
  label: "Model",
  note: modelNote,
  height: 30,
  waits: () => true,
  place: placeModel,
  says: sayModel,
};

const MOST_OTHERS = 9;

/** Other people's answers, a lane each; the number is the key that adopts it on the review page. */
export const OTHERS = Array.from({ length: MOST_OTHERS }, (_, place) => ({
  id: `other-${place + 1}`,
  label: String(place + 1),
  note: (state) => otherAt(state, place)?.name ?? "",
  height: 22,
  present: (state) => Boolean(otherAt(state, place)),
  waits: () => true,
  place: (layer, state) => placeOther(layer, state, otherAt(state, place)),
  says: (state, time_s) => sayOther(otherAt(state, place), time_s),
}));

const otherAt = (state, place) => part(state)?.others?.[place] ?? null;

function placeOriginal(layer, state) {
  const item = part(state);
  const spans = item?.original?.moments ?? [];
  const list = !item ? [] : hidden(state) ? wordsOf("Hidden until you submit: your view comes first") : spans;
  const shown = list.length ? list : item ? wordsOf("No matching moment") : [];
  attr(layer, "role", "img");
  attr(
    layer,
    "aria-label",
    hidden(state) ? "Original: hidden until you submit" : namesOf("Original moments", spans),
  );
  keyed(
    layer,
    shown,
    (entry, idx) => (entry.words ? "words" : idx),
    (entry) => spanNode("tl-first", entry),
    showSpan(state),
  );
}

function modelNote(state) {
  const item = part(state);
  if (!item) return "";
  if (hidden(state)) return "hidden";
  if (!item.model) return "not there yet";
  if (item.model.refused) return "none";
  return item.model.relevance === null ? "" : `relevant ${percent(item.model.relevance)}`;
}

function modelWords(state) {
  const item = part(state);
  if (!item) return "";
  if (hidden(state)) return "Hidden until you submit: your view comes first";
  if (!item.model) return "The model’s proposal is not there yet; you need not wait for it";
  return item.model.refused ? "No matching moment" : "";
}

/** Ghosts that can be taken: buttons, one tab stop for all of them. */
function placeModel(layer, state) {
  const { editor } = state.editorView ?? {};
  const words = modelWords(state);
  const list = words ? wordsOf(words) : (part(state)?.model?.moments ?? []);
  const picked = editor?.selection.lane === "model" ? editor.selection.id : null;
  attr(layer, "role", "group");
  attr(layer, "aria-label", words ? `Model: ${words}` : "The model’s moments");
  keyed(
    layer,
    list,
    (entry, idx) => (entry.words ? "words" : idx),
    ghostNode,
    (node, entry, idx) => {
      if (entry.words) return setText(node, entry.words);
      const rejected = editor.doc.rejected.includes(idx);
      const width = box(node, state.viewport, entry.start_ms, entry.end_ms);
      node.classList.toggle("tl-rejected", rejected);
      node.classList.toggle("tl-selected", picked === idx);
      attr(node, "tabindex", idx === (picked ?? 0) ? 0 : -1);
      attr(node, "aria-label", spokenGhost(entry, idx, list.length, rejected));
      style(node.firstChild, "opacity", String(0.25 + 0.65 * (entry.confidence ?? 0.5)));
      if (width !== null) setText(node.lastChild, ghostTag(entry, width));
      return undefined;
    },
  );
}

function ghostNode(entry) {
  if (entry.words) return el("span", { className: "tl-lane-text" });
  return el(
    "button",
    { className: "tl-ghost", attrs: { type: "button" } },
    el("span", { className: "tl-ghost-fill" }),
    el("span", { className: "tl-tag" }),
  );
}

function ghostTag({ confidence }, width) {
  return confidence === null || confidence === undefined || width < 40 ? "" : percent(confidence);
}

function spokenGhost(entry, idx, count, rejected) {
  const sure =
    entry.confidence === null || entry.confidence === undefined
      ? ""
      : `, confidence ${percent(entry.confidence)}`;
  const times = `${secondsText(entry.start_ms / 1000)} to ${secondsText(entry.end_ms / 1000)} seconds`;
  return `Model moment ${idx + 1} of ${count}, ${times}${sure}${rejected ? ", rejected" : ""}. Enter takes it, X rejects it`;
}

function placeOther(layer, state, other) {
  const spans = other?.moments ?? [];
  const verdict = other?.verdict === "cannot-judge" ? "Cannot judge" : "No matching moment";
  attr(layer, "role", "img");
  attr(layer, "aria-label", other ? namesOf(`Moments of ${other.name}`, spans) : "");
  keyed(
    layer,
    spans.length || !other ? spans : wordsOf(verdict),
    (entry, idx) => (entry.words ? "words" : idx),
    (entry) => spanNode("tl-other", entry),
    showSpan(state),
  );
}

function sayOther(other, time_s) {
  return other ? (saySpan(other.name, other.moments, time_s) ?? [`${other.name}: nothing here`]) : null;
}

function sayModel(state, time_s) {
  if (modelWords(state)) return [modelWords(state)];
  const item = part(state);
  const lines = saySpan("Model", item?.model?.moments, time_s);
  const found = item?.model?.moments.find((m) => time_s * 1000 >= m.start_ms && time_s * 1000 < m.end_ms);
  const sure = found?.confidence ?? null;
  const facts = sure === null ? [] : [`confidence ${percent(sure)}`];
  return lines && [...lines, ...facts, "click to select · Enter takes it · X rejects it"];
}
