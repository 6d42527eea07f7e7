/** Whole milliseconds and frames of a clip with a constant rate. Frame i is shown during [i/fps, (i+1)/fps). */

/** Stamps are rounded to 0.1 s or 1 ms; a twentieth of a frame never reaches the neighbour. */
export const SLACK_FRAMES = 0.05;

export class FrameClock {
  constructor(fps, count) {
    this.fps = fps > 0 ? fps : 25;
    this.count = Math.max(1, Math.round(count));
  }

  /** Where frame `idx` starts, rounded as Python rounds (a half to the even number); `count` gives the clip's end. */
  ms(idx) {
    const exact = (1000 * idx) / this.fps;
    const below = Math.floor(exact);
    return exact - below === 0.5 ? below + (below % 2) : Math.round(exact);
  }

  /** The frame whose start is nearest: for a start the first frame in, for an end the first frame out. */
  frame(ms) {
    return Math.min(this.count, Math.max(0, Math.round((ms * this.fps) / 1000)));
  }

  /** The nearest frame boundary. */
  boundary(ms) {
    return this.ms(this.frame(ms));
  }

  /** The boundary `frames` away. */
  stepped(ms, frames) {
    return this.ms(Math.min(this.count, Math.max(0, this.frame(ms) + frames)));
  }

  get end_ms() {
    return this.ms(this.count);
  }
}
