/** The queue of the review page: flagged rows first, then those on which people agree least. */

import { button, el, setText } from "./dom.js";
import { plural } from "./format.js";
import { reviewApi } from "./server.js";

/** Rows as they came from the server, without those that were decided or skipped here. */
export class ReviewQueue {
  rows = [];
  datasets = [];
  dataset = "";
  #hasMore = false;
  #removed = new Set();

  async load(dataset = this.dataset) {
    this.dataset = dataset;
    this.datasets = (await this.#fetchAfter([])).datasets;
  }

  /** The row to work on after `query_id` (or at the start); null when there is none left. */
  async next(query_id = null) {
    if (this.#hasMore && this.rows.every((row) => row.query_id === query_id)) await this.#fetchAfter(this.rows);
    return this.rows.find((row) => row.query_id !== query_id) ?? null;
  }

  /** Take the page of the queue that follows these rows. */
  async #fetchAfter(rows) {
    const last = rows.at(-1);
    const after = last ? `&after=${last.query_id}` : "";
    const page = await reviewApi.read(`/queue?dataset=${encodeURIComponent(this.dataset)}${after}`);
    this.rows = [...rows, ...page.rows.filter(({ query_id }) => !this.#removed.has(query_id))];
    this.#hasMore = page.more;
    return page;
  }

  remove(query_id) {
    this.#removed.add(query_id);
    this.rows = this.rows.filter((row) => row.query_id !== query_id);
  }

  /** Put a row back, as when its decision is opened again. */
  restore(query_id) {
    this.#removed.delete(query_id);
  }
}

export function buildQueue(queue, { open, choose }) {
  const title = el("h3", { text: "To decide" });
  const select = el("select", { attrs: { "aria-label": "Dataset" }, on: { change: () => choose(select.value) } });
  const list = el("ol", { className: "rv-list" });
  const head = el("div", { className: "rv-queue-head" }, title, select);
  const node = el("section", { className: "rv-queue", attrs: { "aria-label": "Queue" } }, head, list);
  const show = (query_id) => {
    setText(title, queue.rows.length ? `To decide: ${plural(queue.rows.length, "row")}` : "Nothing to decide");
    select.hidden = queue.datasets.length < 2;
    const names = [["", "All datasets"], ...queue.datasets.map((name) => [name, name])];
    const options = names.map(([value, text]) => el("option", { text, attrs: { value, selected: value === queue.dataset } }));
    select.replaceChildren(...options);
    list.replaceChildren(...queue.rows.map((row) => entry(row, row.query_id === query_id, open)));
  };
  return { node, show };
}

function entry(row, isCurrent, open) {
  const agreement = row.agreement === null ? "one answer" : `IoU ${row.agreement.toFixed(2)}`;
  const facts = [row.flagged && "flagged", agreement, plural(row.reviews, "answer")].filter(Boolean);
  const content = [el("span", { text: row.text, attrs: { dir: "auto" } }), el("small", { text: facts.join(" · ") })];
  const attrs = { "aria-current": isCurrent ? "true" : null };
  return el("li", {}, button("", content, () => open(row.query_id), attrs));
}
