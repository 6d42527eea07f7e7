/** From key presses to actions: what each name in edit_keys.js does, and which presses are the timeline's at all. */

import { chordOf } from "./key_map.js";

const TYPING = "input, textarea, select, dialog, [contenteditable]:not([contenteditable=false])";

/** What every binding runs; the second argument says whether the key is being held. */
function commands(bench) {
  const { actions, transport } = bench;
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
    zoom: () => bench.cycleZoom(),
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
    noMoment: () => bench.askWhy(),
    flag: () => actions.flag(),
    comment: () => bench.comment.open_(),
    undo: () => actions.undo(),
    redo: () => actions.redo(),
    submit: () => bench.submit(),
    reopen: () => bench.reopen(),
    leave: () => leave(bench),
    help: () => actions.help(),
  };
}

/** Escape gives up the innermost thing: a drag, what plays, the edge, the selection. */
function leave(bench) {
  if (bench.cancelDrag() || bench.transport.stop()) return;
  if (bench.editor.selection.edge) bench.actions.leaveEdge();
  else bench.editor.select(null);
}

/** Keys count while the focus is in the timeline, or nowhere in particular. */
export function handleKeys(bench) {
  const { root, signal, keys } = bench;
  const run = commands(bench);
  const ours = (target) =>
    root.contains(target) || target === document.body || target === document.documentElement;
  const press = (event) => {
    if (event.defaultPrevented || event.isComposing || !ours(event.target) || !bench.editor.item) return;
    if (document.querySelector("dialog[open]")) return;
    const chord = chordOf(event);
    const field = event.target.closest(TYPING);
    if (field && !/^Ctrl\+(Shift\+)?key:Enter$/.test(chord ?? "")) return;
    field?.blur(); // what was typed counts before it is submitted
    if (bench.drill.press(event, chord) || pressesButton(event, chord)) return;
    const binding = keys.find(chord, bench.mode_);
    if (!binding) return;
    event.preventDefault();
    bench.editor.note({ key: !event.repeat });
    run[binding.id]({ held: event.repeat });
  };
  document.addEventListener("keydown", press, { signal });
  document.addEventListener("keyup", (event) => release(event, bench), { signal });
}

/** Space and Enter belong to a button that has the focus, except to a ghost, which Enter takes. */
function pressesButton(event, chord) {
  const control = event.target.closest("button, a, summary, label");
  if (!control || !["code:Space", "key:Enter", "Shift+key:Enter"].includes(chord)) return false;
  return !control.classList.contains("tl-ghost");
}

function release(event, bench) {
  if (bench.keys.chords("brake").includes(chordOf(event))) bench.transport.brake(false);
  if (bench.editor.previewing && !bench.dragging) bench.editor.settle();
}
