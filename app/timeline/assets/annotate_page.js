/**
 * The Annotate page's run: what is on screen, what comes next, and where edits go.
 *
 * The next row is fetched while one works on this one (its clip, film strip and proposal too), so that submitting
 * shows it at once. Nothing here waits for saving: `sync.js` keeps and sends.
 */

import { askConflict } from "./conflict.js";
import { el, setText } from "./dom.js";
import { offerTutorial } from "./tutorial_offer.js";
import { buildAnnotateBar, statusWords } from "./annotate_bar.js";
import { StatusCard } from "./status_card.js";
import { SampleCard } from "./sample_card.js";
import { EditSync } from "./sync.js";
import { newId, pause, read, write } from "./server.js";
import { buildVerdict } from "./verdict.js";

const PREPARING_MS = 500;
const PROPOSAL_MS = 600;
const AGAIN_MS = 3000;

export async function start(root, { assets, version, signal }) {
  await stylesheet(`${assets}/annotate_page.css?v=${version}`);
  const annotatePage = new AnnotatePage(root, signal);
  root.annotatePage = annotatePage;
  await annotatePage.begin();
}

/** Keep the row in the address, for a reload. Spelt out, because Gradio sets a base that fragments would resolve to. */
function remember(fragment) {
  history.replaceState(history.state, "", `${location.pathname}${location.search}${fragment}`);
}

function stylesheet(href) {
  return new Promise((resolve) => {
    document.head.append(el("link", { attrs: { rel: "stylesheet", href }, on: { load: resolve, error: resolve } }));
  });
}

class AnnotatePage {
  #item = null;
  #upcoming = [];
  #visited = [];
  #skipped = new Set();
  #session = new Set();
  #progress = { done: 0, left: 0 };
  #turn = 0;
  #fetching = null;
  #asking = false;
  #ending = null;

