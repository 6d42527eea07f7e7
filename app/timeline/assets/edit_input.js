/** Which pointer is in use, what a click in a lane means, and focus that comes by Tab or from a screen reader. */

import { cursorAt } from "./edit_pointer.js";

const TWICE_MS = 350;

export class EditInput {
  #press = { id: null, at_ms: -Infinity };

  constructor(bench) {
    this.bench = bench;
    const { root, axis, signal } = bench;
    const on = (node, name, handler, options = {}) =>
      node.addEventListener(name, handler, { signal, ...options });
    // The browser would focus whatever lies under the pointer; what a press selects is decided in edit_pointer.js.
    on(axis, "mousedown", (event) => event.target.closest(".tl-track") && event.preventDefault());
    on(axis, "focusin", (event) => this.#focused(event));
    on(root, "pointerdown", (event) => this.#pointer(event), { capture: true });
    on(root, "pointermove", (event) => this.#cursor(event));
  }

  /** Whether this is the second press on the same thing in a short time; works for fingers too. */
  pressedTwice(id) {
    const now = performance.now();
    const twice = this.#press.id === id && now - this.#press.at_ms < TWICE_MS;
    this.#press = { id: twice ? null : id, at_ms: now };
    return twice;
  }

  clicked(lane, time_s) {
    const { bench } = this;
    const { editor, actions } = bench;
    if (lane === "model") return this.#clickedGhost(time_s);
    if (lane !== "mine" || !editor.item) return bench.seekVisibly(time_s);
    const ms = time_s * 1000;
    const moment = editor.moments.find((m) => ms >= m.start_ms && ms < m.end_ms);
    return moment ? actions.pressMoment(moment.id, time_s) : actions.pressEmpty(time_s);
  }

  #clickedGhost(time_s) {
    const { bench } = this;
    const { item } = bench.editor;
    const ms = time_s * 1000;
    const ghosts = item?.arm === "blind" ? [] : (item?.model?.moments ?? []);
    const idx = ghosts.findIndex((ghost) => ms >= ghost.start_ms && ms < ghost.end_ms);
    if (idx < 0) return bench.seekVisibly(time_s);
    if (this.pressedTwice(`ghost ${idx}`)) return bench.transport.auditionMoment(ghosts[idx]);
    return bench.actions.selectGhost(idx);
  }

  #pointer(event) {
    const { bench } = this;
    bench.editor.note();
    if (event.pointerType === "pen" || (event.pointerType === "touch") === bench.touch) return;
    bench.touch = !bench.touch;
    bench.state.touch("view", "edit");
  }

  #cursor(event) {
    const { bench } = this;
    const track = event.target.closest?.("[data-lane=mine]");
    if (!track || event.pointerType === "touch" || bench.dragging) return;
    const x = event.clientX - bench.tracks.getBoundingClientRect().left;
    const cursor = cursorAt(bench, x);
    if (track.style.cursor !== cursor) track.style.cursor = cursor;
  }

  #focused(event) {
    const { bench } = this;
    if (bench.focusing || bench.dragging) return;
    const slider = event.target.closest("[data-lane=mine] [data-edge]");
    const ghost = event.target.closest(".tl-ghost");
    if (slider)
      bench.actions.selectEdge(slider.dataset.edge, Number(slider.closest("[data-key]").dataset.key));
    else if (ghost) bench.actions.selectGhost(Number(ghost.dataset.key));
  }
}
