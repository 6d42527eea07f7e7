/** The drill's card: what to do next, which steps are over, the time. It lies over the page and moves nothing. */

import { el, setText } from "./dom.js";
import { button } from "./edit_panel.js";

const SIGNS = { done: "✓", "left out": "–" };
const NARROW_PX = 820;

export class TutorialCard {
  #editorView;
  #began_ms = performance.now();
  #stopped_s = null;

  constructor(editorView, { on, leave }) {
    this.#editorView = editorView;
    this.steps = el("ol", { className: "tl-drill-steps", attrs: { "aria-label": "Steps" } });
    this.timer = el("span", { className: "tl-drill-time", attrs: { role: "timer", "aria-label": "Time" }, text: "0:00" });
    this.says = el("p", { className: "tl-drill-says", attrs: { "aria-atomic": "true" } });
    this.why = el("p", { className: "tl-faint" });
    const polite = { role: "status", "aria-live": "polite", "aria-atomic": "false" };
    const words = el("div", { attrs: polite }, this.why, this.says);
    this.on = button("Skip step", editorView.keys.text("drillOn"), on);
    this.leave = button("Leave", "Esc", leave);
    const title = el("strong", { text: "Drill" });
    const head = el("div", { className: "tl-drill-head" }, title, this.steps, this.timer, this.on, this.leave);
    const attrs = { "aria-label": "Drill", popover: "manual" };
    this.node = el("section", { className: "tl-drill", attrs }, head, words);
    editorView.root.prepend(this.node);
    this.node.showPopover();
    this.#place();
  }

  /** At the top, beside the buttons of the page; on a narrow one at the bottom, so that those stay free. */
  #place() {
    const { left, top, width } = this.#editorView.root.getBoundingClientRect();
    const low = width < NARROW_PX;
    this.node.classList.toggle("tl-drill-low", low);
    Object.assign(this.node.style, {
      left: `${left}px`,
      top: low ? "auto" : `${Math.max(4, top)}px`,
      width: low ? `${width}px` : "",
    });
  }

  /** Count the seconds, and stay in place, until `signal`. */
  run(signal) {
    for (const name of ["scroll", "resize"]) window.addEventListener(name, () => this.#place(), { signal, passive: true });
    const timer = setInterval(() => setText(this.timer, clock(this.seconds)), 250);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  get seconds() {
    return this.#stopped_s ?? Math.round((performance.now() - this.#began_ms) / 1000);
  }

  stop() {
    this.#stopped_s = this.seconds;
    return this.#stopped_s;
  }

  remove() {
    this.node.remove();
  }

  show({ step, names, marks, reasons }) {
    this.steps.replaceChildren(...names.map((name, idx) => stepMark(name, idx, marks)));
    const always = step ? "Try it here: nothing of it is kept or sent." : "The row comes back as it was.";
    setText(this.why, reasons.join(" ") || always);
    this.says.replaceChildren(...(step ? this.#sentence(step) : [this.#result(marks)]));
    this.on.hidden = !step;
    if (step) return;
    setText(this.leave.firstChild, "Back to the row");
    setText(this.leave.lastChild, "Enter");
    this.leave.classList.add("tl-strong");
    this.leave.focus({ preventScroll: true });
  }

  #result(marks) {
    const left = marks.filter((mark) => mark !== "done").length;
    return `Done in ${this.seconds} s.${left ? ` ${left} of ${marks.length} steps left out.` : ""}`;
  }

  /** The step's sentence with this person's keys in it; without keys for a finger, or where they are switched off. */
  #sentence(step) {
    const { keys, touch } = this.#editorView;
    const parts = step.says(this.#editorView).split(/\{(\w+)\}/);
    const named = parts.filter((_, idx) => idx % 2 === 1).map((id) => keys.text(id, { usable: true }));
    if (touch || named.some((text) => !text)) return [step.hand];
    return parts.map((part, idx) => (idx % 2 ? el("kbd", { text: named[(idx - 1) / 2] }) : part));
  }
}

function stepMark(name, idx, marks) {
  const mark = marks[idx];
  const now = idx === marks.length;
  const text = SIGNS[mark] ?? String(idx + 1);
  const says = `${name}${mark ? `: ${mark}` : ""}`;
  return el(
    "li",
    { attrs: { title: says, "data-mark": mark ?? null, "aria-current": now ? "step" : null } },
    el("span", { text, attrs: { "aria-hidden": "true" } }),
    el("span", { className: "tl-hidden", text: says }),
  );
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
