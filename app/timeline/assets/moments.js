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
  const limited_ms = Math.min(most, Math.max(least, ms));
  const moment = moments[idx];
  const new_source = limited_ms === ms ? source : "hand"; // stopped on the way: no longer its source's value
  const same_source = new_source === "hand" || moment[`${edge}_source`] === new_source;
  if (moment[`${edge}_ms`] === limited_ms && same_source) return moments;
  const next = moments.with(idx, { ...moment, [`${edge}_ms`]: limited_ms, [`${edge}_source`]: new_source });
  return push ? pushNeighbours(next, idx, clock) : next;
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
  return end_ms > start_ms ? placeMoment(rest, shiftMoment(moment, start_ms, end_ms)) : moments;
}

/** Neighbours make way: first their near edge, then, a frame long, the whole of them. */
function pushNeighbours(moments, idx, clock) {
  const list = [...moments];
  for (let k = idx + 1; k < list.length && list[k].start_ms < list[k - 1].end_ms; k += 1) {
    const start_ms = list[k - 1].end_ms;
    const end_ms = Math.max(list[k].end_ms, clock.stepped(start_ms, 1));
    list[k] = shiftMoment(list[k], start_ms, end_ms);
  }
  for (let k = idx - 1; k >= 0 && list[k].end_ms > list[k + 1].start_ms; k -= 1) {
    const end_ms = list[k + 1].start_ms;
    const start_ms = Math.min(list[k].start_ms, clock.stepped(end_ms, -1));
    list[k] = shiftMoment(list[k], start_ms, end_ms);
  }
  return list;
}

/** A moment at other times; an edge that moved is the hand's. */
function shiftMoment(moment, start_ms, end_ms) {
  return {
    ...moment,
    start_ms,
    end_ms,
    start_source: start_ms === moment.start_ms ? moment.start_source : "hand",
    end_source: end_ms === moment.end_ms ? moment.end_source : "hand",
  };
}

/** The whole moment moved by `delta_ms`, as far as the neighbours leave room. */
export function slipMoment(moments, idx, delta_ms, clock) {
  const moment = moments[idx];
  const least = (moments[idx - 1]?.end_ms ?? 0) - moment.start_ms;
  const most = (moments[idx + 1]?.start_ms ?? Math.max(clock.end_ms, moment.end_ms)) - moment.end_ms;
  const delta = Math.min(most, Math.max(least, delta_ms));
  const start_ms = delta === least ? moment.start_ms + least : clock.boundary(moment.start_ms + delta);
  const shift = start_ms - moment.start_ms;
  if (shift === 0) return moments;
  const end_ms = delta === most ? moment.end_ms + most : clock.boundary(moment.end_ms + shift);
  return moments.with(idx, shiftMoment(moment, start_ms, end_ms));
}

/** The free stretch around `ms` as [start, end], or null inside a moment. */
export function freeAround(moments, ms, clock) {
  if (moments.some((m) => ms >= m.start_ms && ms < m.end_ms)) return null;
  const before = moments.findLast((m) => m.end_ms <= ms);
  const after = moments.find((m) => m.start_ms > ms || (m.start_ms === ms && m !== before));
  return [before?.end_ms ?? 0, after?.start_ms ?? clock.end_ms];
}

