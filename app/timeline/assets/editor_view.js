/**
 * The timeline in which moments are edited. `load(item, { history })` opens a workspace item; `editor` holds what
 * stands. Events on the root (they bubble): tl-submit { editor, edit, audition }, tl-previous, tl-skip, tl-ask { editor }
 * (cancelable: preventDefault() replaces the reasons dialog), and tl-time-unit (times are written otherwise now; does
 * not bubble). `slots` are places for a page's own parts.
 */

import { nameButton } from "./controls.js";
import { buildComment, buildReasons, buildWording, EVENT_ABSENT } from "./dialogs.js";
import { el, setText } from "./dom.js";
import { editActions } from "./edit_actions.js";
import { editLanes, spokenEdge } from "./edit_lanes.js";
import { buildEditHead, buildEditPanel, showEditHead, showEditPanel } from "./edit_panel.js";
import { EditPointer, grab } from "./edit_pointer.js";
import { Editor } from "./editor.js";
import { FrameGrabber } from "./frame_grabber.js";
import { FrameClock } from "./frames.js";
import { timeText, timeUnit } from "./format.js";
import { EDITING_BINDINGS } from "./key_bindings.js";
import { buildKeySheet } from "./key_sheet.js";
import { KeyMap } from "./keyboard.js";
import { Layout, PictureWindow } from "./layout.js";
import { Reaction } from "./reaction.js";
import { initialDocument } from "./reducers.js";
import { snapCandidates } from "./snapping.js";
import { SoundPeaks } from "./sound_lane.js";
import { buildStatusBar, buildThumbs, showStatusBar } from "./status_bar.js";
import { storage } from "./storage.js";
import { TimelineView } from "./timeline_view.js";
import { Transport } from "./transport.js";
import { Tutorial } from "./tutorial.js";

const SETTLE_MS = 500;
const MESSAGE_MS = 6000;
const EDGE_ZOOM_S = 2;
const MOMENT_MARGIN = 0.1;

/** What is said of a finished command. */
const OUTCOMES = {
  undo: "Undone.",
  redo: "Redone.",
  deleteMoment: "Moment removed.",
  newMoment: "New moment.",
  split: "Split.",
  merge: "Merged.",
  acceptModel: "Taken from the model.",
  acceptAll: "All of the model’s moments taken.",
  setVerdict: "Verdict changed.",
  setNote: "Comment kept.",
  setText: "Wording proposed.",
  setFlag: "Flag changed.",
};

export class EditorView extends TimelineView {
  editor = new Editor();
  keys = new KeyMap(EDITING_BINDINGS, storage);
  reaction = new Reaction();
  transport = new Transport(this);
  tutorial = new Tutorial(this);
  snapping = true;
  slip = false;
  fine = false;
  touch = matchMedia("(pointer: coarse)").matches;
  dragging = false;
  target = null; // what the edge that is being dragged snaps to
  snaps = [];
  zoom_idx = 0;
  auditioning = false; // a loop is to begin: the page sets it for the next row, what is played by hand ends it
  loopsRows = false; // the last row was submitted for a loop in the next one
  focusing = false; // by this module, which has selected already what it focuses

  #ahead = null; // the item that is loaded ahead
  #span_s = null; // how much of a clip was in view, from row to row; null for all of it
  #settling = 0;
  #messageTimer = 0;

  constructor(root, signal, mode) {
    super(root, signal);
    this.mode = mode;
    this.state.view = this;
  }

