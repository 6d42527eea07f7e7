/**
 * Dragging in the lane of one's own moments: edges, new moments, and (unlocked) whole moments. Each drag is an object
 * with `move`, `end` and `cancel`; the timeline's own gestures (pointer.js) ask for one with `grab`.
 */

import { hitAt } from "./hits.js";
import { snapSource, snapTarget } from "./snapping.js";

const START_PX = 3;
const PAN_SHARE = 0.02; // of the view, each refresh, while the pointer is beyond its end

/** The boxes of one's own moments on the screen. */
function boxesOf({ editor, state }) {
  const { viewport } = state;
  return editor.moments.map((m) => ({
    id: m.id,
    left: viewport.x(m.start_ms / 1000),
    right: viewport.x(m.end_ms / 1000),
  }));
}

/** What a press in a lane takes hold of, or null where the timeline's own gestures apply. */
export function grab(editorView, { event, lane, x }) {
  if (!editorView.editor.item) return null;
  const handle = event.target.closest(".tl-handle");
  if (handle && editorView.editor.selected)
    return edgeDrag(editorView, editorView.editor.selected.id, handle.dataset.edge, x);
  if (lane !== "mine" || event.pointerType === "touch" || editorView.editor.doc.verdict === "cannot-judge")
    return null;
  const hit = hitAt(x, boxesOf(editorView), editorView.editor.selection.id);
  if (hit?.edge) return edgeDrag(editorView, hit.id, hit.edge, x);
  if (hit) return editorView.slip ? bodyDrag(editorView, hit.id, x) : null;
  return newDrag(editorView, x);
}

/** The cursor that belongs to a place in the lane. */
export function cursorAt(editorView, x) {
  const hit = hitAt(x, boxesOf(editorView), editorView.editor.selection.id);
  if (hit?.edge) return "ew-resize";
  if (hit) return editorView.slip ? "grab" : "pointer";
  return "copy";
}

/** Where a pointer puts an edge: { ms, source, exact, target }. */
function aim(editorView, x, event, edge) {
  const { viewport } = editorView.state;
  const ms = viewport.time(x) * 1000;
  const free = event.altKey || !editorView.snapping;
  const target = free ? null : snapTarget(ms, editorView.snaps, (viewport.span_s * 1000) / viewport.width, edge);
  return { ms: target?.ms ?? ms, source: snapSource(target), exact: Boolean(target), target };
}

/** A drag that begins once the pointer has really moved; beyond the view it moves the view along. */
class Drag {
  #begun = false;
  #panning = 0;

  constructor(editorView, x, { aimed, press, drop }) {
    Object.assign(this, { editorView, x0: x, aimed, press, drop });
  }

  move(x, event) {
    if (!this.#begun && Math.abs(x - this.x0) < START_PX) return;
    if (!this.#begun) this.#begin();
    this.last = { x, event: { altKey: event.altKey, shiftKey: event.shiftKey } };
    this.aimed(x, this.last.event);
    this.#autoPan();
  }

  #begin() {
    this.#begun = true;
    this.editorView.startDrag(this);
  }

  #autoPan() {
    const { viewport } = this.editorView.state;
    const beyond = this.last.x < 0 ? -1 : this.last.x > viewport.width ? 1 : 0;
    if (!beyond || viewport.isFit) return this.#stopPanning();
    this.#panning ||= requestAnimationFrame(() => {
      this.#panning = 0;
      if (!this.#begun) return;
      this.editorView.actions.pan(beyond * viewport.span_s * PAN_SHARE);
      this.aimed(Math.min(viewport.width, Math.max(0, this.last.x)), this.last.event);
      this.#autoPan();
    });
    return undefined;
  }

  #stopPanning() {
    cancelAnimationFrame(this.#panning);
    this.#panning = 0;
  }

  end() {
    this.#stopPanning();
    if (!this.#begun) return this.press();
    this.#begun = false;
    this.editorView.endDrag(true);
    return this.drop?.();
  }

  cancel() {
    this.#stopPanning();
    if (this.#begun) this.editorView.endDrag(false);
    this.#begun = false;
  }
}

/** Shift makes a pixel a frame and pushes neighbours; the pointer's offset from the edge is kept. */
function edgeDrag(editorView, id, edge, x) {
  const { editor, state } = editorView;
  const value = () => editor.moments.find((m) => m.id === id)?.[`${edge}_ms`] ?? 0;
  const offset = x - state.viewport.x(value() / 1000);
  let fine = null;
  let before = x;
  const aimed = (at, event) => {
    let target = null;
    if (event.shiftKey || editorView.fine) {
      fine ??= { x: before, frame: editor.clock.frame(value()) };
      const ms = editor.clock.ms(fine.frame + Math.round(at - fine.x));
      editor.preview({ type: "setEdge", id, edge, ms, source: "hand", push: true });
    } else {
      fine = null;
      const place = aim(editorView, at - offset, event, edge);
      target = place.target;
      editor.preview({ type: "setEdge", id, edge, ms: place.ms, source: place.source, exact: place.exact });
    }
    before = at;
    editor.select({ id, edge });
    editorView.dragged(id, edge, target);
  };
  return new Drag(editorView, x, {
    aimed,
    press: () => editorView.actions.selectEdge(edge, id),
    drop: () => editorView.actions.focusEdge(),
  });
}

function bodyDrag(editorView, id, x) {
  const { editor, state } = editorView;
  const from_ms = state.viewport.time(x) * 1000;
  const aimed = (at) => {
    const delta_ms = state.viewport.time(at) * 1000 - from_ms;
    editor.preview({ type: "slip", id, delta_ms });
    editorView.dragged(id, "start", null);
  };
  return new Drag(editorView, x, { aimed, press: () => editorView.actions.pressMoment(id, state.viewport.time(x)) });
}

/** From empty lane: a new moment between where the pointer went down and where it is. */
function newDrag(editorView, x) {
  const { editor } = editorView;
  const anchor = aim(editorView, x, {}, null);
  const aimed = (at, event) => {
    const other = aim(editorView, at, event, at < x ? "start" : "end");
    const [start, end] = other.ms < anchor.ms ? [other, anchor] : [anchor, other];
    editor.preview({
      type: "newMoment",
      start_ms: start.ms,
      end_ms: end.ms,
      start_source: start.source,
      end_source: end.source,
      at_ms: anchor.ms,
    });
    const made = editor.moments.find((m) => m.id === editor.doc.next_id - 1);
    if (made && editor.previewing) editorView.dragged(made.id, other === start ? "start" : "end", other.target);
  };
  return new Drag(editorView, x, { aimed, press: () => editorView.actions.pressEmpty(editorView.state.viewport.time(x)) });
}