/** The stretches that no moment covers, in order. */
function gapsOf(moments, end_ms) {
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
export function placeMoment(moments, moment) {
  const rest = moments.filter((m) => m.end_ms <= moment.start_ms || m.start_ms >= moment.end_ms);
  return [...rest, moment].sort((a, b) => a.start_ms - b.start_ms);
}

export function overlapMs(a, b) {
  return Math.max(0, Math.min(a.end_ms, b.end_ms) - Math.max(a.start_ms, b.start_ms));
}

/** The span that `moment`'s edge would most plausibly be taken from: the most overlap, else the nearest edge. */
export function counterpart(moment, spans, edge) {
  const isUsable = (span) => (edge === "start" ? span.start_ms < moment.end_ms : span.end_ms > moment.start_ms);
  const distance = (span) => Math.abs(span[`${edge}_ms`] - moment[`${edge}_ms`]);
  const order = (a, b) => overlapMs(b, moment) - overlapMs(a, moment) || distance(a) - distance(b);
  return spans.filter(isUsable).sort(order)[0] ?? null;
}

// ---- how far two lists agree; both are sorted and free of overlap, so that matching keeps their order

export function tiou(a, b) {
  const shared_ms = overlapMs(a, b);
  return shared_ms === 0 ? 0 : shared_ms / (a.end_ms - a.start_ms + b.end_ms - b.start_ms - shared_ms);
}

/** Mean tIoU of the best one-to-one matching; an unmatched moment counts 0, two empty lists agree. */
export function matchedTiou(a, b) {
  if (a.length === 0 && b.length === 0) return 1;
  return bestSum(a, b, tiou) / Math.max(a.length, b.length);
}

/** Set-F1 at a threshold of tIoU. */
export function setF1(a, b, threshold) {
  if (a.length === 0 && b.length === 0) return 1;
  const hits = bestSum(a, b, (x, y) => (tiou(x, y) >= threshold ? 1 : 0));
  return (2 * hits) / (a.length + b.length);
}

/** The greatest sum of gains over matchings that keep both orders (as for a longest common subsequence). */
function bestSum(a, b, gain) {
  let row = new Array(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    b.forEach((y, k) => next.push(Math.max(row[k + 1], next[k], row[k] + gain(x, y))));
    row = next;
  }
  return row.at(-1);
}

/** For each moment of `list` the moment of `others` beside which it is shown (the greatest tIoU first), or null. */
export function matchMoments(list, others) {
  const pairs = list.flatMap((a, i) => others.map((b, j) => ({ i, j, score: tiou(a, b) })));
  const matches = list.map(() => null);
  for (const { i, j, score } of pairs.sort((a, b) => b.score - a.score))
    if (score > 0 && matches[i] === null && !matches.includes(others[j])) matches[i] = others[j];
  return matches;
}

// ---- the stretches that are not annotated yet, for review

const LEAST_GAP_MS = 400;

/**
 * [{ start_ms, end_ms, p, span }] by falling probability, then by time. `windows` are { start_ms, end_ms, p }; a gap
 * has the greatest p of the windows that reach into it, and `span` is that window cut to the gap.
 */
export function reviewOrder(moments, end_ms, windows) {
  const gaps = gapsOf(moments, end_ms).filter((gap) => gap.end_ms - gap.start_ms >= LEAST_GAP_MS);
  return gaps
    .map((gap) => {
      const candidates = windows.filter((window) => overlapMs(window, gap) >= LEAST_GAP_MS);
      const best = candidates.reduce((a, b) => (a && a.p >= b.p ? a : b), null);
      const span = best && {
        start_ms: Math.max(gap.start_ms, best.start_ms),
        end_ms: Math.min(gap.end_ms, best.end_ms),
        start_source: best.start_ms >= gap.start_ms ? best.source : "hand",
        end_source: best.end_ms <= gap.end_ms ? best.source : "hand",
      };
      return { ...gap, p: best?.p ?? 0, span };
    })
    .sort((a, b) => b.p - a.p || a.start_ms - b.start_ms);
}

/** Everything that says how likely a stretch is: the proposal's moments, the ranked windows, saliency as a share. */
export function likelyWindows({ model, saliency = [], arm }, ranked = []) {
  if (arm === "blind") return [];
  const proposed = (model?.moments ?? []).map((m) => ({ ...m, p: m.confidence ?? 0.5, source: "model" }));
  const alternatives = ranked.map((window) => ({
    start_ms: Math.round(window.start_s * 1000),
    end_ms: Math.round(window.end_s * 1000),
    p: window.score,
    source: "model",
  }));
  // People's scores (0 to 4) say where to look, but never outrank a confident model.
  const salient = saliency.map(([start_ms, end_ms, score]) => ({ start_ms, end_ms, p: score / 8, source: "hand" }));
  return [...proposed, ...alternatives, ...salient];
}

/** An edit with the moments of two; those that overlap become one. What else differs is as in `mine`. */
export function bothEdits(mine, theirs) {
  const moments = [];
  for (const moment of [...mine.moments, ...theirs.moments].sort((a, b) => a.start_ms - b.start_ms)) {
    const last = moments.at(-1);
    if (!last || moment.start_ms >= last.end_ms) moments.push({ ...moment });
    else if (moment.end_ms > last.end_ms) copyEdge(moment, last, "end");
  }
  const note = [...new Set([mine.note, theirs.note].filter(Boolean))].join("\n") || null;
  return { ...mine, moments, verdict: "moments", reason: null, note, flagged: mine.flagged || theirs.flagged };
}

function copyEdge(from, to, edge) {
  for (const key of Object.keys(from).filter((name) => name.startsWith(`${edge}_`))) to[key] = from[key];
}
