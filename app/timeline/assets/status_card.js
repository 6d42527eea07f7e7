/** What stands in the timeline's place when there is no row to show: first run, nothing left, no server. */

import { el, setText } from "./dom.js";

/** Covers the timeline with one card; `hide()` gives it back. */
export class StatusCard {
  #root;
  #node = null;
  #saving = el("small", { className: "fl-saving tl-faint" });

  constructor(root) {
    this.#root = root;
  }

  hide() {
    this.#node?.remove();
    this.#node = null;
    this.#root.classList.remove("fl-covered");
  }

  /** `buttons`: [[text, keys, run, strong]]. Returns parts that may change while the card stands. */
  show(title, words, buttons = []) {
    this.hide();
    const line = el("p", { text: words, attrs: { role: "status" } });
    const bar = el("progress", { attrs: { max: "1", value: "0", "aria-label": "Progress", hidden: true } });
    const actions = buttons.map(([text, run, strong]) =>
      el("button", { className: `tl-small ${strong ? "tl-strong" : ""}`, text, attrs: { type: "button" }, on: { click: run } }),
    );
    this.#node = el("section", { className: "fl-card", attrs: { "aria-label": title } }, el("h2", { text: title }), line, bar, el("div", { className: "fl-buttons" }, ...actions), this.#saving);
    this.#root.append(this.#node);
    this.#root.classList.add("fl-covered");
    this.#node.querySelector(".tl-strong")?.focus({ preventScroll: true });
    return {
      say: (text) => setText(line, text),
      progress: (share) => {
        bar.hidden = false;
        bar.value = share;
      },
      disable: () => actions.forEach((button) => (button.disabled = true)),
    };
  }

  /** Whether work is saved matters most when the row is gone from sight. */
  saving(words) {
    setText(this.#saving, words);
  }
}
