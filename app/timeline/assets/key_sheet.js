/** Every key of the timeline, as a dialog: a plain list where moments are only played, one that can be changed for editing. */

import { button, dialog, el, setText } from "./dom.js";
import { EDITING_KEYS, PLAYBACK_KEYS } from "./key_bindings.js";
import { timeUnit } from "./format.js";
import { chordOf, chordText } from "./keyboard.js";

const PLAYBACK_POINTER = [
  ["Click", "Seek; on a moment, play exactly it"],
  ["Wheel or pinch", "Zoom at the pointer"],
  ["Shift + wheel or drag", "Move along the clip"],
];

const EDITING_POINTER = [
  [
    "Drag an edge",
    "Move it; the picture follows. Alt: do not snap. Shift: a pixel is a frame, neighbours make way",
  ],
  ["Ctrl + drag an edge", "Draw its band: how far to either side it may lie"],
  ["Drag in the empty lane", "A new moment. The first: a click"],
  ["Double click", "Loop the moment"],
  ["Wheel, pinch", "Zoom at the pointer; with Shift, move along"],
];

export function buildHelp() {
  const rows = [...PLAYBACK_KEYS, ...PLAYBACK_POINTER].flatMap(([keys, words]) => [
    el("dt", {}, el("kbd", { text: keys })),
    el("dd", { text: words }),
  ]);
  const note = el("p", { className: "tl-faint", text: "Keys work while the timeline has the focus." });
  const node = dialog("Keys and pointer", el("dl", {}, ...rows), note);
  node.setAttribute("aria-label", "Keyboard shortcuts");
  node.addEventListener("keydown", (event) => event.key === "?" && node.close());
  return node;
}

/** Every key, the way to change it, and the way to the tutorial if there is one. Printing the page prints this sheet alone. */
export function buildKeySheet(view, tutorial = null) {
  const { keys, reaction } = view;
  const lists = el("div", { className: "tl-keys" });
  const note = el("p", { className: "tl-faint", attrs: { role: "status" } });
  const setSingles = (on) => (keys.singles = on);
  const singles = checkbox("Single keys work (off: only those with Ctrl)", keys.singles, setSingles);
  const setUnit = (on) => (on === (timeUnit.value === "seconds") ? undefined : view.changeTimeUnit());
  const unit = checkbox("Times in seconds (660.00, in place of 11:00.00)", timeUnit.value === "seconds", setUnit);
  const lag = checkbox("", reaction.on, (on) => (reaction.on = on));
  const reset = button("tl-small", "All keys as they came", () => (keys.reset(), show()));
  const print = button("tl-small", "Print", () => window.print());
  const startTutorial = () => (node.close(), tutorial.start());
  const practiseTitle = { title: "A drill on the open row; nothing of it is kept" };
  const practise = button("tl-small tl-strong", "Try them in 90 seconds", startTutorial, practiseTitle);
  const switches = el("div", { className: "tl-switches" }, singles, lag, tutorial && practise);
  const foot = el("div", { className: "tl-sheet-foot" }, reset, print, unit);
  const node = dialog("Keys and pointer", switches, lists, note, foot);
  node.classList.add("tl-ask", "tl-sheet");
  const show = () => {
    lists.replaceChildren(...EDITING_KEYS.map((group) => keyGroup(group, keys, note, show)), pointerGroup());
    const basis = reaction.measured
      ? "measured from your corrections"
      : "usual, until five corrections are known";
    setText(lag.lastChild, `I and O while playing count ${reaction.lag_ms} ms earlier (${basis})`);
  };
  node.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "?" && !event.target.closest("[data-waiting]")) node.close();
  });
  node.open_ = () => {
    show();
    unit.firstChild.checked = timeUnit.value === "seconds";
    setText(note, "Press a key’s button to choose another key for it.");
    practise.disabled = !tutorial?.ready;
    node.showModal();
    node.scrollTop = 0;
  };
  return node;
}

function checkbox(text, checked, change) {
  const box = el("input", { attrs: { type: "checkbox", checked } });
  box.addEventListener("change", () => change(box.checked));
  return el("label", {}, box, el("span", { text }));
}

function keyGroup({ title, bindings }, keys, note, show) {
  const rows = bindings.flatMap(([id, , words]) => {
    const name = keys.text(id) || "none";
    const parts = name.split(/( or )/).map((part) => el(part === " or " ? "small" : "span", { text: part }));
    const attrs = { "aria-label": `${words}: ${name}. Change`, "data-id": id };
    const node = button("tl-key", parts, () => waitForKey(node, id, keys, note, show), attrs);
    return [el("dt", {}, node), el("dd", { text: words })];
  });
  return el("section", {}, el("h4", { text: title }), el("dl", {}, ...rows));
}

function pointerGroup() {
  const rows = EDITING_POINTER.flatMap(([gesture, words]) => [el("dt", { text: gesture }), el("dd", { text: words })]);
  return el("section", {}, el("h4", { text: "Pointer" }), el("dl", {}, ...rows));
}

/** The next key pressed becomes the binding's; Escape leaves it as it was. */
function waitForKey(node, id, keys, note, show) {
  node.dataset.waiting = "true";
  setText(node, "press a key");
  const listening = new AbortController();
  const { signal } = listening;
  const bind = (event) => {
    const chord = chordOf(event);
    if (!chord) return;
    event.preventDefault();
    event.stopPropagation();
    const rival = event.key === "Escape" ? null : keys.rebind(id, chord);
    listening.abort(); // before `show` takes the button away, which blurs it
    show();
    note.parentNode.querySelector(`.tl-key[data-id="${id}"]`)?.focus();
    setText(note, rival ? `${chordText(chord)} was taken from “${rival.words}”.` : "");
  };
  node.addEventListener("keydown", bind, { signal });
  node.addEventListener("blur", () => (listening.abort(), show()), { signal });
}
