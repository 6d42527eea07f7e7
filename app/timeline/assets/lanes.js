/**
 * The lanes, top to bottom, on one time axis. A lane has a name, a height, `draw` for its canvas, `place` for its DOM
 * parts, and the lines that it shows about a point (`hover`). `isWaiting` says whether a loading value will fill it.
 */

import { el, setText } from "./dom.js";
import { clearedSurface, dashedLine, hatch, stepBars, stepLine } from "./draw.js";
import { confidenceText, percent, plural, relevanceText, secondsText, span, timeText } from "./format.js";
import { ticks } from "./viewport.js";

const RANKED_ROWS = 5;
const COMPARED_HEIGHT = 66;
const LOOKS_HEIGHT = 30;

export const LANES = [
  {
    id: "ruler",
    label: "Time",
    height: 26,
    isWaiting: (state) => !state.hasAxis,
    draw: drawRuler,
    hover: () => null,
  },
  {
    id: "strip",
    label: "Film strip",
    height: 48,
    isWaiting: ({ value }) => !value.strip,
    draw: drawStrip,
    hover: () => null,
  },
  {
    id: "moments",
    label: "Predicted",
    note: momentsNote,
    name: ({ value }) => value.lanes?.[0]?.name,
    height: 40,
    comparedHeight: COMPARED_HEIGHT,
    isWaiting: () => true,
    place: placeMoments,
    hover: hoverMoment,
  },
  comparedLane(1),
  comparedLane(2),
  { id: "ranked", label: "Alternatives", height: 34, isWaiting: () => true, draw: drawRanked, hover: hoverRanked },
  {
    id: "looks",
    label: "Looked at",
    note: looksNote,
    height: LOOKS_HEIGHT,
    isShown: ({ value }, isShown) => (isUnknownClip(value) ? isShown : Boolean(value.looks)),
    isWaiting: () => true,
    draw: drawLooks,
    hover: hoverLook,
  },
  {
    id: "tokens",
    label: "Tokens",
    note: tokensNote,
    height: 68,
    isWaiting: ({ value }) => !value.frames,
    draw: drawTokens,
    hover: hoverFrame,
  },
  {
    id: "variation",
    label: "Variation",
    note: ({ value }) => (value.frames ? "0 to 1" : ""),
    height: 44,
    isWaiting: ({ value }) => !value.frames,
    draw: drawVariation,
    hover: hoverFrame,
  },
  { id: "minimap", label: "Overview", height: 20, isWaiting: () => false, draw: drawMinimap, hover: () => null },
];

/** The lanes' DOM: a label and a track each, and what is needed to redraw them. */
export function buildLanes(lanes = LANES) {
  return lanes.map((lane) => {
    const canvas = lane.draw ? el("canvas", { className: "tl-canvas" }) : null;
    const layer = lane.place ? el("div", { className: "tl-layer" }) : null;
    const note = el("span", { className: "tl-note" });
    const name = el("span", { className: "tl-name", text: lane.label });
    const label = el("div", { className: "tl-label" }, name, note);
    const track = el("div", { className: "tl-track", attrs: { "data-lane": lane.id } }, canvas, layer);
    track.style.setProperty("--tl-height", `${lane.height}px`); // the stylesheet scales it
    const row = el("div", { className: "tl-lane", attrs: { "data-row": lane.id } }, label, track);
    row.hidden = lane.isShown !== undefined;
    return { ...lane, canvas, layer, nameNode: name, noteNode: note, track, row };
  });
}

export function drawLane(lane, state, colours, strip) {
  if (lane.isShown) {
    lane.row.hidden = !lane.isShown(state, !lane.row.hidden);
    if (lane.row.hidden) return;
  }
  setText(lane.noteNode, lane.note?.(state) ?? "");
  if (lane.name) {
    setText(lane.nameNode, lane.name(state) ?? lane.label);
    lane.nameNode.title = lane.nameNode.textContent;
  }
  if (lane.comparedHeight) {
    lane.track.style.height = `${state.value.lanes?.length ? lane.comparedHeight : lane.height}px`;
  }
  lane.track.dataset.waiting = String(state.value.state === "loading" && lane.isWaiting(state));
  lane.place?.(lane.layer, state);
  const surface = lane.canvas && clearedSurface(lane.canvas);
  if (surface && state.hasAxis) lane.draw(surface, state, colours, strip);
}

