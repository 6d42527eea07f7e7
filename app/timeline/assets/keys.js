/** The keyboard map as data: what is pressed, what it says in the help, and which action runs. */

import { el } from "./dom.js";

export const BINDINGS = [
  { shows: "Space", says: "Play or pause", code: "Space", run: (actions) => actions.toggle() },
  { shows: "←  →", says: "One frame back or on", key: "ArrowLeft", run: (actions) => actions.step(-1) },
  { key: "ArrowRight", run: (actions) => actions.step(1) },
  {
    shows: "Shift + ←  →",
    says: "One second back or on",
    key: "ArrowLeft",
    shift: true,
    run: (actions) => actions.seekBy(-1),
  },
  { key: "ArrowRight", shift: true, run: (actions) => actions.seekBy(1) },
  { shows: "Home  End", says: "Start or end of the clip", key: "Home", run: (actions) => actions.seekTo(0) },
  { key: "End", run: (actions) => actions.seekTo(Infinity) },
  {
    shows: "↑  ↓",
    says: "Previous or next moment",
    key: "ArrowUp",
    run: (actions) => actions.previousMoment(),
  },
  { key: "ArrowDown", run: (actions) => actions.nextMoment() },
  { shows: "Enter", says: "Play exactly this moment", key: "Enter", run: (actions) => actions.playSelected() },
  { shows: "F", says: "Fit the whole clip", key: "f", run: (actions) => actions.fit() },
  { shows: "+  −", says: "Zoom in or out at the playhead", key: "+", run: (actions) => actions.zoom(1.6) },
  { key: "=", run: (actions) => actions.zoom(1.6) },
  { key: "-", run: (actions) => actions.zoom(1 / 1.6) },
  { shows: "?", says: "Show or hide this list", key: "?", run: (actions) => actions.help() },
];

const POINTER_HELP = [
  ["Click", "Seek; on a moment, play exactly it"],
  ["Wheel or pinch", "Zoom at the pointer"],
  ["Shift + wheel or drag", "Move along the clip"],
];

const SYMBOLS = new Set(["+", "-", "=", "?"]); // typed with Shift on many layouts

/** Run the action of a key press. Keys with Ctrl, Alt or Meta belong to the browser, typing belongs to its field. */
export function onKey(event, actions, bindings = BINDINGS) {
  if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
  const { target } = event;
  if (target.closest("input, textarea, select, dialog, [contenteditable]:not([contenteditable=false])")) return;
  const pressesButton = event.code === "Space" || event.key === "Enter";
  if (pressesButton && target.closest("button, a, summary")) return;
  const binding = bindings.find((entry) => matches(entry, event));
  if (!binding) return;
  event.preventDefault();
  event.stopPropagation();
  binding.run(actions);
}

function matches(entry, event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const named = entry.code ? event.code === entry.code : key === entry.key;
  return named && (SYMBOLS.has(key) || Boolean(entry.shift) === event.shiftKey);
}

/** The help, as a dialog that Escape closes. */
export function buildHelp() {
  const rows = [
    ...BINDINGS.filter((entry) => entry.shows).map((entry) => [entry.shows, entry.says]),
    ...POINTER_HELP,
  ];
  const body = el(
    "dl",
    {},
    ...rows.flatMap(([keys, says]) => [el("dt", {}, el("kbd", { text: keys })), el("dd", { text: says })]),
  );
  const close = el("button", { className: "tl-button tl-close", text: "Close", attrs: { type: "button" } });
  const dialog = el(
    "dialog",
    { className: "tl-help", attrs: { "aria-label": "Keyboard shortcuts" } },
    el("div", { className: "tl-row" }, el("h3", { text: "Keys and pointer" }), close),
    body,
    el("p", { className: "tl-faint", text: "Keys work while the timeline has the focus." }),
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => event.key === "?" && dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  return dialog;
}
