/**
 * The keys as data: [id, chords, words for the help, run]. `run(view, press)` gets the timeline’s view and { repeat },
 * which is true while the key is held down. People's own keys are stored by id (keyboard.js), so that an id never changes.
 */

const key = (name) => `key:${name}`;
const code = (name) => `code:${name}`;
const shift = (chord) => `Shift+${chord}`;
const ctrl = (chord) => `Ctrl+${chord}`;
const alt = (chord) => `Alt+${chord}`;

const ZOOM = 1.6;

/** The keys of the read-only timeline by row of its help: [keys, words, what each chord runs]. */
export const PLAYBACK_KEYS = [
  ["Space", "Play or pause", { [code("Space")]: ({ actions }) => actions.toggle() }],
  [
    "←  →",
    "One frame back or on",
    {
      [key("ArrowLeft")]: ({ actions }) => actions.step(-1),
      [key("ArrowRight")]: ({ actions }) => actions.step(1),
    },
  ],
  [
    "Shift + ←  →",
    "One second back or on",
    {
      [shift(key("ArrowLeft"))]: ({ actions }) => actions.seekBy(-1),
      [shift(key("ArrowRight"))]: ({ actions }) => actions.seekBy(1),
    },
  ],
  [
    "Home  End",
    "Start or end of the clip",
    {
      [key("Home")]: ({ actions }) => actions.seekTo(0),
      [key("End")]: ({ actions }) => actions.seekTo(Infinity),
    },
  ],
  [
    "↑  ↓",
    "Previous or next moment",
    {
      [key("ArrowUp")]: ({ actions }) => actions.previousMoment(),
      [key("ArrowDown")]: ({ actions }) => actions.nextMoment(),
    },
  ],
  ["Enter", "Play exactly this moment", { [key("Enter")]: ({ actions }) => actions.playSelected() }],
  ["F", "Fit the whole clip", { [key("f")]: ({ actions }) => actions.fit() }],
  [
    "+  −",
    "Zoom in or out at the playhead",
    {
      [key("+")]: ({ actions }) => actions.zoom(ZOOM),
      [key("=")]: ({ actions }) => actions.zoom(ZOOM),
      [key("-")]: ({ actions }) => actions.zoom(1 / ZOOM),
    },
  ],
  ["?", "Show or hide this list", { [key("?")]: ({ actions }) => actions.help() }],
];

