/** One's own moments: solid, a group each, with a slider at either edge; finger-sized handles below the selected one. */

import { el, setText } from "./dom.js";
import { clock, plural, secondsText } from "./format.js";
import { attr, box, keyed, length, part, saySpan, style, wordsOf } from "./lane_parts.js";
import { lostEdges, sayLost } from "./lost_edges.js";
import { edgeLimits } from "./moments.js";
import { snapWords, standingAt } from "./snapping.js";

const LEAST_GRID_PX = 8;
const SOURCES = { original: "as in the original", model: "the model’s", hand: "by hand" };

export const MINE = {
  id: "mine",
  label: "Mine",
  note: (state) => mineNote(state),
  height: 44,
  edits: true,
  waits: () => true,
  draw: drawGrid,
  place: placeMine,
  says: sayMine,
};

export const HANDLES = {
  id: "handles",
  label: "",
  height: 46,
  edits: true,
  present: (state) => Boolean(state.editorView?.touch),
  waits: () => false,
  place: placeHandles,
  says: () => null,
};

function mineNote({ editorView }) {
  const { editor } = editorView ?? {};
  if (!editor?.item) return "";
  if (editor.doc.verdict !== "moments")
    return editor.doc.verdict === "no-moment" ? "no moment" : "cannot judge";
  return String(editor.moments.length);
}

/** Your moments: a group each, with an edge at either side that is a slider. */
function placeMine(layer, state) {
  const { editorView } = state;
  if (!editorView) return;
  const { editor } = editorView;
  const { moments, selection } = editor;
  attr(layer, "role", "group");
  attr(layer, "aria-label", `Your moments for: ${editorView.queryText}`);
  const words = mineWords(editor);
  const list = words ? wordsOf(words) : [...moments, ...lostEdges(editor)]; // without an item there is neither
  const stop = moments.find((m) => m.id === selection.id)?.id ?? moments[0]?.id;
  keyed(
    layer,
    list,
    (entry) => entry.id ?? entry.lost ?? "words",
    ownNode,
    (node, entry, idx) => {
      if (entry.words) return setText(node, entry.words);
      if (entry.lost) return style(node, "transform", `translateX(${state.viewport.x(entry.ms / 1000).toFixed(2)}px)`);
      const width = box(node, state.viewport, entry.start_ms, entry.end_ms);
      const chosen = selection.lane === "mine" && entry.id === selection.id;
      node.classList.toggle("tl-selected", chosen);
      if (width !== null)
        setText(
          node.children[1],
          width >= 70 ? `${idx + 1} · ${length(entry)}` : width >= 22 ? `${idx + 1}` : "",
        );
      if (!editorView.dragging) attr(node, "aria-label", spokenOwn(entry, idx, moments.length));
      for (const edge of ["start", "end"]) {
        const slider = node.querySelector(`[data-edge=${edge}]`);
        const active = chosen && selection.edge === edge;
        slider.classList.toggle("tl-active", active);
        attr(slider, "data-source", entry[`${edge}_source`]);
        attr(slider, "tabindex", entry.id === stop && edge === (selection.edge ?? "start") ? 0 : -1);
        placeDoubt(slider, entry[`${edge}_uncertainty_ms`], state.viewport);
        if (!editorView.dragging) speakEdge(slider, moments, idx, edge, editorView);
      }
      return undefined;
    },
  );
}

function mineWords({ item, doc, moments }) {
  if (!item) return "";
  if (doc.verdict === "no-moment") return `No matching moment${doc.reason ? ` · ${doc.reason}` : ""}`;
  if (doc.verdict === "cannot-judge") return `Cannot judge${doc.reason ? ` · ${doc.reason}` : ""}`;
  return moments.length ? "" : "Drag here, or press N, for a moment · 0 for no matching moment";
}

function ownNode(entry) {
  if (entry.words) return el("span", { className: "tl-lane-text" });
  if (entry.lost)
    return el("i", { className: "tl-lost", attrs: { "data-source": entry.source, "aria-hidden": "true" } });
  const edge = (name) =>
    el(
      "div",
      { className: `tl-edge tl-edge-${name}`, attrs: { "data-edge": name, role: "slider" } },
      el("i"),
    );
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
function placeDoubt(slider, uncertainty_ms, viewport) {
  const px = uncertainty_ms === null ? 0 : (uncertainty_ms / 1000 / viewport.span_s) * viewport.width;
  slider.style.setProperty("--tl-doubt", `${px.toFixed(1)}px`);
}

function spokenOwn(moment, idx, count) {
  const edited = [moment.start_source, moment.end_source].some((s) => s === "hand" || s === "snap")
    ? ", edited"
    : "";
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
  if (doubt !== null) words.push(`uncertain by ${plural(doubt / 1000, "second")}`);
  return words.join(", ");
}

/** Where an edge came from: "snapped to shot cut", "the model’s", "by hand". */
export function originWords(moment, edge, snaps) {
  const source = moment[`${edge}_source`];
  if (source !== "snap") return SOURCES[source];
  const target = standingAt(
    moment[`${edge}_ms`],
    snaps.filter(({ kind }) => kind === "shot" || kind === "grid" || kind === "other"),
  );
  return target ? `snapped to ${snapWords(target)}` : "snapped";
}

function sayMine({ editorView, viewport }, time_s) {
  const { clock: frames, moments } = editorView.editor;
  const here = `${clock(time_s)} · frame ${Math.min(frames.count - 1, Math.floor(time_s * frames.fps + 1e-6))}`;
  return [...(saySpan("Mine", moments, time_s) ?? []), ...sayLost(editorView.editor, viewport, time_s), here];
}

/** Finger-sized handles below the selected moment: start to the left of its edge, end to the right. */
function placeHandles(layer, state) {
  const { editorView, viewport } = state;
  const moment = editorView?.editor.selected;
  const list = moment && editorView.touch ? ["start", "end"] : [];
  keyed(
    layer,
    list,
    (edge) => edge,
    (edge) =>
      el("div", {
        className: "tl-handle",
        attrs: { "data-edge": edge, "aria-hidden": "true" },
        text: edge === "start" ? "⇤" : "⇥",
      }),
    (node, edge) => {
      const x = viewport.x(moment[`${edge}_ms`] / 1000) - (edge === "start" ? 44 : 0);
      node.hidden = x < -44 || x > viewport.width;
      style(node, "transform", `translateX(${Math.min(viewport.width - 44, Math.max(0, x)).toFixed(1)}px)`);
    },
  );
}

/** The dataset's grid while there is room for it, and shot changes as short ticks from above. */
function drawGrid({ context, width, height }, state, colours) {
  const item = part(state);
  if (!item) return;
  const { viewport } = state;
  const step = item.grid_ms ? (item.grid_ms / 1000 / viewport.span_s) * viewport.width : 0;
  context.fillStyle = colours.line;
  if (step >= LEAST_GRID_PX) {
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
