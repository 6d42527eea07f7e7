/**
 * The pointer in the lanes of moments: what it is on, what a press takes hold of, what a click means. A drag is an
 * object with `move`, `end` and `cancel`; the timeline's own gestures (pointer.js) ask for one with `grab`.
 */

import { setStyle } from "./dom.js";
import { snapSource, snapTarget } from "./snapping.js";

const START_PX = 3;
const PAN_SHARE = 0.02; // of the view, each refresh, while the pointer is beyond its end
const TWICE_MS = 350;
const OUTSIDE_PX = 10;
const INSIDE_PX = 10;
const ROOM_PX = 40;
const LEAST_BAND_PX = 4; // nearer to the edge it is certain

/**
 * What the pointer is on, in CSS pixels, whatever the zoom. `boxes` are { id, left, right }. Gives { id, edge } on an
 * edge's zone, { id, edge: null } inside a moment, or null. The zone reaches 10 px outside, and 10 px inside while the
 * moment is wider than 40 px. The selected moment's edges win; then the moment that the pointer is in; then the nearest.
 */
export function hitAt(x, boxes, selected_id) {
  const hits = boxes.flatMap((box) => {
    const inside = box.right - box.left > ROOM_PX ? INSIDE_PX : 0;
    const zones = [
      ["start", box.left, box.left - OUTSIDE_PX, box.left + inside],
      ["end", box.right, box.right - inside, box.right + OUTSIDE_PX],
    ];
    const within = x >= box.left && x <= box.right;
    return zones
      .filter(([, , from, to]) => x >= from && x <= to)
      .map(([edge, at]) => ({ id: box.id, edge, distance: Math.abs(x - at), selected: box.id === selected_id, within }));
  });
  const [hit] = hits.sort((a, b) => b.selected - a.selected || b.within - a.within || a.distance - b.distance);
  const body = boxes.find((box) => x >= box.left && x <= box.right);
  if (hit && (hit.selected || !body || body.id === hit.id || hit.within)) return { id: hit.id, edge: hit.edge };
  return body ? { id: body.id, edge: null } : null;
}

/** What the pointer is on in the lane of one's own moments. */
function ownHit({ editor, state: { viewport } }, x) {
  const boxes = editor.moments.map(({ id, start_ms, end_ms }) => ({
    id,
    left: viewport.x(start_ms / 1000),
    right: viewport.x(end_ms / 1000),
  }));
  return hitAt(x, boxes, editor.selection.id);
}

/** What a press in a lane takes hold of, or null where the timeline's own gestures apply. */
export function grab(view, { event, lane, x }) {
  if (!view.editor.item) return null;
  const handle = event.target.closest(".tl-handle");
  if (handle && view.editor.selected)
    return edgeDrag(view, view.editor.selected.id, handle.dataset.edge, x);
  if (lane !== "mine" || event.pointerType === "touch" || view.editor.doc.verdict === "cannot-judge")
    return null;
  const hit = ownHit(view, x);
  if (hit?.edge) return edgeDrag(view, hit.id, hit.edge, x);
  if (hit) return view.slip ? bodyDrag(view, hit.id, x) : null;
  return newDrag(view, x);
}

/** Where a pointer puts an edge: { ms, source, exact, target }. */
function targetAt(view, x, event, edge) {
  const { viewport } = view.state;
  const ms = viewport.time(x) * 1000;
  const free = event.altKey || !view.snapping;
  const target = free ? null : snapTarget(ms, view.snaps, (viewport.span_s * 1000) / viewport.width, edge);
  return { ms: target?.ms ?? ms, source: snapSource(target), exact: Boolean(target), target };
}

/** A drag that starts once the pointer has really moved; beyond the view it moves the view along. */
class Drag {
  #started = false;
  #panning = 0;

  constructor(view, x, { aim, press, drop }) {
    Object.assign(this, { view, x0: x, aim, press, drop });
  }

