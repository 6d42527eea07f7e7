/**
 * Pictures of single frames, from a second, unseen <video> of the same clip. A picture is kept under the number of the
 * frame that the browser says it presented (requestVideoFrameCallback); where no browser says, under the one that was
 * asked for, and it does not count as exact.
 */

const KEPT = 160;
const WIDTH_PX = 256;
const PATIENCE_MS = 1500;
const TRIES = 2;

export class FrameGrabber {
  video = document.createElement("video");

  #arrived;
  #clock = null;
  #url = null;
  #pictures = new Map();
  #queue = [];
  #asked = null;
  #tries = 0;
  #timer = 0;

  /** `arrived()` is called after each new picture. */
  constructor(arrived, signal) {
    this.#arrived = arrived;
    const { video } = this;
    video.muted = true;
    video.preload = "auto";
    video.tabIndex = -1;
    video.setAttribute("aria-hidden", "true");
    video.className = "tl-grabber";
    video.addEventListener("loadeddata", () => this.#pump(), { signal });
    signal.addEventListener("abort", () => this.#unload());
  }

  load(url, clock) {
    this.#clock = clock;
    if (url === this.#url) return;
    this.#url = url;
    this.#pictures.clear();
    this.#queue = [];
    this.#asked = null;
    if (url) this.video.src = url;
    else this.#unload();
  }

  /** { canvas, exact } of a frame, or null while there is none. */
  get(idx) {
    return this.#pictures.get(idx) ?? null;
  }

  /** The frames that are needed now, most urgent first; what was asked for before is forgotten. */
  want(frames) {
    const { count } = this.#clock ?? { count: 0 };
    this.#queue = frames.filter((idx) => idx >= 0 && idx < count && !this.#pictures.has(idx));
    this.#pump();
  }

  #pump() {
    const { video } = this;
    if (this.#asked !== null || video.readyState < 2 || !this.#url) return;
    const idx = this.#queue.find((frame) => !this.#pictures.has(frame));
    if (idx === undefined) return;
    this.#asked = idx;
    const answered = (media_s) => {
      clearTimeout(this.#timer);
      if (this.#asked !== idx) return;
      this.#take(idx, media_s);
    };
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback((_, frame) => answered(frame.mediaTime));
    else video.addEventListener("seeked", () => requestAnimationFrame(() => answered(null)), { once: true });
    this.#timer = setTimeout(() => answered(null), PATIENCE_MS);
    // A second try asks a little later: a seek to where the video stands already presents nothing.
    video.currentTime = (idx + 0.5 + this.#tries * 0.2) / this.#clock.fps;
  }

  #take(idx, media_s) {
    this.#asked = null;
    const shown = media_s === null ? null : Math.round(media_s * this.#clock.fps);
    if (shown !== null) this.#keep(shown, true);
    if (shown === idx) this.#tries = 0;
    else if (++this.#tries >= TRIES) {
      this.#tries = 0;
      this.#keep(idx, false);
    }
    this.#arrived();
    this.#pump();
  }

  #keep(idx, exact) {
    const { video } = this;
    const canvas = document.createElement("canvas");
    canvas.width = WIDTH_PX;
    canvas.height = Math.max(1, Math.round((WIDTH_PX * video.videoHeight) / Math.max(1, video.videoWidth)));
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    if (!exact && this.#pictures.get(idx)?.exact) return;
    this.#pictures.delete(idx);
    this.#pictures.set(idx, { canvas, exact });
    if (this.#pictures.size > KEPT) this.#pictures.delete(this.#pictures.keys().next().value);
  }

  #unload() {
    clearTimeout(this.#timer);
    this.#asked = null;
    this.video.removeAttribute("src");
    this.video.load();
  }
}
