/**
 * Saving without anybody waiting: each finished gesture is stored in this browser at once and sent in order.
 *
 * An operation has an id, so that sending it twice does no harm, and names the version that it follows. The first
 * one after loading follows what the server had; each later one follows the answer to the one before. What the server
 * refuses because somebody else was faster waits for a person (`conflict`), and what the server failed at three times
 * waits for `retry`; nothing is dropped without being told. Edits that the browser had no room for live in the tab until
 * they are sent; leaving the page meanwhile asks first.
 * Events: `status` (the chip), `conflict` (detail { query_id }), `saved` (detail { query_id, progress }).
 */

import { openLocalStore } from "./local_store.js";
import { annotateApi, newId, pause } from "./server.js";

const SOONEST_MS = 400;
const LATEST_MS = 3000; // a server that is back has the edits within five seconds
const FAULT_TRIES = 3;
const NO_ROOM = "This browser has no room to keep edits: leave the page open until they are saved.";

export class EditSync extends EventTarget {
  #localStore;
  #annotator;
  #signal;
  #tab_id = newId();
  #queue = [];
  #heads = new Map();
  #conflicts = new Map();
  #faults = new Map(); // query → { tries, message } of its first operation: the server failed, the others go on
  #writes = Promise.resolve();
  #unstored = new Set(); // ids of operations that the browser had no room for
  #running = false;
  #wake = null;
  #trouble = null;
  #saved_ms = null;
  #refused = null;

