/** The lanes of the workbench, top to bottom: those of the read-only timeline, and the moments. */

import { clock, secondsText } from "./format.js";
import { MODEL, ORIGINAL, OTHERS } from "./reference_lanes.js";
import { part } from "./lane_parts.js";
import { LANES } from "./lanes.js";
import { HANDLES, MINE } from "./own_lane.js";

const MOST_SCORE = 4;

/** Lanes by mode; those without anything to show hide themselves (see `present`). */
export function editLanes(mode) {
  const shared = Object.fromEntries(LANES.map((lane) => [lane.id, lane]));
  return [
    shared.ruler,
    { ...shared.strip, height: 44 },
    { ...shared.tokens, height: 40, present: hasFrames, note: (state) => shared.tokens.note(state) || awaited(state) },
    { ...shared.variation, height: 26, present: hasFrames },
    SALIENCY,
    ORIGINAL,
    MODEL,
    ...(mode === "review" ? OTHERS : []),
    MINE,
    HANDLES,
    { ...shared.minimap, draw: drawOverview },
  ];
}

/** Their room is kept while the proposal is on its way, so that nothing moves under the pointer when it comes. */
const hasFrames = (state) => Boolean(state.value.frames) || awaited(state) !== "";

function awaited(state) {
  const item = part(state);
  const coming = state.editorView?.mode === "annotate" && state.value.video && item && !item.model && item.arm !== "blind";
  return coming ? "not there yet" : "";
}

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

function drawSaliency({ context, height }, state, colours) {
  const { viewport } = state;
  context.fillStyle = colours.bar;
  for (const [start_ms, end_ms, score] of part(state)?.saliency ?? []) {
    const left = viewport.x(start_ms / 1000);
    const bar = Math.max(1, (Math.min(MOST_SCORE, score) / MOST_SCORE) * (height - 4));
    context.fillRect(left, height - bar, Math.max(1, viewport.x(end_ms / 1000) - left - 1), bar);
  }
}

function saySaliency(state, time_s) {
  const found = part(state)?.saliency.find(([start, end]) => time_s * 1000 >= start && time_s * 1000 < end);
  return [
    clock(time_s),
    found ? `saliency ${secondsText(found[2])} of ${MOST_SCORE}` : "no saliency scores here",
  ];
}

function drawOverview({ context, width, height }, state, colours) {
  const { viewport, duration_s } = state;
  const scale = width / (duration_s * 1000);
  context.fillStyle = colours.line;
  context.fillRect(0, height / 2 - 1, width, 2);
  context.fillStyle = colours.accent;
  for (const { start_ms, end_ms } of state.editorView?.editor.item ? state.editorView.editor.moments : [])
    context.fillRect(start_ms * scale, height / 2 - 4, Math.max(2, (end_ms - start_ms) * scale), 8);
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.strokeRect(
    viewport.start_s * scale * 1000 + 1,
    2,
    Math.max(6, viewport.span_s * scale * 1000 - 2),
    height - 4,
  );
}
