/**
 * The lanes of editing. One's own moments are solid, a group each, with a slider at either edge and finger-sized handles
 * below the selected one; the other lanes are those of the read-only timeline and those in reference_lanes.js.
 */

import { el, keyed, setAttr, setStyle, setText } from "./dom.js";
import { plural, secondsText, timeText, VERDICTS } from "./format.js";
import { itemOf, lengthText, placeBox, spanHover, spokenSpan, wordsEntry, wordsNode } from "./lane_parts.js";
import { drawOverview, LANES, tokensNote } from "./lanes.js";
import { counterpart, edgeLimits, EDGES, overlapMs } from "./moments.js";
import { MODEL, ORIGINAL, OTHERS, SALIENCY } from "./reference_lanes.js";
import { snapWords, standingAt } from "./snapping.js";
import { SOUND } from "./sound_lane.js";

const LEAST_GRID_PX = 8;
const TICK_REACH_PX = 6;
const ORIGINS = { original: "as in the original", model: "the model’s", hand: "by hand" };
const RIVALS = { original: "The original’s", model: "The model’s" };

export const MINE = {
  id: "mine",
  label: "Mine",
  note: mineNote,
  height: 44,
  edits: true,
  isWaiting: () => true,
  draw: drawGrid,
  place: placeMine,
  hover: hoverMine,
};

export const HANDLES = {
  id: "handles",
  label: "",
  height: 46,
  edits: true,
  present: (state) => state.view.touch,
  isWaiting: () => false,
  place: placeHandles,
  hover: () => null,
};

/** Lanes by mode, top to bottom; those without anything to show hide themselves (see `present`). */
export function editLanes(mode) {
  const shared = Object.fromEntries(LANES.map((lane) => [lane.id, lane]));
  return [
    shared.ruler,
    { ...shared.strip, height: 44 },
    SOUND,
    { ...shared.tokens, height: 40, present: hasFrames, note: (state) => tokensNote(state) || proposalNote(state) },
    { ...shared.variation, height: 26, present: hasFrames },
    SALIENCY,
    ORIGINAL,
    MODEL,
    ...(mode === "review" ? OTHERS : []),
    MINE,
    HANDLES,
    { ...shared.minimap, draw: drawOwnMinimap },
  ];
}

/** Their room is reserved while the proposal is on its way, so that nothing moves under the pointer when it comes. */
const hasFrames = (state) => Boolean(state.value.frames) || proposalNote(state) !== "";

function proposalNote(state) {
  const item = itemOf(state);
  const isComing = state.view.mode === "annotate" && state.value.video && item && !item.model && !item.model_absence && item.arm !== "blind";
  return isComing ? "not there yet" : "";
}

function drawOwnMinimap(surface, state, colours) {
  const moments = itemOf(state) ? state.view.editor.moments : [];
  const inSeconds = ({ start_ms, end_ms }) => ({ start_s: start_ms / 1000, end_s: end_ms / 1000 });
  drawOverview(surface, state, colours, moments.map(inSeconds));
}

function mineNote({ view: { editor } }) {
  const { item, doc, moments } = editor;
  if (!item) return "";
  return { moments: String(moments.length), "no-moment": "no moment", "cannot-judge": "cannot judge" }[doc.verdict];
}

/**
 * Where an edge of the selected moment would lie if another source had won it: { key, ms, edge, source } of each source
 * that overlaps the moment and says something else. They are ticks in the lane; the blind arm has none.
 */
function rivalEdges({ selected, item }) {
  if (!selected || !item || item.arm === "blind") return [];
  return Object.keys(RIVALS).flatMap((source) => {
    const spans = (item[source]?.moments ?? []).filter((span) => overlapMs(span, selected) > 0);
    return EDGES.flatMap((edge) => {
      const ms = counterpart(selected, spans, edge)?.[`${edge}_ms`] ?? null;
      if (ms === null || ms === selected[`${edge}_ms`]) return [];
      return [{ key: `${source} ${edge}`, ms, edge, source }];
    });
  });
}

