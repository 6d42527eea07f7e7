/**
 * What this browser stores of a person's work: operations not sent yet, and the undo history of each query. Names and
 * formats never change without a migration: somebody's unsent edits are in them.
 */

import { basePath } from "./address.js";

const NAME = `tempo-annotate${basePath}`; // two studios of one host share what a browser stores
const VERSION = 1;

/** Open the store. Where a browser stores nothing (private windows may), everything lives in memory until the tab closes. */
export async function openLocalStore() {
  try {
    return new LocalStore(await openDatabase());
  } catch {
    return new LocalStore(null);
  }
}

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("operations", { keyPath: "op_id" });
      request.result.createObjectStore("histories", { keyPath: ["annotator", "query_id"] });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(new Error("another tab holds an older store"));
  });
}

class LocalStore {
  #database;
  #memory = new Map();

  constructor(database) {
    this.#database = database;
    if (database) database.onversionchange = () => database.close();
  }

  get durable() {
    return this.#database !== null;
  }

  /** Every operation of an annotator, oldest first. */
  async operations(annotator) {
    if (!this.#database) return [];
    const stored = await this.#read("operations", (store) => store.getAll());
    return stored.filter((op) => op.annotator === annotator).sort((a, b) => a.order - b.order);
  }

  async history(annotator, query_id) {
    const key = JSON.stringify([annotator, query_id]);
    if (!this.#database) return this.#memory.get(key) ?? null;
    try {
      return (await this.#read("histories", (store) => store.get([annotator, query_id]))) ?? null;
    } catch {
      return null; // the person cleared this site's data: undo begins anew, and saving goes on
    }
  }

  /** Write some and drop some, all or nothing. Resolves once the browser has it. */
  write({ operations = [], dropped = [], history = null }) {
    if (!this.#database) {
      if (history) this.#memory.set(JSON.stringify([history.annotator, history.query_id]), history);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const names = history ? ["operations", "histories"] : ["operations"];
      const transaction = this.#database.transaction(names, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
      const store = transaction.objectStore("operations");
      for (const operation of operations) store.put(operation);
      for (const op_id of dropped) store.delete(op_id);
      if (history) transaction.objectStore("histories").put(history);
      transaction.commit?.();
    });
  }

  async forget(annotator, query_id) {
    this.#memory.delete(JSON.stringify([annotator, query_id]));
    if (!this.#database) return;
    const transaction = this.#database.transaction("histories", "readwrite");
    transaction.objectStore("histories").delete([annotator, query_id]);
    await new Promise((resolve) => (transaction.oncomplete = transaction.onabort = resolve));
  }

  #read(name, ask) {
    return new Promise((resolve, reject) => {
      const request = ask(this.#database.transaction(name).objectStore(name));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
}