  static async open(annotator, signal) {
    const sync = new EditSync();
    sync.#annotator = annotator;
    sync.#signal = signal;
    sync.#localStore = await openLocalStore();
    await sync.#adopt();
    const again = () => sync.#wake?.();
    addEventListener("online", again, { signal });
    document.addEventListener("visibilitychange", again, { signal });
    addEventListener("beforeunload", (event) => sync.#askBeforeLeaving(event), { signal });
    sync.#run();
    return sync;
  }

  /** Take over what closed tabs left behind; open ones hold a lock and send their own. */
  async #adopt() {
    const open_tabs = await openTabs(this.#tab_id, this.#signal);
    const operations = await this.#localStore.operations(this.#annotator);
    this.#queue = operations.filter((op) => !open_tabs.has(op.tab)).map((op) => ({ ...op, tab: this.#tab_id }));
    for (const { query_id, theirs, yours } of this.#queue)
      if (theirs !== undefined) this.#conflicts.set(query_id, { yours, theirs });
    if (this.#queue.length > 0) this.#write({ operations: this.#queue });
  }

  /**
   * { kind, count, saved_ms, message, query_id }: kind is saved, saving, conflict, refused, or what `retry` tries again:
   * offline, busy, full, fault, person, role.
   */
  get status() {
    const common = { count: this.#queue.length, saved_ms: this.#saved_ms, durable: this.#durable };
    const [first] = this.#conflicts.keys();
    if (first !== undefined) return { ...common, kind: "conflict", query_id: first };
    if (this.#trouble) {
      const advice = common.count > 0 && !common.durable ? ` ${NO_ROOM}` : "";
      return { ...common, ...this.#trouble, message: `${this.#trouble.message}${advice}` };
    }
    if (this.#queue.length > 0 && !this.#next)
      return { ...common, kind: "fault", message: this.#faults.values().next().value.message };
    if (this.#queue.length > 0) return { ...common, kind: "saving" };
    if (this.#refused) return { ...common, kind: "refused", message: this.#refused };
    return { ...common, kind: "saved" };
  }

  /** An item came from the server with its newest version. */
  opened(query_id, head) {
    if (this.pending(query_id).length === 0) this.#heads.set(query_id, head);
  }

  pending(query_id) {
    return this.#queue.filter((op) => op.query_id === query_id);
  }

  /** Queries with a submission that the server has not confirmed: they are not open any more. */
  get submitting() {
    return [...new Set(this.#queue.filter((op) => op.edit.submitted).map((op) => op.query_id))];
  }

  /** Store and send one edit. `history` is what the editor needs to go on after a reload. */
  keep(query_id, edit, history) {
    const chained = this.pending(query_id).length > 0;
    const op = {
      op_id: newId(),
      order: Date.now() + this.#queue.length / 1e4,
      annotator: this.#annotator,
      tab: this.#tab_id,
      query_id,
      edit,
      parent_id: chained ? undefined : (this.#heads.get(query_id) ?? null),
    };
    const last = this.#queue.at(-1);
    if (last && op.order <= last.order) op.order = last.order + 1e-3;
    this.#queue.push(op);
    this.#refused = null;
    const place = { annotator: this.#annotator, query_id, history, after: op.op_id, head: null };
    const written = this.#write({ operations: [op], history: history ? place : null });
    this.#notify();
    this.#run();
    return written;
  }

  /** The undo history of a query, if it belongs to what the server has plus what waits here. */
  async history(query_id, head) {
    const stored = await this.#localStore.history(this.#annotator, query_id);
    const newest = this.pending(query_id).at(-1);
    const isCurrent = newest ? stored?.after === newest.op_id : stored?.head === head;
    return stored && isCurrent ? stored.history : null;
  }

  /** The newest version of a query that waits here, or null. */
  newest(query_id) {
    return this.pending(query_id).at(-1)?.edit ?? null;
  }

  conflict(query_id) {
    return this.#conflicts.get(query_id) ?? null;
  }

  /** Try now what waits for a server. */
  retry() {
    this.#faults.clear();
    this.#trouble = null;
    this.#wake?.();
    this.#notify();
    this.#run();
  }

  /** Settle a conflict: `edit` is sent again on top of theirs; null drops what waits here. */
  async resolve(query_id, edit) {
    const { theirs } = this.#conflicts.get(query_id);
    const pending = this.pending(query_id);
    const head = theirs?.correction_id ?? null;
    this.#conflicts.delete(query_id);
    this.#queue = this.#queue.filter((op) => op.query_id !== query_id);
    this.#heads.set(query_id, head);
    await this.#write({ dropped: pending.map((op) => op.op_id) });
    if (edit) await this.keep(query_id, edit, null);
    else await this.#localStore.forget(this.#annotator, query_id);
    this.#notify();
    this.#run();
  }

  /** Whether what waits here would be found again after the page is closed. */
  get #durable() {
    return this.#localStore.durable && !this.#queue.some(({ op_id }) => this.#unstored.has(op_id));
  }

  #askBeforeLeaving(event) {
    if (this.#queue.length === 0 || this.#durable) return;
    event.preventDefault();
    event.returnValue = ""; // browsers before 2023 ask for this one
  }

  #write(change) {
    const attempt = async () => {
      // What the browser had no room for is tried again with each write, as long as it waits to be sent.
      const own = change.operations ?? [];
      const waiting = this.#queue.filter((op) => this.#unstored.has(op.op_id) && !own.includes(op));
      const operations = [...waiting, ...own];
      const write = (history) => this.#localStore.write({ ...change, operations, history });
      try {
        // Where there is no room for both, an edit is worth more than the way back from it.
        await write(change.history ?? null).catch((error) => {
          if (!change.history) throw error;
          return write(null);
        });
        for (const { op_id } of operations) this.#unstored.delete(op_id);
      } catch {
        for (const { op_id } of operations) this.#unstored.add(op_id);
        this.#notify();
      }
    };
    this.#writes = this.#writes.then(attempt); // one after the other, so that a later state is never overwritten
    return this.#writes;
  }

  #notify() {
    this.dispatchEvent(new CustomEvent("status"));
  }

  #setTrouble(trouble) {
    this.#trouble = trouble;
    this.#notify();
  }

  get #next() {
    const hasFailed = ({ query_id }) => (this.#faults.get(query_id)?.tries ?? 0) >= FAULT_TRIES;
    return this.#queue.find((op) => !this.#conflicts.has(op.query_id) && !hasFailed(op)) ?? null;
  }

  async #run() {
    if (this.#running) return;
    this.#running = true;
    let wait_ms = SOONEST_MS;
    while (this.#next && !this.#signal?.aborted) {
      const op = this.#next;
      if (op.parent_id === undefined) op.parent_id = this.#heads.get(op.query_id) ?? null;
      await this.#writes;
      if (await this.#attempt(op)) wait_ms = SOONEST_MS;
      else if (!this.#signal?.aborted) {
        await this.#rest(wait_ms);
        wait_ms = Math.min(2 * wait_ms, LATEST_MS);
      }
    }
    this.#running = false;
    this.#notify();
  }

  #rest(ms) {
    return new Promise((resolve) => {
      this.#wake = resolve;
      pause(ms, this.#signal).then(resolve);
    });
  }

  /** Send one operation; false when it must be tried again later. */
  async #attempt(op) {
    try {
      const { op_id, parent_id, edit } = op;
      const answer = await annotateApi.write(`/queries/${op.query_id}/edits`, { op_id, parent_id, edit }, this.#signal);
      await this.#onSaved(op, answer);
      return true;
    } catch (failure) {
      if (failure.kind === "conflict") return this.#onConflict(op, failure.body);
      if (failure.kind === "refused") return this.#onRefusal(op, failure.message);
      if (failure.kind === "stopped") return false;
      if (!failure.kind) throw failure;
      if (failure.kind === "fault") return this.#onFault(op, failure.message);
      this.#setTrouble({ kind: failure.kind === "away" ? "offline" : failure.kind, message: failure.message });
      return false;
    }
  }

  #onFault({ query_id }, message) {
    this.#faults.set(query_id, { tries: (this.#faults.get(query_id)?.tries ?? 0) + 1, message });
    this.#trouble = null;
    this.#notify();
    return false;
  }

  async #onSaved(op, { correction_id, saved_at_ms, progress = null }) {
    this.#faults.delete(op.query_id);
    this.#heads.set(op.query_id, correction_id);
    this.#saved_ms = saved_at_ms;
    this.#trouble = null;
    await this.#settle(op, correction_id);
    this.dispatchEvent(new CustomEvent("saved", { detail: { query_id: op.query_id, correction_id, progress } }));
    this.#notify();
  }

  /** Take an operation out; the next one of its query follows `head`, and that is written down with it. */
  async #settle(op, head) {
    this.#queue = this.#queue.filter((other) => other !== op);
    const follower = this.#queue.find((other) => other.query_id === op.query_id);
    if (follower) follower.parent_id = head;
    const stored = follower ? null : await this.#localStore.history(this.#annotator, op.query_id);
    const history = stored?.after === op.op_id ? { ...stored, head } : null;
    await this.#write({ operations: follower ? [follower] : [], dropped: [op.op_id], history });
  }

  #onConflict(op, body) {
    op.theirs = body?.theirs ?? null;
    op.yours = this.newest(op.query_id);
    this.#trouble = null;
    this.#conflicts.set(op.query_id, { yours: op.yours, theirs: op.theirs });
    this.#write({ operations: [op] });
    this.dispatchEvent(new CustomEvent("conflict", { detail: { query_id: op.query_id } }));
    this.#notify();
    return true;
  }

  async #onRefusal(op, message) {
    this.#refused = message;
    this.#trouble = null;
    await this.#settle(op, op.parent_id);
    this.#notify();
    return true;
  }
}

/** Ids of tabs that are open: each holds a lock for as long as it lives. Without locks nobody else is known. */
async function openTabs(tab_id, signal) {
  if (!navigator.locks) return new Set();
  await new Promise((resolve) => {
    const stay = () => new Promise((leave) => (resolve(), signal?.addEventListener("abort", leave, { once: true })));
    navigator.locks.request(`tempo-tab-${tab_id}`, stay).catch(resolve);
  });
  const { held = [] } = await navigator.locks.query();
  return new Set(held.map(({ name }) => name.replace("tempo-tab-", "")).filter((id) => id !== tab_id));
}
