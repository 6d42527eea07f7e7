/**
 * Every change that an annotator can make, as pure functions (document, command, context) -> document.
 * The same document comes back when a command changes nothing. Context: { clock, original, model }.
 */

import {
  counterpart,
  edgeLimits,
  freeAround,
  makeMoment,
  markEdge,
  moveEdge,
  placeMoment,
  slipMoment,
} from "./moments.js";

const DEFAULT_REASON = "event absent"; // why nothing matches, unless somebody says otherwise

const EMPTY = {
  verdict: "moments",
  moments: [],
  reason: null,
  categories: [],
  edited_text: null,
  note: null,
  flagged: false,
  rejected: [],
  next_id: 1,
};

/** The document that an annotator starts from: their own version, or what the arm gives them. */
export function initialDocument({ edit, arm, original, model }) {
  const opening = openingOf({ edit, arm, model });
  if (opening === "version") {
    const moments = edit.moments.map((moment, idx) => ({ ...makeMoment(idx + 1), ...moment, id: idx + 1 }));
    const fields = Object.keys(editOf(EMPTY)).map((name) => [name, edit[name] ?? EMPTY[name]]);
    return { ...EMPTY, ...Object.fromEntries(fields), moments, next_id: moments.length + 1 };
  }
  if (opening === "nothing") return EMPTY;
  const proposal = (opening === "model" ? model : original) ?? { moments: [], refused: false };
  if (proposal.refused) return { ...EMPTY, verdict: "no-moment", reason: DEFAULT_REASON };
  return withSpans(EMPTY, proposal.moments, opening);
}

/** What that document holds: one of annotations.records.OPENINGS. */
export function openingOf({ edit, arm, model }) {
  if (edit) return "version";
  if (arm === "blind") return "nothing";
  return arm === "model-first" && model ? "model" : "original";
}

/** All of a source's spans as the document's moments; overlapping ones (a model may give some) become one. */
function withSpans(doc, spans, source) {
  const merged = [];
  for (const { start_ms, end_ms } of [...spans].sort((a, b) => a.start_ms - b.start_ms)) {
    const last = merged.at(-1);
    if (last && start_ms < last.end_ms) last.end_ms = Math.max(last.end_ms, end_ms);
    else merged.push({ start_ms, end_ms });
  }
  const moments = merged.map((span, idx) => makeMoment(doc.next_id + idx, span.start_ms, span.end_ms, source));
  return { ...doc, verdict: "moments", reason: null, moments, next_id: doc.next_id + moments.length };
}

/** The content of annotations.records.Edit, without what the editor counts. */
export function editOf({ verdict, moments, reason, categories, edited_text, note, flagged }) {
  const hasMoments = verdict === "moments";
  return {
    verdict,
    moments: hasMoments ? moments.map(({ id, ...moment }) => moment) : [],
    reason: hasMoments ? null : reason,
    categories,
    edited_text,
    note,
    flagged,
  };
}

export function reduce(doc, command, context) {
  const reducer = REDUCERS[command.type];
  if (!reducer) throw new Error(`There is no command ${command.type}; use one of ${TYPES.join(", ")}.`);
  return reducer(doc, command, context);
}

/** Change one moment's list; a list that is the same one leaves the document alone. */
function onMoment(change) {
  return (doc, command, context) => {
    const idx = doc.moments.findIndex((moment) => moment.id === command.id);
    if (idx < 0) return doc;
    const moments = change(doc.moments, idx, command, context, doc);
    return moments === doc.moments ? doc : { ...doc, moments };
  };
}

function setEdge(moments, idx, { edge, ms, source = "hand", push, exact }, { clock }) {
  return moveEdge(moments, idx, edge, exact ? ms : clock.boundary(ms), source, clock, push);
}

function nudgeEdge(moments, idx, { edge, frames = 0, ms = 0, push }, { clock }) {
  const from_ms = moments[idx][`${edge}_ms`];
  const to_ms = frames ? clock.stepped(from_ms, frames) : clock.boundary(from_ms + ms);
  return moveEdge(moments, idx, edge, to_ms, "hand", clock, push);
}

function toLimit(moments, idx, { edge, limit }, { clock }) {
  const limits = edgeLimits(moments, idx, edge, clock);
  return moveEdge(moments, idx, edge, limits[limit === "least" ? 0 : 1], "hand", clock);
}

function takeEdge(moments, idx, { edge, source }, context) {
  const spans = context[source]?.moments ?? [];
  const span = counterpart(moments[idx], spans, edge);
  return span ? moveEdge(moments, idx, edge, span[`${edge}_ms`], source, context.clock) : moments;
}

function newMoment(doc, command, { clock }) {
  const { start_source = "hand", end_source = "hand", at_ms = command.start_ms } = command;
  const moments = doc.verdict === "moments" ? doc.moments : [];
  const room = freeAround(moments, at_ms, clock);
  if (!room) return doc;
  const inside = (ms, source) =>
    Math.min(room[1], Math.max(room[0], source === "hand" || source === "snap" ? clock.boundary(ms) : ms));
  const start_ms = inside(command.start_ms, start_source);
  const end_ms = Math.min(room[1], Math.max(inside(command.end_ms, end_source), clock.stepped(start_ms, 1)));
  if (end_ms <= start_ms) return doc;
  const moment = makeMoment(
    doc.next_id,
    start_ms,
    end_ms,
    start_ms === command.start_ms ? start_source : "hand",
    end_ms === command.end_ms ? end_source : "hand",
  );
  return withMoment(doc, moments, moment);
}

