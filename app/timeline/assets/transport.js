/** Playing for the sake of an edge: shuttle, audition loops, marking at the playhead, reviewing gaps. */

import { RATES } from "./controls.js";
import { NO_MOMENT } from "./edit_actions.js";
import { percent, timeText } from "./format.js";
import { likelyWindows, reviewOrder } from "./moments.js";

const LEAD_MS = 1000;
const GAP_RATE = 2;
const NEW_MS = 2000;

export class Transport {
  #braking = false;
  #stepped = false;
  #review = null;
  #loopTarget = null; // what the loop under way goes around: "edge", "moment", or null for a ghost
  #loopedEdge = null; // "start" or "end" where an edge was looped last, null where a moment was

  constructor(view) {
    this.view = view;
  }

  get #player() {
    return this.view.player;
  }

  get reviewing() {
    return this.#review !== null;
  }

  /** What is going on, for the chip, or "". */
  get words() {
    if (this.#review) {
      const { list, at } = this.#review;
      const { start_ms, end_ms, p } = list[at];
      const times = `${timeText(start_ms / 1000, 1)}–${timeText(end_ms / 1000, 1)}`;
      return `Gap ${at + 1} of ${list.length} · ${times} · ${percent(p)} likely · N adds · G next · Esc stops`;
    }
    if (this.#player.range?.loop) return "Looping · Esc stops";
    return this.view.auditioning && this.#player.playable ? "A new moment loops · Esc stops" : "";
  }

  toggle() {
    if (this.#review || this.#player.range?.loop) this.stop();
    else this.#byHand("toggle");
  }

  /** Play or stop: whoever does it themselves waits for no loop any more. */
  #byHand(action) {
    this.view.auditioning = false;
    this.#player[action]();
  }

  /** K: stops at once; starts only when it comes up again without J or L in between. */
  brake(down) {
    if (down) {
      this.#stepped = this.#player.playing;
      if (this.#player.playing) this.#byHand("hold");
      this.#braking = true;
    } else if (this.#braking) {
      this.#braking = false;
      if (!this.#stepped) this.#byHand("toggle");
    }
  }

  slower() {
    if (this.#braking) return this.#step(-1);
    if (!this.#player.playing) return this.view.actions.step(-1);
    const slower = RATES.findLast((rate) => rate < this.#player.video.playbackRate);
    return slower ? this.#setRate(slower) : this.#byHand("hold");
  }

  faster() {
    if (this.#braking) return this.#step(1);
    if (!this.#player.playing) return this.#byHand("play");
    return this.#setRate(RATES.find((rate) => rate > this.#player.video.playbackRate) ?? RATES.at(-1));
  }

  #step(count) {
    this.#stepped = true;
    this.view.actions.step(count);
  }

  #setRate(rate) {
    this.#player.video.playbackRate = rate;
    this.view.say(`${rate}×`);
  }

  /** Stop whatever is playing; says whether anything was. */
  stop() {
    const busy = this.reviewing || this.#player.playing || Boolean(this.#player.range);
    if (this.#review) this.#player.video.playbackRate = this.#review.rate;
    this.#review = null;
    if (busy) this.#player.hold();
    this.view.state.touch("edit", "player");
    return busy;
  }

  /** Loop around the active edge, by default the end: ends are harder to hear and see than starts. */
  auditionEdge() {
    if (!this.#moment) return this.view.say(NO_MOMENT);
    return this.#loop("edge", this.#reach);
  }

  auditionMoment(moment = this.#moment) {
    if (!moment) return this.view.say(NO_MOMENT);
    return this.#loop(moment.id === this.#moment?.id ? "moment" : null, moment);
  }

  /** A moment was made where there was none to loop: the loop that the row was opened for begins around its edge. */
  loopNew() {
    if (this.view.auditioning && this.#player.playable) this.auditionEdge();
  }

  get #moment() {
    return this.view.editor.selected ?? this.view.editor.moments[0] ?? null;
  }

  get #edge() {
    return this.view.editor.selection.edge ?? "end";
  }

  get #reach() {
    const ms = this.#moment[`${this.#edge}_ms`];
    return { start_ms: ms - LEAD_MS, end_ms: ms + LEAD_MS };
  }

  /** Where the first moment of a row is shown first: its start, or where the loop begins that goes around its edge. */
  openingMs(moment) {
    if (!moment) return 0;
    const isEdge = this.view.loopsRows && this.#loopedEdge !== null;
    return isEdge ? Math.max(0, moment[`${this.#loopedEdge}_ms`] - LEAD_MS) : moment.start_ms;
  }

  /** The first moment of a row is looped as one was last: the whole of it, or around the same edge, which is active. */
  auditionFirst() {
    const { editor, actions } = this.view;
    if (this.#loopedEdge === null) return this.auditionMoment();
    editor.select({ id: editor.moments[0].id, edge: this.#loopedEdge });
    actions.focusEdge();
    return this.auditionEdge();
  }

  #loop(target, stretch) {
    if (this.#player.range?.loop && this.#player.going) return this.stop();
    this.#loopTarget = target;
    if (target) this.#setLoopedEdge(target === "edge" ? this.#edge : null);
    return this.#repeat(stretch);
  }

  /** The row that is loaded ahead opens elsewhere when it changes. */
  #setLoopedEdge(edge) {
    if (edge === this.#loopedEdge) return;
    this.#loopedEdge = edge;
    this.view.showAhead();
  }

  #repeat(stretch) {
    this.view.play(this.#rangeOf(stretch));
    return this.view.state.touch("edit");
  }

  #rangeOf({ start_ms, end_ms }) {
    const { clock } = this.view.editor;
    return {
      start_s: Math.max(0, start_ms) / 1000,
      end_s: Math.min(clock.end_ms, end_ms) / 1000,
      idx: -1,
      loop: true,
    };
  }

  /**
   * An edge has moved: a loop around it, or around its moment, goes with it. It plays on where the edge is still to
   * come, and begins anew where the edge has passed. Says whether there was one.
   */
  follow(edge) {
    const looping = Boolean(this.#player.range?.loop) && this.#moment !== null;
    if (!looping || !this.#loopTarget || (this.#loopTarget === "edge" && edge !== this.#edge)) return false;
    const stretch = this.#loopTarget === "edge" ? this.#reach : this.#moment;
    if (this.#player.moveRange(this.#rangeOf(stretch), this.#moment[`${edge}_ms`] / 1000)) {
      this.view.state.touch("player");
      this.view.state.touch("edit");
    } else this.#repeat(stretch);
    return true;
  }

  /** Work begins on an edge: a loop under way goes around it from now on. Says whether there was one. */
  loopEdge() {
    if (!this.#player.range?.loop || !this.#loopTarget) return false;
    this.#loopTarget = "edge";
    this.#setLoopedEdge(this.#edge);
    this.#repeat(this.#reach);
    return true;
  }

  /** A seek leaves a loop, and stands; inside the gap under review it goes on from there. Says whether it has. */
  onSeek(time_s) {
    const { range } = this.#player;
    if (range?.loop) this.#player.pause();
    if (!this.#review || !range) return false;
    const { start_ms, end_ms } = this.#review.list[this.#review.at];
    if (time_s * 1000 >= start_ms && time_s * 1000 < end_ms) this.view.play({ ...range, start_s: time_s });
    else this.stop();
    return this.#review !== null;
  }

  /** Set the start or the end at the playhead, earlier by the reaction time while playing. */
  mark(edge) {
    const { view } = this;
    const { editor, reaction } = view;
    const { video, playing } = this.#player;
    const id = editor.selected?.id ?? editor.doc.next_id;
    const ms = playing
      ? reaction.meant(video.currentTime * 1000, video.playbackRate, `${id}:${edge}`)
      : view.markAt(edge);
    const [start_ms, end_ms, at_ms] = edge === "start" ? [ms, ms + NEW_MS, ms] : [ms - NEW_MS, ms, ms - 1];
    const command = editor.selected
      ? { type: "markEdge", id, edge, ms }
      : { type: "newMoment", start_ms, end_ms, at_ms };
    if (!editor.apply(command)) return;
    if (playing && reaction.on)
      view.say(`Taken ${Math.round(video.playbackRate * reaction.lag_ms)} ms earlier for your reaction time.`);
    if (!playing || edge === "end") this.loopNew(); // while it plays, the end is still to be marked
  }

  /** Start the review of gaps, or go on to the next one. */
  gaps() {
    if (this.#review) return this.#nextGap();
    const { view } = this;
    const { editor } = view;
    const windows = likelyWindows(editor.item, view.state.value.ranked);
    const list = reviewOrder(editor.moments, editor.clock.end_ms, windows);
    if (list.length === 0) return view.say("Everything is marked: there is no gap to review.");
    this.#review = { list, at: -1, rate: this.#player.video.playbackRate };
    return this.#nextGap();
  }

  #nextGap() {
    const review = this.#review;
    review.at += 1;
    if (review.at >= review.list.length) {
      this.stop();
      return this.view.say("All gaps were reviewed.");
    }
    const { start_ms, end_ms } = review.list[review.at];
    this.#player.video.playbackRate = GAP_RATE;
    const onEnd = () => this.#review === review && this.#nextGap();
    this.view.play({ start_s: start_ms / 1000, end_s: end_ms / 1000, idx: -1, onEnd });
    this.view.state.touch("edit");
    return this.view.say(`Gap ${review.at + 1} of ${review.list.length}.`);
  }

  /** During a review of gaps: the likely window at a time, so that one key adds it. */
  likelySpanAt(ms) {
    const span = this.#review?.list[this.#review.at]?.span;
    return span && ms >= span.start_ms && ms < span.end_ms ? span : null;
  }
}
