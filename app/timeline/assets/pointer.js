/**
 * Mouse, pen and fingers on the axis: click, scrub, pan, wheel, pinch. Reports actions; moves nothing itself.
 * `actions.grab`, where there is one, may take a press over with a drag of its own ({ move, end, cancel }).
 */

const CLICK_PX = 4;
const SCROLL_PAUSE_MS = 250;

export class Gestures {
  #pointers = new Map(); // { x, y } by pointer
  #start = null;
  #drag = null;
  #pinch_px = 0;
  #scrolled_ms = -Infinity;

  constructor({ axis, tracks, state, actions, signal }) {
    Object.assign(this, { axis, tracks, state, actions });
    const on = (node, name, handler, options = {}) => node.addEventListener(name, handler, { signal, ...options });
    on(axis, "pointerdown", (event) => this.down(event));
    on(axis, "pointermove", (event) => this.move(event));
    on(axis, "pointerup", (event) => this.up(event, true));
    on(axis, "pointercancel", (event) => this.up(event, false));
    on(axis, "pointerleave", () => actions.hover(null));
    on(axis, "wheel", (event) => this.wheel(event), { passive: false }); // a passive listener could not keep the page still
    on(window, "wheel", (event) => this.wheelElsewhere(event), { passive: true });
  }

  x(event) {
    return event.clientX - this.tracks.getBoundingClientRect().left;
  }

  down(event) {
    if (event.button !== 0 || !this.state.hasAxis) return;
    const track = event.target.closest(".tl-track");
    if (!track && !event.target.closest(".tl-playhead")) return;
    this.actions.focus?.() ?? this.axis.focus({ preventScroll: true });
    this.axis.setPointerCapture(event.pointerId); // the drag goes on when the pointer leaves the axis
    this.#pointers.set(event.pointerId, { x: this.x(event), y: event.clientY });
    this.#pinch_px = this.#spread();
    const lane = track?.dataset.lane ?? "playhead";
    this.#drag?.cancel();
    const alone = this.#pointers.size === 1;
    this.#drag = (alone && this.actions.grab?.({ event, lane, x: this.x(event) })) || null;
    this.#start = { x: this.x(event), time_s: this.state.viewport.time(this.x(event)), lane, mode: "press" };
    if (lane === "minimap") this.#overview(event);
  }

  move(event) {
    if (!this.#pointers.has(event.pointerId)) return this.#hover(event);
    this.#pointers.set(event.pointerId, { x: this.x(event), y: event.clientY });
    if (this.#pointers.size === 2) return this.#pinch();
    if (this.#drag) return this.#drag.move(this.x(event), event);
    const start = this.#start;
    if (start?.lane === "minimap") return this.#overview(event);
    if (start?.mode === "press" && Math.abs(this.x(event) - start.x) >= CLICK_PX)
      start.mode = this.#dragMode(start.lane);
    if (start?.mode === "scrub") this.actions.scrub(this.state.viewport.time(this.x(event)));
    if (start?.mode === "pan") this.actions.pan(start.time_s - this.state.viewport.time(this.x(event)));
    return undefined;
  }

  up(event, complete) {
    if (!this.#pointers.delete(event.pointerId)) return undefined;
    const start = this.#start;
    const drag = this.#drag;
    this.#drag = null;
    if (drag) return complete ? drag.end() : drag.cancel();
    if (this.#pointers.size > 0) this.#start = null;
    else if (complete && start?.mode === "press" && start.lane !== "minimap")
      this.actions.click(start.lane, start.time_s);
    return undefined;
  }

  /** Escape: the drag under way ends as if it had not been. */
  drop() {
    this.#drag?.cancel();
    this.#drag = null;
    if (this.#start) this.#start.mode = "dropped";
  }

  /** The ruler and the playhead scrub; elsewhere a drag moves the axis, or scrubs while all of it is in view. */
  #dragMode(lane) {
    return lane === "ruler" || lane === "playhead" || this.state.viewport.isFit ? "scrub" : "pan";
  }

  #overview(event) {
    const { viewport } = this.state;
    this.actions.pan((this.x(event) / viewport.width) * viewport.duration_s - viewport.span_s / 2 - viewport.start_s);
  }

  #spread() {
    const [a, b] = [...this.#pointers.values()];
    return b === undefined ? 0 : Math.max(1, Math.hypot(a.x - b.x, a.y - b.y));
  }

  #pinch() {
    const spread = this.#spread();
    const [a, b] = [...this.#pointers.values()];
    if (this.#pinch_px) this.actions.zoomAt(this.state.viewport.time((a.x + b.x) / 2), spread / this.#pinch_px);
    this.#pinch_px = spread;
    if (this.#start) this.#start.mode = "pinch";
  }

  #hover(event) {
    const track = event.target.closest?.(".tl-track");
    if (!track || event.pointerType === "touch") return this.actions.hover(null);
    const box = track.getBoundingClientRect();
    const time_s = this.state.viewport.time(this.x(event));
    return this.actions.hover({
      lane: track.dataset.lane,
      time_s,
      share: (event.clientY - box.top) / box.height,
      clientX: event.clientX,
      clientY: event.clientY,
    });
  }

  /** A page that is being scrolled past goes on scrolling; so does zooming out of what is already all in view. */
  wheel(event) {
    const { viewport, hasAxis } = this.state;
    if (!hasAxis || (event.timeStamp - this.#scrolled_ms < SCROLL_PAUSE_MS && !event.ctrlKey)) return;
    const sideways = event.shiftKey
      ? event.deltaY || event.deltaX
      : Math.abs(event.deltaX) > Math.abs(event.deltaY)
        ? event.deltaX
        : 0;
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (sideways === 0 && event.deltaY > 0 && viewport.isFit && !event.ctrlKey) return;
    event.preventDefault();
    if (sideways) this.actions.pan(((sideways * unit) / viewport.width) * viewport.span_s);
    else
      this.actions.zoomAt(
        viewport.time(this.x(event)),
        Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.002)),
      );
  }

  wheelElsewhere(event) {
    if (!event.defaultPrevented) this.#scrolled_ms = event.timeStamp;
  }
}
