/** The lanes of the workbench: what it shares with the read-only timeline, and the moments that can be edited. */

import { el, setText } from "./dom.js";
import { clock, percent, secondsText, span } from "./format.js";
import { LANES } from "./lanes.js";
import { edgeLimits } from "./moments.js";
import { snapWords, standingAt } from "./snapping.js";

const LEAST_GRID_PX = 8;
const MOST_SCORE = 4;
const SOURCES = { original: "original", model: "model", snap: "snapped", hand: "by hand" };

/** Lanes by mode; those without anything to show hide themselves (see `present`). */
export function editLanes(mode) {
  const shared = Object.fromEntries(LANES.map((lane) => [lane.id, lane]));
  return [
    shared.ruler,
    { ...shared.strip, height: 44 },
    { ...shared.tokens, height: 40, present: ({ value }) => Boolean(value.frames) },
    { ...shared.variation, height: 26, present: ({ value }) => Boolean(value.frames) },
    SALIENCY,
    ORIGINAL,
    MODEL,
    ...(mode === "review" ? [OTHERS] : []),
    MINE,
    HANDLES,
    { ...shared.minimap, draw: drawOverview },
  ];
}

const part = (state) => state.bench?.editor.item ?? null;
const hidden = (state) => part(state)?.arm === "blind" && state.bench.mode === "annotate";

const SALIENCY = {
  id: "saliency",
  label: "Saliency",
  note: () => `0 to ${MOST_SCORE}`,
  height: 24,
  present: (state) => Boolean(part(state)?.saliency?.length),
  waits: () => false,
  draw: drawSaliency,
  says: saySaliency,
};

const ORIGINAL = {
  id: "original",
  label: "Original",
  note: (state) => (hidden(state) ? "hidden" : (part(state)?.original?.refused ? "none" : "locked")),
  height: 26,
  waits: () => true,
  place: placeOriginal,
  says: (state, time_s) => saySpan("Original", hidden(state) ? [] : part(state)?.original?.moments, time_s),
};

const MODEL = {
  id: "model",
  label: "Model",
  note: modelNote,
  height: 30,
  waits: () => true,
  place: placeModel,
  says: sayModel,
};

const OTHERS = {
  id: "others",
  label: "Others",
  height: 24,
  present: (state) => Boolean(part(state)?.others?.length),
  waits: () => true,
  place: placeOthers,
  says: sayOthers,
};

const MINE = {
  id: "mine",
  label: "Mine",
  note: (state) => mineNote(state),
  height: 44,
  edits: true,
  waits: () => true,
  draw: drawGrid,
  place: placeMine,
  says: (state, time_s) => saySpan("Mine", state.bench?.editor.moments, time_s),
};

const HANDLES = {
  id: "handles",
  label: "",
  height: 46,
  edits: true,
  present: (state) => Boolean(state.bench?.touch),
  waits: () => false,
  place: placeHandles,
  says: () => null,
};

/** Reuse a layer's children by key; those that are left over go. */
function keyed(layer, list, key, make, show) {
  const known = new Map([...layer.children].map((node) => [node.dataset.key, node]));
  list.forEach((entry, idx) => {
    const name = String(key(entry, idx));
    const node = known.get(name) ?? make(entry, idx);
    node.dataset.key = name;
    known.delete(name);
    if (layer.children[idx] !== node) layer.insertBefore(node, layer.children[idx] ?? null);
    show(node, entry, idx);
  });
  for (const node of known.values()) node.remove();
}

/** Place a box between two times, cut to the view. Gives its width, or null when it is out of sight. */
function box(node, view, start_ms, end_ms) {
  const left = Math.max(-14, view.x(start_ms / 1000));
  const right = Math.min(view.width + 14, view.x(end_ms / 1000));
  const out = right <= 0 || left >= view.width;
  if (node.hidden !== out) node.hidden = out;
  if (out) return null;
  const width = Math.max(2, right - left);
  style(node, "transform", `translateX(${left.toFixed(2)}px)`);
  style(node, "width", `${width.toFixed(2)}px`);
  return width;
}

function style(node, name, value) {
  if (node.style[name] !== value) node.style[name] = value;
}