  move(x, event) {
    if (!this.#started && Math.abs(x - this.x0) < START_PX) return;
    if (!this.#started) this.view.startDrag(this);
    this.#started = true;
    const { altKey, shiftKey, ctrlKey, metaKey } = event;
    this.last = { x, event: { altKey, shiftKey, isBand: ctrlKey || metaKey } };
    this.aim(x, this.last.event);
    this.#autoPan();
  }

  #autoPan() {
    const { viewport } = this.view.state;
    const beyond = this.last.x < 0 ? -1 : this.last.x > viewport.width ? 1 : 0;
    if (!beyond || viewport.isFit) return this.#stopPanning();
    this.#panning ||= requestAnimationFrame(() => {
      this.#panning = 0;
      if (!this.#started) return;
      this.view.actions.pan(beyond * viewport.span_s * PAN_SHARE);
      this.aim(Math.min(viewport.width, Math.max(0, this.last.x)), this.last.event);
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
    if (!this.#started) return this.press();
    this.#started = false;
    this.view.endDrag(true);
    return this.drop?.();
  }

  cancel() {
    this.#stopPanning();
    if (this.#started) this.view.endDrag(false);
    this.#started = false;
  }
}

/**
 * Shift makes a pixel a frame and pushes neighbours; the pointer's offset from the edge is kept. Ctrl (or Command)
 * leaves the edge where it is and draws its band: how far to either side it may lie.
 */
function edgeDrag(view, id, edge, x) {
  const { editor, state } = view;
  const value = () => editor.moments.find((m) => m.id === id)?.[`${edge}_ms`] ?? 0;
  const offset = x - state.viewport.x(value() / 1000);
  let fine = null;
  let before = x;
  const aim = (at, event) => {
    let target = null;
    if (event.isBand) {
      const px = Math.abs(at - x);
      const ms = px < LEAST_BAND_PX ? null : Math.round((px * state.viewport.span_s * 1000) / state.viewport.width);
      editor.preview({ type: "setUncertainty", id, edge, ms });
    } else if (event.shiftKey || view.fine) {
      fine ??= { x: before, frame: editor.clock.frame(value()) };
      const ms = editor.clock.ms(fine.frame + Math.round(at - fine.x));
      editor.preview({ type: "setEdge", id, edge, ms, source: "hand", push: true });
    } else {
      fine = null;
      const place = targetAt(view, at - offset, event, edge);
      target = place.target;
      editor.preview({ type: "setEdge", id, edge, ms: place.ms, source: place.source, exact: place.exact });
    }
    before = at;
    editor.select({ id, edge });
    view.dragged(id, edge, target);
  };
  return new Drag(view, x, {
    aim,
    press: () => view.actions.selectEdge(edge, id),
    drop: () => view.actions.focusEdge(),
  });
}

function bodyDrag(view, id, x) {
  const { editor, state } = view;
  const from_ms = state.viewport.time(x) * 1000;
  const aim = (at) => {
    const delta_ms = state.viewport.time(at) * 1000 - from_ms;
    editor.preview({ type: "slip", id, delta_ms });
    view.dragged(id, "start", null);
  };
  return new Drag(view, x, { aim, press: () => view.actions.pressMoment(id, state.viewport.time(x)) });
}

/** From empty lane: a new moment between where the pointer went down and where it is. */
function newDrag(view, x) {
  const { editor } = view;
  const anchor = targetAt(view, x, {}, null);
  const aim = (at, event) => {
    const other = targetAt(view, at, event, at < x ? "start" : "end");
    const [start, end] = other.ms < anchor.ms ? [other, anchor] : [anchor, other];
    editor.preview({
      type: "newMoment",
      start_ms: start.ms,
      end_ms: end.ms,
      start_source: start.source,
      end_source: end.source,
      at_ms: anchor.ms,
    });
    const newest = editor.moments.find((m) => m.id === editor.doc.next_id - 1);
    if (newest && editor.previewing) view.dragged(newest.id, other === start ? "start" : "end", other.target);
  };
  return new Drag(view, x, { aim, press: () => view.actions.pressEmpty(view.state.viewport.time(x)) });
}

/** Which pointer is in use, what a click in a lane means, and focus that comes by Tab or from a screen reader. */
export class EditPointer {
  #press = { id: null, at_ms: -Infinity };

  constructor(view) {
    this.view = view;
    const { root, axis, signal } = view;
    // The browser would focus whatever lies under the pointer; what a press selects is decided by `grab`.
    const keepFocus = (event) => event.target.closest(".tl-track") && event.preventDefault();
    axis.addEventListener("mousedown", keepFocus, { signal });
    axis.addEventListener("focusin", (event) => this.#focus(event), { signal });
    root.addEventListener("pointerdown", (event) => this.#noteKind(event), { signal, capture: true });
    root.addEventListener("pointermove", (event) => this.#showCursor(event), { signal });
  }

  /** Whether this is the second press on the same thing in a short time; works for fingers too. */
  pressedTwice(id) {
    const now = performance.now();
    const twice = this.#press.id === id && now - this.#press.at_ms < TWICE_MS;
    this.#press = { id: twice ? null : id, at_ms: now };
    return twice;
  }

  click(lane, time_s) {
    const { editor, actions } = this.view;
    const ms = time_s * 1000;
    const isHere = ({ start_ms, end_ms }) => ms >= start_ms && ms < end_ms;
    if (lane === "model" && editor.item?.arm !== "blind") {
      const ghosts = editor.item?.model?.moments ?? [];
      const idx = ghosts.findIndex(isHere);
      if (idx >= 0 && this.pressedTwice(`ghost ${idx}`)) return this.view.transport.auditionMoment(ghosts[idx]);
      if (idx >= 0) return actions.selectGhost(idx);
    }
    if (lane !== "mine" || !editor.item) return this.view.seekVisibly(time_s);
    const moment = editor.moments.find(isHere);
    return moment ? actions.pressMoment(moment.id, time_s) : actions.pressEmpty(time_s);
  }

  #noteKind({ pointerType }) {
    const { view } = this;
    view.editor.note();
    if (pointerType === "pen" || (pointerType === "touch") === view.touch) return;
    view.touch = !view.touch;
    view.state.touch("viewport", "edit");
  }

  #showCursor(event) {
    const { view } = this;
    const track = event.target.closest?.("[data-lane=mine]");
    if (!track || event.pointerType === "touch" || view.dragging) return;
    const hit = ownHit(view, event.clientX - view.tracks.getBoundingClientRect().left);
    const overMoment = view.slip ? "grab" : "pointer";
    setStyle(track, "cursor", hit?.edge ? "ew-resize" : hit ? overMoment : "copy");
  }

  #focus(event) {
    const { focusing, dragging, actions } = this.view;
    if (focusing || dragging) return;
    const slider = event.target.closest("[data-lane=mine] [data-edge]");
    const ghost = event.target.closest(".tl-ghost");
    if (slider) actions.selectEdge(slider.dataset.edge, Number(slider.closest("[data-key]").dataset.key));
    else if (ghost) actions.selectGhost(Number(ghost.dataset.key));
  }
}
