/** From key presses to actions: what each name in edit_keys.js does, and which presses are the timeline's at all. */

import { chordOf } from "./key_map.js";

const TYPING = "input, textarea, select, dialog, [contenteditable]:not([contenteditable=false])";

/** What every binding runs; the second argument says whether the key is being held. */
function commands(editorView) {
  const { actions, transport } = editorView;
  return {
    toggle: () => transport.toggle(),
    brake: ({ held }) => held || transport.brake(true),
    slower: () => transport.slower(),
    faster: () => transport.faster(),
    frameBack: () => actions.step(-1),
    frameOn: () => actions.step(1),
    secondBack: () => actions.seekBy(-1),
    secondOn: () => actions.seekBy(1),
    clipBack: () => actions.clipBy(-1),
    clipOn: () => actions.clipBy(1),
    toStart: () => actions.seekTo(0),
    toEnd: () => actions.seekTo(Infinity),
    previous: () => actions.previous(),
    next: () => actions.next(),
    auditionEdge: () => transport.auditionEdge(),
    auditionMoment: () => transport.auditionMoment(),
    gaps: () => transport.gaps(),
    zoom: () => editorView.cycleZoom(),
    zoomIn: () => actions.zoom(1.6),
    zoomOut: () => actions.zoom(1 / 1.6),
    startEdge: () => actions.selectEdge("start"),
    endEdge: () => actions.selectEdge("end"),
    markStart: () => transport.mark("start"),
    markEnd: () => transport.mark("end"),
    modelStart: () => actions.take("model", "start"),
    modelEnd: () => actions.take("model", "end"),
    originalStart: () => actions.take("original", "start"),
    originalEnd: () => actions.take("original", "end"),
    doubt: () => actions.doubt(),
    snap: () => actions.snap(),
    slip: () => actions.slip(),
    edgeBack: (press) => actions.nudgeFrames(-1, press),
    edgeOn: (press) => actions.nudgeFrames(1, press),
    edgeSecondBack: (press) => actions.nudgeMs(-1000, press),
    edgeSecondOn: (press) => actions.nudgeMs(1000, press),
    edgeHalfBack: (press) => actions.nudgeMs(-500, press),
    edgeHalfOn: (press) => actions.nudgeMs(500, press),
    edgeClipBack: (press) => actions.nudgeClip(-1, press),
    edgeClipOn: (press) => actions.nudgeClip(1, press),
    edgeLeast: () => actions.toLimit("least"),
    edgeMost: () => actions.toLimit("most"),
    add: () => actions.add(),
    split: () => actions.split(),
    merge: () => actions.merge(),
    remove: () => actions.remove(),
    accept: () => actions.accept(),
    acceptAll: () => actions.acceptAll(),
    reject: () => actions.reject(),
    toModel: () => actions.toModel(),
    noMoment: () => editorView.askWhy(),
    flag: () => actions.flag(),
    comment: () => editorView.comment.open_(),
    undo: () => actions.undo(),
    redo: () => actions.redo(),
    submit: () => editorView.submit(),
    reopen: () => editorView.reopen(),
    leave: () => leave(editorView),
    help: () => actions.help(),
  };
}

/** Escape gives up the innermost thing: a drag, what plays, the edge, the selection. */
function leave(editorView) {
  if (editorView.cancelDrag() || editorView.transport.stop()) return;
  if (editorView.editor.selection.edge) editorView.actions.leaveEdge();
  else editorView.editor.select(null);
}

/** Keys count while the focus is in the timeline, or nowhere in particular. */
export function handleKeys(editorView) {
  const { root, signal, keys } = editorView;
  const run = commands(editorView);
  const ours = (target) =>
    root.contains(target) || target === document.body || target === document.documentElement;
  const press = (event) => {
    if (event.defaultPrevented || event.isComposing || !ours(event.target) || !editorView.editor.item) return;
    if (document.querySelector("dialog[open]")) return;
    const chord = chordOf(event);
    const field = event.target.closest(TYPING);
    if (field && !/^Ctrl\+(Shift\+)?key:Enter$/.test(chord ?? "")) return;
    field?.blur(); // what was typed counts before it is submitted
    if (editorView.tutorial.press(event, chord) || pressesButton(event, chord)) return;
    const binding = keys.find(chord, editorView.mode_);
    if (!binding) return;
    event.preventDefault();
    editorView.editor.note({ key: !event.repeat });
    run[binding.id]({ held: event.repeat });
  };
  document.addEventListener("keydown", press, { signal });
  document.addEventListener("keyup", (event) => release(event, editorView), { signal });
}

/** Space and Enter belong to a button that has the focus, except to a ghost, which Enter takes. */
function pressesButton(event, chord) {
  const control = event.target.closest("button, a, summary, label");
  if (!control || !["code:Space", "key:Enter", "Shift+key:Enter"].includes(chord)) return false;
  return !control.classList.contains("tl-ghost");
}

function release(event, editorView) {
  if (editorView.keys.chords("brake").includes(chordOf(event))) editorView.transport.brake(false);
  if (editorView.editor.previewing && !editorView.dragging) editorView.editor.settle();
}
