/** What is asked in words: why nothing matches, a comment, a better wording of the query, which of two versions holds. */

import { button, dialog, el } from "./dom.js";
import { timeText, VERDICTS } from "./format.js";
import { matchMoments } from "./moments.js";

/** The answers to "why is there no moment": an unclear or missing video is no evidence that nothing matches. */
const REASONS = [
  ["no-moment", "event absent", "Event absent", "nothing in the video matches"],
  ["cannot-judge", "query ambiguous", "Query ambiguous", "it can be read in several ways"],
  ["no-moment", "query wrong", "Query wrong", "it describes something else"],
  ["cannot-judge", "video unavailable", "Video unavailable", "it does not play, or is cut off"],
  ["cannot-judge", "other", "Cannot judge", "another reason; say it in a comment (Q)"],
];

/** The command of the first reason, which is most people's. */
export const EVENT_ABSENT = { type: "setVerdict", verdict: REASONS[0][0], reason: REASONS[0][1] };

/** 0 opens it; 1 to 5 answer it. `onClose` runs after an answer. */
export function buildReasons(editor, onClose) {
  const choose = ([verdict, reason]) => {
    editor.apply({ type: "setVerdict", verdict, reason });
    node.close();
    onClose();
  };
  const items = REASONS.map((reason, idx) => {
    const [verdict, , title, words] = reason;
    const content = [
      el("kbd", { text: String(idx + 1), attrs: { "aria-hidden": "true" } }),
      el("span", {}, el("strong", { text: title }), el("small", { text: ` ${words}` })),
      el("small", { className: "tl-chip", text: VERDICTS[verdict].toLowerCase() }),
    ];
    return el("li", {}, button("tl-reason", content, () => choose(reason)));
  });
  const node = dialog("No matching moment: why?", el("ol", { className: "tl-reasons" }, ...items));
  node.classList.add("tl-ask");
  node.addEventListener("keydown", (event) => {
    const digit = /^(?:Digit|Numpad)([1-5])$/.exec(event.code)?.[1];
    if (!digit || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    choose(REASONS[digit - 1]);
  });
  return node;
}

/** Q: a comment, and what was wrong with the row. */
export function buildComment(editor, onClose) {
  const boxes = el("fieldset", {}, el("legend", { text: "What was wrong with the row" }));
  const save = (text) => {
    editor.apply({ type: "setNote", value: text });
    const categories = [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
    editor.apply({ type: "setCategories", value: categories });
  };
  const { node, show } = textDialog("Comment", { label: "Comment", after: [boxes], save, onClose });
  node.open_ = () => {
    const rows = Object.entries(editor.item?.error_categories ?? {}).map(([value, text]) => {
      const checked = editor.doc.categories.includes(value);
      return el("label", {}, el("input", { attrs: { type: "checkbox", value, checked } }), el("span", { text }));
    });
    boxes.replaceChildren(boxes.firstChild, ...rows);
    boxes.hidden = rows.length === 0;
    show(editor.doc.note ?? "");
  };
  return node;
}

/** A better wording of the query; the imported text stays as it is. */
export function buildWording(editor, onClose) {
  const save = (text) =>
    editor.apply({ type: "setText", value: text.trim() === editor.item.query.trim() ? "" : text });
  const back = button("tl-small", "Back to the original", () => (field.value = editor.item.query));
  const note = el("p", { className: "tl-faint", text: "It is kept beside the released text, as a proposal." });
  const parts = { label: "Better wording", before: [note], buttons: [back], save, onClose };
  const { node, field, show } = textDialog("Propose a better wording", parts);
  node.open_ = () => show(editor.doc.edited_text ?? editor.item.query);
  return node;
}

/** A dialog around one field of text; `show(text)` opens it. Save, Ctrl + Enter and Esc give `save` what was typed. */
function textDialog(title, { label, before = [], after = [], buttons = [], save, onClose }) {
  const field = el("textarea", { attrs: { rows: "4", maxlength: "10000", "aria-label": label, dir: "auto" } });
  const saveAndClose = () => {
    save(field.value);
    node.close();
    onClose();
  };
  const hint = el("small", { className: "tl-faint", text: "Ctrl + Enter or Esc saves" });
  const discard = button("tl-small", "Leave as it was", () => node.close());
  const submit = button("tl-small tl-strong", "Save", saveAndClose);
  const foot = el("div", { className: "tl-row tl-save" }, ...buttons, hint, discard, submit);
  const node = dialog(title, ...before, field, ...after, foot);
  node.classList.add("tl-ask");
  node.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    saveAndClose();
  });
  node.addEventListener("cancel", (event) => {
    event.preventDefault(); // Escape: what was typed is not lost, and undo takes it back
    saveAndClose();
  });
  const show = (text) => {
    field.value = text;
    node.showModal();
    field.focus();
  };
  return { node, field, show };
}

