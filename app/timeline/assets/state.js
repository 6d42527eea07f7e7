/** What is shown: the value from Python, and what a person does with it. One render per screen refresh. */

import { Viewport } from "./viewport.js";

const EMPTY = {
  rev: null,
  state: "empty",
  message: null,
  query: "",
  video: null,
  strip: null,
  frames: null,
  moments: [],
  ranked: [],
  ranking: false,
  refusal: null,
  understood: null,
  selected: null,
  looks: null,
};

/** Whether two files show one clip: its upload and its normal copy have one clock. */
export function isSameClip(one, other) {
  return one?.id ? one.id === other?.id : one?.url === other?.url;
}

/** What the model said, without what is added to it later. */
const answerOf = ({ state, query, moments, refusal }) => [state, query, moments, refusal];

export class State {
  value = EMPTY;
  viewport = new Viewport();
  segments = [];
  playhead_s = 0;
  frame_idx = null;
  truth = null; // "exact", "approximate", or null while a seek is under way
  playing = false;
  selected_idx = -1;
  playingRange = null;
  playable = false;
  hover = null;
  isNewAnswer = false;

  #parts = new Set();
  #scheduled = 0;
  #render;

  constructor(render) {
    this.#render = render;
  }

  /** Ask for a redraw of some parts: value, view, playhead, player, hover, size, theme, strip. */
  touch(...parts) {
    for (const part of parts) this.#parts.add(part);
    this.#scheduled ||= requestAnimationFrame(() => {
      this.#scheduled = 0;
      const dirty = this.#parts;
      this.#parts = new Set();
      this.#render(dirty);
    });
  }

  stop() {
    cancelAnimationFrame(this.#scheduled);
    this.#scheduled = -1;
  }

  /** Take a value from Python. The view is kept while the clip stays the same. */
  accept(value) {
    const before = this.value;
    this.value = { ...EMPTY, ...(value ?? {}) };
    const sameDuration = this.duration_s === this.viewport.duration_s;
    const sameClip = isSameClip(before.video, this.value.video) && (sameDuration || Boolean(before.video?.id));
    if (!sameClip) {
      this.viewport.reset(this.duration_s, this.value.video?.frame_rate);
      this.playhead_s = 0;
      this.frame_idx = null;
    } else if (!sameDuration) this.viewport.reset(this.duration_s, this.value.video?.frame_rate);
    this.segments = segments(this.value.frames, this.duration_s);
    // Ranked windows and a copy that follow an answer leave everything else as it is.
    if (JSON.stringify(answerOf(before)) !== JSON.stringify(answerOf(this.value))) {
      this.isNewAnswer = true;
      this.selected_idx = -1;
    }
    this.hover = null;
    this.touch("value", "viewport", "playhead", "player", "hover");
  }

  get duration_s() {
    const { video, frames, moments } = this.value;
    const last_s = () => (this.#countsFrames ? this.value.edit.frame_count / this.value.edit.frame_rate : 1);
    return video?.duration_s ?? frames?.end_s ?? Math.max(last_s(), ...moments.map((moment) => moment.end_s));
  }

  get refused() {
    return this.value.state === "ready" && Boolean(this.value.refusal?.refused);
  }

  /** Whether the model said that it does not know what was asked: neither moments nor a refusal. */
  get unknown() {
    const { state, understood } = this.value;
    return state === "ready" && understood !== null && understood.probability < 0.5;
  }

  get hasAxis() {
    return Boolean(this.value.video || this.value.frames || this.#countsFrames);
  }

  /** A row without its clip still has an axis to compare answers on, where its length is known. */
  get #countsFrames() {
    return this.value.edit?.frame_count > 1;
  }

  /** The index of the moment at a time, or -1. */
  momentAt(time_s) {
    return this.value.moments.findIndex((moment) => time_s >= moment.start_s && time_s < moment.end_s);
  }

  /** The sampled frame that stands for a time, or null where the model did not look. */
  segmentAt(time_s) {
    return this.segments.find((part) => part.idx >= 0 && time_s >= part.start_s && time_s < part.end_s) ?? null;
  }
}

/**
 * Cut the axis into parts that a sampled frame stands for (idx >= 0) and parts that none does (idx -1).
 * A frame stands for the time until the next one, but never for more than one and a half usual steps.
 */
export function segments(frames, duration_s) {
  const times = frames?.times_s ?? [];
  if (times.length === 0) return [];
  const gaps = times
    .slice(1)
    .map((time, idx) => time - times[idx])
    .sort((a, b) => a - b);
  const usual_s = gaps.length ? gaps[Math.floor(gaps.length / 2)] : frames.end_s - times[0];
  const parts = [];
  const blank = (start_s, end_s) => end_s - start_s > 1e-6 && parts.push({ idx: -1, start_s, end_s });
  blank(0, times[0]);
  times.forEach((start_s, idx) => {
    const next_s = times[idx + 1] ?? Math.max(frames.end_s, start_s);
    const end_s = next_s - start_s > usual_s * 1.5 + 1e-6 ? start_s + usual_s : next_s;
    parts.push({ idx, start_s, end_s });
    blank(end_s, next_s);
  });
  blank(Math.max(frames.end_s, times.at(-1)), duration_s);
  return parts;
}
