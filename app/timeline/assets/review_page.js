/**
 * The Review page's run: the query on screen, everybody's answers below it, and where decisions go.
 *
 * Keys: 1 to 9 adopt a row as it is and go on, Shift with the digit starts the own lane from that row, Ctrl+Enter
 * decides for the own lane, Ctrl+Shift+Enter opens the decision before again. A decision is kept here until the
 * server has it; the same operation id makes sending it twice harmless. Edits that were not decided are kept in this
 * browser (local_store.js), so that a closed tab loses nothing.
 */

import { button, el, setText } from "./dom.js";
import { timeText } from "./format.js";
import { buildGuidelines, loadGuidelinesStyle } from "./guidelines.js";
import { TYPING } from "./keyboard.js";
import { openLocalStore } from "./local_store.js";
import { buildQueue, ReviewQueue } from "./review_queue.js";
import { buildRows } from "./review_rows.js";
import { Failure, newId, reviewApi } from "./server.js";

const POLL_CLIP_MS = 1500;
const EMPTY =
  "Nothing to decide. Rows come here when two people answered one, or when somebody flagged it.";
const KEYS =
  "On this page 1 to 9 adopt a row as it is and go on, and Shift with a digit starts your lane from that row; digits take no " +
  "edges here (the buttons beside the picture do). Ctrl + Enter decides for your lane, Ctrl + Shift + Enter opens the decision before again.";

export async function start(root, { assets, version, signal }) {
  await loadGuidelinesStyle(assets, version);
  const reviewPage = new ReviewPage(root, signal);
  root.reviewPage = reviewPage;
  await reviewPage.start();
}

class ReviewPage {
  current = null; // { item, review } of the query on screen
  ahead = null; // { query_id, response } of the next one, on its way
  history = []; // what was decided here, newest last
  busy = false;
  #turn = 0;

  constructor(root, signal) {
    this.root = root;
    this.view = root.timeline;
    this.queue = new ReviewQueue();
    this.rows = buildRows({ adopt: (row) => this.adopt(row), edit: (row) => this.editFrom(row) });
    this.list = buildQueue(this.queue, { open: (id) => this.open(id), choose: (name) => this.choose(name) });
    this.line = el("p", { className: "rv-line", attrs: { role: "status" } });
    this.conflict = el("div", { className: "rv-conflict", attrs: { role: "alert", hidden: true } });
    const answers = el("section", { attrs: { "aria-label": "Answers" } }, this.line, this.conflict, this.rows.node);
    this.guidelines = buildGuidelines();
    const below = el("div", { className: "rv-below" }, answers, this.list.node);
    this.view.slots.head.append(this.guidelines.node);
    this.view.slots.foot.append(below);
    root.classList.add("rv-root");
    this.view.help.querySelector(".tl-keys")?.before(el("p", { className: "rv-keys", text: KEYS }));
    this.view.editor.addEventListener("change", () => this.#showRows(), { signal });
    this.view.editor.addEventListener("commit", () => this.#store(), { signal });
    root.addEventListener("tl-time-unit", () => this.#showRows(), { signal });
    root.addEventListener("tl-submit", ({ detail }) => this.decide(detail.edit), { signal });
    root.addEventListener("tl-previous", () => this.reopen(), { signal });
    root.addEventListener("tl-skip", () => this.skip(), { signal });
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal, capture: true });
  }

  async start() {
    try {
      this.localStore = await openLocalStore();
      await this.queue.load();
      const query_id = Number(new URLSearchParams(location.search).get("query"));
      await this.open(query_id > 0 ? query_id : (await this.queue.next())?.query_id);
    } catch (error) {
      this.#failed(error);
    }
  }

  get review() {
    return this.current?.review ?? null;
  }

  /** Show a query; nothing is written. */
  async open(query_id) {
    if (!query_id) return this.#show(null);
    try {
      const response = this.ahead?.query_id === query_id ? this.ahead.response : reviewApi.read(`/queries/${query_id}`);
      await this.#show(await response);
    } catch (error) {
      this.#failed(error);
    }
    return undefined;
  }

  async #show(row) {
    const turn = ++this.#turn;
    const history = row && (await this.#storedHistory(row));
    if (turn !== this.#turn) return;
    this.current = row;
    this.conflict.hidden = true;
    this.ahead = null;
    if (row) this.view.load(row.item, { history });
    else this.view.load({ state: "empty", message: EMPTY });
    this.guidelines.show(row?.item.edit.project);
    this.#showRows();
    this.list.show(row?.review.query_id ?? null);
    this.#say(row ? this.#stateWords(row.review) : "");
    if (!row) return;
    this.#fetchAhead(row.review.query_id);
    if (row.item.state === "loading") setTimeout(() => this.#reload(row.review.query_id), POLL_CLIP_MS);
  }

  /** The clip is being prepared; the row is loaded again until it is there, and what was edited stays. */
  async #reload(query_id) {
    if (this.review?.query_id !== query_id || this.busy) return;
    const row = await reviewApi.read(`/queries/${query_id}`).catch(() => null);
    if (this.review?.query_id !== query_id || this.busy) return;
    if (row && row.item.state !== "loading") {
      const { verdict, parent_id } = this.review;
      this.current = { ...row, review: { ...row.review, verdict, parent_id } };
      const { editor } = this.view;
      this.view.load(row.item, { history: editor.touched ? editor.history() : null });
    } else setTimeout(() => this.#reload(query_id), POLL_CLIP_MS);
  }

  #stateWords({ agreement, verdict, consensus }) {
    if (verdict) return `Decided by ${verdict.adjudicator}; another decision replaces it.`;
    const words = agreement === null ? "One answer." : `Least IoU of two answers: ${agreement.toFixed(2)}.`;
    return consensus.voters > 1 ? `${words} Your lane holds their median.` : words;
  }

  async #fetchAhead(query_id) {
    const next = await this.queue.next(query_id).catch(() => null);
    if (!next || this.review?.query_id !== query_id) return;
    const response = reviewApi.read(`/queries/${next.query_id}`);
    response.catch(() => (this.ahead = null)); // asked again, and shown, when it is needed
    this.ahead = { query_id: next.query_id, response };
  }

  async choose(dataset) {
    try {
      await this.queue.load(dataset);
    } catch (error) {
      return this.#failed(error);
    }
    return this.open((await this.queue.next())?.query_id);
  }

  /** Adopt a row as it is. */
  adopt(candidate) {
    const { active_ms, key_presses } = this.view.editor.edit();
    return this.#send({ adopt: { kind: candidate.kind, id: candidate.id }, active_ms, key_presses }, candidate.name);
  }

  /** Decide for the own lane. */
  decide(edit) {
    return this.#send({ edit }, "your own answer");
  }

  async #send(decision, name) {
    if (!this.current || this.busy) return;
    const { query_id, verdict, parent_id } = this.review;
    const message = { op_id: newId(), verdict_parent_id: verdict?.id ?? null, parent_id, note: null, ...decision };
    await this.#deliver(query_id, message, name);
  }

