/** Below the lanes: whether the picture is exact, what an edge snapped to, what plays; and buttons for fingers. */

import { button } from "./edit_panel.js";
import { el, setText } from "./dom.js";
import { clock } from "./format.js";
import { originWords } from "./own_lane.js";
import { snapWords } from "./snapping.js";

export function buildBar(editorView) {
  const truth = el("span", { className: "tl-badge" });
  const snap = el("button", {
    className: "tl-chip tl-snap",
    attrs: { type: "button", "aria-pressed": "true", title: "Snapping (S)" },
    on: { click: () => editorView.actions.snap() },
  });
  const slip = el("button", {
    className: "tl-chip",
    text: "Whole moments locked",
    attrs: { type: "button", "aria-pressed": "false", title: "Drag whole moments (Shift + S)" },
    on: { click: () => editorView.actions.slip() },
  });
  const doing = el("span", { className: "tl-doing" });
  const says = el("p", { className: "tl-says", attrs: { role: "status", "aria-live": "polite" } });
  const node = el("div", { className: "tl-status" }, truth, snap, slip, doing, says);
  return { node, truth, snap, slip, doing, says };
}

export function showBar(bar, editorView) {
  const { state, editor } = editorView;
  const frame = state.frame_idx === null ? "" : ` · frame ${state.frame_idx}`;
  bar.truth.dataset.truth = state.truth ?? "waiting";
  const known = state.truth && state.hasAxis;
  if (known || !state.playable) setText(bar.truth, known ? `${state.truth}${frame}` : "");
  setText(bar.snap, snapText(editorView));
  bar.snap.setAttribute("aria-pressed", String(editorView.snapping));
  bar.slip.setAttribute("aria-pressed", String(editorView.slip));
  setText(bar.slip, editorView.slip ? "Whole moments move" : "Whole moments locked");
  setText(bar.doing, editor.item ? editorView.transport.words : "");
}

/** It always says what the edge in hand snapped to. */
function snapText({ snapping, target, editor, snaps }) {
  const { edge } = editor.selection;
  const moment = editor.selected;
  if (target) return `Snapped to ${snapWords(target)} at ${clock(target.ms / 1000)}`;
  if (moment && edge) return `${snapping ? "Snap on" : "Snap off"} · ${originWords(moment, edge, snaps)}`;
  return snapping ? "Snap on" : "Snap off";
}

/** The same for thumbs: shown where a finger is the pointer, and for everybody on narrow screens. */
export function buildThumbs(editorView) {
  const { actions, transport } = editorView;
  const edge = (name) => () =>
    editorView.editor.selection.edge === name ? actions.leaveEdge() : actions.selectEdge(name);
  const press = (text, label, run) => titled(button(text, "", run, { className: "tl-thumb" }), label);
  const nudge = (change) => () => {
    if (editorView.editor.selection.edge) actions.nudge(change);
    else if (change.frames) actions.step(change.frames);
    else actions.seekBy(change.ms / 1000);
  };
  return el(
    "div",
    { className: "tl-thumbs", attrs: { role: "group", "aria-label": "Editing" } },
    press("⟸ 1 s", "One second back", nudge({ ms: -1000 })),
    press("◀ 1 f", "One frame back", nudge({ frames: -1 })),
    press("1 f ▶", "One frame on", nudge({ frames: 1 })),
    press("1 s ⟹", "One second on", nudge({ ms: 1000 })),
    press("Start edge", "Work on the start", edge("start")),
    press("End edge", "Work on the end", edge("end")),
    press("Start now", "Start at the playhead", () => transport.mark("start")),
    press("End now", "End at the playhead", () => transport.mark("end")),
    press(
      "Play start",
      "Loop around the start",
      () => (actions.selectEdge("start"), transport.auditionEdge()),
    ),
    press("Play end", "Loop around the end", () => (actions.selectEdge("end"), transport.auditionEdge())),
    sticky(editorView, "Fine + push", "A pixel is a frame, neighbours make way", "fine"),
    sticky(editorView, "Snap", "Snapping", "snapping"),
    press("New", "New moment at the playhead", () => actions.add()),
    press("Undo", "Undo", () => actions.undo()),
    press("Redo", "Redo", () => actions.redo()),
    press("No moment", "No matching moment", () => editorView.askWhy()),
  );
}

/** What a button does, said beside its name, which is the text on it. */
function titled(node, says) {
  node.title = says;
  return node;
}

/** A switch that stands for a modifier key. */
function sticky(editorView, text, label, name) {
  const node = titled(button(text, "", () => show(!editorView[name]), { className: "tl-thumb" }), label);
  const show = (on) => {
    editorView[name] = on;
    node.setAttribute("aria-pressed", String(on));
    editorView.state.touch("edit");
  };
  node.setAttribute("aria-pressed", String(editorView[name]));
  return node;
}
