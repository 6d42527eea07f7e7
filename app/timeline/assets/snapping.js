/** What an edge may snap to, what it does snap to, and how that is said. Times in milliseconds. */

const RADIUS_PX = 8;
const MOST_MS = 250;

const KINDS = {
  shot: { rank: 0, words: "shot cut", source: "snap" },
  model: { rank: 1, words: "the model’s edge", source: "model" },
  original: { rank: 2, words: "the original’s edge", source: "original" },
  other: { rank: 2, words: "another answer’s edge", source: "snap" },
  grid: { rank: 3, words: "the grid", source: "snap" },
};

/**
 * Everything there is to snap to, in order of time: { ms, kind }. Proposals and other people's answers count only where
 * they are shown; those keep their own exact time, shots and the grid lie on frames.
 */
export function snapCandidates({ shots_ms = [], grid_ms, original, model, others = [], twins = [], arm }, clock) {
  const candidates = shots_ms.map((ms) => ({ ms: clock.boundary(ms), kind: "shot" }));
  const same = twins.map(({ qid, moments }) => ({ name: `row ${qid}`, moments }));
  const named = [...others, ...same].map((other) => ["other", other]);
  const proposals = arm === "blind" ? [] : [["original", original], ["model", model], ...named];
  for (const [kind, proposal] of proposals)
    for (const { start_ms, end_ms } of proposal?.moments ?? []) {
      const { name } = proposal;
      candidates.push({ ms: start_ms, kind, name, edge: "start" }, { ms: end_ms, kind, name, edge: "end" });
    }
  if (grid_ms)
    for (let ms = 0; ms <= clock.end_ms; ms += grid_ms)
      candidates.push({ ms: clock.boundary(ms), kind: "grid", grid_ms });
  return candidates.sort((a, b) => a.ms - b.ms || KINDS[a.kind].rank - KINDS[b.kind].rank);
}

/**
 * The candidate that `ms` snaps to, or null. Within 8 px and 250 ms (the grid: 8 px alone); a shot cut beats a
 * proposal, a proposal beats the grid, and among equals the nearest wins. `edge` leaves out proposals' other ends.
 */
export function snapTarget(ms, candidates, ms_per_px, edge = null) {
  const radius_ms = RADIUS_PX * ms_per_px;
  const distance = (candidate) => Math.abs(candidate.ms - ms);
  const isNear = (candidate) =>
    distance(candidate) <= (candidate.kind === "grid" ? radius_ms : Math.min(radius_ms, MOST_MS));
  const fits = (candidate) => !candidate.edge || !edge || candidate.edge === edge;
  const order = (a, b) => KINDS[a.kind].rank - KINDS[b.kind].rank || distance(a) - distance(b);
  return candidates.filter((candidate) => isNear(candidate) && fits(candidate)).sort(order)[0] ?? null;
}

export function snapSource(target) {
  return target ? KINDS[target.kind].source : "hand";
}

/** "shot cut", "the model’s edge", "the 2-second grid" */
export function snapWords(target) {
  if (target.kind === "other") return `${target.name}’s edge`;
  if (target.kind === "grid") return `the ${target.grid_ms / 1000}-second grid`;
  return KINDS[target.kind].words;
}

/** What stands exactly at `ms`, for saying so without a drag. */
export function standingAt(ms, candidates) {
  const exact = candidates.filter((candidate) => candidate.ms === ms);
  return exact.sort((a, b) => KINDS[a.kind].rank - KINDS[b.kind].rank)[0] ?? null;
}
