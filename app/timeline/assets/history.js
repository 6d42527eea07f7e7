/**
 * Undo and redo without limit, as plain JSON: each step keeps only the parts of the document that it changed.
 */

export function emptyHistory() {
  return { past: [], future: [] };
}

/** One more step; what was undone before it is gone. */
export function remember(history, before, after, command, at_ms, selection) {
  const changed = Object.keys(after).filter((key) => before[key] !== after[key]);
  const pick = (doc) => Object.fromEntries(changed.map((key) => [key, doc[key]]));
  const step = { command, at_ms, before: pick(before), after: pick(after), selection };
  return { past: [...history.past, step], future: [] };
}

/** { doc, history, step } one step back, or null at the beginning. */
export function undone(history, doc) {
  const step = history.past.at(-1);
  if (!step) return null;
  return {
    doc: { ...doc, ...step.before },
    history: { past: history.past.slice(0, -1), future: [...history.future, step] },
    step,
  };
}

/** { doc, history, step } one step on, or null at the end. */
export function redone(history, doc) {
  const step = history.future.at(-1);
  if (!step) return null;
  return {
    doc: { ...doc, ...step.after },
    history: { past: [...history.past, step], future: history.future.slice(0, -1) },
    step,
  };
}