/** Your moments: a group each, with an edge at either side that is a slider. */
function placeMine(layer, state) {
  const { view, viewport } = state;
  const { editor } = view;
  const { moments, selection } = editor;
  setAttr(layer, "role", "group");
  setAttr(layer, "aria-label", `Your moments for: ${view.queryText}`);
  const words = mineWords(editor);
  const entries = words ? wordsEntry(words) : [...moments, ...rivalEdges(editor)];
  const tabStop = moments.find((m) => m.id === selection.id)?.id ?? moments[0]?.id;

  const update = (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    if (entry.key) return setStyle(node, "transform", `translateX(${viewport.x(entry.ms / 1000).toFixed(2)}px)`);
    const width = placeBox(node, viewport, entry.start_ms, entry.end_ms);
    const isSelected = selection.lane === "mine" && entry.id === selection.id;
    node.classList.toggle("tl-selected", isSelected);
    const tag = width >= 70 ? `${idx + 1} · ${lengthText(entry)}` : width >= 22 ? `${idx + 1}` : "";
    if (width !== null) setText(node.children[1], tag);
    if (!view.dragging) setAttr(node, "aria-label", spokenOwn(entry, idx, moments.length));
    for (const edge of EDGES) {
      const slider = node.querySelector(`[data-edge=${edge}]`);
      slider.classList.toggle("tl-active", isSelected && selection.edge === edge);
      setAttr(slider, "data-source", entry[`${edge}_source`]);
      setAttr(slider, "tabindex", entry.id === tabStop && edge === (selection.edge ?? "start") ? 0 : -1);
      // The half width of a gradual edge, drawn to scale.
      const doubt_px = ((entry[`${edge}_uncertainty_ms`] ?? 0) / 1000 / viewport.span_s) * viewport.width;
      slider.style.setProperty("--tl-doubt", `${doubt_px.toFixed(1)}px`);
      if (!view.dragging) speakEdge(slider, moments, idx, edge, view);
    }
    return undefined;
  };
  keyed(layer, entries, (entry) => entry.id ?? entry.key ?? "words", ownNode, update);
}

function mineWords({ item, doc, moments }) {
  if (!item) return "";
  if (doc.verdict !== "moments") return [VERDICTS[doc.verdict], doc.reason].filter(Boolean).join(" · ");
  return moments.length ? "" : "Click or drag here, or press N, for a moment · 0 for no matching moment";
}

function ownNode(entry) {
  if (entry.words) return wordsNode();
  if (entry.key)
    return el("i", { className: "tl-lost", attrs: { "data-source": entry.source, "aria-hidden": "true" } });
  const sliders = EDGES.map((edge) =>
    el("div", { className: `tl-edge tl-edge-${edge}`, attrs: { "data-edge": edge, role: "slider" } }, el("i")),
  );
  const [fill, tag] = [el("div", { className: "tl-own-fill" }), el("span", { className: "tl-tag" })];
  return el("div", { className: "tl-own", attrs: { role: "group" } }, fill, tag, ...sliders);
}

function spokenOwn(moment, idx, count) {
  const isEdited = [moment.start_source, moment.end_source].some((source) => source === "hand" || source === "snap");
  return `Moment ${idx + 1} of ${count}, ${spokenSpan(moment)}${isEdited ? ", edited" : ""}`;
}

function speakEdge(slider, moments, idx, edge, { editor, snaps, videoId }) {
  const [least, most] = edgeLimits(moments, idx, edge, editor.clock);
  const ms = moments[idx][`${edge}_ms`];
  setAttr(slider, "aria-label", `${edge === "start" ? "Start" : "End"} of moment ${idx + 1}`);
  setAttr(slider, "aria-valuemin", secondsText(least / 1000, 2));
  setAttr(slider, "aria-valuemax", secondsText(most / 1000, 2));
  setAttr(slider, "aria-valuenow", secondsText(ms / 1000, 2));
  setAttr(slider, "aria-valuetext", spokenEdge(moments[idx], edge, editor.clock, snaps));
  setAttr(slider, "aria-controls", videoId);
}

