/** The zoom presets: everything, the selected moment, the edge (or the playhead). */

const EDGE_REACH_S = 2;
const MARGIN = 0.1;

/** Show the next preset; `place` is the last one's number, the new one's is returned. */
export function nextZoom({ editor, state }, place) {
  const { viewport } = state;
  const moment = editor.selected;
  const { edge } = editor.selection;
  const at_s = edge && moment ? moment[`${edge}_ms`] / 1000 : state.playhead_s;
  const presets = [() => viewport.fit(), () => viewport.show(at_s - EDGE_REACH_S, at_s + EDGE_REACH_S)];
  if (moment) presets.splice(1, 0, () => showMoment(viewport, moment));
  const next = (place + 1) % presets.length;
  presets[next]();
  state.touch("viewport", "playhead");
  return next;
}

function showMoment(viewport, { start_ms, end_ms }) {
  const margin_s = ((end_ms - start_ms) / 1000) * MARGIN;
  viewport.show(start_ms / 1000 - margin_s, end_ms / 1000 + margin_s);
}
