/**
 * The player: one <video>, or only a clock when it cannot play. Times go in as seconds; what comes out is the time
 * of the frame that is really shown (requestVideoFrameCallback), so that the playhead never claims another.
 *
 * The clip that comes next can be loaded into a second <video>, unseen and mute (`preload`). `load` of that clip then
 * lets the two change places; `video` is always the one that is seen.
 */

import { el } from "./dom.js";
import { SLACK_FRAMES } from "./frames.js";

const SAME_S = 1e-4; // browsers keep microseconds
const UNSEEN_MS = 120; // a tab in the background presents no frame after a seek
const SEEK_TRIES = 6; // Chromium can end a seek right after a pause without presenting its frame

export class Player {
  video;
  rate = null;
  duration_s = 0;
  failed = false;

  #url = null;
  #id = null;
  #time_s = 0;
  #seeking = false;
  #queued_s = null;
  #range = null;
  #shown_s = null; // the media time of the frame that the browser presented last
  #isReported = false;
  #target_idx = null;
  #startsAfterSeek = false;
  #seekTries = 0;
  #events;
  #signal;
  #spare = null; // { video, url, shown_s } of the clip that comes next

  /**
   * `events` has: time(seconds, frameIdxOrNull, truth), state(), failure(message), changeOver() before another
   * file of the same clip is loaded, and swap(video) when another <video> is the one that is seen. `truth` is "exact"
   * when the picture that the browser presented is the frame that was asked for, "approximate" when it is not or
   * nothing tells, and null while a seek is under way.
   */
  constructor(video, events, signal) {
    this.video = video;
    this.#events = events;
    this.#signal = signal;
    this.#attach(video);
    signal.addEventListener("abort", () => {
      this.preload(null);
      this.#unload();
    });
  }

