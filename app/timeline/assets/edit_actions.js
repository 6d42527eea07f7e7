/** What keys, buttons and pointers do to moments. `view` is the EditorView: editor, player, state, and its words. */

import { percent } from "./format.js";
import { likelyWindows, overlapMs } from "./moments.js";
import { snapSource } from "./snapping.js";

const CLIP_MS = 2000;
export const NO_MOMENT = "There is no moment yet: press N for one at the playhead.";
const DOUBTS_MS = [null, 500, 1000, 2000];

export function editActions(view) {
  const { editor, state } = view;
  const clip_ms = () => editor.item?.grid_ms ?? CLIP_MS;

  /** The selected moment, or else the one at the playhead, or else the nearest; it becomes the selected one. */
  function current() {
    if (editor.selected) return editor.selected;
    const here = view.playhead_ms;
    const distance = (m) => (here < m.start_ms ? m.start_ms - here : Math.max(0, here - m.end_ms));
    const nearest = editor.moments.reduce((a, b) => (a && distance(a) <= distance(b) ? a : b), null);
    if (nearest) editor.select({ id: nearest.id });
    else view.say(NO_MOMENT);
    return nearest;
  }

  function selectEdge(edge, id = null) {
    const moment = id === null ? current() : editor.moments.find((m) => m.id === id);
    if (!moment) return;
    editor.select({ id: moment.id, edge });
    if (!view.transport.loopEdge()) view.showEdge(edge, moment[`${edge}_ms`]);
    focusEdge();
  }

  function focusEdge() {
    const { id, edge } = editor.selection;
    view.focusEdge(id, edge);
  }

  function leaveEdge() {
    const { id } = editor.selection;
    editor.select({ id });
    view.focusTimeline();
  }

  /** Move the active edge. A key that is held is one gesture: it ends when the key comes up. */
  function nudge(change, { repeat = false } = {}) {
    const { id, edge } = editor.selection;
    const moment = editor.selected;
    if (!moment || !edge) return;
    if (!repeat) editor.settle();
    const before = moment[`${edge}_ms`];
    editor.preview({ type: "nudgeEdge", id, edge, ...change }, { ongoing: repeat });
    const after = editor.selected[`${edge}_ms`];
    if (after === before) view.say("The edge cannot go further.");
    view.showEdge(edge, after);
    view.settleSoon();
  }

  function applyToEdge(command) {
    const { id, edge } = editor.selection;
    if (!editor.selected || !edge) return view.say("Choose an edge first: [ or ].");
    editor.apply({ id, edge, ...command });
    return view.showEdge(edge, editor.selected[`${edge}_ms`]);
  }

  function take(source, edge) {
    if (source === "model" && !editor.item?.model) return view.say(view.noModelWords);
    const moment = current();
    if (!moment) return undefined;
    const hasChanged = editor.apply({ type: "takeEdge", id: moment.id, edge, source });
    if (hasChanged) view.showEdge(edge, editor.selected[`${edge}_ms`]);
    return undefined;
  }

  function selectMoment(moment) {
    editor.select({ id: moment.id });
    view.seekMs(moment.start_ms);
    view.focusTimeline();
  }

  /** The moment before or after the selected one, or before or after the playhead; it stops at the ends. */
  function neighbour(direction) {
    const { moments, selected, selection } = editor;
    if (selection.lane === "model")
      return selectGhost(Math.min(ghosts().length - 1, Math.max(0, selection.id + direction)));
    if (moments.length === 0) return view.say(NO_MOMENT);
    const here = view.playhead_ms;
    const isForward = direction > 0;
    const idx = selected
      ? moments.indexOf(selected) + direction
      : isForward
        ? moments.findIndex((m) => m.start_ms >= here)
        : moments.findLastIndex((m) => m.start_ms <= here);
    const last = moments.length - 1;
    return selectMoment(moments[idx < 0 ? (isForward && !selected ? last : 0) : Math.min(last, idx)]);
  }

  const ghosts = () => editor.item?.model?.moments ?? [];

  function selectGhost(idx) {
    const ghost = ghosts()[idx];
    if (!ghost) return;
    editor.select({ id: idx, lane: "model" });
    view.seekMs(ghost.start_ms);
    view.focusGhost(idx);
  }

  function toModel() {
    if (editor.selection.lane === "model") {
      editor.select(editor.moments[0] ? { id: editor.moments[0].id } : null);
      return view.focusTimeline();
    }
    if (ghosts().length === 0) return view.say(view.noModelWords);
    const isOwn = (span) => editor.moments.some((m) => m.start_ms === span.start_ms && m.end_ms === span.end_ms);
    const open_idx = ghosts().findIndex((ghost, idx) => !editor.doc.rejected.includes(idx) && !isOwn(ghost));
    return selectGhost(Math.max(0, open_idx));
  }

  function accept() {
    const { lane, id } = editor.selection;
    if (lane === "model") {
      editor.apply({ type: "acceptModel", index: id });
      return view.focusTimeline();
    }
    if (editor.moments.length === 0) return acceptAll();
    const { moments, selected } = editor;
    const next = moments[moments.indexOf(selected) + 1];
    if (selected && !next) return view.say("That was the last moment. Ctrl + Enter submits.");
    return selectMoment(next ?? moments[0]);
  }

  function acceptAll() {
    if (!editor.item?.model) return view.say(view.noModelWords);
    if (editor.apply({ type: "acceptAll", source: "model" }) && editor.moments[0])
      selectMoment(editor.moments[0]);
    return undefined;
  }

  function reject() {
    const { lane, id } = editor.selection;
    const at_ms = view.playhead_ms;
    const index = lane === "model" ? id : ghosts().findIndex((g) => at_ms >= g.start_ms && at_ms < g.end_ms);
    if (index < 0) return view.say("Choose one of the model’s moments first: V.");
    editor.apply({ type: "rejectModel", index });
    return view.say(editor.doc.rejected.includes(index) ? "Rejected." : "No longer rejected.");
  }

  function add(at_ms = view.playhead_ms) {
    const span = view.transport.likelySpanAt(at_ms) ?? { start_ms: at_ms, end_ms: at_ms + clip_ms() };
    if (!editor.apply({ type: "newMoment", ...span, at_ms })) return;
    // Its end is the next to be set. What plays goes on, so that the end can be marked by eye or ear.
    editor.select({ id: editor.selected.id, edge: "end" });
    view.transport.loopNew();
    if (!view.player.going) view.showEdge("end", editor.selected.end_ms);
    focusEdge();
  }

  function remove() {
    const { lane, id } = editor.selection;
    if (lane === "model") return reject();
    if (!editor.selected) return view.say("Choose a moment first: ↑ or ↓.");
    editor.apply({ type: "deleteMoment", id });
    return view.focusTimeline();
  }

  function merge() {
    const moment = current();
    if (moment) editor.apply({ type: "merge", id: moment.id });
  }

  function split() {
    const ms = view.playhead_ms;
    const inside = editor.moments.find((m) => ms > m.start_ms && ms < m.end_ms);
    editor.apply({ type: "split", id: inside?.id ?? -1, ms });
  }

  /** Certain, then half a second, one and two on either side, then certain again. */
  function doubt() {
    const { edge } = editor.selection;
    const moment = editor.selected;
    if (!moment || !edge) return view.say("Choose an edge first: [ or ].");
    const idx = DOUBTS_MS.indexOf(moment[`${edge}_uncertainty_ms`]);
    const ms = DOUBTS_MS[(idx + 1) % DOUBTS_MS.length];
    editor.apply({ type: "setUncertainty", id: moment.id, edge, ms });
    return undefined;
  }

  /** Where the active edge goes, with what it then stands on; without one, the playhead. */
  function goTo(place) {
    const { id, edge } = editor.selection;
    if (!edge || !editor.selected) return view.seekMs(place.ms);
    const hasChanged = editor.apply({ type: "setEdge", id, edge, ms: place.ms, source: place.source, exact: true });
    return hasChanged && view.showEdge(edge, editor.selected[`${edge}_ms`]);
  }

  /** The nearest of `places` before or after the active edge, or the playhead: on to the next frame at least. */
  function beyond(places, direction) {
    const { edge } = editor.selection;
    const here = editor.selected && edge ? editor.selected[`${edge}_ms`] : view.playhead_ms;
    const here_idx = editor.clock.frame(here);
    const ahead = places
      .filter(({ ms }) => (editor.clock.frame(ms) - here_idx) * direction > 0)
      .sort((a, b) => (a.ms - b.ms) * direction);
    return ahead[0] ?? null;
  }

  function toShot(direction) {
    const shots = view.snaps.filter(({ kind }) => kind === "shot");
    const shot = beyond(shots, direction);
    if (shot) return goTo({ ms: shot.ms, source: "snap" });
    return view.say(`There is no shot change ${direction > 0 ? "after" : "before"} this.`);
  }

  /** Edges of what is shown: released, proposed, other people's, one's own; an edge in hand leaves out its own lane. */
  function toAnyEdge(direction) {
    const lanes = view.snaps.filter(({ kind }) => ["original", "model", "other"].includes(kind));
    const own = editor.moments.flatMap(({ start_ms, end_ms }) => [{ ms: start_ms }, { ms: end_ms }]);
    const edge = beyond(editor.selection.edge ? lanes : [...lanes, ...own], direction);
    if (edge) return goTo({ ms: edge.ms, source: edge.kind ? snapSource(edge) : "hand" });
    return view.say(`There is no edge ${direction > 0 ? "after" : "before"} this.`);
  }

  /** The likeliest windows of the model that one's own moments do not cover yet, one after the other. */
  function toLikelyPlace() {
    const windows = likelyWindows({ ...editor.item, saliency: [] }, state.value.ranked);
    const isOwn = (window) => editor.moments.some((moment) => overlapMs(moment, window) > 0);
    const places = windows.filter((window) => !isOwn(window)).sort((a, b) => b.p - a.p);
    const apart = places.filter((place, idx) => !places.slice(0, idx).some((other) => overlapMs(other, place) > 0));
    if (apart.length === 0) return view.say(editor.item?.model ? "The model has no other place." : view.noModelWords);
    const here = view.playhead_ms;
    const idx = (apart.findIndex(({ start_ms, end_ms }) => here >= start_ms && here < end_ms) + 1) % apart.length;
    if (editor.selection.edge) editor.select({ id: editor.selection.id });
    view.seekMs(apart[idx].start_ms);
    view.focusTimeline();
    return view.say(`Place ${idx + 1} of ${apart.length}, ${percent(apart[idx].p)} likely · N adds one here`);
  }

  /** As far again as the last correction moved its edge. */
  function repeatOffset() {
    const { last_offset_ms } = editor;
    if (last_offset_ms === null) return view.say("No edge was moved yet.");
    return applyToEdge({ type: "nudgeEdge", ms: last_offset_ms, repeats: true });
  }

  function travel(direction) {
    if (!editor[direction]()) return;
    const { edge } = editor.selection;
    if (editor.selected) view.showEdge(edge ?? "start", editor.selected[`${edge ?? "start"}_ms`]);
    if (edge) focusEdge();
  }

  function toggle(property, text) {
    view[property] = !view[property];
    view.say(`${text} ${view[property] ? "on" : "off"}.`);
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
    toShot,
    toAnyEdge,
    toLikelyPlace,
    repeatOffset,
    doubt,
    previous: () => neighbour(-1),
    next: () => neighbour(1),
    nudgeClip: (sign, press) => nudge({ ms: sign * clip_ms() }, press),
    toLimit: (limit) => applyToEdge({ type: "toLimit", limit }),
    clipBy: (sign) => view.seekMs(view.playhead_ms + sign * clip_ms()),
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
      if (editor.selected) view.showEdge(edge, editor.selected[`${edge}_ms`]);
    },
    pressMoment: (id, time_s) => {
      if (view.pointer.pressedTwice(id))
        return view.transport.auditionMoment(editor.moments.find((m) => m.id === id));
      editor.select({ id });
      return view.seekMs(time_s * 1000);
    },
    pressEmpty: (time_s) => {
      editor.select(null);
      // Beside other moments a click seeks, as in every lane.
      if (editor.doc.verdict === "moments" && editor.moments.length === 0) return add(time_s * 1000);
      return view.seekMs(time_s * 1000);
    },
  };
}