  constructor(root, signal) {
    this.root = root;
    this.editorView = root.timeline;
    this.signal = signal;
    this.statusCard = new StatusCard(root);
    this.sample = new SampleCard(this.statusCard, signal, () => this.advance());
    this.bar = buildAnnotateBar(this.editorView, () => this.#settleConflicts());
    this.verdict = buildVerdict(this.editorView);
    this.about = el("span", { attrs: { dir: "auto" } });
    this.editorView.slots.head.append(this.bar.node);
    this.editorView.slots.side.append(this.verdict.node);
    this.editorView.slots.foot.append(el("div", { className: "fl-foot" }, this.about, this.sample.link));
    offerTutorial(this.editorView);
    this.#listen();
  }

  /** The row that comes next, on its way or seen before: { item, ready } or { query_id }. */
  get ahead() {
    return this.#upcoming[0] ?? null;
  }

  #listen() {
    const { editor } = this.editorView;
    const { signal } = this;
    editor.addEventListener("commit", ({ detail }) => this.#keep(detail.edit), { signal });
    editor.addEventListener("change", () => this.verdict.show(), { signal });
    this.root.addEventListener("tl-submit", ({ detail }) => this.submit(detail.edit), { signal });
    this.root.addEventListener("tl-skip", () => this.skip(), { signal });
    this.root.addEventListener("tl-previous", () => this.previous(), { signal });
  }

  async begin() {
    this.statusCard.show("One moment", "Looking for the next row.");
    const me = await this.#persist(() => read("/me", this.signal));
    if (!me) return;
    this.me = me;
    this.#visited = [...me.done_ids].reverse();
    this.sync = await EditSync.open(me.annotator, { signal: this.signal });
    this.sync.addEventListener("status", () => this.#showStatus());
    this.sync.addEventListener("conflict", () => this.#settleConflicts());
    this.sync.addEventListener("saved", ({ detail }) => detail.progress && this.#count(detail.progress));
    this.#showStatus();
    if (this.sync.status.kind === "conflict") this.#settleConflicts();
    this.sample.begin(me.makes_projects);
    const wanted = Number(new URLSearchParams(location.hash.slice(1)).get("q"));
    if (!(Number.isInteger(wanted) && wanted > 0 && (await this.open(wanted)))) await this.advance();
  }

  /** Try until there is an answer; a card says what is wrong meanwhile. Undefined when the page was left. */
  async #persist(ask) {
    while (!this.signal.aborted) {
      try {
        return await ask();
      } catch (failure) {
        if (failure.kind === "stopped") return undefined;
        if (!failure.kind) throw failure;
        if (failure.kind === "refused") throw failure;
        const title = failure.kind === "person" ? "You are signed out" : "The server does not answer";
        const kept = this.sync?.status.count ? ` ${this.sync.status.count} edits are kept in this browser.` : "";
        const buttons = failure.kind === "person" ? [["Sign in", () => location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`), true]] : [];
        this.statusCard.show(title, `${failure.kind === "person" ? "Sign in and go on where you were." : failure.message} It is asked again every few seconds.${kept}`, buttons);
        await pause(AGAIN_MS, this.signal);
      }
    }
    return undefined;
  }

  // ---- which row

  /** Show a row by its number; false when there is none. */
  async open(query_id) {
    const turn = ++this.#turn;
    try {
      const item = await this.#persist(() => read(`/queries/${query_id}`, this.signal));
      if (!item || turn !== this.#turn) return true;
      this.#count(item.edit.progress);
      await this.#show(item);
      return true;
    } catch (failure) {
      if (failure.kind === "refused") return false;
      throw failure;
    }
  }

  /** The next row: the one fetched before, or else whatever the queue gives now. */
  async advance() {
    const ready = this.#upcoming.shift();
    if (ready?.item) return this.#show(ready.item);
    if (ready) return this.open(ready.query_id);
    const turn = ++this.#turn;
    this.editorView.load(null);
    this.#item = null;
    this.#enable();
    this.statusCard.show("One moment", "Looking for the next row.");
    const found = await this.#persist(() => this.#ask());
    if (!found || turn !== this.#turn) return undefined;
    return found.item ? this.#show(found.item) : this.#nothing(found);
  }

  async #ask(besides = []) {
    const busy = [...besides, ...this.#skipped, ...(this.sync?.submitting ?? [])];
    const found = await write("/next", { op_id: newId(), besides: [...new Set(busy)].slice(-200) }, this.signal);
    this.#count(found.progress);
    return found;
  }

  #nothing({ empty }) {
    remember("");
    if (empty) return this.sample.offer();
    const again = [["Look again", () => (this.#skipped.clear(), this.advance()), true]];
    if (this.#visited.length > 0) again.push(["Previous query", () => this.previous(), false]);
    if (this.me.makes_projects) again.push(["Export on the Data page", () => location.assign("/data"), false]);
    if (this.sample.present) again.push(["Remove the sample project", () => this.sample.remove(), false]);
    this.#ending = this.statusCard.show("Nothing left in the queue", "", again);
    return this.#showProgress();
  }

  get #skippedWords() {
    return this.#skipped.size ? ` ${this.#skipped.size} skipped in this session.` : "";
  }

  async #show(item) {
    const turn = ++this.#turn;
    const { query_id, parent_id } = item.edit;
    const kept = await this.sync.history(query_id, parent_id);
    if (turn !== this.#turn) return;
    this.sync.opened(query_id, parent_id);
    const newest = this.sync.newest(query_id);
    if (newest) item.edit.edit = newest;
    this.#item = item;
    this.#ending = null;
    this.statusCard.hide();
    this.editorView.load(item, { history: kept });
    this.editorView.focusTimeline();
    remember(`#q=${query_id}`);
    setText(this.editorView.bar.says, "");
    this.#showProgress();
    this.#enable();
    this.verdict.show();
    const { dataset, qid, vid } = item.edit;
    setText(this.about, `${dataset} · ${qid} · ${vid}`);
    this.shown_at_ms = performance.now();
    if (item.state === "ready") this.#complete(item, turn);
    else this.#prepare(item, turn);
  }

  /** The clip is being made, or missing: ask until it is there; what was edited meanwhile is kept. */
  async #prepare(item, turn) {
    while (turn === this.#turn && !this.signal.aborted) {
      await pause(item.state === "loading" ? PREPARING_MS : AGAIN_MS, this.signal);
      if (turn !== this.#turn) return;
      const next = await this.#quietly(() => read(`/queries/${item.edit.query_id}`, this.signal));
      if (turn !== this.#turn || !next) continue;
      if (next.state === "ready") return void this.#show(next);
      if (next.message !== this.editorView.state.value.message) this.editorView.update({ ...item, ...next, edit: item.edit });
    }
  }

  /** What comes after the row itself: the model's proposal, then the next row. */
  async #complete(item, turn) {
    this.#prefetch();
    const found = await this.#proposalOf(item, () => turn === this.#turn);
    if (!found || turn !== this.#turn) return;
    this.editorView.update(item);
    this.editorView.setModel(item.edit.model);
  }

  /** Wait for the proposal and put it into the item; null when there is none to come. */
  async #proposalOf(item, wanted) {
    if (item.edit.model || item.edit.arm === "blind") return null;
    while (wanted() && !this.signal.aborted) {
      const found = await this.#quietly(() => read(`/queries/${item.edit.query_id}/proposal`, this.signal));
      if (found?.state === "ready") {
        Object.assign(item, { frames: found.frames, ranked: found.ranked });
        item.edit.model = found.model;
        return found;
      }
      if (found?.state === "failed" || found?.state === "hidden") return null;
      await pause(PROPOSAL_MS, this.signal);
    }
    return null;
  }

  async #quietly(ask) {
    try {
      return await ask();
    } catch (failure) {
      if (!failure.kind) throw failure;
      return null;
    }
  }

  /** Fetch the next row, and everything that it shows, while this one is worked on. */
  async #prefetch() {
    if (this.#fetching || this.#upcoming.length > 0 || !this.#item) return;
    this.#fetching = this.#quietly(() => this.#ask([this.#item.edit.query_id]));
    const found = await this.#fetching;
    this.#fetching = null;
    if (!found?.item || found.item.edit.query_id === this.#item?.edit.query_id) return;
    const ahead = { item: found.item };
    this.#upcoming.push(ahead);
    const waiting = () => this.#upcoming.includes(ahead);
    while (ahead.item.state === "loading" && waiting()) {
      await pause(PREPARING_MS, this.signal);
      const next = await this.#quietly(() => read(`/queries/${ahead.item.edit.query_id}`, this.signal));
      if (next) ahead.item = next;
    }
    if (!waiting()) return;
    this.#warm(ahead);
    await this.#proposalOf(ahead.item, waiting);
  }

  /** Have the browser fetch the clip's beginning and its film strip. */
  #warm(ahead) {
    const { video, strip } = ahead.item;
    if (strip) ahead.picture = Object.assign(new Image(), { src: strip.url });
    if (!video) return;
    ahead.clip = Object.assign(document.createElement("video"), { preload: "auto", muted: true, src: video.url });
    ahead.clip.addEventListener("canplay", () => (ahead.ready = true), { once: true });
  }

  // ---- what a person does

  #keep(edit) {
    if (!this.#item) return;
    this.sync.keep(this.#item.edit.query_id, edit, this.editorView.editor.history());
  }

  submit(edit) {
    if (!this.#item) return;
    const { query_id } = this.#item.edit;
    this.sync.keep(query_id, edit, this.editorView.editor.history());
    this.#session.add(query_id);
    this.#leave(query_id);
    this.advance();
  }

  async skip() {
    if (!this.#item) return;
    const { query_id } = this.#item.edit;
    this.#skipped.add(query_id);
    this.#leave(query_id);
    this.#quietly(() => write(`/queries/${query_id}/skip`, { op_id: newId() }, this.signal));
    this.advance();
  }

  async previous() {
    const query_id = this.#visited.pop();
    if (query_id === undefined) return this.editorView.say("This is the first row of the session.");
    // By number alone: the item was fetched before what has been done to it since.
    if (this.#item) this.#upcoming.unshift({ query_id: this.#item.edit.query_id });
    return this.open(query_id);
  }

  #leave(query_id) {
    this.#visited = this.#visited.filter((other) => other !== query_id);
    this.#visited.push(query_id);
  }

  #count(progress) {
    this.#progress = progress;
    this.#showProgress();
  }

  #showStatus() {
    const { status } = this.sync;
    this.bar.showStatus(status);
    this.statusCard.saving(status.count > 0 || status.saved_ms !== null ? statusWords(status) : "");
  }

  #showProgress() {
    this.#ending?.say(`${this.#progress.done} rows are done by you.${this.#skippedWords}`);
    this.bar.showProgress({ ...this.#progress, session: this.#session.size });
  }

  #enable() {
    this.bar.enable({ item: this.#item, previous: this.#visited.length > 0 });
  }

  // ---- conflicts

  async #settleConflicts() {
    if (this.#asking) return;
    this.#asking = true;
    let { status } = this.sync;
    while (status.kind === "conflict" && !this.signal.aborted) {
      await this.#settleOne(status.query_id);
      status = this.sync.status;
    }
    this.#asking = false;
  }

  async #settleOne(query_id) {
    const here = this.#item?.edit.query_id === query_id;
    const { yours, theirs } = this.sync.conflict(query_id);
    const item = here ? this.#item : await this.#quietly(() => read(`/queries/${query_id}`, this.signal));
    const choice = await askConflict(this.root, { yours, theirs, query: item?.query ?? `Query ${query_id}` });
    await this.sync.resolve(query_id, choice);
    if (choice === "theirs" && here) await this.open(query_id);
    else this.editorView.focusTimeline();
  }
}