function drawRuler({ context, height }, { viewport }, colours) {
  const { major_s, minor_s, digits } = ticks(viewport);
  context.fillStyle = colours.line;
  for (const time of minor_s) context.fillRect(Math.round(viewport.x(time)), height - 5, 1, 5);
  context.fillStyle = colours.soft;
  context.font = `11px ${getComputedStyle(context.canvas).fontFamily}`;
  context.textBaseline = "middle";
  for (const time of major_s) {
    const x = Math.round(viewport.x(time));
    const text = timeText(time, digits);
    context.fillRect(x, height - 9, 1, 9);
    if (x + 4 + context.measureText(text).width <= viewport.width) context.fillText(text, x + 4, height / 2 - 2);
  }
}

/** Tiles side by side while they are dense; at their own times, with nothing invented between, once there is room. */
function drawStrip({ context, width, height }, { viewport }, colours, strip) {
  if (!strip.ready) return;
  const tileWidth = Math.max(8, height * strip.aspect);
  const slot_s = (tileWidth / viewport.width) * viewport.span_s;
  const level = strip.levelFor(slot_s);
  strip.beginView();
  if (level === 0) drawCoarseStrip(context, width, height, viewport, strip, tileWidth);
  else
    for (let slot = Math.floor(viewport.start_s / slot_s); slot * slot_s < viewport.end_s; slot += 1)
      strip.drawAt(context, level, (slot + 0.5) * slot_s, viewport.x(slot * slot_s), 0, tileWidth + 0.5, height);
  strip.endView();
}

function drawCoarseStrip(context, width, height, viewport, strip, tileWidth) {
  const times = strip.times_s;
  const usual_s = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : viewport.duration_s;
  if ((usual_s / viewport.span_s) * viewport.width >= tileWidth) {
    times.forEach((time, idx) => {
      const x = viewport.x(time);
      if (x > -tileWidth && x < width) strip.draw(context, idx, x, 0, tileWidth, height);
    });
    return;
  }
  const slot_s = (tileWidth / viewport.width) * viewport.span_s;
  for (let slot = Math.floor(viewport.start_s / slot_s); slot * slot_s < viewport.end_s; slot += 1) {
    const idx = strip.tileAt((slot + 0.5) * slot_s);
    strip.draw(context, idx, viewport.x(slot * slot_s), 0, tileWidth + 0.5, height);
  }
}

/** Another model's answer to the same question. */
function comparedLane(idx) {
  const answer = ({ value }) => value.lanes?.[idx];
  return {
    id: `model-${idx}`,
    label: "Another model",
    name: (state) => answer(state)?.name,
    note: (state) => answer(state) && comparedNote(answer(state)),
    height: COMPARED_HEIGHT,
    isShown: (state) => Boolean(answer(state)),
    isWaiting: () => false,
    place: (layer, state) => answer(state) && placeAnswer(layer, answer(state), state.viewport),
    hover: (state, time_s) => {
      const at = (moment) => time_s >= moment.start_s && time_s < moment.end_s;
      const moment = answer(state)?.moments.find(at);
      if (!moment) return null;
      return [`${answer(state).name}: ${span(moment)}`, `${confidenceText(moment.confidence)} · click to play it`];
    },
  };
}

function comparedNote({ refusal, note }) {
  return [relevanceText(refusal.relevance), note].filter(Boolean).join(", ");
}

/** Whether a model does not know what was asked, which is neither moments nor a refusal. */
export const isUnknown = ({ understood }) => Boolean(understood) && understood.probability < 0.5;

function placeAnswer(layer, answer, viewport) {
  const { moments, refusal } = answer;
  while (layer.children.length > moments.length + 1) layer.lastChild.remove();
  if (!layer.firstChild) layer.append(el("span", { className: "tl-lane-text" }));
  const words = isUnknown(answer) ? answer.understood.sentence : refusal.refused ? "No relevant moment" : "";
  setText(layer.firstChild, words);
  moments.forEach((moment, idx) => {
    const node = layer.children[idx + 1] ?? layer.appendChild(momentNode());
    placeMoment(node, moment, idx, viewport, nextStart(moments, moment));
  });
}

function momentsNote({ value, refused, unknown }) {
  if (value.lanes?.length) return comparedNote(value.lanes[0]);
  if (unknown) return "not known";
  if (refused) return "none";
  return value.state === "ready" ? String(value.moments.length) : "";
}

