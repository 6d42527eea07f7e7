/**
 * The tutorial (on the page: the drill): a first run through the main gestures on the row that is open. The editor works
 * on a copy meanwhile, so that nothing is kept or sent, and gives back everything when the tutorial is left.
 */

import { button, el } from "./dom.js";
import { FrameClock } from "./frames.js";
import { Reaction } from "./reaction.js";
import { storage } from "./storage.js";
import { TutorialCard } from "./tutorial_card.js";
import { STEPS, stepState } from "./tutorial_steps.js";

const STORAGE_KEY = "tempo.drill";
const VIEW_FIELDS = ["snapping", "slip", "fine", "zoom_idx", "reaction"];
const MADE_UP_AXIS = { frame_rate: 25, frame_count: 750, grid_ms: 2000, shots_ms: [], saliency: [] };
/** Something to take an edge from, where the axis is made up. */
const MADE_UP_ANSWERS = { original: { moments: [{ start_ms: 6000, end_ms: 18_000 }], refused: false }, model: null };

export class Tutorial {
  #card = null;
  #step_idx = 0;
  #marks = []; // one a step that is over: "done" or "left out"
  #before = null; // what stood when the step began
  #reasons = [];
  #saved = null; // what to give back
  #deferred = [];
  #listening = null;
  #hasPlayed = false;

  constructor(view) {
    this.view = view;
  }

  get running() {
    return this.#card !== null;
  }

  get ready() {
    return this.view.editor.item !== null;
  }

  get finished() {
    return this.running && this.#step_idx >= STEPS.length;
  }

  /** Whether this browser was asked already, or did it. */
  get answered() {
    return storage.getItem(STORAGE_KEY) !== null;
  }

  remember(answer) {
    storage.setItem(STORAGE_KEY, answer);
  }

  start() {
    const { view } = this;
    if (!this.ready) return;
    if (view.state.value.state === "loading") {
      view.say("The clip is being prepared; the drill can start when it is there.");
      return;
    }
    this.leave();
    this.remember("begun");
    this.#save();
    this.#rehearse();
    this.#card = new TutorialCard(view, { onSkip: () => this.skipStep(), onLeave: () => this.leave() });
    this.#listen();
    this.#enter(0);
    view.focusTimeline();
    view.axis.scrollIntoView({ block: "nearest" });
    requestAnimationFrame(() => this.running && this.#show()); // a live region speaks of what changes after it is there
  }

  /** Everything is as it was before the tutorial. */
  leave() {
    if (!this.running) return;
    const { view } = this;
    this.#listening.abort();
    this.#card.remove();
    this.#card = null;
    view.transport.stop();
    view.editor.resume();
    this.#restore();
    for (const run of this.#deferred.splice(0)) run();
    view.focusEdge(view.editor.selection.id, view.editor.selection.edge);
  }

  skipStep() {
    this.#finishStep("left out");
  }

  /** What comes for the row meanwhile waits, so that the tutorial stays as it is. */
  defer(run) {
    this.#deferred.push(run);
  }

  /** `event` has happened: "step", "submit", "played", or an editor's command. Says whether it was the tutorial's alone. */
  notice(event) {
    if (this.running && !this.finished && STEPS[this.#step_idx].isDone(this.view, event, this.#before))
      this.#finishStep("done");
    return this.running;
  }

  /** Escape leaves, the tutorial's own key goes on. Says whether the key press was one of these. */
  interceptKey(event, chord) {
    if (!this.running || this.view.dragging) return false;
    const { keys } = this.view;
    const leaves =
      chord === "key:Escape" || keys.chords("leave").includes(chord) || (this.finished && chord === "key:Enter");
    const skips = !this.finished && keys.chords("drillOn").includes(chord);
    if (!leaves && !skips) return false;
    event.preventDefault();
    if (event.repeat) return true;
    if (leaves) this.leave();
    else this.skipStep();
    return true;
  }

  // ---- what stands before and after

  #save() {
    const { view } = this;
    const { player, state, videoPane } = view;
    view.transport.stop();
    view.auditioning = false;
    this.#saved = {
      value: state.value,
      span_s: [state.viewport.start_s, state.viewport.end_s],
      time_s: player.time_s,
      rate: videoPane.video.playbackRate,
      muted: videoPane.video.muted,
      scroll: [scrollX, scrollY],
      fields: Object.fromEntries(VIEW_FIELDS.map((name) => [name, view[name]])),
    };
    view.reaction = new Reaction({ getItem: (key) => storage.getItem(key), setItem() {} });
  }

  #restore() {
    const { view } = this;
    const { player, state, videoPane } = view;
    const { value, span_s, time_s, rate, muted, scroll, fields } = this.#saved;
    Object.assign(view, fields);
    if (state.value !== value) this.#accept(value);
    view.refreshSnaps();
    state.viewport.show(...span_s);
    Object.assign(videoPane.video, { playbackRate: rate, muted });
    player.seek(time_s);
    state.touch("viewport", "edit", "player", "playhead");
    scrollTo(...scroll);
    this.#saved = null;
  }

  /** A copy of the row; with a moment where there is none, with an axis where the clip's length is not known. */
  #rehearse() {
    const { view } = this;
    const { editor, state } = view;
    let { item } = editor;
    let edit = null;
    if (!state.hasAxis) {
      item = { ...item, ...MADE_UP_AXIS, ...MADE_UP_ANSWERS };
      this.#accept({ ...state.value, edit: item });
    }
    if (item !== editor.item || editor.moments.length === 0) {
      const clock = new FrameClock(item.frame_rate, item.frame_count);
      const [start_ms, end_ms] = [0.25, 0.5].map((share) => clock.boundary(share * clock.end_ms));
      edit = { verdict: "moments", moments: [{ start_ms, end_ms, start_source: "hand", end_source: "hand" }] };
    }
    editor.rehearse({ item, edit });
    view.refreshSnaps();
    state.viewport.fit();
    view.seekMs(editor.selected?.start_ms ?? 0);
    state.touch("viewport", "edit");
  }

