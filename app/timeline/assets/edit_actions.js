/** What keys, buttons and pointers do to moments. `bench` is the workbench: editor, player, state, and its words. */

const CLIP_MS = 2000;
const DOUBTS_MS = [null, 500, 1000, 2000];

export function editActions(editorView) {
  const { editor, state } = editorView;
  const seekMs = (ms) => editorView.seekMs(ms);
  const clip_ms = () => editor.item?.grid_ms ?? CLIP_MS;

  /** The selected moment, or else the one at the playhead, or else the nearest; it becomes the selected one. */
  function current() {
    if (editor.selected) return editor.selected;
    const here = editorView.playhead_ms;
    const away = (m) => (here < m.start_ms ? m.start_ms - here : Math.max(0, here - m.end_ms));
    const found = editor.moments.reduce((a, b) => (a && away(a) <= away(b) ? a : b), null);
    if (found) editor.select({ id: found.id });
    else editorView.say("There is no moment yet: press N for one at the playhead.");
    return found;
  }

  function selectEdge(edge, id = null) {
    const moment = id === null ? current() : editor.moments.find((m) => m.id === id);
    if (!moment) return;
    editor.select({ id: moment.id, edge });
    editorView.showEdge(edge, moment[`${edge}_ms`]);
    focusEdge();
  }

  function focusEdge() {
    const { id, edge } = editor.selection;
    editorView.focusEdge(id, edge);
  }

  function leaveEdge() {
    const { id } = editor.selection;
    editor.select({ id });
    editorView.focusTimeline();
  }

  /** Move the active edge. A key that is held is one gesture: it ends when the key comes up. */
  function nudge(change, { held = false } = {}) {
    const { id, edge } = editor.selection;
    const moment = editor.selected;
    if (!moment || !edge) return;
    if (!held) editor.settle();
    const before = moment[`${edge}_ms`];
    editor.preview({ type: "nudgeEdge", id, edge, ...change }, { ongoing: held });
    const after = editor.selected[`${edge}_ms`];
    if (after === before) editorView.say("The edge cannot go further.");
    editorView.showEdge(edge, after);
    editorView.settleSoon();
  }

  function applyToEdge(command) {
    const { id, edge } = editor.selection;
    if (!editor.selected || !edge) return editorView.say("Choose an edge first: [ or ].");
    editor.apply({ id, edge, ...command });
    return editorView.showEdge(edge, editor.selected[`${edge}_ms`]);
  }

  function take(source, edge) {
    if (source === "model" && !editor.item?.model) return editorView.say(editorView.noModelWords);
    const moment = current();
    if (!moment) return undefined;
    const done = editor.apply({ type: "takeEdge", id: moment.id, edge, source });
    if (done) editorView.showEdge(edge, editor.selected[`${edge}_ms`]);
    return undefined;
  }

  function selectMoment(moment) {
    editor.select({ id: moment.id });
    seekMs(moment.start_ms);
    editorView.focusTimeline();
  }

  /** The moment before or after the selected one, or before or after the playhead; it stops at the ends. */
  function neighbour(direction) {
    if (editor.selection.lane === "model") return neighbourGhost(direction);
    const { moments, selected } = editor;
    if (moments.length === 0) return editorView.say("There is no moment yet: press N for one at the playhead.");
    const here = editorView.playhead_ms;
    const after = direction > 0;
    const idx = selected
      ? moments.indexOf(selected) + direction
      : after
        ? moments.findIndex((m) => m.start_ms >= here)
        : moments.findLastIndex((m) => m.start_ms <= here);
    const last = moments.length - 1;
    return selectMoment(moments[idx < 0 ? (after && !selected ? last : 0) : Math.min(last, idx)]);
  }

  function ghosts() {
    return editor.item?.model?.moments ?? [];
  }

  function neighbourGhost(direction) {
    const last = ghosts().length - 1;
    selectGhost(Math.min(last, Math.max(0, editor.selection.id + direction)));
  }

  function selectGhost(idx) {
    const ghost = ghosts()[idx];
    if (!ghost) return;
    editor.select({ id: idx, lane: "model" });
    seekMs(ghost.start_ms);
    editorView.focusGhost(idx);
  }

  function toModel() {
    if (editor.selection.lane === "model") {
      editor.select(editor.moments[0] ? { id: editor.moments[0].id } : null);
      return editorView.focusTimeline();
    }
    if (ghosts().length === 0) return editorView.say(editorView.noModelWords);
    const waiting = ghosts().findIndex((g, idx) => !editor.doc.rejected.includes(idx) && !isMine(g));
    return selectGhost(Math.max(0, waiting));
  }

  const isMine = (span) =>
    editor.moments.some((m) => m.start_ms === span.start_ms && m.end_ms === span.end_ms);

  function accept() {
    const { lane, id } = editor.selection;
    if (lane === "model") {
      editor.apply({ type: "acceptModel", index: id });
      return editorView.focusTimeline();
    }
    if (editor.moments.length === 0) return acceptAll();
    const { moments, selected } = editor;
    const next = moments[moments.indexOf(selected) + 1];
    if (selected && !next) return editorView.say("That was the last moment. Ctrl + Enter submits.");
    return selectMoment(next ?? moments[0]);
  }

  function acceptAll() {
    if (!editor.item?.model) return editorView.say(editorView.noModelWords);
    if (editor.apply({ type: "acceptAll", source: "model" }) && editor.moments[0])
      selectMoment(editor.moments[0]);
    return undefined;
  }

  function reject() {
    const { lane, id } = editor.selection;
    const at_ms = editorView.playhead_ms;
    const index = lane === "model" ? id : ghosts().findIndex((g) => at_ms >= g.start_ms && at_ms < g.end_ms);
    if (index < 0) return editorView.say("Choose one of the model’s moments first: V.");
    editor.apply({ type: "rejectModel", index });
    return editorView.say(editor.doc.rejected.includes(index) ? "Rejected." : "No longer rejected.");
  }

  function add() {
    const at_ms = editorView.playhead_ms;
    const likely = editorView.transport.likelyHere(at_ms);
    const span = likely ?? { start_ms: at_ms, end_ms: at_ms + clip_ms() };
    if (editor.apply({ type: "newMoment", ...span, at_ms })) editorView.focusTimeline();
  }

  function remove() {
    const { lane, id } = editor.selection;
    if (lane === "model") return reject();
    if (!editor.selected) return editorView.say("Choose a moment first: ↑ or ↓.");
    editor.apply({ type: "deleteMoment", id });
    return editorView.focusTimeline();
  }

  function merge() {
    const moment = current();
    if (moment) editor.apply({ type: "merge", id: moment.id });
  }

  function split() {
    const ms = editorView.playhead_ms;
    const inside = editor.moments.find((m) => ms > m.start_ms && ms < m.end_ms);
    editor.apply({ type: "split", id: inside?.id ?? -1, ms });
  }

  /** Certain, then half a second, one and two on either side, then certain again. */
  function doubt() {
    const { edge } = editor.selection;
    const moment = editor.selected;
    if (!moment || !edge) return editorView.say("Choose an edge first: [ or ].");
    const idx = DOUBTS_MS.indexOf(moment[`${edge}_uncertainty_ms`]);
    const ms = DOUBTS_MS[(idx + 1) % DOUBTS_MS.length];
    editor.apply({ type: "setUncertainty", id: moment.id, edge, ms });
    return undefined;
  }

  function travel(way) {
    if (!editor[way]()) return;
    const { edge } = editor.selection;
    if (editor.selected) editorView.showEdge(edge ?? "start", editor.selected[`${edge ?? "start"}_ms`]);
    if (edge) focusEdge();
  }

  function toggle(name, words) {
    editorView[name] = !editorView[name];
    editorView.say(`${words} ${editorView[name] ? "on" : "off"}.`);
    state.touch("edit");
  }

  return {
    selectEdge,
    focusEdge,
    leaveEdge,
    nudge,
    take,
    selectMoment,
    selectGhost,
    toModel,
    accept,
    acceptAll,
    reject,
    add,
    remove,
    merge,
    split,
    doubt,
    previous: () => neighbour(-1),
    next: () => neighbour(1),
    nudgeFrames: (frames, options) => nudge({ frames }, options),
    nudgeMs: (ms, options) => nudge({ ms }, options),
    nudgeClip: (sign, options) => nudge({ ms: sign * clip_ms() }, options),
    toLimit: (limit) => applyToEdge({ type: "toLimit", limit }),
    clipBy: (sign) => editorView.seekMs(editorView.playhead_ms + sign * clip_ms()),
    undo: () => travel("undo"),
    redo: () => travel("redo"),
    snap: () => toggle("snapping", "Snapping"),
    slip: () => toggle("slip", "Dragging whole moments"),
    flag: () => editor.apply({ type: "setFlag", value: !editor.doc.flagged }),
    setTime: (id, edge, seconds) => {
      const ms = Math.round(seconds * 1000);
      const moment = editor.moments.find((m) => m.id === id);
      if (!moment || !Number.isFinite(ms) || moment[`${edge}_ms`] === ms) return;
      editor.apply({ type: "setEdge", id, edge, ms });
      editor.select({ id, edge });
      if (editor.selected) editorView.showEdge(edge, editor.selected[`${edge}_ms`]);
    },
    pressMoment: (id, time_s) => {
      if (editorView.pressedTwice(id))
        return editorView.transport.auditionMoment(editor.moments.find((m) => m.id === id));
      editor.select({ id });
      return editorView.seekMs(time_s * 1000);
    },
    pressEmpty: (time_s) => {
      editor.select(null);
      editorView.seekMs(time_s * 1000);
    },
  };
}
