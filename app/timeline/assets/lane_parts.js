/** What the lanes of moments share: nodes kept by key, boxes on the time axis, and words for spans. */

import { el, setText } from "./dom.js";
import { secondsText, span } from "./format.js";

export const part = (state) => state.editorView?.editor.item ?? null;

export const hidden = (state) => part(state)?.arm === "blind" && state.editorView.mode === "annotate";

export const wordsOf = (text) => [{ words: text }];

/** Reuse a layer's children by key; those that are left over go. */
export function keyed(layer, list, key, make, show) {
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
export function box(node, viewport, start_ms, end_ms) {
  const left = Math.max(-14, viewport.x(start_ms / 1000));
  const right = Math.min(viewport.width + 14, viewport.x(end_ms / 1000));
  const out = right <= 0 || left >= viewport.width;
  if (node.hidden !== out) node.hidden = out;
  if (out) return null;
  const width = Math.max(2, right - left);
  style(node, "transform", `translateX(${left.toFixed(2)}px)`);
  style(node, "width", `${width.toFixed(2)}px`);
  return width;
}

export function style(node, name, value) {
  if (node.style[name] !== value) node.style[name] = value;
}

export function attr(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export const length = ({ start_ms, end_ms }) => `${secondsText((end_ms - start_ms) / 1000)} s`;

export function namesOf(title, spans) {
  const times = spans.map(
    (s) => `${secondsText(s.start_ms / 1000)} to ${secondsText(s.end_ms / 1000)} seconds`,
  );
  return `${title}: ${times.join("; ") || "none"}`;
}

export function spanNode(className, entry) {
  if (entry.words) return el("span", { className: "tl-lane-text" });
  return el("div", { className }, el("span", { className: "tl-tag" }));
}

export function showSpan(state) {
  return (node, entry, idx) => {
    if (entry.words) return setText(node, entry.words);
    const width = box(node, state.viewport, entry.start_ms, entry.end_ms);
    if (width !== null) setText(node.lastChild, width >= 60 ? `${idx + 1} · ${length(entry)}` : "");
    return undefined;
  };
}

export function saySpan(title, spans, time_s) {
  const idx = (spans ?? []).findIndex((s) => time_s * 1000 >= s.start_ms && time_s * 1000 < s.end_ms);
  if (idx < 0) return null;
  const found = spans[idx];
  return [
    `${title} ${idx + 1}: ${span({ start_s: found.start_ms / 1000, end_s: found.end_ms / 1000 })}`,
    length(found),
  ];
}