  #accept(value) {
    const { player, state } = this.view;
    state.accept(value);
    player.load(state.value.video, state.duration_s);
  }

  // ---- going through it

  #listen() {
    const { view } = this;
    this.#listening = new AbortController();
    const signal = AbortSignal.any([this.#listening.signal, view.signal]);
    const on = (target, name, handler) => target.addEventListener(name, handler, { signal });
    on(view.editor, "change", () => this.notice("change"));
    on(view.editor, "rehearsed", ({ detail }) => this.notice(detail.command.type));
    on(view.videoPane.video, "play", () => (this.#hasPlayed = true));
    on(view.videoPane.video, "pause", () => this.#hasPlayed && this.notice("played"));
    on(view.help, "close", () => this.#show());
    this.#card.run(signal);
  }

  #finishStep(mark) {
    if (this.finished) return;
    this.#marks[this.#step_idx] = mark;
    this.#enter(this.#step_idx + 1);
  }

  #enter(idx) {
    const { view } = this;
    if (idx === 0) this.#marks = [];
    this.#step_idx = idx;
    this.#reasons = [];
    for (let reason; (reason = STEPS[this.#step_idx]?.obstacle?.(view)); this.#step_idx += 1) {
      this.#marks[this.#step_idx] = "left out";
      this.#reasons.push(`${STEPS[this.#step_idx].name} is left out: ${reason}.`);
    }
    this.#hasPlayed = false;
    this.#before = stepState(view);
    STEPS[this.#step_idx]?.enter?.(view);
    if (this.finished) this.remember(`done in ${this.#card.stop()} s`);
    this.#show();
  }

  #show() {
    const step = STEPS[this.#step_idx] ?? null;
    const names = STEPS.map(({ name }) => name);
    this.#card.show({ step, names, marks: this.#marks, reasons: this.#reasons });
  }
}

/** Offer it once: one line below the lanes until it is started, declined, or a first row is submitted. */
export function offerTutorial(view) {
  const { tutorial, root, signal } = view;
  if (tutorial.answered) return;
  const decline = () => {
    if (!tutorial.answered) tutorial.remember("declined");
    node.remove();
  };
  const node = el(
    "span",
    { className: "tl-drill-offer" },
    el("span", { text: "First time here?" }),
    button("tl-small", "Try the keys, 90 s", () => (tutorial.start(), tutorial.answered && node.remove())),
    button("tl-small", "No, thanks", () => (decline(), view.focusTimeline())),
  );
  root.addEventListener("tl-submit", decline, { signal, once: true });
  view.editor.addEventListener("change", () => tutorial.running && node.remove(), { signal });
  view.bar.node.insertBefore(node, view.bar.message);
}