function placeMoments(layer, state) {
  const { value, viewport, selected_idx, refused, unknown } = state;
  while (layer.children.length > value.moments.length + 1) layer.lastChild.remove();
  if (!layer.firstChild) layer.append(el("span", { className: "tl-lane-text" }));
  const note = refused
    ? ["No relevant moment", relevanceText(value.refusal.relevance)].filter(Boolean).join(" · ")
    : "";
  setText(layer.firstChild, unknown ? value.understood.sentence : note);
  value.moments.forEach((moment, idx) => {
    const node = layer.children[idx + 1] ?? layer.appendChild(momentNode());
    placeMoment(node, moment, idx, viewport, nextStart(value.moments, moment));
    node.classList.toggle("tl-selected", idx === selected_idx);
    node.classList.toggle("tl-running", state.playingRange?.idx === idx && state.playing);
  });
}

function momentNode() {
  return el(
    "div",
    { className: "tl-moment" },
    el("div", { className: "tl-fill" }),
    el("span", { className: "tl-tag" }),
  );
}

function nextStart(moments, moment) {
  return Math.min(
    Infinity,
    ...moments.filter((other) => other.start_s >= moment.end_s).map((other) => other.start_s),
  );
}

/** The block is cut to the view so that its tag stays readable; a tag that has no room inside stands after it. */
function placeMoment(node, moment, idx, viewport, next_s) {
  const left = Math.max(-3, viewport.x(moment.start_s));
  const right = Math.min(viewport.width + 3, viewport.x(moment.end_s));
  node.hidden = right <= 0 || left >= viewport.width;
  if (node.hidden) return;
  const width = Math.max(3, right - left);
  const room = Math.min(viewport.x(next_s), viewport.width) - right;
  node.style.transform = `translateX(${left}px)`;
  node.style.width = `${width}px`;
  node.firstChild.style.opacity = String(0.2 + 0.7 * (moment.confidence ?? 0.5));
  const form = tagForm(width, room);
  const words = moment.confidence === null ? [idx + 1] : [idx + 1, percent(moment.confidence)];
  setText(node.lastChild, words.join(form === "stacked" ? "\n" : " · "));
  for (const name of ["after", "stacked", "none"]) node.classList.toggle(`tl-tag-${name}`, form === name);
}

/** Number and confidence in one line, in two, after the block, or (no room at all) only in the list and on hover. */
function tagForm(width, room) {
  if (width >= 66) return "inside";
  if (room >= 66) return "after";
  return width >= 36 ? "stacked" : "none";
}

function hoverMoment(state, time_s) {
  const idx = state.momentAt(time_s);
  if (idx < 0) return null;
  const moment = state.value.moments[idx];
  return [`Moment ${idx + 1}: ${span(moment)}`, `${confidenceText(moment.confidence)} · click to play it`];
}

function drawRanked({ context, height }, { value, viewport }, colours) {
  const row = height / RANKED_ROWS;
  value.ranked.slice(0, RANKED_ROWS).forEach((window, idx) => {
    const left = viewport.x(window.start_s);
    const width = Math.max(2, viewport.x(window.end_s) - left);
    context.globalAlpha = 0.35 + 0.65 * window.score;
    context.fillStyle = colours.ghost;
    context.fillRect(left, idx * row + 1, width, row - 2);
    context.globalAlpha = 1;
    context.fillStyle = colours.ink;
    context.fillRect(left, idx * row + 1, 1, row - 2);
    context.fillRect(left + width - 1, idx * row + 1, 1, row - 2);
  });
}

function hoverRanked({ value }, time_s, share) {
  const idx = Math.min(RANKED_ROWS - 1, Math.floor(share * RANKED_ROWS));
  const window = value.ranked[idx];
  if (!window) return null;
  const inside = time_s >= window.start_s && time_s < window.end_s;
  return [
    `Alternative ${idx + 1}: ${span(window)}`,
    `score ${window.score.toFixed(2)}${inside ? "" : " · elsewhere"}`,
  ];
}

/** While a question begins: nothing that depends on the clip comes or goes. */
const isUnknownClip = ({ state, video }) => state === "loading" && !video;

function looksNote({ value: { looks } }) {
  if (!looks?.length) return "";
  const count = looks.filter(({ kind }) => kind === "second").length;
  return count ? plural(count, "second look") : "scanned";
}

/** Above, the windows of the scan, darker where P(relevant) is high; below, the second looks, filled where a moment was
    named. */
function drawLooks({ context, height }, { value, viewport }, colours) {
  const middle = Math.round(height * 0.42);
  for (const look of value.looks ?? []) {
    const left = viewport.x(look.start_s);
    const width = Math.max(2, viewport.x(look.end_s) - left - 1);
    if (look.kind === "scan") {
      context.fillStyle = colours.bar;
      context.globalAlpha = 0.18 + 0.62 * (look.relevance ?? (look.moments ? 1 : 0));
      context.fillRect(left, 4, width, middle - 4);
      context.globalAlpha = 1;
      continue;
    }
    context.strokeStyle = colours.accent;
    context.lineWidth = 1;
    if (look.moments) {
      context.fillStyle = colours.accent;
      context.fillRect(left, middle + 3, width, height - middle - 7);
    } else context.strokeRect(left + 0.5, middle + 3.5, Math.max(1, width - 1), height - middle - 8);
  }
}

