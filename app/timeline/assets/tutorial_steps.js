/**
 * The gestures of the tutorial, in order. {name} in `words` is a binding of key_bindings.js; `wordsForHand` says the same
 * without keys. `obstacle` gives the reason why a step has to be left out, or null; `enter` prepares it; `isDone` looks at
 * what stands and at the last event: "step", "submit", "played" or the type of an editor's command.
 */

import { freeAround } from "./moments.js";

const SOURCES = ["model", "original"];

export const STEPS = [
  {
    name: "Play and pause",
    words: () => "Press {toggle} to play, and again to pause.",
    wordsForHand: "Press the play button, and again to pause.",
    obstacle: ({ player }) => (player.playable ? null : "there is no clip to play here"),
    isDone: (_, event) => event === "played",
  },
  {
    name: "Step a frame",
    words: () => "Go on by one frame with {frameOn}.",
    wordsForHand: "Go on by one frame with the button beside play.",
    isDone: (_, event) => event === "step",
  },
  {
    name: "Work on an edge",
    words: () => "Take the end of your moment in hand with {endEdge}.",
    wordsForHand: "Take the end of your moment in hand: press it in the lane “Mine”, or End edge.",
    enter: ({ editor, actions }) => editor.selection.edge && actions.leaveEdge(),
    isDone: ({ editor }) => editor.selection.edge === "end",
  },
  {
    name: "Move the edge",
    words: () => "Move it by one frame with {edgeBack}, four with {edgeRowBack}, half a second with {edgeHalfBack}.",
    wordsForHand: "Move it with −1 f, or ◀ 1 f.",
    enter: (view) => view.editor.selection.edge || view.actions.selectEdge("end"),
    isDone: ({ editor }, _, before) => times(editor) !== before.times,
  },
  {
    name: "New moment",
    words: () => "Make a new moment at the playhead with {add}.",
    wordsForHand: "Make a new moment at the playhead: press New moment, or New.",
    obstacle: ({ editor }) => (freeMs(editor) === null ? "your moments leave no room" : null),
    enter: toRoom,
    isDone: ({ editor }, _, before) => editor.moments.length > before.count,
  },
  {
    name: "Undo",
    words: () => "Take that back with {undo}.",
    wordsForHand: "Take that back: press Undo.",
    obstacle: ({ editor }) => (editor.canUndo || editor.previewing ? null : "there is nothing to take back"),
    isDone: (_, event) => event === "undo",
  },
  {
    name: "Take an edge",
    words: ({ editor }) =>
      sourceOf(editor) === "model"
        ? "Take the end where the model has it with {modelEnd}."
        : "Take the end where the original has it with {originalEnd}.",
    wordsForHand: "Choose the end and press Model or Original beside “by hand”.",
    obstacle: whyNoEdge,
    isDone: (_, event) => event === "takeEdge",
  },
  {
    name: "No matching moment",
    words: () => "Say that nothing matches with {noMoment}, and choose a reason.",
    wordsForHand: "Say that nothing matches: press No matching moment, or No moment, and choose a reason.",
    isDone: ({ editor }) => editor.doc.verdict !== "moments",
  },
  {
    name: "And back",
    words: () => "Bring your moments back with {undo}.",
    wordsForHand: "Bring your moments back: press Undo.",
    obstacle: ({ editor }) => (editor.doc.verdict === "moments" ? "your moments are there" : null),
    isDone: ({ editor }) => editor.doc.verdict === "moments",
  },
  {
    name: "Submit",
    words: () => "Submit with {submit}; here it only ends the drill.",
    wordsForHand: "Press Submit; here it only ends the drill.",
    isDone: (_, event) => event === "submit",
  },
];

/** What a step's `isDone` compares with. */
export function stepState({ editor }) {
  return { times: times(editor), count: editor.moments.length };
}

function times({ moments }) {
  return JSON.stringify(moments.map(({ start_ms, end_ms }) => [start_ms, end_ms]));
}

/** Where a new moment has room, as near after the selected one as can be; null where there is none. */
function freeMs({ moments, selected, clock }) {
  const later = moments.filter((moment) => !selected || moment.end_ms >= selected.end_ms);
  const ends = [...later, ...moments].map((moment) => moment.end_ms);
  const isFree = (ms) => ms < clock.end_ms && freeAround(moments, ms, clock);
  return [...ends, 0].find(isFree) ?? null;
}

function toRoom(view) {
  const { editor, playhead_ms } = view;
  const isFree = freeAround(editor.moments, playhead_ms, editor.clock) && playhead_ms < editor.clock.end_ms;
  if (!isFree) view.seekMs(freeMs(editor));
}

function sourceOf(editor) {
  const id = editor.selected?.id ?? editor.moments[0]?.id;
  const takes = (source) => editor.can({ type: "takeEdge", id, edge: "end", source });
  return SOURCES.find((source) => editor.item[source]?.moments.length && takes(source)) ?? null;
}

function whyNoEdge({ editor }) {
  if (editor.item.arm === "blind") return "the original and the model are hidden until you submit";
  return sourceOf(editor) ? null : "neither the model nor the original has another end for it";
}
