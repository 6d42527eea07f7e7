/**
 * The drill: a first run through the main gestures on the row that is open. The editor works on a copy meanwhile, so
 * that nothing is kept or sent, and gives back everything when the drill is left.
 */

import { DrillCard } from "./drill_card.js";
import { STEPS, standing } from "./drill_steps.js";
import { FrameClock } from "./frames.js";
import { Reaction } from "./reaction.js";

const KEY = "tempo.drill";
const SHOWN = ["snapping", "slip", "fine", "zoomed", "reaction"];
const MADE_UP = { frame_rate: 25, frame_count: 750, grid_ms: 2000, shots_ms: [], saliency: [] };

export class Drill {
  #card = null;
  #at = 0;
  #marks = []; // one a step that is over: "done" or "left out"
  #before = null;
  #reasons = [];
  #kept = null;
  #later = [];
  #stops = null;
  #played = false;

  constructor(bench, storage = localStorage) {
    this.bench = bench;
    this.storage = storage;
  }

  get running() {
    return this.#card !== null;
  }

  get ready() {
    return this.bench.editor.item !== null;
  }

  get finished() {
    return this.running && this.#at >= STEPS.length;
  }

  /** Whether this browser was asked already, or did it. */
  get known() {
    return this.storage.getItem(KEY) !== null;
  }

  remember(what) {
    this.storage.setItem(KEY, what);
  }

  start() {
    const { bench } = this;
    if (!this.ready) return;
    if (bench.state.value.state === "loading") {
      bench.say("The clip is being prepared; the drill can start when it is there.");
      return;
    }
    this.leave();
    this.remember("begun");
    this.#keep();
    this.#rehearse();
    this.#card = new DrillCard(bench, { on: () => this.#next("left out"), leave: () => this.leave() });
    this.#listen();
    this.#enter(0);
    bench.focusTimeline();
    bench.axis.scrollIntoView({ block: "nearest" });
    requestAnimationFrame(() => this.running && this.#say()); // a live region speaks of what changes after it is there
  }

  /** Everything is as it was before the drill. */
  leave() {
    if (!this.running) return;
    const { bench } = this;
    this.#stops.abort();
    this.#card.remove();
    this.#card = null;
    bench.transport.stop();
    bench.editor.resume();
    this.#giveBack();
    for (const work of this.#later.splice(0)) work();
    bench.focusEdge(bench.editor.selection.id, bench.editor.selection.edge);
  }

  /** What comes for the row meanwhile waits, so that the drill stays as it is. */
  afterwards(work) {
    this.#later.push(work);
  }

  /** Something was done; says whether it was the drill's alone. */
  took(what) {
    if (this.running && !this.finished) this.#look(what);
    return this.running;
  }

  /** Escape leaves, the drill's own key goes on. Says whether the key press was one of these. */
  press(event, chord) {
    if (!this.running || this.bench.dragging) return false;
    const { keys } = this.bench;
    const ends = this.finished && chord === "key:Enter";
    const leaves = ends || chord === "key:Escape" || keys.chords("leave").includes(chord);
    if (!leaves && (this.finished || !keys.chords("drillOn").includes(chord))) return false;
    event.preventDefault();
    if (event.repeat) return true;
    if (leaves) this.leave();
    else this.#next("left out");
    return true;
  }

  // ---- what stands before and after

  #keep() {
    const { bench } = this;
    const { player, state, stage } = bench;
    bench.transport.stop();
    this.#kept = {
      value: state.value,
      view: [state.view.start_s, state.view.end_s],
      time_s: player.time_s,
      rate: stage.video.playbackRate,
      muted: stage.video.muted,
      scroll: [scrollX, scrollY],
      shown: Object.fromEntries(SHOWN.map((name) => [name, bench[name]])),
    };
    bench.reaction = new Reaction({ getItem: (key) => localStorage.getItem(key), setItem() {} });
  }

  #giveBack() {
    const { bench } = this;
    const { player, state, stage } = bench;
    const { value, view, time_s, rate, muted, scroll, shown } = this.#kept;
    Object.assign(bench, shown);
    if (state.value !== value) this.#accept(value);
    bench.refreshSnaps();
    state.view.show(...view);
    Object.assign(stage.video, { playbackRate: rate, muted });
    player.seek(time_s);
    state.touch("view", "edit", "player", "playhead");
    scrollTo(...scroll);
    this.#kept = null;
  }

  /** A copy of the row; with a moment where there is none, with an axis where the clip's length is not known. */
  #rehearse() {
    const { bench } = this;
    const { editor, state } = bench;
    const whole = state.hasAxis;
    const item = whole ? editor.item : { ...editor.item, ...MADE_UP, ...proposals() };
    if (!whole) this.#accept({ ...state.value, edit: item });
    const bare = !whole || editor.moments.length === 0;
    editor.rehearse({ item, edit: bare ? someAnswer(item) : null });
    bench.refreshSnaps();
    state.view.fit();
    bench.seekMs(editor.selected?.start_ms ?? 0);
    state.touch("view", "edit");
  }

  #accept(value) {
    const { player, state } = this.bench;
    state.accept(value);
    player.load(state.value.video, state.duration_s);
  }

  // ---- going through it

  #listen() {
    const { bench } = this;
    this.#stops = new AbortController();
    const signal = AbortSignal.any([this.#stops.signal, bench.signal]);
    const on = (target, name, hear) => target.addEventListener(name, hear, { signal });
    on(bench.editor, "change", () => this.took("change"));
    on(bench.editor, "rehearsed", ({ detail }) => this.took(detail.command.type));
    on(bench.stage.video, "play", () => (this.#played = true));
    on(bench.stage.video, "pause", () => this.#played && this.took("played"));
    on(bench.help, "close", () => this.#say());
    this.#card.run(signal);
  }

  #look(what) {
    if (STEPS[this.#at].done(this.bench, what, this.#before)) this.#next("done");
  }

  #next(mark) {
    if (this.finished) return;
    this.#marks[this.#at] = mark;
    this.#enter(this.#at + 1);
  }

  #enter(idx, reasons = []) {
    const { bench } = this;
    if (idx === 0) this.#marks = [];
    this.#at = idx;
    const step = STEPS[idx];
    const reason = step?.cannot?.(bench);
    if (reason) {
      this.#marks[idx] = "left out";
      return this.#enter(idx + 1, [...reasons, `${step.name} is left out: ${reason}.`]);
    }
    this.#played = false;
    this.#before = standing(bench);
    step?.enter?.(bench);
    this.#reasons = reasons;
    if (!step) this.remember(`done in ${this.#card.stop()} s`);
    return this.#say();
  }

  #say() {
    const step = STEPS[this.#at] ?? null;
    const names = STEPS.map(({ name }) => name);
    this.#card.show({ step, names, marks: this.#marks, reasons: this.#reasons });
  }
}

function someAnswer({ frame_rate, frame_count }) {
  const clock = new FrameClock(frame_rate, frame_count);
  const [start_ms, end_ms] = [0.25, 0.5].map((share) => clock.boundary(share * clock.end_ms));
  return { verdict: "moments", moments: [{ start_ms, end_ms, start_source: "hand", end_source: "hand" }] };
}

/** Something to take an edge from, where the axis is made up. */
function proposals() {
  return { original: { moments: [{ start_ms: 6000, end_ms: 18_000 }], refused: false }, model: null };
}
