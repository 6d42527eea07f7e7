/**
 * The whole state of editing one query as plain data, without DOM.
 *
 * `apply(command)` is a finished gesture; `preview(command)` shows one under way and `settle()` ends it, or `cancel()`
 * takes it back. Events: `change` (anything shown differs), `commit` (detail { edit, command, at_ms }: exactly once per
 * gesture, undo and redo included), `refused` (detail { command, message }: it would have changed nothing),
 * `rehearsed` in place of `commit` between `rehearse()` and `resume()`.
 */

import { FrameClock } from "./frames.js";
import { editOf, initialDocument, openingOf, reduce } from "./reducers.js";

const IDLE_MS = 15_000;
const NO_HISTORY = { past: [], future: [] };
const NOBODY = { id: null, edge: null, lane: "mine" };

export class Editor extends EventTarget {
  item = null;
  clock = new FrameClock(25, 1);

  #doc = initialDocument({ arm: "blind" });
  #opening = null; // what the document began with; null where an older page began it
  #history = NO_HISTORY;
  #selection = NOBODY;
  #gesture = null;
  #aside = null;
  #offset_ms = null;
  #correction = null; // { id, edge, origin_ms } of the edge that is being moved, by as many keys as it takes
  #activity = { active_ms: 0, key_presses: 0, last_ms: null };

  /**
   * Open a workspace item (a timeline value with `edit`, or that part alone), with what `history()` gave earlier.
   * A history of another query is left aside.
   */
  load(item, history = null) {
    const row = "query_id" in item ? item : item.edit;
    const stored = history?.version === 1 && history.query_id === row.query_id ? history : null;
    const { past, future, activity } = stored ?? {};
    this.#open(row, stored?.doc ?? initialDocument(row), { history: stored ? { past, future } : NO_HISTORY, activity });
    this.#opening = stored ? (stored.opening ?? null) : openingOf(row);
    this.#selectFirst();
    this.#changed();
  }

  /** Nothing is open any more. */
  close() {
    this.#open(null, initialDocument({ arm: "blind" }));
    this.#selection = NOBODY;
    this.#changed();
  }

  /**
   * The model's proposal has come after the item. A model-first document starts from it, unless somebody is at work on
   * it: nothing is changed under an edge that is in hand. Says whether it has.
   */
  setModel(model) {
    this.item = { ...this.item, model };
    const isInUse = this.item.edit || this.touched || this.#gesture || this.#selection.edge;
    const starts = this.item.arm === "model-first" && !isInUse;
    if (starts) {
      this.#doc = initialDocument(this.item);
      this.#opening = "model";
      this.#selectFirst();
    }
    this.#changed();
    return starts;
  }

  get rehearsing() {
    return this.#aside !== null;
  }

  /**
   * Go on with a copy of what stands (or with `edit`, and with another `item`) whose changes nobody is told of as
   * commits. `resume()` gives back the document, history, selection and counts of before; so does `load`, with its own.
   */
  rehearse({ item = this.item, edit = null } = {}) {
    this.settle();
    const aside = {
      item: this.item,
      doc: this.#doc,
      history: this.#history,
      selection: this.#selection,
      activity: this.#activity,
    };
    this.#open(item, edit ? initialDocument({ ...item, edit }) : this.#doc);
    this.#aside = aside;
    if (!this.selected) this.#selectFirst();
    this.#changed();
  }

  resume() {
    if (!this.#aside) return;
    const { item, doc, history, selection, activity } = this.#aside;
    this.#open(item, doc, { history, activity });
    this.#selection = selection;
    this.#changed();
  }

  #open(item, doc, { history = NO_HISTORY, activity = {} } = {}) {
    this.item = item;
    if (item) this.clock = new FrameClock(item.frame_rate, item.frame_count);
    this.#gesture = this.#aside = this.#correction = null;
    this.#doc = doc;
    this.#history = history;
    this.#activity = { active_ms: 0, key_presses: 0, ...activity, last_ms: null };
  }