  start() {
    this.sound = new SoundPeaks(() => this.state.touch("viewport"));
    this.grabber = new FrameGrabber(() => this.state.touch("edit"), this.signal);
    super.start();
    this.root.classList.add("tl-workbench");
    this.root.append(this.grabber.video);
    this.slots = { head: this.head.slot, stage: this.videoPane.slot, side: this.aside.slot, foot: this.footSlot };
    const { editor, signal } = this;
    editor.addEventListener("change", () => this.state.touch("edit"), { signal });
    editor.addEventListener("commit", ({ detail }) => this.#announce(detail.command), { signal });
    editor.addEventListener("rehearsed", ({ detail }) => this.#announce(detail.command), { signal });
    editor.addEventListener("refused", ({ detail }) => this.say(detail.message), { signal });
    this.pointer = new EditPointer(this);
    this.pictureWindow = new PictureWindow(this);
    keepVolume(this.player);
    if (this.mode === "annotate") this.layout = new Layout(this.root, storage, signal);
    this.showCaptions = captionsTrack(this.player);
    window.addEventListener("pagehide", () => editor.settle(), { signal });
  }

  /** Open an item: a timeline value whose `edit` is the editing part; null shows the empty state. */
  load(item, { history = null } = {}) {
    this.tutorial.leave();
    this.#learnReaction();
    this.transport.stop();
    const { video } = this.player;
    video.defaultPlaybackRate = video.playbackRate; // the speed stays from row to row
    const { viewport } = this.state;
    const isShorter = viewport.isFit && viewport.duration_s <= this.#span_s; // no choice was left
    if (this.state.value.video && !isShorter) this.#span_s = viewport.isFit ? null : viewport.span_s;
    this.state.accept(item);
    if (!item?.edit) return this.editor.close();
    this.editor.load(item.edit, history);
    this.refreshSnaps();
    this.zoom_idx = 0;
    this.player.load(item.video, this.state.duration_s);
    this.#ahead = null; // it is this one, or is given up
    const opening_ms = this.transport.openingMs(this.editor.moments[0]);
    if (this.#span_s) viewport.show(opening_ms / 1000 - this.#span_s / 2, opening_ms / 1000 + this.#span_s / 2);
    this.seekMs(opening_ms);
    this.#auditionFirst();
    this.state.touch("value", "viewport", "edit");
    return undefined;
  }

  /** Load what comes next, clip, film strip and sound, at the picture that it opens with; null gives it up. */
  preload(item) {
    this.#ahead = item;
    this.showAhead();
    this.strip.preload(item?.strip ?? null);
    this.sound.preload(item?.video?.sound_url ?? null);
  }

  /** The clip that is loaded ahead stands at the picture that its row opens with. */
  showAhead() {
    const video = this.#ahead?.video ?? null;
    this.player.preload(video, video ? this.#openingTime_s(this.#ahead.edit) : 0);
  }

  #openingTime_s(row) {
    const clock = new FrameClock(row.frame_rate, row.frame_count);
    const { verdict, moments } = initialDocument(row);
    const opening_ms = verdict === "moments" ? this.transport.openingMs(moments[0]) : 0;
    return Math.min(clock.frame(opening_ms), clock.count) / clock.fps;
  }

  /** After a submission with `audition`: a loop of the first moment; without one the clip plays, until one is made. */
  #auditionFirst() {
    if (!this.auditioning || !this.player.playable) return;
    if (this.editor.moments.length > 0) this.transport.auditionFirst();
    else this.player.play();
  }

  /** What was learnt of the open item since: its clip, frames, windows. The answer stays as it is. */
  update(item) {
    if (this.tutorial.running) this.tutorial.defer(() => this.update(item));
    else this.state.accept(item);
  }

  /** The model's proposal, when it comes after the item. */
  setModel(model) {
    if (this.tutorial.running) return void this.tutorial.defer(() => this.setModel(model));
    if (!this.editor.item) return;
    const starts = this.editor.setModel(model);
    this.refreshSnaps();
    this.state.touch("viewport", "edit");
    if (starts) this.say("The model has answered: yours start from its moments.");
    else this.say(`The model has answered: ${this.keys.text("acceptAll")} takes its moments.`);
  }

  /** The shot changes, when they come after the item. */
  setShots(shots_ms) {
    if (this.tutorial.running) return void this.tutorial.defer(() => this.setShots(shots_ms));
    if (!this.editor.item) return;
    this.editor.item.shots_ms = shots_ms;
    this.refreshSnaps();
    this.state.touch("viewport", "edit");
  }

  refreshSnaps() {
    this.snaps = snapCandidates(this.editor.item, this.editor.clock);
  }

  // ---- keys count while the focus is in the timeline, or nowhere in particular

  get keyTarget() {
    return document;
  }

  get keyMode() {
    return this.editor.selection.edge ? "edge" : null;
  }

  acceptsKey({ target }) {
    if (!this.editor.item || document.querySelector("dialog[open]")) return false;
    if (target.ownerDocument && target.ownerDocument !== document) return true; // the picture's own window
    return this.root.contains(target) || target === document.body || target === document.documentElement;
  }

  interceptKey(event, chord) {
    return this.tutorial.interceptKey(event, chord);
  }

  countKey(event) {
    this.editor.note({ key: !event.repeat });
  }

  /** A held key's gesture ends when the key comes up. */
  releaseKey(chord) {
    if (this.keys.chords("brake").includes(chord)) this.transport.brake(false);
    if (this.editor.previewing && !this.dragging) this.editor.settle();
  }

  /** Or at the latest half a second after its last repeat. */
  settleSoon() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.editor.settle(), SETTLE_MS);
  }

