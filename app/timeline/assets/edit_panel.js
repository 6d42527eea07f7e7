/** Beside the picture: the loupe, the active edge with its alternatives, and every moment with its times as numbers. */

import { el, setText } from "./dom.js";
import { secondsText } from "./format.js";
import { buildLoupe, showLoupe } from "./loupe.js";
import { counterpart } from "./moments.js";
import { originWords } from "./own_lane.js";

const MERGE_GAP_MS = 2000;

export function buildPanel(editorView) {
  const loupe = buildLoupe((frame) => editorView.placeEdge(frame));
  const edge = buildEdgeCard(editorView);
  const list = el("ol", { className: "tl-own-list" });
  const add = button("New moment", "N", () => editorView.actions.add());
  const title = el("div", { className: "tl-row" }, el("h3", { text: "Your moments" }), add);
  const slot = el("div", { className: "tl-slot" });
  const node = el(
    "section",
    { className: "tl-aside tl-bench", attrs: { "aria-label": "Your answer" } },
    loupe.node,
    edge.node,
    title,
    list,
    slot,
  );
  return { node, loupe, edge, list, slot };
}

/** A button that names its key. */
export function button(text, keys, run, { label = null, className = "" } = {}) {
  return el(
    "button",
    {
      className: `tl-small ${className}`,
      attrs: { type: "button", "aria-label": label },
      on: { click: run },
    },
    el("span", { text }),
    keys ? el("kbd", { text: keys, attrs: { "aria-hidden": "true" } }) : null,
  );
}

const NUDGES = [
  ["−1 s", "one second earlier", -1, { ms: -1000 }],
  ["−1 f", "one frame earlier", -1, { frames: -1 }],
  ["+1 f", "one frame later", 1, { frames: 1 }],
  ["+1 s", "one second later", 1, { ms: 1000 }],
];

function buildEdgeCard(editorView) {
  const nudges = NUDGES.map(([text, says, , change]) =>
    button(text, "", () => editorView.actions.nudge(change), { label: `${text}: edge ${says}` }),
  );
  const value = el("output", { className: "tl-edge-value" });
  const take = (source, keys) =>
    button(source === "model" ? "Model" : "Original", keys, () =>
      editorView.actions.take(source, editorView.editor.selection.edge),
    );
  const choices = { original: take("original", "3"), model: take("model", "1") };
  const origin = el("span", { className: "tl-origin" });
  const node = el(
    "div",
    { className: "tl-edge-card", attrs: { role: "group", "aria-label": "Active edge" } },
    el("div", { className: "tl-nudges" }, nudges[0], nudges[1], value, nudges[2], nudges[3]),
    el("div", { className: "tl-choices" }, origin, choices.original, choices.model),
  );
  return { node, value, choices, origin, nudges };
}

export function showPanel(panel, editorView) {
  showLoupe(panel.loupe, editorView);
  showEdge(panel.edge, editorView);
  showList(panel.list, editorView);
}

function showEdge(card, { editor, snaps, dragging }) {
  const { edge } = editor.selection;
  const moment = editor.selected;
  const active = Boolean(moment && edge);
  for (const node of card.nudges) node.disabled = !active;
  setText(card.value, active ? `${secondsText(moment[`${edge}_ms`] / 1000, 2)} s` : "–");
  setText(card.origin, active ? originWords(moment, edge, snaps) : "no edge active");
  for (const [source, keys] of [
    ["original", { start: "3", end: "4" }],
    ["model", { start: "1", end: "2" }],
  ]) {
    const node = card.choices[source];
    const spans = editor.item?.arm === "blind" ? [] : (editor.item?.[source]?.moments ?? []);
    const span = active && !dragging ? counterpart(moment, spans, edge) : null;
    if (!dragging) {
      node.disabled = !span;
      const title = source === "model" ? "Model" : "Original";
      setText(node.firstChild, span ? `${title} ${secondsText(span[`${edge}_ms`] / 1000, 2)}` : title);
      setText(node.lastChild, keys[edge ?? "start"]);
      node.setAttribute("aria-pressed", String(Boolean(span) && moment[`${edge}_source`] === source));
    }
  }
}