  #selectFirst() {
    const [first] = this.moments;
    this.#selection = first ? { ...NOBODY, id: first.id } : NOBODY;
  }

  /** The document with the gesture under way, if any. */
  get doc() {
    return this.#gesture?.doc ?? this.#doc;
  }

  get moments() {
    return this.doc.verdict === "moments" ? this.doc.moments : [];
  }

  get touched() {
    return this.#history.past.length + this.#history.future.length > 0;
  }

  get canUndo() {
    return this.#history.past.length > 0;
  }

  get canRedo() {
    return this.#history.future.length > 0;
  }

  /** { id, edge: "start" | "end" | null, lane: "mine" | "model" }; in the model's lane `id` is a span's index. */
  get selection() {
    return this.#selection;
  }

  get selected() {
    if (this.#selection.lane !== "mine") return null;
    return this.moments.find((moment) => moment.id === this.#selection.id) ?? null;
  }

  select(selection) {
    const next = selection ? { ...NOBODY, ...selection } : NOBODY;
    if (JSON.stringify(next) === JSON.stringify(this.#selection)) return;
    this.#selection = next;
    this.#changed();
  }

  get #context() {
    return { clock: this.clock, original: this.item.original, model: this.item.model };
  }

  /** Whether a command would change anything. */
  can(command) {
    return Boolean(this.item) && reduce(this.doc, command, this.#context) !== this.doc;
  }

  /** How far the last correction moved an edge, all keys on it together, from row to row; null before the first. */
  get last_offset_ms() {
    return this.#offset_ms;
  }

  /** One finished gesture. Says whether anything changed. */
  apply(command) {
    if (!this.item) return false;
    this.settle();
    const next = reduce(this.#doc, command, this.#context);
    if (next === this.#doc) return this.#refuse(command);
    this.#commit(next, command);
    return true;
  }

  /** A gesture under way: each preview starts from the document before it. `ongoing` builds on the last preview. */
  preview(command, { ongoing = false } = {}) {
    if (!this.item) return;
    const from = ongoing ? this.doc : this.#doc;
    const doc = reduce(from, command, this.#context);
    if (doc === this.doc) return;
    this.#gesture = { doc, command };
    this.#changed();
  }

  get previewing() {
    return this.#gesture !== null;
  }

  /** End the gesture under way; one commit, or none when it came back to where it began. */
  settle() {
    if (!this.#gesture) return false;
    const { doc, command } = this.#gesture;
    this.#gesture = null;
    if (JSON.stringify(doc) === JSON.stringify(this.#doc)) {
      this.#changed();
      return false;
    }
    this.#commit(doc, command);
    return true;
  }

  cancel() {
    if (!this.#gesture) return;
    this.#gesture = null;
    this.#changed();
  }

  undo() {
    return this.#travel("undo", "past", "future", "before");
  }

  redo() {
    return this.#travel("redo", "future", "past", "after");
  }

  /** One step of the history: a step is stored as the parts of the document before and after it that it changed. */
  #travel(type, from, to, side) {
    this.settle();
    const step = this.#history[from].at(-1);
    if (!step) return this.#refuse({ type });
    this.#doc = { ...this.#doc, ...step[side] };
    this.#correction = null;
    this.#history = { [from]: this.#history[from].slice(0, -1), [to]: [...this.#history[to], step] };
    const target = type === "undo" ? step.selection : (step.command.id ?? step.selection);
    const selection = typeof target === "object" ? target : { ...NOBODY, id: target };
    if (selection && this.moments.some(({ id }) => id === selection.id)) this.#selection = selection;
    else if (!this.selected) this.#selection = NOBODY;
    this.#report({ type, of: step.command });
    return true;
  }

  /** One more step, which keeps only what it changes; what was undone before it is gone. */
  #commit(next, command) {
    const before = this.#doc;
    this.#noteOffset(before, next, command);
    const changes = Object.keys(next).filter((key) => before[key] !== next[key]);
    const pick = (doc) => Object.fromEntries(changes.map((key) => [key, doc[key]]));
    const selection = this.#selection;
    const step = { command, at_ms: Date.now(), before: pick(before), after: pick(next), selection };
    this.#history = { past: [...this.#history.past, step], future: [] };
    this.#doc = next;
    this.#selection = this.#selectionAfter(before, next);
    this.#report(command);
  }

  /** Moves of one edge that follow each other are one correction; a repeated offset stays what it was. */
  #noteOffset(before, next, { id, edge, repeats = false }) {
    const [from_ms, to_ms] = [before, next].map(({ moments }) => moments.find((one) => one.id === id)?.[`${edge}_ms`]);
    if (!edge || from_ms === undefined || to_ms === undefined || repeats) return void (this.#correction = null);
    if (this.#correction?.id !== id || this.#correction.edge !== edge) {
      this.#correction = { id, edge, origin_ms: from_ms };
    }
    this.#offset_ms = to_ms - this.#correction.origin_ms || this.#offset_ms;
  }

  /** A new moment becomes the selected one; after a removal the next one does, so that focus is never lost. */
  #selectionAfter(before, next) {
    if (this.#selection.lane !== "mine" && next.verdict === before.verdict) {
      if (next.moments === before.moments) return this.#selection;
    }
    const newcomer = next.moments.find((moment) => !before.moments.some(({ id }) => id === moment.id));
    if (newcomer) return { ...NOBODY, id: newcomer.id };
    if (next.moments.some(({ id }) => id === this.#selection.id)) return this.#selection;
    const removed_idx = before.moments.findIndex(({ id }) => id === this.#selection.id);
    const heir = next.moments[Math.min(Math.max(0, removed_idx), next.moments.length - 1)];
    return heir ? { ...NOBODY, id: heir.id } : NOBODY;
  }

  #report(command) {
    this.#changed();
    const detail = { edit: this.edit(), command, at_ms: Date.now() };
    this.dispatchEvent(new CustomEvent(this.#aside ? "rehearsed" : "commit", { detail }));
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }

  #refuse(command) {
    const message = REFUSALS[command.type] ?? "Nothing to change here.";
    this.dispatchEvent(new CustomEvent("refused", { detail: { command, message } }));
    return false;
  }

  /** Somebody did something: working time without stretches longer than 15 s, and key presses. No clock set counts. */
  note({ key = false, at_ms = performance.now() } = {}) {
    const { last_ms } = this.#activity;
    if (last_ms !== null && at_ms > last_ms) this.#activity.active_ms += Math.min(at_ms - last_ms, IDLE_MS);
    this.#activity.last_ms = at_ms;
    if (key) this.#activity.key_presses += 1;
  }

  /** annotations.records.Edit.to_dict() of what stands now, as a draft unless said otherwise. */
  edit({ submitted = false } = {}) {
    return {
      ...editOf(this.doc),
      submitted,
      proposal_id: this.item?.model?.proposal_id ?? null,
      arm: this.item?.arm ?? null,
      opening: this.#opening,
      screen_reasons: (this.item?.reasons ?? []).map(({ kind }) => kind),
      active_ms: Math.round(this.#activity.active_ms),
      key_presses: this.#activity.key_presses,
    };
  }

  /** Why this cannot be submitted yet, as a sentence, or null. */
  get obstacle() {
    if (this.doc.verdict === "moments" && this.moments.length === 0)
      return "There is no moment yet. Add one (N), or press 0 for “no matching moment”.";
    if (this.doc.verdict !== "moments" && !this.doc.reason?.trim())
      return "Say why: press 0 and choose a reason.";
    return null;
  }

  /** Everything that `load` needs to go on after a reload, as plain JSON. */
  history() {
    const { active_ms, key_presses } = this.#activity;
    return structuredClone({
      version: 1,
      query_id: this.item?.query_id ?? null,
      doc: this.#doc,
      opening: this.#opening,
      ...this.#history,
      activity: { active_ms, key_presses },
    });
  }
}

const REFUSALS = {
  undo: "Nothing to undo.",
  redo: "Nothing to redo.",
  setEdge: "The edge cannot go further.",
  nudgeEdge: "The edge cannot go further.",
  toLimit: "The edge is at its limit.",
  markEdge: "Another moment is here; move or remove that one first.",
  takeEdge: "There is no such edge to take, or it is taken already.",
  newMoment: "There is no free room for a moment here.",
  split: "Put the playhead inside the moment to split it.",
  merge: "There is no next moment to merge with.",
  acceptModel: "This moment is yours already.",
  acceptAll: "These moments are yours already.",
};