/** The document with `moment` in place of whatever it overlaps. */
function withMoment(doc, moments, moment) {
  const next_id = Math.max(doc.next_id, moment.id + 1);
  return { ...doc, verdict: "moments", reason: null, moments: placeMoment(moments, moment), next_id };
}

function split(doc, { id, ms }, { clock }) {
  const idx = doc.moments.findIndex((moment) => moment.id === id);
  const moment = doc.moments[idx];
  const cut_ms = clock.boundary(ms);
  if (!moment || cut_ms <= moment.start_ms || cut_ms >= moment.end_ms) return doc;
  const first = { ...moment, end_ms: cut_ms, end_source: "hand", end_uncertainty_ms: null };
  const second = {
    ...moment,
    id: doc.next_id,
    start_ms: cut_ms,
    start_source: "hand",
    start_uncertainty_ms: null,
  };
  return { ...doc, moments: doc.moments.toSpliced(idx, 1, first, second), next_id: doc.next_id + 1 };
}

function merge(moments, idx) {
  const [first, second] = [moments[idx], moments[idx + 1]];
  if (!second) return moments;
  const { end_ms, end_source, end_uncertainty_ms } = second;
  return moments.toSpliced(idx, 2, { ...first, end_ms, end_source, end_uncertainty_ms });
}

/** One span of a proposal, as it is, in place of whatever it overlaps. */
function acceptModel(doc, { index, source = "model" }, context) {
  const span = context[source]?.moments[index];
  if (!span) return doc;
  const moments = doc.verdict === "moments" ? doc.moments : [];
  const equal = moments.find((m) => m.start_ms === span.start_ms && m.end_ms === span.end_ms);
  if (equal?.start_source === source && equal.end_source === source) return doc;
  const replaced = moments.find((m) => m.start_ms < span.end_ms && m.end_ms > span.start_ms);
  const moment = makeMoment(replaced?.id ?? doc.next_id, span.start_ms, span.end_ms, source);
  const rejected = source === "model" ? doc.rejected.filter((other) => other !== index) : doc.rejected;
  return { ...withMoment(doc, moments, moment), rejected };
}

/** All of a proposal, or its refusal. */
function acceptAll(doc, { source = "model" }, context) {
  const proposal = context[source];
  if (!proposal) return doc;
  if (proposal.refused || proposal.moments.length === 0)
    return setVerdict(doc, { verdict: "no-moment", reason: doc.reason ?? DEFAULT_REASON });
  return adopt(doc, { moments: proposal.moments, source });
}

/** Somebody's list as a whole. */
function adopt(doc, { moments, source = "hand" }) {
  const next = withSpans(doc, moments, source);
  const plain = (list) => JSON.stringify(list.map(({ id, ...rest }) => rest));
  return doc.verdict === "moments" && plain(next.moments) === plain(doc.moments) ? doc : next;
}

function rejectModel(doc, { index }, { model }) {
  if (!model?.moments[index]) return doc;
  const rejected = doc.rejected.includes(index)
    ? doc.rejected.filter((other) => other !== index)
    : [...doc.rejected, index];
  return { ...doc, rejected };
}

/** `moments` may come back empty; the other two verdicts need a reason before they can be submitted. */
function setVerdict(doc, { verdict, reason = null }) {
  if (doc.verdict === verdict && doc.reason === reason) return doc;
  return { ...doc, verdict, reason, moments: verdict === "moments" ? doc.moments : [] };
}

function setUncertainty(moments, idx, { edge, ms }) {
  const name = `${edge}_uncertainty_ms`;
  return moments[idx][name] === ms ? moments : moments.with(idx, { ...moments[idx], [name]: ms });
}

/** A field of the document; empty text is none. */
function setField(name, clean) {
  return (doc, { value }) => {
    const next = clean(value);
    return JSON.stringify(next) === JSON.stringify(doc[name]) ? doc : { ...doc, [name]: next };
  };
}

const text = (value) => (value && value.trim() ? value : null);

const REDUCERS = {
  setEdge: onMoment(setEdge),
  nudgeEdge: onMoment(nudgeEdge),
  toLimit: onMoment(toLimit),
  markEdge: onMoment((moments, idx, { edge, ms }, { clock }) =>
    markEdge(moments, idx, edge, clock.boundary(ms), clock),
  ),
  takeEdge: onMoment(takeEdge),
  slip: onMoment((moments, idx, { delta_ms }, { clock }) => slipMoment(moments, idx, delta_ms, clock)),
  deleteMoment: onMoment((moments, idx) => moments.toSpliced(idx, 1)),
  merge: onMoment(merge),
  setUncertainty: onMoment(setUncertainty),
  newMoment,
  split,
  acceptModel,
  acceptAll,
  adopt,
  rejectModel,
  setVerdict,
  setNote: setField("note", text),
  setText: setField("edited_text", text),
  setCategories: setField("categories", (value) => [...new Set(value)].sort()),
  setFlag: setField("flagged", Boolean),
};

const TYPES = Object.keys(REDUCERS);
