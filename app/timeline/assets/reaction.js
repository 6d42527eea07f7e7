/**
 * Reaction time: I and O pressed during playback mean a moment a little earlier. The lag is the median of what this
 * person's own later corrections say it was; it is stored in this browser, shown, and can be switched off.
 */

import { storage } from "./storage.js";

const STORAGE_KEY = "tempo.reaction";
const DEFAULT_MS = 250;
const LONGEST_MS = 1500;
const LEAST_SAMPLES = 5;
const MOST_SAMPLES = 40;

export class Reaction {
  #stored;
  #open = new Map();

  constructor(place = storage) {
    this.storage = place;
    this.#stored = { on: true, samples_ms: [], ...read(place) };
  }

  get on() {
    return this.#stored.on;
  }

  set on(value) {
    this.#stored.on = Boolean(value);
    this.#write();
  }

  /** Milliseconds of real time; the usual 250 until five corrections have been seen. */
  get lag_ms() {
    const samples = [...this.#stored.samples_ms].sort((a, b) => a - b);
    return samples.length < LEAST_SAMPLES ? DEFAULT_MS : Math.round(samples[Math.floor(samples.length / 2)]);
  }

  get measured() {
    return this.#stored.samples_ms.length >= LEAST_SAMPLES;
  }

  /** The time that was meant by a press at `ms` of the clip while it ran at `rate`; remembered for `learn`. */
  meant(ms, rate, key) {
    this.#open.set(key, { pressed_ms: ms, rate });
    return this.on ? Math.max(0, ms - rate * this.lag_ms) : ms;
  }

  /** What the edges became in the end: `find(key)` gives an edge's time, or null when it is gone. */
  learn(find) {
    for (const [key, { pressed_ms, rate }] of this.#open) {
      const ms = find(key);
      const lag_ms = ms === null ? -1 : (pressed_ms - ms) / rate;
      if (lag_ms >= 0 && lag_ms <= LONGEST_MS) this.#stored.samples_ms.push(Math.round(lag_ms));
    }
    this.#open.clear();
    this.#stored.samples_ms = this.#stored.samples_ms.slice(-MOST_SAMPLES);
    this.#write();
  }

  #write() {
    this.storage.setItem(STORAGE_KEY, JSON.stringify(this.#stored));
  }
}

function read(storage) {
  try {
    const stored = JSON.parse(storage.getItem(STORAGE_KEY) ?? "{}");
    const samples_ms = (Array.isArray(stored.samples_ms) ? stored.samples_ms : []).filter(Number.isFinite);
    return { on: stored.on !== false, samples_ms };
  } catch {
    return {}; // somebody else's text under our name: start anew
  }
}