  /** Escape gives up the innermost thing: a drag, what plays, the edge, the selection. */
  leave() {
    if (this.dragging) return this.gestures.drop();
    this.auditioning = false;
    if (this.transport.stop()) return undefined;
    return this.editor.selection.edge ? this.actions.leaveEdge() : this.editor.select(null);
  }

  // ---- parts

  get laneSet() {
    return editLanes(this.mode);
  }

  /** The ruler carries the playhead, because edges are sliders too and a slider must not hold another. */
  get slider() {
    return this.lanes[0].track;
  }

  get shortcuts() {
    return "Space ArrowLeft ArrowRight ArrowUp ArrowDown ?";
  }

  buildHead() {
    return buildEditHead(this);
  }

  buildSide() {
    return buildEditPanel(this);
  }

  buildHelp() {
    const onClose = () => this.focusTimeline();
    this.reasons = buildReasons(this.editor, onClose);
    this.comment = buildComment(this.editor, onClose);
    this.wording = buildWording(this.editor, onClose);
    return buildKeySheet(this, this.mode === "annotate" ? this.tutorial : null);
  }

  openHelp() {
    this.help.open_();
  }

  arrangement() {
    this.bar = buildStatusBar(this);
    this.footSlot = el("div", { className: "tl-slot tl-slot-foot" });
    this.axis.setAttribute("role", "group");
    this.axis.setAttribute("aria-label", "Timeline");
    this.videoPane.video.id ||= `tl-video-${Math.random().toString(36).slice(2)}`;
    this.under.classList.add("tl-hidden");
    nameButton(this.controls.fit, "Fit the whole clip (Z goes round)"); // F flags here
    const dialogs = [this.help, this.reasons, this.comment, this.wording];
    const parts = [this.head.node, this.top, this.axis, this.bar.node, buildThumbs(this), this.footSlot];
    return [el("div", { className: "tl-column" }, ...parts), this.under, this.tip, ...dialogs];
  }

  buildActions() {
    const shared = super.buildActions();
    const edits = editActions(this);
    return {
      ...shared,
      ...edits,
      previousMoment: edits.previous,
      nextMoment: edits.next,
      scrub: (time_s) => (this.transport.onSeek(time_s), this.player.seek(time_s)),
      toggle: () => this.transport.toggle(),
      step: (count) => (shared.step(count), this.tutorial.notice("step")),
      grab: (press) => grab(this, press),
      focus: () => (this.focusTimeline(), true),
      click: (lane, time_s) => this.pointer.click(lane, time_s),
    };
  }

  // ---- what its parts ask of the view

  get videoId() {
    return this.videoPane.video.id;
  }

  get videoUrl() {
    return this.state.value.video?.url ?? "";
  }

  get queryText() {
    return this.editor.doc.edited_text ?? this.editor.item?.query ?? "";
  }

  get playhead_ms() {
    const { frame_idx, playhead_s } = this.state;
    const { clock } = this.editor;
    return frame_idx === null ? clock.boundary(playhead_s * 1000) : clock.ms(frame_idx);
  }

  /** The playhead as an edge; on the last frame an end means the end of the clip. */
  markAt(edge) {
    const { clock } = this.editor;
    const isLast = clock.frame(this.playhead_ms) >= clock.count - 1;
    return edge === "end" && isLast ? clock.end_ms : this.playhead_ms;
  }

  get noModelWords() {
    if (this.editor.item?.arm === "blind") return "The model’s moments are hidden until you submit.";
    return this.editor.item?.model ? "The model found no moment." : "The model’s proposal is not there yet.";
  }

  seekVisibly(time_s) {
    if (!this.transport.onSeek(time_s)) super.seekVisibly(time_s);
  }

  /** An edge was chosen or has moved: its frame is shown, or the loop around it goes on where it is now. */
  showEdge(edge, ms) {
    if (!this.transport.follow(edge)) this.seekMs(ms);
  }

  /** Go to the frame that starts at a boundary; at the end of the clip its last frame is shown. */
  seekMs(ms) {
    const { clock } = this.editor;
    this.seekVisibly(Math.min(clock.frame(ms), clock.count) / clock.fps);
  }

