/**
 * The words and numbers around the picture while editing. Above it the query, why the row is here, and how one's own
 * answer compares with the original; beside it the loupe, the active edge with its alternatives, every moment with its
 * times, and (on the Annotate page) the verdict.
 */

import { button, el, icon, keyButton, keyed, setAttr, setText } from "./dom.js";
import { parseTime, percent, secondsText, timeText, timeUnit, VERDICTS } from "./format.js";
import { buildLoupe, showLoupe } from "./loupe.js";
import { counterpart, matchedTiou, setF1 } from "./moments.js";
import { originWords } from "./edit_lanes.js";

const MERGE_GAP_MS = 2000;
const PENCIL =
  "M11.5 1.500 14.500 4.500 5.500 13.500 2 14 2.500 10.500zM3.800 11.100 3.500 12.500 4.900 12.200 12.300 4.800 11.200 3.700z";

// ---- above the picture

export function buildEditHead(view) {
  const query = el("p", { className: "tl-query", attrs: { dir: "auto" } });
  const pencilLabels = { "aria-label": "Propose a better wording", title: "Propose a better wording" };
  const pencil = button("tl-button", icon(PENCIL), () => view.wording.open_(), pencilLabels);
  const imported = el("p", { className: "tl-released", attrs: { dir: "auto" } });
  const chips = el("div", { className: "tl-chips" });
  const agreement = el("span", { className: "tl-agreement" });
  // A chip that keeps its place while it says nothing, so that nothing moves when it does.
  const mark = (text, kind) => el("span", { className: "tl-chip", text, attrs: { "data-kind": kind, "data-off": true } });
  const [flag, note] = [mark("Flagged", "flag"), mark("Comment", "note")];
  const slot = el("div", { className: "tl-slot" });
  const words = el(
    "div",
    { className: "tl-head-words" },
    el("div", { className: "tl-query-box" }, el("div", { className: "tl-query-row" }, query, pencil), imported),
    el("div", { className: "tl-chip-row" }, chips, agreement, flag, note),
  );
  const node = el("div", { className: "tl-head" }, words, slot);
  return { node, query, pencil, imported, chips, agreement, flag, note, slot };
}

export function showEditHead(head, { editor, state }) {
  const { item, doc } = editor;
  const imported = item?.query ?? state.value.query;
  setText(head.query, doc.edited_text ?? imported ?? "");
  head.imported.hidden = !doc.edited_text;
  setText(head.imported, doc.edited_text ? `Released as: ${imported}` : "");
  head.pencil.disabled = !item;
  showChips(head.chips, item);
  head.flag.toggleAttribute("data-off", !doc.flagged);
  head.note.toggleAttribute("data-off", !doc.note);
  head.agreement.hidden = !item || item.arm === "blind" || !item.original;
  if (!head.agreement.hidden) setText(head.agreement, agreementText(editor));
}

function showChips(chips, item) {
  const entries = (item?.reasons ?? []).map(({ text }) => [text, "reason"]);
  if (item?.arm === "blind") {
    const share = !item.blind_share ? "" : `, as ${percent(item.blind_share)} of the rows are`;
    entries.push([`Blind${share}: original and model are hidden until you submit`, "blind"]);
  }
  const key = JSON.stringify(entries);
  if (chips.dataset.key === key) return;
  chips.dataset.key = key;
  const chip = ([text, kind]) => el("span", { className: "tl-chip", text, attrs: { "data-kind": kind, title: text } });
  chips.replaceChildren(...entries.map(chip));
}

/** "To the original: tIoU 0.83 · F1@.5 1.00 · F1@.7 0.50" */
function agreementText({ moments, item, doc }) {
  if (doc.verdict === "cannot-judge") return "";
  const original = item.original.moments;
  const scores = [
    `tIoU ${matchedTiou(moments, original).toFixed(2)}`,
    `F1@.5 ${setF1(moments, original, 0.5).toFixed(2)}`,
    `F1@.7 ${setF1(moments, original, 0.7).toFixed(2)}`,
  ];
  return `To the original: ${scores.join(" · ")}`;
}

// ---- beside the picture

export function buildEditPanel(view) {
  const loupe = buildLoupe((frame) => view.placeEdge(frame));
  const edge = buildEdgeCard(view);
  const list = el("ol", { className: "tl-own-list" });
  const add = keyButton("New moment", "N", () => view.actions.add());
  const title = el("div", { className: "tl-row" }, el("h3", { text: "Your moments" }), add);
  const slot = el("div", { className: "tl-slot" });
  const attrs = { "aria-label": "Your answer" };
  const look = el("div", { className: "tl-look" }, loupe.node, edge.node);
  const answer = el("div", { className: "tl-answer" }, title, list, slot);
  const node = el("section", { className: "tl-aside tl-bench", attrs }, look, answer);
  return { node, loupe, edge, list, slot };
}

