/** The visible part of the time axis, and the ticks that suit it. */

const STEPS_S = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
];

export class Viewport {
  duration_s = 1;
  start_s = 0;
  end_s = 1;
  width = 1;
  shortest_s = 0.25;

  get span_s() {
    return this.end_s - this.start_s;
  }

  get isFit() {
    return this.span_s >= this.duration_s - 1e-6;
  }

  x(time_s) {
    return ((time_s - this.start_s) / this.span_s) * this.width;
  }

  time(x) {
    return this.start_s + (x / this.width) * this.span_s;
  }

  /** A new clip: everything visible, and a shortest span of about eight frames. */
  reset(duration_s, frame_rate) {
    this.duration_s = Math.max(duration_s, 0.01);
    this.shortest_s = Math.min(this.duration_s, Math.max(0.1, 8 / (frame_rate || 30)));
    this.fit();
  }

  fit() {
    this.start_s = 0;
    this.end_s = this.duration_s;
  }

  show(start_s, end_s) {
    const span_s = Math.min(this.duration_s, Math.max(this.shortest_s, end_s - start_s));
    this.start_s = Math.min(Math.max(0, start_s), this.duration_s - span_s);
    this.end_s = this.start_s + span_s;
  }

  /** Zoom by `factor` (above 1 is closer) so that `time_s` keeps its place on the screen. */
  zoomAt(time_s, factor) {
    const span_s = Math.min(this.duration_s, Math.max(this.shortest_s, this.span_s / factor));
    const share = (time_s - this.start_s) / this.span_s;
    this.show(time_s - share * span_s, time_s - share * span_s + span_s);
  }

  panBy(delta_s) {
    this.show(this.start_s + delta_s, this.end_s + delta_s);
  }

  /** Turn the page when `time_s` has left the view; says whether anything moved. */
  follow(time_s) {
    if (time_s >= this.start_s && time_s <= this.end_s) return false;
    this.show(time_s - this.span_s * 0.1, time_s + this.span_s * 0.9);
    return true;
  }
}

/** Major ticks at least `room_px` apart and the finest even division that still leaves 8 px; only those in view. */
export function ticks(viewport, room_px = 76) {
  const perPixel = viewport.span_s / Math.max(viewport.width, 1);
  const major = STEPS_S.find((step) => step >= perPixel * room_px) ?? STEPS_S.at(-1);
  const minor = STEPS_S.find((step) => step >= perPixel * 8 && isMultiple(major, step)) ?? major;
  return {
    major_s: range(viewport, major),
    minor_s: range(viewport, minor),
    digits: major >= 1 ? 0 : major >= 0.1 ? 1 : 2,
  };
}

function isMultiple(a, b) {
  return Math.abs(a / b - Math.round(a / b)) < 1e-6;
}

function range(viewport, step) {
  const first = Math.ceil(viewport.start_s / step - 1e-9);
  const last = Math.floor(viewport.end_s / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, idx) => (first + idx) * step);
}