function attr(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

const wordsOf = (text) => [{ words: text }];

function placeOriginal(layer, state) {
  const item = part(state);
  const spans = item?.original?.moments ?? [];
  const list = !item ? [] : hidden(state) ? wordsOf("Hidden until you submit: your view comes first") : spans;
  const shown = list.length ? list : item ? wordsOf("No matching moment") : [];
  attr(layer, "role", "img");
  attr(layer, "aria-label", hidden(state) ? "Original: hidden until you submit" : namesOf("Original moments", spans));
  keyed(layer, shown, (entry, idx) => (entry.words ? "words" : idx), (entry) => spanNode("tl-first", entry), showSpan(state));
}

function namesOf(title, spans) {
  const times = spans.map((s) => `${secondsText(s.start_ms / 1000)} to ${secondsText(s.end_ms / 1000)} seconds`);
  return `${title}: ${times.join("; ") || "none"}`;
}

function spanNode(className, entry) {
  if (entry.words) return el("span", { className: "tl-lane-text" });
  return el("div", { className }, el("span", { className: "tl-tag" }));
}

function showSpan(state) {
  return (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const width = box(node, state.view, entry.start_ms, entry.end_ms);
    if (width !== null) setText(node.lastChild, width >= 60 ? `${idx + 1} · ${length(entry)}` : "");
    return undefined;
  };
}

const length = ({ start_ms, end_ms }) => `${secondsText((end_ms - start_ms) / 1000)} s`;

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
  const { editor } = state.bench ?? {};
  const words = modelWords(state);
  const list = words ? wordsOf(words) : (part(state)?.model?.moments ?? []);
  const picked = editor?.selection.lane === "model" ? editor.selection.id : null;
  attr(layer, "role", "group");
  attr(layer, "aria-label", words ? `Model: ${words}` : "The model’s moments");
  keyed(layer, list, (entry, idx) => (entry.words ? "words" : idx), ghostNode, (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const rejected = editor.doc.rejected.includes(idx);
    const width = box(node, state.view, entry.start_ms, entry.end_ms);
    node.classList.toggle("tl-rejected", rejected);
    node.classList.toggle("tl-selected", picked === idx);
    attr(node, "tabindex", idx === (picked ?? 0) ? 0 : -1);
    attr(node, "aria-label", spokenGhost(entry, idx, list.length, rejected));
    style(node.firstChild, "opacity", String(0.25 + 0.65 * (entry.confidence ?? 0.5)));
    if (width !== null) setText(node.lastChild, ghostTag(entry, width));
    return undefined;
  });
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
  const sure = entry.confidence === null || entry.confidence === undefined ? "" : `, confidence ${percent(entry.confidence)}`;
  const times = `${secondsText(entry.start_ms / 1000)} to ${secondsText(entry.end_ms / 1000)} seconds`;
  return `Model moment ${idx + 1} of ${count}, ${times}${sure}${rejected ? ", rejected" : ""}. Enter takes it, X rejects it`;
}

/** One thin row per person; their names are in the tip and the list beside the picture. */
function placeOthers(layer, state) {
  const others = part(state)?.others ?? [];
  const row = 100 / Math.max(1, others.length);
  const list = others.flatMap((other, idx) => other.moments.map((moment) => ({ ...moment, other: idx })));
  keyed(layer, list, (entry, idx) => idx, () => el("div", { className: "tl-other" }), (node, entry) => {
    box(node, state.view, entry.start_ms, entry.end_ms);
    style(node, "top", `calc(${entry.other * row}% + 2px)`);
    style(node, "height", `calc(${row}% - 4px)`);
  });
}

function sayOthers(state, time_s, share) {
  const others = part(state)?.others ?? [];
  const other = others[Math.min(others.length - 1, Math.floor(share * others.length))];
  return other ? [other.name, ...(saySpan(other.name, other.moments, time_s) ?? ["nothing here"]).slice(0, 1)] : null;
}

function mineNote({ bench }) {
  const { editor } = bench ?? {};
  if (!editor?.item) return "";
  if (editor.doc.verdict !== "moments") return editor.doc.verdict === "no-moment" ? "no moment" : "cannot judge";
  return String(editor.moments.length);
}

