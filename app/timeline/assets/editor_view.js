/**
 * The timeline in which moments are edited. `load(item, { history })` opens a workspace item; `editor` holds what
 * stands. Events on the root (they bubble): tl-submit { editor, edit }, tl-previous, tl-skip, tl-ask { editor }
 * (cancelable: preventDefault() replaces the reasons dialog). `slots` are places for a page's own parts.
 * Long because everything that a key, a pointer or a button can do to the open item meets here.
 */

import { Answering } from "./answering.js";
import { captionsOf } from "./captions.js";
import { buildComment, buildKeySheet, buildReasons, buildWording } from "./dialogs.js";
import { el, setText } from "./dom.js";
import { Tutorial } from "./tutorial.js";
import { editActions } from "./edit_actions.js";
import { buildBar, buildThumbs, showBar } from "./edit_bar.js";
import { buildEditHead, showEditHead } from "./edit_head.js";
import { BINDINGS } from "./key_bindings.js";
import { editLanes } from "./edit_lanes.js";
import { buildPanel, showPanel } from "./edit_panel.js";
import { nameButton } from "./controls.js";
import { EditInput } from "./edit_input.js";
import { grab } from "./edit_pointer.js";
import { Editor } from "./editor.js";
import { FrameGrabber } from "./grabber.js";
import { handleKeys } from "./key_presses.js";
import { KeyMap } from "./key_map.js";
import { spokenEdge } from "./own_lane.js";
import { Reaction } from "./reaction.js";
import { TimelineView } from "./timeline_view.js";
import { candidates } from "./snapping.js";
import { Transport } from "./transport.js";
import { nextZoom } from "./zooming.js";

const SETTLE_MS = 500;

export class EditorView extends TimelineView {
  editor = new Editor();
  keys = new KeyMap(BINDINGS);
  reaction = new Reaction();
  transport = new Transport(this);
  snapping = true;
  slip = false;
  fine = false;
  touch = matchMedia("(pointer: coarse)").matches;
  dragging = false;
  target = null;
  snaps = [];
  zoomed = 0;
  focusing = false;
  answering = new Answering(this);
  tutorial = new Tutorial(this);

  #drag = null;
  #settling = 0;

  constructor(root, signal, mode) {
    super(root, signal);
    this.mode = mode;
    this.state.editorView = this;
  }