const NUDGES = [
  ["−1 s", "one second earlier", { ms: -1000 }],
  ["−1 f", "one frame earlier", { frames: -1 }],
  ["+1 f", "one frame later", { frames: 1 }],
  ["+1 s", "one second later", { ms: 1000 }],
];

/** Where an edge may be taken from, with the keys of its start and its end. */
const SOURCES = { original: ["Original", { start: "3", end: "4" }], model: ["Model", { start: "1", end: "2" }] };

function buildEdgeCard(view) {
  const nudges = NUDGES.map(([text, words, change]) =>
    keyButton(text, "", () => view.actions.nudge(change), { label: `${text}: edge ${words}` }),
  );
  const value = el("output", { className: "tl-edge-value" });
  const choices = Object.entries(SOURCES).map(([source, [title, keys]]) => {
    const take = () => view.actions.take(source, view.editor.selection.edge);
    return [source, keyButton(title, keys.start, take)];
  });
  const origin = el("span", { className: "tl-origin" });
  const node = el(
    "div",
    { className: "tl-edge-card", attrs: { role: "group", "aria-label": "Active edge" } },
    el("div", { className: "tl-nudges" }, nudges[0], nudges[1], value, nudges[2], nudges[3]),
    el("div", { className: "tl-choices" }, origin, ...choices.map(([, choice]) => choice)),
  );
  return { node, value, choices: Object.fromEntries(choices), origin, nudges };
}

export function showEditPanel(panel, view) {
  const { editor } = view;
  showLoupe(panel.loupe, view);
  showEdgeCard(panel.edge, view);
  const update = (row, moment, idx) => showRow(row, moment, idx, view);
  keyed(panel.list, editor.moments, ({ id }) => id, ({ id }) => buildRow(id, view), update);
}

function showEdgeCard(card, { editor, snaps, dragging }) {
  const { edge } = editor.selection;
  const moment = editor.selected;
  const active = Boolean(moment && edge);
  for (const node of card.nudges) node.disabled = !active;
  setText(card.value, active ? `${timeText(moment[`${edge}_ms`] / 1000)}${timeUnit.value === "seconds" ? " s" : ""}` : "–");
  setText(card.origin, active ? edgeWords(moment, edge, snaps) : "no edge active");
  if (dragging) return;
  for (const [source, [title, keys]] of Object.entries(SOURCES)) {
    const choice = card.choices[source];
    const spans = editor.item?.arm === "blind" ? [] : (editor.item?.[source]?.moments ?? []);
    const span = active ? counterpart(moment, spans, edge) : null;
    choice.disabled = !span;
    setText(choice.firstChild, span ? `${title} ${timeText(span[`${edge}_ms`] / 1000)}` : title);
    setText(choice.lastChild, keys[edge ?? "start"]);
    choice.setAttribute("aria-pressed", String(Boolean(span) && moment[`${edge}_source`] === source));
  }
}

/** "by hand · ±0.5 s" */
function edgeWords(moment, edge, snaps) {
  const band_ms = moment[`${edge}_uncertainty_ms`];
  return `${originWords(moment, edge, snaps)}${band_ms ? ` · ±${secondsText(band_ms / 1000, 2)} s` : ""}`;
}

function buildRow(id, view) {
  const { editor, actions } = view;
  const field = (edge) => {
    const input = el("input", { attrs: { type: "text", inputmode: "decimal", autocomplete: "off", "data-edge": edge } });
    const change = () => changeTime(input, id, edge, view);
    input.addEventListener("change", change);
    input.addEventListener("focus", () => editor.select({ id, edge }));
    input.addEventListener("keydown", (event) => leaveField(event, input, view));
    return input;
  };
  const pick = button("tl-index", null, () => actions.selectMoment(editor.moments.find((m) => m.id === id)));
  const remove = keyButton("×", "", () => editor.apply({ type: "deleteMoment", id }), { className: "tl-remove" });
  const merge = keyButton("⇥⇤", "", () => editor.apply({ type: "merge", id }), { className: "tl-merge" });
  merge.title = "Merge with the next (M)";
  const fields = [field("start"), field("end")];
  const length = el("span", { className: "tl-length" });
  const row = el("li", {}, pick, fields[0], el("span", { text: "–" }), fields[1], length, merge, remove);
  row.parts = { pick, remove, merge, fields, length };
  return row;
}

/** What cannot be read as a time is said, and the edge stays where it is. */
function changeTime(input, id, edge, view) {
  const seconds = parseTime(input.value);
  if (Number.isFinite(seconds)) return view.actions.setTime(id, edge, seconds);
  view.say(`“${input.value}” is no time. Type it as 11:00.5 or as 660.5.`);
  input.value = input.defaultValue;
  return undefined;
}

