/** The keys of the workbench as data: name, chords, what the help says, and in which mode they hold. */

const key = (name) => `key:${name}`;
const code = (name) => `code:${name}`;
const shift = (chord) => `Shift+${chord}`;
const ctrl = (chord) => `Ctrl+${chord}`;

/** Groups of the help, in order; each binding is [id, chords, words]. */
export const GROUPS = [
  {
    title: "Play and look",
    bindings: [
      ["toggle", [code("Space")], "Play or pause"],
      ["brake", [key("k")], "Play or pause; hold it with J or L for single frames"],
      ["slower", [key("j")], "Slower; one frame back while paused"],
      ["faster", [key("l")], "Play, then faster, up to 4×"],
      ["frameBack", [code("Comma"), key("ArrowLeft")], "One frame back"],
      ["frameOn", [code("Period"), key("ArrowRight")], "One frame on"],
      ["secondBack", [shift(code("Comma")), shift(key("ArrowLeft"))], "One second back"],
      ["secondOn", [shift(code("Period")), shift(key("ArrowRight"))], "One second on"],
      ["clipBack", [key("PageUp")], "One clip (2 s) back"],
      ["clipOn", [key("PageDown")], "One clip (2 s) on"],
      ["toStart", [key("Home")], "Start of the video"],
      ["toEnd", [key("End")], "End of the video"],
      ["previous", [key("ArrowUp")], "Previous moment"],
      ["next", [key("ArrowDown")], "Next moment"],
      ["auditionEdge", [key("p")], "Loop 1 s before to 1 s after the edge"],
      ["auditionMoment", [shift(key("p"))], "Loop exactly the moment"],
      ["gaps", [key("g")], "Review what is not marked yet, the likeliest first, at 2×"],
      ["zoom", [key("z")], "Zoom: all, the moment, the edge"],
      ["zoomIn", [key("+"), key("=")], "Zoom in"],
      ["zoomOut", [key("-")], "Zoom out"],
    ],
  },
  {
    title: "Edges",
    bindings: [
      ["startEdge", [code("BracketLeft")], "Work on the start"],
      ["endEdge", [code("BracketRight")], "Work on the end"],
      ["markStart", [key("i")], "Start here; without a moment, a new one"],
      ["markEnd", [key("o")], "End here; without a moment, a new one"],
      ["modelStart", [code("Digit1")], "The model’s start"],
      ["modelEnd", [code("Digit2")], "The model’s end"],
      ["originalStart", [code("Digit3")], "The original’s start"],
      ["originalEnd", [code("Digit4")], "The original’s end"],
      ["doubt", [key("u")], "Edge uncertain: ±0.5, 1, 2 s, certain"],
      ["snap", [key("s")], "Snapping on or off"],
    ],
  },
  {
    title: "While an edge is active",
    when: "edge",
    bindings: [
      ["edgeBack", [key("ArrowLeft")], "Edge one frame earlier"],
      ["edgeOn", [key("ArrowRight")], "Edge one frame later"],
      ["edgeSecondBack", [shift(key("ArrowLeft"))], "Edge one second earlier"],
      ["edgeSecondOn", [shift(key("ArrowRight"))], "Edge one second later"],
      ["edgeHalfBack", [key("a")], "Edge half a second earlier"],
      ["edgeHalfOn", [key("d")], "Edge half a second later"],
      ["edgeClipOn", [key("PageUp")], "Edge one clip (2 s) later"],
      ["edgeClipBack", [key("PageDown")], "Edge one clip (2 s) earlier"],
      ["edgeLeast", [key("Home")], "Edge as early as it can be"],
      ["edgeMost", [key("End")], "Edge as late as it can be"],
    ],
  },
  {
    title: "Moments",
    bindings: [
      ["add", [key("n")], "New moment at the playhead"],
      ["split", [key("b")], "Split at the playhead"],
      ["merge", [key("m")], "Merge with the next"],
      ["remove", [key("Delete"), key("Backspace")], "Remove the moment"],
      ["accept", [key("Enter")], "Take the model’s selected moment; on yours: on to the next"],
      ["acceptAll", [shift(key("Enter"))], "Take all of the model’s moments"],
      ["reject", [key("x")], "Reject the model’s selected moment"],
      ["toModel", [key("v")], "To the model’s moments and back"],
      ["slip", [shift(key("s"))], "Let whole moments be dragged, or not"],
    ],
  },
  {
    title: "During the drill",
    when: "drill",
    bindings: [["drillOn", [shift(key("ArrowDown"))], "On to the next step"]],
  },
  {
    title: "Answer",
    bindings: [
      ["noMoment", [code("Digit0")], "No matching moment, or cannot judge: choose why"],
      ["flag", [key("f")], "Flag for adjudication"],
      ["comment", [key("q")], "Comment"],
      ["undo", [ctrl(key("z"))], "Undo"],
      ["redo", [ctrl(shift(key("z"))), ctrl(key("y"))], "Redo"],
      ["submit", [ctrl(key("Enter"))], "Submit and go on"],
      ["reopen", [ctrl(shift(key("Enter")))], "Reopen the previous query"],
      ["leave", [key("Escape")], "Leave the edge; stop; cancel a drag"],
      ["help", [key("?")], "Show or hide this list"],
    ],
  },
];

export const BINDINGS = GROUPS.flatMap(({ bindings, when = null }) =>
  bindings.map(([id, chords, says]) => ({ id, chords, says, when })),
);
