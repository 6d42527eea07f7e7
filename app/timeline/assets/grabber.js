/**
 * Pictures of single frames, from a second, unseen <video> of the same clip. A picture is kept under the number of the
 * frame that the browser says it presented (requestVideoFrameCallback); where no browser says, under the one that was
 * asked for, and it does not count as exact.
 */

import { SLACK_FRAMES } from "./frames.js";

const KEPT = 160;
const WIDTH_PX = 256;
const PATIENCE_MS = 1500;
const TRIES = 2;
const WAITS = 20; // half a minute

export class FrameGrabber {
  video;

  #arrived;
  #clock = null;
  #url = null;
  #failed = false;
  #pictures = new Map();
  #queue = [];
  #asked = null;
  #presented = null;
  #tries = 0;
  #waits = 0;
  #timer = 0;

  /** `arrived()` is called after each new picture, and when there will be none. */
  constructor(arrived, signal, video = document.createElement("video")) {
    this.#arrived = arrived;
    this.video = video;
    video.muted = true;
    video.preload = "auto";
    video.tabIndex = -1;
    video.setAttribute("aria-hidden", "true");
    video.className = "tl-grabber";
    const on = (name, handler) => video.addEventListener(name, handler, { signal });
    on("loadedmetadata", () => this.#loaded());
    on("error", () => this.#fail());
    on("seeked", () => this.#seeked());
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
    const wanted = frames.filter((idx) => idx >= 0 && idx < count);
    this.#queue = wanted.filter((idx) => !this.#pictures.has(idx));
    for (const idx of wanted.reverse()) this.#refresh(idx);
    if (this.#failed && this.#queue.length) this.#open();
    else this.#pump();
  }

  /** The longest unwanted picture is the first to go. */
  #refresh(idx) {
    const picture = this.#pictures.get(idx);
    if (this.#pictures.delete(idx)) this.#pictures.set(idx, picture);
  }

  #open() {
    this.#forget();
    this.#failed = false;
    this.video.src = this.#url;
    this.#wait();
  }

  #loaded() {
    this.#failed = false;
    this.#forget();
    this.#pump();
  }

  #fail() {
    if (!this.#url) return;
    this.#forget();
    this.#failed = true;
    this.#arrived();
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#asked = this.#presented = null;
    this.#tries = this.#waits = 0;
  }

  #pump() {
    if (this.#asked !== null || this.#failed || this.video.readyState < 1) return;
    const idx = this.#queue.find((frame) => !this.#pictures.has(frame));
    if (idx !== undefined) this.#ask(idx);
  }

  #ask(idx) {
    this.#asked = idx;
    this.#presented = null;
    this.#wait();
    // A second try asks a little later: a seek to where the video stands already presents nothing.
    this.video.currentTime = (idx + 0.5 + this.#tries * 0.2) / this.#clock.fps;
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), PATIENCE_MS);
  }

  /** Slow is not lost: a page that nobody sees presents nothing, and loading or a seek may take its time. */
  #look() {
    if (document.hidden) this.#wait();
    else if (this.#asked !== null && !this.#queue.includes(this.#asked)) this.#skip();
    else if (this.video.readyState >= 1 && !this.video.seeking) this.#miss();
    else if (++this.#waits < WAITS) this.#wait();
    else this.#fail();
  }

  #skip() {
    this.#forget();
    this.#pump();
  }

  #listen(signal) {
    if (signal.aborted) return;
    this.video.requestVideoFrameCallback?.((_, frame) => {
      this.#present(frame.mediaTime);
      this.#listen(signal);
    });
  }

  /** Drawn during a seek, a picture could be the next one already. A frame that comes late is kept as what it is. */
  #present(media_s) {
    const { readyState, seeking } = this.video;
    if (!this.#clock || readyState < 1) return;
    this.#presented = media_s;
    if (seeking || readyState < 2) return;
    if (!this.video.error) this.#failed = false; // given up too soon
    if (this.#asked === null || this.#isAsked(media_s)) this.#take(media_s);
    else this.#miss();
  }

  #seeked() {
    if (this.#asked === null || this.video.seeking) return;
    if (!this.video.requestVideoFrameCallback) requestAnimationFrame(() => this.video.seeking || this.#settle());
    else if (this.#presented !== null && this.#isAsked(this.#presented)) this.#take(this.#presented);
  }

  #isAsked(media_s) {
    return Math.round(media_s * this.#clock.fps) === this.#asked;
  }

  #take(media_s) {
    const place = media_s * this.#clock.fps;
    const shown = Math.round(place);
    this.#keep(shown, Math.abs(place - shown) <= SLACK_FRAMES);
    this.#next();
  }

  #miss() {
    if (this.#asked === null) return;
    if (++this.#tries < TRIES) this.#ask(this.#asked);
    else this.#settle();
  }

  /** No browser says that this is the frame: it is kept for what it is. */
  #settle() {
    if (this.#asked === null) return;
    this.#keep(this.#asked, false);
    this.#next();
  }

  #next() {
    this.#forget();
    this.#arrived();
    this.#pump();
  }

  #keep(idx, exact) {
    const { video } = this;
    if (!exact && this.#pictures.get(idx)?.exact) return;
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH_PX;
    canvas.height = Math.max(1, Math.round((WIDTH_PX * video.videoHeight) / Math.max(1, video.videoWidth)));
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    this.#pictures.delete(idx);
    this.#pictures.set(idx, { canvas, exact });
    if (this.#pictures.size > KEPT) this.#pictures.delete(this.#pictures.keys().next().value);
  }

  #unload() {
    this.#forget();
    this.#failed = false;
    this.video.removeAttribute("src");
    this.video.load();
  }
}