/** Enter keeps what was typed, Escape forgets it; both lead back to the timeline. Up and down move by a frame. */
function leaveField(event, input, view) {
  const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (step) {
    event.preventDefault();
    view.actions.nudge({ frames: step }, { repeat: event.repeat });
  }
  if (event.key !== "Enter" && event.key !== "Escape") return;
  if (event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") input.value = input.defaultValue;
  else if (input.value !== input.defaultValue) input.dispatchEvent(new Event("change"));
  view.actions.focusEdge();
}

function showRow({ parts, classList }, moment, idx, { editor, dragging }) {
  const next = editor.moments[idx + 1];
  const isSelected = editor.selected?.id === moment.id;
  setText(parts.pick, String(idx + 1));
  classList.toggle("tl-current", isSelected);
  for (const input of parts.fields) {
    const { edge } = input.dataset;
    const text = timeText(moment[`${edge}_ms`] / 1000);
    if (input.defaultValue !== text) input.defaultValue = input.value = text;
    input.dataset.source = moment[`${edge}_source`];
  }
  const length_ms = moment.end_ms - moment.start_ms;
  const isShort = length_ms < (editor.item.grid_ms ?? 0);
  setText(parts.length, `${isShort ? "⚠ " : ""}${secondsText(length_ms / 1000)} s`);
  parts.length.title = isShort ? "Shorter than one clip of the dataset" : "";
  if (dragging) return;
  for (const input of parts.fields) {
    const edge = input.dataset.edge === "start" ? "Start" : "End";
    input.setAttribute("aria-label", `${edge} of moment ${idx + 1}, time`);
  }
  parts.pick.setAttribute("aria-label", `Go to moment ${idx + 1}`);
  parts.remove.setAttribute("aria-label", `Remove moment ${idx + 1}`);
  const isNear = next && next.start_ms - moment.end_ms <= (editor.item.grid_ms ?? MERGE_GAP_MS);
  parts.merge.toggleAttribute("data-off", !isNear); // it keeps its place
  parts.merge.setAttribute("aria-label", `Merge moment ${idx + 1} with the next`);
}

// ---- the verdict

/** Below the moments: what kind of answer this is, why, and what was wrong with the row. `show()` brings it up to date. */
export function buildVerdict(view) {
  const { editor } = view;
  const choose = (verdict) => (verdict === "moments" ? editor.apply({ type: "setVerdict", verdict }) : view.askWhy());
  const choices = Object.entries(VERDICTS).map(([verdict, text]) => {
    const attrs = { role: "radio", "aria-checked": "false", "data-verdict": verdict };
    return button("tl-small", text, () => choose(verdict), attrs);
  });
  const toggle = (text, keys, title, run) => {
    const node = keyButton(text, keys, run);
    node.title = title;
    return node;
  };
  const why = el("p", { className: "tl-faint fl-why" });
  const flag = toggle("Flag", "F", "Flag for adjudication", () => view.actions.flag());
  const comment = toggle("Comment", "Q", "Comment, and what was wrong with the row", () => view.comment.open_());
  const attrs = { role: "radiogroup", "aria-label": "Verdict" };
  const group = el("div", { className: "fl-verdicts", attrs }, ...choices);
  group.addEventListener("keydown", (event) => walkRadios(event, choices));
  const marks = el("div", { className: "fl-marks" }, flag, comment);
  const title = el("div", { className: "tl-row" }, el("h3", { text: "Verdict" }), marks);
  const node = el("section", { className: "fl-verdict", attrs: { "aria-label": "Verdict" } }, title, group, why);

  function show() {
    const { doc, item } = editor;
    for (const choice of choices) {
      const isChecked = doc.verdict === choice.dataset.verdict;
      choice.setAttribute("aria-checked", String(isChecked));
      choice.tabIndex = isChecked ? 0 : -1;
      choice.disabled = !item;
    }
    setText(why, whyText(doc, item));
    flag.disabled = comment.disabled = !item;
    setAttr(flag, "aria-pressed", Boolean(doc.flagged));
    setAttr(comment, "aria-pressed", Boolean(doc.note) || doc.categories.length > 0);
  }

  return { node, show };
}

/** Arrow keys walk through a radio group. */
function walkRadios(event, choices) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  event.stopPropagation();
  const here = choices.indexOf(document.activeElement);
  choices.at((here + step) % choices.length).focus();
}

function whyText(doc, item) {
  const categories = doc.categories.map((key) => item?.error_categories?.[key] ?? key).join("; ");
  const reason = doc.verdict === "moments" ? "" : `Because: ${doc.reason ?? "–"}`;
  const parts = [reason, categories && `Row: ${categories}`].filter(Boolean);
  return parts.join(" · ") || "0 for “no matching moment” or “cannot judge”";
}
