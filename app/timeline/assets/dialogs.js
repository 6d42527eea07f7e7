/** What is asked in words: why nothing matches, a comment, a better wording of the query, and the keys. */

import { el, setText } from "./dom.js";
import { GROUPS } from "./key_bindings.js";
import { chordOf, chordText } from "./key_map.js";

/** The answers to "why is there no moment": an unclear or missing video is no evidence that nothing matches. */
const REASONS = [
  ["no-moment", "event absent", "Event absent", "nothing in the video matches"],
  ["cannot-judge", "query ambiguous", "Query ambiguous", "it can be read in several ways"],
  ["no-moment", "query wrong", "Query wrong", "it describes something else"],
  ["cannot-judge", "video unavailable", "Video unavailable", "it does not play, or is cut off"],
  ["cannot-judge", "other", "Cannot judge", "another reason; say it in a comment (Q)"],
];

const VERDICTS = { "no-moment": "no matching moment", "cannot-judge": "cannot judge" };

function dialog(title, ...children) {
  const close = el("button", { className: "tl-button tl-close", text: "Close", attrs: { type: "button" } });
  const node = el(
    "dialog",
    { className: "tl-help tl-ask", attrs: { "aria-label": title } },
    el("div", { className: "tl-row" }, el("h3", { text: title }), close),
    ...children,
  );
  close.addEventListener("click", () => node.close());
  node.addEventListener("click", (event) => event.target === node && node.close());
  return node;
}

/** 0 opens it; 1 to 5 answer it. */
export function buildReasons(editor, done) {
  const choose = ([verdict, reason]) => {
    editor.apply({ type: "setVerdict", verdict, reason });
    node.close();
    done();
  };
  const list = el(
    "ol",
    { className: "tl-reasons" },
    ...REASONS.map((entry, idx) =>
      el(
        "li",
        {},
        el(
          "button",
          { className: "tl-reason", attrs: { type: "button" }, on: { click: () => choose(entry) } },
          el("kbd", { text: String(idx + 1), attrs: { "aria-hidden": "true" } }),
          el("span", {}, el("strong", { text: entry[2] }), el("small", { text: ` ${entry[3]}` })),
          el("small", { className: "tl-chip", text: VERDICTS[entry[0]] }),
        ),
      ),
    ),
  );
  const node = dialog("No matching moment: why?", list);
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
export function buildComment(editor, done) {
  const words = el("textarea", {
    attrs: { rows: "4", maxlength: "10000", "aria-label": "Comment", dir: "auto" },
  });
  const boxes = el("fieldset", {}, el("legend", { text: "What was wrong with the row" }));
  const save = () => {
    editor.apply({ type: "setNote", value: words.value });
    const value = [...boxes.querySelectorAll("input:checked")].map((box) => box.value);
    editor.apply({ type: "setCategories", value });
    node.close();
    done();
  };
  const node = dialog("Comment", words, boxes, saveRow(save));
  saveByKey(node, save);
  node.open_ = () => {
    words.value = editor.doc.note ?? "";
    const legend = boxes.firstChild;
    boxes.replaceChildren(
      legend,
      ...Object.entries(editor.item?.error_categories ?? {}).map((entry) => category(entry, editor)),
    );
    boxes.hidden = boxes.children.length < 2;
    node.showModal();
    words.focus();
  };
  return node;
}

function category([key, text], editor) {
  const box = el("input", {
    attrs: { type: "checkbox", value: key, checked: editor.doc.categories.includes(key) },
  });
  return el("label", {}, box, el("span", { text }));
}

/** A better wording of the query; the imported text stays as it is. */
export function buildWording(editor, done) {
  const words = el("textarea", {
    attrs: { rows: "4", maxlength: "10000", "aria-label": "Better wording", dir: "auto" },
  });
  const save = () => {
    const value = words.value.trim() === editor.item.query.trim() ? "" : words.value;
    editor.apply({ type: "setText", value });
    node.close();
    done();
  };
  const back = el("button", {
    className: "tl-small",
    text: "Back to the original",
    attrs: { type: "button" },
  });
  back.addEventListener("click", () => (words.value = editor.item.query));
  const node = dialog(
    "Propose a better wording",
    el("p", { className: "tl-faint", text: "It is kept beside the released text, as a proposal." }),
    words,
    saveRow(save, back),
  );
  saveByKey(node, save);
  node.open_ = () => {
    words.value = editor.doc.edited_text ?? editor.item.query;
    node.showModal();
    words.focus();
  };
  return node;
}

function saveRow(save, ...others) {
  const keep = el("button", {
    className: "tl-small tl-strong",
    text: "Save",
    attrs: { type: "button" },
    on: { click: save },
  });
  return el(
    "div",
    { className: "tl-row tl-save" },
    ...others,
    el("small", { className: "tl-faint", text: "Ctrl + Enter saves, Esc leaves it" }),
    keep,
  );
}

function saveByKey(node, save) {
  node.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    save();
  });
}