/** Rows are kept by moment, so that a field that somebody types in stays where it is. */
function showList(list, editorView) {
  const { editor } = editorView;
  const known = new Map([...list.children].map((node) => [node.dataset.key, node]));
  editor.moments.forEach((moment, idx) => {
    const name = String(moment.id);
    const row = known.get(name) ?? buildRow(moment.id, editorView);
    known.delete(name);
    if (list.children[idx] !== row) list.insertBefore(row, list.children[idx] ?? null);
    showRow(row, moment, idx, editorView);
  });
  for (const node of known.values()) node.remove();
}

function buildRow(id, editorView) {
  const field = (edge) => {
    const input = el("input", { attrs: { type: "number", min: "0", "data-edge": edge } });
    input.addEventListener(
      "change",
      () => input.value !== "" && editorView.actions.setTime(id, edge, Number(input.value)),
    );
    input.addEventListener("focus", () => editorView.editor.select({ id, edge }));
    input.addEventListener("keydown", (event) => leaveField(event, input, editorView));
    return input;
  };
  const pick = el("button", {
    className: "tl-index",
    attrs: { type: "button" },
    on: { click: () => editorView.actions.selectMoment(editorView.editor.moments.find((m) => m.id === id)) },
  });
  const remove = button("×", "", () => editorView.editor.apply({ type: "deleteMoment", id }), {
    className: "tl-remove",
  });
  const merge = button("Merge with the next", "M", () => editorView.editor.apply({ type: "merge", id }), {
    className: "tl-merge",
  });
  const row = el(
    "li",
    { attrs: { "data-key": id } },
    pick,
    field("start"),
    el("span", { text: "–" }),
    field("end"),
    el("span", { className: "tl-length" }),
    remove,
    merge,
  );
  row.parts = {
    pick,
    remove,
    merge,
    fields: [...row.querySelectorAll("input")],
    length: row.querySelector(".tl-length"),
  };
  return row;
}

/** Enter keeps what was typed, Escape forgets it; both lead back to the timeline. */
function leaveField(event, input, editorView) {
  if (event.key !== "Enter" && event.key !== "Escape") return;
  if (event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") input.value = input.defaultValue;
  else if (input.value !== input.defaultValue) input.dispatchEvent(new Event("change"));
  editorView.actions.focusEdge();
}

function showRow(row, moment, idx, { editor, dragging }) {
  const { parts } = row;
  const next = editor.moments[idx + 1];
  setText(parts.pick, String(idx + 1));
  row.classList.toggle("tl-current", editor.selected?.id === moment.id);
  for (const input of parts.fields) {
    const { edge } = input.dataset;
    const text = secondsText(moment[`${edge}_ms`] / 1000, 2);
    if (input.defaultValue !== text) input.defaultValue = input.value = text;
    input.dataset.source = moment[`${edge}_source`];
  }
  const length_ms = moment.end_ms - moment.start_ms;
  const short = length_ms < (editor.item.grid_ms ?? 0);
  setText(parts.length, `${short ? "⚠ " : ""}${secondsText(length_ms / 1000)} s`);
  parts.length.title = short ? "Shorter than one clip of the dataset" : "";
  if (dragging) return;
  for (const input of parts.fields) {
    input.step = String(Number((1 / editor.clock.fps).toFixed(4)));
    input.setAttribute(
      "aria-label",
      `${input.dataset.edge === "start" ? "Start" : "End"} of moment ${idx + 1}, seconds`,
    );
  }
  parts.pick.setAttribute("aria-label", `Go to moment ${idx + 1}`);
  parts.remove.setAttribute("aria-label", `Remove moment ${idx + 1}`);
  const near = next && next.start_ms - moment.end_ms <= (editor.item.grid_ms ?? MERGE_GAP_MS);
  parts.merge.hidden = !near || editor.selected?.id !== moment.id;
}
