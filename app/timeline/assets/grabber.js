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
  video;

  #arrived;
  #clock = null;
  #url = null;
  #failed = false;
  #pictures = new Map();
  #queue = [];
  #asked = null;
  #tries = 0;
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
    if (video.requestVideoFrameCallback) this.#listen(signal);
    else on("seeked", () => requestAnimationFrame(() => this.#arrive()));
    signal.addEventListener("abort", () => this.#unload());
  }

  load(url, clock) {
    this.#clock = clock;
    if (url === this.#url) return;
    this.#url = url;
    this.#failed = false;
    this.#pictures.clear();
    this.#queue = [];
    this.#forget();
    if (url) this.video.src = url;
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
    this.#queue = frames.filter((idx) => idx >= 0 && idx < count && !this.#pictures.has(idx));
    if (this.#failed && this.video.error) this.video.src = this.#url;
    else this.#pump();
  }

  #loaded() {
    this.#failed = false;
    this.#pump();
  }

  #fail() {
    if (!this.#url) return;
    this.#failed = true;
    this.#forget();
    this.#arrived();
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#asked = null;
    this.#tries = 0;
  }

  #pump() {
    if (this.#asked !== null || this.video.readyState < 1) return;
    const idx = this.#queue.find((frame) => !this.#pictures.has(frame));
    if (idx !== undefined) this.#ask(idx);
  }

  #ask(idx) {
    this.#asked = idx;
    this.#wait();
    // A second try asks a little later: a seek to where the video stands already presents nothing.
    this.video.currentTime = (idx + 0.5 + this.#tries * 0.2) / this.#clock.fps;
  }

  /** A seek that is still under way is slow, not lost; one that has ended and presented nothing is tried again. */
  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.video.seeking ? this.#wait() : this.#miss()), PATIENCE_MS);
  }

  #listen(signal) {
    if (signal.aborted) return;
    this.video.requestVideoFrameCallback((_, frame) => {
      this.#present(frame.mediaTime);
      this.#listen(signal);
    });
  }

  /** Every presented frame is worth keeping, also one that comes late; another than the one asked for is a miss. */
  #present(media_s) {
    if (!this.#clock || this.video.readyState < 1) return;
    const shown = Math.round(media_s * this.#clock.fps);
    this.#keep(shown, true);
    if (shown === this.#asked) this.#forget();
    else if (this.#asked !== null && !this.video.seeking) this.#miss();
    this.#arrived();
    this.#pump();
  }

  #arrive() {
    if (this.#asked === null || this.video.seeking) return;
    this.#settle();
  }

  #miss() {
    if (++this.#tries < TRIES) this.#ask(this.#asked);
    else this.#settle();
  }

  /** No browser says that this is the frame: it is kept for what it is. */
  #settle() {
    this.#keep(this.#asked, false);
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
    this.video.removeAttribute("src");
    this.video.load();
  }
}