  /** Call `handler` for an event of the <video> that is seen, whichever of the two it is. */
  on(name, handler) {
    this.#listeners.push([name, handler]);
    for (const video of [this.video, this.#spare?.video]) if (video) this.#listen(video, name, handler);
  }

  #listeners = [];

  #listen(video, name, handler) {
    video.addEventListener(name, (event) => video === this.video && handler(event), { signal: this.#signal });
  }

  #attach(video) {
    const on = (name, handler) => this.#listen(video, name, handler);
    on("seeked", () => this.#onSeeked());
    on("loadedmetadata", () => this.#apply(this.#queued_s ?? this.#time_s));
    on("timeupdate", () => this.#onTimeUpdate());
    on("error", () =>
      this.#fail("This browser cannot play the clip. The timeline works from its film strip instead."),
    );
    on("ended", () => this.#endOfClip());
    for (const name of ["play", "pause", "ended", "ratechange", "volumechange"]) on(name, () => this.#events.state());
    for (const [name, handler] of this.#listeners) on(name, handler);
    const listen = () => {
      if (this.#signal.aborted) return;
      video.requestVideoFrameCallback?.((_, frame) => {
        if (video === this.video) this.#show(frame.mediaTime);
        else if (video === this.#spare?.video) this.#spare.shown_s = frame.mediaTime;
        listen();
      });
    };
    listen();
  }

  /** Load the clip that comes next, at a time; null gives it up. One clip is loaded ahead, never more. */
  preload(spec, time_s = 0) {
    const url = spec?.url ?? null;
    if (!url) {
      if (this.#spare?.url) empty(this.#spare.video);
      if (this.#spare) Object.assign(this.#spare, { url: null, shown_s: null });
      return;
    }
    if (!this.#spare) {
      this.#spare = { video: buildVideo(), url: null, shown_s: null };
      this.video.after(this.#spare.video);
      this.#attach(this.#spare.video);
    }
    const { video } = this.#spare;
    const centre_s = centreOf(time_s, spec.frame_rate, spec.duration_s);
    if (this.#spare.url !== url) {
      Object.assign(this.#spare, { url, shown_s: null });
      setRole(video, "ahead");
      video.muted = true;
      video.src = url;
    }
    if (Math.abs(video.currentTime - centre_s) > SAME_S) video.currentTime = centre_s;
  }

  /** Whether the clip that comes next has its first picture. */
  get hasPreloaded() {
    const { url = null, video } = this.#spare ?? {};
    return url !== null && video.readyState >= 2 && !video.seeking;
  }

  /** Let the clip that was loaded ahead take the place of the one that is seen. */
  #swap() {
    const [before, { video, shown_s }] = [this.video, this.#spare];
    const { muted, volume, playbackRate, defaultPlaybackRate, id } = before;
    before.pause();
    Object.assign(video, { muted, volume, playbackRate, defaultPlaybackRate, id });
    before.id = "";
    this.video = video;
    this.#spare = { video: before, url: null, shown_s: null };
    setRole(video, "seen");
    setRole(before, "ahead");
    this.#shown_s = shown_s;
    this.#events.swap?.(video);
    setTimeout(() => this.#spare?.video === before && !this.#spare.url && empty(before)); // after the picture is there
  }

  /**
   * Load another file, or nothing. The same address again changes nothing, so that playback survives updates; another
   * file of the same clip (`spec.id`) goes on at the same time, and plays on.
   */
  load(spec, duration_s) {
    this.duration_s = duration_s;
    this.rate = spec?.frame_rate ?? null;
    if ((spec?.url ?? null) === this.#url) return;
    const isChangeOver = this.playable && Boolean(spec?.id) && spec.id === this.#id;
    if (isChangeOver) this.#events.changeOver?.();
    const [time_s, plays, range] = [this.time_s, this.going, this.#range];
    this.#url = spec?.url ?? null;
    this.#id = spec?.id ?? null;
    this.failed = false;
    this.#range = this.#queued_s = null;
    this.#seeking = false;
    this.#time_s = 0;
    this.#shown_s = null;
    if (this.#url && this.#url === this.#spare?.url && !this.#spare.video.error) this.#swap();
    else if (this.#url) this.video.src = this.#url;
    else this.#unload();
    if (!isChangeOver) return;
    // The other file goes on where the first one was.
    this.#range = range;
    this.#goTo(time_s, plays);
  }

  get playable() {
    return Boolean(this.#url) && !this.failed;
  }

  get playing() {
    return this.playable && !this.video.paused && !this.video.ended;
  }

  /** Whether it plays, or is about to: a loop that begins again is paused while it seeks. */
  get going() {
    return this.playing || (this.playable && this.#startsAfterSeek);
  }

  get range() {
    return this.#range;
  }

  get time_s() {
    return this.#queued_s ?? this.#time_s;
  }

  frameAt(time_s) {
    return frameOf(time_s, this.rate);
  }

  /** Go to the frame shown at a time. The playhead answers at once; quick repeats collapse into the last one. */
  seek(time_s) {
    this.#range = null;
    this.#goTo(time_s);
  }

  /** Move by whole frames; without a known rate by 40 ms, without a playable file by `stops_s` (the film strip's). */
  step(count, stops_s = []) {
    this.pause();
    if (!this.playable && stops_s.length) {
      const here = stops_s.findLastIndex((stop) => stop <= this.time_s + 1e-6);
      this.seek(stops_s[Math.min(stops_s.length - 1, Math.max(0, here + count))]);
    } else if (this.rate) this.seek((this.frameAt(this.time_s) + count) / this.rate);
    else this.seek(this.time_s + count * 0.04);
  }

  play() {
    if (!this.playable) return;
    if (this.#range === null && this.time_s >= this.duration_s - 0.05) this.#goTo(0);
    this.video.play().catch((error) => {
      if (error.name !== "AbortError") this.#events.failure(`The clip did not start: ${error.message}`);
    });
  }

  pause() {
    this.#range = null;
    this.#startsAfterSeek = false;
    this.video.pause();
  }

  toggle() {
    if (this.playing) this.hold();
    else this.play();
  }

  /** Pause on the frame that was last reported: the browser may have drawn one more since. */
  hold() {
    this.pause();
    this.#goTo(this.#time_s);
  }

  /** Play exactly [start, end): the first frame is the one shown at its start, the last the one before its end. */
  playRange(range) {
    this.#range = this.playable ? range : null;
    this.#goTo(range.start_s, this.playable); // playing at once would drop the first frame
  }

  /** Play on within another range, if what plays lies within it and before a time. Says whether it does. */
  moveRange(range, before_s) {
    const { time_s } = this;
    if (!this.playing || this.#seeking || time_s < range.start_s || time_s >= before_s) return false;
    this.#range = range;
    return true;
  }

  #goTo(time_s, starts = false) {
    this.#startsAfterSeek = starts;
    const target = Math.min(Math.max(0, time_s), this.duration_s);
    this.#time_s = target;
    this.#target_idx = this.rate ? Math.round(this.#centre(target) * this.rate - 0.5) : null;
    this.#events.time(target, this.#target_idx, this.failed ? "approximate" : null);
    if (!this.playable) return;
    if (this.#seeking || this.video.readyState < 1) this.#queued_s = target;
    else this.#apply(target);
  }

  #apply(time_s) {
    this.#queued_s = null;
    const centre_s = this.#centre(time_s);
    if (this.#standsAt(centre_s)) return this.#show(this.#shown_s);
    this.#seekTries = SEEK_TRIES;
    this.#startSeek(centre_s);
    return undefined;
  }

  #startSeek(centre_s) {
    this.#seekTries -= 1;
    this.#seeking = true;
    this.#isReported = false;
    this.#shown_s = null;
    this.video.currentTime = centre_s;
  }

  /** A seek to where the video stands already would present no frame. */
  #standsAt(centre_s) {
    const { paused, seeking, currentTime } = this.video;
    return paused && !seeking && this.#shown_s !== null && Math.abs(currentTime - centre_s) < SAME_S;
  }

  #centre(time_s) {
    return centreOf(time_s, this.rate, this.duration_s);
  }

  #onSeeked() {
    this.#seeking = false;
    if (this.#queued_s !== null) this.#apply(this.#queued_s);
    else if (this.#isTarget(this.#shown_s)) this.#show(this.#shown_s);
    else setTimeout(() => this.#settle(), UNSEEN_MS);
  }

  /** The frame of an earlier seek can be presented during this one: it tells nothing of where this one arrived. */
  #isTarget(media_s) {
    return media_s !== null && (this.rate === null || Math.round(media_s * this.rate) === this.#target_idx);
  }

  /** What was presented by now is what the browser has to show; where nothing was, the same seek is made again. */
  #settle() {
    if (this.#seeking) return;
    if (!this.#isReported && this.#shown_s !== null) this.#show(this.#shown_s);
    else if (!this.#isReported && this.video.paused && !document.hidden) this.#seekAgain();
    this.#start();
  }

  #seekAgain() {
    if (this.#seekTries > 0) this.#startSeek(this.video.currentTime);
    else this.#events.time(this.#time_s, this.frameAt(this.#time_s), "approximate");
  }

  #start() {
    if (!this.#startsAfterSeek || this.#seeking) return;
    this.#startsAfterSeek = false;
    this.play();
  }

  #show(media_s) {
    if (!this.playable) return;
    this.#shown_s = media_s;
    if (this.#seeking || this.#queued_s !== null) return;
    this.#isReported = true;
    this.#time_s = media_s;
    const frame_idx = this.rate ? Math.round(media_s * this.rate) : null;
    this.#events.time(media_s, frame_idx, this.#truthOf(media_s, frame_idx));
    this.#start();
    this.#endRange(media_s);
  }

  /** While playing nothing was asked for, so that only the frame's place on the clip's own clock counts. */
  #truthOf(media_s, frame_idx) {
    if (frame_idx === null || !this.video.requestVideoFrameCallback) return "approximate";
    if (Math.abs(media_s * this.rate - frame_idx) > SLACK_FRAMES) return "approximate";
    if (!this.video.paused) this.#target_idx = null;
    return this.#target_idx === null || this.#target_idx === frame_idx ? "exact" : "approximate";
  }

  #onTimeUpdate() {
    if (this.video.requestVideoFrameCallback && !document.hidden) return;
    this.#show(this.video.currentTime);
  }

  /** A range that loops begins again; any other stops on its last frame. */
  #endRange(media_s) {
    const range = this.#range;
    if (!range || this.video.paused) return;
    const step_s = this.rate ? 1 / this.rate : 0.04;
    if (media_s + step_s * (1 + SLACK_FRAMES) < range.end_s) return;
    const last = this.rate
      ? (Math.ceil(range.end_s * this.rate - SLACK_FRAMES) - 1) / this.rate
      : range.end_s - step_s;
    this.pause();
    if (range.loop) return this.playRange(range);
    this.#goTo(Math.max(range.start_s, last));
    range.onEnd?.();
    return undefined;
  }

  #endOfClip() {
    const range = this.#range;
    this.#range = null;
    if (range?.loop) this.playRange(range);
    else range?.onEnd?.();
  }

  #fail(message) {
    if (!this.#url) return;
    this.failed = true;
    this.#range = this.#queued_s = null;
    this.#seeking = false;
    this.#events.failure(message);
    this.#events.time(this.#time_s, this.frameAt(this.#time_s), "approximate"); // the film strip's picture
    this.#events.state();
  }

  #unload() {
    empty(this.video);
  }
}

function frameOf(time_s, rate) {
  return rate ? Math.max(0, Math.floor(time_s * rate + SLACK_FRAMES)) : null;
}

/** The middle of the frame that is shown at a time: asked for its edge, a browser may show the neighbour. */
function centreOf(time_s, rate, duration_s) {
  if (!rate) return Math.min(time_s, Math.max(0, duration_s - 0.02));
  const last = Math.max(0, Math.ceil(duration_s * rate - SLACK_FRAMES) - 1);
  return (Math.min(frameOf(time_s, rate), last) + 0.5) / rate;
}

/** The page's <video>. */
export function buildVideo() {
  const video = el("video", { attrs: { preload: "auto", playsinline: true, tabindex: "-1" } });
  setRole(video, "seen");
  return video;
}

function setRole(video, role) {
  video.className = role === "seen" ? "tl-video" : "tl-ahead";
  video.hidden = false;
  video.toggleAttribute("aria-hidden", false);
  if (role === "seen") video.setAttribute("aria-label", "Clip");
  else video.removeAttribute("aria-label");
  if (role === "ahead") video.setAttribute("aria-hidden", "true");
}

function empty(video) {
  video.pause();
  video.removeAttribute("src");
  video.load();
}
