/**
 * The Review page's run: the query on screen, everybody's answers below it, and where decisions go.
 *
 * Keys: 1 to 9 adopt a row as it is and go on, Shift with the digit starts the own lane from that row, Ctrl+Enter
 * decides for the own lane, Ctrl+Shift+Enter opens the decision before again. A decision is kept here until the
 * server has it; the same operation id makes sending it twice harmless. Edits that were not decided are kept in this
 * browser (local_store.js), so that a closed tab loses nothing.
 */

import { el, setText } from "./dom.js";
import { secondsText } from "./format.js";
import { openLocalStore } from "./local_store.js";
import { Queue, buildQueue } from "./review_queue.js";
import { buildRows } from "./review_rows.js";

const API = "/review/api/";
const LOOK_AGAIN_MS = 1500;
const KEYS =
  "On this page 1 to 9 adopt a row as it is and go on, and Shift with a digit starts your lane from that row; digits take no " +
  "edges here (the buttons beside the picture do). Ctrl + Enter decides for your lane, Ctrl + Shift + Enter opens the decision before again.";
const TYPING = "input, textarea, select, [contenteditable]:not([contenteditable=false])";

class Refused extends Error {
  constructor(status, answer) {
    super(answer?.error ?? `The server answered ${status}.`);
    Object.assign(this, { status, answer });
  }
}

class Unreached extends Error {}

