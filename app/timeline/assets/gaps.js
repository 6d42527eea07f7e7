/** Reviewing what is not annotated yet: the stretches between one's moments, the likeliest first. */

import { gapsOf, overlapMs } from "./moments.js";

const LEAST_MS = 400;

/**
 * [{ start_ms, end_ms, p, span }] by falling probability, then by time. `windows` are { start_ms, end_ms, p }; a gap
 * has the greatest p of the windows that reach into it, and `span` is that window cut to the gap.
 */
export function reviewOrder(moments, end_ms, windows) {
  const gaps = gapsOf(moments, end_ms).filter((gap) => gap.end_ms - gap.start_ms >= LEAST_MS);
  return gaps
    .map((gap) => {
      const inside = windows.filter((window) => overlapMs(window, gap) >= LEAST_MS);
      const best = inside.reduce((a, b) => (a && a.p >= b.p ? a : b), null);
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
  const others = ranked.map((w) => ({
    start_ms: Math.round(w.start_s * 1000),
    end_ms: Math.round(w.end_s * 1000),
    p: w.score,
    source: "model",
  }));
  const salient = saliency.map(([start_ms, end_ms, score]) => ({
    start_ms,
    end_ms,
    p: score / 8, // people's scores say where to look, but never outrank a confident model
    source: "hand",
  }));
  return [...proposed, ...others, ...salient];
}