  async #deliver(query_id, message, name) {
    this.busy = true;
    this.#say("Saving…");
    try {
      await reviewApi.write(`/queries/${query_id}/verdict`, message);
      this.history.push(query_id);
      await this.#forget(query_id);
      this.queue.remove(query_id);
      await this.open((await this.queue.next(query_id))?.query_id); // busy until then: a key would decide on this row again
      this.busy = false;
      this.#say(`Saved: ${name}. Ctrl+Shift+Enter opens it again.`);
    } catch (error) {
      this.busy = false;
      if (error.status === 409) this.#onConflict(query_id, message, name, error.body);
      else this.#onUnsent(query_id, message, name, error);
    }
  }

  /** The decision could not be sent; it stays here, and nothing else has changed. */
  #onUnsent(query_id, message, name, error) {
    if (isFault(error)) return void this.#failed(error);
    const words = error.status ? error.message : `${error.message} Your decision is kept here.`;
    const again = ["Send again", () => this.#deliver(query_id, message, name)];
    const back = ["Go on editing", () => this.view.focusTimeline()];
    this.#offer(words, [error.status === 400 ? back : again]); // what was refused for its content stays refused
  }

  /** Somebody else decided: both answers, and the choice. */
  #onConflict(query_id, message, name, { theirs, yours }) {
    const who = theirs?.adjudicator ?? theirs?.annotator ?? "Somebody";
    const { adopt, edit } = message;
    const candidate = adopt && this.review.candidates.find(({ id, kind }) => kind === adopt.kind && id === adopt.id);
    const answers = el(
      "dl",
      {},
      el("dt", { text: who }),
      el("dd", { text: answerText(theirs?.edit) }),
      el("dt", { text: "You" }),
      el("dd", { text: answerText(edit ?? candidate ?? yours) }),
    );
    const replace = async () => {
      const { review } = await reviewApi.read(`/queries/${query_id}`);
      const parents = { verdict_parent_id: review.verdict?.id ?? null, parent_id: review.parent_id };
      await this.#deliver(query_id, { ...message, ...parents, op_id: newId() }, name);
    };
    const leave = async () => {
      await this.#forget(query_id);
      this.queue.remove(query_id);
      await this.open((await this.queue.next(query_id))?.query_id);
    };
    const guarded = (run) => () => run().catch((failure) => this.#failed(failure));
    const words = `${who} decided on this query after you opened it. Your decision was not saved.`;
    this.#offer(words, [["Keep theirs and go on", guarded(leave)], ["Replace it with mine", guarded(replace)]], answers);
  }

  #offer(text, choices, details = null) {
    const buttons = choices.map(([label, run]) =>
      button("rv-choice", label, () => {
        this.conflict.hidden = true;
        run();
      }),
    );
    const parts = [el("p", { text }), details, el("div", {}, ...buttons)];
    this.conflict.replaceChildren(...parts.filter(Boolean));
    this.conflict.hidden = false;
    this.#say("Not saved yet.");
    buttons[0].focus();
  }

  /** The own lane takes a row's answer over; undo brings back what was there. */
  editFrom({ kind, name, verdict, reason, moments }) {
    const source = kind === "annotator" ? "hand" : kind;
    const command =
      verdict === "moments" ? { type: "adopt", moments, source } : { type: "setVerdict", verdict, reason: reason ?? name };
    const hasChanged = this.view.editor.apply(command);
    this.#say(hasChanged ? `Your lane starts from ${name}; Ctrl+Enter decides.` : `Your lane is the same as ${name}’s already.`);
  }

  async skip() {
    if (!this.current) return;
    const { query_id } = this.review;
    this.queue.remove(query_id);
    await this.open((await this.queue.next(query_id))?.query_id);
  }

  async reopen() {
    const query_id = this.history.pop();
    if (query_id) {
      this.queue.restore(query_id);
      await this.open(query_id);
    } else this.#say("Nothing was decided here yet.");
  }

  #onKey(event) {
    const isModified = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
    const isVisible = this.current && this.root.offsetParent !== null;
    const isAsking = !this.conflict.hidden || document.querySelector("dialog[open]");
    if (isModified || !isVisible || isAsking || !this.view.keys.singles || event.target.closest?.(TYPING)) return;
    if (!this.root.contains(event.target) && event.target !== document.body) return;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
    if (!digit) return;
    event.preventDefault(); // editing has other uses for digits
    const candidate = this.review.candidates[Number(digit) - 1];
    if (!candidate) return;
    this.view.editor.note({ key: true });
    if (event.shiftKey) this.editFrom(candidate);
    else this.adopt(candidate);
  }

  #showRows() {
    const { editor } = this.view;
    this.rows.show(this.review, this.current && editor.item ? editor.moments : []);
  }

  // ---- what was edited and not decided; stored apart from what the same person annotates

  get #storageName() {
    return `review/${this.current.item.edit.annotator}`;
  }

  #store() {
    if (!this.current) return;
    const { query_id, verdict } = this.review;
    const history = this.view.editor.history();
    const entry = { annotator: this.#storageName, query_id, verdict: verdict?.id ?? null, history };
    const onFailure = () => this.#say("This browser cannot keep edits; leave the page open until you have decided.");
    this.localStore.write({ history: entry }).catch(onFailure);
  }

  /** What was edited here, unless another decision came since. */
  async #storedHistory({ item, review }) {
    const name = `review/${item.edit.annotator}`;
    const entry = await this.localStore.history(name, review.query_id).catch(() => null);
    return entry?.verdict === (review.verdict?.id ?? null) ? entry.history : null;
  }

  #forget(query_id) {
    // The decision counts: where the browser fails here, the next one replaces what is stored.
    return this.localStore.forget(this.#storageName, query_id).catch(() => null);
  }

  #say(text) {
    setText(this.line, text);
  }

  #failed(error) {
    if (isFault(error)) {
      this.#say("This page has met a fault of its own. Reload it.");
      reportError(error);
    } else this.#say(error.status ? error.message : `${error.message} Reload the page to try again.`);
  }
}

/** Neither the server's word nor its silence: a mistake in this page, which must not pass for either. */
function isFault(error) {
  return !(error instanceof Failure);
}

function answerText(edit) {
  if (!edit) return "–";
  if (edit.verdict !== "moments") return [edit.verdict.replace("-", " "), edit.reason].filter(Boolean).join(": ");
  const times = (moment) => `${timeText(moment.start_ms / 1000)}–${timeText(moment.end_ms / 1000)}`;
  return edit.moments.map(times).join(", ");
}
