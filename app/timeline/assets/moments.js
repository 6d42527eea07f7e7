/**
 * Lists of moments as plain data: sorted, never overlapping, each at least one frame long. A moment is
 * { id, start_ms, end_ms, start_source, end_source, start_uncertainty_ms, end_uncertainty_ms }, half open.
 * Nothing here changes its arguments.
 */

export const EDGES = ["start", "end"];

export function makeMoment(id, start_ms, end_ms, start_source = "hand", end_source = start_source) {
  return {
    id,
    start_ms,
    end_ms,
    start_source,
    end_source,
    start_uncertainty_ms: null,
    end_uncertainty_ms: null,
  };
}

/** The least and the greatest value of an edge: its own moment stays a frame long, neighbours stay where they are. */
export function edgeLimits(moments, idx, edge, clock, push = false) {
  const moment = moments[idx];
  const before_ms = push ? clock.ms(idx) : (moments[idx - 1]?.end_ms ?? 0);
  const after_ms = push ? clock.ms(clock.count - (moments.length - 1 - idx)) : moments[idx + 1]?.start_ms;
  if (edge === "start") return [before_ms, clock.stepped(moment.end_ms, -1)];
  const last_ms = after_ms ?? Math.max(clock.end_ms, moment.end_ms);
  return [clock.stepped(moment.start_ms, 1), last_ms];
}

/** The list with one edge moved to `ms` (kept within its limits), or the same list when nothing changes. */
export function moveEdge(moments, idx, edge, ms, source, clock, push = false) {
  const [least, most] = edgeLimits(moments, idx, edge, clock, push);
  if (least > most) return moments;
  const placed = Math.min(most, Math.max(least, ms));
  const moment = moments[idx];
  const kept = placed === ms || source === "hand" ? source : "hand"; // stopped on the way: no longer its source's value
  if (moment[`${edge}_ms`] === placed && (kept === "hand" || moment[`${edge}_source`] === kept))
    return moments;
  const moved = { ...moment, [`${edge}_ms`]: placed, [`${edge}_source`]: kept };
  const list = moments.with(idx, moved);
  return push ? pushed(list, idx, clock) : list;
}

/**
 * An edge put at the playhead. Beyond its own moment's other edge the moment comes along, in its length, as far as
 * there is room; inside another moment nothing changes.
 */
export function markEdge(moments, idx, edge, ms, clock) {
  const moment = moments[idx];
  const within = edge === "start" ? ms < moment.end_ms : ms > moment.start_ms;
  if (within) return moveEdge(moments, idx, edge, ms, "hand", clock);
  const rest = moments.toSpliced(idx, 1);
  const room = freeAround(rest, edge === "start" ? ms : clock.stepped(ms, -1), clock);
  if (!room) return moments;
  const length_ms = moment.end_ms - moment.start_ms;
  const [start_ms, end_ms] =
    edge === "start"
      ? [ms, Math.min(room[1], clock.boundary(ms + length_ms))]
      : [Math.max(room[0], clock.boundary(ms - length_ms)), ms];
  return end_ms > start_ms ? placed(rest, shifted(moment, start_ms, end_ms)) : moments;
}

/** Neighbours make way: first their near edge, then, a frame long, the whole of them. */
function pushed(moments, idx, clock) {
  const list = [...moments];
  for (let k = idx + 1; k < list.length && list[k].start_ms < list[k - 1].end_ms; k += 1) {
    const start_ms = list[k - 1].end_ms;
    const end_ms = Math.max(list[k].end_ms, clock.stepped(start_ms, 1));
    list[k] = shifted(list[k], start_ms, end_ms);
  }
  for (let k = idx - 1; k >= 0 && list[k].end_ms > list[k + 1].start_ms; k -= 1) {
    const end_ms = list[k + 1].start_ms;
    const start_ms = Math.min(list[k].start_ms, clock.stepped(end_ms, -1));
    list[k] = shifted(list[k], start_ms, end_ms);
  }
  return list;
}

/** A moment at other times; an edge that moved is the hand's. */
function shifted(moment, start_ms, end_ms) {
  return {
    ...moment,
    start_ms,
    end_ms,
    start_source: start_ms === moment.start_ms ? moment.start_source : "hand",
    end_source: end_ms === moment.end_ms ? moment.end_source : "hand",
  };
}

/** The whole moment moved by `delta_ms`, as far as the neighbours leave room. */
export function slipped(moments, idx, delta_ms, clock) {
  const moment = moments[idx];
  const least = (moments[idx - 1]?.end_ms ?? 0) - moment.start_ms;
  const most = (moments[idx + 1]?.start_ms ?? Math.max(clock.end_ms, moment.end_ms)) - moment.end_ms;
  const delta = Math.min(most, Math.max(least, delta_ms));
  const start_ms = delta === least ? moment.start_ms + least : clock.boundary(moment.start_ms + delta);
  const shift = start_ms - moment.start_ms;
  if (shift === 0) return moments;
  const end_ms = delta === most ? moment.end_ms + most : clock.boundary(moment.end_ms + shift);
  return moments.with(idx, shifted(moment, start_ms, end_ms));
}

/** The free stretch around `ms` as [start, end], or null inside a moment. */
export function freeAround(moments, ms, clock) {
  if (moments.some((m) => ms >= m.start_ms && ms < m.end_ms)) return null;
  const before = moments.findLast((m) => m.end_ms <= ms);
  const after = moments.find((m) => m.start_ms > ms || (m.start_ms === ms && m !== before));
  return [before?.end_ms ?? 0, after?.start_ms ?? clock.end_ms];
}

/** The stretches that no moment covers, in order. */
export function gapsOf(moments, end_ms) {
  const gaps = [];
  let from_ms = 0;
  for (const moment of moments) {
    if (moment.start_ms > from_ms) gaps.push({ start_ms: from_ms, end_ms: moment.start_ms });
    from_ms = Math.max(from_ms, moment.end_ms);
  }
  if (end_ms > from_ms) gaps.push({ start_ms: from_ms, end_ms });
  return gaps;
}

/** `moment` put in place of whatever it overlaps. */
export function placed(moments, moment) {
  const rest = moments.filter((m) => m.end_ms <= moment.start_ms || m.start_ms >= moment.end_ms);
  return [...rest, moment].sort((a, b) => a.start_ms - b.start_ms);
}

export function overlapMs(a, b) {
  return Math.max(0, Math.min(a.end_ms, b.end_ms) - Math.max(a.start_ms, b.start_ms));
}

/** The span that `moment`'s edge would most plausibly be taken from: the most overlap, else the nearest edge. */
export function counterpart(moment, spans, edge) {
  const usable = spans.filter((span) =>
    edge === "start" ? span.start_ms < moment.end_ms : span.end_ms > moment.start_ms,
  );
  const distance = (span) => Math.abs(span[`${edge}_ms`] - moment[`${edge}_ms`]);
  return usable.reduce((best, span) => {
    if (!best) return span;
    const gain = overlapMs(span, moment) - overlapMs(best, moment);
    return gain > 0 || (gain === 0 && distance(span) < distance(best)) ? span : best;
  }, null);
}