/** The look under the pointer: a second look stands before the scan's window. */
function hoverLook({ value }, time_s) {
  const looks = (value.looks ?? []).filter(({ start_s, end_s }) => time_s >= start_s && time_s < end_s);
  const look = looks.findLast(({ kind }) => kind === "second") ?? looks[0];
  if (!look) return null;
  const pass = look.kind === "second" ? "Second look" : "Scanned";
  return [
    `${pass}: ${span(look)}`,
    `${plural(look.frames, "frame")}, one every ${look.step_s} s`,
    [relevanceText(look.relevance), look.moments ? plural(look.moments, "moment") : "no moment"]
      .filter(Boolean)
      .join(" · "),
  ];
}

/** Whether every frame was given the same: then bars would show nothing. */
const isEven = ({ tokens }) => tokens.length > 0 && Math.min(...tokens) === Math.max(...tokens);

function drawText({ context, height }, text, colours) {
  context.fillStyle = colours.soft;
  context.font = `12px ${getComputedStyle(context.canvas).fontFamily}`;
  context.textBaseline = "middle";
  context.fillText(text, 10, height / 2);
}

export function tokensNote({ value: { frames } }) {
  if (frames && isEven(frames)) return `${frames.tokens[0]} each`;
  return frames?.tokens.length ? `0 to ${Math.max(...frames.tokens)}` : "";
}

function drawTokens(surface, { value: { frames }, viewport, segments }, colours) {
  if (!frames) return;
  if (isEven(frames)) return drawText(surface, `Every frame was given the same ${plural(frames.tokens[0], "token")}`, colours);
  const most = Math.max(1, frames.uniform_tokens, ...frames.tokens);
  const blank = hatch(surface.context, colours.hatch);
  stepBars(surface, viewport, segments, (idx) => frames.tokens[idx] / most, { fill: colours.bar, blank });
  const y = surface.height - (frames.uniform_tokens / most) * (surface.height - 4);
  dashedLine(surface, y, colours.ink);
  return undefined;
}

function drawVariation(surface, { value: { frames }, viewport, segments }, colours) {
  if (!frames) return;
  const blank = hatch(surface.context, colours.hatch);
  const height = (idx) => Math.min(1, frames.variation[idx]);
  stepLine(surface, viewport, segments, height, { stroke: colours.soft, fill: colours.sunken, blank });
}

function hoverFrame(state, time_s) {
  const part = state.segmentAt(time_s);
  if (part) return frameLines(state.value.frames, part.idx);
  return state.segments.length ? [`${timeText(time_s)}`, "no sampled frame: the model did not look here"] : null;
}

/** Frame index, time, size, tokens, the uniform share. */
export function frameLines(frames, idx) {
  const [height, width] = frames.sizes_px[idx];
  const tokens = frames.tokens[idx];
  const change = Math.round((tokens / frames.uniform_tokens - 1) * 100);
  return [
    `Frame ${idx + 1} of ${frames.times_s.length} at ${secondsText(frames.times_s[idx], 2)} s`,
    `${width} × ${height} px · ${tokens} tokens`,
    `uniform share ${secondsText(frames.uniform_tokens)} (${change >= 0 ? "+" : "−"}${Math.abs(change)} %)`,
    `variation ${frames.variation[idx].toFixed(2)}`,
  ];
}

function drawMinimap(surface, state, colours) {
  drawOverview(surface, state, colours, state.value.moments);
}

/** The whole clip as a line, moments ({ start_s, end_s }) on it, and a frame around what is in view. */
export function drawOverview({ context, width, height }, { viewport, duration_s }, colours, moments) {
  const scale = width / duration_s;
  context.fillStyle = colours.line;
  context.fillRect(0, height / 2 - 1, width, 2);
  context.fillStyle = colours.accent;
  for (const { start_s, end_s } of moments)
    context.fillRect(start_s * scale, height / 2 - 4, Math.max(2, (end_s - start_s) * scale), 8);
  context.strokeStyle = colours.ink;
  context.lineWidth = 2;
  context.strokeRect(viewport.start_s * scale + 1, 2, Math.max(6, viewport.span_s * scale - 2), height - 4);
}