// ---- two versions

const FIELDS = [
  ["reason", "Reason"],
  ["edited_text", "Wording"],
  ["note", "Comment"],
  ["flagged", "Flagged"],
  ["categories", "What was wrong"],
];

/** Ask which version holds; resolves with "mine", "theirs", or, where both have moments, "both". */
export function askConflict(root, { yours, theirs, query }) {
  return new Promise((resolve) => {
    const choose = (choice) => () => {
      node.close();
      node.remove();
      resolve(choice);
    };
    const keep = button("tl-small tl-strong", "Keep mine", choose("mine"));
    const take = button("tl-small", "Take theirs", choose("theirs"));
    const both = button("tl-small", "Keep the moments of both", choose("both"));
    both.hidden = yours.moments.length === 0 || !theirs?.edit.moments.length;
    const explanation =
      "It was changed in another window since you began. Nothing is overwritten; choose which version goes on. " +
      "Both stay in the history.";
    const node = el(
      "dialog",
      { className: "tl-help fl-conflict", attrs: { "aria-label": "Two versions of this query" } },
      el("h3", { text: "Two versions of this query" }),
      el("p", { className: "fl-query", text: query, attrs: { dir: "auto" } }),
      el("p", { className: "tl-faint", text: explanation }),
      versionsTable(yours, theirs),
      el("div", { className: "tl-row fl-choices" }, take, both, keep),
    );
    node.addEventListener("cancel", (event) => event.preventDefault());
    node.addEventListener("keydown", (event) => event.stopPropagation());
    root.append(node);
    node.showModal();
    keep.focus();
  });
}

function versionsTable(yours, theirs) {
  const time = theirs ? new Date(theirs.saved_at_ms).toLocaleTimeString("en-GB") : "";
  const heads = ["", "Yours, in this browser", `Theirs, saved ${time}`].map((text) => el("th", { text }));
  const rows = versionRows(yours, theirs?.edit ?? { verdict: "moments", moments: [] }).map(([name, ...texts]) =>
    el(
      "tr",
      { attrs: { "data-differs": String(texts[0] !== texts[1]) } },
      el("th", { text: name, attrs: { scope: "row" } }),
      ...texts.map((text) => el("td", { text, attrs: { dir: "auto" } })),
    ),
  );
  return el("table", { className: "fl-diff" }, el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
}

/** [name, yours, theirs] for the verdict, every moment, and every field that either has. */
function versionRows(yours, theirs) {
  const versions = [yours, theirs];
  const times = (moment) => (moment ? `${timeText(moment.start_ms / 1000)} – ${timeText(moment.end_ms / 1000)}` : "–");
  const moments = pairsByTime(yours.moments, theirs.moments).map((pair, idx) => [`Moment ${idx + 1}`, ...pair.map(times)]);
  const fields = FIELDS.map(([name, title]) => [title, ...versions.map((edit) => fieldText(edit[name]))])
    .filter(([, ...texts]) => texts.some(Boolean))
    .map(([title, ...texts]) => [title, ...texts.map((text) => text || "–")]);
  return [
    ["Verdict", ...versions.map(({ verdict }) => VERDICTS[verdict].toLowerCase())],
    ...moments,
    ...fields,
    ["State", ...versions.map(({ submitted }) => (submitted ? "submitted" : "draft"))],
  ];
}

/** Moments that overlap most stand side by side; the others alone, all in the order of time. */
function pairsByTime(yours, theirs) {
  const matches = matchMoments(yours, theirs);
  const unmatched = theirs.filter((moment) => !matches.includes(moment)).map((moment) => [null, moment]);
  const start_ms = (pair) => Math.min(...pair.map((moment) => moment?.start_ms ?? Infinity));
  return [...yours.map((moment, idx) => [moment, matches[idx]]), ...unmatched].sort((a, b) => start_ms(a) - start_ms(b));
}

function fieldText(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "boolean") return value ? "yes" : "";
  return value ?? "";
}
