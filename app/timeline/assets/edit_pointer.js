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
  const { view } = state;
  return editor.moments.map((m) => ({
    id: m.id,
    left: view.x(m.start_ms / 1000),
    right: view.x(m.end_ms / 1000),
  }));
}

/** What a press in a lane takes hold of, or null where the timeline's own gestures apply. */
export function grab(bench, { event, lane, x }) {
  if (!bench.editor.item) return null;
  const handle = event.target.closest(".tl-handle");
  if (handle && bench.editor.selected)
    return edgeDrag(bench, bench.editor.selected.id, handle.dataset.edge, x);
  if (lane !== "mine" || event.pointerType === "touch" || bench.editor.doc.verdict === "cannot-judge")
    return null;
  const hit = hitAt(x, boxesOf(bench), bench.editor.selection.id);
  if (hit?.edge) return edgeDrag(bench, hit.id, hit.edge, x);
  if (hit) return bench.slip ? bodyDrag(bench, hit.id, x) : null;
  return newDrag(bench, x);
}

/** The cursor that belongs to a place in the lane. */
export function cursorAt(bench, x) {
  const hit = hitAt(x, boxesOf(bench), bench.editor.selection.id);
  if (hit?.edge) return "ew-resize";
  if (hit) return bench.slip ? "grab" : "pointer";
  return "copy";
}

/** Where a pointer puts an edge: { ms, source, exact, target }. */
function aim(bench, x, event, edge) {
  const { view } = bench.state;
  const ms = view.time(x) * 1000;
  const free = event.altKey || !bench.snapping;
  const target = free ? null : snapTarget(ms, bench.snaps, (view.span_s * 1000) / view.width, edge);
  return { ms: target?.ms ?? ms, source: snapSource(target), exact: Boolean(target), target };
}

/** A drag that begins once the pointer has really moved; beyond the view it moves the view along. */
class Drag {
  #begun = false;
  #panning = 0;

  constructor(bench, x, { aimed, press, drop }) {
    Object.assign(this, { bench, x0: x, aimed, press, drop });
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
    this.bench.startDrag(this);
  }

  #autoPan() {
    const { view } = this.bench.state;
    const beyond = this.last.x < 0 ? -1 : this.last.x > view.width ? 1 : 0;
    if (!beyond || view.isFit) return this.#stopPanning();
    this.#panning ||= requestAnimationFrame(() => {
      this.#panning = 0;
      if (!this.#begun) return;
      this.bench.actions.pan(beyond * view.span_s * PAN_SHARE);
      this.aimed(Math.min(view.width, Math.max(0, this.last.x)), this.last.event);
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
    this.bench.endDrag(true);
    return this.drop?.();
  }

  cancel() {
    this.#stopPanning();
    if (this.#begun) this.bench.endDrag(false);
    this.#begun = false;
  }
}

/** Shift makes a pixel a frame and pushes neighbours; the pointer's offset from the edge is kept. */
function edgeDrag(bench, id, edge, x) {
  const { editor, state } = bench;
  const value = () => editor.moments.find((m) => m.id === id)?.[`${edge}_ms`] ?? 0;
  const offset = x - state.view.x(value() / 1000);
  let fine = null;
  let before = x;
  const aimed = (at, event) => {
    let target = null;
    if (event.shiftKey || bench.fine) {
      fine ??= { x: before, frame: editor.clock.frame(value()) };
      const ms = editor.clock.ms(fine.frame + Math.round(at - fine.x));
      editor.preview({ type: "setEdge", id, edge, ms, source: "hand", push: true });
    } else {
      fine = null;
      const place = aim(bench, at - offset, event, edge);
      target = place.target;
      editor.preview({ type: "setEdge", id, edge, ms: place.ms, source: place.source, exact: place.exact });
    }
    before = at;
    editor.select({ id, edge });
    bench.dragged(id, edge, target);
  };
  return new Drag(bench, x, {
    aimed,
    press: () => bench.actions.selectEdge(edge, id),
    drop: () => bench.actions.focusEdge(),
  });
}

function bodyDrag(bench, id, x) {
  const { editor, state } = bench;
  const from_ms = state.view.time(x) * 1000;
  const aimed = (at) => {
    const delta_ms = state.view.time(at) * 1000 - from_ms;
    editor.preview({ type: "slip", id, delta_ms });
    bench.dragged(id, "start", null);
  };
  return new Drag(bench, x, { aimed, press: () => bench.actions.pressMoment(id, state.view.time(x)) });
}

/** From empty lane: a new moment between where the pointer went down and where it is. */
function newDrag(bench, x) {
  const { editor } = bench;
  const anchor = aim(bench, x, {}, null);
  const aimed = (at, event) => {
    const other = aim(bench, at, event, at < x ? "start" : "end");
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
    if (made && editor.previewing) bench.dragged(made.id, other === start ? "start" : "end", other.target);
  };
  return new Drag(bench, x, { aimed, press: () => bench.actions.pressEmpty(bench.state.view.time(x)) });
}