const POINTER_HELP = [
  [
    "Drag an edge",
    "Move it; the picture follows. Alt: do not snap. Shift: a pixel is a frame, neighbours make way",
  ],
  ["Drag in the empty lane", "A new moment"],
  ["Double click", "Loop the moment"],
  ["Wheel, pinch", "Zoom at the pointer; with Shift, move along"],
];

/** Every key, the way to change it, and the way to the drill if there is one. Printing the page prints this sheet alone. */
export function buildKeySheet(keys, reaction, tutorial = null) {
  const lists = el("div", { className: "tl-keys" });
  const note = el("p", { className: "tl-faint", attrs: { role: "status" } });
  const singles = check(
    "Single keys work (off: only those with Ctrl)",
    keys.singles,
    (on) => (keys.singles = on),
  );
  const lag = check("", reaction.on, (on) => (reaction.on = on));
  const reset = el("button", {
    className: "tl-small",
    text: "All keys as they came",
    attrs: { type: "button" },
  });
  const print = el("button", {
    className: "tl-small",
    text: "Print",
    attrs: { type: "button" },
    on: { click: () => window.print() },
  });
  const practise = el("button", {
    className: "tl-small tl-strong",
    text: "Try them in 90 seconds",
    attrs: { type: "button", title: "A drill on the open row; nothing of it is kept" },
    on: { click: () => (node.close(), tutorial.start()) },
  });
  const node = dialog(
    "Keys and pointer",
    el("div", { className: "tl-switches" }, singles, lag, tutorial && practise),
    lists,
    note,
    el("div", { className: "tl-sheet-foot" }, reset, print),
  );
  node.classList.add("tl-sheet");
  const show = () => {
    lists.replaceChildren(...GROUPS.map((group) => keyGroup(group, keys, note, show)), pointerGroup());
    const how = reaction.measured
      ? "measured from your corrections"
      : "usual, until five corrections are known";
    setText(lag.lastChild, `I and O while playing count ${reaction.lag_ms} ms earlier (${how})`);
  };
  reset.addEventListener("click", () => (keys.reset(), show()));
  node.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "?" && !event.target.closest("[data-waiting]")) node.close();
  });
  node.open_ = () => (
    show(),
    setText(note, "Press a key’s button to choose another key for it."),
    (practise.disabled = !tutorial?.ready),
    node.showModal(),
    (node.scrollTop = 0)
  );
  return node;
}

function check(text, checked, change) {
  const box = el("input", { attrs: { type: "checkbox", checked } });
  box.addEventListener("change", () => change(box.checked));
  return el("label", {}, box, el("span", { text }));
}

function keyGroup({ title, bindings }, keys, note, show) {
  const rows = bindings.flatMap(([id, , says]) => {
    const name = keys.text(id) || "none";
    const parts = name.split(/( or )/).map((part) => el(part === " or " ? "small" : "span", { text: part }));
    const attrs = { type: "button", "aria-label": `${says}: ${name}. Change`, "data-id": id };
    const change = el("button", { className: "tl-key", attrs }, ...parts);
    change.addEventListener("click", () => listenForKey(change, id, keys, note, show));
    return [el("dt", {}, change), el("dd", { text: says })];
  });
  return el("section", {}, el("h4", { text: title }), el("dl", {}, ...rows));
}

function pointerGroup() {
  const rows = POINTER_HELP.flatMap(([what, says]) => [el("dt", { text: what }), el("dd", { text: says })]);
  return el("section", {}, el("h4", { text: "Pointer" }), el("dl", {}, ...rows));
}

/** The next key pressed becomes the binding's; Escape leaves it as it was. */
function listenForKey(change, id, keys, note, show) {
  change.dataset.waiting = "true";
  setText(change, "press a key");
  const heard = (event) => {
    const chord = chordOf(event);
    if (!chord) return;
    event.preventDefault();
    event.stopPropagation();
    const other = event.key === "Escape" ? null : keys.rebind(id, chord);
    stop();
    show();
    note.parentNode.querySelector(`.tl-key[data-id="${id}"]`)?.focus();
    setText(note, other ? `${chordText(chord)} was taken from “${other.says}”.` : "");
  };
  const stop = () => {
    change.removeEventListener("keydown", heard);
    change.removeEventListener("blur", left);
  };
  const left = () => (stop(), show());
  change.addEventListener("keydown", heard);
  change.addEventListener("blur", left);
}
