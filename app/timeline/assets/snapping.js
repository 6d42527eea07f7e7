/** What an edge may snap to, what it does snap to, and how that is said. Times in milliseconds. */

const RADIUS_PX = 8;
const MOST_MS = 250;

const KINDS = {
  shot: { rank: 0, says: "shot cut", source: "snap" },
  model: { rank: 1, says: "the model’s edge", source: "model" },
  original: { rank: 2, says: "the original’s edge", source: "original" },
  other: { rank: 2, says: "another answer’s edge", source: "snap" },
  grid: { rank: 3, says: "the grid", source: "snap" },
};

/**
 * Everything there is to snap to, in order of time: { ms, kind }. Proposals and other people's answers count only where
 * they are shown; those keep their own exact time, shots and the grid lie on frames.
 */
export function candidates({ shots_ms = [], grid_ms, original, model, others = [], arm }, clock) {
  const found = shots_ms.map((ms) => ({ ms: clock.boundary(ms), kind: "shot" }));
  const shown =
    arm === "blind"
      ? []
      : [
          ["original", original],
          ["model", model],
          ...others.map((other) => ["other", other]),
        ];
  for (const [kind, proposal] of shown)
    for (const span of proposal?.moments ?? []) {
      const { name } = proposal;
      found.push({ ms: span.start_ms, kind, name, edge: "start" }, { ms: span.end_ms, kind, name, edge: "end" });
    }
  if (grid_ms)
    for (let ms = 0; ms <= clock.end_ms; ms += grid_ms)
      found.push({ ms: clock.boundary(ms), kind: "grid", grid_ms });
  return found.sort((a, b) => a.ms - b.ms || KINDS[a.kind].rank - KINDS[b.kind].rank);
}

/**
 * The candidate that `ms` snaps to, or null. Within 8 px and 250 ms (the grid: 8 px alone); a shot cut beats a
 * proposal, a proposal beats the grid, and among equals the nearest wins. `edge` leaves out proposals' other ends.
 */
export function snapTarget(ms, list, ms_per_px, edge = null) {
  const radius = RADIUS_PX * ms_per_px;
  let best = null;
  for (const candidate of list) {
    const away = Math.abs(candidate.ms - ms);
    if (away > (candidate.kind === "grid" ? radius : Math.min(radius, MOST_MS))) continue;
    if (candidate.edge && edge && candidate.edge !== edge) continue;
    if (!best || better(candidate, away, best)) best = { ...candidate, away };
  }
  return best;
}

function better(candidate, away, best) {
  const rank = KINDS[candidate.kind].rank - KINDS[best.kind].rank;
  return rank < 0 || (rank === 0 && away < best.away);
}

export function snapSource(target) {
  return target ? KINDS[target.kind].source : "hand";
}

/** "shot cut", "the model’s edge", "the 2-second grid" */
export function snapWords(target) {
  if (target.kind === "other") return `${target.name}’s edge`;
  if (target.kind === "grid") return `the ${target.grid_ms / 1000}-second grid`;
  return KINDS[target.kind].says;
}

/** What stands exactly at `ms`, for saying so without a drag. */
export function standingAt(ms, list) {
  return list
    .filter((candidate) => candidate.ms === ms)
    .reduce((a, b) => (a && KINDS[a.kind].rank <= KINDS[b.kind].rank ? a : b), null);
}
