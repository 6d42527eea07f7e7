/** Beside the query: how far one is, whether everything is saved, and the ways on. */

import { el, setText } from "./dom.js";
import { button } from "./edit_panel.js";
import { plural } from "./format.js";

const PATIENCE_MS = 300;

export function buildAnnotateBar(editorView, showConflict) {
  const progress = el("span", { className: "fl-progress" });
  const chip = el("button", { className: "fl-chip", attrs: { type: "button", "data-kind": "saved" }, on: { click: () => chip.dataset.kind === "conflict" && showConflict() } });
  const previous = button("Previous", "", () => editorView.reopen(), { label: "Previous query (Ctrl + Shift + Enter)" });
  const skip = button("Skip", "", () => editorView.skip());
  const submit = button("Submit", "Ctrl + ↵", () => editorView.submit(), { className: "tl-strong" });
  submit.title = "Submit and go on (Ctrl + Enter)";
  const node = el("div", { className: "fl-bar" }, progress, chip, previous, skip, submit);
  let late = 0;

  /** A save that is quick is not worth a word: "Saving" comes only when it takes a while. */
  function showStatus(status) {
    clearTimeout(late);
    if (status.kind !== "saving" || status.count === 0) return write(status);
    late = setTimeout(() => write(status), PATIENCE_MS);
    return undefined;
  }

  function write(status) {
    chip.dataset.kind = status.kind;
    chip.title = status.message ?? "";
    chip.setAttribute("aria-live", status.kind === "saved" ? "off" : "polite");
    setText(chip, statusWords(status));
  }

  return {
    node,
    showStatus,
    showProgress: ({ done, left, session }) =>
      setText(progress, [session && `${session} this session`, `${done} done`, `${left} left`].filter(Boolean).join(" · ")),
    enable: ({ item, previous: back }) => {
      submit.disabled = skip.disabled = !item;
      previous.disabled = !back;
    },
  };
}

export function statusWords({ kind, count, saved_ms, message, durable }) {
  const kept = `${plural(count, "edit")} kept ${durable ? "here" : "in this tab"}`;
  if (kind === "saving") return "Saving";
  if (kind === "offline") return count > 0 ? `Offline, ${kept}` : "Offline";
  if (kind === "person") return count > 0 ? `Signed out, ${kept}` : "Signed out";
  if (kind === "conflict") return `Conflict: ${kept}`;
  if (kind === "refused") return `Not saved: ${message}`.slice(0, 120);
  if (saved_ms === null) return "Nothing to save";
  return `Saved · ${new Date(saved_ms).toLocaleTimeString("en-GB")}`;
}
