/**
 * The whole state of editing one query as plain data, without DOM.
 *
 * `apply(command)` is a finished gesture; `preview(command)` shows one under way and `settle()` ends it, or `cancel()`
 * takes it back. Events: `change` (anything shown differs), `commit` (detail { edit, command, at_ms }: exactly once per
 * gesture, undo and redo included), `refused` (detail { command, message }: it would have changed nothing),
 * `rehearsed` in place of `commit` between `rehearse()` and `resume()`.
 */

import { FrameClock } from "./frames.js";
import { emptyHistory, redone, remember, undone } from "./history.js";
import { editOf, initialDocument, reduce } from "./reducers.js";

const IDLE_MS = 15_000;
const NOBODY = { id: null, edge: null, lane: "mine" };

export class Editor extends EventTarget {
  item = null;
  clock = new FrameClock(25, 1);

  #doc = initialDocument({ arm: "blind" });
  #start = this.#doc;
  #history = emptyHistory();
  #selection = NOBODY;
  #gesture = null;
  #aside = null;
  #activity = { active_ms: 0, key_presses: 0, last_ms: null };

  /**
   * Open a workspace item (a timeline value with `edit`, or that part alone), with what `history()` gave earlier.
   * A history of another query is left aside.
   */
  load(item, history = null) {
    this.item = "query_id" in item ? item : item.edit;
    this.clock = new FrameClock(this.item.frame_rate, this.item.frame_count);
    this.#gesture = this.#aside = null;
    const kept = history?.version === 1 && history.query_id === this.item.query_id ? history : null;
    this.#start = initialDocument(this.item);
    this.#doc = kept?.doc ?? this.#start;
    this.#history = kept ? { past: kept.past, future: kept.future } : emptyHistory();
    this.#activity = { active_ms: 0, key_presses: 0, ...kept?.activity, last_ms: null };
    this.#selection = NOBODY;
    const first = this.moments[0];
    if (first) this.#selection = { id: first.id, edge: null, lane: "mine" };
    this.#changed();
  }

  /** Nothing is open any more. */
  close() {
    this.item = null;
    this.#gesture = this.#aside = null;
    this.#start = this.#doc = initialDocument({ arm: "blind" });
    this.#history = emptyHistory();
    this.#selection = NOBODY;
    this.#changed();
  }

  /**
   * The model's proposal has come after the item. A model-first document starts from it, unless somebody has begun to
   * work on it: nothing is changed under an edge that is in hand. Says whether it has.
   */
  setModel(model) {
    this.item = { ...this.item, model };
    const begun = this.item.edit || this.touched || this.#gesture || this.#selection.edge;
    const starts = this.item.arm === "model-first" && !begun;
    if (starts) {
      this.#start = this.#doc = initialDocument(this.item);
      const first = this.moments[0];
      this.#selection = first ? { id: first.id, edge: null, lane: "mine" } : NOBODY;
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
    this.#aside = {
      item: this.item,
      doc: this.#doc,
      history: this.#history,
      selection: this.#selection,
      activity: { ...this.#activity, last_ms: null },
    };
    this.#open(item, edit ? initialDocument({ ...item, edit }) : this.#doc);
    const first = this.moments[0];
    this.#selection = this.selected ? this.#selection : { ...NOBODY, id: first?.id ?? null };
    this.#changed();
  }

  resume() {
    if (!this.#aside) return;
    const { item, doc, history, selection, activity } = this.#aside;
    this.#aside = null;
    this.#open(item, doc, { history, activity });
    this.#selection = selection;
    this.#changed();
  }

  #open(item, doc, { history = emptyHistory(), activity = { active_ms: 0, key_presses: 0, last_ms: null } } = {}) {
    this.item = item;
    this.clock = new FrameClock(item.frame_rate, item.frame_count);
    this.#gesture = null;
    this.#doc = doc;
    this.#history = history;
    this.#activity = activity;
  }

  /** The document with the gesture under way, if any. */
  get doc() {
    return this.#gesture?.doc ?? this.#doc;
  }

  get moments() {
    return this.doc.verdict === "moments" ? this.doc.moments : [];
  }

  /** What the annotator started from, for "yours against what was there". */
  get initial() {
    return this.#start;
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
    return this.#travel(undone, "undo");
  }

  redo() {
    return this.#travel(redone, "redo");
  }

  #travel(move, type) {
    this.settle();
    const moved = move(this.#history, this.#doc);
    if (!moved) return this.#refuse({ type });
    this.#doc = moved.doc;
    this.#history = moved.history;
    const { step } = moved;
    this.#reselect(type === "undo" ? step.selection : (step.command.id ?? step.selection));
    this.#tell({ type, of: step.command });
    return true;
  }

  #reselect(selection) {
    const wanted = typeof selection === "object" ? selection : { ...NOBODY, id: selection };
    const exists = wanted && this.moments.some((moment) => moment.id === wanted.id);
    this.#selection = exists ? wanted : this.selected ? this.#selection : NOBODY;
  }

  #commit(next, command) {
    const before = this.#doc;
    this.#history = remember(this.#history, before, next, command, Date.now(), this.#selection);
    this.#doc = next;
    this.#selection = this.#selectionAfter(before, next);
    this.#tell(command);
  }

  /** A new moment becomes the selected one; after a removal the next one does, so that focus is never lost. */
  #selectionAfter(before, next) {
    if (this.#selection.lane !== "mine" && next.verdict === before.verdict) {
      if (next.moments === before.moments) return this.#selection;
    }
    const made = next.moments.find((moment) => !before.moments.some(({ id }) => id === moment.id));
    if (made) return { ...NOBODY, id: made.id };
    if (next.moments.some(({ id }) => id === this.#selection.id)) return this.#selection;
    const gone = before.moments.findIndex(({ id }) => id === this.#selection.id);
    const heir = next.moments[Math.min(Math.max(0, gone), next.moments.length - 1)];
    return heir ? { ...NOBODY, id: heir.id } : NOBODY;
  }

  #tell(command) {
    this.#changed();
    this.dispatchEvent(
      new CustomEvent(this.#aside ? "rehearsed" : "commit", {
        detail: { edit: this.edit(), command, at_ms: Date.now() },
      }),
    );
  }

  #changed() {
    this.dispatchEvent(new CustomEvent("change"));
  }

  #refuse(command) {
    const message = REFUSALS[command.type] ?? "Nothing to change here.";
    this.dispatchEvent(new CustomEvent("refused", { detail: { command, message } }));
    return false;
  }

  /** Somebody did something: working time without stretches longer than 15 s, and key presses. */
  note({ key = false, at_ms = Date.now() } = {}) {
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