/** Your moments: a group each, with an edge at either side that is a slider. */
function placeMine(layer, state) {
  const { bench } = state;
  if (!bench?.editor.item) return;
  const { editor } = bench;
  const { moments, selection } = editor;
  attr(layer, "role", "group");
  attr(layer, "aria-label", `Your moments for: ${bench.queryText}`);
  const words = mineWords(editor);
  const list = words ? wordsOf(words) : moments;
  const stop = moments.find((m) => m.id === selection.id)?.id ?? moments[0]?.id;
  keyed(layer, list, (entry) => entry.id ?? "words", ownNode, (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const width = box(node, state.view, entry.start_ms, entry.end_ms);
    const chosen = selection.lane === "mine" && entry.id === selection.id;
    node.classList.toggle("tl-selected", chosen);
    if (width !== null) setText(node.children[1], width >= 70 ? `${idx + 1} · ${length(entry)}` : width >= 22 ? `${idx + 1}` : "");
    if (!bench.dragging) attr(node, "aria-label", spokenOwn(entry, idx, moments.length));
    for (const edge of ["start", "end"]) {
      const slider = node.querySelector(`[data-edge=${edge}]`);
      const active = chosen && selection.edge === edge;
      slider.classList.toggle("tl-active", active);
      attr(slider, "data-source", entry[`${edge}_source`]);
      attr(slider, "tabindex", entry.id === stop && edge === (selection.edge ?? "start") ? 0 : -1);
      placeDoubt(slider, entry[`${edge}_uncertainty_ms`], state.view);
      if (!bench.dragging) speakEdge(slider, moments, idx, edge, bench);
    }
    return undefined;
  });
}

function mineWords({ doc, moments }) {
  if (doc.verdict === "no-moment") return `No matching moment${doc.reason ? ` · ${doc.reason}` : ""}`;
  if (doc.verdict === "cannot-judge") return `Cannot judge${doc.reason ? ` · ${doc.reason}` : ""}`;
  return moments.length ? "" : "Drag here, or press N, for a moment · 0 for no matching moment";
}

function ownNode(entry) {
  if (entry.words) return el("span", { className: "tl-lane-text" });
  const edge = (name) =>
    el("div", { className: `tl-edge tl-edge-${name}`, attrs: { "data-edge": name, role: "slider" } }, el("i"));
  return el(
    "div",
    { className: "tl-own", attrs: { role: "group" } },
    el("div", { className: "tl-own-fill" }),
    el("span", { className: "tl-tag" }),
    edge("start"),
    edge("end"),
  );
}

/** The half width of a gradual edge, drawn to scale. */
function placeDoubt(slider, uncertainty_ms, view) {
  const px = uncertainty_ms === null ? 0 : (uncertainty_ms / 1000 / view.span_s) * view.width;
  slider.style.setProperty("--tl-doubt", `${px.toFixed(1)}px`);
}

function spokenOwn(moment, idx, count) {
  const edited = [moment.start_source, moment.end_source].some((s) => s === "hand" || s === "snap") ? ", edited" : "";
  const times = `${secondsText(moment.start_ms / 1000)} to ${secondsText(moment.end_ms / 1000)} seconds`;
  return `Moment ${idx + 1} of ${count}, ${times}${edited}`;
}

function speakEdge(slider, moments, idx, edge, { editor, snaps, videoId }) {
  const [least, most] = edgeLimits(moments, idx, edge, editor.clock);
  const ms = moments[idx][`${edge}_ms`];
  attr(slider, "aria-label", `${edge === "start" ? "Start" : "End"} of moment ${idx + 1}`);
  attr(slider, "aria-valuemin", secondsText(least / 1000, 2));
  attr(slider, "aria-valuemax", secondsText(most / 1000, 2));
  attr(slider, "aria-valuenow", secondsText(ms / 1000, 2));
  attr(slider, "aria-valuetext", spokenEdge(moments[idx], edge, editor.clock, snaps));
  attr(slider, "aria-controls", videoId);
}

/** "24.30 seconds, frame 729, snapped to shot cut" */
export function spokenEdge(moment, edge, frames, snaps) {
  const ms = moment[`${edge}_ms`];
  const words = [`${secondsText(ms / 1000, 2)} seconds`, `frame ${frames.frame(ms)}`];
  const doubt = moment[`${edge}_uncertainty_ms`];
  words.push(originWords(moment, edge, snaps));
  if (doubt !== null) words.push(`uncertain by ${doubt / 1000} seconds`);
  return words.join(", ");
}

