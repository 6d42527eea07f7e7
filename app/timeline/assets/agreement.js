/** How far two lists of moments agree. Both are sorted and free of overlap, so that matching keeps their order. */

import { overlapMs } from "./moments.js";

export function tiou(a, b) {
  const shared = overlapMs(a, b);
  return shared === 0 ? 0 : shared / (a.end_ms - a.start_ms + b.end_ms - b.start_ms - shared);
}

/** Mean tIoU of the best one-to-one matching; an unmatched moment counts 0, two empty lists agree. */
export function matchedTiou(a, b) {
  if (a.length === 0 && b.length === 0) return 1;
  return bestSum(a, b, (x, y) => tiou(x, y)) / Math.max(a.length, b.length);
}

/** Set-F1 at a threshold of tIoU. */
export function setF1(a, b, threshold) {
  if (a.length === 0 && b.length === 0) return 1;
  const hits = bestSum(a, b, (x, y) => (tiou(x, y) >= threshold ? 1 : 0));
  return (2 * hits) / (a.length + b.length);
}

function bestSum(a, b, gain) {
  let row = new Array(b.length + 1).fill(0);
  for (const x of a) {
    const next = [0];
    b.forEach((y, k) => next.push(Math.max(row[k + 1], next[k], row[k] + gain(x, y))));
    row = next;
  }
  return row.at(-1);
}