/** The keys of editing, in the groups of the key sheet; a group with `when` holds in that mode alone. */
export const EDITING_KEYS = [
  {
    title: "Play and look",
    bindings: [
      ["toggle", [code("Space")], "Play or pause", ({ transport }) => transport.toggle()],
      ["brake", [key("k")], "Play or pause; hold it with J or L for single frames", ({ transport }, { repeat }) => repeat || transport.brake(true)],
      ["slower", [key("j")], "Slower; one frame back while paused", ({ transport }) => transport.slower()],
      ["faster", [key("l")], "Play, then faster, up to 4×", ({ transport }) => transport.faster()],
      ["frameBack", [code("Comma"), key("ArrowLeft")], "One frame back", ({ actions }) => actions.step(-1)],
      ["frameOn", [code("Period"), key("ArrowRight")], "One frame on", ({ actions }) => actions.step(1)],
      ["secondBack", [shift(code("Comma")), shift(key("ArrowLeft"))], "One second back", ({ actions }) => actions.seekBy(-1)],
      ["secondOn", [shift(code("Period")), shift(key("ArrowRight"))], "One second on", ({ actions }) => actions.seekBy(1)],
      ["clipBack", [key("PageUp")], "One clip (2 s) back", ({ actions }) => actions.clipBy(-1)],
      ["clipOn", [key("PageDown")], "One clip (2 s) on", ({ actions }) => actions.clipBy(1)],
      ["toStart", [key("Home")], "Start of the video", ({ actions }) => actions.seekTo(0)],
      ["toEnd", [key("End")], "End of the video", ({ actions }) => actions.seekTo(Infinity)],
      ["previous", [key("ArrowUp")], "Previous moment", ({ actions }) => actions.previous()],
      ["next", [key("ArrowDown")], "Next moment", ({ actions }) => actions.next()],
      ["auditionEdge", [key("p")], "Loop 1 s before to 1 s after the edge", ({ transport }) => transport.auditionEdge()],
      ["auditionMoment", [shift(key("p"))], "Loop exactly the moment", ({ transport }) => transport.auditionMoment()],
      ["gaps", [key("g")], "Review what is not marked yet, the likeliest first, at 2×", ({ transport }) => transport.gaps()],
    ],
  },
  {
    title: "Jump, zoom and sound",
    bindings: [
      ["shotOn", [key("c")], "Next shot change", ({ actions }) => actions.toShot(1)],
      ["shotBack", [shift(key("c"))], "Previous shot change", ({ actions }) => actions.toShot(-1)],
      ["anyEdgeOn", [key("e")], "Next edge of any lane", ({ actions }) => actions.toAnyEdge(1)],
      ["anyEdgeBack", [shift(key("e"))], "Previous edge of any lane", ({ actions }) => actions.toAnyEdge(-1)],
      ["likelyPlace", [key("h")], "The model’s most probable other place; again: the next one", ({ actions }) => actions.toLikelyPlace()],
      ["zoom", [key("z")], "Zoom: all, the moment, the edge", (view) => view.cycleZoom()],
      ["zoomIn", [key("+"), key("="), code("Equal")], "Zoom in", ({ actions }) => actions.zoom(ZOOM)],
      ["zoomOut", [key("-"), code("Minus")], "Zoom out", ({ actions }) => actions.zoom(1 / ZOOM)],
      ["mute", [shift(key("m"))], "Sound on or off", ({ actions }) => actions.mute()],
      ["louder", [shift(key("ArrowUp"))], "Louder", ({ actions }) => actions.volume(0.1)],
      ["quieter", [shift(key("ArrowDown"))], "Quieter", ({ actions }) => actions.volume(-0.1)],
      ["timeUnit", [key("t")], "Times as 11:00.00 or as 660.00", (view) => view.changeTimeUnit()],
    ],
  },
  {
    title: "Edges",
    bindings: [
      ["startEdge", [code("BracketLeft")], "Work on the start; a loop goes to it", ({ actions }) => actions.selectEdge("start")],
      ["endEdge", [code("BracketRight")], "Work on the end; a loop goes to it", ({ actions }) => actions.selectEdge("end")],
      ["markStart", [key("i")], "Start here; without a moment, a new one", ({ transport }) => transport.mark("start")],
      ["markEnd", [key("o")], "End here; without a moment, a new one", ({ transport }) => transport.mark("end")],
      ["modelStart", [code("Digit1")], "The model’s start", ({ actions }) => actions.take("model", "start")],
      ["modelEnd", [code("Digit2")], "The model’s end", ({ actions }) => actions.take("model", "end")],
      ["originalStart", [code("Digit3")], "The original’s start", ({ actions }) => actions.take("original", "start")],
      ["originalEnd", [code("Digit4")], "The original’s end", ({ actions }) => actions.take("original", "end")],
      ["repeatOffset", [key("r")], "Move the edge as far as the last corrected one", ({ actions }) => actions.repeatOffset()],
      ["doubt", [key("u")], "Edge uncertain: ±0.5, 1, 2 s, certain", ({ actions }) => actions.doubt()],
      ["snap", [key("s")], "Snapping on or off", ({ actions }) => actions.snap()],
    ],
  },
  {
    title: "While an edge is active",
    when: "edge",
    bindings: [
      ["edgeBack", [key("ArrowLeft")], "Edge one frame earlier", ({ actions }, press) => actions.nudge({ frames: -1 }, press)],
      ["edgeOn", [key("ArrowRight")], "Edge one frame later", ({ actions }, press) => actions.nudge({ frames: 1 }, press)],
      ["edgeSecondBack", [shift(key("ArrowLeft"))], "Edge one second earlier", ({ actions }, press) => actions.nudge({ ms: -1000 }, press)],
      ["edgeSecondOn", [shift(key("ArrowRight"))], "Edge one second later", ({ actions }, press) => actions.nudge({ ms: 1000 }, press)],
      ["edgeHalfBack", [key("a")], "Edge half a second earlier", ({ actions }, press) => actions.nudge({ ms: -500 }, press)],
      ["edgeHalfOn", [key("d")], "Edge half a second later", ({ actions }, press) => actions.nudge({ ms: 500 }, press)],
      ["edgeRowBack", [shift(key("a"))], "Edge four frames earlier", ({ actions }, press) => actions.nudge({ frames: -4 }, press)],
      ["edgeRowOn", [shift(key("d"))], "Edge four frames later", ({ actions }, press) => actions.nudge({ frames: 4 }, press)],
      ["edgeClipBack", [key("PageUp")], "Edge one clip (2 s) earlier", ({ actions }, press) => actions.nudgeClip(-1, press)],
      ["edgeClipOn", [key("PageDown")], "Edge one clip (2 s) later", ({ actions }, press) => actions.nudgeClip(1, press)],
      ["edgeShotOn", [key("c")], "Edge to the next shot change", ({ actions }) => actions.toShot(1)],
      ["edgeShotBack", [shift(key("c"))], "Edge to the previous shot change", ({ actions }) => actions.toShot(-1)],
      ["edgeOtherOn", [key("e")], "Edge to the next edge of another lane", ({ actions }) => actions.toAnyEdge(1)],
      ["edgeOtherBack", [shift(key("e"))], "Edge to the previous edge of another lane", ({ actions }) => actions.toAnyEdge(-1)],
      ["edgeLeast", [key("Home")], "Edge as early as it can be", ({ actions }) => actions.toLimit("least")],
      ["edgeMost", [key("End")], "Edge as late as it can be", ({ actions }) => actions.toLimit("most")],
    ],
  },
  {
    title: "Moments",
    bindings: [
      ["add", [key("n")], "New moment at the playhead; its end is active", ({ actions }) => actions.add()],
      ["split", [key("b")], "Split at the playhead", ({ actions }) => actions.split()],
      ["merge", [key("m")], "Merge with the next", ({ actions }) => actions.merge()],
      ["remove", [key("Delete"), key("Backspace")], "Remove the moment", ({ actions }) => actions.remove()],
      ["accept", [key("Enter")], "Take the model’s selected moment; on yours: on to the next", ({ actions }) => actions.accept()],
      ["acceptAll", [shift(key("Enter"))], "Take all of the model’s moments", ({ actions }) => actions.acceptAll()],
      ["reject", [key("x")], "Reject the model’s selected moment", ({ actions }) => actions.reject()],
      ["toModel", [key("v")], "To the model’s moments and back", ({ actions }) => actions.toModel()],
      ["slip", [shift(key("s"))], "Let whole moments be dragged, or not", ({ actions }) => actions.slip()],
    ],
  },
  {
    title: "During the drill",
    when: "tutorial",
    bindings: [["drillOn", [shift(key("ArrowDown"))], "On to the next step", ({ tutorial }) => tutorial.skipStep()]],
  },
  {
    title: "Answer",
    bindings: [
      ["noMoment", [code("Digit0")], "No matching moment, or cannot judge: choose why", (view) => view.askWhy()],
      ["eventAbsent", [alt(code("Digit0"))], "No moment: event absent", (view) => view.sayAbsent()],
      ["flag", [key("f")], "Flag for adjudication", ({ actions }) => actions.flag()],
      ["comment", [key("q")], "Comment", ({ comment }) => comment.open_()],
      ["undo", [ctrl(key("z"))], "Undo", ({ actions }) => actions.undo()],
      ["redo", [ctrl(shift(key("z"))), ctrl(key("y"))], "Redo", ({ actions }) => actions.redo()],
      ["submit", [ctrl(key("Enter"))], "Submit and go on", (view, { repeat }) => repeat || view.submit()],
      ["submitAndLoop", [alt(shift(key("Enter")))], "Submit, and loop the next row’s first moment", (view, { repeat }) => repeat || view.submit({ audition: true })],
      ["acceptAndGo", [alt(key("Enter"))], "The same, with all of the model’s moments", (view, { repeat }) => repeat || view.acceptAndGo()],
      ["skip", [shift(key("n"))], "Skip the row", (view, { repeat }) => repeat || view.skip()],
      ["reopen", [ctrl(shift(key("Enter")))], "Reopen the previous query", (view, { repeat }) => repeat || view.reopen()],
      ["leave", [key("Escape")], "Leave the edge; stop; cancel a drag", (view) => view.leave()],
      ["layout", [key("w")], "Layout: one screen, or a wide picture", (view) => view.changeLayout()],
      ["pictureApart", [shift(key("w"))], "The picture in a window of its own, and back", ({ pictureWindow }) => pictureWindow.toggle()],
      ["help", [key("?")], "Show or hide this list", ({ actions }) => actions.help()],
    ],
  },
];

/** { id, chords, words, run, when } of every key of the read-only timeline; a chord is its own id. */
export const PLAYBACK_BINDINGS = PLAYBACK_KEYS.flatMap(([, words, runs]) =>
  Object.entries(runs).map(([chord, run]) => ({ id: chord, chords: [chord], words, run, when: null })),
);

/** The same of every key of editing. */
export const EDITING_BINDINGS = EDITING_KEYS.flatMap(({ bindings, when = null }) =>
  bindings.map(([id, chords, words, run]) => ({ id, chords, words, run, when })),
);