async function ask(path, message) {
  const options = message
    ? { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(message) }
    : {};
  const response = await fetch(API + path, options).catch((error) => {
    throw new Unreached("The server cannot be reached.", { cause: error });
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok || !answer) throw new Refused(response.status, answer);
  return answer;
}

export async function start(root, { signal }) {
  const reviewPage = new ReviewPage(root, signal);
  root.reviewPage = reviewPage;
  await reviewPage.begin();
}

class ReviewPage {
  current = null; // { item, review } of the query on screen
  ahead = null; // the promise of the next one
  before = []; // decided here, newest last
  busy = false;
  #turn = 0;

  constructor(root, signal) {
    this.root = root;
    this.editorView = root.timeline;
    this.queue = new Queue(ask);
    this.rows = buildRows({ adopt: (each) => this.adopt(each), begin: (each) => this.beginFrom(each) });
    this.list = buildQueue(this.queue, { open: (id) => this.open(id), choose: (name) => this.choose(name) });
    this.line = el("p", { className: "rv-line", attrs: { role: "status" } });
    this.conflict = el("div", { className: "rv-conflict", attrs: { role: "alert", hidden: true } });
    const answers = el("section", { attrs: { "aria-label": "Answers" } }, this.line, this.conflict, this.rows.node);
    this.editorView.slots.foot.append(el("div", { className: "rv-below" }, answers, this.list.node));
    root.classList.add("rv-root");
    this.editorView.help.querySelector(".tl-keys")?.before(el("p", { className: "rv-keys", text: KEYS }));
    this.editorView.editor.addEventListener("change", () => this.#changed(), { signal });
    this.editorView.editor.addEventListener("commit", () => this.#keep(), { signal });
    root.addEventListener("tl-submit", ({ detail }) => this.decide(detail.edit), { signal });
    root.addEventListener("tl-previous", () => this.reopen(), { signal });
    root.addEventListener("tl-skip", () => this.skip(), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal, capture: true });
  }

  async begin() {
    try {
      this.kept = await openLocalStore();
      await this.queue.load();
      const wanted = Number(new URLSearchParams(location.search).get("query"));
      await this.open(wanted > 0 ? wanted : (await this.queue.next())?.query_id);
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
      const ahead = this.ahead?.query_id === query_id ? this.ahead.answer : ask(`queries/${query_id}`);
      await this.#show(await ahead);
    } catch (error) {
      this.#failed(error);
    }
    return undefined;
  }

  async #show(found) {
    const turn = ++this.#turn;
    const history = found && (await this.#edited(found));
    if (turn !== this.#turn) return undefined;
    this.current = found;
    this.conflict.hidden = true;
    this.ahead = null;
    if (found) this.editorView.load(found.item, { history });
    else this.editorView.load({ state: "empty", message: "Nothing to decide. Rows come here when two people answered one, or when somebody flagged it." });
    this.#changed();
    this.list.show(found?.review.query_id ?? null);
    this.#say(found ? this.#standing(found.review) : "");
    if (found) this.#lookAhead(found.review.query_id);
    if (found?.item.state === "loading") setTimeout(() => this.#lookAgain(found.review.query_id), LOOK_AGAIN_MS);
    return undefined;
  }

  /** The clip is being prepared; the row is loaded again until it is there, and what was edited stays. */
  async #lookAgain(query_id) {
    if (this.review?.query_id !== query_id || this.busy) return;
    const found = await ask(`queries/${query_id}`).catch(() => null);
    if (this.review?.query_id !== query_id || this.busy) return;
    if (found && found.item.state !== "loading") {
      this.current = { ...found, review: { ...found.review, verdict: this.review.verdict, parent_id: this.review.parent_id } };
      const { editor } = this.editorView;
      this.editorView.load(found.item, { history: editor.touched ? editor.history() : null });
    } else setTimeout(() => this.#lookAgain(query_id), LOOK_AGAIN_MS);
  }

  #standing({ agreement, verdict, consensus }) {
    if (verdict) return `Decided by ${verdict.adjudicator}; another decision replaces it.`;
    const words = agreement === null ? "One answer." : `Least IoU of two answers: ${agreement.toFixed(2)}.`;
    return consensus.voters > 1 ? `${words} Your lane holds their median.` : words;
  }

  async #lookAhead(query_id) {
    const next = await this.queue.next(query_id).catch(() => null);
    if (!next || this.review?.query_id !== query_id) return;
    const answer = ask(`queries/${next.query_id}`);
    answer.catch(() => (this.ahead = null)); // asked again, and shown, when it is needed
    this.ahead = { query_id: next.query_id, answer };
  }

  choose(dataset) {
    return this.queue.load(dataset).then(async () => this.open((await this.queue.next())?.query_id), (error) => this.#failed(error));
  }

  /** Adopt a row as it is. */
  adopt(candidate) {
    const { active_ms, key_presses } = this.editorView.editor.edit();
    return this.#send({ adopt: { kind: candidate.kind, id: candidate.id }, active_ms, key_presses }, candidate.name);
  }

  /** Decide for the own lane. */
  decide(edit) {
    return this.#send({ edit }, "your own answer");
  }

  async #send(decision, name) {
    if (!this.current || this.busy) return;
    const { query_id, verdict, parent_id } = this.review;
    const message = { op_id: crypto.randomUUID(), verdict_parent_id: verdict?.id ?? null, parent_id, note: null, ...decision };
    await this.#deliver(query_id, message, name);
  }

  async #deliver(query_id, message, name) {
    this.busy = true;
    this.#say("Saving…");
    try {
      await ask(`queries/${query_id}/verdict`, message);
      this.before.push(query_id);
      await this.#forget(query_id);
      this.queue.remove(query_id);
      await this.open((await this.queue.next(query_id))?.query_id); // busy until then: a key would decide on this row again
      this.busy = false;
      this.#say(`Saved: ${name}. Ctrl+Shift+Enter opens it again.`);
    } catch (error) {
      this.busy = false;
      if (error.status === 409) this.#clash(query_id, message, name, error.answer);
      else this.#unsent(query_id, message, name, error);
    }
  }

  /** The decision could not be sent; it stays here, and nothing else has changed. */
  #unsent(query_id, message, name, error) {
    if (isFault(error)) return void this.#failed(error);
    const words = error instanceof Refused ? error.message : `${error.message} Your decision is kept here.`;
    const again = ["Send again", () => this.#deliver(query_id, message, name)];
    const back = ["Go on editing", () => this.editorView.focusTimeline()];
    this.#offer(words, [error.status === 400 ? back : again]); // what was refused for its content stays refused
  }

  /** Somebody else decided: both answers, and the choice. */
  #clash(query_id, message, name, { theirs, yours }) {
    const who = theirs?.adjudicator ?? theirs?.annotator ?? "Somebody";
    const chosen = this.review.candidates.find(({ id, kind }) => message.adopt && kind === message.adopt.kind && id === message.adopt.id);
    const mine = message.edit ?? chosen ?? yours;
    const sides = el(
      "dl",
      {},
      el("dt", { text: who }),
      el("dd", { text: answerText(theirs?.edit) }),
      el("dt", { text: "You" }),
      el("dd", { text: answerText(mine) }),
    );
    const again = async () => {
      const { review } = await ask(`queries/${query_id}`);
      const parents = { verdict_parent_id: review.verdict?.id ?? null, parent_id: review.parent_id };
      await this.#deliver(query_id, { ...message, ...parents, op_id: crypto.randomUUID() }, name);
    };
    const leave = async () => {
      await this.#forget(query_id);
      this.queue.remove(query_id);
      await this.open((await this.queue.next(query_id))?.query_id);
    };
    const guarded = (run) => () => run().catch((failure) => this.#failed(failure));
    const words = `${who} decided on this query after you opened it. Your decision was not saved.`;
    this.#offer(words, [["Keep theirs and go on", guarded(leave)], ["Replace it with mine", guarded(again)]], sides);
  }

  #offer(words, choices, more = null) {
    const buttons = choices.map(([text, run]) =>
      el("button", { className: "rv-choice", text, attrs: { type: "button" }, on: { click: () => ((this.conflict.hidden = true), run()) } }),
    );
    this.conflict.replaceChildren(...[el("p", { text: words }), more, el("div", {}, ...buttons)].filter(Boolean));
    this.conflict.hidden = false;
    this.#say("Not saved yet.");
    buttons[0].focus();
  }

  /** The own lane takes a row's answer over; undo brings back what was there. */
  beginFrom({ kind, name, verdict, reason, moments }) {
    const source = kind === "annotator" ? "hand" : kind;
    const command =
      verdict === "moments" ? { type: "adopt", moments, source } : { type: "setVerdict", verdict, reason: reason ?? name };
    const changed = this.editorView.editor.apply(command);
    this.#say(changed ? `Your lane starts from ${name}; Ctrl+Enter decides.` : `Your lane is the same as ${name}’s already.`);
  }

  async skip() {
    if (!this.current) return;
    const { query_id } = this.review;
    this.queue.remove(query_id);
    await this.open((await this.queue.next(query_id))?.query_id);
  }

  async reopen() {
    const query_id = this.before.pop();
    if (query_id) {
      this.queue.restore(query_id);
      await this.open(query_id);
    } else this.#say("Nothing was decided here yet.");
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !this.current || this.root.offsetParent === null) return;
    if (!this.editorView.keys.singles || !this.conflict.hidden || event.target.closest?.(TYPING) || document.querySelector("dialog[open]")) return;
    const inside = this.root.contains(event.target) || event.target === document.body;
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const candidate = digit && inside ? this.review.candidates[Number(digit[1]) - 1] : null;
    if (digit && inside) event.preventDefault(); // the workbench has other uses for digits
    if (!candidate) return;
    this.editorView.editor.note({ key: true });
    if (event.shiftKey) this.beginFrom(candidate);
    else this.adopt(candidate);
  }

  #changed() {
    const { editor } = this.editorView;
    this.rows.show(this.review, this.current && editor.item ? editor.moments : []);
  }

  #keep() {
    if (!this.current) return;
    const { query_id, verdict } = this.review;
    const history = { annotator: this.#who, query_id, verdict: verdict?.id ?? null, history: this.editorView.editor.history() };
    const lost = () => this.#say("This browser cannot keep edits; leave the page open until you have decided.");
    this.kept.write({ history }).catch(lost);
  }

  /** Apart from what the same person annotates. */
  get #who() {
    return `review/${this.current.item.edit.annotator}`;
  }

  /** What was edited here and not decided, unless another decision came since. */
  async #edited({ item, review }) {
    const kept = await this.kept.history(`review/${item.edit.annotator}`, review.query_id).catch(() => null);
    return kept?.verdict === (review.verdict?.id ?? null) ? kept.history : null;
  }

  #forget(query_id) {
    return this.kept.forget(this.#who, query_id).catch(() => null); // the decision counts; the next one replaces it
  }

  #say(words) {
    setText(this.line, words);
  }

  #failed(error) {
    if (error instanceof Refused) return this.#say(error.message);
    this.#say(isFault(error) ? "This page has met a fault of its own. Reload it." : `${error.message} Reload the page to try again.`);
    if (isFault(error)) reportError(error);
    return undefined;
  }
}

/** Neither the server's word nor its silence: a mistake in this page, which must not pass for either. */
function isFault(error) {
  return !(error instanceof Refused || error instanceof Unreached);
}

function answerText(edit) {
  if (!edit) return "–";
  if (edit.verdict !== "moments") return [edit.verdict.replace("-", " "), edit.reason].filter(Boolean).join(": ");
  const times = (moment) => `${secondsText(moment.start_ms / 1000, 2)}–${secondsText(moment.end_ms / 1000, 2)} s`;
  return edit.moments.map(times).join(", ");
}