  /** One polite sentence, never while something is dragged. */
  say(text) {
    if (this.dragging || !text) return;
    setText(this.bar.message, text);
    clearTimeout(this.#messageTimer);
    this.#messageTimer = setTimeout(() => setText(this.bar.message, ""), MESSAGE_MS);
  }

  play(range) {
    this.auditioning = false;
    this.player.playRange(range);
    if (this.state.viewport.follow(range.start_s)) this.state.touch("viewport");
    this.state.touch("player");
  }

  placeEdge(frame) {
    const { id, edge } = this.editor.selection;
    if (!edge || !Number.isFinite(frame)) return;
    this.editor.apply({ type: "setEdge", id, edge, ms: this.editor.clock.ms(frame) });
    this.showEdge(edge, this.editor.selected[`${edge}_ms`]);
  }

  focusTimeline() {
    this.#focus(this.slider);
  }

  focusEdge(id, edge) {
    if (!edge) return this.focusTimeline();
    this.#drawEdits();
    return this.#focus(this.axis.querySelector(`[data-lane=mine] [data-key="${id}"] [data-edge=${edge}]`));
  }

  focusGhost(idx) {
    this.#drawEdits();
    this.#focus(this.axis.querySelector(`[data-lane=model] [data-key="${idx}"]`));
  }

  #focus(node) {
    this.focusing = true;
    node?.focus({ preventScroll: true });
    this.focusing = false;
  }

  changeTimeUnit() {
    timeUnit.value = timeUnit.value === "clock" ? "seconds" : "clock";
    this.state.touch("value", "viewport", "playhead", "edit");
    this.root.dispatchEvent(new CustomEvent("tl-time-unit"));
    this.say(`Times are written as ${timeText(660)}.`);
  }

  changeLayout() {
    this.layout?.cycle();
    this.state.touch("viewport", "playhead", "edit");
  }

  /** Zoom to the next preset: everything, the selected moment, the edge (or the playhead). */
  cycleZoom() {
    const { editor, state } = this;
    const { viewport } = state;
    const moment = editor.selected;
    const { edge } = editor.selection;
    const at_s = edge && moment ? moment[`${edge}_ms`] / 1000 : state.playhead_s;
    const presets = [() => viewport.fit(), () => viewport.show(at_s - EDGE_ZOOM_S, at_s + EDGE_ZOOM_S)];
    if (moment) {
      const [start_s, end_s] = [moment.start_ms / 1000, moment.end_ms / 1000];
      const margin_s = (end_s - start_s) * MOMENT_MARGIN;
      presets.splice(1, 0, () => viewport.show(start_s - margin_s, end_s + margin_s));
    }
    this.zoom_idx = (this.zoom_idx + 1) % presets.length;
    presets[this.zoom_idx]();
    state.touch("viewport", "playhead");
  }

  // ---- leaving a row; the page hears of it by events on the root

  /** A page may answer `tl-ask` itself with preventDefault(). */
  askWhy() {
    const { editor } = this;
    if (!editor.item) return;
    const event = new CustomEvent("tl-ask", { bubbles: true, cancelable: true, detail: { editor } });
    if (this.root.dispatchEvent(event)) this.reasons.showModal();
  }

  /** Without the list of reasons. */
  sayAbsent() {
    if (this.editor.item) this.editor.apply(EVENT_ABSENT);
  }

  submit({ audition = false } = {}) {
    const { editor } = this;
    editor.settle();
    if (!editor.item || this.tutorial.notice("submit")) return;
    if (editor.obstacle) return void this.say(editor.obstacle);
    this.#learnReaction();
    this.#emit("tl-submit", { editor, edit: editor.edit({ submitted: true }), audition });
  }

  /** Everything of the model's, submitted; the next row begins with a loop of its first moment. */
  acceptAndGo() {
    const { editor } = this;
    if (!editor.item) return;
    if (!editor.item.model) return void this.say(this.noModelWords);
    if (editor.can({ type: "acceptAll", source: "model" })) editor.apply({ type: "acceptAll", source: "model" });
    this.submit({ audition: true });
  }

  reopen() {
    this.#leaveRow("tl-previous");
  }

  skip() {
    this.#leaveRow("tl-skip");
  }

