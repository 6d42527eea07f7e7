/** The queue of the review page: flagged rows first, then those on which people agree least. */

import { el, setText } from "./dom.js";
import { plural } from "./format.js";

/** Rows as they came from the server, without those that were decided or skipped here. */
export class Queue {
  rows = [];
  datasets = [];
  dataset = "";
  #more = false;
  #gone = new Set();
  #ask;

  constructor(ask) {
    this.#ask = ask;
  }

  async load(dataset = this.dataset) {
    this.dataset = dataset;
    const page = await this.#ask(`queue?dataset=${encodeURIComponent(dataset)}`);
    this.rows = page.rows.filter(({ query_id }) => !this.#gone.has(query_id));
    this.datasets = page.datasets;
    this.#more = page.more;
  }

  /** The row to work on after `query_id` (or at the beginning); null when there is none left. */
  async next(query_id = null) {
    if (this.rows.every((row) => row.query_id === query_id) && this.#more) await this.#grow();
    return this.rows.find((row) => row.query_id !== query_id) ?? null;
  }

  async #grow() {
    const last = this.rows.at(-1);
    if (!last) return this.load();
    const page = await this.#ask(`queue?dataset=${encodeURIComponent(this.dataset)}&after=${last.query_id}`);
    this.rows.push(...page.rows.filter(({ query_id }) => !this.#gone.has(query_id)));
    this.#more = page.more;
    return undefined;
  }

  remove(query_id) {
    this.#gone.add(query_id);
    this.rows = this.rows.filter((row) => row.query_id !== query_id);
  }

  /** Put a row back, as when its decision is opened again. */
  restore(query_id) {
    this.#gone.delete(query_id);
  }
}

export function buildQueue(queue, { open, choose }) {
  const title = el("h3", { text: "To decide" });
  const select = el("select", { attrs: { "aria-label": "Dataset" }, on: { change: () => choose(select.value) } });
  const list = el("ol", { className: "rv-list" });
  const node = el("section", { className: "rv-queue", attrs: { "aria-label": "Queue" } }, el("div", { className: "rv-queue-head" }, title, select), list);
  const show = (current) => {
    setText(title, queue.rows.length ? `To decide: ${plural(queue.rows.length, "row")}` : "Nothing to decide");
    select.hidden = queue.datasets.length < 2;
    const names = [["", "All datasets"], ...queue.datasets.map((name) => [name, name])];
    select.replaceChildren(...names.map(([value, text]) => el("option", { text, attrs: { value, selected: value === queue.dataset } })));
    list.replaceChildren(...queue.rows.map((row) => entry(row, row.query_id === current, open)));
  };
  return { node, show };
}

function entry(row, current, open) {
  const facts = [row.agreement === null ? "one answer" : `IoU ${row.agreement.toFixed(2)}`, plural(row.reviews, "answer")];
  if (row.flagged) facts.unshift("flagged");
  const button = el(
    "button",
    { attrs: { type: "button", "aria-current": current ? "true" : null }, on: { click: () => open(row.query_id) } },
    el("span", { text: row.text, attrs: { dir: "auto" } }),
    el("small", { text: facts.join(" · ") }),
  );
  return el("li", {}, button);
}
