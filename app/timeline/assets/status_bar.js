/** Below the lanes: whether the picture is exact, what an edge snapped to, what plays; and buttons for fingers. */

import { button, el, setText } from "./dom.js";
import { timeText } from "./format.js";
import { originWords } from "./edit_lanes.js";
import { snapWords } from "./snapping.js";

export function buildStatusBar(view) {
  const { actions } = view;
  const truth = el("span", { className: "tl-badge" });
  const snap = button("tl-chip tl-snap", null, () => actions.snap(), { "aria-pressed": "true", title: "Snapping (S)" });
  const slipAttrs = { "aria-pressed": "false", title: "Drag whole moments (Shift + S)" };
  const slip = button("tl-chip", "Whole moments locked", () => actions.slip(), slipAttrs);
  const activity = el("span", { className: "tl-doing" });
  const message = el("p", { className: "tl-says", attrs: { role: "status", "aria-live": "polite" } });
  const layout = button("tl-chip tl-layout", null, () => view.changeLayout(), { title: "Change the layout (W)" });
  const apartTitle = { title: "The picture in a window of its own, for a second screen (Shift + W)" };
  const apart = button("tl-chip tl-layout", "Picture apart", () => view.pictureWindow.toggle(), apartTitle);
  const node = el("div", { className: "tl-status" }, truth, snap, slip, activity, message, layout, apart);
  return { node, truth, snap, slip, activity, message, layout, apart };
}

export function showStatusBar(bar, view) {
  const { state, editor } = view;
  const frame = state.frame_idx === null ? "" : ` · frame ${state.frame_idx}`;
  bar.truth.dataset.truth = state.truth ?? "waiting";
  const isKnown = state.truth && state.hasAxis;
  if (isKnown || !state.playable) setText(bar.truth, isKnown ? `${state.truth}${frame}` : "");
  setText(bar.snap, snapText(view));
  bar.snap.setAttribute("aria-pressed", String(view.snapping));
  bar.slip.setAttribute("aria-pressed", String(view.slip));
  setText(bar.slip, view.slip ? "Whole moments move" : "Whole moments locked");
  bar.layout.hidden = !view.layout;
  setText(bar.layout, view.layout?.words ?? "");
  bar.apart.setAttribute("aria-pressed", String(view.pictureWindow.open));
  setText(bar.activity, editor.item ? view.transport.words : "");
}

/** It always says what the edge in hand snapped to. */
function snapText({ snapping, target, editor, snaps }) {
  const { edge } = editor.selection;
  const moment = editor.selected;
  if (target) return `Snapped to ${snapWords(target)} at ${timeText(target.ms / 1000)}`;
  const state = snapping ? "Snap on" : "Snap off";
  return moment && edge ? `${state} · ${originWords(moment, edge, snaps)}` : state;
}

/** The same actions for thumbs: shown where a finger is the pointer, and for everybody on narrow screens. */
export function buildThumbs(view) {
  const { actions, transport } = view;
  const toggleEdge = (edge) => () =>
    view.editor.selection.edge === edge ? actions.leaveEdge() : actions.selectEdge(edge);
  const nudge = (change) => () => {
    if (view.editor.selection.edge) actions.nudge(change);
    else if (change.frames) actions.step(change.frames);
    else actions.seekBy(change.ms / 1000);
  };
  const playEdge = (edge) => () => (actions.selectEdge(edge), transport.auditionEdge());
  const thumb = ([text, title, run]) => button("tl-small tl-thumb", el("span", { text }), run, { title });
  const before = [
    ["⟸ 1 s", "One second back", nudge({ ms: -1000 })],
    ["◀ 1 f", "One frame back", nudge({ frames: -1 })],
    ["1 f ▶", "One frame on", nudge({ frames: 1 })],
    ["1 s ⟹", "One second on", nudge({ ms: 1000 })],
    ["Start edge", "Work on the start", toggleEdge("start")],
    ["End edge", "Work on the end", toggleEdge("end")],
    ["Start now", "Start at the playhead", () => transport.mark("start")],
    ["End now", "End at the playhead", () => transport.mark("end")],
    ["Play start", "Loop around the start", playEdge("start")],
    ["Play end", "Loop around the end", playEdge("end")],
  ];
  const after = [
    ["New", "New moment at the playhead", () => actions.add()],
    ["Undo", "Undo", () => actions.undo()],
    ["Redo", "Redo", () => actions.redo()],
    ["No moment", "No matching moment", () => view.askWhy()],
  ];
  const switches = [
    stickyButton(view, "Fine + push", "A pixel is a frame, neighbours make way", "fine"),
    stickyButton(view, "Snap", "Snapping", "snapping"),
  ];
  const attrs = { role: "group", "aria-label": "Editing" };
  return el("div", { className: "tl-thumbs", attrs }, ...before.map(thumb), ...switches, ...after.map(thumb));
}

/** A switch that stands for a modifier key. */
function stickyButton(view, text, title, property) {
  const toggle = () => {
    view[property] = !view[property];
    node.setAttribute("aria-pressed", String(view[property]));
    view.state.touch("edit");
  };
  const attrs = { title, "aria-pressed": String(view[property]) };
  const node = button("tl-small tl-thumb", el("span", { text }), toggle, attrs);
  return node;
}