/** Where an edge came from: "snapped to shot cut", "the model’s", "by hand". */
export function originWords(moment, edge, snaps) {
  const source = moment[`${edge}_source`];
  if (source !== "snap") return { original: "as in the original", model: "the model’s" }[source] ?? SOURCES[source];
  const target = standingAt(moment[`${edge}_ms`], snaps.filter((s) => s.kind === "shot" || s.kind === "grid"));
  return target ? `snapped to ${snapWords(target)}` : "snapped";
}

/** Finger-sized handles below the selected moment: start to the left of its edge, end to the right. */
function placeHandles(layer, state) {
  const { bench, view } = state;
  const moment = bench?.editor.selected;
  const list = moment && bench.touch ? ["start", "end"] : [];
  keyed(layer, list, (edge) => edge, (edge) => el("div", { className: "tl-handle", attrs: { "data-edge": edge, "aria-hidden": "true" }, text: edge === "start" ? "⇤" : "⇥" }), (node, edge) => {
    const x = view.x(moment[`${edge}_ms`] / 1000) - (edge === "start" ? 44 : 0);
    node.hidden = x < -44 || x > view.width;
    style(node, "transform", `translateX(${Math.min(view.width - 44, Math.max(0, x)).toFixed(1)}px)`);
  });
}

function saySpan(title, spans, time_s) {
  const idx = (spans ?? []).findIndex((s) => time_s * 1000 >= s.start_ms && time_s * 1000 < s.end_ms);
  if (idx < 0) return null;
  const found = spans[idx];
  return [`${title} ${idx + 1}: ${span({ start_s: found.start_ms / 1000, end_s: found.end_ms / 1000 })}`, length(found)];
}

function sayModel(state, time_s) {
  if (modelWords(state)) return [modelWords(state)];
  const item = part(state);
  const lines = saySpan("Model", item?.model?.moments, time_s);
  return lines && [...lines, "click to select · Enter takes it · X rejects it"];
}

function saySaliency(state, time_s) {
  const found = part(state)?.saliency.find(([start, end]) => time_s * 1000 >= start && time_s * 1000 < end);
  return [clock(time_s), found ? `saliency ${secondsText(found[2])} of ${MOST_SCORE}` : "no saliency scores here"];
}

function drawSaliency({ context, height }, state, colours) {
  const { view } = state;
  context.fillStyle = colours.bar;
  for (const [start_ms, end_ms, score] of part(state)?.saliency ?? []) {
    const left = view.x(start_ms / 1000);
    const bar = Math.max(1, (Math.min(MOST_SCORE, score) / MOST_SCORE) * (height - 4));
    context.fillRect(left, height - bar, Math.max(1, view.x(end_ms / 1000) - left - 1), bar);
  }
}

/** The dataset's grid while there is room for it, and shot changes as short ticks from above. */
function drawGrid({ context, width, height }, state, colours) {
  const item = part(state);
  if (!item) return;
  const { view } = state;
  const step = item.grid_ms ? (item.grid_ms / 1000 / view.span_s) * view.width : 0;
  context.fillStyle = colours.line;
  if (step >= LEAST_GRID_PX) {
    const first = Math.max(0, Math.ceil((view.start_s * 1000) / item.grid_ms));
    for (let k = first; view.x((k * item.grid_ms) / 1000) <= width; k += 1)
      context.fillRect(Math.round(view.x((k * item.grid_ms) / 1000)), 0, 1, height);
  }
  context.fillStyle = colours.soft;
  for (const ms of item.shots_ms ?? []) {
    const x = Math.round(view.x(ms / 1000));
    context.fillRect(x, 0, 1, 6);
    context.fillRect(x - 2, 0, 5, 2);
  }
}

function drawOverview({ context, width, height }, state, colours) {
  const { view, duration_s } = state;
  const scale = width / (duration_s * 1000);
  context.fillStyle = colours.line;
  context.fillRect(0, height / 2 - 1, width, 2);
  context.fillStyle = colours.accent;
  for (const { start_ms, end_ms } of state.bench?.editor.item ? state.bench.editor.moments : [])
    context.fillRect(start_ms * scale, height / 2 - 4, Math.max(2, (end_ms - start_ms) * scale), 8);
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.strokeRect(view.start_s * scale * 1000 + 1, 2, Math.max(6, view.span_s * scale * 1000 - 2), height - 4);
}
