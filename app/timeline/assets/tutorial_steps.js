/**
 * The gestures of the drill, in order. {name} in `says` is a binding of edit_keys.js; `hand` says the same without keys.
 * `cannot` gives the reason why a step has to be left out, or null; `enter` prepares it; `done` looks at what stands
 * and at the last thing that happened: "step", "submit", "played" or the type of an editor's command.
 */

import { freeAround } from "./moments.js";

const SOURCES = ["model", "original"];

export const STEPS = [
  {
    name: "Play and pause",
    says: () => "Press {toggle} to play, and again to pause.",
    hand: "Press the play button, and again to pause.",
    cannot: ({ player }) => (player.playable ? null : "there is no clip to play here"),
    done: (_, what) => what === "played",
  },
  {
    name: "Step a frame",
    says: () => "Go on by one frame with {frameOn}.",
    hand: "Go on by one frame with the button beside play.",
    done: (_, what) => what === "step",
  },
  {
    name: "Work on an edge",
    says: () => "Take the end of your moment in hand with {endEdge}.",
    hand: "Take the end of your moment in hand: press it in the lane “Mine”, or End edge.",
    enter: ({ editor, actions }) => editor.selection.edge && actions.leaveEdge(),
    done: ({ editor }) => editor.selection.edge === "end",
  },
  {
    name: "Move the edge",
    says: () => "Move it by one frame with {edgeBack}, or by half a second with {edgeHalfBack}.",
    hand: "Move it with −1 f, or ◀ 1 f.",
    enter: (editorView) => editorView.editor.selection.edge || editorView.actions.selectEdge("end"),
    done: ({ editor }, _, before) => times(editor) !== before.times,
  },
  {
    name: "New moment",
    says: () => "Make a new moment at the playhead with {add}.",
    hand: "Make a new moment at the playhead: press New moment, or New.",
    cannot: ({ editor }) => (freeMs(editor) === null ? "your moments leave no room" : null),
    enter: toRoom,
    done: ({ editor }, _, before) => editor.moments.length > before.count,
  },
  {
    name: "Undo",
    says: () => "Take that back with {undo}.",
    hand: "Take that back: press Undo.",
    cannot: ({ editor }) => (editor.canUndo || editor.previewing ? null : "there is nothing to take back"),
    done: (_, what) => what === "undo",
  },
  {
    name: "Take an edge",
    says: ({ editor }) =>
      sourceOf(editor) === "model"
        ? "Take the end where the model has it with {modelEnd}."
        : "Take the end where the original has it with {originalEnd}.",
    hand: "Choose the end and press Model or Original beside “by hand”.",
    cannot: whyNoEdge,
    done: (_, what) => what === "takeEdge",
  },
  {
    name: "No matching moment",
    says: () => "Say that nothing matches with {noMoment}, and choose a reason.",
    hand: "Say that nothing matches: press No matching moment, or No moment, and choose a reason.",
    done: ({ editor }) => editor.doc.verdict !== "moments",
  },
  {
    name: "And back",
    says: () => "Bring your moments back with {undo}.",
    hand: "Bring your moments back: press Undo.",
    cannot: ({ editor }) => (editor.doc.verdict === "moments" ? "your moments are there" : null),
    done: ({ editor }) => editor.doc.verdict === "moments",
  },
  {
    name: "Submit",
    says: () => "Submit with {submit}; here it only ends the drill.",
    hand: "Press Submit; here it only ends the drill.",
    done: (_, what) => what === "submit",
  },
];

/** What a step's `done` compares with. */
export function standing({ editor }) {
  return { times: times(editor), count: editor.moments.length };
}

function times({ moments }) {
  return JSON.stringify(moments.map(({ start_ms, end_ms }) => [start_ms, end_ms]));
}

/** Where a new moment has room, as near after the selected one as can be; null where there is none. */
function freeMs({ moments, selected, clock }) {
  const later = moments.filter((moment) => !selected || moment.end_ms >= selected.end_ms);
  const ends = [...later, ...moments].map((moment) => moment.end_ms);
  const free = (ms) => ms < clock.end_ms && freeAround(moments, ms, clock);
  return [...ends, 0].find(free) ?? null;
}

function toRoom(editorView) {
  const { editor, playhead_ms } = editorView;
  const here = freeAround(editor.moments, playhead_ms, editor.clock) && playhead_ms < editor.clock.end_ms;
  if (!here) editorView.seekMs(freeMs(editor));
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
