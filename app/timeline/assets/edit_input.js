/** Which pointer is in use, what a click in a lane means, and focus that comes by Tab or from a screen reader. */

import { cursorAt } from "./edit_pointer.js";

const TWICE_MS = 350;

export class EditInput {
  #press = { id: null, at_ms: -Infinity };

  constructor(editorView) {
    this.editorView = editorView;
    const { root, axis, signal } = editorView;
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
    const { editorView } = this;
    const { editor, actions } = editorView;
    if (lane === "model") return this.#clickedGhost(time_s);
    if (lane !== "mine" || !editor.item) return editorView.seekVisibly(time_s);
    const ms = time_s * 1000;
    const moment = editor.moments.find((m) => ms >= m.start_ms && ms < m.end_ms);
    return moment ? actions.pressMoment(moment.id, time_s) : actions.pressEmpty(time_s);
  }

  #clickedGhost(time_s) {
    const { editorView } = this;
    const { item } = editorView.editor;
    const ms = time_s * 1000;
    const ghosts = item?.arm === "blind" ? [] : (item?.model?.moments ?? []);
    const idx = ghosts.findIndex((ghost) => ms >= ghost.start_ms && ms < ghost.end_ms);
    if (idx < 0) return editorView.seekVisibly(time_s);
    if (this.pressedTwice(`ghost ${idx}`)) return editorView.transport.auditionMoment(ghosts[idx]);
    return editorView.actions.selectGhost(idx);
  }

  #pointer(event) {
    const { editorView } = this;
    editorView.editor.note();
    if (event.pointerType === "pen" || (event.pointerType === "touch") === editorView.touch) return;
    editorView.touch = !editorView.touch;
    editorView.state.touch("viewport", "edit");
  }

  #cursor(event) {
    const { editorView } = this;
    const track = event.target.closest?.("[data-lane=mine]");
    if (!track || event.pointerType === "touch" || editorView.dragging) return;
    const x = event.clientX - editorView.tracks.getBoundingClientRect().left;
    const cursor = cursorAt(editorView, x);
    if (track.style.cursor !== cursor) track.style.cursor = cursor;
  }

  #focused(event) {
    const { editorView } = this;
    if (editorView.focusing || editorView.dragging) return;
    const slider = event.target.closest("[data-lane=mine] [data-edge]");
    const ghost = event.target.closest(".tl-ghost");
    if (slider)
      editorView.actions.selectEdge(slider.dataset.edge, Number(slider.closest("[data-key]").dataset.key));
    else if (ghost) editorView.actions.selectGhost(Number(ghost.dataset.key));
  }
}