  #leaveRow(event) {
    if (this.tutorial.running) return void this.say("Leave the drill first: Esc.");
    this.editor.settle();
    this.#emit(event, { editor: this.editor });
  }

  #emit(name, detail) {
    this.root.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  }

  /** What became of edges that were set during playback tells the reaction time. */
  #learnReaction() {
    const { editor } = this;
    if (!editor.item) return;
    this.reaction.learn((key) => {
      const [id, edge] = key.split(":");
      return editor.moments.find((m) => m.id === Number(id))?.[`${edge}_ms`] ?? null;
    });
  }

  // ---- dragging

  startDrag() {
    this.dragging = true;
    this.transport.stop();
  }

  /** While dragging: the picture follows the edge, the chip says what it snapped to. */
  dragged(id, edge, target) {
    this.target = target;
    const moment = this.editor.moments.find((m) => m.id === id);
    if (moment) this.player.seek(this.editor.clock.frame(moment[`${edge}_ms`]) / this.editor.clock.fps);
    this.state.touch("edit");
  }

  endDrag(keep) {
    this.dragging = false;
    this.target = null;
    if (!keep) this.editor.cancel();
    else if (this.editor.settle()) this.transport.loopNew();
    this.state.touch("edit", "hover");
  }

  #announce(command) {
    const { selected, selection, clock } = this.editor;
    const edge = selection.edge ?? command.edge;
    if (selected && edge)
      this.say(`${edge === "start" ? "Start" : "End"}: ${spokenEdge(selected, edge, clock, this.snaps)}`);
    else this.say(OUTCOMES[command.type]);
    // Focus that was on something which is gone comes back to the timeline.
    requestAnimationFrame(() => {
      const isLost = document.activeElement === document.body || document.activeElement === null;
      const isOpen = this.editor.item !== null && document.querySelector("dialog[open]") === null;
      if (isLost && isOpen) this.focusTimeline();
    });
  }

  // ---- drawing

  showWords() {
    this.#drawEdits();
  }

  drawPlayer() {
    super.drawPlayer();
    for (const node of this.controls.moments) node.disabled = this.editor.moments.length === 0;
    const lane = this.lanes.find(({ id }) => id === "sound");
    setText(lane.noteNode, lane.note(this.state));
  }

  render(parts) {
    if (parts.has("value") || parts.has("viewport"))
      for (const lane of this.lanes) lane.row.hidden = lane.present ? !lane.present(this.state) : false;
    super.render(parts);
    if (parts.has("edit")) this.#drawEdits();
    if (parts.has("edit") || parts.has("player") || parts.has("playhead")) showStatusBar(this.bar, this);
    if (parts.has("playhead") || parts.has("value")) this.pictureWindow.draw();
    if (parts.has("value")) this.layout?.measure();
  }

  showValue() {
    this.grabber.load(this.videoUrl || null, this.editor.clock); // before the loupe is drawn
    this.sound.load(this.state.value.video?.sound_url ?? null);
    super.showValue();
  }

  /** Only what an edit changes: the lanes of moments, the overview, the words. */
  #drawEdits() {
    const { state } = this;
    for (const lane of this.lanes) {
      if (lane.edits) {
        lane.place(lane.layer, state);
        setText(lane.noteNode, lane.note?.(state) ?? "");
      } else if (lane.id === "model" && !this.dragging) lane.place(lane.layer, state);
    }
    if (!this.dragging) {
      showEditHead(this.head, this);
      this.showCaptions?.(this.editor.moments);
    }
    showEditPanel(this.aside, this);
  }

  foot() {
    return "";
  }
}

/** Sound is off until somebody turns it on; what they chose stays from row to row and visit to visit. */
function keepVolume(player) {
  const { video } = player;
  video.muted = storage.getItem("tempo.sound") !== "on";
  video.volume = Number(storage.getItem("tempo.volume") ?? 1);
  player.on("volumechange", () => {
    storage.setItem("tempo.sound", player.video.muted ? "off" : "on");
    storage.setItem("tempo.volume", String(player.video.volume));
  });
}

/** One's own moments as a captions track of the video, so that a screen reader's user can hear where they begin. */
function captionsTrack(player) {
  const shown = new WeakMap(); // <video> → its track, and what stands in it
  return (moments) => {
    const { video } = player;
    if (!shown.has(video)) {
      const track = video.addTextTrack("captions", "Your moments", document.documentElement.lang || "en");
      track.mode = "hidden"; // cues fire, nothing is drawn over the picture
      shown.set(video, { track, key: null });
    }
    const captions = shown.get(video);
    const { track } = captions;
    const key = JSON.stringify(moments.map(({ start_ms, end_ms }) => [start_ms, end_ms]));
    if (key === captions.key) return;
    captions.key = key;
    for (const cue of [...(track.cues ?? [])]) track.removeCue(cue);
    moments.forEach(({ start_ms, end_ms }, idx) =>
      track.addCue(new VTTCue(start_ms / 1000, end_ms / 1000, `Moment ${idx + 1} of ${moments.length}`)),
    );
  };
}
