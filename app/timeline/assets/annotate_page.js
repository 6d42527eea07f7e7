/**
 * The Annotate page's run: what is on screen, what comes next, and where edits go.
 *
 * The next row is fetched while one works on this one (its clip, film strip and proposal too), so that submitting
 * shows it at once. It is lent, and its arm recorded, when it comes on the screen and not before. Nothing here waits
 * for saving: `sync.js` keeps and sends.
 */

import { addressOf } from "./address.js";
import { buildAnnotateBar, StatusCard, statusText } from "./annotate_bar.js";
import { askConflict } from "./dialogs.js";
import { button, el, loadStylesheet, setText } from "./dom.js";
import { plural, worthText } from "./format.js";
import { bothEdits } from "./moments.js";
import { buildVerdict } from "./edit_panel.js";
import { buildGuidelines, loadGuidelinesStyle } from "./guidelines.js";
import { twinText } from "./reference_lanes.js";
import { SampleCard } from "./sample_card.js";
import { annotateApi, Failure, newId, pause } from "./server.js";
import { EditSync } from "./sync.js";
import { offerTutorial } from "./tutorial.js";

const POLL_CLIP_MS = 500;
const POLL_PROPOSAL_MS = 600;
const POLL_AHEAD_MS = 1000;
const POLL_SHOTS_MS = 1000;
const POLL_SHOTS_LONGEST_MS = 4000;
const POLL_BUFFER_MS = 200;
const RETRY_MS = 3000;
const NO_VIDEO = "video unavailable";

export async function start(root, { assets, version, signal }) {
  await Promise.all([loadStylesheet(`${assets}/annotate_page.css?v=${version}`), loadGuidelinesStyle(assets, version)]);
  const annotatePage = new AnnotatePage(root, signal);
  root.annotatePage = annotatePage;
  await annotatePage.start();
}

/** Store the row in the address, for a reload. Spelt out, because Gradio sets a base that fragments would resolve to. */
function setFragment(fragment) {
  history.replaceState(history.state, "", `${location.pathname}${location.search}${fragment}`);
}

class AnnotatePage {
  #item = null;
  #upcoming = []; // what comes next: { item } of a row that is fetched, { query_id } of one that is fetched again
  #visited = [];
  #skipped = new Set();
  #session = new Set(); // what was submitted since the page was opened
  #progress = { done: 0, left: 0 };
  #opening_s = null; // where the row was opened, until its clip was played or shown elsewhere
  #turn = 0; // which row is on screen: what comes for an earlier one is dropped
  #fetching = null;
  #lending = null; // the operation that lends the row on screen, which was fetched ahead; null: it is lent
  #resolving = false;
  #endCard = null;

