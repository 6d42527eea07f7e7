/**
 * The drill: a first run through the main gestures on the row that is open. The editor works on a copy meanwhile, so
 * that nothing is kept or sent, and gives back everything when the drill is left.
 */

import { TutorialCard } from "./tutorial_card.js";
import { STEPS, standing } from "./tutorial_steps.js";
import { FrameClock } from "./frames.js";
import { Reaction } from "./reaction.js";

const KEY = "tempo.drill";
const SHOWN = ["snapping", "slip", "fine", "zoomed", "reaction"];
const MADE_UP = { frame_rate: 25, frame_count: 750, grid_ms: 2000, shots_ms: [], saliency: [] };

export class Tutorial {
  #card = null;
  #at = 0;
  #marks = []; // one a step that is over: "done" or "left out"
  #before = null;
  #reasons = [];
  #kept = null;
  #later = [];
  #stops = null;
  #played = false;

  constructor(editorView, storage = localStorage) {
    this.editorView = editorView;
    this.storage = storage;
  }

  get running() {
    return this.#card !== null;
  }

  get ready() {
    return this.editorView.editor.item !== null;
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
    const { editorView } = this;
    if (!this.ready) return;
    if (editorView.state.value.state === "loading") {
      editorView.say("The clip is being prepared; the drill can start when it is there.");
      return;
    }
    this.leave();
    this.remember("begun");
    this.#keep();
    this.#rehearse();
    this.#card = new TutorialCard(editorView, { on: () => this.#next("left out"), leave: () => this.leave() });
    this.#listen();
    this.#enter(0);
    editorView.focusTimeline();
    editorView.axis.scrollIntoView({ block: "nearest" });
    requestAnimationFrame(() => this.running && this.#say()); // a live region speaks of what changes after it is there
  }

  /** Everything is as it was before the drill. */
  leave() {
    if (!this.running) return;
    const { editorView } = this;
    this.#stops.abort();
    this.#card.remove();
    this.#card = null;
    editorView.transport.stop();
    editorView.editor.resume();
    this.#giveBack();
    for (const work of this.#later.splice(0)) work();
    editorView.focusEdge(editorView.editor.selection.id, editorView.editor.selection.edge);
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
    if (!this.running || this.editorView.dragging) return false;
    const { keys } = this.editorView;
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
    const { editorView } = this;
    const { player, state, videoPane } = editorView;
    editorView.transport.stop();
    this.#kept = {
      value: state.value,
      viewport: [state.viewport.start_s, state.viewport.end_s],
      time_s: player.time_s,
      rate: videoPane.video.playbackRate,
      muted: videoPane.video.muted,
      scroll: [scrollX, scrollY],
      shown: Object.fromEntries(SHOWN.map((name) => [name, editorView[name]])),
    };
    editorView.reaction = new Reaction({ getItem: (key) => localStorage.getItem(key), setItem() {} });
  }

  #giveBack() {
    const { editorView } = this;
    const { player, state, videoPane } = editorView;
    const { value, viewport, time_s, rate, muted, scroll, shown } = this.#kept;
    Object.assign(editorView, shown);
    if (state.value !== value) this.#accept(value);
    editorView.refreshSnaps();
    state.viewport.show(...viewport);
    Object.assign(videoPane.video, { playbackRate: rate, muted });
    player.seek(time_s);
    state.touch("viewport", "edit", "player", "playhead");
    scrollTo(...scroll);
    this.#kept = null;
  }

  /** A copy of the row; with a moment where there is none, with an axis where the clip's length is not known. */
  #rehearse() {
    const { editorView } = this;
    const { editor, state } = editorView;
    const whole = state.hasAxis;
    const item = whole ? editor.item : { ...editor.item, ...MADE_UP, ...proposals() };
    if (!whole) this.#accept({ ...state.value, edit: item });
    const bare = !whole || editor.moments.length === 0;
    editor.rehearse({ item, edit: bare ? someAnswer(item) : null });
    editorView.refreshSnaps();
    state.viewport.fit();
    editorView.seekMs(editor.selected?.start_ms ?? 0);
    state.touch("viewport", "edit");
  }

  #accept(value) {
    const { player, state } = this.editorView;
    state.accept(value);
    player.load(state.value.video, state.duration_s);
  }

  // ---- going through it

  #listen() {
    const { editorView } = this;
    this.#stops = new AbortController();
    const signal = AbortSignal.any([this.#stops.signal, editorView.signal]);
    const on = (target, name, hear) => target.addEventListener(name, hear, { signal });
    on(editorView.editor, "change", () => this.took("change"));
    on(editorView.editor, "rehearsed", ({ detail }) => this.took(detail.command.type));
    on(editorView.videoPane.video, "play", () => (this.#played = true));
    on(editorView.videoPane.video, "pause", () => this.#played && this.took("played"));
    on(editorView.help, "close", () => this.#say());
    this.#card.run(signal);
  }

  #look(what) {
    if (STEPS[this.#at].done(this.editorView, what, this.#before)) this.#next("done");
  }

  #next(mark) {
    if (this.finished) return;
    this.#marks[this.#at] = mark;
    this.#enter(this.#at + 1);
  }

  #enter(idx, reasons = []) {
    const { editorView } = this;
    if (idx === 0) this.#marks = [];
    this.#at = idx;
    const step = STEPS[idx];
    const reason = step?.cannot?.(editorView);
    if (reason) {
      this.#marks[idx] = "left out";
      return this.#enter(idx + 1, [...reasons, `${step.name} is left out: ${reason}.`]);
    }
    this.#played = false;
    this.#before = standing(editorView);
    step?.enter?.(editorView);
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
