/** The tutorial's card: what to do next, which steps are over, the time. It lies over the page and moves nothing. */

import { el, keyButton, setText } from "./dom.js";
import { clock } from "./format.js";

const SIGNS = { done: "✓", "left out": "–" };
const NARROW_PX = 820;

export class TutorialCard {
  #view;
  #start_ms = performance.now();
  #stopped_s = null;

  constructor(view, { onSkip, onLeave }) {
    this.#view = view;
    this.steps = el("ol", { className: "tl-drill-steps", attrs: { "aria-label": "Steps" } });
    const timerAttrs = { role: "timer", "aria-label": "Time" };
    this.timer = el("span", { className: "tl-drill-time", attrs: timerAttrs, text: "0:00" });
    this.words = el("p", { className: "tl-drill-says", attrs: { "aria-atomic": "true" } });
    this.reasons = el("p", { className: "tl-faint" });
    const polite = { role: "status", "aria-live": "polite", "aria-atomic": "false" };
    this.skip = keyButton("Skip step", view.keys.text("drillOn"), onSkip);
    this.leave = keyButton("Leave", "Esc", onLeave);
    const title = el("strong", { text: "Drill" });
    const head = el("div", { className: "tl-drill-head" }, title, this.steps, this.timer, this.skip, this.leave);
    const text = el("div", { attrs: polite }, this.reasons, this.words);
    this.node = el("section", { className: "tl-drill", attrs: { "aria-label": "Drill", popover: "manual" } }, head, text);
    view.root.prepend(this.node);
    this.node.showPopover();
    this.#place();
  }

  /** At the top, beside the buttons of the page; on a narrow one at the bottom, so that those stay free. */
  #place() {
    const { left, top, width } = this.#view.root.getBoundingClientRect();
    const isNarrow = width < NARROW_PX;
    this.node.classList.toggle("tl-drill-low", isNarrow);
    Object.assign(this.node.style, {
      left: `${left}px`,
      top: isNarrow ? "auto" : `${Math.max(4, top)}px`,
      width: isNarrow ? `${width}px` : "",
    });
  }

  /** Count the seconds, and stay in place, until `signal`. */
  run(signal) {
    for (const name of ["scroll", "resize"]) window.addEventListener(name, () => this.#place(), { signal, passive: true });
    const timer = setInterval(() => setText(this.timer, clock(this.seconds, 0)), 250);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  get seconds() {
    return this.#stopped_s ?? Math.round((performance.now() - this.#start_ms) / 1000);
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
    setText(this.reasons, reasons.join(" ") || always);
    this.words.replaceChildren(...(step ? this.#sentence(step) : [this.#result(marks)]));
    this.skip.hidden = !step;
    if (step) return;
    setText(this.leave.firstChild, "Back to the row");
    setText(this.leave.lastChild, "Enter");
    this.leave.classList.add("tl-strong");
    this.leave.focus({ preventScroll: true });
  }

  #result(marks) {
    const skipped = marks.filter((mark) => mark !== "done").length;
    return `Done in ${this.seconds} s.${skipped ? ` ${skipped} of ${marks.length} steps left out.` : ""}`;
  }

  /** The step's sentence with this person's keys in it; without keys for a finger, or where they are switched off. */
  #sentence(step) {
    const { keys, touch } = this.#view;
    // Text and names of bindings take turns, text first.
    const parts = step.words(this.#view).split(/\{(\w+)\}/);
    const texts = parts.map((part, idx) => (idx % 2 ? keys.text(part, { usable: true }) : part));
    if (touch || texts.some((text, idx) => idx % 2 && !text)) return [step.wordsForHand];
    return texts.map((text, idx) => (idx % 2 ? el("kbd", { text }) : text));
  }
}

function stepMark(name, idx, marks) {
  const mark = marks[idx];
  const isCurrent = idx === marks.length;
  const text = SIGNS[mark] ?? String(idx + 1);
  const spoken = `${name}${mark ? `: ${mark}` : ""}`;
  return el(
    "li",
    { attrs: { title: spoken, "data-mark": mark ?? null, "aria-current": isCurrent ? "step" : null } },
    el("span", { text, attrs: { "aria-hidden": "true" } }),
    el("span", { className: "tl-hidden", text: spoken }),
  );
}