  constructor(root, signal) {
    this.root = root;
    this.view = root.timeline;
    this.signal = signal;
    this.card = new StatusCard(root);
    this.sample = new SampleCard(this.card, signal, () => this.advance());
    this.bar = buildAnnotateBar(this.view, {
      showConflict: () => this.#resolveConflicts(),
      retry: () => this.sync.retry(),
    });
    this.verdict = buildVerdict(this.view);
    this.about = el("span", { attrs: { dir: "auto" } });
    this.next = el("span", { className: "fl-next" });
    this.guidelines = buildGuidelines();
    this.lookAgain = button("tl-small tl-strong fl-look", "Look again", () => this.#lookAgain(), { hidden: true });
    this.bar.node.prepend(this.guidelines.node);
    this.view.slots.head.append(this.bar.node);
    this.view.slots.side.append(this.verdict.node);
    this.view.slots.stage.append(this.lookAgain);
    this.view.slots.foot.append(el("div", { className: "fl-foot" }, this.about, this.next, this.sample.link));
    offerTutorial(this.view);
    const { editor } = this.view;
    editor.addEventListener("commit", ({ detail }) => this.#save(detail.edit), { signal });
    editor.addEventListener("change", () => this.verdict.show(), { signal });
    const { player } = this.view;
    // To begin to play shows nothing yet.
    player.on("timeupdate", () => player.playing && this.#seeAt(player.video.currentTime));
    player.on("seeked", () => this.#seeAt(player.video.currentTime));
    root.addEventListener("tl-submit", ({ detail }) => this.submit(detail.edit, detail.audition), { signal });
    root.addEventListener("tl-skip", () => this.skip(), { signal });
    root.addEventListener("tl-previous", () => this.previous(), { signal });
  }

  /** The row that comes next, on its way or seen before: { item } or { query_id }. */
  get ahead() {
    return this.#upcoming[0] ?? null;
  }

  async start() {
    this.card.show("One moment", "Looking for the next row.");
    const user = await this.#persist(() => annotateApi.read("/me", this.signal));
    if (!user) return;
    this.user = user;
    this.#visited = [...user.done_ids].reverse();
    this.sync = await EditSync.open(user.annotator, this.signal);
    this.sync.addEventListener("status", () => this.#showStatus());
    this.sync.addEventListener("conflict", () => this.#resolveConflicts());
    this.sync.addEventListener("saved", ({ detail }) => detail.progress && this.#setProgress(detail.progress));
    this.#showStatus();
    if (this.sync.status.kind === "conflict") this.#resolveConflicts();
    this.sample.start(user.makes_projects);
    const query_id = Number(new URLSearchParams(location.hash.slice(1)).get("q"));
    const isNumber = Number.isInteger(query_id) && query_id > 0;
    if (!isNumber || !(await this.open(query_id))) await this.advance();
  }

  /** Try until there is an answer; a card says what is wrong meanwhile. Undefined when the page was left. */
  async #persist(request) {
    while (!this.signal.aborted) {
      try {
        return await request();
      } catch (failure) {
        if (failure.kind === "stopped") return undefined;
        if (!(failure instanceof Failure) || failure.kind === "refused") throw failure;
        this.#showFailure(failure);
        await pause(RETRY_MS, this.signal);
      }
    }
    return undefined;
  }

  #showFailure({ kind, message }) {
    const { count = 0 } = this.sync?.status ?? {};
    const edits = count ? ` ${plural(count, "edit")} ${count === 1 ? "is" : "are"} kept in this browser.` : "";
    const again = `It is asked again every few seconds.${edits}`;
    const signIn = () => location.assign(`${addressOf("/sign-in")}?next=${encodeURIComponent(location.pathname)}`);
    if (kind === "person")
      this.card.show("You are signed out", `Sign in and go on where you were. ${again}`, [["Sign in", signIn, true]]);
    else if (kind === "role") this.card.show("Your account may not do this", `${message} ${again}`, [["Sign in as somebody else", signIn]]);
    else if (kind === "fault") this.card.show("The server failed", `${message} ${again}`);
    else if (kind === "busy") this.card.show("The server is busy", `${message} ${again}`);
    else this.card.show("The server does not answer", `${message} ${again}`);
  }

  // ---- which row

  /** Show a row by its number; false when there is none. */
  async open(query_id) {
    const turn = ++this.#turn;
    this.#lending = null;
    try {
      const item = await this.#persist(() => annotateApi.read(`/queries/${query_id}`, this.signal));
      if (!item || turn !== this.#turn) return true;
      this.#setProgress(item.edit.progress);
      await this.#show(item);
      return true;
    } catch (failure) {
      if (failure.kind === "refused") return false;
      throw failure;
    }
  }

  /** The next row: the one fetched before, or else whatever the queue gives now. */
  async advance() {
    const ahead = this.#upcoming.shift();
    if (ahead?.item) {
      this.#lending = newId();
      return this.#show(ahead.item, ahead.history);
    }
    if (ahead) return this.open(ahead.query_id);
    const turn = ++this.#turn;
    this.view.load(null);
    this.#item = null;
    this.#enable();
    this.card.show("One moment", "Looking for the next row.");
    const next = await this.#persist(() => this.#fetchNext());
    if (!next || turn !== this.#turn) return undefined;
    return next.item ? this.#show(next.item) : this.#showEnd(next);
  }

  /** { item, empty, progress } of the queue's next row, which is lent with it. */
  async #fetchNext() {
    const next = await annotateApi.write("/next", { op_id: newId(), besides: this.#besides() }, this.signal);
    this.#setProgress(next.progress);
    return next;
  }

  /** What the queue is not to give: rows that are done or skipped, and `query_ids`. */
  #besides(query_ids = []) {
    return [...new Set([...query_ids, ...this.#skipped, ...(this.sync?.submitting ?? [])])].slice(-200);
  }

  /** The row on screen was fetched ahead: now it is lent as it is shown. Where somebody has it meanwhile, the next. */
  async #lend({ edit: { query_id, arm } }, turn) {
    const op_id = this.#lending;
    while (op_id && turn === this.#turn && !this.signal.aborted) {
      const body = { op_id, besides: this.#besides(), upcoming: query_id };
      const next = await this.#tryOnce(() => annotateApi.write("/next", body, this.signal));
      if (turn !== this.#turn) return;
      if (!next) {
        await pause(RETRY_MS, this.signal);
        continue;
      }
      this.#lending = null;
      this.#setProgress(next.progress);
      if (!next.item) return void this.#showEnd(next);
      const isSame = next.item.edit.query_id === query_id;
      if (isSame && next.item.edit.arm === arm) return;
      this.view.say(isSame ? "The row has changed." : "The row went to somebody else; this is the next.");
      if (!isSame || next.item.edit.arm !== "blind") return void (await this.#show(next.item));
      return void this.skip(); // it would count as answered without what was shown
    }
  }

  #showEnd({ empty }) {
    setFragment("");
    if (empty) return this.sample.offer();
    const { makes_projects } = this.user;
    const buttons = [["Look again", () => (this.#skipped.clear(), this.advance()), true]];
    if (this.#visited.length > 0) buttons.push(["Previous query", () => this.previous()]);
    if (makes_projects) buttons.push(["Export on the Data page", () => location.assign(addressOf("/data"))]);
    if (this.sample.present) buttons.push(["Remove the sample project", () => this.sample.remove()]);
    const { project } = this.#progress;
    const title = project ? `Nothing left for you in ${project}` : "Nothing left in the queue";
    this.#endCard = this.card.show(title, "", buttons);
    return this.#showProgress();
  }

  async #show(item, history = undefined) {
    const turn = ++this.#turn;
    const { query_id, parent_id } = item.edit;
    if (history === undefined) history = await this.sync.history(query_id, parent_id);
    if (turn !== this.#turn) return;
    this.sync.opened(query_id, parent_id);
    item.edit.edit = this.sync.newest(query_id) ?? item.edit.edit;
    this.#item = item;
    this.#endCard = null;
    this.card.hide();
    this.view.load(item, { history });
    this.#opening_s = item.edit.edit?.submitted ? null : this.view.player.time_s;
    this.view.actions.focusEdge(); // the one that is looped, or the timeline
    setFragment(`#q=${query_id}`);
    setText(this.view.bar.message, "");
    this.#showProgress();
    this.#enable();
    this.verdict.show();
    this.guidelines.show(item.edit.project);
    this.lookAgain.hidden = !item.edit.missing_video;
    this.#showAbout(item);
    this.#showNext();
    const lending = this.#lend(item, turn);
    if (item.state === "ready") this.#complete(item, turn, lending);
    else this.#prepare(item, turn);
  }

  /** Below the timeline: which row it is, and how much its model is to be believed. */
  #showAbout({ edit: { dataset, qid, vid, arm, model, twins = [] } }) {
    const worth = model?.worth && arm !== "blind" ? [worthText(model.worth)] : [];
    setText(this.about, [dataset, qid, vid, ...twins.map(twinText), ...worth].join(" · "));
  }

  /** Beside it: that the next row's clip is not ready yet, and why. */
  #showNext() {
    const { item } = this.#upcoming[0] ?? {};
    setText(this.next, item?.state === "loading" ? `Next row: ${item.message}` : "");
  }

  /** The clip is being made, or missing: ask until it is there; what was edited meanwhile is kept. */
  async #prepare(item, turn) {
    while (turn === this.#turn && !this.signal.aborted) {
      await pause(item.state === "loading" ? POLL_CLIP_MS : RETRY_MS, this.signal);
      if (turn !== this.#turn) return;
      const next = await this.#tryOnce(() => annotateApi.read(`/queries/${item.edit.query_id}`, this.signal));
      if (turn !== this.#turn || !next) continue;
      if (next.state === "ready") return void this.#show(next);
      if (next.message !== this.view.state.value.message) this.view.update({ ...item, ...next, edit: item.edit });
      this.lookAgain.hidden = !next.edit.missing_video;
    }
  }

  /** Somebody has put the clip there: look for it now. */
  async #lookAgain() {
    const turn = this.#turn;
    const { query_id } = this.#item.edit;
    this.lookAgain.disabled = true;
    const next = await this.#tryOnce(() => annotateApi.write(`/queries/${query_id}/look`, {}, this.signal));
    this.lookAgain.disabled = false;
    if (!next || turn !== this.#turn) return undefined;
    if (!next.edit.missing_video) return this.#show(next);
    return this.view.say("It is still not there.");
  }

  /** What comes after the row itself: once it is lent the next row, and the model's proposal. */
  async #complete(item, turn, lending) {
    lending.then(() => turn === this.#turn && this.#prefetch());
    this.#addShots(item, turn);
    const hasProposal = await this.#addProposal(item, () => turn === this.#turn);
    if (!hasProposal || turn !== this.#turn) return;
    this.view.update(item);
    if (item.edit.model) this.view.setModel(item.edit.model);
    this.#showAbout(item);
  }

  /** The clip came before its shot changes: ask until they are there, while the row is on screen. */
  async #addShots({ edit }, turn) {
    if (!edit.shots_pending) return;
    for (let wait_ms = POLL_SHOTS_MS; edit.shots_pending; wait_ms = Math.min(1.5 * wait_ms, POLL_SHOTS_LONGEST_MS)) {
      await pause(wait_ms, this.signal);
      if (turn !== this.#turn || this.signal.aborted) return;
      const newer = await this.#tryOnce(() => annotateApi.read(`/queries/${edit.query_id}`, this.signal));
      if (newer) Object.assign(edit, { shots_ms: newer.edit.shots_ms, shots_pending: newer.edit.shots_pending });
    }
    if (turn === this.#turn) this.view.setShots(edit.shots_ms);
  }

  /** Wait, while `isNeeded()`, for the proposal, and put it, or why there is none, into the item. Says whether it did. */
  async #addProposal(item, isNeeded) {
    if (item.edit.model || item.edit.model_absence || item.edit.arm === "blind") return false;
    while (isNeeded() && !this.signal.aborted) {
      const proposal = await this.#tryOnce(() => annotateApi.read(`/queries/${item.edit.query_id}/proposal`, this.signal));
      if (proposal?.state === "ready") {
        Object.assign(item, { frames: proposal.frames, ranked: proposal.ranked });
        item.edit.model = proposal.model;
        return true;
      }
      if (proposal?.state === "none") {
        item.edit.model_absence = proposal.message;
        return true;
      }
      if (proposal?.state === "failed" || proposal?.state === "hidden") return false;
      await pause(POLL_PROPOSAL_MS, this.signal);
    }
    return false;
  }

  /** The answer, or null where there is none. */
  async #tryOnce(request) {
    try {
      return await request();
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      return null;
    }
  }

  /** Fetch the next row, and everything that it shows, while this one is worked on. Nothing of it is recorded. */
  async #prefetch() {
    if (this.#fetching || this.#upcoming.length > 0 || !this.#item) return;
    const turn = this.#turn;
    const besides = this.#besides([this.#item.edit.query_id]);
    this.#fetching = this.#tryOnce(() => annotateApi.write("/upcoming", { besides }, this.signal));
    const next = await this.#fetching;
    this.#fetching = null;
    if (turn !== this.#turn) return void this.#prefetch(); // for another row
    if (!next?.item) return;
    const ahead = { item: next.item };
    this.#upcoming.push(ahead);
    this.#showNext();
    const isNeeded = () => this.#upcoming[0] === ahead;
    while (ahead.item.state === "loading" && isNeeded()) {
      await pause(POLL_AHEAD_MS, this.signal);
      const newer = await this.#tryOnce(() => annotateApi.read(`/queries/${ahead.item.edit.query_id}`, this.signal));
      if (newer) ahead.item = newer;
      this.#showNext();
    }
    const { player } = this.view;
    // The clip on screen comes first: what it still lacks is not slowed down.
    while (isNeeded() && player.playable && player.video.readyState < 4) await pause(POLL_BUFFER_MS, this.signal);
    if (!isNeeded()) return;
    this.view.preload(ahead.item);
    ahead.history = await this.sync.history(ahead.item.edit.query_id, ahead.item.edit.parent_id);
    if (await this.#addProposal(ahead.item, isNeeded)) this.view.preload(ahead.item); // it may open elsewhere now
  }

  // ---- what a person does

  #save(edit) {
    if (this.#item) this.sync.keep(this.#item.edit.query_id, edit, this.view.editor.history());
  }

  submit(edit, audition = false) {
    if (!this.#item) return;
    const obstacle = this.#unseen(edit);
    if (obstacle) return void this.view.say(obstacle);
    this.view.auditioning = this.view.loopsRows = audition;
    const { query_id } = this.#item.edit;
    this.#save(edit);
    this.#session.add(query_id);
    this.#setVisited(query_id);
    this.advance();
  }

  /** Nobody has decided about a clip that nobody saw: it was played, or shown at another frame than the row's first. */
  #unseen({ verdict, reason }) {
    if (verdict === "cannot-judge" && reason === NO_VIDEO) return null;
    if (this.#item.state !== "ready") return `The clip is not here. Wait for it, skip the row, or press 0 and 4: no video.`;
    const { player, state } = this.view;
    if (state.truth) this.#seeAt(state.playhead_s); // a film strip does not seek
    if (player.playable && !player.video.seeking) this.#seeAt(player.video.currentTime); // its event may be on its way
    return this.#opening_s === null ? null : "Nothing of the clip was shown yet: play it, or step through it, and submit.";
  }

  #seeAt(time_s) {
    const frame_s = 1 / (this.#item?.video?.frame_rate ?? 25);
    if (Math.abs(time_s - this.#opening_s) > 0.75 * frame_s) this.#opening_s = null; // a seek aims at a frame's middle
  }

  async skip() {
    if (!this.#item) return;
    this.view.auditioning = false;
    const { query_id } = this.#item.edit;
    this.#skipped.add(query_id);
    this.#setVisited(query_id);
    this.#tryOnce(() => annotateApi.write(`/queries/${query_id}/skip`, { op_id: newId() }, this.signal));
    this.advance();
  }

  async previous() {
    const query_id = this.#visited.pop();
    if (query_id === undefined) return this.view.say("This is the first row of the session.");
    this.view.auditioning = false;
    // By number alone: the item was fetched before what has been done to it since.
    if (this.#item) this.#upcoming.unshift({ query_id: this.#item.edit.query_id });
    this.view.preload(null);
    return this.open(query_id);
  }

  #setVisited(query_id) {
    this.#visited = this.#visited.filter((other) => other !== query_id);
    this.#visited.push(query_id);
  }

  #setProgress(progress) {
    this.#progress = progress;
    this.#showProgress();
  }

  #showStatus() {
    const { status } = this.sync;
    this.bar.showStatus(status);
    this.card.showSaving(status.count > 0 || status.saved_ms !== null ? statusText(status) : "");
  }

  #showProgress() {
    const skipped = this.#skipped.size ? ` ${this.#skipped.size} skipped in this session.` : "";
    const { done, waiting, ended } = this.#progress;
    const clips = waiting ? ` ${plural(waiting, "row")} ${waiting === 1 ? "waits" : "wait"} for a clip.` : "";
    const end = ended ? ` ${ended}` : "";
    this.#endCard?.say(`${plural(done, "row")} ${done === 1 ? "is" : "are"} done by you.${skipped}${clips}${end}`);
    this.bar.showProgress({ ...this.#progress, session: this.#session.size });
  }

  #enable() {
    this.bar.enable({ item: this.#item, hasPrevious: this.#visited.length > 0 });
  }

  // ---- conflicts

  async #resolveConflicts() {
    if (this.#resolving) return;
    this.#resolving = true;
    let { status } = this.sync;
    while (status.kind === "conflict" && !this.signal.aborted) {
      await this.#resolveOne(status.query_id);
      status = this.sync.status;
    }
    this.#resolving = false;
  }

  async #resolveOne(query_id) {
    const here = this.#item?.edit.query_id === query_id;
    const { yours, theirs } = this.sync.conflict(query_id);
    const item = here ? this.#item : await this.#tryOnce(() => annotateApi.read(`/queries/${query_id}`, this.signal));
    const choice = await askConflict(this.root, { yours, theirs, query: item?.query ?? `Query ${query_id}` });
    const both = choice === "both" ? bothEdits(yours, theirs.edit) : null;
    await this.sync.resolve(query_id, choice === "mine" ? yours : both);
    if (choice !== "mine" && here) await this.open(query_id);
    else this.view.focusTimeline();
  }
}
