/**
 * Pictures of single frames, from a second, unseen <video> of the same clip. A picture is kept under the number of the
 * frame that the browser says it presented (requestVideoFrameCallback); where no browser says, under the one that was
 * asked for, and it does not count as exact.
 */

import { SLACK_FRAMES } from "./frames.js";

const MOST_PICTURES = 160;
const WIDTH_PX = 256;
const PATIENCE_MS = 1500;
const TRIES = 2;
const WAITS = 20; // half a minute

export class FrameGrabber {
  video;

  #onChange;
  #clock = null;
  #url = null;
  #failed = false;
  #pictures = new Map();
  #queue = [];
  #target_idx = null;
  #shown_s = null;
  #tries = 0;
  #waits = 0;
  #timer = 0;

  /** `onChange()` is called after each new picture, and when there will be none. */
  constructor(onChange, signal, video = document.createElement("video")) {
    this.#onChange = onChange;
    this.video = video;
    video.muted = true;
    video.preload = "auto";
    video.tabIndex = -1;
    video.setAttribute("aria-hidden", "true");
    video.className = "tl-grabber";
    const on = (name, handler) => video.addEventListener(name, handler, { signal });
    on("loadedmetadata", () => this.#onLoaded());
    on("error", () => this.#fail());
    on("seeked", () => this.#onSeeked());
    this.#listen(signal);
    signal.addEventListener("abort", () => this.load(null, null));
  }

  load(url, clock) {
    this.#clock = clock;
    if (url === this.#url) return;
    this.#url = url;
    this.#pictures.clear();
    this.#queue = [];
    if (url) this.#open();
    else this.#unload();
  }

  /** Whether pictures can be had: there is a clip, and the browser could load it when it last tried. */
  get working() {
    return Boolean(this.#url) && !this.#failed;
  }

  /** { canvas, exact } of a frame, or null while there is none. */
  get(idx) {
    return this.#pictures.get(idx) ?? null;
  }

  /** The frames that are needed now, most urgent first; what was asked for before is forgotten. */
  want(frames) {
    const { count } = this.#clock ?? { count: 0 };
    const valid = frames.filter((idx) => idx >= 0 && idx < count);
    this.#queue = valid.filter((idx) => !this.#pictures.has(idx));
    // Put what is needed last in the map: the picture that nobody has asked for longest is the first to go.
    for (const idx of valid.reverse()) {
      const picture = this.#pictures.get(idx);
      if (this.#pictures.delete(idx)) this.#pictures.set(idx, picture);
    }
    if (this.#failed && this.#queue.length) this.#open();
    else this.#pump();
  }

  #open() {
    this.#forget();
    this.#failed = false;
    this.video.src = this.#url;
    this.#wait();
  }

  #onLoaded() {
    this.#failed = false;
    this.#forget();
    this.#pump();
  }

  #fail() {
    if (!this.#url) return;
    this.#forget();
    this.#failed = true;
    this.#onChange();
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#target_idx = this.#shown_s = null;
    this.#tries = this.#waits = 0;
  }

  #pump() {
    if (this.#target_idx !== null || this.#failed || this.video.readyState < 1) return;
    const idx = this.#queue.find((frame) => !this.#pictures.has(frame));
    if (idx !== undefined) this.#ask(idx);
  }

  #ask(idx) {
    this.#target_idx = idx;
    this.#shown_s = null;
    this.#wait();
    // A second try asks a little later: a seek to where the video stands already presents nothing.
    this.video.currentTime = (idx + 0.5 + this.#tries * 0.2) / this.#clock.fps;
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#check(), PATIENCE_MS);
  }

  /** Slow is not lost: a page that nobody sees presents nothing, and loading or a seek may take its time. */
  #check() {
    if (document.hidden) this.#wait();
    else if (this.#target_idx !== null && !this.#queue.includes(this.#target_idx)) this.#abandon();
    else if (this.video.readyState >= 1 && !this.video.seeking) this.#miss();
    else if (++this.#waits < WAITS) this.#wait();
    else this.#fail();
  }

  #abandon() {
    this.#forget();
    this.#pump();
  }

  #listen(signal) {
    if (signal.aborted) return;
    this.video.requestVideoFrameCallback?.((_, frame) => {
      this.#onFrame(frame.mediaTime);
      this.#listen(signal);
    });
  }

  /** Drawn during a seek, a picture could be the next one already. A frame that comes late is kept as what it is. */
  #onFrame(media_s) {
    const { readyState, seeking } = this.video;
    if (!this.#clock || readyState < 1) return;
    this.#shown_s = media_s;
    if (seeking || readyState < 2) return;
    if (!this.video.error) this.#failed = false; // given up too soon
    if (this.#target_idx === null || this.#isTarget(media_s)) this.#accept(media_s);
    else this.#miss();
  }

  #onSeeked() {
    if (this.#target_idx === null || this.video.seeking) return;
    if (!this.video.requestVideoFrameCallback) requestAnimationFrame(() => this.video.seeking || this.#settle());
    else if (this.#shown_s !== null && this.#isTarget(this.#shown_s)) this.#accept(this.#shown_s);
  }

  #isTarget(media_s) {
    return Math.round(media_s * this.#clock.fps) === this.#target_idx;
  }

  #accept(media_s) {
    const place = media_s * this.#clock.fps;
    const idx = Math.round(place);
    this.#store(idx, Math.abs(place - idx) <= SLACK_FRAMES);
    this.#next();
  }

  #miss() {
    if (this.#target_idx === null) return;
    if (++this.#tries < TRIES) this.#ask(this.#target_idx);
    else this.#settle();
  }

  /** No browser says that this is the frame: it is kept for what it is. */
  #settle() {
    if (this.#target_idx === null) return;
    this.#store(this.#target_idx, false);
    this.#next();
  }

  #next() {
    this.#forget();
    this.#onChange();
    this.#pump();
  }

  #store(idx, exact) {
    const { video } = this;
    if (!exact && this.#pictures.get(idx)?.exact) return;
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH_PX;
    canvas.height = Math.max(1, Math.round((WIDTH_PX * video.videoHeight) / Math.max(1, video.videoWidth)));
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    this.#pictures.delete(idx);
    this.#pictures.set(idx, { canvas, exact });
    if (this.#pictures.size > MOST_PICTURES) this.#pictures.delete(this.#pictures.keys().next().value);
  }

  #unload() {
    this.#forget();
    this.#failed = false;
    this.video.removeAttribute("src");
    this.video.load();
  }
}
