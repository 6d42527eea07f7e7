/** Where an edge of the selected moment would lie if another source had won it: ticks in the lane of one's own moments. */

import { clock } from "./format.js";
import { counterpart, EDGES, overlapMs } from "./moments.js";

const SOURCES = { original: "The original’s", model: "The model’s" };
const REACH_PX = 6;

/** [{ lost, ms, edge, source }]: sources that overlap the selected moment and say something else; none in the blind arm. */
export function lostEdges({ selected, item }) {
  if (!selected || !item || item.arm === "blind") return [];
  return Object.keys(SOURCES).flatMap((source) => {
    const spans = (item[source]?.moments ?? []).filter((span) => overlapMs(span, selected) > 0);
    return EDGES.flatMap((edge) => {
      const ms = counterpart(selected, spans, edge)?.[`${edge}_ms`] ?? null;
      if (ms === null || ms === selected[`${edge}_ms`]) return [];
      return [{ lost: `${source} ${edge}`, ms, edge, source }];
    });
  });
}

/** What to say about the ticks near a time: "The model’s end: 0:04.40". */
export function sayLost(editor, viewport, time_s) {
  const near = ({ ms }) => Math.abs(viewport.x(ms / 1000) - viewport.x(time_s)) <= REACH_PX;
  return lostEdges(editor)
    .filter(near)
    .map(({ ms, edge, source }) => `${SOURCES[source]} ${edge}: ${clock(ms / 1000)}`);
}
