/**
 * Reaction time: I and O pressed during playback mean a moment a little earlier. The lag is the median of what this
 * person's own later corrections say it was; it is kept in this browser, shown, and can be switched off.
 */

const KEY = "tempo.reaction";
const USUAL_MS = 250;
const LONGEST_MS = 1500;
const NEEDED = 5;
const KEPT = 40;

export class Reaction {
  #kept;
  #open = new Map();

  constructor(storage = localStorage) {
    this.storage = storage;
    this.#kept = { on: true, samples_ms: [], ...read(storage) };
  }

  get on() {
    return this.#kept.on;
  }

  set on(value) {
    this.#kept.on = Boolean(value);
    this.#write();
  }

  /** Milliseconds of real time; the usual 250 until five corrections have been seen. */
  get lag_ms() {
    const samples = [...this.#kept.samples_ms].sort((a, b) => a - b);
    return samples.length < NEEDED ? USUAL_MS : Math.round(samples[Math.floor(samples.length / 2)]);
  }

  get measured() {
    return this.#kept.samples_ms.length >= NEEDED;
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
      if (lag_ms >= 0 && lag_ms <= LONGEST_MS) this.#kept.samples_ms.push(Math.round(lag_ms));
    }
    this.#open.clear();
    this.#kept.samples_ms = this.#kept.samples_ms.slice(-KEPT);
    this.#write();
  }

  #write() {
    this.storage.setItem(KEY, JSON.stringify(this.#kept));
  }
}

function read(storage) {
  try {
    const found = JSON.parse(storage.getItem(KEY) ?? "{}");
    const samples_ms = (Array.isArray(found.samples_ms) ? found.samples_ms : []).filter(Number.isFinite);
    return { on: found.on !== false, samples_ms };
  } catch {
    return {}; // somebody else's text under our name: start anew
  }
}
