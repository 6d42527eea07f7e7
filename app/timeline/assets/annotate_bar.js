/** Beside the query: how far one is, whether everything is saved, and the ways on. */

import { button, el, keyButton, setText } from "./dom.js";
import { plural } from "./format.js";

const SLOW_SAVE_MS = 300;

const TROUBLES = {
  offline: "Offline",
  busy: "The server is busy",
  full: "The server is full",
  fault: "The server failed",
  person: "Signed out",
  role: "Not allowed",
};

export function buildAnnotateBar(view, { showConflict, retry }) {
  const progress = el("span", { className: "fl-progress" });
  const onChip = () => {
    if (chip.dataset.kind === "conflict") showConflict();
    else if (chip.dataset.kind in TROUBLES) retry();
  };
  const chip = button("fl-chip", null, onChip, { "data-kind": "saved" });
  const previous = keyButton("Previous", "", () => view.reopen(), { label: "Previous query (Ctrl + Shift + Enter)" });
  const skip = keyButton("Skip", "", () => view.skip());
  const submit = keyButton("Submit", "Ctrl + ↵", () => view.submit(), { className: "tl-strong" });
  submit.title = "Submit and go on (Ctrl + Enter)";
  const node = el("div", { className: "fl-bar" }, progress, chip, previous, skip, submit);
  let timer = 0;

  function showStatus(status) {
    const write = () => {
      chip.dataset.kind = status.kind;
      chip.title = status.message ?? "";
      chip.setAttribute("aria-live", status.kind === "saved" ? "off" : "polite");
      setText(chip, statusText(status));
    };
    clearTimeout(timer);
    // A save that is quick is not worth a word: "Saving" comes only when it takes a while.
    if (status.kind === "saving" && status.count > 0) timer = setTimeout(write, SLOW_SAVE_MS);
    else write();
  }

  function showProgress({ done, left, session, project }) {
    const parts = [project, session && `${session} this session`, `${done} done`, `${left} left`];
    setText(progress, parts.filter(Boolean).join(" · "));
  }

  function enable({ item, hasPrevious }) {
    submit.disabled = skip.disabled = !item;
    previous.disabled = !hasPrevious;
  }

  return { node, showStatus, showProgress, enable };
}

export function statusText({ kind, count, saved_ms, message, durable }) {
  const edits = `${plural(count, "edit")} kept ${durable ? "here" : "in this tab"}`;
  if (kind === "saving") return "Saving";
  if (kind in TROUBLES) return count > 0 ? `${TROUBLES[kind]}, ${edits} · retry now` : TROUBLES[kind];
  if (kind === "conflict") return `Conflict: ${edits}`;
  if (kind === "refused") return `Not saved: ${message}`.slice(0, 120);
  if (saved_ms === null) return "Nothing to save";
  return `Saved · ${new Date(saved_ms).toLocaleTimeString("en-GB")}`;
}

/** One card in the timeline's place while there is no row to show: first run, nothing left, no server. */
export class StatusCard {
  #root;
  #node = null;
  #saving = el("small", { className: "fl-saving tl-faint" });

  constructor(root) {
    this.#root = root;
  }

  /** Give the timeline back. */
  hide() {
    this.#node?.remove();
    this.#node = null;
    this.#root.classList.remove("fl-covered");
  }

  /** `buttons`: [[text, run, strong]]. Returns parts that may change while the card stands. */
  show(title, text, buttons = []) {
    this.hide();
    const line = el("p", { text, attrs: { role: "status" } });
    const bar = el("progress", { attrs: { max: "1", value: "0", "aria-label": "Progress", hidden: true } });
    const actions = buttons.map(([label, run, strong]) => button(`tl-small ${strong ? "tl-strong" : ""}`, label, run));
    this.#node = el(
      "section",
      { className: "fl-card", attrs: { "aria-label": title } },
      el("h2", { text: title }),
      line,
      bar,
      el("div", { className: "fl-buttons" }, ...actions),
      this.#saving,
    );
    this.#root.append(this.#node);
    this.#root.classList.add("fl-covered");
    this.#node.querySelector(".tl-strong")?.focus({ preventScroll: true });
    return {
      say: (message) => setText(line, message),
      progress: (fraction) => {
        bar.hidden = false;
        bar.value = fraction;
      },
    };
  }

  /** Whether work is saved matters most when the row is gone from sight. */
  showSaving(text) {
    setText(this.#saving, text);
  }
}