  start() {
    this.grabber = new FrameGrabber(() => this.state.touch("edit"), this.signal);
    super.start();
    this.root.classList.add("tl-workbench");
    this.root.append(this.grabber.video);
    this.slots = { head: this.head.slot, side: this.aside.slot, foot: this.foot_slot };
    const { editor, signal } = this;
    editor.addEventListener("change", () => this.state.touch("edit"), { signal });
    editor.addEventListener("commit", ({ detail }) => this.#committed(detail), { signal });
    editor.addEventListener("rehearsed", ({ detail }) => this.#committed(detail), { signal });
    editor.addEventListener("refused", ({ detail }) => this.say(detail.message), { signal });
    this.input = new EditInput(this);
    this.captions = captionsOf(this.videoPane.video);
    window.addEventListener("pagehide", () => editor.settle(), { signal });
  }

  /** Open an item: a timeline value whose `edit` is the editing part; null shows the empty state. */
  load(item, { history = null } = {}) {
    this.tutorial.leave();
    this.answering.learn();
    this.transport.stop();
    this.state.accept(item);
    if (!item?.edit) return this.editor.close();
    this.editor.load(item.edit, history);
    this.refreshSnaps();
    this.zoomed = 0;
    this.player.load(item.video, this.state.duration_s);
    this.seekMs(this.editor.moments[0]?.start_ms ?? 0);
    this.state.touch("value", "viewport", "edit");
    return undefined;
  }

  /** What was learnt of the open item since: its clip, frames, windows. The answer stays as it is. */
  update(item) {
    if (this.tutorial.running) this.tutorial.afterwards(() => this.update(item));
    else this.state.accept(item);
  }

  /** The model's proposal, when it comes after the item. */
  setModel(model) {
    if (this.tutorial.running) return void this.tutorial.afterwards(() => this.setModel(model));
    if (!this.editor.item) return;
    const starts = this.editor.setModel(model);
    this.refreshSnaps();
    this.state.touch("viewport", "edit");
    if (starts) this.say("The model has answered: yours start from its moments.");
    else this.say(`The model has answered: ${this.keys.text("acceptAll")} takes its moments.`);
  }

  refreshSnaps() {
    this.snaps = candidates(this.editor.item, this.editor.clock);
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
    return buildPanel(this);
  }

  buildHelp() {
    this.reasons = buildReasons(this.editor, () => this.focusTimeline());
    this.comment = buildComment(this.editor, () => this.focusTimeline());
    this.wording = buildWording(this.editor, () => this.focusTimeline());
    return buildKeySheet(this.keys, this.reaction, this.mode === "annotate" ? this.tutorial : null);
  }

  arrangement() {
    this.bar = buildBar(this);
    this.foot_slot = el("div", { className: "tl-slot tl-slot-foot" });
    this.axis.setAttribute("role", "group");
    this.axis.setAttribute("aria-label", "Timeline");
    this.videoPane.video.id ||= `tl-video-${Math.random().toString(36).slice(2)}`;
    this.under.classList.add("tl-hidden");
    nameButton(this.controls.fit, "Fit the whole clip (Z goes round)"); // F flags here
    const dialogs = [this.help, this.reasons, this.comment, this.wording];
    const parts = [this.head.node, this.top, this.axis, this.bar.node, buildThumbs(this), this.foot_slot];
    return [el("div", { className: "tl-column" }, ...parts), this.under, this.tip, ...dialogs];
  }

  buildActions() {
    const shared = super.buildActions();
    this.edits = editActions(this);
    return {
      ...shared,
      ...this.edits,
      previousMoment: this.edits.previous,
      nextMoment: this.edits.next,
      scrub: (time_s) => (this.transport.seeks(time_s), this.player.seek(time_s)),
      toggle: () => this.transport.toggle(),
      step: (count) => (shared.step(count), this.tutorial.took("step")),
      grab: (press) => grab(this, press),
      focus: () => (this.focusTimeline(), true),
      click: (lane, time_s) => this.input.clicked(lane, time_s),
      help: () => (this.help.open ? this.help.close() : this.help.open_()),
    };
  }

  listenToKeys() {
    handleKeys(this);
  }

  // ---- what is asked of the workbench by its parts

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
    const last = clock.frame(this.playhead_ms) >= clock.count - 1;
    return edge === "end" && last ? clock.end_ms : this.playhead_ms;
  }

  get noModelWords() {
    if (this.editor.item?.arm === "blind") return "The model’s moments are hidden until you submit.";
    return this.editor.item?.model ? "The model found no moment." : "The model’s proposal is not there yet.";
  }

  get mode_() {
    return this.editor.selection.edge ? "edge" : null;
  }

  seekVisibly(time_s) {
    if (!this.transport.seeks(time_s)) super.seekVisibly(time_s);
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
  say(words) {
    if (this.dragging || !words) return;
    setText(this.bar.says, words);
    clearTimeout(this.saying);
    this.saying = setTimeout(() => setText(this.bar.says, ""), 6000);
  }

  play(range) {
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
    this.focusing = true;
    this.slider.focus({ preventScroll: true });
    this.focusing = false;
  }

  focusEdge(id, edge) {
    if (!edge) return this.focusTimeline();
    this.#drawEdits();
    this.focusing = true;
    this.axis
      .querySelector(`[data-lane=mine] [data-key="${id}"] [data-edge=${edge}]`)
      ?.focus({ preventScroll: true });
    this.focusing = false;
    return undefined;
  }

  focusGhost(idx) {
    this.#drawEdits();
    this.focusing = true;
    this.axis.querySelector(`[data-lane=model] [data-key="${idx}"]`)?.focus({ preventScroll: true });
    this.focusing = false;
  }

  /** A held key's gesture ends when the key comes up; at the latest half a second after its last repeat. */
  settleSoon() {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.editor.settle(), SETTLE_MS);
  }

  pressedTwice(id) {
    return this.input.pressedTwice(id);
  }

  cycleZoom() {
    this.zoomed = nextZoom(this, this.zoomed);
  }

  askWhy() {
    this.answering.askWhy();
  }

  submit() {
    this.answering.submit();
  }

  reopen() {
    this.answering.leave("tl-previous");
  }

  skip() {
    this.answering.leave("tl-skip");
  }

  // ---- dragging

  startDrag(drag) {
    this.#drag = drag;
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
    this.#drag = null;
    if (keep) this.editor.settle();
    else this.editor.cancel();
    this.state.touch("edit", "hover");
  }

  cancelDrag() {
    if (!this.#drag) return false;
    this.gesture.drop();
    return true;
  }

  // ---- answering

  #committed({ command }) {
    const { selected, selection } = this.editor;
    this.#refreshList();
    const edge = selection.edge ?? command.edge;
    if (selected && edge)
      this.say(
        `${edge === "start" ? "Start" : "End"}: ${spokenEdge(selected, edge, this.editor.clock, this.snaps)}`,
      );
    else this.say(SAYS[command.type]);
  }

  /** Focus that was on something which is gone comes back to the timeline. */
  #refreshList() {
    requestAnimationFrame(() => {
      const lost = document.activeElement === document.body || document.activeElement === null;
      const open = this.editor.item !== null && document.querySelector("dialog[open]") === null;
      if (lost && open) this.focusTimeline();
    });
  }

  // ---- drawing

  showWords() {
    this.#drawEdits();
  }

  drawPlayer() {
    super.drawPlayer();
    for (const node of this.controls.moments) node.disabled = this.editor.moments.length === 0;
  }

  render(parts) {
    if (parts.has("value") || parts.has("viewport")) this.#drawLanesPresent();
    super.render(parts);
    if (parts.has("edit")) this.#drawEdits();
    if (parts.has("edit") || parts.has("player") || parts.has("playhead")) showBar(this.bar, this);
  }

  takeValue() {
    this.grabber.load(this.videoUrl || null, this.editor.clock); // before the loupe is drawn
    super.takeValue();
  }

  #drawLanesPresent() {
    for (const lane of this.lanes) lane.row.hidden = lane.present ? !lane.present(this.state) : false;
  }

  /** Only what an edit changes: the lanes of moments, the overview, the words. */
  #drawEdits() {
    const { state } = this;
    for (const lane of this.lanes) {
      if (lane.edits) {
        lane.place(lane.layer, state);
        setText(lane.note_node, lane.note?.(state) ?? "");
      } else if (lane.id === "model" && !this.dragging) lane.place(lane.layer, state);
    }
    if (!this.dragging) {
      showEditHead(this.head, this);
      this.captions?.(this.editor.moments);
    }
    showPanel(this.aside, this);
    return undefined;
  }

  foot() {
    return "";
  }
}

const SAYS = {
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
