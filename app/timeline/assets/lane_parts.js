/** What the lanes of moments share: where a span lies on the time axis, and words for it. */

import { el, setStyle } from "./dom.js";
import { secondsText, span, spokenTimes } from "./format.js";

/** The row that is open, or null. */
export const itemOf = (state) => state.view.editor.item;

/** In the blind arm nobody's answer is shown before one's own is submitted. */
export const isBlind = (state) => itemOf(state)?.arm === "blind" && state.view.mode === "annotate";

/** A lane's entries where it has only words to show. */
export const wordsEntry = (text) => [{ words: text }];

/** Place a box between two times, cut to the view. Gives its width, or null when it is out of sight. */
export function placeBox(node, viewport, start_ms, end_ms) {
  const left = Math.max(-14, viewport.x(start_ms / 1000));
  const right = Math.min(viewport.width + 14, viewport.x(end_ms / 1000));
  const isOut = right <= 0 || left >= viewport.width;
  if (node.hidden !== isOut) node.hidden = isOut;
  if (isOut) return null;
  const width = Math.max(2, right - left);
  setStyle(node, "transform", `translateX(${left.toFixed(2)}px)`);
  setStyle(node, "width", `${width.toFixed(2)}px`);
  return width;
}

export const lengthText = ({ start_ms, end_ms }) => `${secondsText((end_ms - start_ms) / 1000)} s`;

export const spokenSpan = ({ start_ms, end_ms }) => spokenTimes(start_ms / 1000, end_ms / 1000);

export const isInside = (time_s) => ({ start_ms, end_ms }) => time_s * 1000 >= start_ms && time_s * 1000 < end_ms;

export const wordsNode = () => el("span", { className: "tl-lane-text" });

/** The hover text of the span at a time: ["Original 1: 0:02.0 – 0:04.0", "2.0 s"], or null beside all of them. */
export function spanHover(title, spans, time_s) {
  const idx = (spans ?? []).findIndex(isInside(time_s));
  if (idx < 0) return null;
  const { start_ms, end_ms } = spans[idx];
  const times = span({ start_s: start_ms / 1000, end_s: end_ms / 1000 });
  return [`${title} ${idx + 1}: ${times}`, lengthText(spans[idx])];
}