/** "24.30 seconds, frame 729, snapped to shot cut" */
export function spokenEdge(moment, edge, frames, snaps) {
  const ms = moment[`${edge}_ms`];
  const uncertainty_ms = moment[`${edge}_uncertainty_ms`];
  const words = [`${secondsText(ms / 1000, 2)} seconds`, `frame ${frames.frame(ms)}`, originWords(moment, edge, snaps)];
  if (uncertainty_ms !== null) words.push(`uncertain by ${plural(uncertainty_ms / 1000, "second")}`);
  return words.join(", ");
}

/** Where an edge came from: "snapped to shot cut", "the model’s", "by hand". */
export function originWords(moment, edge, snaps) {
  const source = moment[`${edge}_source`];
  if (source !== "snap") return ORIGINS[source];
  const targets = snaps.filter(({ kind }) => ["shot", "grid", "other"].includes(kind));
  const target = standingAt(moment[`${edge}_ms`], targets);
  return target ? `snapped to ${snapWords(target)}` : "snapped";
}

function hoverMine({ view: { editor }, viewport }, time_s) {
  const { clock: frames, moments } = editor;
  const frame_idx = Math.min(frames.count - 1, Math.floor(time_s * frames.fps + 1e-6));
  const rivals = rivalEdges(editor)
    .filter(({ ms }) => Math.abs(viewport.x(ms / 1000) - viewport.x(time_s)) <= TICK_REACH_PX)
    .map(({ ms, edge, source }) => `${RIVALS[source]} ${edge}: ${timeText(ms / 1000)}`);
  return [...(spanHover("Mine", moments, time_s) ?? []), ...rivals, `${timeText(time_s)} · frame ${frame_idx}`];
}

/** Finger-sized handles below the selected moment: start to the left of its edge, end to the right. */
function placeHandles(layer, { view, viewport }) {
  const moment = view.editor.selected;
  const create = (edge) =>
    el("div", {
      className: "tl-handle",
      attrs: { "data-edge": edge, "aria-hidden": "true" },
      text: edge === "start" ? "⇤" : "⇥",
    });
  const update = (node, edge) => {
    const x = viewport.x(moment[`${edge}_ms`] / 1000) - (edge === "start" ? 44 : 0);
    node.hidden = x < -44 || x > viewport.width;
    setStyle(node, "transform", `translateX(${Math.min(viewport.width - 44, Math.max(0, x)).toFixed(1)}px)`);
  };
  keyed(layer, moment && view.touch ? EDGES : [], (edge) => edge, create, update);
}

/** The dataset's grid while there is room for it, and shot changes as short ticks from above. */
function drawGrid({ context, width, height }, state, colours) {
  const item = itemOf(state);
  if (!item) return;
  const { viewport } = state;
  const step_px = ((item.grid_ms ?? 0) / 1000 / viewport.span_s) * viewport.width;
  context.fillStyle = colours.line;
  if (step_px >= LEAST_GRID_PX) {
    const first = Math.max(0, Math.ceil((viewport.start_s * 1000) / item.grid_ms));
    for (let k = first; viewport.x((k * item.grid_ms) / 1000) <= width; k += 1)
      context.fillRect(Math.round(viewport.x((k * item.grid_ms) / 1000)), 0, 1, height);
  }
  context.fillStyle = colours.soft;
  for (const ms of item.shots_ms ?? []) {
    const x = Math.round(viewport.x(ms / 1000));
    context.fillRect(x, 0, 1, 6);
    context.fillRect(x - 2, 0, 5, 2);
  }
}
